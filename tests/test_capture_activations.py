"""Whatever torch counts among its activation functions is recorded, or listed by the plan with the reason."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from capture_sources import make, names
from torch import nn

import ann2neo

X = torch.randn(12, 6, generator=torch.Generator().manual_seed(2))
CLASSES = torch.nn.modules.activation.__all__
ARGUMENTS = {
    "Threshold": (0.1, 0.0),
    "MultiheadAttention": (6, 2),
    "Softmax": (-1,),
    "LogSoftmax": (-1,),
    "Softmin": (-1,),
}
# The functions that torch's documentation calls non-linear activation functions, with what they need beside x.
FUNCTIONS = {
    "threshold": (0.1, 0.0), "relu": (), "hardtanh": (), "hardswish": (), "relu6": (), "elu": (), "selu": (), "celu": (), "leaky_relu": (),
    "prelu": (torch.tensor([0.25]),), "rrelu": (), "glu": (), "gelu": (), "logsigmoid": (), "hardshrink": (), "tanhshrink": (), "softsign": (),
    "softplus": (), "softmin": (-1,), "softmax": (-1,), "softshrink": (), "gumbel_softmax": (), "log_softmax": (-1,), "tanh": (), "sigmoid": (),
    "hardsigmoid": (), "silu": (), "mish": (),
}  # fmt: skip
LISTED = ("softmin", "softmax", "gumbel_softmax", "log_softmax")


def planned(model):
    """Why each layer of the plan is not recorded, None where it is."""
    table = ann2neo.plan(model, X)
    return {row.layer: None if row.not_recorded != row.not_recorded else row.not_recorded for row in table.itertuples()}


@pytest.mark.parametrize("name", CLASSES)
def test_every_module_is_recorded_or_listed(name):
    """Beside a ReLU no activation module of torch's is left out without a word."""
    of_torch = getattr(nn, name)(
        *ARGUMENTS.get(name, ()), **({"batch_first": True} if name == "MultiheadAttention" else {})
    )
    called = {
        "MultiheadAttention": lambda self, x: F.relu(self.one(*[x[:, None]] * 3)[0]),
        "Softmax2d": lambda self, x: F.relu(self.one(x[:, :, None, None])[:, :, 0, 0]),
    }.get(name, lambda self, x: F.relu(self.one(x)))
    plan = planned(make(called, one=of_torch))
    assert plan["relu"] is None
    assert plan["one"] is None or "name it in layers=" in plan["one"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_recorded_or_listed(name):
    """The same for functions; of one that draws, the values are not used."""
    share = 0.0 if name == "gumbel_softmax" else 1.0
    plan = planned(
        make(lambda self, x: self.last(x[:, :1] + share * getattr(F, name)(x, *FUNCTIONS[name])), last=nn.Tanhshrink())
    )
    assert plan["last"] is None
    assert (plan[name] is not None) == (name in LISTED)
    assert "compete" in plan[name] if name in LISTED else True


@pytest.mark.parametrize("axis", [1, -1, 2])
def test_a_unit_of_a_gated_linear_unit_is_one_of_its_outputs(axis):
    """A spike where the first half is above 0, whatever the gate; half as many units as enter."""
    module, x = nn.GLU(axis), torch.randn(12, 6, 4, generator=torch.Generator().manual_seed(3))
    for model, name in ((nn.Sequential(module), "0"), (make(lambda self, x: F.glu(x, axis)), "glu")):
        recording = ann2neo.record(model, x, progress=False)
        assert names(recording) == [name]
        assert (recording.layers[0].thresholds == 0).all()
        assert (recording.raster(name) == (x.chunk(2, axis)[0] > 0).reshape(12, -1).numpy().T).all()


def test_a_softmax_is_recorded_where_it_is_named_and_excluded_where_it_is_not_wanted():
    """With a threshold of one's own; and what is excluded by name is not listed."""
    model = nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Softmax(-1))
    recording = ann2neo.record(model, X, layers="2", threshold=1 / 3, progress=False)
    with torch.no_grad():
        assert (recording.raster("2") == (model(X) > np.float32(1 / 3)).numpy().T).all()
    assert list(ann2neo.plan(model, X, layers="!2")["layer"]) == ["1"]
