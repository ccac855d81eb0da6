"""Codewords: SciPy's distances, NumPy's distinct rows, chance by enumeration of all exchanges, bias and false alarms by simulation."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from population_sources import brain, network
from scipy.spatial.distance import cdist

import ann2neo
from ann2neo.errors import AnalysisError, WindowError
from ann2neo.population import codewords, nearest_inputs

COLUMNS = ["nearest_same", "nearest_other", "nearest_same_expected", "nearest_other_expected", "p"]


def by_hand(words, labels):
    """Distances of each row to the nearest of its label and of others, by SciPy; chance over all exchanges of the labels of the other rows."""
    distance = np.rint(cdist(words, words, "hamming") * words.shape[1])
    rows = []
    for i, own in enumerate(labels):
        rest = [j for j in range(len(labels)) if j != i]
        n_same = sum(labels[j] == own for j in rest)
        dealt = [
            (
                min((distance[i, j] for j in chosen), default=np.nan),
                min((distance[i, j] for j in rest if j not in chosen), default=np.nan),
            )
            for chosen in itertools.combinations(rest, n_same)
        ]
        same = min((distance[i, j] for j in rest if labels[j] == own), default=np.nan)
        other = min((distance[i, j] for j in rest if labels[j] != own), default=np.nan)
        gaps = np.array([b - a for a, b in dealt])
        p = np.nan if np.isnan(other - same) else np.mean(gaps >= other - same)
        rows.append((same, other, *np.mean(dealt, axis=0), p))
    return np.array(rows)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 140),
    st.lists(st.integers(-1, 2), min_size=2, max_size=8),
    st.floats(0, 1),
)
def test_distances_are_scipys_and_chance_is_that_of_all_exchanges(seed, n_units, labels, p):
    """Small codewords, with ties, equal ones and labels of one input; unlabelled inputs are left out."""
    labels = np.array(labels)
    words = np.random.default_rng(seed).random((labels.size, n_units)) < p
    if (labels < 0).all():
        return
    found = nearest_inputs(network(words.T, labels))
    known = labels >= 0
    np.testing.assert_allclose(found[COLUMNS], by_hand(words[known], labels[known].tolist()), rtol=1e-9, atol=1e-9)
    assert found["trial"].tolist() == np.flatnonzero(known).tolist()
    np.testing.assert_allclose(found["difference"], found["nearest_other"] - found["nearest_same"])


def test_inputs_of_steps_are_words_of_all_their_bins():
    """Inputs of unequal length are compared with those of their own length; each pass by itself."""
    rng, lengths = np.random.default_rng(1), np.array([3, 2, 3, 3, 2, 3, 2, 2])
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 1])
    recording = network(rng.random((70, 40)) < 0.4, labels, n_passes=2, lengths=lengths)
    found, dense = nearest_inputs(recording), recording.raster("a")
    for number in range(2):
        rows = recording.trials[recording.trials["pass"] == number]
        for length in (2, 3):
            own = rows[lengths == length]
            words = np.array([dense[:, a:b].T.ravel() for a, b in zip(own["start_bin"], own["stop_bin"])])
            one = found[(found["pass"] == number) & (found["n_bits"] == 70 * length)]
            np.testing.assert_allclose(one[COLUMNS], by_hand(words, labels[lengths == length].tolist()), atol=1e-9)
    counted = codewords(recording)
    assert counted["pass"].tolist() == [0, 1]
    assert counted["n_patterns"].tolist() == [8, 8]


def test_patterns_are_numpys_distinct_rows():
    """Number, entropy and equal pairs over several units, more than a word holds, in memory, arranged and in a store."""
    rng = np.random.default_rng(2)
    words = np.repeat(rng.random((30, 100)) < 0.3, rng.integers(1, 5, 30), axis=0)
    counts = np.unique(words, axis=0, return_counts=True)[1]
    share = counts / counts.sum()
    recording = network(words.T, np.arange(len(words)) % 3, n_first=40)
    row = codewords(network(words.T)).iloc[0]
    assert (row["n_patterns"], row["n_inputs"]) == (counts.size, counts.sum())
    assert row["entropy"] == pytest.approx(-(share * np.log2(share)).sum())
    correction = (counts.size - 1) / (2 * counts.sum() * np.log(2))
    assert row["entropy_corrected"] - row["entropy"] == pytest.approx(correction)
    assert row["equal_pairs"] == (counts * (counts - 1) // 2).sum()
    assert row["singleton_share"] == np.mean(np.repeat(counts, counts) == 1)
    arranged = recording.arrange("shuffled", seed=3)
    pd.testing.assert_frame_equal(codewords(arranged), codewords(recording))
    mixed = nearest_inputs(arranged).sort_values(["layer", "stimulus_id"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(mixed.drop(columns="trial"), nearest_inputs(recording).drop(columns="trial"))


def test_a_store_and_small_chunks_give_the_same(tmp_path, monkeypatch):
    """From a file on the disk, a few units at a time, the tables are those of memory."""
    recording = network(np.random.default_rng(3).random((150, 60)) < 0.2, np.arange(60) % 4)
    words, nearest = codewords(recording), nearest_inputs(recording)
    ann2neo.save(recording, tmp_path / "r.zarr")
    monkeypatch.setattr("ann2neo.population.patterns.CHUNK_BYTES", 1)
    stored = ann2neo.load(tmp_path / "r.zarr")
    pd.testing.assert_frame_equal(codewords(stored), words)
    pd.testing.assert_frame_equal(nearest_inputs(stored), nearest)


@pytest.mark.parametrize("length", [1, 2])
def test_equal_pairs_of_independent_units_are_expected(length):
    """Units whose words are dealt to the inputs by themselves have as many equal pairs as expected: no bias."""
    rng = np.random.default_rng(4)
    dense = rng.random((4, 12, length)) < np.array([0.2, 0.5, 0.8, 0.0])[:, None, None]
    lengths = np.full(12, length)
    expected = codewords(network(dense.reshape(4, -1), lengths=lengths))["equal_pairs_expected"].iloc[0]
    seen = []
    for _ in range(4000):
        words = np.concatenate([unit[rng.permutation(12)] for unit in dense], axis=1)
        counts = np.unique(words, axis=0, return_counts=True)[1]
        seen.append((counts * (counts - 1) // 2).sum())
    assert expected == pytest.approx(np.mean(seen), abs=4 * np.std(seen) / np.sqrt(4000))


def test_entropy_has_the_bias_that_is_told():
    """Uniform over 16 patterns, 60 inputs: too low by about 15 / (120 ln 2) bits; the correction takes away nine tenths of it."""
    rng, found = np.random.default_rng(5), []
    for _ in range(150):
        row = codewords(network(rng.random((4, 60)) < 0.5)).iloc[0]
        found.append((row["entropy"] - 4, row["entropy_corrected"] - 4))
    plain, corrected = np.mean(found, axis=0)
    assert plain == pytest.approx(-15 / (120 * np.log(2)), rel=0.25)
    assert abs(corrected) < 0.1 * abs(plain) + 0.015


def test_false_alarms_of_inputs_without_classes():
    """Labels that say nothing: p is at most as often small as it says, and differences are on average what is expected."""
    rng, p, gap = np.random.default_rng(6), [], []
    for _ in range(40):
        found = nearest_inputs(network(rng.random((30, 40)) < 0.3, rng.permutation(np.repeat([0, 1, 2], [20, 15, 5]))))
        p.append(found["p"])
        gap.append((found["difference"] - found["difference_expected"]).mean())
    for alpha in (0.01, 0.05, 0.2):
        rates = (np.array(p) <= alpha).mean(axis=1)
        assert rates.mean() <= alpha + 3.5 * max(rates.std(), 0.01) / np.sqrt(40)
    # Distances tie, which makes p conservative.
    assert (np.array(p) <= 0.2).mean() > 0.03
    assert abs(np.mean(gap)) < 4 * np.std(gap) / np.sqrt(40)


def test_memorized_inputs_stand_out():
    """Inputs that lie with their class have a large difference; those that were put among another class, and those that they were put beside, do not."""
    rng = np.random.default_rng(7)
    prototypes = rng.random((2, 80)) < 0.5
    labels = np.repeat([0, 1], 30)
    words = prototypes[labels] ^ (rng.random((60, 80)) < 0.05)
    labels[:3] = 1
    found = nearest_inputs(network(words.T, labels))
    assert (found["p"][30:] < 0.01).all()
    assert (found["p"][:3] > 0.5).all()
    assert (found["ratio"][30:] < 1).all()
    assert (found["difference"][30:] > found["difference_expected"][30:] + 5).all()


def test_what_says_nothing_is_not_told():
    """Distinct patterns have no entropy, one input has none, a silent layer has one pattern; a stimulus counts once in a pass."""
    distinct = codewords(network(np.eye(20, dtype=bool))).iloc[0]
    assert (distinct["quality"], distinct["n_patterns"], distinct["entropy_max"]) == ("all_distinct", 20, np.log2(20))
    assert np.isnan(distinct[["entropy", "entropy_corrected"]].astype(float)).all()
    silent = codewords(network(np.zeros((3, 8), bool))).iloc[0]
    assert (silent["n_patterns"], silent["entropy"], silent["quality"]) == (1, 0, "good")
    assert silent["equal_pairs"] == silent["equal_pairs_expected"] == 28
    single = codewords(network(np.ones((3, 1), bool))).iloc[0]
    assert single["quality"] == "too_few"
    recording = network(np.eye(6, dtype=bool), [0, 0, 1, 1, 0, 1])
    recording.trials.loc[5, "stimulus_id"] = 0
    assert codewords(recording)["n_inputs"].tolist() == [5]
    assert len(nearest_inputs(recording)) == 5


def test_refusals():
    """Cells have no codewords, a recording without labels no nearest label; too much memory is said before."""
    with pytest.raises(AnalysisError, match="continuous time"):
        codewords(brain())
    with pytest.raises(WindowError, match="no column 'label'"):
        nearest_inputs(network(np.eye(4, dtype=bool)))
    with pytest.raises(AnalysisError, match="are allowed"):
        nearest_inputs(network(np.eye(40, dtype=bool), np.arange(40) % 2), max_bytes=10)
