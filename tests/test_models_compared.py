"""Fitted models and populations of networks are summarized and compared as tables of units are."""

import numpy as np
import pandas as pd
import pytest
from model_sources import recording_of

import ann2neo
from ann2neo import models
from ann2neo.errors import AnalysisError


def network(seed, tuning):
    """A network whose units are tuned more or less, some of them silent."""
    rng = np.random.default_rng(seed)
    labels = np.arange(200) % 2
    p = rng.beta(2, 4, (40, 1)) * (1 - tuning * labels)
    p[: round(20 * tuning)] = 0
    return recording_of(rng.random((40, 200)) < p, labels)


def fitted(seed, tuning):
    return models.fit(network(seed, tuning), progress=False)


def test_a_table_of_models_is_summarized():
    """Means and variances of parameters over units, and the share of units that a model describes best, of all and of good units."""
    table = fitted(0, 0.6)
    summary = ann2neo.summarize(table)
    assert summary["layer"].tolist() == ["hidden", "hidden", "network", "network"]
    row, good = summary.iloc[0], table[table["quality"] == "good"]
    assert row["n_silent"] == (table["quality"] == "silent").sum()
    assert row["rate_p_mean"] == pytest.approx(table["rate_p"].mean())
    assert row["rate_p_var"] == pytest.approx(table["rate_p"].var(ddof=0))
    assert row["label_bits_mean"] == pytest.approx(table["label_bits"].dropna().mean())
    assert summary.iloc[1]["markov_memory_mean"] == pytest.approx(good["markov_memory"].mean())
    shares = [row[f"best_bic_share[{model}]"] for model in ("rate", "label", "markov")]
    known = table["best_bic"][table["best_bic"] != "undefined"]
    assert shares == [(known == model).mean() for model in ("rate", "label", "markov")]
    assert sum(shares) == pytest.approx(1)


def test_summaries_outlive_files(tmp_path):
    """A table that went through a CSV file, and through our own, is summarized alike."""
    table = fitted(1, 0.3)
    table.to_csv(tmp_path / "plain.csv", index=False)
    ann2neo.write_table(table, tmp_path / "own.csv")
    own = ann2neo.read_table(tmp_path / "own.csv")
    assert own.attrs["markov_order"] == 1
    for read in (pd.read_csv(tmp_path / "plain.csv"), own):
        pd.testing.assert_frame_equal(ann2neo.summarize(read), ann2neo.summarize(table))


def test_networks_are_compared_by_their_models_and_populations():
    """Four tuned networks with silent units against four untuned ones: bits and shares differ, each network being one replicate."""
    groups = {"tuned": [fitted(k, 0.7) for k in range(4)], "flat": [fitted(k, 0.0) for k in range(4, 8)]}
    by_models = ann2neo.compare(groups)
    assert set(by_models["indicator"]) == {
        "rate_p_mean",
        "rate_p_var",
        "label_bits_corrected_mean",
        "markov_memory_mean",
    }
    bits = by_models[by_models["indicator"] == "label_bits_corrected_mean"].iloc[0]
    assert bits["auc"] == 1.0
    assert bits["mean_flat"] == pytest.approx(0, abs=0.002)
    mixtures = {name: [models.fit_population(table) for table in tables] for name, tables in groups.items()}
    by_populations = ann2neo.compare(mixtures)
    silent = by_populations[(by_populations["indicator"] == "silent_share") & (by_populations["population"] == "all")]
    assert (silent["auc"] == 1.0).all()
    assert by_populations[by_populations["population"] == "good"]["auc"].isna().all()


def test_memory_in_another_order_is_not_compared():
    """A chain sees the order of inputs: rows that depend on it are NaN with the reason, rates are compared."""
    groups = {"one": [fitted(k, 0.3) for k in range(2)]}
    groups["other"] = [models.fit(network(k, 0.3).arrange("label"), progress=False) for k in range(2, 4)]
    found = ann2neo.compare(groups).set_index(["layer", "population", "indicator"])
    assert "order" in found.loc[("hidden", "all", "markov_memory_mean"), "reason"]
    assert found.loc[("hidden", "all", "rate_p_mean"), "reason"] == ""
    with pytest.raises(AnalysisError, match="schema"):
        ann2neo.compare({"a": fitted(0, 0.1), "b": ann2neo.analyze(network(1, 0.1), progress=False)})
