"""Weights whose bytes cannot be read are unknown, which is said and never fatal."""

import os
import socket

import numpy as np
import pytest
import torch
from capture_sources import X, record
from torch import nn
from torch.utils._pytree import tree_map

from ann2neo.capture.fingerprints import weights_sha256
from ann2neo.errors import Ann2NeoWarning, StoreError


class Halved(torch.Tensor):
    """A weight that is kept as its half, in a tensor within, as libraries of quantized weights keep theirs."""

    @staticmethod
    def __new__(cls, half):
        return torch.Tensor._make_wrapper_subclass(cls, half.shape, dtype=half.dtype)

    def __init__(self, half):
        self.half_ = half

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        def whole(one):
            return one.half_ * 2 if isinstance(one, Halved) else one

        if function is torch.ops.aten.detach.default:
            return cls(args[0].half_)
        return function(*tree_map(whole, args), **tree_map(whole, kwargs or {}))


def halved(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU())
    plain = record(model, X)
    model[0].weight = nn.Parameter(Halved(model[0].weight.detach() / 2))
    return model, plain


def sharded():
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU())
    plain = record(model, X)
    fully_shard(model)
    return model, plain


@pytest.fixture
def one_process(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": 0, "WORLD_SIZE": 1}.items():
        monkeypatch.setitem(os.environ, name, str(value))
    torch.distributed.init_process_group("gloo")
    yield
    torch.distributed.destroy_process_group()


def test_tensors_that_wrap_others_are_recorded():
    """Their spikes are those of the plain weights."""
    model, plain = halved()
    recording = record(model, X)
    assert recording.provenance["weights_sha256"] == weights_sha256(model) == "unknown"
    assert np.array_equal(recording.raster("1"), plain.raster("1"))


def test_sharded_models_are_recorded(one_process):
    """A model of `fully_shard` gives the spikes of the plain one."""
    model, plain = sharded()
    recording = record(model, X)
    assert recording.provenance["weights_sha256"] == "unknown"
    assert np.array_equal(recording.raster("1"), plain.raster("1"))


@pytest.mark.parametrize("kind", ["meta", "quantized", "sparse", "state_dict"])
def test_whatever_refuses_to_be_read_is_unknown(kind):
    """Not what an exception of torch's says."""
    model = nn.Module()
    if kind == "state_dict":
        model.state_dict = lambda: 1 / 0
    else:
        values = {
            "meta": lambda: torch.empty(3, device="meta"),
            "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.5, 0, torch.qint8),
            "sparse": lambda: torch.eye(3).to_sparse(),
        }
        model.register_buffer("value", values[kind]())
    assert weights_sha256(model) == "unknown"


def test_subclasses_that_only_add_to_a_tensor_are_known():
    """Their bytes are their values."""

    class Named(torch.Tensor):
        pass

    model, same = nn.Linear(3, 2), nn.Linear(3, 2)
    same.load_state_dict(model.state_dict())
    same.weight = nn.Parameter(model.weight.detach().clone().as_subclass(Named))
    assert weights_sha256(same) == weights_sha256(model) != "unknown"


def test_a_store_of_unknown_weights_is_known_by_what_they_compute(tmp_path):
    """It is opened if the first batch gives the same, which is said, and refused if not; from either side."""
    model, _ = halved()
    first = record(model, X, store=tmp_path / "a.zarr")
    with pytest.warns(Ann2NeoWarning, match="known only from batches that are run again"):
        assert record(model, X, store=tmp_path / "a.zarr").identical(first)
    torch.manual_seed(0)
    with pytest.warns(Ann2NeoWarning, match="known only from batches"):
        record(nn.Sequential(nn.Linear(6, 5), nn.ReLU()), X, store=tmp_path / "a.zarr")
    with pytest.raises(StoreError, match="does not give what"):
        record(halved(1)[0], X, store=tmp_path / "a.zarr")
