"""Several threads record at once: each gets what it gets alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import ann2neo
from ann2neo.errors import ModelError

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


class Drawing(nn.Module):
    """Draws from torch's global generator in training mode."""

    def forward(self, x):
        return x + 0.5 * torch.randn_like(x) if self.training else x


def noisy(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 30), nn.Dropout(0.5), nn.ReLU(), nn.Linear(30, 8), Drawing(), nn.ReLU())


def record(model, seed):
    passes = ann2neo.Passes(2, active=["1", "4"], seed=seed)
    return ann2neo.record(model, ann2neo.Inputs(X, batch_size=7), passes=passes, progress=False)


def same(one, other):
    return all(np.array_equal(one.raster(layer.name), other.raster(layer.name)) for layer in one.layers)


@pytest.mark.filterwarnings("ignore:passes are recorded beside:ann2neo.errors.Ann2NeoWarning")
def test_seeds_hold_in_threads():
    """Passes of several models in several threads are those of the same calls alone."""
    models = [noisy(seed) for seed in range(4)]
    alone = [record(model, seed) for seed, model in enumerate(models)]
    with ThreadPoolExecutor(4) as pool:
        found = []
        for _ in range(3):
            found += list(pool.map(record, models, range(4)))
    assert all(same(one, alone[k % 4]) for k, one in enumerate(found))


class Waiting(nn.Module):
    """Stops in its forward pass until it is told to go on."""

    def __init__(self):
        super().__init__()
        self.fc, self.act = nn.Linear(6, 4), nn.ReLU()
        self.entered, self.go_on = threading.Event(), threading.Event()

    def forward(self, x):
        self.entered.set()
        assert self.go_on.wait(30)
        return self.act(self.fc(x))


@pytest.mark.parametrize("call", [lambda model: ann2neo.record(model, X, progress=False), lambda m: ann2neo.plan(m, X)])
def test_one_model_in_two_threads_is_refused(call):
    """The second call is refused at once, the first one ends as if there were no other; a copy waits for its turn."""
    model = Waiting()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ann2neo.record, model, X, progress=False)
        assert model.entered.wait(30)
        with pytest.raises(ModelError, match=r"another thread records this Waiting.\n"):
            call(model)
        copy = Waiting()
        copy.load_state_dict(model.state_dict())
        copy.go_on.set()
        second = pool.submit(ann2neo.record, copy, X, progress=False)
        assert not copy.entered.wait(0.3)
        model.go_on.set()
        recording = first.result(60)
        assert same(recording, second.result(60))
    assert np.array_equal(recording.raster("act"), (model.act(model.fc(X)) > 0).numpy().T)
    assert same(ann2neo.record(model, X, progress=False), recording)


def test_a_refused_call_leaves_the_model_free():
    """After an error a model may be recorded in any thread."""
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    with pytest.raises(ann2neo.errors.LayerNotFound):
        ann2neo.record(model, X, layers="none", progress=False)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(ann2neo.record, model, X, progress=False).result(60)


def test_a_training_main_thread_draws_the_same_numbers():
    """A recording in another thread, whose model draws nothing, neither advances nor rewinds what the main thread draws."""
    model, other = Waiting(), nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    torch.manual_seed(5)
    found = []
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(ann2neo.record, model, X, progress=False)
        assert model.entered.wait(30)
        found += [torch.randn(1).item() for _ in range(8)]
        model.go_on.set()
        running.result(60)
        more = pool.submit(lambda: [ann2neo.record(other, X, progress=False) for _ in range(5)])
        while len(found) < 200 - 8:
            found += [torch.randn(1).item() for _ in range(8)]
        more.result(60)
    torch.manual_seed(5)
    assert found == [torch.randn(1).item() for _ in range(len(found))]


def test_passes_beside_the_main_thread_tell_whose_numbers_they_share():
    """There is one generator for all threads: what both draw depends on who comes first."""
    with ThreadPoolExecutor(1) as pool:
        with pytest.warns(ann2neo.errors.Ann2NeoWarning, match="beside the main thread"):
            pool.submit(record, noisy(0), 0).result(60)
        pool.submit(ann2neo.record, noisy(0), X, progress=False).result(60)
