"""Pairs of units: slow loops, Elephant on the same trains, closed forms, and chance by permutation."""

import itertools
import math
import warnings

import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from population_sources import brain, counts_of_brain, network, random_network, trials_as_segments

import ann2neo
from ann2neo import figures, population
from ann2neo.errors import AnalysisError, Ann2NeoWarning

with warnings.catch_warnings():
    from elephant import spike_train_correlation as elephant_correlation
    from elephant.conversion import BinnedSpikeTrain

pytestmark = pytest.mark.filterwarnings("ignore:::elephant.*")


def pearson(a, b):
    """Pearson's correlation of two lists, NaN where one is constant."""
    x, y = [v - math.fsum(a) / len(a) for v in a], [v - math.fsum(b) / len(b) for v in b]
    if max(map(abs, x)) < 1e-9 * max(map(abs, a)) + 1e-300 or max(map(abs, y)) < 1e-9 * max(map(abs, b)) + 1e-300:
        return math.nan
    return math.fsum(p * q for p, q in zip(x, y)) / math.sqrt(math.fsum(p * p for p in x) * math.fsum(q * q for q in y))


def slow_correlations(rates, labels):
    """Signal, noise and raw correlation of every pair by hand."""
    names = sorted(set(labels))
    members = [[i for i, label in enumerate(labels) if label == name] for name in names]
    means = [[math.fsum(unit[i] for i in mine) / len(mine) for mine in members] for unit in rates]
    rest = [[r - mean[names.index(label)] for r, label in zip(unit, labels)] for unit, mean in zip(rates, means)]
    rest = [[0.0 if abs(r) < 1e-12 * max(unit) else r for r in of_unit] for of_unit, unit in zip(rest, rates)]
    return [np.array([[pearson(a, b) for b in each] for a in each]) for each in (means, rest, rates)]


@pytest.mark.parametrize("source", ["network", "brain", "segments"])
def test_correlations_are_slow_loops(source):
    """Signal, noise and raw correlation of every pair are those of plain loops over trials, on networks and brains."""
    if source == "network":
        spikes = random_network(n_passes=2, n_first=3)
        rates = np.concatenate([spikes.raster("a"), spikes.raster("b")]).astype(float)
        labels = spikes.trials["label"].to_numpy()
    elif source == "brain":
        spikes = brain()
        counts, labels, durations = counts_of_brain(spikes)
        rates = counts / durations
    else:
        spikes = trials_as_segments()
        rates = np.array([[len(s.spiketrains[unit]) for s in spikes.segments] for unit in range(4)], float)
        labels = np.array([s.annotations["label"] for s in spikes.segments])
    found = population.correlations(spikes, n_permutations=0)
    for kind, expected in zip(("signal", "noise", "raw"), slow_correlations(rates.tolist(), labels.tolist())):
        np.testing.assert_allclose(getattr(found, kind), expected, atol=1e-9, err_msg=kind)
    assert found.n_trials.sum() == len(labels)


def test_raw_correlation_in_single_bins_is_elephants():
    """Where trials are bins, the correlation over trials is Elephant's correlation coefficient of the trains."""
    recording = random_network()
    trains = ann2neo.to_block(recording).segments[0].spiketrains
    expected = elephant_correlation.correlation_coefficient(BinnedSpikeTrain(list(trains)[2:], bin_size=1 * pq.ms))
    np.testing.assert_allclose(population.correlations(recording).raw[2:, 2:], expected, atol=1e-12)


def test_signal_and_noise_are_told_apart():
    """Units with the same tuning and independent noise have signal correlation, units with shared noise and no tuning have noise correlation."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(10), 400)
    tuned = rng.random((2, 4000)) < (0.2 + 0.06 * labels)
    shared = rng.random(4000) < 0.5
    driven = np.where(rng.random((2, 4000)) < 0.8, shared, rng.random((2, 4000)) < 0.5)
    found = population.correlations(network(np.concatenate([tuned, driven]), labels), n_permutations=20)
    assert found.signal[0, 1] > 0.95
    assert abs(found.noise[0, 1]) < 4 * found.noise_null_sd[0, 1]
    assert found.noise[2, 3] == pytest.approx(0.64, abs=0.05)
    # Without tuning, means over trials hold what the trials hold: the null knows it.
    assert found.signal_null_mean[2, 3] == pytest.approx(found.raw[2, 3], abs=0.15)
    assert found.summary().set_index("kind").loc["signal", "n_pairs"] == 6


def test_identical_units_are_correlated_fully_and_constant_ones_not_at_all():
    """Twins have correlation 1 in both parts; silent and saturated units have none, also with themselves."""
    recording = random_network()
    dense = recording.raster("a")[[0, 1, 4, 4]]
    found = population.correlations(network(dense, recording.trials["label"]))
    for values in (found.signal, found.noise, found.raw):
        assert np.isnan(values[:2]).all()
        assert np.isnan(values[:, :2]).all()
        np.testing.assert_allclose(values[2:, 2:], 1)


def test_the_null_of_the_noise_correlation_is_exact():
    """Permuting one unit's trials within labels, in every way, gives noise correlations of mean 0 and the standard deviation that is told."""
    a, b, labels = [1, 0, 0, 1, 0, 2, 1], [2, 0, 1, 0, 0, 1, 3], [0, 0, 0, 1, 1, 1, 1]
    seen = []
    for first in itertools.permutations(range(3)):
        for second in itertools.permutations(range(3, 7)):
            moved = [b[i] for i in (*first, *second)]
            seen.append(slow_correlations([a, moved], labels)[1][0, 1])
    found = population.correlations(_counts_as_block([a, b], labels), n_permutations=0)
    assert np.mean(seen) == pytest.approx(0, abs=1e-12)
    assert found.noise_null_sd[0, 1] == pytest.approx(np.std(seen))


def _counts_as_block(counts, labels):
    """A Block with so many spikes in each trial, which are its segments."""
    block = neo.Block()
    for trial, label in enumerate(labels):
        segment = neo.Segment()
        segment.annotate(label=str(label))
        for unit in counts:
            segment.spiketrains.append(neo.SpikeTrain(np.linspace(0.1, 0.9, unit[trial]), units="s", t_stop=1.0))
        block.segments.append(segment)
    return block


def test_the_null_of_the_signal_correlation_is_wide():
    """Untuned independent units over K labels have signal correlations of mean near 0 and spread near 1 / sqrt(K - 1), and the observed ones lie within."""
    rng = np.random.default_rng(1)
    recording = network(rng.random((30, 1000)) < 0.4, np.arange(1000) % 10)
    found = population.correlations(recording, n_permutations=100, seed=3)
    sd = found.signal_null_sd[found.different]
    assert sd.mean() == pytest.approx(1 / 3, abs=0.02)
    z = (found.signal - found.signal_null_mean)[found.different] / sd
    assert z.std() == pytest.approx(1, abs=0.15)
    summary = found.summary().set_index("kind").loc["signal"]
    assert abs(summary["mean"] - summary["null_mean"]) < 4 * summary["null_sd"]
    again = population.correlations(recording, n_permutations=100, seed=3)
    np.testing.assert_array_equal(again.signal_null, found.signal_null)


def test_stimuli_over_passes_separate_the_networks_own_noise():
    """With every input its own label, noise is what differs between passes of the same input."""
    rng = np.random.default_rng(2)
    drive, common = rng.random(200), rng.random(200 * 6) < 0.5
    drive = np.tile(drive, 6)
    noisy = np.stack([np.where(rng.random(1200) < 0.6, common, rng.random(1200) < drive) for _ in range(2)])
    found = population.correlations(network(noisy, n_passes=6), by="stimulus_id", n_permutations=0)
    assert len(found.labels) == 200
    expected = slow_correlations(noisy.astype(float).tolist(), np.tile(np.arange(200), 6).tolist())
    assert found.noise[0, 1] == pytest.approx(expected[1][0, 1])
    assert found.noise[0, 1] > 5 * found.noise_null_sd[0, 1]


@pytest.mark.parametrize("block", [1, 3, 50])
def test_blocks_agree_with_the_whole(block):
    """The blocks tile the upper half of the matrices, nulls included."""
    recording = random_network(n_first=4)
    whole = population.correlations(recording, n_permutations=10)
    seen = np.zeros((7, 7), int)
    names = {key: i for i, key in enumerate(zip(whole.rows["layer"], whole.rows["unit"]))}
    n_pairs = 0
    for part in population.correlation_blocks(recording, block=block, n_permutations=10):
        i = [names[key] for key in zip(part.rows["layer"], part.rows["unit"])]
        j = [names[key] for key in zip(part.columns["layer"], part.columns["unit"])]
        seen[np.ix_(i, j)] += 1
        n_pairs += len(part.pairs())
        for kind in ("signal", "noise", "raw", "signal_null_mean", "signal_null_sd", "noise_null_sd"):
            np.testing.assert_allclose(getattr(part, kind), getattr(whole, kind)[np.ix_(i, j)], atol=1e-7)
    assert (seen[np.triu_indices(7)] == 1).all()
    assert n_pairs == len(whole.pairs()) == 21


def test_a_permutation_of_trials_changes_no_correlation():
    """The order of inputs plays no part."""
    recording = random_network(n_passes=2)
    a, b = (
        population.correlations(recording, n_permutations=0),
        population.correlations(recording.arrange("label"), n_permutations=0),
    )
    for kind in ("signal", "noise", "raw"):
        np.testing.assert_allclose(getattr(a, kind), getattr(b, kind), atol=1e-12)


def test_too_few_labels_are_refused():
    """One label has no signal, labels with one trial each have no noise."""
    with pytest.raises(AnalysisError, match="two labels"):
        population.correlations(random_network(n_labels=1))
    with pytest.raises(AnalysisError, match="two trials"):
        population.correlations(network(np.eye(3), [0, 1, 2]))


def test_covariance_is_that_of_all_bins():
    """Over several passes, and over segments of a brain, it is numpy's covariance of all bins one after another; one unit and silent units too."""
    recording = random_network(n_passes=3)
    dense = recording.raster("a")
    np.testing.assert_allclose(population.covariance(recording), np.cov(dense), atol=1e-12)
    assert population.covariance(recording, units=1).shape == (1, 1)
    block, counts = brain(), []
    for segment in block.segments:
        start, n_bins = float(segment.t_start), int(float(segment.t_stop - segment.t_start) / 0.05 + 1e-9)
        edges = start + np.arange(n_bins + 1) * 0.05
        counts.append([np.histogram(train.magnitude, edges)[0] for train in segment.spiketrains])
    found = population.covariance(block, bin_size=50 * pq.ms)
    np.testing.assert_allclose(found, np.cov(np.concatenate(counts, axis=1)), atol=1e-12)
    one = list(block.segments[0].spiketrains)
    expected = elephant_correlation.covariance(BinnedSpikeTrain(one, bin_size=50 * pq.ms))
    np.testing.assert_allclose(population.covariance(one, bin_size=50 * pq.ms), expected, rtol=1e-12)
    with pytest.raises(AnalysisError, match="needs two"):
        population.covariance(block, bin_size=60 * pq.s)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([0.5, 1.5, 2.5]))
def test_tiling_on_a_lattice_is_elephants(seed, n_bins, dt):
    """For every rate, silent and saturated units too, the coefficient is Elephant's, by either engine."""
    rng = np.random.default_rng(seed)
    recording = network(rng.random((5, n_bins)) < np.array([0, 0.05, 0.3, 0.8, 1])[:, None], bin_size_ms=2.0)
    trains = ann2neo.to_block(recording).segments[0].spiketrains
    found = population.spike_time_tiling(recording, dt=2 * dt * pq.ms).to_numpy()
    called = population.spike_time_tiling(recording, dt=2 * dt * pq.ms, engine="elephant").to_numpy()
    for i, j in itertools.product(range(5), repeat=2):
        expected = elephant_correlation.spike_time_tiling_coefficient(trains[i], trains[j], dt=2 * dt * pq.ms)
        assert found[i, j] == pytest.approx(expected, nan_ok=True)
        assert called[i, j] == pytest.approx(expected, nan_ok=True)


def slow_tiling(trains_a, trains_b, borders, dt):
    """The coefficient over several segments by plain loops."""
    near, n, tiled = [0, 0], [0, 0], [0.0, 0.0]
    for a, b, (start, stop) in zip(trains_a, trains_b, borders):
        for side, (x, y) in enumerate(((a, b), (b, a))):
            n[side] += len(x)
            near[side] += sum(any(abs(s - t) <= dt for t in y) for s in x)
            end = start
            for t in x:
                tiled[side] += max(0.0, min(t + dt, stop) - max(t - dt, end))
                end = max(end, min(t + dt, stop))
    total = sum(stop - start for start, stop in borders)
    (pa, pb), (ta, tb) = (near[0] / n[0], near[1] / n[1]), (tiled[0] / total, tiled[1] / total)
    return ((pa - tb) / (1 - pa * tb) + (pb - ta) / (1 - pb * ta)) / 2


def test_tiling_pools_segments_without_reaching_across():
    """Over segments of a brain it is a plain loop, and a silent unit has none."""
    block = brain(n_units=4, rate=8.0)
    found = population.spike_time_tiling(block, dt=20 * pq.ms).to_numpy()
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
    borders = [(float(s.t_start), float(s.t_stop)) for s in block.segments]
    for i, j in itertools.product((0, 2, 3), repeat=2):
        trains = [[s.spiketrains[u].magnitude.tolist() for s in block.segments] for u in (i, j)]
        assert found[i, j] == pytest.approx(slow_tiling(*trains, borders, 0.02), abs=1e-9)
    assert np.diag(found)[[0, 2, 3]] == pytest.approx(1)


def test_tiling_cuts_trials_of_several_bins():
    """A spike in the last bin of a trial does not coincide with one in the first bin of the next."""
    dense = np.zeros((2, 20), bool)
    dense[0, 9], dense[1, 10] = True, True
    cut = population.spike_time_tiling(network(dense, lengths=np.array([10, 10])), dt=1.5 * pq.ms)
    whole = population.spike_time_tiling(network(dense), dt=1.5 * pq.ms)
    assert cut.iloc[0, 1] < 0 < whole.iloc[0, 1]


def test_tiling_of_independent_units_is_near_zero_also_in_long_recordings():
    """At 1,000 s Elephant's relative tolerance reaches further than dt; ours does not, and its engine is refused there."""
    rng = np.random.default_rng(0)
    trains = [neo.SpikeTrain(np.sort(rng.random(4000) * 1000), units="s", t_stop=1000.0) for _ in range(2)]
    assert abs(population.spike_time_tiling(trains, dt=5 * pq.ms).iloc[0, 1]) < 0.02
    assert elephant_correlation.spike_time_tiling_coefficient(*trains, dt=5 * pq.ms) > 0.02
    with pytest.raises(AnalysisError, match="tolerance"):
        population.spike_time_tiling(trains, dt=5 * pq.ms, engine="elephant")
    lattice = network(rng.random((2, 20_000)) < 0.3)
    assert abs(population.spike_time_tiling(lattice).iloc[0, 1]) < 0.03


def test_tiling_needs_a_window_that_means_something():
    """Whole numbers of bins are refused with a cure, and continuous time needs a dt."""
    with pytest.raises(AnalysisError, match=r"half-integer[\s\S]*dt=2.5"):
        population.spike_time_tiling(random_network(), dt=2 * pq.ms)
    with pytest.raises(AnalysisError, match="no dt was given"):
        population.spike_time_tiling(brain())
    with pytest.raises(AnalysisError, match="not positive"):
        population.spike_time_tiling(brain(), dt=0 * pq.ms)


def test_matrices_of_gigabytes_are_refused_with_a_subset_that_fits():
    """The message gives the size and the number of units that would fit, and that number fits."""
    recording = random_network(n_units=40)
    for function in (population.correlations, population.covariance, population.spike_time_tiling):
        with pytest.raises(AnalysisError, match=r"40 x 40 units.* need [\s\S]*units=(\d+)") as refused:
            function(recording, max_bytes=100_000)
        n = int(str(refused.value).split("units=")[1].split()[0])
        assert 2 <= n < 40
        function(recording, units=n, max_bytes=100_000)


def test_matrices_of_hundreds_of_megabytes_are_announced(monkeypatch):
    """The size is said first."""
    monkeypatch.setattr("ann2neo.population.sizes.SAY_BYTES", 1000)
    with pytest.warns(Ann2NeoWarning, match="7 x 7 units over 60 trials will take"):
        population.correlations(random_network(), n_permutations=0)


def test_the_figure_shows_signal_below_and_noise_above():
    """Every pixel is its number; a block off the diagonal is refused."""
    found = population.correlations(random_network(), n_permutations=5)
    ax = figures.correlation_matrix(found).ax
    image = ax.images[0].get_array()
    assert image[5, 3] == found.signal[5, 3]
    assert image[3, 5] == found.noise[3, 5]
    assert image.mask[0].all()
    assert "chance, median pair: signal" in ax.get_xlabel()
    assert figures.png(ax).startswith(b"\x89PNG")
    *_, last = population.correlation_blocks(random_network(), block=4)
    figures.correlation_matrix(last)
    with pytest.raises(AnalysisError, match="diagonal"):
        figures.correlation_matrix(list(population.correlation_blocks(random_network(), block=4))[1])


def test_pairs_list_every_pair_once():
    """Each row of the list is the entry of the matrices."""
    found = population.correlations(random_network(n_first=3), n_permutations=3)
    pairs = found.pairs()
    assert len(pairs) == 21
    row = pairs[(pairs["layer_a"] == "a") & (pairs["unit_a"] == 2) & (pairs["layer_b"] == "b") & (pairs["unit_b"] == 1)]
    assert row["noise"].item() == found.noise[2, 4]
    assert isinstance(found.summary(), pd.DataFrame)


def test_means_that_differ_by_rounding_alone_are_equal():
    """A unit with one spike in ten trials of each of seven labels has no signal, though the mean of seven tenths is not a tenth."""
    labels = np.repeat(np.arange(7), 10)
    dense = np.stack([np.arange(70) % 10 == 3, np.random.default_rng(0).random(70) < 0.4])
    found = population.correlations(network(dense, labels), n_permutations=0)
    assert np.isnan(found.signal[0]).all()
    assert np.isfinite(found.noise).all()


def test_spikes_exactly_dt_apart_coincide():
    """The window of coincidence is closed on both sides, as Elephant's."""
    for times in ([1.0], [1.0, 3.8], [0.2, 2.0], [0.2, 1.0, 2.0, 3.8]):
        a, b = neo.SpikeTrain(times, units="s", t_stop=4.0), neo.SpikeTrain([1.5], units="s", t_stop=4.0)
        expected = elephant_correlation.spike_time_tiling_coefficient(a, b, dt=500 * pq.ms)
        found = population.spike_time_tiling([a, b], dt=500 * pq.ms).iloc[0, 1]
        assert found == pytest.approx(expected)
        assert population.spike_time_tiling([a, b], dt=499 * pq.ms).iloc[0, 1] < 0 < found
