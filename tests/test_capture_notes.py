"""Notes go wherever a recording goes."""

import numpy as np
import pandas as pd
import pytest
from capture_sources import X, record
from click.testing import CliRunner
from torch import nn

import ann2neo
from ann2neo.cli import commands
from ann2neo.errors import AnnotationError, StoreError

NOTES = {"epoch": 3, "rate": 1e-3, "rule": "hebb", "shuffled": np.bool_(True), "größe": np.int64(-7)}
WRITTEN = {"notes_epoch": 3, "notes_rate": 1e-3, "notes_rule": "hebb", "notes_shuffled": True, "notes_größe": -7}


def model():
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU())


@pytest.mark.parametrize("suffix", [".zarr", ".nwb", ".nix", ".mat"])
def test_every_format_keeps_them(suffix, tmp_path):
    """With their types; the table of what was loaded has them as columns."""
    path = tmp_path / f"a{suffix}"
    ann2neo.export(model(), X, path, notes=NOTES, progress=False)
    back = ann2neo.load(path)
    found = {key: value for key, value in back.provenance.items() if key.startswith("notes_")}
    assert found == WRITTEN
    assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in WRITTEN.items()}
    table = ann2neo.analyze(back, windows=5, progress=False)
    assert all((table[key] == value).all() for key, value in WRITTEN.items())


def test_sweeps_need_no_names_of_files():
    """Tables of several recordings, one after another, say which unit is from which; summaries do not mind."""
    tables = [
        ann2neo.analyze(record(model(), X, notes={"epoch": epoch, "seed": seed}), windows=5, progress=False)
        for epoch in range(2)
        for seed in range(2)
    ]
    together = pd.concat(tables)
    assert together.groupby(["notes_epoch", "notes_seed"]).size().tolist() == [4, 4, 4, 4]
    assert ann2neo.summarize(tables[0]) is not None


def test_a_store_keeps_to_its_notes(tmp_path):
    """Others are refused, and the same ones open it."""
    path, network = tmp_path / "a.zarr", model()
    first = record(network, X, store=path, notes={"epoch": 1})
    assert record(network, X, store=path, notes={"epoch": 1}).identical(first)
    for notes, told in (({"epoch": 2}, "epoch=1 there, epoch=2 here"), (None, "epoch=1 there, none here")):
        with pytest.raises(StoreError, match=told):
            record(network, X, store=path, notes=notes)
    assert ann2neo.load(path).identical(first)
    other = ann2neo.export(network, X, path, notes={"epoch": 2}, overwrite=True, progress=False)
    assert other.provenance["notes_epoch"] == 2


@pytest.mark.parametrize(
    "notes", [{"a b": 1}, {"a": [1]}, {"a": None}, {"a": float("nan")}, {"a": 2**70}, {"a": {}}, {"a/b": 1}]
)
def test_what_would_be_lost_is_refused(notes):
    """Before the model runs, with a word of ours."""
    with pytest.raises(AnnotationError):
        record(model(), X, notes=notes)


def test_notes_on_the_command_line(tmp_path, monkeypatch):
    """Numbers are numbers; what is no KEY=VALUE is refused."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noted.py").write_text(
        "import torch\ndef model(): return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU())\ndef x(): return torch.ones(4, 3)\n"
    )
    call = ["export", "noted.py:model", "noted.py:x", "-o", "a.nwb", "--quiet", "--note", "epoch=3", "--note"]
    done = CliRunner().invoke(commands, [*call, "rule=a=b"])
    assert done.exit_code == 0, done.output
    provenance = ann2neo.load("a.nwb").provenance
    assert (provenance["notes_epoch"], provenance["notes_rule"]) == (3, "a=b")
    for wrong in ("epoch", "epoch=4"):
        done = CliRunner().invoke(commands, [*call, wrong])
        assert done.exit_code == 2
        assert "--note" in done.output
