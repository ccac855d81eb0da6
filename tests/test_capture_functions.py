"""Activation functions however they are called, and residual networks: bits are those of activations computed by hand."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from capture_sources import IMAGES, X, bits, in_batches, make, names, record
from torch import nn

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning
from ann2neo.probe.activations import FUNCTION_NAMES, equivalent_module


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)


WAYS = {
    "F.relu": (F.relu, "relu", 0.0),
    "F.relu in place": (lambda x: F.relu(x.clone(), inplace=True), "relu", 0.0),
    "torch.relu": (torch.relu, "relu", 0.0),
    "relu_": (lambda x: torch.relu_(x.clone()), "relu", 0.0),
    "x.relu": (lambda x: x.relu(), "relu", 0.0),
    "aten": (lambda x: torch.ops.aten.relu.default(x), "relu", 0.0),
    "clamp min": (lambda x: x.clamp(min=0), "clamp", 0.0),
    "clamp_min": (lambda x: torch.clamp_min(x, 0.0), "clamp", 0.0),
    "clip": (lambda x: x.clip(0, 1.5), "clamp", 0.0),
    "clamp min tensor": (lambda x: x.clamp(min=torch.zeros(1, 6)), "clamp", 0.0),
    "maximum": (lambda x: torch.maximum(x, torch.zeros_like(x)), "clamp", 0.0),
    "maximum number": (lambda x: x.maximum(other=torch.tensor(0.0)), "clamp", 0.0),
    "gelu": (F.gelu, "gelu", 0.0),
    "gelu tanh": (lambda x: F.gelu(x, approximate="tanh"), "gelu", 0.0),
    "leaky": (lambda x: F.leaky_relu(x, 0.3), "leaky_relu", 0.0),
    "prelu": (lambda x: F.prelu(x, torch.tensor([0.2])), "prelu", 0.0),
    "sigmoid": (torch.sigmoid, "sigmoid", 0.5),
    "expit": (torch.special.expit, "sigmoid", 0.5),
    "F.tanh": (F.tanh, "tanh", 0.0),
    "softplus": (lambda x: F.softplus(x, beta=2.0), "softplus", float(np.log(np.float32(2))) / 2),
    "threshold": (lambda x: F.threshold(x, 0.1, 0.05), "threshold", 0.05),
    "celu": (lambda x: torch.celu(x, 0.5), "celu", 0.0),
    "rrelu": (lambda x: F.rrelu(x, 0.1, 0.2, False), "rrelu", 0.0),
    "logsigmoid": (F.logsigmoid, "logsigmoid", -float(np.log(np.float32(2)))),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_functions_are_layers(way):
    """However an activation function is called, its output is a layer, and its threshold the value at 0 with the same slope and limits."""
    function, name, at_zero = WAYS[way]
    fc = nn.Linear(6, 6)
    recording = record(make(lambda self, x: self.fc(function(self.fc(x))), fc=fc))
    assert names(recording) == [name]
    expected = in_batches(lambda x: function(fc(x)), X)
    threshold = recording.layers[0].thresholds
    assert threshold == pytest.approx(at_zero, abs=1e-7)
    assert (recording.raster(name) == bits(expected, torch.tensor(threshold[0], dtype=torch.float32))).all()


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_a_stand_in_does_what_its_function_does(name):
    """The module whose value at 0 is the threshold is the same function."""
    args = {"threshold": (0.1, 20.0), "clamp": (0,), "prelu": (torch.tensor([0.3]),)}.get(name, ())
    function = getattr(F, name, None) or torch.clamp
    if name == "clamp":
        function = torch.clamp
    assert torch.equal(equivalent_module(name, (X, *args), {}).eval()(X.clone()), function(X.clone(), *args))


def test_functions_go_by_the_innermost_module_that_calls_them():
    """block.relu, its second call block.relu:1, and relu at the top; each with its own bits, whichever are asked for."""
    block = make(lambda self, x: F.relu(self.b(F.relu(self.a(x)))), a=nn.Linear(6, 6), b=nn.Linear(6, 6))
    model = make(lambda self, x: torch.tanh(self.block(x)).relu(), block=block)
    first = in_batches(lambda x: F.relu(block.a(x)), X)
    second = in_batches(lambda x: F.relu(block.b(F.relu(block.a(x)))), X)
    recording = record(model)
    assert names(recording) == ["block.relu", "block.relu:1", "tanh", "relu"]
    assert (recording.raster("block.relu") == bits(first)).all()
    assert (recording.raster("block.relu:1") == bits(second)).all()
    assert (recording.raster("tanh") == bits(torch.tanh(second))).all()
    for layers, expected in {
        "block.relu": ["block.relu", "block.relu:1"],
        "block.relu:1": ["block.relu:1"],
        "relu": ["relu"],
        "block.*": ["block.relu", "block.relu:1"],
        "*relu*": ["block.relu", "block.relu:1", "relu"],
    }.items():
        chosen = record(model, layers=layers)
        assert names(chosen) == expected
        assert all(chosen.layer(name).identical(recording.layer(name)) for name in expected)


def test_a_module_is_not_counted_twice():
    """nn.ReLU calls F.relu within: one layer. A module and a function of one name stay apart."""
    recording = record(make(lambda self, x: F.relu(self.relu(x) - 0.5), relu=nn.ReLU()))
    assert names(recording) == ["relu", "F.relu"]
    assert (recording.raster("F.relu") == bits(X.relu() - 0.5)).all()
    assert names(record(make(lambda self, x: F.relu(self.relu(x)), relu=nn.ReLU()), layers="relu")) == ["relu"]


def test_what_is_no_activation_of_a_unit_is_left_out():
    """Squashed parameters, integers, single numbers and clamps for other ends are no layers."""

    def forward(self, x):
        scale = F.softplus(self.scale.weight) + torch.sigmoid(torch.tensor(0.0))
        lengths = torch.tensor([3, -1]).clamp(min=0)
        x = torch.maximum(x, x.mean(1, keepdim=True)).clamp(min=torch.arange(6) - 9.0)
        return torch.relu(x / x.norm(dim=1, keepdim=True).clamp(min=1e-6)) * scale.sum() * lengths.sum()

    assert names(record(make(forward, scale=nn.Linear(1, 1)))) == ["relu"]


def test_functions_are_watched_only_as_long_as_needed():
    """A name of a module needs no function mode; without functions it is on in batches 1, 4, 16; with functions it stays; it never leaks."""
    active = []

    class Look(nn.Module):
        def forward(self, x):
            active.append(torch._C._len_torch_function_stack() > 0)
            return x

    plain, functional = nn.Sequential(Look(), nn.ReLU()), make(lambda self, x: F.relu(self.look(x)), look=Look())
    for model, layers, expected in [
        (plain, "1", [False] * 9),
        (plain, None, [n in (1, 4) for n in range(1, 10)]),
        (plain, "*", [n in (1, 4) for n in range(1, 10)]),
        (functional, None, [True] * 9),
        (functional, "relu", [True] * 9),
    ]:
        active.clear()
        ann2neo.record(model, [X[:4]] * 9, layers=layers, verify=False, progress=False)
        assert active == expected
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_function_that_is_called_later_is_not_missed():
    """The first batch calls no function; a later one does: refused, as a layer of a later batch is."""
    calls = []

    def forward(self, x):
        calls.append(0)
        return F.gelu(self.act(x)) if len(calls) > 3 else self.act(x)

    with pytest.raises(ActivationError, match="'gelu' was called by a later batch"):
        ann2neo.record(make(forward, act=nn.ReLU()), [X[:4]] * 9, progress=False)
    assert torch._C._len_torch_function_stack() == 0


def test_a_pattern_without_any_activation_function_means_modules():
    """The first batch decides: functions that fit, or else all modules; and random states do not notice."""
    model = make(lambda self, x: self.out(torch.relu(self.hidden(x))), hidden=nn.Linear(6, 4), out=nn.Linear(4, 3))
    recording = record(model, layers=["hid*", "out*"], threshold=0.1)
    assert names(recording) == ["hidden", "out"]
    assert (recording.raster("hidden") == bits(in_batches(model.hidden, X), 0.1)).all()
    model = make(lambda self, x: self.block(x), block=make(lambda self, x: torch.relu(self.fc(x)), fc=nn.Linear(6, 4)))
    assert names(record(model, layers="block*")) == ["block.relu"]
    noisy = make(lambda self, x: torch.relu(self.drop(self.fc(x))), fc=nn.Linear(6, 40), drop=nn.Dropout())
    both = [
        record(noisy, layers=layers, passes=ann2neo.Passes(2), threshold=0.0) for layers in ("drop", ["dr?p", "f*"])
    ]
    assert names(both[1]) == ["fc", "drop"]
    assert both[0].layer("drop").identical(both[1].layer("drop"))


def test_layers_that_come_later_are_refused():
    """Control flow that depends on data: a layer that some inputs do not reach has no bits for them."""
    branching = make(lambda self, x: torch.tanh(x).relu() if x[0, 0] > 10 else torch.tanh(x))
    late, gone = [X, X + 20], [X + 20, X]
    with pytest.raises(ActivationError, match=r"'relu'.*later batch"):
        record(branching, ann2neo.Inputs(late))
    alike = pytest.warns(Ann2NeoWarning, match="same for all inputs")  # Every tanh is 1 there.
    with alike, pytest.raises(ActivationError, match=r"'relu': 0"):
        record(branching, ann2neo.Inputs(gone))
    assert (record(branching, ann2neo.Inputs(late), layers="tanh").raster("tanh") == bits(torch.cat(late))).all()


def test_calls_are_counted_anew_in_each_batch_whatever_the_user_calls():
    """A custom forward may call a part of the model, several times, and functions of its own."""
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
    inputs = ann2neo.Inputs(X, batch_size=5, forward=lambda m, x: torch.sigmoid(m[1](m[1](m[0](x)) - 0.1)))
    recording = record(model, inputs)
    assert names(recording) == ["1", "1:1", "sigmoid"]
    assert (recording.raster("1:1") == bits(in_batches(lambda x: (model(x) - 0.1).relu(), X))).all()


class Block(nn.Module):
    """As in torchvision: one ReLU, in place, called twice."""

    def __init__(self, width, functional):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.act = torch.relu_ if functional else nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.bn2(self.conv2(self.act(self.bn1(self.conv1(x))))) + x)


def resnet(functional):
    torch.manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Sequential(Block(4, functional), Block(4, functional)), nn.Flatten(), nn.LazyLinear(3)
    )
    with torch.no_grad():
        model(IMAGES)
    return model.eval()


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("functional", [False, True])
def test_residual_networks(functional, channels_last):
    """Every call of the one in-place ReLU, or function, of each block; units in the order (channel, row, col) also where memory is not."""
    model, images = resnet(functional), IMAGES
    if channels_last:
        model, images = model.to(memory_format=torch.channels_last), IMAGES.to(memory_format=torch.channels_last)
    recording = record(model, images, batch_size=4)
    act = "relu" if functional else "act"
    assert names(recording) == [f"1.{block}.{act}{call}" for block in (0, 1) for call in ("", ":1")]

    def by_hand(x):
        x, found = model[0](x), []
        for block in model[1]:
            inner = block.bn1(block.conv1(x)).clamp(min=0)
            x = (block.bn2(block.conv2(inner)) + x).clamp(min=0)
            found += [inner, x]
        return torch.stack(found, dim=1)

    expected = in_batches(by_hand, images, 4)
    for place, layer in enumerate(recording.layers):
        assert layer.shape == (4, 6, 6)
        assert (recording.raster(layer.name) == bits(expected[:, place].contiguous())).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_functions_are_compared_in_their_own_type(dtype):
    """The value at 0 is that of the same function in the same type; so is a threshold that is given."""
    model, x = make(lambda self, x: F.softplus(x)), torch.tensor([[0.0], [1e-2], [-1e-2]], dtype=dtype)
    recording = record(model, x)
    assert recording.raster("softplus").tolist() == [[False, True, False]]
    assert recording.layers[0].thresholds[0] == float(F.softplus(torch.zeros(1, dtype=dtype)))
    assert (
        not record(make(lambda self, x: F.relu(x)), torch.full((4, 1), 0.7, dtype=dtype), threshold=0.7)
        .raster("relu")
        .any()
    )


def test_autocast_is_respected():
    """Under autocast the activation is bfloat16, and so is the comparison."""
    model = make(lambda self, x: F.gelu(self.fc(x)), fc=nn.Linear(6, 50))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        recording = record(model)
        expected = in_batches(model, X)
    assert recording.layers[0].dtype == "bfloat16"
    assert (recording.raster("gelu") == bits(expected)).all()
