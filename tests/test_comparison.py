"""Effect sizes, permutation tests, and the verdicts that they support."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from unit_tables import network

import ann2neo
from ann2neo.comparison import auc, compare, hedges_g, permutation_p, smallest_p, verdicts
from ann2neo.comparison.effects import mean_difference
from ann2neo.errors import AnalysisError

VALUES = st.lists(st.integers(-20, 20).map(float), min_size=2, max_size=5).map(np.array)


def relabelled(table: pd.DataFrame, **columns: object) -> pd.DataFrame:
    changed = table.assign(**columns)
    changed.attrs = dict(table.attrs)
    return changed


@pytest.fixture(scope="module")
def memorizing() -> list[pd.DataFrame]:
    return [network(seed, rate=0.25, tuning=0.2) for seed in range(5)]


@pytest.fixture(scope="module")
def generalizing() -> list[pd.DataFrame]:
    return [network(100 + seed, rate=0.4, tuning=0.5) for seed in range(5)]


@settings(max_examples=60, deadline=None)
@given(a=VALUES, b=VALUES)
def test_permutation_p_is_scipys_exact_enumeration(a, b):
    """All arrangements of Welch's absolute statistic, as SciPy counts them."""

    def distance(x, y, axis):
        error = np.var(x, axis=axis, ddof=1) / x.shape[axis] + np.var(y, axis=axis, ddof=1) / y.shape[axis]
        gap = np.abs(np.mean(x, axis=axis) - np.mean(y, axis=axis))
        # Values are whole numbers, so that less is rounding; without spread any gap is larger than all others.
        return np.where(gap < 1e-9, 0.0, gap / np.sqrt(np.where(error < 1e-9, 1e-20, error))).round(9)

    expected = stats.permutation_test((a, b), distance, alternative="greater", n_resamples=np.inf, vectorized=True)
    assert permutation_p(a, b) == pytest.approx(expected.pvalue, abs=1e-12)


# Sizes and spreads of two groups, and the highest rates of rejection and of intervals that miss, at a nominal 5 %.
SPREADS = [
    ((3, 9), (5.0, 1.0), 0.16, 0.07),
    ((9, 3), (1.0, 5.0), 0.16, 0.07),
    ((3, 9), (1.0, 5.0), 0.05, 0.06),
    ((5, 5), (4.0, 1.0), 0.08, 0.06),
    ((4, 8), (1.0, 1.0), 0.05, 0.06),
]


@pytest.mark.parametrize(("sizes", "spreads", "rejected", "missed"), SPREADS)
def test_equal_means_that_differ_in_spread(sizes, spreads, rejected, missed, slow):
    """Welch's statistic halves the false alarms of the bare difference, 33 % for 3 against 9; Welch's interval covers."""
    rng, draws = np.random.default_rng(11), 20_000 if slow else 1500
    groups = [rng.normal(0, spread, (draws, size)) for size, spread in zip(sizes, spreads)]
    error = np.sqrt(0.1 / draws)
    assert np.mean([permutation_p(a, b) <= 0.05 for a, b in zip(*groups)]) < rejected + 3.5 * error
    covered = [low <= 0 <= high for _, low, high in (mean_difference(a, b) for a, b in zip(*groups))]
    assert np.mean(covered) > 1 - missed - 3.5 * error


def test_the_interval_of_a_difference_is_scipys():
    """Welch's interval at any confidence, and its edges."""
    rng = np.random.default_rng(2)
    a, b = rng.normal(0, 3, 4), rng.normal(1, 1, 9)
    truth = stats.ttest_ind(a, b, equal_var=False)
    for confidence in (0.5, 0.95):
        interval = truth.confidence_interval(confidence)
        assert mean_difference(a, b, confidence=confidence) == pytest.approx(
            (a.mean() - b.mean(), interval.low, interval.high)
        )
    assert np.isnan(mean_difference(a[:1], b)).all()
    assert mean_difference(np.ones(3), np.zeros(2)) == (1, 1, 1)


def test_a_large_offset_does_not_change_p():
    """What values have in common, a billion for instance, is not information."""
    a, b = np.array([0.001, 0.002, 0.002]), np.array([0.002, 0.003, 0.004, 0.005])
    assert permutation_p(a + 1e9, b + 1e9) == permutation_p(a, b)


@settings(max_examples=60, deadline=None)
@given(a=VALUES, b=VALUES)
def test_auc_is_u_over_the_number_of_pairs_and_lies_in_its_interval(a, b):
    """The point is SciPy's Mann-Whitney U; swapping the groups mirrors value and interval."""
    area, mirrored = auc(a, b), auc(b, a)
    assert area.value == pytest.approx(stats.mannwhitneyu(a, b).statistic / (a.size * b.size))
    assert 0 <= area.low <= area.value <= area.high <= 1
    assert (area.low, area.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-6)


def test_auc_interval_covers():
    """About 95 % of intervals hold the true area, for 5 against 5 normal networks shifted by one and by two and a half."""
    rng = np.random.default_rng(1)
    for shift in (1.0, 2.5):
        truth = stats.norm.cdf(shift / math.sqrt(2))
        areas = [auc(rng.normal(shift, 1, 5), rng.normal(0, 1, 5)) for _ in range(300)]
        assert 0.91 < np.mean([area.low <= truth <= area.high for area in areas]) <= 1.0


def test_hedges_g_is_the_closed_form():
    """For 2 against 2 networks J is sqrt(pi) / pi; in general it is the ratio of gamma functions."""
    a, b = np.array([1.0, 3.0]), np.array([5.0, 9.0])
    j = math.gamma(1) / (math.sqrt(1) * math.gamma(0.5))
    assert hedges_g(a, b).value == pytest.approx(j * (2 - 7) / math.sqrt((2 + 8) / 2))
    x, y = np.arange(5.0), np.arange(7.0) * 2
    pooled = math.sqrt((4 * x.var(ddof=1) + 6 * y.var(ddof=1)) / 10)
    j = math.gamma(5) / (math.sqrt(5) * math.gamma(4.5))
    assert hedges_g(x, y).value == pytest.approx(j * (x.mean() - y.mean()) / pooled)


def test_hedges_g_interval_inverts_the_noncentral_t():
    """At either border of the interval the observed t is a quantile at 2.5 % or 97.5 %; with p = 0.05 a border is 0."""
    a, b = np.array([1.0, 2.0, 4.0, 7.0]), np.array([0.0, 1.0, 1.5])
    g, m = hedges_g(a, b), 5
    per_t = math.sqrt(1 / 4 + 1 / 3)
    t = stats.ttest_ind(a, b).statistic
    assert stats.nct.cdf(t, m, [g.low / per_t, g.high / per_t]) == pytest.approx([0.975, 0.025], abs=1e-6)
    p = stats.ttest_ind(a, b).pvalue
    assert hedges_g(a, b, confidence=1 - p).low == pytest.approx(0, abs=1e-6)


def test_hedges_g_is_unbiased_and_covers():
    """Its mean over simulated 4 against 5 networks is the true difference, and 95 % of intervals hold it, within three standard errors."""
    rng = np.random.default_rng(0)
    found = [hedges_g(rng.normal(1.5, 1, 4), rng.normal(0, 1, 5)) for _ in range(400)]
    values = np.array([g.value for g in found])
    assert abs(values.mean() - 1.5) < 3 * values.std() / math.sqrt(400)
    assert abs(np.mean([g.low <= 1.5 <= g.high for g in found]) - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 400)


def test_hedges_g_at_the_edges():
    """Undefined without spread or replicates, finite with hardly any overlap, mirrored when the groups are swapped."""
    assert math.isnan(hedges_g(np.ones(3), np.ones(3) * 2).value)
    assert math.isnan(hedges_g(np.ones(1), np.arange(3.0)).value)
    far = hedges_g(np.array([0.0, 1e-6]), np.array([1e3, 1e3 + 1e-6]))
    assert far.low < far.value < far.high < 0
    a, b = np.array([1.0, 2, 3]), np.array([2.0, 3, 7])
    assert hedges_g(a, b) == pytest.approx([-hedges_g(b, a).value, -hedges_g(b, a).high, -hedges_g(b, a).low], abs=1e-8)


def test_drawn_permutations_repeat_and_approach_the_exact_p():
    """12 against 12 networks are drawn: the same seed gives the same p, p is never 0, and it is near the t test's."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.9, 1, 12), rng.normal(0, 1, 12)
    p = permutation_p(a, b, seed=5)
    assert p == permutation_p(a, b, seed=5)
    assert p == pytest.approx(stats.ttest_ind(a, b).pvalue, rel=0.1, abs=0.002)
    assert permutation_p(a + 100, b) == smallest_p(12, 12) == 1 / 100_000


def test_smallest_p_is_reached_by_separated_groups():
    """No groups of these sizes give less than the smallest p, and separated groups give just that."""
    for n, m in ((2, 2), (3, 4), (5, 5)):
        assert permutation_p(np.arange(n) / n, np.arange(m) / m + 50) == pytest.approx(smallest_p(n, m))


def test_all_cells_are_corrected_together(memorizing, generalizing):
    """Corrected p are Benjamini-Hochberg over every row, and never below the raw ones."""
    result = compare({"memorizing": memorizing, "generalizing": generalizing})
    assert len(result) == 4 * 2 * 5 == result.attrs["n_cells"]
    assert np.array_equal(result["p_corrected"], stats.false_discovery_control(result["p"]))
    assert list(result["layer"].unique()) == ["fc1", "fc2", "fc3", "network"]


def test_the_other_correction_is_scipys(memorizing, generalizing):
    """Benjamini-Yekutieli is SciPy's, stricter than the default, told in the attributes; where it can never be passed, the verdict says so."""
    groups = {"memorizing": memorizing, "generalizing": generalizing}
    default, result = compare(groups), compare(groups, method="by")
    assert np.array_equal(result["p_corrected"], stats.false_discovery_control(result["p"], method="by"))
    assert (result["p_corrected"] >= default["p_corrected"]).all()
    assert (default.attrs["correction"], result.attrs["correction"]) == ("bh", "by")
    assert result.attrs["cells_needed"] > default.attrs["cells_needed"]
    few = compare({"memorizing": memorizing[:4], "generalizing": generalizing[:4]}, method="by")
    assert few.attrs["verdicts"][0].startswith("No verdict is possible: p values corrected over 40 cells cannot")


def test_a_comparison_can_be_written_and_read(memorizing, generalizing, tmp_path):
    """With and without a contrast, values and attributes come back."""
    for groups in ({"memorizing": memorizing, "generalizing": generalizing}, {"mine": memorizing}):
        result = compare(groups)
        ann2neo.write_table(result, tmp_path / "c.csv", overwrite=True)
        again = ann2neo.read_table(tmp_path / "c.csv")
        pd.testing.assert_frame_equal(again, result)
        assert again.attrs == result.attrs


def test_the_network_is_the_replicate(memorizing, generalizing):
    """Ten times as many identical units per network change neither means nor p values."""
    few = compare({"memorizing": memorizing, "generalizing": generalizing})
    many = {
        name: [_repeat(table, 10) for table in tables]
        for name, tables in {"memorizing": memorizing, "generalizing": generalizing}.items()
    }
    again = compare(many)
    assert np.allclose(few["mean_memorizing"], again["mean_memorizing"])
    assert np.array_equal(few["p"], again["p"])
    assert set(few["n_memorizing"]) == {5}


def _repeat(table: pd.DataFrame, times: int) -> pd.DataFrame:
    repeated = pd.concat([table] * times, ignore_index=True).sort_values("layer", kind="stable")
    repeated.attrs = dict(table.attrs)
    return repeated


def test_a_cell_is_what_its_functions_give(memorizing, generalizing):
    """The mean rate of a layer, taken by hand from the tables, gives the row's effects, first minus second group."""
    result = compare({"generalizing": generalizing, "memorizing": memorizing})
    row = result[
        (result["layer"] == "fc2") & (result["population"] == "good") & (result["indicator"] == "firing_rate_mean")
    ].iloc[0]
    a, b = (
        [t[(t["layer"] == "fc2") & (t["quality"] == "good")]["firing_rate"].mean() for t in g]
        for g in (memorizing, generalizing)
    )
    a, b = np.array(a), np.array(b)
    assert row["hedges_g"] == pytest.approx(hedges_g(a, b).value)
    assert (row["auc"], row["p"]) == pytest.approx((auc(a, b).value, permutation_p(a, b)))
    assert result.attrs["contrast"] == ["memorizing", "generalizing"]


def test_verdicts_name_side_size_and_n(memorizing, generalizing):
    """One sentence per layer, with direction, effect, AUC and the number of networks."""
    said = compare({"memorizing": memorizing, "generalizing": generalizing}).attrs["verdicts"]
    assert [s.split(":")[0] for s in said] == ["fc1", "fc2", "fc3", "network"]
    assert said[0].startswith("fc1: memorizing networks have a lower mean firing rate (g -")
    assert "(5 v 5 networks, p corrected over 40 cells)" in said[0]


def test_mine_is_placed_between_the_groups(memorizing, generalizing):
    """A further memorizing network sits near position 1 and fits memorizing ones; a generalizing one near 0."""
    for rate, tuning, name, place in ((0.25, 0.2, "memorizing", 1), (0.4, 0.5, "generalizing", 0)):
        mine = network(77, rate=rate, tuning=tuning)
        result = compare({"mine": mine, "memorizing": memorizing, "generalizing": generalizing})
        row = result[(result["layer"] == "network") & (result["indicator"] == "fano_mean")].iloc[0]
        assert row["position_mine"] == pytest.approx(place, abs=0.2)
        assert row["fits_mine"] == name
        assert f"mine (1 network) fits only {name} networks on" in result.attrs["verdicts"][-1]


def test_z_is_the_prediction_distance(memorizing, generalizing):
    """Two networks of mine against five known ones: the difference of means over sd sqrt(1/2 + 1/5)."""
    mine = [network(50), network(51)]
    row = compare({"memorizing": memorizing, "generalizing": generalizing, "mine": mine}).iloc[0]
    z = (row["mean_mine"] - row["mean_memorizing"]) / (row["sd_memorizing"] * math.sqrt(1 / 2 + 1 / 5))
    assert row["z_mine_from_memorizing"] == pytest.approx(z)


@pytest.mark.parametrize("value", [0.3, 0.7, 0.1])
def test_equal_networks_have_no_spread(value):
    """A distance in standard deviations of what does not vary is unknown, though rounding of the mean leaves a deviation of 1e-17; and so is a place between two equal groups."""
    groups = {"memorizing": range(10), "generalizing": range(20, 23), "mine": range(30, 32)}
    tables = {
        name: [network(seed).assign(p_spike=value + (name == "mine") / 9) for seed in seeds]
        for name, seeds in groups.items()
    }
    row = compare(tables, indicators=["p_spike_q10"]).iloc[0]
    assert row["mean_mine"] == pytest.approx(value + 1 / 9)
    assert row[["z_mine_from_memorizing", "z_mine_from_generalizing", "position_mine", "hedges_g"]].isna().all()


def test_no_verdict_without_known_groups(memorizing, generalizing):
    """Alone, with one known group, with one network or with so few that no p can be small: said plainly, no effect invented."""
    cases = {
        "there are no two known groups": {"mine": memorizing},
        "(mine: 5 networks; memorizing: 5 networks)": {"mine": generalizing, "memorizing": memorizing},
        "needs at least 2 of them (generalizing: 1 network)": {
            "memorizing": memorizing,
            "generalizing": generalizing[0],
        },
        "with 3 v 3 networks no p can be below 0.1": {"memorizing": memorizing[:3], "generalizing": generalizing[:3]},
    }
    for words, groups in cases.items():
        result = compare(groups)
        (said,) = result.attrs["verdicts"]
        assert said.startswith("No verdict is possible")
        assert words in said
        assert (len(result.attrs["contrast"]) == 2 and "3 v 3" in words) or result["hedges_g"].isna().all()


def test_alike_groups_are_not_called_equal(memorizing):
    """Groups drawn from one kind give no difference, and the sentence does not claim that they are alike."""
    more = [network(200 + seed, rate=0.25, tuning=0.2) for seed in range(5)]
    for said in compare({"memorizing": memorizing, "generalizing": more}).attrs["verdicts"]:
        assert "no indicator tells memorizing from generalizing networks" in said
        assert "does not show that they are alike" in said


def test_other_names_and_undefined_indicators(memorizing, generalizing):
    """The first two groups that are not "mine" are contrasted; an indicator without values is NaN, uncorrected and unmentioned."""
    bare = [[relabelled(t, label_share=np.nan) for t in g] for g in (memorizing, generalizing)]
    result = compare({"mine": network(9), "young": bare[0], "old": bare[1]})
    assert result.attrs["contrast"] == ["young", "old"]
    share = result[result["indicator"] == "label_share_mean"]
    assert share["p"].isna().all()
    assert (share["n_young"] == 0).all()
    assert result.attrs["n_cells"] == 32
    assert not any("label share" in said for said in verdicts(result))


def test_layers_that_some_lack_are_left_out_with_the_pooled_row(memorizing, generalizing):
    """Only common layers are compared, the rest is named; pooling different layers would compare different quantities."""
    shorter = [relabelled(t[t["layer"] != "fc3"]) for t in generalizing]
    for part, whole in zip(shorter, generalizing):
        part.attrs = dict(whole.attrs)
    result = compare({"memorizing": memorizing, "generalizing": shorter})
    assert list(result["layer"].unique()) == ["fc1", "fc2"]
    assert result.attrs["layers_left_out"] == ["fc3"]
    foreign = [relabelled(t, layer="conv") for t in generalizing]
    with pytest.raises(AnalysisError, match="no layer in common"):
        compare({"memorizing": memorizing, "generalizing": foreign})


REFUSED = {
    "windows": {"fano_mean", "fano_var"},
    "n_bins": {"label_share_mean", "firing_rate_var", "fano_mean", "fano_var"},
    "bin_size_ms": {"firing_rate_mean", "firing_rate_var"},
    "label_share_by": {"label_share_mean"},
}


@pytest.mark.parametrize("key", REFUSED)
def test_comparability_is_decided_cell_by_cell(memorizing, generalizing, key):
    """What means the same is compared, the rest is NaN with a reason that names both values and the networks."""
    other = [relabelled(table) for table in generalizing]
    for table in other:
        table.attrs[key] = "another"
    result = compare({"memorizing": memorizing, "generalizing": other})
    refused = result["reason"] != ""
    assert set(result.loc[refused, "indicator"]) == REFUSED[key]
    assert result.loc[refused, ["p", "hedges_g", "auc", "difference", "p_corrected"]].isna().all(axis=None)
    assert result.loc[~refused, "p"].notna().all()
    assert result.loc[refused, "reason"].str.contains(rf"differ in '{key}'.*generalizing\[0\]").all()
    whole = compare({"memorizing": memorizing, "generalizing": generalizing})
    assert result.loc[~refused, "p"].tolist() == whole.loc[~refused, "p"].tolist()


def test_a_rule_for_good_units_is_one_of_good_units(memorizing, generalizing):
    """Another min_spikes refuses what is about good units only."""
    other = [relabelled(table) for table in generalizing]
    for table in other:
        table.attrs["min_spikes"] = 3
    result = compare({"memorizing": memorizing, "generalizing": other})
    assert ((result["reason"] != "") == (result["population"] == "good")).all()


def test_nothing_comparable_is_an_error(memorizing, generalizing):
    """Where no cell can be compared there is no result, and the message says what differs where."""
    other = [relabelled(table) for table in generalizing]
    for table in other:
        table.attrs["windows"] = "100 bins"
    with pytest.raises(AnalysisError, match=r"differ in 'windows'.*generalizing\[0\]"):
        compare({"memorizing": memorizing, "generalizing": other}, indicators=["fano_mean"])


def test_networks_beside_cells_are_compared_in_what_can_be():
    """CV, Lv and values over expectation are compared, Hz of pseudo-time with Hz never; all units are pooled."""
    import neo
    import quantities as pq

    rng = np.random.default_rng(4)

    def cells(seconds):
        trains = [
            neo.SpikeTrain(np.sort(rng.random(rng.poisson(20 * seconds))) * seconds * pq.s, t_stop=seconds * pq.s)
            for _ in range(5)
        ]
        return ann2neo.analyze(trains, windows=500 * pq.ms, progress=False)

    nets = [
        ann2neo.analyze(ann2neo.from_array(rng.random((500, 6)) < 0.3), windows=50, progress=False) for _ in range(3)
    ]
    groups = {"nets": nets, "cells": [cells(20), cells(31), cells(25)]}
    indicators = [
        "firing_rate_mean",
        "fano_mean",
        "fano_over_expected_mean",
        "cv_mean",
        "lv_mean",
        "cv_over_expected_mean",
    ]
    result = compare(groups, indicators=indicators)
    assert set(result["layer"]) == {"network"}
    compared = result[result["population"] == "all"].set_index("indicator")["reason"] == ""
    assert compared.tolist() == [False, False, False, True, True, True]
    assert result["p"].notna().tolist() == (result["reason"] == "").tolist()
    sessions = compare({"a": groups["cells"], "b": [cells(12), cells(40)]}, indicators=indicators)
    refused = sessions["indicator"].isin(["fano_mean"])
    assert ((sessions["reason"] == "") == ~refused).all()
    assert (compare({"a": groups["cells"][2:], "b": [cells(26)]}, indicators=indicators)["reason"] == "").all()


def test_the_length_of_a_session_is_no_difference():
    """Untuned cells of one rate in sessions of 40 and 200 trials, and a network: what differs for the number of trials alone is refused, what is left holds its level."""
    import neo
    import quantities as pq

    def cells(seed, n_trials):
        rng, segment = np.random.default_rng(seed), neo.Segment()
        for _ in range(20):
            times = np.sort(rng.random(rng.poisson(20 * n_trials))) * n_trials
            segment.spiketrains.append(neo.SpikeTrain(times * pq.s, t_stop=n_trials * pq.s))
        names = rng.permutation(np.resize(list("abcd"), n_trials))
        segment.epochs.append(
            neo.Epoch(np.arange(n_trials) * pq.s, [1.0] * n_trials * pq.s, labels=names, name="label")
        )
        return ann2neo.analyze(segment, windows="label", progress=False)

    rng, label = np.random.default_rng(1), np.resize(np.arange(4), 400)
    nets = [
        ann2neo.analyze(ann2neo.from_array(rng.random((400, 20)) < 0.2, labels=label), progress=False) for _ in range(4)
    ]
    short, long = ([cells(10 * n + seed, n) for seed in range(4)] for n in (40, 200))
    sessions, both = compare({"short": short, "long": long}), compare({"nets": nets, "cells": long})
    for result in (sessions, both):
        assert result["p"].notna().tolist() == (result["reason"] == "").tolist()
        assert (result["p_corrected"].dropna() > 0.05).all()
    of_all = sessions[(sessions["population"] == "all") & (sessions["layer"] == "network")].set_index("indicator")[
        "reason"
    ]
    assert of_all["firing_rate_var"].startswith("tables differ in 'duration_ms'")
    kept = {"firing_rate_mean", "cv_over_expected_mean", "lv_over_expected_mean", "label_share_trials_adjusted_mean"}
    assert set(of_all.index[of_all == ""]) == kept
    assert set(both.loc[both["reason"] == "", "indicator"]) == kept - {"firing_rate_mean"}
    with pytest.raises(AnalysisError, match="differ in 'n_labelled': 40"):
        compare({"short": short, "long": long}, indicators=["label_share_trials_mean"])
    # What would have been found: fewer trials have larger shares, and rates that vary more.
    raw = [[ann2neo.summarize(table).iloc[0] for table in group] for group in (short, long)]
    for name in ("firing_rate_var", "label_share_trials_mean"):
        assert min(row[name] for row in raw[0]) > max(row[name] for row in raw[1])


def test_bad_calls(memorizing):
    """No table, an unknown indicator and a confidence that is none are refused with a cure."""
    with pytest.raises(AnalysisError, match="no table in group 'mine'"):
        compare({"mine": []})
    with pytest.raises(AnalysisError, match="Did you mean 'fano_mean'"):
        compare({"mine": memorizing}, indicators=["fano_men"])
    with pytest.raises(AnalysisError, match=r"`confidence` must be a number between 0 and 1, got 95\.0"):
        compare({"mine": memorizing}, confidence=95.0)


def test_fixed_windows_need_one_order():
    """Windows cut by place hold other inputs in another order; label windows hold the same."""
    from strategies import small_recording

    made = ann2neo.analyze(small_recording(n_passes=1), windows=10, progress=False)
    # Four networks that differ.
    networks = [made.assign(cv=made["cv"] + number) for number in range(4)]
    for number, table in enumerate(networks):
        table.attrs = made.attrs | {"order_sha256": "another" if number == 1 else "one"}
    with pytest.raises(AnalysisError, match="order_sha256"):
        ann2neo.compare({"memorizing": networks[:2], "generalizing": networks[2:]}, indicators=["fano_mean"])
    for table in networks:
        table.attrs = table.attrs | {"windows": "label"}
    ann2neo.compare({"memorizing": networks[:2], "generalizing": networks[2:]})
