"""Memory that runs out and devices that are lost end in errors of the house; what a store holds is kept, and goes on."""

import numpy as np
import pytest
import torch
from capture_sources import record
from torch import nn

import ann2neo
from ann2neo import Inputs
from ann2neo.capture.predictions import Deferred
from ann2neo.capture.spikes import bits
from ann2neo.device.failures import is_lost, is_out_of_memory
from ann2neo.errors import DeviceError


class Failing(nn.Module):
    """Fails with the batch that holds a certain number, as long as it is to."""

    def __init__(self, fail):
        super().__init__()
        self.fc, self.act, self.fail = nn.Linear(3, 4), nn.ReLU(), fail

    def forward(self, x):
        if self.fail is not None and bool((x[:, 0] == 7).any()):
            self.fail()
        return self.act(self.fc(x))


def exhaust():
    torch.empty(1 << 60)


def exhaust_numpy():
    np.empty(1 << 50)


def exhaust_card():
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB"
    )


def lose():
    raise RuntimeError(
        "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported"
    )


@pytest.mark.parametrize("route", ["host", "device"])
@pytest.mark.parametrize(
    ("fail", "told", "cure"),
    [
        (exhaust, "the host ran out of memory", "smaller batches"),
        (exhaust_numpy, "the host ran out of memory", "smaller batches"),
        (
            exhaust_card,
            "the device ran out of memory: CUDA out of memory. Tried to allocate 2.00 GiB",
            "smaller batches",
        ),
        (lose, "a device failed: CUDA error: an illegal memory access", "in a new process"),
    ],
)
def test_failures_are_told_and_the_store_goes_on(fail, told, cure, route, tmp_path, monkeypatch):
    """In the first batch and later; the same call goes on once the cause is gone."""
    torch.manual_seed(0)
    model, x = Failing(fail), torch.randn(4 * 1024, 3)
    if route == "device":
        monkeypatch.setattr(bits, "HOSTS", frozenset())
        monkeypatch.setenv("TRITON_INTERPRET", "0")
    first = x.clone()
    first[3, 0] = 7
    with pytest.raises(DeviceError, match=told) as raised:
        record(model, Inputs(first, batch_size=512))
    assert cure in str(raised.value)
    x[3 * 1024 + 5, 0] = 7
    store = tmp_path / "a.zarr"
    with pytest.raises(DeviceError, match=told) as raised:
        record(model, Inputs(x, batch_size=512), store=store)
    assert any("columns that were recorded" in note for note in raised.value.__notes__)
    assert len(list(store.glob("log/0.*.json"))) >= 2
    model.fail = None
    found = record(model, Inputs(x, batch_size=512), store=store)
    assert found.layers[0].identical(record(model, Inputs(x, batch_size=512)).layers[0])


def test_other_errors_are_left_alone():
    """An error of the model's own is no failure of a device."""

    def other():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    x = torch.full((3, 3), 7.0)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        record(Failing(other), x)
    assert not is_lost(RuntimeError("the memory of an elephant"))
    assert not is_out_of_memory(ValueError("out of memory"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_lost(torch.OutOfMemoryError("CUDA out of memory"))


def test_numbers_on_their_way_are_arrays_when_they_are_looked_at():
    """Joined, sliced, compared, with a type: as the array that they become."""
    values = torch.tensor([3, 1, 2])
    deferred = Deferred(values)
    assert np.concatenate([deferred, deferred]).tolist() == [3, 1, 2, 3, 1, 2]
    assert deferred[1:].tolist() == [1, 2]
    assert deferred[np.array([True, False, True])].tolist() == [3, 2]
    assert np.asarray(deferred, np.float64).dtype == np.float64


def test_predictions_of_sixteen_bits_are_recorded(tmp_path):
    """NumPy has no bfloat16: such scores take the way of a device, into memory and into a store."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).to(torch.bfloat16)
    x = torch.randn(40, 6).to(torch.bfloat16)
    inputs = Inputs(x, labels=torch.arange(40) % 3, batch_size=8)
    expected = torch.cat([model(part).argmax(1) for part in x.split(8)]).tolist()
    for options in ({}, {"store": tmp_path / "a.zarr"}, {"store": tmp_path / "a.zarr"}):
        assert ann2neo.record(model, inputs, progress=False, **options).trials["predicted_label"].tolist() == expected
