"""Activity of populations: Elephant's numbers on every source, slow loops for what labels do, and chance by enumeration."""

import itertools
import subprocess
import sys
import warnings

import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from population_sources import brain, counts_of_brain, network, random_network, trials_as_segments, trials_of_brain
from strategies import small_recording

import ann2neo
from ann2neo import population
from ann2neo.errors import AnalysisError, Ann2NeoWarning, LayerNotFound, SpikeTrainError, WindowError

with warnings.catch_warnings():
    from elephant import kernels, statistics

quiet = pytest.mark.filterwarnings("ignore:::elephant.*")
pytestmark = quiet


def test_time_histogram_is_elephants():
    """Counts, means and rates of every segment are those of Elephant on the same trains, in bins and in continuous time."""
    for source, bin_size in ((small_recording(), None), (brain(), 300 * pq.ms)):
        found = population.time_histogram(source, bin_size=bin_size)
        block = source if isinstance(source, neo.Block) else ann2neo.to_block(source)
        for number, segment in enumerate(block.segments):
            rows = found[found["segment"] == number]
            width = 1.0 * pq.ms if bin_size is None else bin_size
            for column, output in (("n_spikes", "counts"), ("mean", "mean"), ("rate_hz", "rate")):
                expected = statistics.time_histogram(list(segment.spiketrains), width, output=output)
                expected = expected.rescale("Hz") if output == "rate" else expected
                np.testing.assert_allclose(rows[column], expected.magnitude[:, 0], rtol=1e-12)
            np.testing.assert_allclose(rows["start_ms"], expected.times.rescale("ms").magnitude)
    assert found.attrs["bin_size_ms"] == 300.0


@pytest.mark.parametrize("lattice", [True, False])
def test_chance_of_the_time_histogram_is_that_of_evenly_spread_spikes(lattice):
    """Over many random arrangements the number of spikes in a bin has the mean and standard deviation that are told."""
    rng, n = np.random.default_rng(0), np.array([3, 12, 18])
    seen = []
    for _ in range(4000):
        if lattice:
            seen.append(sum(np.sum(rng.permutation(20)[:k] < 4) for k in n))
        else:
            seen.append(sum(np.sum(rng.random(k) < 0.2) for k in n))
    dense = np.arange(20) < n[:, None]
    trains = [neo.SpikeTrain(np.arange(k) + 0.25, units="ms", t_stop=20.0) for k in n]
    found = population.time_histogram(network(dense) if lattice else trains, bin_size=4 * pq.ms)
    assert found["expected"].iloc[0] == pytest.approx(np.mean(seen), abs=4 * np.std(seen) / 63)
    assert found["chance_sd"].iloc[0] == pytest.approx(np.std(seen), rel=0.05)


def test_chunks_do_not_change_activity_or_tuning(monkeypatch):
    """A few units at a time give what all give at once."""
    functions = (population.time_histogram, population.tuning)
    recording = small_recording()
    whole = [function(recording) for function in functions]
    monkeypatch.setattr("ann2neo.population.ensemble.CHUNK_BYTES", 1)
    for function, expected in zip(functions, whole):
        pd.testing.assert_frame_equal(function(recording), expected)


def test_instantaneous_rate_is_elephants():
    """Rates are those of Elephant with the same Gaussian kernel, stretch by stretch."""
    block = brain()
    found = population.instantaneous_rate(block, sigma=50 * pq.ms, sampling_period=10 * pq.ms)
    for number, segment in enumerate(block.segments):
        kernel = kernels.GaussianKernel(50 * pq.ms)
        expected = statistics.instantaneous_rate(
            list(segment.spiketrains), 10 * pq.ms, kernel=kernel, border_correction=True
        )
        np.testing.assert_allclose(found.loc[number], expected.magnitude)
        spikes = found.loc[number].mean() * float(segment.spiketrains[0].duration)
        np.testing.assert_allclose(spikes, [len(train) for train in segment.spiketrains])


def test_rates_do_not_leak_across_trials():
    """In trials of several bins a spike raises the rate in its own trial alone."""
    dense = np.zeros((1, 30), bool)
    dense[0, 9] = True
    found = population.instantaneous_rate(network(dense, [0, 1, 0], lengths=np.array([10, 10, 10])), sigma=3 * pq.ms)
    assert found.loc[0].to_numpy().min() > 0
    assert not found.loc[1:].to_numpy().any()


def test_complexity_is_elephants():
    """The number of bins with so many active units is Elephant's, added up over segments."""
    for source, bin_size in ((small_recording(), None), (brain(), 20 * pq.ms)):
        found = population.complexity(source, bin_size=bin_size)
        block = source if isinstance(source, neo.Block) else ann2neo.to_block(source)
        expected = np.zeros(len(found), int)
        for segment in block.segments:
            width = 1.0 * pq.ms if bin_size is None else bin_size
            each = statistics.Complexity(list(segment.spiketrains), bin_size=width).complexity_histogram
            expected[: each.size] += each
        assert found["n_bins"].tolist() == expected.tolist()
        assert found["share"].sum() == pytest.approx(1)
        assert found["expected"].sum() == pytest.approx(expected.sum())


def test_expected_complexity_is_the_sum_over_all_patterns():
    """Independent units are active together as often as the probabilities of all 2^n patterns say."""
    dense = np.arange(10) < np.array([0, 2, 5, 9, 10])[:, None]
    p, expected = dense.mean(axis=1), np.zeros(6)
    for pattern in itertools.product([0, 1], repeat=5):
        expected[sum(pattern)] += 10 * np.prod([q if on else 1 - q for q, on in zip(p, pattern)])
    np.testing.assert_allclose(population.complexity(network(dense))["expected"], expected, atol=1e-12)


def slow_tuning(counts, labels, durations_s):
    """Rate, expected rate and its sd for each unit and label, by hand: over all choices of trials where these differ in duration."""
    rows = []
    for unit in counts:
        rate = sum(unit) / sum(durations_s)
        rest = [c - rate * d for c, d in zip(unit, durations_s)]
        variance = sum((r - sum(rest) / len(rest)) ** 2 for r in rest) / len(rest)
        for label in sorted(set(labels)):
            mine = [i for i, other in enumerate(labels) if other == label]
            time, m, n = sum(durations_s[i] for i in mine), len(mine), len(labels)
            sd = np.sqrt(m * variance * (n - m) / (n - 1)) / time
            if max(durations_s) - min(durations_s) > 1e-9:
                chosen = itertools.combinations(range(n), m)
                sd = np.std([sum(unit[i] for i in some) / sum(durations_s[i] for i in some) for some in chosen])
            rows.append((label, m, sum(unit[i] for i in mine), sum(unit[i] for i in mine) / time, rate, sd))
    return pd.DataFrame(rows, columns=["label", "n_trials", "n_spikes", "rate_hz", "expected", "chance_sd"])


def test_tuning_is_a_slow_loop():
    """Counts, rates and chance of each unit and label are those of a plain loop, on a network and on a brain."""
    recording = random_network(n_passes=2, n_first=3)
    dense = np.concatenate([recording.raster("a"), recording.raster("b")])
    labels = recording.trials["label"].to_numpy()
    for source, counts, of_trials, durations in (
        (recording, dense.astype(int), labels, np.full(labels.size, 0.001)),
        (brain(), *counts_of_brain(brain())),
    ):
        found = population.tuning(source)
        expected = slow_tuning(counts.tolist(), of_trials.tolist(), durations.tolist())
        for column in expected.columns:
            if column == "label":
                assert found[column].tolist() == expected[column].tolist()
            else:
                np.testing.assert_allclose(found[column], expected[column], rtol=1e-9, atol=1e-6)
    assert population.tuning(recording)["layer"].tolist()[:16:12] == ["a", "b"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=5, max_size=7), st.integers(1, 4))
def test_chance_of_tuning_is_that_of_all_permutations(spikes, m):
    """The standard deviation is exactly that over all ways to give m of the trials the label."""
    labels = [0] * m + [1] * (len(spikes) - m)
    found = population.tuning(network([spikes], labels))
    rates = [np.mean([spikes[i] for i in chosen]) * 1000 for chosen in itertools.combinations(range(len(spikes)), m)]
    assert found["expected"].iloc[0] == pytest.approx(np.mean(rates))
    assert found["chance_sd"].iloc[0] == pytest.approx(np.std(rates), abs=1e-9)


def test_psth_is_elephants_histogram_of_the_cut_trials():
    """Each unit's mean over the trials of a label, as long as they last, is Elephant's time histogram of trials cut out by hand."""
    block = brain()
    found = population.psth(block, bin_size=250 * pq.ms)
    trials = trials_of_brain(block)
    for (unit, label, start), rows in found.groupby(["unit", "label", "start_ms"]):
        mine = [t for t in trials if t[3] == label and t[2] - t[1] > start / 1000 + 0.2]
        cut = []
        for number, a, b, _ in mine:
            times = block.segments[number].spiketrains[unit].magnitude
            cut.append(neo.SpikeTrain(times[(times >= a) & (times < b)] - a, units="s", t_stop=1.0))
        histogram = statistics.time_histogram(cut, 250 * pq.ms, output="mean").magnitude[:, 0]
        assert rows["n_trials"].item() == len(mine)
        assert rows["mean"].item() == pytest.approx(histogram[int(start // 250)])
        assert rows["rate_hz"].item() == pytest.approx(4 * histogram[int(start // 250)])
    assert set(found["start_ms"]) == {0.0, 250.0, 500.0, 750.0}


def test_psth_of_a_network_with_steps_is_a_slow_loop():
    """Trials of several bins are aligned at their first bin, whatever pass they are in."""
    lengths = np.array([3, 5, 4, 3, 5, 2])
    recording = random_network(lengths=lengths, n_passes=2, n_labels=2)
    found = population.psth(recording, layer="a").set_index(["unit", "label", "start_ms"])
    dense, trials = recording.raster("a"), recording.trials
    for unit, label, step in itertools.product(range(7), set(trials["label"]), range(5)):
        rows = trials[(trials["label"] == label) & (trials["stop_bin"] - trials["start_bin"] > step)]
        values = [bool(dense[unit, start + step]) for start in rows["start_bin"]]
        if values:
            assert found.loc[(unit, label, float(step)), "mean"] == pytest.approx(np.mean(values))
            assert found.loc[(unit, label, float(step)), "n_trials"] == len(values)
        else:
            assert (unit, label, float(step)) not in found.index


def test_segments_as_trials_are_trials():
    """A Block whose segments carry their label is counted segment by segment."""
    block = trials_as_segments()
    found = population.tuning(block)
    for (unit, label), rows in found.groupby(["unit", "label"]):
        mine = [len(s.spiketrains[unit]) for s in block.segments if s.annotations["label"] == label]
        assert rows["mean"].item() == pytest.approx(np.mean(mine))
        assert rows["rate_hz"].item() == pytest.approx(np.mean(mine) / 0.4)
    assert len(population.psth(block, bin_size=100 * pq.ms)) == 4 * 3 * 4


@pytest.mark.parametrize("segment_by", [None, "label", "trial"])
def test_our_blocks_give_what_the_recording_gives(segment_by):
    """Whatever its segments are, a Block of a recording has the tuning and complexity of the recording."""
    recording = random_network(n_passes=2, n_first=4)
    block = ann2neo.to_block(recording, segment_by=segment_by)
    expected, found = population.tuning(recording), population.tuning(block)
    assert found["label"].astype(str).tolist() == expected["label"].astype(str).tolist()
    np.testing.assert_allclose(found[["rate_hz", "chance_sd"]], expected[["rate_hz", "chance_sd"]], atol=1e-6)
    np.testing.assert_array_equal(population.complexity(block)["n_bins"], population.complexity(recording)["n_bins"])
    assert population.time_histogram(block, layer="b")["n_spikes"].sum() == recording.raster("b").sum()


def test_unknown_labels_are_left_out():
    """Trials with a negative label or an empty one are in no mean; none at all is an error."""
    assert population.tuning(network([[1, 1, 0]], [0, -1, 1]))["n_spikes"].tolist() == [1, 0]
    with pytest.raises(AnalysisError, match="known"):
        population.tuning(network([[1, 1, 0]], [-1, -1, -1]))
    with pytest.raises(WindowError, match="label"):
        population.tuning(network([[1, 1, 0]]))
    with pytest.raises(WindowError, match="annotate"):
        population.tuning([neo.SpikeTrain([1.0], units="s", t_stop=2.0)])


def test_trials_that_leave_the_recording_are_left_out_with_a_warning():
    """A trial of which the end was not recorded would seem to have fewer spikes."""
    block = brain(n_segments=1)
    epoch = neo.Epoch([0.0, 4.0] * pq.s, [1.0, 5.0] * pq.s, labels=["x", "y"], name="trials")
    block.segments[0].epochs[:] = [epoch]
    with pytest.warns(Ann2NeoWarning, match="up to 1 of 2 trials"):
        assert population.tuning(block)["label"].unique().tolist() == ["x"]


def test_subsets_are_seeded_even_and_in_order():
    """The same seed draws the same units, another seed others; every unit is drawn equally often; positions choose by hand."""
    recording = random_network(n_units=10, n_first=4)
    drawn = [population.tuning(recording, units=3, seed=seed) for seed in range(300)]
    pd.testing.assert_frame_equal(drawn[7], population.tuning(recording, units=3, seed=7))
    names = pd.concat([table.drop_duplicates(["layer", "unit"]) for table in drawn])
    times = names.groupby(["layer", "unit"]).size()
    assert len(times) == 10
    assert times.between(90 - 4 * 8, 90 + 4 * 8).all()
    chosen = population.tuning(recording, units=[5, 0])
    assert chosen.drop_duplicates(["layer", "unit"])[["layer", "unit"]].to_numpy().tolist() == [["a", 0], ["b", 1]]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"layer": "c"}, LayerNotFound, "'a', 'b'"),
        ({"units": 99}, AnalysisError, "units=99 of 7"),
        ({"units": [7]}, AnalysisError, "0 to 6"),
        ({"units": []}, AnalysisError, "0 positions"),
        ({"bin_size": 1.5 * pq.ms}, AnalysisError, "whole multiple"),
        ({"bin_size": 5 * pq.mV}, AnalysisError, "not a duration"),
        ({"bin_size": 500 * pq.ms}, AnalysisError, "holds no bin"),
    ],
)
def test_what_is_not_there_is_refused(options, error, words):
    """Layers, units and bins that a recording does not have end in an error that names those it has."""
    with pytest.raises(error, match=words):
        population.time_histogram(random_network(n_first=3), **options)


def test_foreign_trains_must_share_their_time():
    """Of trains of unequal borders the time is kept that all share; none, unsorted trains, and continuous time without a bin size are refused."""
    a, b = neo.SpikeTrain([1.0], units="s", t_stop=2.0), neo.SpikeTrain([1.0, 2.5], units="s", t_stop=3.0)
    with pytest.warns(Ann2NeoWarning, match="2000 of 3000 ms"):
        found = population.time_histogram([a, b], bin_size=1 * pq.s)
    assert found["n_spikes"].tolist() == [0, 2]
    with pytest.raises(AnalysisError, match="different times"):
        population.time_histogram([a, neo.SpikeTrain([2.5], units="s", t_start=2.0, t_stop=3.0)], bin_size=1 * pq.s)
    with pytest.raises(SpikeTrainError, match="not sorted"):
        population.time_histogram([neo.SpikeTrain([1.0, 0.5], units="s", t_stop=2.0)], bin_size=1 * pq.s)
    with pytest.raises(AnalysisError, match="continuous time"):
        population.time_histogram([a])
    with pytest.raises(LayerNotFound, match="'units'"):
        population.time_histogram([a], layer="V1", bin_size=1 * pq.s)
    empty = neo.SpikeTrain([], units="s", t_stop=2.0)
    assert population.time_histogram([empty, empty], bin_size=1 * pq.s)["n_spikes"].tolist() == [0, 0]


def test_large_results_are_announced_or_refused(monkeypatch):
    """The size is said before anything is computed."""
    recording = random_network()
    for call in (
        lambda: population.instantaneous_rate(recording, sigma=3 * pq.ms, max_bytes=1000),
        lambda: population.complexity(recording, max_bytes=1000),
        lambda: population.tuning(recording, max_bytes=100),
        lambda: population.psth(recording, max_bytes=100),
    ):
        with pytest.raises(AnalysisError, match=r"need .* KiB, but .* are allowed[\s\S]*max_bytes"):
            call()
    monkeypatch.setattr("ann2neo.population.sizes.SAY_BYTES", 1000)
    with pytest.warns(Ann2NeoWarning, match="will take"):
        population.complexity(recording)


def test_elephant_is_imported_late_and_leaves_no_trace():
    """Importing the package loads neither Elephant nor neo; using it leaves the warning filters as they were."""
    code = "import sys, warnings, numpy, ann2neo, ann2neo.population as p\nprint([m for m in ('elephant', 'neo', 'torch') if m in sys.modules])\n"
    code += "before = list(warnings.filters)\nr = ann2neo.from_array(numpy.eye(20, dtype=bool), labels=[0, 1] * 10)\n"
    code += "p.time_histogram(r); p.complexity(r); p.covariance(r); p.spike_time_tiling(r)\nassert warnings.filters == before"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def test_psth_of_single_bins_is_the_tuning():
    """Where a trial is one bin long, the histogram of one bin has the mean, the expectation and the chance of the tuning, per 1 ms."""
    recording = random_network(n_passes=2)
    tuned, found = population.tuning(recording), population.psth(recording)
    np.testing.assert_allclose(found["mean"], tuned["spikes_per_bin"])
    np.testing.assert_allclose(found[["rate_hz"]], tuned[["rate_hz"]])
    np.testing.assert_allclose(1000 * found[["expected", "chance_sd"]], tuned[["expected", "chance_sd"]], atol=1e-9)


def test_unknown_labels_stay_unknown_in_blocks():
    """A negative label that became text in a Block cut by trial is still no label."""
    recording = network([[1, 1, 0, 1]], [0, -1, 1, 0])
    found = population.tuning(ann2neo.to_block(recording, segment_by="trial"))
    assert found["n_spikes"].tolist() == population.tuning(recording)["n_spikes"].tolist() == [2, 0]
