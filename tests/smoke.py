"""What a new installation has to do: python tests/smoke.py, in any environment in which ann2neo is installed; prints versions and what was done.

It asks for no test dependency: record into a store, save and load every format, analyze, summarize, compare with chance, draw, share.
"""

import importlib.metadata
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

PACKAGES = (
    "torch", "numpy", "scipy", "pandas", "numba", "numcodecs", "neo", "elephant", "quantities", "h5py", "hdmf", "pynwb", "nixio", "matplotlib", "dask",
)  # fmt: skip


def versions():
    """List what is installed, in one line."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)


def main(folder):
    """Run through all verbs, and say of each what it gave."""
    import torch

    import ann2neo
    from ann2neo import figures, surrogates

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU())
    inputs, labels = torch.randn(90, 8), torch.arange(90) % 3
    given = ann2neo.Inputs(inputs, labels=labels)
    memory = ann2neo.record(model, given, progress=False)
    stored = ann2neo.record(model, given, progress=False, store=folder / "store.zarr")
    expected = (model(inputs) > 0).numpy().T
    assert np.array_equal(memory.raster("1"), expected)
    assert np.array_equal(stored.raster("1"), expected)
    # Inputs of unknown number grow the store.
    batches = (batch for batch in zip(torch.split(inputs, 20), torch.split(labels, 20)))
    grown = ann2neo.record(model, batches, progress=False, store=folder / "grown.zarr")
    assert np.array_equal(grown.raster("1"), expected)
    yield f"recorded {int(expected.sum())} spikes of {memory.n_units} units"
    for suffix in (".zarr", ".nwb", ".nix", ".mat"):
        ann2neo.save(memory, folder / f"a{suffix}")
        assert ann2neo.load(folder / f"a{suffix}").identical(memory), suffix
        ann2neo.check(folder / f"a{suffix}")
        yield f"saved, loaded and checked {suffix}"
    tables = [ann2neo.analyze(memory, engine=engine, progress=False) for engine in ("bulk", "elephant")]
    for name in ("n_spikes", "fano", "cv"):
        assert np.allclose(tables[0][name], tables[1][name], equal_nan=True), name
    ann2neo.write_table(tables[0], folder / "table.csv")
    assert len(ann2neo.read_table(folder / "table.csv")) == memory.n_units
    yield f"analyzed {len(ann2neo.summarize(tables[0]))} rows of a summary by two engines"
    surrogates.null_bands(memory, n_permutations=50, progress=False)
    assert figures.png(figures.raster(memory))[1:4] == b"PNG"
    assert (ann2neo.share(folder / "a.nwb", folder / "bundle") / "SHA256SUMS").is_file()
    yield "compared with chance, drew and shared"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(f"Python {sys.version.split()[0]}, {versions()}")
    with tempfile.TemporaryDirectory() as name:
        for done in main(Path(name)):
            print(done, flush=True)
