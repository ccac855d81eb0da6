"""What is in a store that was recorded into: what saving gives, a log, check sums."""

import json
import subprocess

import numpy as np
import pytest
import torch
import zarr
from store_sources import data, inputs, model, record, same
from torch import nn

import ann2neo
from ann2neo.errors import FormatError, OutputExists, StoreError
from ann2neo.store import check, layout

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_columns(monkeypatch):
    """Columns of 16 bins, so that little data fills many."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)


def test_export_into_a_store(tmp_path):
    """Export grows the store; only on request is another one replaced, and never a folder of other things."""
    path = tmp_path / "a.zarr"
    first = ann2neo.export(model(), inputs(), path, progress=False)
    assert ann2neo.load(path).identical(first)
    assert ann2neo.export(model(), inputs(), path, progress=False).identical(first)
    with pytest.raises(StoreError, match="weights"):
        ann2neo.export(model(seed=1), inputs(), path, progress=False)
    other = ann2neo.export(model(seed=1), inputs(), path, overwrite=True, progress=False)
    assert same(other, record(model(seed=1), inputs(), verify=True))
    ann2neo.save(other, tmp_path / "saved.zarr")
    with pytest.raises(StoreError, match="column by column"):
        ann2neo.export(model(seed=1), inputs(), tmp_path / "saved.zarr", progress=False)
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr/mine.txt").write_text("mine")
    with pytest.raises(OutputExists):
        ann2neo.export(model(), inputs(), tmp_path / "b.zarr", overwrite=True, progress=False)
    with pytest.raises(FormatError, match=r"\.zarr"):
        record(model(), inputs(), store=tmp_path / "a.nwb")


def test_the_store_is_what_saving_gives(tmp_path):
    """Attributes, units, thresholds and trials are those of a store that was saved as a whole; the chunks of bits differ."""
    recording = record(model(), inputs(), store=tmp_path / "a.zarr")
    ann2neo.save(recording, tmp_path / "b.zarr")
    grown, saved = (zarr.open_group(str(tmp_path / name), mode="r") for name in ("a.zarr", "b.zarr"))
    kept, written = dict(grown.attrs), dict(saved.attrs)
    del kept["integrity"], written["integrity"]
    assert kept == written
    for name in ("layers/0/bits", "layers/1/thresholds", "layers/1/units", "trials/3", "trials/7"):
        assert grown[name].dtype == saved[name].dtype
        assert np.array_equal(grown[name][:], saved[name][:])
    assert sorted(grown["trials"]) == sorted(saved["trials"])


def test_damage_is_found(tmp_path):
    """A bit that fell over shows against the check sum."""
    path = tmp_path / "a.zarr"
    record(model(), inputs(), store=path)
    check(path)
    zarr.open_array(str(path / "layers/1/bits"), mode="r+")[0, 2, 11] ^= 4
    with pytest.raises(StoreError, match=r"layers/1/bits, column 5 of pass 0 \(layer '5' is damaged"):
        check(path)


def test_the_log_holds_what_is_known(tmp_path):
    """A marker names its inputs, labels, predictions, check sums."""
    record(model(), inputs(), store=tmp_path / "a.zarr")
    marker = json.loads((tmp_path / "a.zarr/log/0.2.json").read_text())
    assert (marker["n_inputs"], marker["lengths"], marker["last"]) == (16, None, False)
    assert marker["known"]["label"]["values"] == [i % 3 for i in range(32, 48)]
    assert [number for number, _ in marker["batches"]] == [4, 5, 6]
    assert marker["after"] == [6, 42, 42]
    assert len(marker["checksums"]) == 2


def test_the_commit_of_the_model_is_known(tmp_path, monkeypatch):
    """A model whose file git knows carries its commit; torch's own classes carry none where nothing else says where they were put together."""
    monkeypatch.syspath_prepend(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "mynet_in_git.py").write_text("from torch import nn\nclass Net(nn.ReLU): pass\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "net"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True, capture_output=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True)
    from mynet_in_git import Net

    assert record(Net(), data()).provenance["git_commit"] == head.stdout.strip()
    monkeypatch.chdir(tmp_path.parent)
    assert "git_commit" not in record(nn.ReLU(), data()).provenance
