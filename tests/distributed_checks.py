"""Run by torchrun: each process records into stores together with the others and checks what it gets."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import store_sources
import torch
import torch.distributed as dist
from store_sources import Stop, data, inputs, model, same
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ann2neo
from ann2neo.capture.distributed import joined
from ann2neo.errors import FormatError, InputsError, StoreError

RANK = int(os.environ.get("RANK", 0))


def record(network, x, **options):
    return ann2neo.record(network, x, progress=False, **options)


def check_identical(folder):
    """Each process gets the recording of one process, and runs a part of it only."""
    for number, (passes, batch_size) in enumerate([(None, 7), (ann2neo.Passes(3), 7), (None, 16), (None, 301)]):
        network, x = model(), inputs(batch_size=batch_size)
        recording = record(network, x, store=folder / f"{number}.zarr", passes=passes)
        assert same(recording, record(model(), x, passes=passes))
        n_batches = -(-300 // batch_size) * (1 if passes is None else 3)
        assert batch_size > 300 or network[0].n_calls < 0.8 * n_batches, (network[0].n_calls, n_batches)
        assert record(model(at=1), x, store=folder / f"{number}.zarr", passes=passes).identical(recording)


def check_steps(folder):
    """Sequences whose lengths are listed are dealt too."""
    lengths = np.arange(30) % 7 + 1
    x, steps = torch.randn(30, 7, 6, generator=torch.Generator().manual_seed(0)), ann2neo.Steps(1, lengths)
    options = {"steps": steps}
    recording = record(model()[:3], ann2neo.Inputs(x, batch_size=4), store=folder / "steps.zarr", **options)
    assert same(recording, record(model()[:3], ann2neo.Inputs(x, batch_size=4), **options))


def check_shuffled(folder):
    """The order is the one that the first process drew."""
    torch.manual_seed(RANK)
    dataset = TensorDataset(data(), torch.arange(300))
    recording = record(model(), DataLoader(dataset, 7, shuffle=True), store=folder / "shuffled.zarr")
    torch.manual_seed(0)
    assert same(recording, record(model(), DataLoader(dataset, 7, shuffle=True)))


def check_errors(folder):
    """What is wrong is raised in every process."""
    with pytest.raises(InputsError, match="several processes"):
        record(model(), lambda: iter([data()]), store=folder / "unknown.zarr")
    with pytest.raises(Stop):
        record(model(at=0), inputs(), store=folder / "failing.zarr")
    with pytest.raises(StoreError, match="weights"):
        record(model(seed=1), inputs(), store=folder / "0.zarr")
    with pytest.raises(FormatError, match="2 processes at once"):
        ann2neo.export(nn.ReLU(), data(), folder / "a.nwb")


def check_other_in_one(folder):
    """A process that has other weights, another option or other code than the first one is refused; what the first one recorded is gone on with."""

    def squeezed(network, x):
        return network(x[:, None])

    x = inputs()
    changed = ann2neo.Inputs(x.data, batch_size=x.batch_size, labels=x.labels, forward=squeezed)
    others = {
        "holds another recording: weights": (model(seed=1), x, {}),
        "holds another recording: threshold rule": (model(), x, {"threshold": 0.25}),
        "would not fit together": (model(), changed, {}),
    }
    for number, (what, other) in enumerate(others.items()):
        path = folder / f"refused{number}.zarr"
        network, given, options = other if RANK == 1 else (model(), x, {})
        # The first process only sees that the other one is gone.
        with pytest.raises(StoreError if RANK == 1 else RuntimeError, match=what if RANK == 1 else None):
            record(network, given, store=path, **options)
        assert same(record(model(), x, store=path), record(model(), x))


def check_own_group(folder):
    """A group that the user made is left as it is."""
    dist.init_process_group("gloo")
    assert same(record(model(), inputs(), store=folder / "own.zarr"), record(model(), inputs()))
    with joined() as processes:
        assert processes.from_first(lambda: RANK) == 0
    dist.barrier()
    assert dist.get_world_size() == 2
    dist.destroy_process_group()


def check_overwriting(folder):
    """An older store is replaced once, before anybody writes into the new one."""
    assert same(
        ann2neo.export(model(seed=3), inputs(), folder / "0.zarr", overwrite=True, progress=False),
        record(model(seed=3), inputs()),
    )


def die(folder):
    """The second process dies in the middle of its columns."""
    network = model(seconds=0.01)
    if RANK == 1:
        network[0].register_forward_hook(lambda module, _x, _y: os._exit(9) if module.n_calls == 9 else None)
    record(network, inputs(), store=folder / "dying.zarr")


if __name__ == "__main__":
    torch.set_num_threads(1)
    store_sources.small_columns()
    for name in sys.argv[2:]:
        globals()[name](Path(sys.argv[1]))
