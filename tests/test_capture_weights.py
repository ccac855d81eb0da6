"""The hash of the weights tells apart whatever a model computes with."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch
from capture_sources import X, record
from torch import nn

from ann2neo.capture.fingerprints import weights_sha256
from ann2neo.errors import StoreError


class Scaled(nn.Module):
    """A buffer that is no part of the state_dict scales what is computed."""

    def __init__(self, scale):
        super().__init__()
        self.fc, self.act = nn.Linear(6, 4), nn.ReLU()
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def forward(self, x):
        return self.act(self.scale * self.fc(x))


def scaled(scale):
    torch.manual_seed(0)
    return Scaled(scale)


def test_buffers_outside_of_the_state_dict_count(tmp_path):
    """They are hashed, so that a store is not taken for that of a model with others, even where no bit differs in what is run again."""
    assert weights_sha256(scaled(1.0)) == weights_sha256(scaled(1.0)) != weights_sha256(scaled(2.0))
    first = record(scaled(1.0), X, store=tmp_path / "a.zarr")
    assert first.provenance["weights_sha256"] != record(scaled(2.0), X).provenance["weights_sha256"]
    with pytest.raises(StoreError, match="weights"):
        record(scaled(2.0), X, store=tmp_path / "a.zarr")
    assert record(scaled(1.0), X, store=tmp_path / "a.zarr").identical(first)


def test_tied_weights_are_not_those_of_two_modules_but_may_hold_the_same_numbers():
    """Names, types, shapes and bytes are hashed: weights that are tied go by both names."""

    def pair(tied):
        torch.manual_seed(0)
        a = nn.Linear(3, 3)
        b = a if tied else nn.Linear(3, 3)
        b.load_state_dict(a.state_dict())
        return nn.ModuleDict({"a": a, "b": b})

    assert weights_sha256(pair(True)) == weights_sha256(pair(False))
    changed = pair(False)
    with torch.no_grad():
        changed["b"].bias[2] += 1
    assert weights_sha256(changed) != weights_sha256(pair(True))


class Keeping(nn.Module):
    """Keeps something beside its weights in the state_dict."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def get_extra_state(self):
        return self.kept

    def set_extra_state(self, state):
        self.kept = state


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.ones(2), torch.zeros(2)),
        ({"scale": 1.0, "history": [torch.ones(1)]}, {"scale": 1.0, "history": [torch.zeros(1)]}),
        ({"scale": 1.0}, {"scale": 2.0}),
        ("a", "b"),
    ],
)
def test_what_a_module_keeps_beside_its_weights_counts(one, other):
    """Tensors, numbers and texts of `get_extra_state`, however they are nested."""
    assert weights_sha256(Keeping(one)) == weights_sha256(Keeping(one)) != weights_sha256(Keeping(other))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.complex64, torch.int8, torch.bool])
def test_weights_of_any_type_are_hashed(dtype):
    """The bytes count, whatever they mean; none and one number included."""
    found = set()
    for value in (torch.zeros(0, dtype=dtype), torch.zeros((), dtype=dtype), torch.ones((), dtype=dtype)):
        model = nn.Module()
        model.register_buffer("value", value, persistent=False)
        found.add(weights_sha256(model))
    assert len(found) == 3


HASH = """
import torch
from torch import nn
from ann2neo.capture.fingerprints import weights_sha256
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
model.register_buffer("cache", torch.arange(3.0), persistent=False)
model[2].weight = nn.Parameter(model[0].weight.detach().T.contiguous())
print(weights_sha256(model))
"""


@pytest.mark.slow("processes of torch are started")
def test_the_hash_is_the_same_in_another_process():
    """Nothing of it depends on places in memory or on the hashes of texts."""
    found = {
        subprocess.run(
            [sys.executable, "-c", HASH],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert len(found.pop().strip()) == 64


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_hash_is_that_of_the_hashes_of_parts(dtype):
    """Texts and the hashes of a mebibyte at a time, one after another, as a slow loop hashes them; of large weights, small and empty ones."""
    torch.manual_seed(0)
    model = nn.ParameterDict(
        {
            name: nn.Parameter(torch.randn(n).to(dtype))
            for name, n in {"a": 3, "b": 800_001, "c": 0, "d": 1 << 19}.items()
        }
    )
    digest = hashlib.sha256()
    for name, value in sorted(model.items()):
        raw = value.detach().view(torch.uint8).numpy().tobytes()
        digest.update(f"{name} {dtype} {tuple(value.shape)}".encode())
        for first in range(0, max(1, len(raw)), 1 << 20):
            digest.update(hashlib.sha256(raw[first : first + (1 << 20)]).digest())
    assert weights_sha256(model) == digest.hexdigest()
    with torch.no_grad():
        model["b"][700_000] += 1
    assert weights_sha256(model) != digest.hexdigest()
