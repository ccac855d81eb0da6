"""Distances between distributions over units, the network being the replicate: SciPy's values, all arrangements, and false alarms."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from unit_tables import network

import ann2neo
from ann2neo.comparison import compare_distributions
from ann2neo.comparison.distributions import distances
from ann2neo.errors import AnalysisError


def test_distances_of_two_networks_are_scipys():
    """With one network a side they are the distances of two samples, of equal and of unequal size."""
    rng = np.random.default_rng(0)
    for n, m in ((50, 50), (400, 400), (30, 1000)):
        a, b = rng.beta(1, 4, n), rng.beta(2, 4, m)
        found = distances([a], [b])
        assert found["ks"]["value"] == pytest.approx(stats.ks_2samp(a, b).statistic, abs=0 if n + m <= 400 else 0.01)
        truth = stats.wasserstein_distance(a, b)
        assert found["wasserstein"]["value"] == pytest.approx(truth, rel=1e-12 if n == m == 50 else 0.02)
        assert found["wasserstein"]["value"] <= truth + 1e-12
        assert np.isnan([found["ks"]["p"], found["ks"]["expected"]]).all()


def test_p_and_expectation_are_those_of_all_arrangements():
    """A slow loop over all ways to deal networks of unequal size, with mean quantiles and mean distribution functions by hand."""
    rng = np.random.default_rng(1)
    networks = [rng.beta(1 + k % 2, 4, 10 * (1 + k % 3)) for k in range(6)]
    level, border = (np.arange(60_000) + 0.5) / 60_000, np.unique(np.concatenate(networks))
    curves = {
        "wasserstein": [np.quantile(p, level, method="inverted_cdf").reshape(200, -1).mean(axis=1) for p in networks],
        "ks": [(p[:, None] <= border).mean(axis=0) for p in networks],
    }
    found = distances(networks[:2], networks[2:])
    for name, size in (("wasserstein", np.mean), ("ks", np.max)):
        values = {
            chosen: size(
                np.abs(
                    np.mean([curves[name][i] for i in chosen], axis=0)
                    - np.mean([curves[name][i] for i in range(6) if i not in chosen], axis=0)
                )
            )
            for chosen in itertools.combinations(range(6), 2)
        }
        assert found[name]["value"] == pytest.approx(values[0, 1], rel=1e-3)
        assert found[name]["expected"] == pytest.approx(np.mean(list(values.values())), rel=1e-3)
        assert found[name]["p"] == pytest.approx(np.mean(np.array(list(values.values())) >= values[0, 1] * (1 - 1e-6)))


def test_false_alarms_are_those_of_the_network_as_replicate():
    """Networks of one kind that differ much from each other: at most the nominal rate, where units as replicates would reject nearly always."""
    rng, p, of_units = np.random.default_rng(2), [], []
    for _ in range(300):
        networks = [rng.beta(0.5 + rng.random(), 3, rng.integers(40, 120)) for _ in range(8)]
        found = distances(networks[:4], networks[4:])
        p.append([found["wasserstein"]["p"], found["ks"]["p"]])
        of_units.append(stats.ks_2samp(np.concatenate(networks[:4]), np.concatenate(networks[4:])).pvalue)
    rejected = (np.array(p) <= 0.06).mean(axis=0)
    assert (rejected <= 0.06 + 3.5 * np.sqrt(0.06 * 0.94 / 300)).all()
    assert (rejected > 0.02).all()
    assert np.mean(np.array(of_units) <= 0.06) > 0.4


def test_expected_is_the_value_of_groups_that_are_alike():
    """The mean distance of two groups of one kind is what is expected of them: no bias."""
    rng, gap = np.random.default_rng(3), []
    for _ in range(200):
        networks = [rng.beta(0.5 + rng.random(), 3, 50) for _ in range(6)]
        found = distances(networks[:3], networks[3:])
        gap.append([each["value"] - each["expected"] for each in found.values()])
    gap = np.array(gap)
    assert (np.abs(gap.mean(axis=0)) < 4 * gap.std(axis=0) / np.sqrt(200)).all()


def test_groups_that_differ_are_found():
    """Denser networks: smallest possible p in each layer, corrected over all rows; a placed group changes nothing."""
    groups = {"memorizing": [network(s, rate=0.2) for s in range(4)]}
    groups |= {"generalizing": [network(50 + s, rate=0.5) for s in range(4)]}
    found = compare_distributions(groups)
    assert found["layer"].unique().tolist() == ["fc1", "fc2", "fc3", "network"]
    assert found["p"].min() == pytest.approx(2 / 70) == found.attrs["smallest_p"]
    np.testing.assert_allclose(found["p_corrected"], stats.false_discovery_control(found["p"]))
    assert (found["value"] > found["expected"]).all()
    first = [table[table["layer"] == "fc1"]["p_spike"].to_numpy() for table in groups["memorizing"]]
    second = [table[table["layer"] == "fc1"]["p_spike"].to_numpy() for table in groups["generalizing"]]
    truth = np.abs(np.mean([np.sort(p) for p in first], axis=0) - np.mean([np.sort(p) for p in second], axis=0)).mean()
    assert found["value"].iloc[0] == pytest.approx(truth)
    pd.testing.assert_frame_equal(compare_distributions(groups | {"mine": [network(9)]}), found)


def test_what_cannot_be_compared():
    """One network a side has no p; other numbers of bins, summaries and single groups are refused, with the reason."""
    one = compare_distributions({"a": network(0), "b": network(1)})
    assert one["value"].notna().all()
    assert one["p"].isna().all()
    with pytest.raises(AnalysisError, match="n_bins"):
        compare_distributions({"a": network(0), "b": network(1, n_bins=499)})
    with pytest.raises(AnalysisError, match="is a summary"):
        compare_distributions({"a": ann2neo.summarize(network(0)), "b": network(1)})
    with pytest.raises(AnalysisError, match="no two groups"):
        compare_distributions({"mine": network(0), "b": network(1)})
