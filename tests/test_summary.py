"""A summary is means and variances over units, all and good, with the numbers that went in."""

import numpy as np
import pytest
import quantities as pq
from population_sources import brain
from strategies import small_recording

import ann2neo
from ann2neo.errors import AnalysisError
from ann2neo.summary import summarize


def test_rows_are_means_and_variances_over_units():
    """Each row repeats what NumPy says of its units; the network comes last and pools them all."""
    table = ann2neo.analyze(small_recording(n_units=12), progress=False)
    summary = summarize(table)
    assert summary[["layer", "population"]].to_numpy().tolist() == [
        [layer, population] for layer in ("features.3", "fc/relu:1", "network") for population in ("all", "good")
    ]
    for _, row in summary.iterrows():
        units = table if row["layer"] == "network" else table[table["layer"] == row["layer"]]
        units = units if row["population"] == "all" else units[units["quality"] == "good"]
        assert row["n_units"] == len(units)
        assert row["firing_rate_mean"] == pytest.approx(units["firing_rate"].mean())
        assert row["firing_rate_var"] == pytest.approx(units["firing_rate"].var(ddof=0))
        assert row["fano_mean"] == pytest.approx(np.nanmean(units["fano"]))
        assert row["fano_var"] == pytest.approx(np.nanvar(units["fano"]))
        assert row["fano_n"] == units["fano"].notna().sum()
        assert row["fano_expected_mean"] == pytest.approx(np.nanmean(units["fano_expected"]))
    assert summary.attrs["windows"] == "label"


def test_silent_units_count_in_the_rate_and_not_in_the_fano_factor():
    """One silent and one spiking unit: half the rate, all of the Fano factor."""
    spikes = np.zeros((20, 2), bool)
    spikes[:10, 0] = True
    everything = summarize(ann2neo.analyze(ann2neo.from_array(spikes), windows=5, progress=False)).iloc[0]
    assert everything["firing_rate_mean"] == 250
    assert (everything["n_silent"], everything["fano_n"], everything["fano_mean"]) == (1, 1, 2.5)


def test_a_layer_without_good_units_has_no_values():
    """No unit, no number; not zero."""
    table = ann2neo.analyze(ann2neo.from_array(np.zeros((20, 2), bool)), windows=5, progress=False)
    good = summarize(table).iloc[1]
    assert good["n_units"] == 0
    assert np.isnan([good["firing_rate_mean"], good["fano_mean"]]).all()


def test_other_tables_are_refused():
    """Only a table of units can be summarized."""
    with pytest.raises(AnalysisError, match="fano"):
        summarize(ann2neo.analyze(small_recording(), progress=False).drop(columns="fano"))


def test_the_distribution_of_probabilities_is_that_of_all_units():
    """Quantiles are NumPy's, the Gini coefficient that of all pairs, silent and saturated units included; the share of rare units is counted."""
    table = ann2neo.analyze(small_recording(n_units=12), progress=False)
    summary = summarize(table)
    for _, row in summary.iterrows():
        units = table if row["layer"] == "network" else table[table["layer"] == row["layer"]]
        p = (units if row["population"] == "all" else units[units["quality"] == "good"])["p_spike"].to_numpy()
        for level in (10, 25, 50, 75, 90):
            assert row[f"p_spike_q{level}"] == pytest.approx(np.percentile(p, level))
        assert row["p_spike_rare_share"] == pytest.approx(np.mean(p < 0.05))
        assert row["p_spike_gini"] == pytest.approx(np.abs(p[:, None] - p).mean() / (2 * p.mean()))
        assert row["p_spike_gini"] <= 1 - p.mean() + 1e-12


def test_without_bins_or_spikes_there_is_no_distribution():
    """A unit of a brain has no probability per bin; silent units have one, 0, and no Gini coefficient."""
    cells = summarize(ann2neo.analyze(brain(), windows=500 * pq.ms, progress=False)).iloc[-2]
    assert cells[[name for name in cells.index if name.startswith("p_spike")]].isna().all()
    silent = summarize(ann2neo.analyze(ann2neo.from_array(np.zeros((20, 3), bool)), windows=5, progress=False)).iloc[0]
    assert (silent["p_spike_q90"], silent["p_spike_rare_share"], silent["p_spike_rare_share_expected"]) == (0, 1, 1)
    assert np.isnan([silent["p_spike_gini"], silent["p_spike_gini_expected"]]).all()


def test_the_number_of_bins_is_found_without_attributes():
    """A table that lost its attributes in another program has the same reference."""
    table = ann2neo.analyze(small_recording(n_units=12), progress=False)
    bare = table.copy()
    bare.attrs = {}
    np.testing.assert_array_equal(summarize(bare)["p_spike_gini_expected"], summarize(table)["p_spike_gini_expected"])
