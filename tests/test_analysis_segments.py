"""Blocks of cells: segments that are trials and segments that are passes, of unequal duration, against plain NumPy."""

from __future__ import annotations

import neo
import numpy as np
import pytest
import quantities as pq

from ann2neo import Around, analyze

LABELS = np.array(list("abcd"))


def block(rates, labels, durations, n_units=30, seed=0, name="label"):
    """One segment per trial: Poisson spikes at a rate in Hz, an Epoch with one interval over all of it."""
    rng, made = np.random.default_rng(seed), neo.Block()
    for rate, label, seconds in zip(rates, labels, durations):
        segment = neo.Segment()
        for _ in range(n_units):
            times = np.sort(rng.random(rng.poisson(rate * seconds))) * seconds
            segment.spiketrains.append(neo.SpikeTrain(times * pq.s, t_stop=seconds * pq.s))
        epoch = neo.Epoch([0] * pq.s, [seconds] * pq.s, labels=np.array([label]), name=name)
        segment.epochs.append(epoch)
        made.segments.append(segment)
    return made


def counts_of(made):
    """Spikes of each unit in each segment, shape (unit, segment)."""
    return np.array([[len(train) for train in segment.spiketrains] for segment in made.segments]).T


def joined(made):
    """The same spikes and intervals in one segment, one trial after another."""
    segment, start, trains = neo.Segment(), 0.0, [[] for _ in made.segments[0].spiketrains]
    starts, durations, labels = [], [], []
    for each in made.segments:
        seconds = float(each.epochs[0].durations[0])
        for unit, train in enumerate(each.spiketrains):
            trains[unit].append(train.magnitude + start)
        starts, durations = [*starts, start], [*durations, seconds]
        labels += list(each.epochs[0].labels)
        start += seconds
    for unit in trains:
        segment.spiketrains.append(neo.SpikeTrain(np.concatenate(unit) * pq.s, t_stop=start * pq.s))
    segment.epochs.append(neo.Epoch(starts * pq.s, durations * pq.s, labels=np.array(labels), name="label"))
    return segment


def test_segments_that_are_trials_are_pooled():
    """One segment per trial of 0.5 s, 4 labels: the Fano factor of the same spikes in one segment, and no window of 0 ms."""
    made = block([20] * 40, LABELS[np.arange(40) % 4], [0.5] * 40)
    table = analyze(made, windows="label", progress=False)
    counts = np.stack([counts_of(made)[:, np.arange(40) % 4 == k].sum(axis=1) for k in range(4)], axis=1)
    np.testing.assert_allclose(table["fano"], counts.var(axis=1) / counts.mean(axis=1), rtol=1e-12)
    labels = np.arange(40) % 4
    mean, error = dealt(counts_of(made)[:, None], labels)
    assert (np.abs(table["fano_expected"] - mean) < 4.5 * error).all()
    assert (table.attrs["segments_are"], table.attrs["n_windows"], table.attrs["window_min_ms"]) == (
        "trials",
        4,
        5000.0,
    )
    one = analyze(joined(made), windows="label", progress=False)
    np.testing.assert_allclose(one["fano"], table["fano"], rtol=1e-12)
    np.testing.assert_allclose(one["label_share_trials"], table["label_share_trials"], rtol=1e-9)


def test_over_passes_each_label_counts_the_segments_that_show_it():
    """With over="passes" a window is a label's segments: those without it are no passes in which the unit was silent."""
    made = block([20] * 40, LABELS[np.arange(40) % 4], [0.5] * 40)
    table = analyze(made, windows="label", over="passes", progress=False)
    counts = counts_of(made)
    own = [counts[:, np.arange(40) % 4 == k] for k in range(4)]
    by_hand = np.mean([c.var(axis=1) / c.mean(axis=1) for c in own], axis=0)
    np.testing.assert_allclose(table["fano"], by_hand, rtol=1e-12)
    np.testing.assert_allclose(table["fano_expected"], 0.9, rtol=1e-9)
    assert table.attrs["segments_are"] == "passes"


def test_over_passes_durations_weigh():
    """Segments of 10 s and 1 s: the expectation is the mean over spikes thrown anew into 11 s, not 1 - 1 / R."""
    made = block([5, 5], ["a", "a"], [10.0, 1.0])
    table = analyze(made, windows="label", over="passes", progress=False)
    n, rng = counts_of(made).sum(axis=1), np.random.default_rng(1)
    for unit in range(5):
        first = rng.binomial(n[unit], 10 / 11, 20_000)
        pair = np.stack([first, n[unit] - first])
        fano = pair.var(axis=0) / pair.mean(axis=0)
        assert abs(fano.mean() - table["fano_expected"][unit]) < 4 * fano.std() / np.sqrt(20_000)
    assert table["fano_expected"].min() > 5


def test_segments_with_several_labels_are_passes():
    """A segment in which two labels occur is a pass; a label that one of them lacks is no silent window of it."""
    made = neo.Block()
    for labels in (["a", "b"], ["a", "b"], ["a", "c"]):
        segment = neo.Segment()
        segment.spiketrains.append(neo.SpikeTrain([0.1, 0.2, 1.5] * pq.s, t_stop=2 * pq.s))
        segment.epochs.append(neo.Epoch([0, 1] * pq.s, [1, 1] * pq.s, labels=np.array(labels), name="label"))
        made.segments.append(segment)
    table = analyze(made, windows="label", progress=False)
    assert table.attrs["segments_are"] == "passes"
    assert table["fano"][0] == pytest.approx(0.25 / 1.5)
    assert table["fano_expected"][0] == pytest.approx(0.5)


def dealt(counts, labels, n_draws=4000):
    """Mean over trials dealt to labels, and its standard error, of the Fano factor over labels; counts of shape (unit, pass, trial)."""
    rng, drawn = np.random.default_rng(1), []
    for _ in range(n_draws):
        own = rng.permutation(labels)
        sums = np.stack([counts[..., own == c].sum(axis=2) for c in np.unique(labels)], axis=2)
        drawn.append((sums.var(axis=2) / sums.mean(axis=2)).mean(axis=1))
    return np.mean(drawn, axis=0), np.std(drawn, axis=0) / np.sqrt(n_draws)


@pytest.mark.parametrize("n_segments", [1, 3])
def test_the_factor_of_cells_is_held_against_trials_dealt_to_labels(n_segments):
    """Trials of unequal gain and duration, in one segment or in three that are passes: spikes of a trial stay together, as in the test."""
    rng, labels, made, counts = np.random.default_rng(5), np.arange(24) % 3, neo.Block(), []
    for number in range(n_segments):
        one = block(rng.gamma(1, 20, 24), LABELS[labels], rng.uniform(0.2, 0.8, 24), n_units=6, seed=number)
        made.segments.append(joined(one))
        counts.append(counts_of(one))
    table = analyze(made, windows="label", tests=True, progress=False)
    assert table.attrs["segments_are"] == "passes" or n_segments == 1
    mean, error = dealt(np.stack(counts, axis=1), labels)
    assert (np.abs(table["fano_expected"] - mean) < 4.5 * error).all()
    assert (mean > 2).all(), "spikes thrown into the windows one by one would give two thirds"


def test_one_interval_of_each_label_is_held_against_poisson():
    """Nothing can be dealt: spikes are thrown into the windows, as by the test over them."""
    made = block([20, 10, 30], ["a", "b", "c"], [1.0, 2.0, 3.0])
    table = analyze(made, windows="label", progress=False)
    n, f = counts_of(made).sum(axis=1), np.array([1, 2, 3]) / 6
    drawn = np.random.default_rng(0).multinomial(n, f, (4000, n.size))
    fano = drawn.var(axis=2) / drawn.mean(axis=2)
    assert (np.abs(fano.mean(axis=0) - table["fano_expected"]) < 4.5 * fano.std(axis=0) / np.sqrt(4000)).all()


@pytest.mark.parametrize("how", ["label", "within", "windows"])
def test_trials_that_differ_in_gain_have_no_trend(how):
    """Each trial has a gain of its own: its spikes are no evidence one by one (37 to 47 % were rejected at 5 %). A rate that grows is found."""
    options = {"label": {"windows": "label"}, "within": {"within": "label"}, "windows": {"windows": 500 * pq.ms}}[how]
    rng, segment = np.random.default_rng(2), neo.Segment()
    gains = np.concatenate([rng.gamma(1, 20, (120, 40)), np.tile(20 + np.arange(40.0), (20, 1))])
    for unit in gains:
        n = rng.poisson(unit / 2)
        times = np.sort(np.repeat(np.arange(40) / 2, n) + rng.random(n.sum()) / 2)
        segment.spiketrains.append(neo.SpikeTrain(times * pq.s, t_stop=20 * pq.s))
    names = LABELS[np.arange(40) % 4]
    segment.epochs.append(neo.Epoch(np.arange(40) / 2 * pq.s, [0.5] * 40 * pq.s, labels=names, name="label"))
    p = analyze(segment, tests=True, progress=False, **options)["stationarity_p"]
    assert np.mean(p[:120] <= 0.05) < 0.05 + 3.5 * np.sqrt(0.05 / 120)
    assert np.mean(p[120:] <= 0.05) > 0.9


def test_overlapping_trials_have_no_trend_to_test():
    """Windows around events that share spikes tell each other's counts: the trend is undefined."""
    made = block([20], ["a"], [10.0], n_units=2)
    made.segments[0].epochs = [
        neo.Epoch(np.arange(9) * pq.s, [1.0] * 9 * pq.s, labels=np.array(["a"] * 9), name="trials")
    ]
    apart = analyze(made, windows=Around("start_time", 0 * pq.s, 1 * pq.s), tests=True, progress=False)
    over = analyze(made, windows=Around("start_time", 0 * pq.s, 1.5 * pq.s), tests=True, progress=False)
    assert apart["stationarity_p"].notna().all()
    assert over["stationarity_p"].isna().all()


@pytest.mark.parametrize("n_labels", [2, pytest.param(4, marks=pytest.mark.slow("more labels of the same"))])
def test_untuned_cells_whose_gain_fluctuates_are_not_called_tuned(n_labels):
    """Trials of unequal gain and duration, labels at random: the test over labels deals trials, and keeps its level."""
    rng = np.random.default_rng(3)
    labels, durations = LABELS[rng.integers(0, n_labels, 60)], rng.uniform(0.3, 0.8, 60)
    made = block(rng.gamma(2, 10, 60), labels, durations, n_units=30)
    table = analyze(made, windows="label", tests=True, progress=False)
    # All units share their gains, so that the level is checked over blocks.
    shares = []
    for seed in range(12):
        gains = np.random.default_rng(100 + seed).gamma(2, 10, 60)
        own = block(gains, np.random.default_rng(seed).permutation(labels), durations, n_units=8, seed=seed)
        found = analyze(own, windows="label", tests=True, progress=False)
        shares.append(np.mean(found["overdispersion_p"] <= 0.05))
    assert np.mean(shares) < 0.05 + 3.5 * np.std(shares) / np.sqrt(12)
    assert table["overdispersion_p"].notna().all()


def test_two_intervals_of_cells_are_held_against_poisson():
    """With one interval per label nothing can be dealt; the reference of cells is Poisson, and its test stays."""
    made = block([20, 20], ["left", "right"], [5.0, 5.0], n_units=150)
    table = analyze(made, windows="label", tests=True, progress=False)
    for level in (0.05, 0.01):
        assert np.mean(table["dispersion_p"] <= level) < level + 4 * np.sqrt(level / 150)
    assert table["overdispersion_p"].notna().all()
