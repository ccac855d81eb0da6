"""Tables of many files: joined, taken apart, collected and compared, each network once."""

import json

import numpy as np
import nwb_sources
import pandas as pd
import pytest
from click.testing import CliRunner

import ann2neo
from ann2neo.cli import commands
from ann2neo.errors import AnalysisError
from ann2neo.results.sources import joined, taken_apart


def network(seed, p=0.3, **notes):
    rng = np.random.default_rng(seed)
    provenance = {f"notes_{key}": value for key, value in notes.items()}
    return ann2neo.from_array(rng.random((120, 12)) < p, labels=np.arange(120) % 3, provenance=provenance)


def run(*args):
    done = CliRunner().invoke(commands, [str(arg) for arg in args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three networks of each kind, analyzed by the command line into a folder per kind."""
    place = tmp_path_factory.mktemp("sweep")
    for kind, p in (("mem", 0.2), ("gen", 0.4)):
        for seed in range(3):
            ann2neo.save(network(seed, p, epoch=seed, rule="hebb"), place / f"{kind}{seed}.zarr")
        run("analyze", *sorted(place.glob(f"{kind}*.zarr")), "-o", place / kind, "--windows", "label", "-q")
    return place


def test_joined_tables_come_apart_as_they_were():
    """Values, types, columns and attributes, also where only some tables have a column."""
    import neo
    import quantities as pq

    segment = neo.Segment()
    for i in range(3):
        times = np.sort(np.random.default_rng(i).random(30)) * 9 * pq.s
        segment.spiketrains.append(neo.SpikeTrain(times, t_stop=10 * pq.s, name=f"cell {i}", area="V1"))
    tables = {
        "net": ann2neo.analyze(network(0, epoch=1, lr=0.1), windows="label", tests=True, progress=False),
        "cells": ann2neo.analyze(segment, windows=1 * pq.s, progress=False),
    }
    together = joined(tables)
    assert together["source"].tolist() == ["net"] * 12 + ["cells"] * 3
    for name, back in taken_apart(together).items():
        pd.testing.assert_frame_equal(back, tables[name])
        assert back.attrs == tables[name].attrs


def test_every_table_of_the_folder_is_read_and_joined_ones_survive_the_file(folder):
    """`read_table` takes whatever the command wrote."""
    for path in (folder / "mem").glob("*.csv"):
        assert len(ann2neo.read_table(path))
    whole = taken_apart(ann2neo.read_table(folder / "mem" / "all-sources.csv"))
    for name, table in whole.items():
        pd.testing.assert_frame_equal(table, ann2neo.read_table(folder / "mem" / f"{name}.csv"))


def test_the_example_of_the_help_counts_each_network_once(folder):
    """A pattern takes tables, summaries and the table of all sources; the comparison is that of the tables alone."""
    kinds = {kind: sorted((folder / kind).glob("*.csv")) for kind in ("mem", "gen")}
    assert len(kinds["mem"]) == 7
    found = json.loads(run("compare", *kinds["mem"], "--against", *kinds["gen"], "--names", "mem", "gen", "--json"))
    alone = {kind: [ann2neo.read_table(folder / kind / f"{kind}{i}.csv") for i in range(3)] for kind in kinds}
    expected = ann2neo.compare(alone)
    assert found["attrs"]["n_networks"] == {"mem": 3, "gen": 3}
    assert [row["hedges_g"] for row in found["rows"]] == [None if np.isnan(g) else g for g in expected["hedges_g"]]


def test_summaries_compare_as_their_tables_do(folder):
    """A summary says all that a comparison asks of a network."""
    read = {kind: [ann2neo.read_table(folder / kind / f"{kind}{i}.csv") for i in range(3)] for kind in ("mem", "gen")}
    short = {kind: [ann2neo.read_table(folder / kind / f"{kind}{i}-summary.csv") for i in range(3)] for kind in read}
    pd.testing.assert_frame_equal(ann2neo.compare(short), ann2neo.compare(read))
    mixed = {"mem": [read["mem"][0], short["mem"][0]], "gen": read["gen"]}
    with pytest.raises(AnalysisError, match="the same network"):
        ann2neo.compare(mixed)


def test_a_sweep_becomes_one_table_with_notes(folder, tmp_path):
    """From recordings, from tables, from summaries, from all of them: the same rows."""
    files = sorted(folder.glob("mem*.zarr"))
    table = ann2neo.collect(files, windows="label", progress=False)
    assert table.columns[:3].tolist() == ["source", "notes_epoch", "notes_rule"]
    for number, path in enumerate(files):
        expected = ann2neo.summarize(ann2neo.analyze(ann2neo.load(path), windows="label", progress=False))
        own = table[table["source"] == path.stem].reset_index(drop=True)
        assert (own["notes_epoch"] == number).all()
        pd.testing.assert_frame_equal(own[list(expected.columns)], expected)
    for chosen in (
        sorted((folder / "mem").glob("mem?.csv")),
        sorted((folder / "mem").glob("*-summary.csv")),
        [folder / "mem" / "all-sources.csv"],
    ):
        pd.testing.assert_frame_equal(ann2neo.collect(chosen), table)
    every = ann2neo.collect((folder / "mem").glob("*.csv"))
    assert len(every) == len(table)
    run("collect", *files, "--windows", "label", "-o", tmp_path / "sweep.csv", "-q")
    pd.testing.assert_frame_equal(ann2neo.read_table(tmp_path / "sweep.csv"), table)
    units = ann2neo.collect(sorted((folder / "mem").glob("mem?.csv")), level="unit")
    assert units.groupby("source").size().tolist() == [12, 12, 12]
    assert units["notes_epoch"].tolist() == [0] * 12 + [1] * 12 + [2] * 12


def test_what_cannot_be_told_apart_or_is_not_known_is_refused(folder, tmp_path):
    """Two files of one name, units of a summary, windows of what was measured."""
    ann2neo.save(network(9), tmp_path / "mem0.zarr")
    with pytest.raises(AnalysisError, match="two files are called 'mem0'"):
        ann2neo.collect([folder / "mem0.zarr", tmp_path / "mem0.zarr"], progress=False)
    with pytest.raises(AnalysisError, match="is a summary"):
        ann2neo.collect(folder / "mem" / "mem0-summary.csv", level="unit")
    with pytest.raises(AnalysisError, match="already measured"):
        ann2neo.collect(folder / "mem" / "mem0.csv", windows=5)


def test_json_holds_what_the_text_says(folder, tmp_path):
    """`info` and `analyze` for pipelines: numbers as they are, missing ones null."""
    found = json.loads(run("info", folder / "mem0.zarr", "--json"))
    recording = ann2neo.load(folder / "mem0.zarr")
    assert (found["n_units"], found["n_bins"], found["trials"]["n"]) == (12, 120, 120)
    assert found["layers"][0]["p_spike"] == recording.raster("array").mean()
    assert found["provenance"]["notes_rule"] == "hebb"
    found = json.loads(run("analyze", folder / "mem0.zarr", "-o", tmp_path / "x", "--windows", "trial", "--json", "-q"))
    row = found["sources"]["mem0"]["rows"][0]
    assert row["n_units"] == 12
    assert row["fano_mean"] is None
    found = json.loads(run("info", folder / "mem" / "mem0.csv", "--json"))
    assert found["kind"] == "table"
    assert len(found["rows"]) == 12
    assert "12 units; order: presented" in run("info", folder / "mem" / "mem0.csv")


def test_networks_are_compared_with_sessions_of_cells(tmp_path):
    """Two networks beside two sessions of unequal length, from files: values over expectation are compared, and each indicator that is not has its reason."""
    rng, label = np.random.default_rng(0), np.resize(np.arange(4), 120)
    for k in range(2):
        ann2neo.save(ann2neo.from_array(rng.random((120, 6)) < 0.3, labels=label), tmp_path / f"net{k}.nwb")
        n = 40 * (k + 1)
        file = nwb_sources.session()
        file.add_trial_column("label", "stimulus")
        for start in range(n):
            file.add_trial(start_time=float(start), stop_time=start + 1.0, label=start % 4)
        for _ in range(4):
            file.add_unit(spike_times=np.sort(rng.random(rng.poisson(20 * n))) * n, obs_intervals=[[0.0, n]])
        nwb_sources.written(file, tmp_path / f"cells{k}.nwb")
    nets, cells = (sorted(map(str, tmp_path.glob(f"{kind}*.nwb"))) for kind in ("net", "cells"))
    how = ["--names", "nets", "cells", "--windows", "label", "-q"]
    said = run("compare", *nets, "--against", *cells, *how)
    for name in ("cv_over_expected_mean", "label_share_trials_adjusted_mean"):
        assert f"{name} is not compared" not in said
    assert "firing_rate_mean is not compared: pseudo-time of a network and time of cells" in " ".join(said.split())
    found = json.loads(run("compare", *nets, "--against", *cells, *how, "--json", "--indicators", "lv_mean", "cv_mean"))
    assert {row["indicator"] for row in found["rows"]} == {"lv_mean", "cv_mean"}
