"""Any producer streams planes into a store: no torch, no model."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from ann2neo.bits import pack
from ann2neo.store import check, load
from ann2neo.store.disk import Unsynced
from ann2neo.store.finishing import finish
from ann2neo.store.growing import Growing, bare, create
from ann2neo.store.log import Start
from ann2neo.store.writer import ColumnWriter

PRODUCER = """
import sys
sys.modules["torch"] = None  # importing torch fails from here on
from pathlib import Path
import numpy as np
from ann2neo.bits import pack
from ann2neo.store import layout
from ann2neo.store.finishing import finish
from ann2neo.store.growing import Growing, bare, create
from ann2neo.store.log import Start
from ann2neo.store.writer import ColumnWriter

spikes = np.random.default_rng(0).random((100, 5)) < 0.3
layers = [
    bare(name=name, shape=(n,), dtype="float32", units=np.arange(n), thresholds=np.zeros(n, np.float32))
    for name, n in (("retina", 3), ("cortex", 2))
]
growing = Growing(
    path=Path(sys.argv[1]), identity={"stimulus": "noise"}, column_bins=16, n_bins=None, n_passes=1, layers=tuple(layers), order=None
)
create(growing, bin_size_ms=2.0, provenance={"schema": "ann2neo/1"})
with ColumnWriter(growing, 0, first=0, stop=None, start=Start()) as writer:
    for number, first in enumerate(range(0, 100, 7)):
        some = spikes[first : first + 7]
        planes = {"retina": pack(some[:, :3]), "cortex": pack(some[:, 3:])}
        writer.add(planes, np.ones(len(some), int), {"label": np.arange(first, first + len(some)) % 4}, number)
    writer.end()
finish(growing)
"""


def test_spikes_of_numpy_are_streamed_where_there_is_no_torch(tmp_path):
    """What was streamed is read back bit for bit with its labels, and the streaming process could not have imported torch."""
    path = tmp_path / "noise.zarr"
    subprocess.run([sys.executable, "-c", PRODUCER, str(path)], check=True, cwd=Path(__file__).parent.parent)
    check(path)
    recording = load(path)
    spikes = np.random.default_rng(0).random((100, 5)) < 0.3
    assert [layer.name for layer in recording.layers] == ["retina", "cortex"]
    assert np.array_equal(np.concatenate([recording.raster("retina"), recording.raster("cortex")]), spikes.T)
    assert recording.trials["label"].tolist() == (np.arange(100) % 4).tolist()
    assert recording.bin_size_ms == 2.0


def test_chunks_are_on_the_disk_before_the_log_that_speaks_of_them(monkeypatch, tmp_path):
    """No entry of the log begins to be synced while a chunk that it speaks of is not, and the seal of the store comes last."""
    synced, fsync = [], os.fsync

    def spy(descriptor):
        fsync(descriptor)
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", spy)
    files, unsynced = [tmp_path / name for name in ("0.0.0", "0.0.1", "0.0.json")], Unsynced()
    for file in files:
        file.write_bytes(b"x")
    unsynced.entries.append(os.fspath(files[2]))
    unsynced.files += map(os.fspath, files[:2])
    unsynced.files.append(os.fspath(tmp_path / "replaced"))
    unsynced.sync()
    names = [Path(name).name for name in synced]
    assert set(names[:2]) == {"0.0.0", "0.0.1"}
    assert names[2:] == [tmp_path.name, "0.0.json", tmp_path.name]
    assert (unsynced.files, unsynced.entries) == ([], [])


def test_the_seal_is_synced_when_all_else_is(monkeypatch, tmp_path):
    """What says that a store is complete is synced after every chunk, table and entry, so that it cannot outlive them."""
    synced, fsync = [], os.fsync

    def spy(descriptor):
        fsync(descriptor)
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), tmp_path / "noise.zarr"))

    monkeypatch.setattr(os, "fsync", spy)
    path, unsynced = tmp_path / "noise.zarr", Unsynced()
    growing = Growing(
        path=path,
        identity={},
        column_bins=16,
        n_bins=None,
        n_passes=1,
        order=None,
        layers=(
            bare(name="retina", shape=(3,), dtype="float32", units=np.arange(3), thresholds=np.zeros(3, np.float32)),
        ),
    )
    create(growing, bin_size_ms=1.0, provenance={"schema": "ann2neo/1"})
    with ColumnWriter(growing, 0, first=0, stop=None, start=Start(), unsynced=unsynced) as writer:
        writer.add({"retina": pack(np.ones((40, 3), bool))}, np.ones(40, int), {}, 0)
        writer.end()
    unsynced.sync()
    finish(growing)
    chunks = [f"layers/0/bits/0.0.{column}" for column in range(3)]
    last = {name: number for number, name in enumerate(synced)}
    seal = min(
        number for number, name in enumerate(synced) if name == ".zattrs" and number > max(map(last.get, chunks))
    )
    parts = [*chunks, *(f"log/{name.name}" for name in (path / "log").glob("0.*")), "trials/0/0"]
    assert {name for name in parts if name not in last} == set()
    assert all(last[name] < seal for name in parts)
