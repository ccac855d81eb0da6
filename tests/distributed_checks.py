"""Run by torchrun: each process records into stores together with the others and checks what it gets."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import store_sources
import torch
import torch.distributed as dist
from store_sources import Stop, data, inputs, model, same
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, DistributedSampler, TensorDataset

import ann2neo
from ann2neo.capture import distributed
from ann2neo.capture.distributed import joined
from ann2neo.errors import Ann2NeoWarning, FormatError, InputsError, StoreError

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
        # What is noticed before anything runs is told by all; later the first process only sees that the other one is gone.
        told = what if RANK == 1 or "holds" in what else "failed or ended"
        with pytest.raises(StoreError, match=told):
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


class Table(Dataset):
    """A map-style data set whose labels tell which input is which."""

    def __init__(self, x):
        self.x = x

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], index


def check_parts_of_one_set(folder):
    """Each process has a part of one data set: the whole is recorded, each input once, under its own place, with its own label."""
    x = data(101)  # not a multiple of two: DistributedSampler repeats one input
    whole = record(model(), DataLoader(Table(x), 7))
    samplers = {
        "plain": DistributedSampler(Table(x), 2, RANK, shuffle=False),
        "shuffled": DistributedSampler(Table(x), 2, RANK, shuffle=True, seed=3),
        "same_rank": DistributedSampler(Table(x), 2, 0, shuffle=False),
        "own": range(RANK, 101, 2),
    }
    for name, sampler in samplers.items():
        loader = DataLoader(Table(x), 7, sampler=sampler)
        recording = record(model(), loader, store=folder / f"parts_{name}.zarr")
        assert recording.trials["stimulus_id"].tolist() == list(range(101)), name
        assert recording.trials["label"].tolist() == list(range(101)), name
        assert same(recording, whole), name
        assert record(model(at=1), loader, store=folder / f"parts_{name}.zarr").identical(recording)


def check_other_inputs(folder):
    """Inputs that differ and cannot be put together are refused in all processes before a model runs, and no store is made."""
    x = data(100)
    half = x[RANK * 50 : (RANK + 1) * 50]
    # In the third of fifteen batches; in a quarter of all.
    within, beyond = x.clone(), x.clone()
    within[20] += RANK
    beyond[55:80] += RANK
    drawn = DistributedSampler(Table(x), 2, RANK)
    cases = {
        "shards": (half, "process 1 has other inputs"),
        "unequal": (x[: 60 - RANK], "in other numbers or batches"),
        "loaders": (DataLoader(Table(half), 10), "process 1 has other inputs"),
        "shuffled": (DataLoader(Table(half), 10, shuffle=True), "process 1 has other inputs"),
        "overlapping": (
            DataLoader(Table(x), 10, sampler=range(20 * RANK, 60 + 20 * RANK)),
            "process 1 has other inputs",
        ),
        "middle": (torch.cat([x[:40], x[40:60] + RANK, x[60:]]), "process 1 has other inputs"),
        "in a tensor": (ann2neo.Inputs(within, batch_size=7), "process 1 has other inputs"),
        "in a list": (list(within.split(7)), "process 1 has other inputs"),
        "in a loader": (DataLoader(TensorDataset(within), 7), "process 1 has other inputs"),
        "in a table": (DataLoader(Table(beyond), 1), "process 1 has other inputs"),
        "lists": (list(half.split(10)), "process 1 has other inputs"),
        "generators": (iter(half.split(10)), "several processes"),
        "listed": (
            ann2neo.Inputs(DataLoader(Table(x), 10, sampler=drawn), labels=[0] * 50),
            "labels or lengths are listed",
        ),
        "batches": (DataLoader(Table(x), batch_sampler=Sorted(drawn, 10, False)), "a way of its own"),
    }
    for name, (given, what) in cases.items():
        network = model()
        with pytest.raises(InputsError) as caught:
            record(network, given, store=folder / f"other_{name}.zarr")
        assert what in str(caught.value), (name, str(caught.value))
        assert not (folder / f"other_{name}.zarr").exists()
        assert network[0].n_calls <= (name == "generators")


class Sorted(BatchSampler):
    pass


def check_other_notes(folder):
    """Notes of the store are those of all processes."""
    with pytest.raises(StoreError, match=r"(?s)process 0 has the notes seed=0, process 1 seed=1.*the same notes="):
        record(model(), inputs(), store=folder / "notes.zarr", notes={"seed": RANK})
    assert not (folder / "notes.zarr").exists()
    assert record(model(), inputs(), store=folder / "notes.zarr", notes={"seed": 3}).provenance["notes_seed"] == 3


def check_other_stores(folder):
    """A sweep in which each process has a store of its own is told so at once, and records alone if it asks for that."""
    path = folder / f"seed{RANK}.zarr"
    begin = time.monotonic()
    with pytest.raises(StoreError, match=r"(?s)different stores.*seed0.*seed1.*processes=1"):
        record(model(seed=RANK), inputs(), store=path)
    assert time.monotonic() - begin < 20
    assert not path.exists()
    assert same(record(model(seed=RANK), inputs(), store=path, processes=1), record(model(seed=RANK), inputs()))


def check_one_alone(folder):
    """`if rank == 0: record(...)` ends in an error that names who is waited for; afterwards all record together as if nothing had been."""
    distributed.SECONDS_TO_JOIN, distributed.SECONDS_OF_SILENCE = 1.0, 0.2
    for is_users in (False, True):
        if is_users:
            dist.init_process_group("gloo")
        for lonely in (0, 1):
            path = folder / f"alone{is_users}{lonely}.zarr"
            if lonely == RANK:
                with (
                    pytest.warns(Ann2NeoWarning, match=f"waiting for process {1 - lonely} of 2"),
                    pytest.raises(StoreError, match=rf"(?s)process {1 - lonely} of 2.*if rank == 0.*processes=1"),
                ):
                    record(model(), inputs(), store=path)
                assert not path.exists()
            else:
                time.sleep(2)
            assert same(record(model(), inputs(), store=path), record(model(), inputs()))
        if is_users:
            dist.destroy_process_group()
    distributed.SECONDS_TO_JOIN, distributed.SECONDS_OF_SILENCE = 40.0, 8.0


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
