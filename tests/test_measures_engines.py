"""The engines of `ann2neo.measures` agree bit for bit, and with slow loops, Elephant and closed forms."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spike_sources import assert_same_bits, recordings, spike_bits, spikes_in_time

from ann2neo.errors import AnalysisError, WindowError
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk import measure_bits, measure_bulk
from ann2neo.measures.definitions import window_groups
from ann2neo.measures.engines import measure
from ann2neo.measures.reference import measure_reference
from ann2neo.measures.registry import computed

ELEPHANT_INTERVALS = [
    *(1, 28, 4, 47, 5, 16, 2, 5, 21, 12, 4, 12, 59, 2, 4, 18, 33, 25, 2, 34, 4, 1, 1, 14, 8),
    *(1, 10, 1, 8, 20, 5, 1, 6, 5, 12, 2, 8, 8, 2, 8, 2, 10, 2, 1, 1, 2, 15, 3, 20, 6),
    *(11, 6, 18, 2, 5, 17, 4, 3, 13, 6, 1, 18, 1, 16, 12, 2, 52, 2, 5, 7, 6, 25, 6, 5, 3),
    *(15, 4, 3, 16, 3, 6, 5, 24, 21, 3, 3, 4, 8, 4, 11, 5, 7, 5, 6, 8, 11, 33, 10, 7, 4),
]


@settings(max_examples=40, deadline=None)
@given(recordings, st.sampled_from([None, 0.0, 1.5]), st.sampled_from(["windows", "passes"]))
def test_engines_agree_bit_for_bit(parts, period, over):
    """Elephant on spike trains, the same from arrays and the same from packed bits: no bit differs, NaN where NaN."""
    spikes = spike_bits(**parts)
    if over == "passes" and (spikes.bits.shape[0] < 2 or spikes.window_pass.size == 0):
        over = "windows"
    expected = measure_reference(spikes.arrays(), over=over, refractory_period=period)
    assert_same_bits(measure_bulk(spikes.arrays(), over=over, refractory_period=period), expected)
    assert_same_bits(measure_bits(spikes, over=over, refractory_period=period), expected)


@pytest.mark.parametrize(("n_passes", "n_windows", "n_stretches"), [(1, 10, 1), (1, 700, 1), (2, 3, 9)])
def test_engines_agree_where_sums_are_long(n_passes, n_windows, n_stretches):
    """Thousands of spikes and hundreds of windows, where NumPy adds up in blocks and halves."""
    dense = np.random.default_rng(4).random((6, 12_000)) < np.array([0.05, 0.1, 0.3, 0.5, 0.9, 1.0])[:, None]
    spikes = spike_bits(5, n_passes, 12_000 // n_passes, n_windows, n_stretches, 3, 0.5, dense)
    expected = measure_reference(spikes.arrays(), refractory_period=1.0)
    assert_same_bits(measure_bulk(spikes.arrays(), refractory_period=1.0), expected)
    assert_same_bits(measure_bits(spikes, refractory_period=1.0), expected)


@pytest.mark.parametrize("time_unit", ["s", "ms", "us"])
@pytest.mark.parametrize("seed", range(3))
def test_engines_agree_in_continuous_time(seed, time_unit):
    """Without bins and with inexact times, too, both engines give the same bits, and nothing that needs bins."""
    spikes = spikes_in_time(seed, time_unit)
    expected = measure_reference(spikes, refractory_period=0.01)
    assert_same_bits(measure_bulk(spikes, refractory_period=0.01), expected)
    assert np.isnan(expected["p_spike"]).all()
    assert np.isnan(expected["label_share"]).all()
    assert np.isfinite(expected["fano"][1:]).all()


@settings(max_examples=60, deadline=None)
@given(recordings, st.booleans())
def test_bulk_agrees_with_slow_loops(parts, over_passes):
    """Every measure is what an obvious loop over spikes, windows and bins gives."""
    spikes = spike_bits(**parts)
    over = "passes" if over_passes and spikes.bits.shape[0] > 1 and spikes.window_pass.size else "windows"
    measured = measure_bits(spikes, over=over, refractory_period=1.5)
    dense = np.concatenate(list(np.unpackbits(spikes.bits, axis=2, count=spikes.pass_bins)), axis=1)
    present = spikes.window_bins > 0
    groups = [[w for w in group if present[w]] for group in window_groups(spikes.window_pass, over)]
    groups = [group for group in groups if len(group) > 1]
    single = over == "windows" and spikes.window_bins.max(initial=0) <= 1
    for unit, spiked in enumerate(dense):
        bins = np.flatnonzero(spiked)
        fano, n_empty = oracles.fano(oracles.count(spikes.window[bins], spikes.window_pass.size), groups)
        label = np.full(spikes.n_bins, -1) if spikes.label is None else spikes.label
        times = list((bins + 0.25) * spikes.bin_size_ms)
        expected = {
            "n_spikes": len(times),
            "p_spike": len(times) / spikes.n_bins,
            "firing_rate": len(times) / (spikes.n_bins * spikes.bin_size_ms / 1000.0),
            **oracles.interval_measures(times, spikes.stretch_of_bin[bins], 1.5),
            "fano": oracles.NAN if single else fano,
            "label_share": oracles.label_share(spiked, label),
        }
        if over == "passes":
            assert measured["n_windows_empty"][unit] == n_empty
        for name, value in expected.items():
            np.testing.assert_allclose(
                measured[name][unit], value, rtol=1e-12, atol=1e-12, err_msg=f"{name} of unit {unit}"
            )


def test_reference_is_what_a_user_of_elephant_would_write():
    """On one stretch and windows in succession every number is exactly Elephant's on the user's own trains."""
    import elephant.statistics as es
    import neo
    import quantities as pq

    dense = np.random.default_rng(8).random((3, 600)) < 0.3
    spikes = replace(
        spike_bits(0, pass_bins=600, dense=dense), window=np.arange(600) // 100, window_pass=np.zeros(6, int)
    )
    measured = measure_reference(spikes.arrays(), refractory_period=2.0)
    for unit in range(3):
        train = neo.SpikeTrain((np.flatnonzero(dense[unit]) + 0.25) * pq.ms, t_stop=600 * pq.ms)
        cuts = [train.time_slice(i * 100 * pq.ms, (i + 1) * 100 * pq.ms) for i in range(6)]
        isi = es.isi(train)
        expected = {
            "n_spikes": len(train),
            "firing_rate": float(es.mean_firing_rate(train).rescale("Hz")),
            "isi_mean": float(np.mean(isi)),
            "isi_var": float(np.var(isi.magnitude)),
            "cv": es.cv(isi.magnitude),
            "cv2": es.cv2(isi),
            "lv": es.lv(isi),
            "lvr": es.lvr(isi, R=2 * pq.ms),
            "ir": np.mean([abs(math.log(b) - math.log(a)) for a, b in pairwise(isi.magnitude.tolist())]),
            "fano": es.fanofactor(cuts),
        }
        assert {name: measured[name][unit] for name in expected} == expected


def test_elephants_own_numbers():
    """The 100 intervals of Elephant's tests give the CV2, Lv and LvR that are printed there."""
    bins = np.concatenate([[0], np.cumsum(ELEPHANT_INTERVALS)])
    dense = np.zeros((1, bins[-1] + 1), bool)
    dense[0, bins] = True
    spikes = spike_bits(0, pass_bins=dense.shape[1], dense=dense)
    for measured in (
        measure_reference(spikes.arrays(), refractory_period=5.0),
        measure_bits(spikes, refractory_period=5.0),
    ):
        assert measured["cv2"][0] == pytest.approx(1.0022235296529176, rel=1e-15)
        assert measured["lv"][0] == pytest.approx(0.971826029994, rel=1e-12)
        assert measured["lvr"][0] == pytest.approx(2.1845363464753134, rel=1e-15)


@pytest.mark.parametrize("engine", ["elephant", "bulk"])
def test_edges(engine):
    """Silent units have a rate of 0 and nothing else; one interval has CV 0, no CV2; full units have no label share."""
    spikes = spike_bits(1, pass_bins=90)
    measured = measure(replace(spikes, bits=spikes.bits[:, :5]), engine=engine)
    silent, saturated, one, two, three = range(5)
    undefined = {name: np.flatnonzero(np.isnan(values)).tolist() for name, values in measured.items()}
    assert undefined["firing_rate"] == []
    assert undefined["isi_mean"] == undefined["isi_var"] == undefined["cv"] == [silent, one]
    assert undefined["cv2"] == undefined["lv"] == undefined["ir"] == [silent, one, two]
    assert {silent, saturated} <= set(undefined["label_share"])
    assert measured["firing_rate"][saturated] == 1000.0
    assert (
        measured["cv"][two] == measured["isi_var"][two] == measured["lv"][saturated] == measured["ir"][saturated] == 0.0
    )
    assert measured["cv2"][three] >= 0.0


@pytest.mark.parametrize("engine", ["elephant", "bulk"])
def test_ir_of_known_intervals(engine):
    """Intervals that double and halve have IR = log 2 at any rate; two spikes at one time leave IR, and only IR, undefined."""
    known = spikes_in_time(0, "s")
    for isis, expected in (([1, 2, 1, 2, 4], math.log(2)), ([1, 2, 0, 2], math.nan)):
        for rate in (1.0, 0.01):
            times = 0.1 + rate * np.cumsum([0, *isis]).astype(float)
            n = np.zeros(times.size, np.int64)
            spikes = replace(known, times=times, offsets=np.array([0, times.size]), stretch=n, window=n)
            measured = measure(spikes, engine=engine)
            np.testing.assert_allclose(measured["ir"], [expected], rtol=1e-12)
            assert np.isfinite(measured["cv2"]).all()


@pytest.mark.parametrize("engine", ["elephant", "bulk"])
def test_long_intervals_have_their_logarithms_too(engine):
    """On bins, intervals beyond the table of logarithms give the same as those within."""
    dense = np.zeros((1, 40_000), bool)
    dense[0, [0, 4095, 8191, 12_288, 32_000, 32_001]] = True
    isis = np.diff(np.flatnonzero(dense)) * 0.5
    measured = measure(spike_bits(0, pass_bins=40_000, bin_size_ms=0.5, dense=dense), engine=engine)
    np.testing.assert_allclose(measured["ir"], np.abs(np.diff(np.log(isis))).mean(), rtol=1e-13)


@pytest.mark.parametrize("engine", ["elephant", "bulk"])
@pytest.mark.parametrize(("n_units", "n_bins"), [(0, 8), (2, 0), (0, 0)])
def test_nothing_measured_is_nothing_raised(engine, n_units, n_bins):
    """No units give empty columns; no bins give NaN, without a warning."""
    spikes = SpikeBits(
        bits=np.zeros((1, n_units, n_bins // 8), np.uint8),
        pass_bins=n_bins,
        bin_size_ms=1.0,
        stretch_edges=np.array([0, n_bins]),
        window=np.full(n_bins, -1),
        window_pass=np.zeros(0, int),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = measure(spikes, engine=engine)
    assert {values.shape for values in measured.values()} == {(n_units,)}
    assert n_bins or np.isnan(measured["firing_rate"]).all()


@pytest.mark.parametrize("engine", ["elephant", "bulk"])
def test_no_interval_crosses_a_stretch(engine):
    """A unit that fires every second bin of short stretches has no interval where each holds one spike."""
    dense = np.tile([True, False], 20)[None]
    spikes = spike_bits(0, pass_bins=40, dense=dense)
    alone = replace(spikes, stretch_edges=np.arange(0, 41, 2))
    pairs = replace(spikes, stretch_edges=np.arange(0, 41, 4))
    assert np.isnan(measure(alone, engine=engine)["isi_mean"][0])
    assert measure(pairs, engine=engine)["isi_mean"][0] == 2.0
    assert np.isnan(measure(pairs, engine=engine)["lv"][0])
    assert measure(alone, engine=engine)["firing_rate"][0] == measure(spikes, engine=engine)["firing_rate"][0]


@pytest.mark.parametrize("engine", ["elephant", "bulk"])
def test_windows_of_one_bin_have_no_fano_factor(engine):
    """Over one-bin windows the Fano factor is 1 - p by construction and not given; with one wider window it is."""
    spikes = replace(spike_bits(3, pass_bins=50), window=np.arange(50), window_pass=np.zeros(50, int))
    wider = replace(spikes, window=np.maximum(np.arange(50) - 1, 0), window_pass=np.zeros(49, int))
    assert np.isnan(measure(spikes, engine=engine)["fano"]).all()
    assert np.isfinite(measure(wider, engine=engine)["fano"][1:]).any()


@pytest.mark.parametrize("engine", ["elephant", "bulk"])
def test_passes_that_repeat_have_no_variance(engine):
    """Over identical passes the Fano factor is 0, over windows it is not; windows silent in every pass are counted."""
    once = np.zeros((1, 60), bool)
    once[0, [0, 1, 2, 3, 25]] = True
    spikes = spike_bits(0, n_passes=4, pass_bins=60, n_windows=6, dense=np.tile(once, 4))
    spikes = replace(spikes, window=np.arange(240) // 10)
    measured = measure(spikes, engine=engine, over="passes")
    assert measured["fano"][0] == 0.0
    assert measured["n_windows_empty"][0] == 4
    assert measure(spikes, engine=engine)["fano"][0] > 1.0


def test_fano_over_equal_label_windows_is_label_share_times_window():
    """Fano = w (1 - r) eta where each label is one window of w bins."""
    label = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 30))
    dense = np.random.default_rng(1).random((20, 300)) < np.random.default_rng(2).random((20, 10))[:, label]
    spikes = replace(
        spike_bits(0, pass_bins=300, dense=dense), window=label, label=label, window_pass=np.zeros(10, int)
    )
    measured = measure_bits(spikes)
    expected = 30 * (1 - measured["p_spike"]) * measured["label_share"]
    np.testing.assert_allclose(measured["fano"], expected, rtol=1e-12)


@pytest.mark.parametrize(
    "run", [lambda s, o: measure_reference(s.arrays(), over=o), lambda s, o: measure_bits(s, over=o)]
)
def test_over_passes_needs_passes_with_the_same_windows(run):
    """One pass has no variance over passes, and windows that do not recur cannot be compared."""
    with pytest.raises(WindowError, match="at least two"):
        run(spike_bits(0), "passes")
    with pytest.raises(WindowError, match="1 to 3 windows"):
        run(
            replace(
                spike_bits(0, n_passes=2, pass_bins=50),
                window_pass=np.repeat([0, 1], [3, 1]),
                window=np.zeros(100, int),
            ),
            "passes",
        )


def test_registry_names_what_the_engines_give():
    """Both engines give what is registered as computed, in the order of the registry."""
    spikes = spike_bits(0)
    for period in (None, 1.0):
        known = [entry.name for entry in computed(refractoriness=period is not None)]
        for engine in ("bulk", "elephant"):
            assert list(measure(spikes, engine=engine, refractory_period=period)) == known


def test_unknown_engines_and_units_are_refused():
    """A name that is not known ends in an error that says which are."""
    with pytest.raises(AnalysisError, match="'elephant' or 'bulk'"):
        _measure_unchecked("fast")
    with pytest.raises(AnalysisError, match="must be one of time"):
        measure_bulk(spikes_in_time(0, "mV"))


def _measure_unchecked(engine):
    """Call `measure` behind the run-time type checks of the tests, as a user would."""
    return measure.__wrapped__(spike_bits(0), engine=engine)


def test_elephants_changes_to_warnings_do_not_leak():
    """Importing Elephant and measuring leaves the process-wide filter of warnings as it was."""
    before = list(warnings.filters)
    measure_reference(spike_bits(0).arrays())
    assert warnings.filters == before


def test_the_registry_loads_neither_neo_nor_numba():
    """Heavy packages are loaded by the engine that needs them, not by the list of measures."""
    heavy = "[name for name in ('neo', 'elephant', 'numba') if name in sys.modules]"
    code = f"import sys, ann2neo.measures.registry; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
