"""The command line: the same work as the library, and one clear message for whatever goes wrong."""

import subprocess

import command_line
import numpy as np
import pandas as pd
import pytest

import ann2neo

MODEL = """
import torch
from torch import nn

def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))

def inputs():
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    return [(x[:30], torch.arange(30) % 3), (x[30:], torch.arange(20) % 3)]

noise = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nets.py").write_text(MODEL)
    return tmp_path


def run(folder, *arguments, code=0):
    ended, said, errors = command_line.run(folder, *arguments)
    assert ended == code, said + errors
    assert "Traceback" not in errors
    return said + errors


def test_export_analyze_info_share(folder):
    """The three verbs in a row, and what lies in each folder."""
    assert "6 units in 1 layer" in run(folder, "export", "nets.py:model", "nets.py:inputs", "-o", "rec.nwb", "--quiet")
    recording = ann2neo.load(folder / "rec.nwb")
    assert recording.trials["label"].tolist() == [*np.arange(30) % 3, *np.arange(20) % 3]
    assert "1: 6, (6,)" in run(folder, "info", "rec.nwb")
    out = run(folder, "analyze", "rec.nwb", "-o", "results", "--quiet")
    assert "3 windows by label" in out
    table = pd.read_csv(folder / "results" / "rec.csv")
    expected = ann2neo.analyze(recording, progress=False)
    assert np.allclose(table["fano"], expected["fano"], equal_nan=True)
    assert ann2neo.read_table(folder / "results" / "rec.csv").attrs["order_sha256"] == expected.attrs["order_sha256"]
    assert {path.name for path in (folder / "results").glob("rec*")} >= {
        "rec.csv",
        "rec-summary.csv",
        "rec.csv-metadata.json",
        "rec-raster.png",
    }
    assert (folder / "results" / "report.html").stat().st_size > 10000
    run(folder, "analyze", "rec.nwb", "-o", "by-label", "--order", "label", "--windows", "10", "--quiet")
    arranged = ann2neo.analyze(recording.arrange("label"), windows=10, progress=False)
    assert np.allclose(pd.read_csv(folder / "by-label" / "rec.csv")["cv"], arranged["cv"], equal_nan=True)
    assert not np.allclose(arranged["cv"], expected["cv"], equal_nan=True)
    run(folder, "share", "rec.nwb", "-o", "bundle")
    subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder / "bundle", check=True, capture_output=True)


def test_export_options(folder):
    """Layers, thresholds, weights, bin size and module names arrive where they belong."""
    import torch

    torch.save(
        {
            "0.weight": torch.ones(6, 4),
            "0.bias": torch.zeros(6),
            "2.weight": torch.ones(3, 6),
            "2.bias": torch.zeros(3),
        },
        folder / "w.pt",
    )
    options = (
        "--layers",
        "0",
        "--threshold",
        "0.5",
        "--weights",
        "w.pt",
        "--bin-size-ms",
        "2",
        "--batch-size",
        "7",
        "--quiet",
    )
    run(folder, "export", "nets:model", "nets:noise", "-o", "rec.zarr", *options)
    recording = ann2neo.load(folder / "rec.zarr")
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    assert (recording.raster("0") == (x.sum(1) > 0.5).numpy()).all()
    assert recording.bin_size_ms == 2.0


def test_info_of_a_model(folder):
    """What would be recorded, before anything runs long."""
    assert "ReLU" in run(folder, "info", "--model", "nets.py:model", "--inputs", "nets.py:noise")


def test_analyze_a_file_of_another_laboratory(folder):
    """Any file that neo reads is analyzed by its own times."""
    import neo
    import quantities as pq

    rng = np.random.default_rng(0)
    block = neo.Block()
    block.segments.append(neo.Segment())
    times = np.sort(rng.uniform(0, 10, 80))
    block.segments[0].spiketrains.append(neo.SpikeTrain(times * pq.s, t_stop=10 * pq.s, name="cell"))
    with neo.NixIO(str(folder / "cells.nix"), "ow") as io:
        io.write_block(block)
    out = run(folder, "analyze", "cells.nix", "-o", "results", "--windows", "500ms", "--quiet")
    assert "Poisson" in out
    table = pd.read_csv(folder / "results" / "cells.csv")
    counts = np.histogram(times, np.arange(0, 10.1, 0.5))[0]
    assert table["firing_rate"][0] == pytest.approx(8.0)
    assert table["fano"][0] == pytest.approx(counts.var() / counts.mean())


BAD = {
    "no file": (["analyze", "none.nwb", "-o", "out"], "no file"),
    "no command": (["analyse"], "No such command"),
    "no argument": (["export", "nets.py:model"], "Missing argument"),
    "foreign file": (["analyze", "nets.py", "-o", "out"], "no spike trains"),
    "no module": (["export", "nothing.py:model", "nets.py:inputs", "-o", "out.nwb"], "no file"),
    "no name": (["export", "nets.py:modle", "nets.py:inputs", "-o", "out.nwb"], "modle"),
    "no colon": (["export", "nets.py", "nets.py:inputs", "-o", "out.nwb"], "file.py:name"),
    "unknown layer": (
        ["export", "nets.py:model", "nets.py:inputs", "-o", "out.nwb", "--layers", "7"],
        "no layer matches",
    ),
    "unknown suffix": (["export", "nets.py:model", "nets.py:inputs", "-o", "out.csv"], "suffix"),
    "no folder": (["export", "nets.py:model", "nets.py:inputs", "-o", "a/b/out.nwb"], "no folder"),
    "foreign weights": (
        ["export", "nets.py:model", "nets.py:inputs", "-o", "out.nwb", "--weights", "nets.py"],
        "state_dict()",
    ),
    "bad windows": (["analyze", "nets.py", "-o", "out", "--windows", "5 apples"], "--windows"),
    "existing folder": (["analyze", "nets.py", "-o", "taken", "--overwrite"], "holds files that ann2neo did not write"),
    "shares nothing": (["share", "nets.py", "-o", "out"], "suffix"),
    "demo is there": (["demo", "-o", "taken"], "already exists"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_input_is_a_message_and_exit_code_2(folder, case):
    """No traceback, nothing half-written, nothing lost."""
    (folder / "taken").mkdir()
    (folder / "taken" / "thesis.txt").write_text("mine")
    arguments, message = BAD[case]
    assert message in run(folder, *arguments, code=2)
    assert sorted(p.name for p in folder.iterdir() if p.name != "__pycache__") == ["nets.py", "taken"]
    assert (folder / "taken" / "thesis.txt").read_text() == "mine"


def test_an_existing_output_is_kept(folder):
    """Re-running overwrites nothing without being told to."""
    (folder / "rec.nwb").write_text("mine")
    assert "already exists" in run(folder, "export", "nets.py:model", "nets.py:inputs", "-o", "rec.nwb", code=2)
    assert (folder / "rec.nwb").read_text() == "mine"
    run(folder, "export", "nets.py:model", "nets.py:inputs", "-o", "rec.nwb", "--overwrite", "--quiet")
    assert ann2neo.load(folder / "rec.nwb").n_units == 6


def test_a_biological_recording_beside_a_network(folder):
    """Real receptor neurons and a network: one table, one figure, each held against its own reference."""
    from pathlib import Path

    import neo
    import nitime
    import quantities as pq

    block = neo.Block()
    block.segments.append(neo.Segment())
    times = np.loadtxt(Path(nitime.__file__).parent / "data" / "grasshopper_spike_times1.txt")
    block.segments[0].spiketrains.append(neo.SpikeTrain(times * pq.us, t_stop=1e7 * pq.us, name="receptor"))
    with neo.NixIO(str(folder / "cell.nix"), "ow") as io:
        io.write_block(block)
    run(folder, "export", "nets.py:model", "nets.py:inputs", "-o", "network.nwb", "--quiet")
    run(folder, "analyze", "cell.nix", "network.nwb", "-o", "results", "--tests", "--quiet")
    table = pd.read_csv(folder / "results" / "all-sources.csv").set_index("source")
    cell, network = table.loc["cell"], table.loc["network"]
    assert cell["reference"].startswith("Poisson")
    assert network["reference"].str.startswith("Bernoulli").all()
    assert cell["firing_rate"] == pytest.approx(len(times) / 10)
    assert cell["cv2_expected"] == 1.0
    assert (network["cv2_expected"].dropna() < 1).all()
    # A receptor neuron is far more regular than a Poisson process: its refractory period alone says so.
    assert cell["cv2"] < 0.6
    assert cell["isi_law_p"] < 1e-6
    assert (folder / "results" / "all-sources.png").stat().st_size > 5000


def test_columns_are_explained(folder):
    """The definitions are one command away."""
    assert "doi:10.1103/PhysRev.72.26" in run(folder, "info", "--columns")


@pytest.mark.slow("two processes of Dask are started")
def test_analyze_on_a_cluster(folder):
    """The same command on the workers of a Dask cluster writes the same table."""
    from dask.distributed import LocalCluster

    run(folder, "export", "nets.py:model", "nets.py:inputs", "-o", "rec.zarr", "--quiet")
    run(folder, "analyze", "rec.zarr", "-o", "here", "--tests", "--quiet")
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        run(
            folder, "analyze", "rec.zarr", "-o", "there", "--tests", "--quiet", "--scheduler", cluster.scheduler_address
        )
    assert (folder / "there" / "rec.csv").read_text() == (folder / "here" / "rec.csv").read_text()
