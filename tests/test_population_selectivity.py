"""Selectivity for classes: plain loops, chance by enumeration of all exchanges, false alarms, and what is refused."""

import itertools

import numpy as np
import pandas as pd
import pytest
from population_sources import brain, network, random_network

import ann2neo
from ann2neo.errors import AnalysisError, WindowError
from ann2neo.population import selectivity
from ann2neo.population.selectivity import selectivity_of_rates

NAMES = ("class_selectivity", "class_sparseness")


def by_hand(rates):
    """Both measures of one unit's class means, number by number."""
    rates = list(rates)
    if not any(rates):
        return np.nan, np.nan
    largest, k = max(rates), len(rates)
    others = (sum(rates) - largest) / (k - 1)
    sparse = (1 - (sum(rates) / k) ** 2 / (sum(r * r for r in rates) / k)) / (1 - 1 / k)
    return (largest - others) / (largest + others), sparse


def test_values_are_those_of_a_loop():
    """Class means over all bins of all passes, inputs of unequal length, unlabelled ones left out, more units than a word has bits."""
    lengths = np.array([1, 3, 2, 2, 1, 3, 2, 1, 2, 3])
    recording = random_network(seed=3, n_units=70, n_passes=2, lengths=lengths)
    labels = np.array([0, 0, 1, 1, 2, 2, 2, -1, 0, 1])
    recording.trials["label"] = np.tile(labels, 2)
    found, dense = selectivity(recording, n_permutations=3), recording.raster("a")
    of_bin = np.repeat(np.tile(labels, 2), np.tile(lengths, 2))
    for unit, row in zip(dense, found.itertuples()):
        rates = [unit[of_bin == label].mean() for label in range(3)]
        np.testing.assert_allclose((row.class_selectivity, row.class_sparseness), by_hand(rates), atol=1e-12)
        assert row.n_spikes == unit[of_bin >= 0].sum()
        assert row.preferred == np.argmax(rates)


def test_chance_is_that_of_all_exchanges():
    """With many exchanges the mean and p come near those of all ways to deal classes to inputs, each with all its bins."""
    rng = np.random.default_rng(0)
    lengths, labels = np.array([2, 1, 1, 2, 1, 1, 2]), np.array([0, 0, 0, 1, 1, 1, 1])
    recording = network(rng.random((3, 10)) < 0.4, labels, lengths=lengths)
    found, dense, input_of = (
        selectivity(recording, n_permutations=4000),
        recording.raster("a"),
        np.repeat(np.arange(7), lengths),
    )
    for unit, row in zip(dense, found.to_dict("records")):
        dealt = []
        for chosen in itertools.combinations(range(7), 3):
            inside = np.isin(input_of, chosen)
            dealt.append(by_hand([unit[inside].mean(), unit[~inside].mean()]))
        for name, values in zip(NAMES, np.array(dealt).T):
            assert row[f"{name}_expected"] == pytest.approx(values.mean(), abs=4 * values.std() / np.sqrt(4000) + 1e-9)
            assert row[f"{name}_expected_error"] == pytest.approx(values.std() / np.sqrt(4000), rel=0.1, abs=1e-9)
            p = np.mean(values >= row[name] - 1e-12)
            assert row[f"{name}_p"] == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 4000) + 1e-3)
            expected = row[f"{name}_expected"]
            assert row[f"{name}_adjusted"] == pytest.approx((row[name] - expected) / (1 - expected))


def test_units_without_selectivity():
    """False alarms at most as often as p says; adjusted values have mean 0 where raw ones are far above it."""
    rng, p, adjusted, raw = np.random.default_rng(1), [], [], []
    for seed in range(40):
        recording = network(rng.random((20, 60)) < np.linspace(0.1, 0.9, 20)[:, None], rng.integers(0, 3, 60))
        found = selectivity(recording, n_permutations=99, seed=seed)
        p.append((found[[f"{name}_p" for name in NAMES]] <= 0.05).mean().to_numpy())
        adjusted.append(found[[f"{name}_adjusted" for name in NAMES]].mean().to_numpy())
        raw.append(found["class_selectivity"].mean())
    p, adjusted = np.array(p), np.array(adjusted)
    assert (p.mean(axis=0) <= 0.05 + 3.5 * np.maximum(p.std(axis=0), 0.02) / np.sqrt(40)).all()
    assert (p.mean(axis=0) > 0.02).all()
    assert (np.abs(adjusted.mean(axis=0)) < 4 * adjusted.std(axis=0) / np.sqrt(40)).all()
    assert np.mean(raw) > 0.1


def test_edges():
    """Silent units have none, equal rates have 0, one class has 1 (and a single spike always has, so that chance leaves nothing to adjust)."""
    dense = np.zeros((4, 12), bool)
    dense[1], dense[2, :6], dense[3, 0] = True, True, True
    found = selectivity(network(dense, np.repeat([2, 5], 6)), n_permutations=50)
    assert np.isnan(found.loc[0, [c for c in found if c.startswith("class_")]].astype(float)).all()
    assert found["class_selectivity"].tolist()[1:] == found["class_sparseness"].tolist()[1:] == [0, 1, 1]
    assert np.isnan(found["class_selectivity_adjusted"].iloc[3])
    assert found["preferred"].tolist()[2:] == [2, 2]
    never = selectivity(network(dense, np.repeat([2, 5], 6)), n_permutations=0)
    assert never["class_selectivity_expected"].isna().all()
    assert never["class_selectivity"].tolist()[1:] == [0, 1, 1]


def test_sources_and_chunks_give_the_same(tmp_path, monkeypatch):
    """In a store, in another order and a few units at a time."""
    recording = random_network(seed=5, n_units=9, n_passes=2, n_first=4)
    found = selectivity(recording, n_permutations=20)
    ann2neo.save(recording, tmp_path / "r.zarr")
    monkeypatch.setattr("ann2neo.raster.CHUNK_BYTES", 1)
    pd.testing.assert_frame_equal(selectivity(ann2neo.load(tmp_path / "r.zarr"), n_permutations=20), found)
    pd.testing.assert_frame_equal(selectivity(recording.arrange("shuffled", seed=2), n_permutations=20), found)


def test_bits_are_refused():
    """Classes of one bin have bits for means: sparseness and selectivity are then functions of the rate alone."""
    dense = np.random.default_rng(2).random((5, 30)) < 0.3
    n = dense.sum(axis=1)
    found = selectivity_of_rates(dense.astype(float))
    np.testing.assert_allclose(found["class_sparseness"], (1 - n / 30) / (1 - 1 / 30))
    np.testing.assert_allclose(found["class_selectivity"], (30 - n) / (30 + n - 2))
    with pytest.raises(AnalysisError, match="holds one bin"):
        selectivity(network(dense), by="stimulus_id")
    repeated = selectivity(network(np.tile(dense, 3), n_passes=3), by="stimulus_id")
    assert repeated["class_selectivity"].notna().all()
    assert repeated["class_selectivity_expected"].isna().all()
    with pytest.raises(AnalysisError, match="1 classes"):
        selectivity(network(dense, np.zeros(30, int)))
    with pytest.raises(AnalysisError, match="continuous time"):
        selectivity(brain())
    with pytest.raises(WindowError, match="no column"):
        selectivity(network(dense))
