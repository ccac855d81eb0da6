"""Fano factors over repeats: of each condition at each position within its trial, of each stimulus over its passes."""

from __future__ import annotations

from dataclasses import replace

import elephant.statistics
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spike_sources import assert_same_bits, recordings, spike_bits

import ann2neo
from ann2neo.errors import WindowError
from ann2neo.measures.bulk import measure_bits, measure_bulk
from ann2neo.measures.reference import measure_reference
from ann2neo.recording import make_trials
from ann2neo.windows import Repeats


def repeated(parts, seed):
    """Spikes in windows that repeat each other at random: some conditions once, some windows without bins or condition."""
    spikes = spike_bits(**parts)
    rng, n = np.random.default_rng(seed), spikes.window_pass.size
    return replace(spikes, repeats=Repeats(condition=rng.integers(-1, 3, n), position=rng.integers(0, 2, n)))


def by_hand(counts, condition, position, present):
    """Average variance over mean, first over the positions of a condition, then over conditions, in plain loops."""
    of_conditions = []
    for one in sorted(set(condition) - {-1}):
        factors = []
        for place in sorted(set(position)):
            own = [c for c, a, b, p in zip(counts, condition, position, present) if p and (a, b) == (one, place)]
            if len(own) > 1 and sum(own):
                factors.append(oracles.variance(own) / oracles.mean(own))
        if factors:
            of_conditions.append(oracles.mean(factors))
    return oracles.mean(of_conditions)


@settings(max_examples=40, deadline=None)
@given(recordings, st.integers(0, 2**32 - 1))
def test_engines_agree_bit_for_bit_and_with_loops(parts, seed):
    """Elephant on trains, times and bits give one number, which is the one of an obvious loop."""
    spikes = repeated(parts, seed)
    expected = measure_reference(spikes.arrays())
    assert_same_bits(measure_bulk(spikes.arrays()), expected)
    assert_same_bits(measure_bits(spikes), expected)
    dense = np.concatenate(list(np.unpackbits(spikes.bits, axis=2, count=spikes.pass_bins)), axis=1)
    for unit, spiked in enumerate(dense):
        counts = oracles.count(spikes.window[np.flatnonzero(spiked)], spikes.window_pass.size)
        fano = by_hand(counts, spikes.repeats.condition, spikes.repeats.position, spikes.window_bins > 0)
        np.testing.assert_allclose(expected["fano"][unit], fano, rtol=1e-12, atol=1e-15)


def stochastic(n_passes=5, n_steps=1, n_trials=12, n_units=6, seed=0):
    """A recording of several passes whose spike probability differs from input to input."""
    rng = np.random.default_rng(seed)
    p = np.repeat(rng.uniform(0.05, 0.9, (n_trials, n_units)), n_steps, axis=0)
    dense = rng.random((n_passes, *p.shape)) < p
    one = ann2neo.from_array(dense[0])
    trials = make_trials(
        n_trials, n_passes=n_passes, lengths=np.full(n_trials, n_steps), stimulus_id=np.arange(n_trials) + 7
    )
    packed = np.packbits(dense.transpose(0, 2, 1), axis=2)
    layer = replace(one.layers[0], raster=replace(one.layers[0].raster, packed=packed))
    return replace(one, layers=(layer,), trials=trials), dense.reshape(n_passes, n_trials, n_steps, n_units)


@pytest.mark.parametrize("n_steps", [1, 4])
@pytest.mark.parametrize("engine", ["bulk", "elephant"])
def test_the_factor_of_each_stimulus_over_its_passes(n_steps, engine):
    """windows='stimulus_id' is Elephant's factor of each stimulus over its passes, averaged over stimuli."""
    recording, dense = stochastic(n_steps=n_steps)
    table = ann2neo.analyze(recording, windows="stimulus_id", engine=engine, progress=False)
    counts = dense.sum(axis=2)
    by_hand = [
        np.nanmean([elephant.statistics.fanofactor([np.zeros(n) for n in counts[:, i, u]]) for i in range(12)])
        for u in range(6)
    ]
    np.testing.assert_allclose(table["fano"], by_hand, rtol=1e-12)
    assert table.attrs["windows"] == "stimulus_id"
    assert (table["n_trials_min"] == 5).all()
    assert table["n_conditions"].tolist() == (counts.sum(axis=0) > 0).sum(axis=0).tolist()


def test_one_bin_inputs_have_one_minus_p_of_the_stimulus_and_say_so():
    """Over the passes of a one-bin input the factor is 1 - p of that input: stated as a number, with the reason."""
    recording, dense = stochastic()
    p = dense.mean(axis=(0, 2))
    expected = np.nanmean(np.where(p > 0, 1 - p, np.nan), axis=0)
    for options in ({"windows": "stimulus_id"}, {"windows": "trial", "over": "passes"}):
        table = ann2neo.analyze(recording, **options, progress=False)
        np.testing.assert_allclose(table["fano"], expected, rtol=1e-12)
        np.testing.assert_allclose(table["fano_expected"], expected, rtol=1e-12)
        assert "1 - p of the input by construction" in table.attrs["masked"]
        assert "1 - p_spike by construction" not in table.attrs["masked"]


def test_chance_over_repeats_is_the_mean_over_random_arrangements():
    """With several bins per input, spikes thrown anew into the repeats of each stimulus average to what is expected."""
    recording, dense = stochastic(n_steps=4, n_units=4)
    table = ann2neo.analyze(recording, windows="stimulus_id", progress=False)
    rng = np.random.default_rng(3)
    flat = dense.transpose(3, 1, 0, 2).reshape(4, 12, 20)
    thrown = rng.permuted(np.broadcast_to(flat, (4000, *flat.shape)).copy(), axis=3)
    counts = thrown.reshape(4000, 4, 12, 5, 4).sum(axis=4)
    with np.errstate(invalid="ignore"):
        fano = np.nanmean(counts.var(axis=3) / counts.mean(axis=3), axis=2)
    error = fano.std(axis=0) / np.sqrt(4000)
    assert (np.abs(fano.mean(axis=0) - table["fano_expected"]) < 4 * error + 1e-12).all()


def test_a_stimulus_that_is_shown_once_is_left_out():
    """Repeats may lie in one pass; what has no repeat does not count, and nothing repeated at all is refused."""
    spikes = np.array([[1, 0, 1, 1, 0, 1]], bool).T
    recording = ann2neo.from_array(spikes)
    with pytest.raises(WindowError, match="No stimulus_id has two trials"):
        ann2neo.analyze(recording, windows="stimulus_id", progress=False)
    recording = replace(recording, trials=recording.trials.assign(stimulus_id=[3, 3, 3, 8, 8, 9]))
    table = ann2neo.analyze(recording, windows="stimulus_id", progress=False)
    assert table["fano"][0] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert (table["n_conditions"][0], table["n_trials_min"][0]) == (2, 2)


def test_the_normalized_factor_divides_each_group_by_its_limit():
    """F / (1 - p) of each stimulus, by hand; stimuli that never or always excite the unit are left out."""
    recording, dense = stochastic(n_steps=4)
    table = ann2neo.analyze(recording, windows="stimulus_id", progress=False)
    counts, p = dense.sum(axis=2), dense.mean(axis=(0, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        factors = counts.var(axis=0) / counts.mean(axis=0) / (1 - p)
    by_hand = np.nanmean(np.where((p > 0) & (p < 1), factors, np.nan), axis=0)
    np.testing.assert_allclose(table["fano_normalized"], by_hand, rtol=1e-12)


def test_over_equal_label_windows_the_normalized_factor_is_w_times_the_label_share():
    """The identity that the documentation states."""
    spikes = np.random.default_rng(2).random((60, 5)) < 0.4
    table = ann2neo.analyze(ann2neo.from_array(spikes, labels=np.arange(60) % 3), progress=False)
    np.testing.assert_allclose(table["fano_normalized"], 20 * table["label_share"], rtol=1e-12)


def test_one_window_has_no_factor_in_any_engine():
    """The variance of one count is 0 whatever the unit does: NaN, in the engines too, and so in null bands."""
    spikes = np.random.default_rng(1).random((200, 30)) < 0.3
    recording = ann2neo.from_array(spikes, labels=np.zeros(200, int))
    assert ann2neo.analyze(recording, progress=False)["fano"].isna().all()
    bands = ann2neo.surrogates.null_bands(recording, indicators=["fano_mean"], n_permutations=39, progress=False)
    assert bands["value"].isna().all()
