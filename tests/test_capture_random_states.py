"""Random states follow from the seed while a model runs, and are found afterwards as before."""

import random

import numpy as np
import pytest
import torch
from capture_sources import record
from torch import nn
from torch.utils.data import DataLoader, Dataset

import ann2neo
from ann2neo.store import layout

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))


def noisy():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 40), nn.Dropout(0.5), nn.ReLU())


@pytest.mark.parametrize("place", ["memory", "store"])
def test_batches_of_equal_inputs_differ_under_dropout(place, tmp_path, monkeypatch):
    """Each batch of a pass has random numbers of its own, and so has the same batch of another pass."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)
    options = {} if place == "memory" else {"store": tmp_path / "a.zarr"}
    recording = record(noisy(), X.repeat(3, 1), batch_size=16, passes=ann2neo.Passes(2), **options)
    parts = np.split(recording.raster("2"), 6, axis=1)
    assert all((a != b).any() for i, a in enumerate(parts) for b in parts[:i])
    again = record(noisy(), X.repeat(3, 1), batch_size=16, passes=ann2neo.Passes(2))
    assert np.array_equal(again.raster("2"), recording.raster("2"))


class Augmented(Dataset):
    """Inputs with noise that is drawn from a global state whenever they are read."""

    def __init__(self, draw):
        self.draw = draw

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return X[index] + self.draw(), index


DRAWS = {
    "numpy": lambda: np.random.normal(),  # noqa: NPY002
    "random": lambda: random.gauss(0, 1),
    "torch": lambda: torch.randn(()).item(),
}


def states():
    """All that the generators would draw next."""
    kind, keys, place, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    return [kind, keys.tolist(), place, has_gauss, gauss, random.getstate(), torch.get_rng_state().tolist()]


RUNS = {
    "record": lambda model, loader, _: ann2neo.record(model, loader, progress=False),
    "store": lambda model, loader, folder: ann2neo.record(model, loader, store=folder / "a.zarr", progress=False),
    "calibrate": lambda model, loader, _: ann2neo.record(
        model, X, threshold=ann2neo.Quantile(0.5, on=loader), progress=False
    ),
    "plan": lambda model, loader, _: ann2neo.plan(model, loader),
}


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("kind", DRAWS)
def test_data_sets_that_draw_leave_no_trace(kind, run, tmp_path):
    """What augments inputs may draw from NumPy, from Python or from torch: each draws afterwards what it would have drawn."""
    drawn = []
    dataset = Augmented(lambda: drawn.append(DRAWS[kind]()) or drawn[-1])
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    before = states()
    RUNS[run](model, DataLoader(dataset, batch_size=5), tmp_path)
    assert states() == before
    assert len(set(drawn)) == len(drawn) > 0, "the data set has drawn"


@pytest.mark.parametrize("kind", DRAWS)
def test_models_that_draw_and_fail_leave_no_trace(kind):
    """Also where a model draws by itself, and where it raises an error after that."""

    class Drawing(nn.Module):
        def __init__(self):
            super().__init__()
            self.act, self.fails = nn.ReLU(), False

        def forward(self, x):
            noise = DRAWS[kind]()
            if self.fails:
                raise RuntimeError("after the draw")
            return self.act(x + noise)

    model, before = Drawing(), states()
    record(model, X, verify=False)
    assert states() == before
    model.fails = True
    with pytest.raises(RuntimeError, match="after the draw"):
        record(model, X, verify=False)
    assert states() == before
