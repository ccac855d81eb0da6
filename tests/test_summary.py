"""A summary is means and variances over units, all and good, with the numbers that went in."""

import numpy as np
import pytest
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
