"""Models and inputs that are recorded into stores, also by processes of their own."""

import dataclasses
import re
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

import ann2neo
from ann2neo.store import layout
from ann2neo.store.sums import Sums, read_attributes, read_sums, write_sealed

N_INPUTS = 300
BATCH_SIZE = 7


class Stop(Exception):
    """What a model or a loader raises."""


class Failing(nn.Module):
    """Gives its input back, and fails at a certain call, or takes its time."""

    def __init__(self, at=None, seconds=0.0):
        super().__init__()
        self.at, self.seconds, self.n_calls = at, seconds, 0

    def extra_repr(self):
        return ""

    def forward(self, x):
        self.n_calls += 1
        if self.at is not None and self.n_calls > self.at:
            raise Stop(f"call {self.n_calls}")
        if self.seconds:
            time.sleep(self.seconds)
        return x


def model(at=None, seconds=0.0, seed=0):
    """A small network of two layers; the same weights whenever it fails."""
    generator = torch.Generator().manual_seed(seed)
    network = nn.Sequential(
        Failing(at, seconds),
        nn.Linear(6, 9),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(9, 5),
        nn.Sigmoid(),
        nn.Linear(5, 3),
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network


def data(n_inputs=N_INPUTS, seed=1):
    return torch.randn(n_inputs, 6, generator=torch.Generator().manual_seed(seed))


def inputs(n_inputs=N_INPUTS, batch_size=BATCH_SIZE):
    return ann2neo.Inputs(data(n_inputs), batch_size=batch_size, labels=np.arange(n_inputs) % 3)


def record(network, x, **options):
    """Record without a progress bar, and without running the first batch again: these networks count and fail."""
    return ann2neo.record(network, x, progress=False, **{"verify": False, **options})


def interrupted(path, at, x=None, **options):
    """Record until the model fails at a call."""
    # Here, because processes that do not test import this module too.
    import pytest

    with pytest.raises(Stop) as caught:
        record(model(at), inputs() if x is None else x, store=path, **options)
    assert "the same call goes on with the rest" in caught.value.__notes__[0]


class Batches:
    """Batches that can only be read one after another, and come to an end that is not known."""

    def __init__(self, x, sizes):
        self.x, self.sizes = x, sizes

    def __iter__(self):
        first = 0
        for size in self.sizes:
            yield self.x[first : first + size], torch.arange(first, first + size) % 5
            first += size


class Counting(Dataset):
    """Counts which items are read."""

    def __init__(self, x):
        self.x, self.read = x, []

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        self.read.append(index)
        return self.x[index], index % 9


def small_columns(n_bins=16):
    """Make columns so small that little data fills many."""
    layout.MIN_COLUMN_BINS = layout.MAX_COLUMN_BINS = n_bins


def unfinish(path):
    """Make a store of one that is complete that still grows."""
    attributes, sums = read_attributes(path), read_sums(path)
    chunks = {name: crc for name, crc in sums.chunks.items() if name.endswith(("units", "thresholds"))}
    known = {name: crc for name, crc in sums.files.items() if re.search(r"units/|thresholds/|recording.json|npz", name)}
    write_sealed(path, attributes | {"complete": False}, Sums(files=known, chunks=chunks), growing=True)
    (path / "checksums.json").unlink()


def record_slowly(path, seconds):
    """Record into a store in a process of its own."""
    torch.set_num_threads(1)
    small_columns()
    ann2neo.record(
        model(seconds=seconds), inputs(), store=Path(path), passes=ann2neo.Passes(2), verify=False, progress=False
    )


def same(a, b):
    """Whether two recordings are identical but for the time at which they were made."""
    created = {"created": a.provenance["created"]}
    return a.identical(dataclasses.replace(b, provenance=dict(b.provenance) | created))
