"""A layer goes by its exact name before any pattern, and each of its calls can be left out."""

import numpy as np
import pytest
import torch
from torch import nn

import ann2neo
from ann2neo.errors import LayerNotFound
from ann2neo.recording import matches

torch.set_num_threads(1)

X = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
ODD = ["[!a]", "!x", "act[0]", "a*b", "act?"]


class Twice(nn.Module):
    """Calls one module twice, and one function twice."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.out, self.act = nn.Linear(4, 4), nn.Linear(4, 4), nn.Tanh()

    def forward(self, x):
        return torch.relu(self.act(self.out(torch.relu(self.act(self.fc(x))))))


class Odd(nn.Module):
    """Has modules whose names read like patterns, and others that these patterns would fit."""

    def __init__(self, names):
        super().__init__()
        self.acts = nn.ModuleDict()
        for name in names:
            self.add_module(name, nn.ReLU())

    def forward(self, x):
        return sum(module(x) for name, module in self.named_children() if name != "acts")


def layers_of(model, layers, **options):
    return [layer.name for layer in ann2neo.record(model, X, layers=layers, progress=False, **options).layers]


EVERY = ["act", "relu", "act:1", "relu:1"]


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        ("!act:1", ["act", "relu", "relu:1"]),
        (["act", "!act:1"], ["act"]),
        ("!relu:1", ["act", "relu", "act:1"]),
        (["relu", "act", "!*:1"], ["act", "relu"]),
        ("!act", ["relu", "relu:1"]),
    ],
)
def test_a_call_is_left_out(layers, left):
    """The second call of a module or of a function, by name or pattern; in a plan as in a recording, with other options beside."""
    assert layers_of(Twice(), None) == EVERY
    assert layers_of(Twice(), layers) == left
    assert ann2neo.plan(Twice(), X, layers=layers)["layer"].tolist() == left
    assert layers_of(Twice(), layers, threshold={left[0]: 0.5, "*": 0.0}, units={left[0]: [0, 1]}) == left


def test_a_call_that_never_came_is_told():
    """There are two calls, 0 and 1."""
    with pytest.raises(LayerNotFound, match="'!act:2'"):
        layers_of(Twice(), "!act:2")


@pytest.mark.parametrize("name", ODD)
def test_an_exact_name_goes_before_a_pattern(name):
    """The module of that name alone is recorded, has its own threshold and units, and can be left out."""
    names = [*ODD, "b", "x", "act0", "aXb", "other"]
    others = [other for other in names if other != name]
    assert layers_of(Odd(names), name) == [name]
    assert layers_of(Odd(names), f"!{name}") == others
    recording = ann2neo.record(
        Odd(names),
        X,
        threshold={name: 0.5, "*": 0.0},
        units={name: [2], "*": [0, 1]},
        layers=[name, "other"],
        progress=False,
    )
    assert np.array_equal(recording.raster(name), (X[:, [2]] > 0.5).T.numpy())
    assert np.array_equal(recording.raster("other"), (X[:, [0, 1]] > 0).T.numpy())
    assert [layer.name for layer in ann2neo.record(Odd(names), X, progress=False).select(layers=name).layers] == [name]


def test_patterns_stay_patterns():
    """Where no layer has that very name."""
    assert layers_of(Odd(["act0", "act1", "b"]), "act[0]") == ["act0"]
    assert layers_of(Odd(["act0", "act1", "b"]), ["act?", "!act0"]) == ["act1"]
    assert matches("act[0]:1", "act[0]")
    assert not matches("act[0]", "act[0]:1")
