"""Any producer streams planes into a store: no torch, no model."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from ann2neo.store import check, load

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
