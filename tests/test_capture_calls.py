"""What is a call of an activation function, whatever numbers it is called with; and what is not seen is told."""

import types
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from capture_sources import X, bits, in_batches, make, names, record
from torch import nn

import ann2neo
from ann2neo.errors import Ann2NeoWarning
from ann2neo.probe.activations import equivalent_module

ZEROS = {
    "python": 0,
    "float": 0.0,
    "float32": np.float32(0),
    "float64": np.float64(0),
    "int64": np.int64(0),
    "tensor": torch.tensor(0.0),
    "integer tensor": torch.tensor(0),
    "parameter": nn.Parameter(torch.tensor(0.0)),
}
WAYS = {
    "method": lambda x, zero: x.clamp(min=zero),
    "function": torch.clamp,
    "clamp_min": torch.clamp_min,
    "in place": lambda x, zero: torch.clamp_(x.clone(), zero),
    "clip": lambda x, zero: x.clip(min=zero),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("zero", ZEROS)
def test_clamps_at_any_zero_are_layers(zero, way):
    """Python's, NumPy's and torch's numbers without axes are numbers."""
    recording = record(make(lambda self, x: WAYS[way](x, ZEROS[zero])), X)
    assert names(recording) == ["clamp"]
    assert (recording.raster("clamp") == bits(X)).all()


@pytest.mark.parametrize("upper", [1.5, np.float32(1.5), torch.tensor(1.5)])
def test_upper_ends_are_numbers_as_well(upper):
    """A clamp between zero and any positive number; what lies above is at the upper end."""
    lower = torch.zeros(()) if isinstance(upper, torch.Tensor) else 0.0
    recording = record(make(lambda self, x: x.clamp(lower, upper)), X, threshold=1.5)
    assert not recording.raster("clamp").any()
    assert repr(equivalent_module("clamp", (X, 0, upper), {})) == "Hardtanh(min_val=0.0, max_val=1.5)"


@pytest.mark.parametrize(
    "clamp",
    [
        lambda x: x.clamp(min=torch.tensor(1e-6)),
        lambda x: x.clamp(min=np.float32(-1)),
        lambda x: x.clamp(min=torch.tensor([0.0] * 5 + [1e-6])),
        lambda x: x.clamp(torch.tensor(0.0), torch.tensor(-1.0)),
        lambda x: x.clamp(max=torch.tensor(0.0)),
    ],
)
def test_other_clamps_are_no_layers(clamp):
    """Other ends, another one for each unit, or none below."""
    assert names(record(make(lambda self, x: torch.tanh(clamp(x))), X)) == ["tanh"]


ELUS = {
    "operator": (torch.ops.aten.elu.default, (1.0, 1.0, 1.0), "ELU"),
    "alpha": (torch.ops.aten.elu.default, (0.5, 1.0, 1.0), "ELU"),
    "scaled": (torch.ops.aten.elu.default, (1.0, 1.0, 0.5), "ScaledELU"),
    "selu": (torch.ops.aten.elu.default, (1.6732632423543772, 1.0507009873554805), "ScaledELU"),
    "function": (F.elu, (0.5, False), "ELU"),
    "in place": (lambda x, *rest: F.elu(x.clone(), *rest), (0.5, True), "ELU"),
}


@pytest.mark.parametrize("way", ELUS)
def test_elu_is_recorded_however_it_is_called(way):
    """The operator has scales where the function has its truth value for work in place."""
    function, rest, kind = ELUS[way]
    model = make(lambda self, x: function(self.fc(x), *rest), fc=nn.Linear(6, 4))
    recording = record(model, X)
    assert names(recording) == ["elu"]
    assert recording.layers[0].thresholds.tolist() == [0.0] * 4
    assert (recording.raster("elu") == bits(in_batches(model, X))).all()
    stand_in = equivalent_module("elu", (X, *rest), {})
    assert type(stand_in).__name__ == kind
    assert torch.equal(stand_in(X.clone()), function(X.clone(), *rest))
    if kind == "ScaledELU":
        # Its lowest value is not known: any threshold is taken.
        assert record(model, X, threshold=-9.0).raster("elu").all()


def test_operators_may_be_given_a_generator():
    """rrelu takes one, which the module does not."""
    model = make(lambda self, x: torch.ops.aten.rrelu.default(x, 0.1, 0.2, False, generator=torch.Generator()))
    assert names(record(model, X)) == ["rrelu"]


# Scripted functions


@torch.jit.script
def scripted(x):
    return torch.relu(x) * 2


@torch.jit.script
def harmless(x):
    return x + 1


space = types.ModuleType("space")
space.swish = scripted


class Attribute(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = scripted

    def forward(self, x):
        return self.act(x)


class OnClass(nn.Module):
    act = staticmethod(scripted)

    def forward(self, x):
        return self.act(x)


class Listing(nn.Module):
    def forward(self, x):
        return torch.stack([scripted(part) for part in x])


class InSpace(nn.Module):
    def forward(self, x):
        return space.swish(x)


def test_scripted_functions_are_told():
    """Other layers are recorded; which function of which module is missing, and how it is seen, is told once."""

    traced = torch.jit.trace(F.gelu, torch.zeros(2))

    class Traced(nn.Module):
        def forward(self, x):
            return traced(x)

    for kind, function, inside in [
        (Attribute, "scripted", "relu"),
        (OnClass, "scripted", "relu"),
        (Listing, "scripted", "relu"),
        (InSpace, "scripted", "relu"),
        (Traced, "gelu", "gelu"),
    ]:
        model = nn.Sequential(kind(), nn.Linear(6, 4), nn.Tanh())
        with pytest.warns(Ann2NeoWarning) as caught:
            recording = record(model, X)
        caught = [one for one in caught if issubclass(one.category, Ann2NeoWarning)]
        assert len(caught) == 1, [str(one.message) for one in caught]
        text = str(caught[0].message)
        assert text.startswith(
            f"'0' ({kind.__name__}) calls the scripted function '{function}', within which activation functions are not seen: {inside}."
        )
        assert "PYTORCH_JIT=0" in text
        assert names(recording) == ["2"]


def test_layers_that_are_named_need_no_warning():
    """Who names modules does not ask for functions; a pattern that may be a function does."""
    model = nn.Sequential(Attribute(), nn.Linear(6, 4), nn.Tanh())
    assert names(record(model, X, layers="2")) == ["2"]
    with pytest.warns(Ann2NeoWarning, match="scripted"):
        record(model, X, layers=["2", "*"])


def test_scripted_functions_without_activation_functions_are_not_told():
    """Nothing is missing."""

    class Harmless(nn.Module):
        def forward(self, x):
            return torch.relu(harmless(x))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(record(Harmless(), X)) == ["relu"]


def test_the_plan_tells_as_well():
    """Before anything runs long."""
    with pytest.warns(Ann2NeoWarning, match="scripted function"):
        ann2neo.plan(nn.Sequential(Attribute(), nn.Tanh()), X)
