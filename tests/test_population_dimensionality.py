"""Dimensionality: loops over all choices of inputs, eigenvalues, known covariances by simulation, chance by enumeration, false alarms, and what is undefined."""

import itertools

import numpy as np
import pandas as pd
import pytest
from population_sources import brain, network, random_network, trials_of_brain

import ann2neo
from ann2neo.errors import AnalysisError, WindowError
from ann2neo.population import dimensionality
from ann2neo.population.participation import Responses, moments, noise_traces, signal_traces

SIGNAL, NOISE = "signal_dimensionality", "noise_dimensionality"


def responses(counts, size, duration=None):
    """Rows sorted by class, of equal duration unless they are given."""
    duration = np.ones(len(counts)) if duration is None else duration
    return Responses(counts=np.asarray(counts, np.int64), duration=duration, size=np.asarray(size))


def loop_over_choices(rates, size):
    """All four traces as means over choices of four different inputs, one at a time."""
    k, gram, label = len(size), rates @ rates.T, np.repeat(range(len(size)), size)
    of = [np.flatnonzero(label == each) for each in range(k)]

    def mean(classes, kernel):
        chosen = (c for c in itertools.product(*(of[each] for each in classes)) if len(set(c)) == 4)
        return np.mean([kernel(*each) for each in chosen])

    h, w = np.eye(k) - 1 / k, (np.array(size) - 1) / (sum(size) - k)
    found = np.zeros(4)
    for a, b, c, d in itertools.product(range(k), repeat=4):
        found[0] += h[a, b] * h[c, d] * mean((a, b, c, d), lambda i, j, p, q: gram[i, j] * gram[p, q])
        found[1] += h[a, b] * h[c, d] * mean((a, b, c, d), lambda i, j, p, q: gram[i, p] * gram[j, q])
    for a, b in itertools.product(range(k), repeat=2):
        gaps = (a, a, b, b)
        found[2] += w[a] * w[b] * mean(gaps, lambda i, j, p, q: _dot(rates, i, j, i, j) * _dot(rates, p, q, p, q) / 4)
        found[3] += w[a] * w[b] * mean(gaps, lambda i, j, p, q: _dot(rates, i, j, p, q) ** 2 / 4)
    return found


def _dot(rates, i, j, p, q):
    return (rates[i] - rates[j]) @ (rates[p] - rates[q])


def plugin(covariance):
    """Participation ratio of a covariance, by its eigenvalues."""
    values = np.linalg.eigvalsh(covariance)
    return values.sum() ** 2 / (values**2).sum()


def parts_of(rates, label):
    """Covariance of class means, and the pooled one within classes, by NumPy."""
    means = np.array([rates[label == each].mean(axis=0) for each in np.unique(label)])
    rest = np.concatenate([rates[label == each] - m for each, m in zip(np.unique(label), means)])
    return np.cov(means.T, bias=True), rest.T @ rest / (len(rates) - len(means))


@pytest.mark.parametrize("n_units", [4, 30])
@pytest.mark.parametrize("unequal", [False, True])
def test_traces_are_means_over_all_choices(n_units, unequal):
    """Fewer units than inputs (covariances of units) and more (products of inputs); classes and durations of unequal size."""
    rng, size = np.random.default_rng(n_units), [4, 5, 4]
    duration = rng.integers(3, 6, 13).astype(float) if unequal else np.full(13, 3.0)
    counts = rng.integers(0, 4, (13, n_units))
    found = moments(responses(counts, size, duration))
    rates = counts / duration[:, None] if unequal else counts
    np.testing.assert_allclose([*signal_traces(found), *noise_traces(found)], loop_over_choices(rates, size), rtol=1e-9)


def test_plugins_are_those_of_eigenvalues():
    """Inputs of unequal length in two passes, unlabelled ones left out; variance without bias from its definition."""
    rng, lengths = np.random.default_rng(1), np.array([1, 3, 2, 2, 1, 3, 2, 1, 2, 3, 2, 2, 1, 2])
    label = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 2, 2, -1, 2])
    recording = network(rng.random((6, 2 * lengths.sum())) < 0.4, label, n_passes=2, lengths=lengths, n_first=4)
    found = dimensionality(recording, n_permutations=5)
    of_bin = np.tile(np.repeat(np.arange(14), lengths), 2)
    for row in found.itertuples():
        dense = recording.raster(row.layer)
        rates = np.array([dense[:, of_bin == each].mean(axis=1) for each in range(14)])[label >= 0]
        signal, noise = parts_of(rates, label[label >= 0])
        assert row.signal_dimensionality_plugin == pytest.approx(plugin(signal))
        assert row.noise_dimensionality_plugin == pytest.approx(plugin(noise))
        own = [np.cov(rates[label[label >= 0] == each].T) for each in range(3)]
        less = sum(np.trace(each) / n for each, n in zip(own, (5, 5, 3))) * (1 - 1 / 3) / 3
        assert row.signal_variance == pytest.approx(np.trace(signal) - less)
        assert np.isnan(row.noise_dimensionality)
    assert found[["n_units", "n_inputs", "n_classes"]].to_numpy().tolist() == [[4, 13, 3], [2, 13, 3]]


def known_population(rng, n_units=6, n_patterns=5):
    """Three classes, each with equally probable patterns: true means and covariances are exact."""
    patterns = rng.random((3, n_patterns, n_units)) < rng.random((3, 1, n_units))
    means = patterns.mean(axis=1)
    return patterns, np.cov(means.T, bias=True), [np.cov(each.T, bias=True) for each in patterns]


def test_known_covariances_are_estimated_without_bias():
    """Means over simulated recordings lie within 4 standard errors of the true traces; those of the plug-ins do not."""
    rng, size = np.random.default_rng(2), np.array([4, 6, 5])
    patterns, signal, within = known_population(rng)
    noise = sum(w * each for w, each in zip((size - 1) / 12, within))
    found, plain = [], []
    for _ in range(1200):
        counts = np.concatenate([each[rng.integers(0, 5, n)] for each, n in zip(patterns, size)])
        own = moments(responses(counts, size))
        found.append([*(value / k for value, k in zip(signal_traces(own), (9, 9))), *noise_traces(own)])
        for_plugin = parts_of(counts.astype(float), np.repeat(range(3), size))
        plain.append([value for each in for_plugin for value in (np.trace(each) ** 2, (each**2).sum())])
    true = [value for each in (signal, noise) for value in (np.trace(each) ** 2, (each**2).sum())]
    off = (np.mean(found, axis=0) - true) / (np.std(found, axis=0) / np.sqrt(1200))
    assert (np.abs(off) < 4).all()
    off = (np.mean(plain, axis=0) - true) / (np.std(plain, axis=0) / np.sqrt(1200))
    assert (off[[0, 1, 3]] > 10).all()


def test_the_ratio_is_corrected():
    """Sixty independent units seen in few inputs: the plug-in of noise is far too small, that of a signal of one dimension too large; the corrected ones are not."""
    rng, found = np.random.default_rng(3), []
    label, tuned = np.repeat([0, 1, 2], 12), np.arange(60) < 20
    rate = 0.4 + np.where(tuned, 1, 0) * np.array([-0.15, 0.0, 0.15])[label][:, None]
    for _ in range(60):
        found.append(dimensionality(network((rng.random((36, 60)) < rate).T, label), n_permutations=0).iloc[0])
    mean = pd.DataFrame(found)[[SIGNAL, f"{SIGNAL}_plugin", NOISE, f"{NOISE}_plugin"]].astype(float).mean()
    assert mean[f"{NOISE}_plugin"] < 30
    assert mean[NOISE] == pytest.approx(60, rel=0.08)
    assert mean[f"{SIGNAL}_plugin"] > 1.4
    assert mean[SIGNAL] == pytest.approx(1, abs=0.12)


def test_chance_is_that_of_all_exchanges():
    """With many exchanges, mean, sd and p come near those of all ways to deal classes to inputs."""
    rng, label = np.random.default_rng(4), np.array([0, 0, 0, 1, 1, 2, 2])
    dense = rng.random((5, 7)) < 0.5
    row = dimensionality(network(dense, label), n_permutations=4000).iloc[0]
    dealt = sorted(set(itertools.permutations(label.tolist())))
    values = np.array([plugin(parts_of(dense.T.astype(float), np.array(each))[0]) for each in dealt])
    margin = 4 / np.sqrt(4000)
    assert row[f"{SIGNAL}_plugin_expected"] == pytest.approx(values.mean(), abs=margin * values.std())
    assert row[f"{SIGNAL}_plugin_sd"] == pytest.approx(values.std(), rel=0.1)
    seen = row[f"{SIGNAL}_plugin"]
    both = min((values >= seen - 1e-9).mean(), (values <= seen + 1e-9).mean())
    assert row[f"{SIGNAL}_plugin_p"] == pytest.approx(min(1, 2 * both), abs=2 * margin * np.sqrt(both * (1 - both)))
    spread = np.array([_variance(dense.T.astype(float), np.array(each)) for each in dealt])
    above = (spread >= _variance(dense.T.astype(float), label) - 1e-9).mean()
    assert row["signal_variance_p"] == pytest.approx(above, abs=margin * np.sqrt(above * (1 - above)) + 1e-3)


def _variance(rates, label):
    n = np.bincount(label)
    own = [np.trace(np.atleast_2d(np.cov(rates[label == each].T))) / n[each] for each in range(n.size)]
    return np.trace(parts_of(rates, label)[0]) - (1 - 1 / n.size) * sum(own) / n.size


def test_classes_that_do_not_matter():
    """False alarms of both tests are as frequent as p says; the variance of the signal is 0 on average; a signal is found."""
    rng, p, variance = np.random.default_rng(5), [], []
    shared = rng.random((8, 40)) < 0.5
    for seed in range(120):
        label = rng.permutation(np.repeat([0, 1, 2], [20, 12, 8]))
        dense = (rng.random((8, 40)) < 0.2) ^ shared
        row = dimensionality(network(dense, label), n_permutations=59, seed=seed).iloc[0]
        p.append(row[[f"{SIGNAL}_plugin_p", "signal_variance_p"]].to_numpy(float))
        variance.append(row["signal_variance"])
    for alpha in (0.05, 0.2):
        rate = (np.array(p) <= alpha).mean(axis=0)
        assert (np.abs(rate - alpha) < 3.5 * np.sqrt(alpha * (1 - alpha) / 120) + 0.02).all()
    assert abs(np.mean(variance)) < 4 * np.std(variance) / np.sqrt(120)
    label = np.repeat([0, 1, 2], 20)
    tuned = rng.random((9, 60)) < 0.2 + 0.4 * (np.arange(9)[:, None] % 3 == label)
    assert dimensionality(network(tuned, label))["signal_variance_p"].iloc[0] < 0.01


@pytest.mark.parametrize("n_units", [9, 90])
def test_sources_and_chunks_give_the_same(n_units, tmp_path, monkeypatch):
    """In a store, in another order, in blocks, of some units; with many classes sparse products, with few full ones."""
    recording = random_network(seed=5, n_units=n_units, n_passes=2, n_first=4)
    found = dimensionality(recording, n_permutations=20)
    ann2neo.save(recording, tmp_path / "r.zarr")
    monkeypatch.setattr("ann2neo.raster.CHUNK_BYTES", 1)
    monkeypatch.setattr("ann2neo.population.participation.CHUNK_BYTES", 1)
    monkeypatch.setattr("ann2neo.population.participation.FEW_CLASSES", 1)
    stored = ann2neo.load(tmp_path / "r.zarr")
    pd.testing.assert_frame_equal(dimensionality(stored, n_permutations=20), found, rtol=1e-9)
    columns = [SIGNAL, f"{SIGNAL}_plugin", "signal_variance", NOISE, f"{NOISE}_plugin"]
    mixed = dimensionality(recording.arrange("shuffled", seed=2), n_permutations=20)
    pd.testing.assert_frame_equal(mixed[columns], found[columns], rtol=1e-9)
    chosen = dimensionality(recording, layer="a", units=[2, 3], n_permutations=0)
    assert chosen[["layer", "n_units"]].to_numpy().tolist() == [["a", 2]]


def test_presentations_of_stimuli_are_responses():
    """By stimulus, noise is what passes add; by label, passes of an input are one response."""
    rng = np.random.default_rng(6)
    recording = network(rng.random((5, 5 * 6)) < 0.5, [0, 0, 0, 1, 1, 1], n_passes=5)
    found = dimensionality(recording, by="stimulus_id", n_permutations=9)
    rates, label = recording.raster("a").T.astype(float), np.tile(np.arange(6), 5)
    assert found[["n_inputs", "n_classes"]].to_numpy().tolist() == [[30, 6]]
    signal, noise = parts_of(rates, label)
    assert found[f"{SIGNAL}_plugin"].iloc[0] == pytest.approx(plugin(signal))
    assert found[f"{NOISE}_plugin"].iloc[0] == pytest.approx(plugin(noise))
    assert dimensionality(recording, n_permutations=0)["n_inputs"].tolist() == [6]


def test_trials_of_cells_are_responses():
    """Rates per second where durations differ, by hand from the spike times."""
    block = brain()
    row = dimensionality(block, by="trials", n_permutations=9).iloc[0]
    trials = trials_of_brain(block)
    rates = np.array(
        [
            [((t.magnitude >= a) & (t.magnitude < b)).sum() / (b - a) for t in block.segments[s].spiketrains]
            for s, a, b, _ in trials
        ]
    )
    signal, noise = parts_of(rates, np.array([name for *_, name in trials]))
    assert row[f"{SIGNAL}_plugin"] == pytest.approx(plugin(signal))
    assert row[f"{NOISE}_plugin"] == pytest.approx(plugin(noise))


def test_what_is_undefined_has_a_reason():
    """Silent layers, one class, small classes, inputs that do not differ, estimates that are not positive; two classes have one dimension."""
    rng, label = np.random.default_rng(7), np.repeat([0, 1], 6)

    def told(dense, label, **options):
        found = dimensionality(network(dense, label), **options)
        reasons = found.attrs["undefined"].get("a", {})
        assert set(found.columns[found.isna().iloc[0]]) == set(reasons)
        return found.iloc[0], reasons

    for dense in (np.zeros((3, 12), bool), np.ones((3, 12), bool)):
        _, reasons = told(dense, label)
        assert (reasons[SIGNAL], reasons[NOISE]) == ("all class means are equal", "inputs of a class do not differ")
    row, reasons = told(rng.random((5, 12)) < 0.5, np.zeros(12, int))
    assert reasons[SIGNAL] == "there are fewer than two classes"
    assert row[f"{NOISE}_plugin"] > 1
    _, reasons = told(rng.random((5, 12)) < 0.5, np.repeat([0, 1, 2], [6, 3, 3]))
    assert reasons == dict.fromkeys((SIGNAL, NOISE), "a class has 3 inputs: 4 are needed")
    _, reasons = told(rng.random((5, 4)) < 0.5, np.arange(4))
    assert reasons["signal_variance"] == "a class has one input: 2 are needed"
    assert reasons["signal_variance_p"].endswith("exchanges change nothing")
    row, reasons = told(np.repeat(np.eye(3, dtype=bool), 4, axis=1), np.repeat([0, 1, 2], 4))
    assert row[SIGNAL] == row[f"{SIGNAL}_plugin"] == pytest.approx(2)
    assert set(reasons) == {NOISE, f"{NOISE}_plugin"}
    _, reasons = told(np.tile([[1, 0], [0, 1]], 4).astype(bool), np.repeat([0, 1], 4), n_permutations=0)
    assert reasons[SIGNAL] == "all class means are equal"
    two, _ = told((rng.random((5, 12)) < 0.5) | (label == 1), label)
    assert two[SIGNAL] == pytest.approx(1)
    assert two[f"{SIGNAL}_plugin_p"] == 1
    noisy = [told(rng.random((4, 15)) < 0.5, np.repeat([0, 1, 2], 5))[1].get(SIGNAL, "") for _ in range(20)]
    assert any("not both positive" in each for each in noisy)
    assert set(told(rng.random((5, 12)) < 0.5, np.full(12, -1))[1].values()) == {"no input has a class"}


def test_refusals():
    """A column that does not exist; too much memory is said before."""
    with pytest.raises(WindowError, match="no column"):
        dimensionality(network(np.eye(4, dtype=bool)))
    with pytest.raises(AnalysisError, match="are allowed"):
        dimensionality(network(np.eye(40, dtype=bool), np.arange(40) % 2), max_bytes=10)
