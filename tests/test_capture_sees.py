"""Capture sees everything: each layer's bits are those of activations that were computed by hand."""

import sys
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

import ann2neo
from ann2neo.capture.activations import FUNCTION_NAMES, equivalent_module, is_activation
from ann2neo.capture.layers import named_modules
from ann2neo.capture.watch import Watch
from ann2neo.errors import ActivationError, LayerNeverRan, LayerNotFound, ModelError, ThresholdError

X = torch.randn(13, 6, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(9, 3, 8, 8, generator=torch.Generator().manual_seed(1))
SEQUENCES = torch.randn(7, 5, 4, generator=torch.Generator().manual_seed(2))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)


def record(model, inputs=X, batch_size=5, **options):
    if not isinstance(inputs, ann2neo.Inputs):
        inputs = ann2neo.Inputs(inputs, batch_size=batch_size)
    return ann2neo.record(model, inputs, progress=False, **options)


def names(recording):
    return [layer.name for layer in recording.layers]


def bits(activations, threshold=0.0):
    """(input, ...) -> (unit, input)."""
    return (activations.detach() > threshold).reshape(len(activations), -1).numpy().T


def in_batches(function, x, batch_size=5):
    """Run in the batches in which the recording runs: other sizes change the last bits of floats."""
    with torch.no_grad():
        return torch.cat([function(part) for part in x.split(batch_size)])


def make(forward, **modules):
    """A module with this forward(self, x)."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            for name, module in modules.items():
                self.add_module(name, module)

        def forward(self, x):
            return forward(self, x)

    return Model().eval()


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
        return torch.relu(x / x.norm(dim=1, keepdim=True).clamp(min=1e-6)) * scale.sum() * lengths.sum()

    assert names(record(make(forward, scale=nn.Linear(1, 1)))) == ["relu"]


def test_functions_are_watched_only_as_long_as_needed():
    """A name of a module needs no function mode; without functions it ends with the first batch; with functions it stays; it never leaks."""
    active = []

    class Look(nn.Module):
        def forward(self, x):
            active.append(torch._C._len_torch_function_stack() > 0)
            return x

    plain, functional = nn.Sequential(Look(), nn.ReLU()), make(lambda self, x: F.relu(self.look(x)), look=Look())
    for model, layers, expected in [
        (plain, "1", [False] * 3),
        (plain, None, [True, False, False]),
        (plain, "*", [True, False, False]),
        (functional, None, [True] * 3),
        (functional, "relu", [True] * 3),
    ]:
        active.clear()
        record(model, layers=layers)
        assert active == expected
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
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
    with pytest.raises(ActivationError, match=r"'relu': 0"):
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


# ---------------------------------------------------------------------------------------------------------------- outputs of many forms


@dataclass
class Parts:
    hidden: torch.Tensor
    scores: torch.Tensor


Named = namedtuple("Named", "hidden scores")


@pytest.mark.parametrize("kind", [dict, Parts, Named])
def test_named_parts_of_outputs(kind):
    """A part of a mapping, dataclass or named tuple is a layer by name; without a name several are ambiguous, but of a tuple the first is meant."""
    inner = make(lambda self, x: kind(hidden=x * 2, scores=x - 1))
    model = make(lambda self, x: self.inner(x), inner=inner)
    recording = record(model, layers=["inner.scores", "inner.hidden"], threshold=0.25)
    assert sorted(names(recording)) == ["inner.hidden", "inner.scores"]
    assert (recording.raster("inner.scores") == bits(X - 1, 0.25)).all()
    assert (recording.raster("inner.hidden") == bits(X * 2, 0.25)).all()
    assert (record(model, layers="hidden", threshold=0.25).raster("hidden") == bits(X * 2, 0.25)).all()
    with pytest.raises(LayerNotFound, match="'hidden'"):
        record(model, layers="inner.hiden", threshold=0.0)
    if kind is Named:
        assert (record(model, layers="inner", threshold=0.0).raster("inner") == bits(X)).all()
    else:
        with pytest.raises(ActivationError, match=r"layers='inner.hidden'"):
            record(model, layers="inner", threshold=0.0)


def test_tuples_and_single_parts():
    """Of a tuple or list the first floating-point tensor; of a mapping the only one, or the last hidden state; or else an error."""
    for output in (
        lambda x: (None, torch.arange(len(x)), x),
        lambda x: [x, x - 1],
        lambda x: {"ids": torch.arange(len(x)), "x": x},
        lambda x: {"pooled": x - 1, "last_hidden_state": x},
    ):
        model = nn.Sequential(make(lambda self, x, output=output: output(x)))
        assert (record(model, layers="0", threshold=0.0).raster("0") == bits(X)).all()
    with pytest.raises(ActivationError, match="tuple"):
        record(nn.Sequential(make(lambda self, x: (None, 3))), layers="0", threshold=0.0)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_hidden_states_of_recurrent_modules(kind, batch_first):
    """All steps of the hidden state, one bin each, input by input, whichever axis comes first; spikes where it is positive."""

    def forward(self, x):
        return self.core(x)[0][:, -1] if batch_first else self.core(x.transpose(0, 1))[0][-1]

    model = make(forward, core=kind(4, 3, num_layers=2, bidirectional=True, batch_first=batch_first))
    states = in_batches(
        lambda x: model.core(x)[0] if batch_first else model.core(x.transpose(0, 1))[0].transpose(0, 1), SEQUENCES
    )
    recording = record(model, SEQUENCES, layers="core", steps=ann2neo.Steps(1))
    assert recording.layer("core").shape == (6,)
    assert (recording.raster("core") == bits(states.reshape(35, 6))).all()
    assert recording.stretches.tolist() == list(range(0, 40, 5))
    assert (record(model, SEQUENCES, layers="core").raster("core") == bits(states)).all()
    with pytest.raises(LayerNotFound, match="core"):
        record(model, SEQUENCES)


def test_packed_sequences():
    """A packed sequence is unpacked in the order of the inputs; lengths leave its padding out."""
    lengths = torch.tensor([2, 5, 1, 4, 3, 5, 2])

    def forward(self, batch):
        packed = nn.utils.rnn.pack_padded_sequence(batch["x"], batch["n"], batch_first=True, enforce_sorted=False)
        return self.core(packed)[1]

    model = make(forward, core=nn.GRU(4, 3, batch_first=True))
    inputs = ann2neo.Inputs([{"x": SEQUENCES, "n": lengths}], forward=lambda model, batch: model(batch))
    recording = record(model, inputs, layers="core", steps=ann2neo.Steps(1, lengths=lengths))
    with pytest.raises(ActivationError, match="NaN"):
        record(model, inputs, layers="core", steps=ann2neo.Steps(1))
    expected = torch.cat([model.core(x[None, :n])[0][0] for x, n in zip(SEQUENCES, lengths)])
    assert (recording.raster("core") == bits(expected)).all()


def test_recurrent_cells_are_steps():
    """A cell called once per step gives (h, c); its hidden state is a bin per call."""

    def forward(self, x):
        state = None
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return state[0]

    model = make(forward, cell=nn.LSTMCell(4, 3))
    recording = record(model, SEQUENCES, layers="cell", steps=ann2neo.Steps("calls"))
    whole = nn.LSTM(4, 3, batch_first=True)
    whole.load_state_dict({f"{name}_l0": value for name, value in model.cell.state_dict().items()})
    assert (recording.raster("cell") == bits(in_batches(lambda x: whole(x)[0], SEQUENCES).reshape(35, 3), 0.0)).all()


# ---------------------------------------------------------------------------------------------------------------- transformers


def encoder(batch_first=True, activation="relu", norm_first=False):
    torch.manual_seed(8)
    layer = nn.TransformerEncoderLayer(4, 2, 16, batch_first=batch_first, activation=activation, norm_first=norm_first)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_fused_encoder_layers_show_their_activations(batch_first, activation):
    """In eval mode torch fuses an encoder layer, whose activation is a function at that: both are seen."""
    model = encoder(batch_first, activation)
    inputs = ann2neo.Inputs(
        SEQUENCES, batch_size=3, forward=lambda m, x: m(x) if batch_first else m(x.transpose(0, 1)).transpose(0, 1)
    )
    recording = record(model, inputs, steps=ann2neo.Steps(1))
    assert names(recording) == [f"layers.0.{activation}", f"layers.1.{activation}"]
    function = getattr(F, activation)

    def by_hand(x):
        found = []
        for layer in model.layers:
            query = x if batch_first else x.transpose(0, 1)
            attended = layer.self_attn(query, query, query, need_weights=False)[0]
            x = layer.norm1(x + (attended if batch_first else attended.transpose(0, 1)))
            found.append(function(layer.linear1(x)))
            x = layer.norm2(x + layer.linear2(found[-1]))
        return torch.stack(found, dim=1)

    fused = torch.backends.mha.get_fastpath_enabled()
    expected = in_batches(by_hand, SEQUENCES, 3)
    for place, layer in enumerate(recording.layers):
        # Fused attention differs in the last bits.
        assert (recording.raster(layer.name) == bits(expected[:, place].reshape(35, 16))).mean() > 0.999
    assert torch.backends.mha.get_fastpath_enabled() == fused


def test_attention_outputs_and_padding_masks():
    """Attention modules give their outputs, without their weights; masks that make torch nest its tensors change nothing."""
    torch.manual_seed(8)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 16, batch_first=True), 2).eval()
    mask = torch.arange(5)[None] >= torch.tensor([5, 2, 4, 5, 1, 3, 5])[:, None]
    batches = [{"src": SEQUENCES, "src_key_padding_mask": mask}]
    everything = record(
        model, ann2neo.Inputs(batches), layers=["*relu", "layers.0.self_attn"], threshold=0.0, steps=ann2neo.Steps(1)
    )
    assert names(everything) == ["layers.0.self_attn", "layers.0.relu", "layers.1.relu"]
    with torch.no_grad():
        attended = model.layers[0].self_attn(SEQUENCES, SEQUENCES, SEQUENCES, key_padding_mask=mask)[0]
    same = everything.raster("layers.0.self_attn") == bits(attended.reshape(35, 4))
    assert same[:, ~mask.flatten().numpy()].all()
    for name in ("layers.0.self_attn", "layers.1.relu"):
        alone = record(model, ann2neo.Inputs(batches), layers=name, threshold=0.0, steps=ann2neo.Steps(1))
        assert alone.layer(name).identical(everything.layer(name))


def by_own_hooks(model, modules, call):
    """Outputs of modules through hooks set here, cloned at once."""
    found = {}
    handles = [
        model.get_submodule(name).register_forward_hook(
            lambda _m, _a, output, name=name: found.setdefault(name, output.clone())
        )
        for name in modules
    ]
    with torch.no_grad():
        call()
    for handle in handles:
        handle.remove()
    return found


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["vit", "bert", "gpt2"])
def test_models_of_the_transformers_library(kind):
    """Activation functions that the library defines itself are seen, by the rule for modules that are named like one and act like one."""
    transformers = pytest.importorskip("transformers")

    torch.manual_seed(9)
    if kind == "vit":
        model = transformers.ViTModel(transformers.ViTConfig(image_size=8, patch_size=4, **SMALL))
        batch, n_steps = {"pixel_values": IMAGES}, 5
    elif kind == "bert":
        model = transformers.BertModel(transformers.BertConfig(vocab_size=30, hidden_act="gelu_new", **SMALL))
        batch, n_steps = {"input_ids": torch.arange(63).reshape(9, 7) % 30}, 7
    else:
        config = transformers.GPT2Config(
            vocab_size=30, n_embd=16, n_layer=2, n_head=2, n_positions=16, eos_token_id=1, bos_token_id=1
        )
        model = transformers.GPT2LMHeadModel(config)
        batch, n_steps = {"input_ids": torch.arange(63).reshape(9, 7) % 30}, 7
    model.eval()
    # The pooler's activation has no steps, so that it cannot share a time axis with the others.
    blocks = {"vit": "layers.*", "bert": "encoder.*", "gpt2": None}[kind]
    recording = record(model, ann2neo.Inputs([batch]), layers=blocks, steps=ann2neo.Steps(1))
    assert len(recording.layers) == 2
    found = by_own_hooks(model, names(recording), lambda: model(**batch))
    for name, activation in found.items():
        assert is_activation(model.get_submodule(name))
        assert (recording.raster(name) == bits(activation.reshape(9 * n_steps, -1))).all()
    part = "logits" if kind == "gpt2" else "last_hidden_state"
    with torch.no_grad():
        expected = model(**batch)[part]
    states = record(model, ann2neo.Inputs([batch]), layers=part, threshold=0.0, steps=ann2neo.Steps(1))
    assert (states.raster(part) == bits(expected.reshape(9 * n_steps, -1))).all()


def test_an_activation_function_made_of_others_is_one_layer():
    """What it consists of is no layer by default, whether modules or functions; but its modules can be named."""

    class ClippedReLUActivation(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x):
            return self.relu(x).clamp(0, 1) + torch.relu(x)

    model = nn.Sequential(ClippedReLUActivation())
    assert names(record(model)) == ["0"]
    assert (record(model).raster("0") == bits(X)).all()
    assert names(record(model, layers=["0", "0.relu"])) == ["0.relu", "0"]


def test_which_modules_are_activation_functions():
    """Named like one, without state, number by number, and not the identity."""

    def named(name, forward, **modules):
        return type(name, (nn.Module,), {"forward": lambda self, x: forward(x)})()

    assert is_activation(named("QuickGELUActivation", lambda x: x * torch.sigmoid(1.702 * x)))
    assert is_activation(named("Swish", lambda x: x * torch.sigmoid(x)))
    assert not is_activation(named("Squeeze", lambda x: x * torch.sigmoid(x)))
    assert not is_activation(named("LinearActivation", lambda x: x))
    assert not is_activation(named("RowActivation", lambda x: x - x.mean(dim=1, keepdim=True)))
    assert not is_activation(named("PlaceActivation", lambda x: x * torch.arange(x.shape[-1])))
    assert not is_activation(named("GLUActivation", lambda x: x[:, ::2] * x[:, 1::2]))
    assert not is_activation(named("TwoTanh", lambda x, y: x + y))
    learned = named("GatedSiLU", torch.sigmoid)
    learned.weight = nn.Parameter(torch.ones(1))
    assert not is_activation(learned)


# ---------------------------------------------------------------------------------------------------------------- wrapped, compiled, scripted


@pytest.fixture
def inner():
    return make(lambda self, x: F.relu(self.act(self.fc(x)) - 0.3), fc=nn.Linear(6, 8), act=nn.Sigmoid())


def test_wrappers_leave_no_trace_in_names(inner, tmp_path):
    """Compiled, data-parallel and averaged models, whole or in part, are recorded under the names of the model that was written."""
    plain = record(nn.Sequential(inner, nn.Tanh()))
    assert names(plain) == ["0.act", "0.relu", "1"]
    wrapped = {
        "data-parallel part": nn.Sequential(nn.DataParallel(inner), nn.Tanh()),
        "data-parallel": nn.DataParallel(nn.Sequential(inner, nn.Tanh())),
        "compiled part": nn.Sequential(torch.compile(inner, backend="eager"), nn.Tanh()),
        "both": nn.DataParallel(torch.compile(nn.Sequential(torch.compile(inner, backend="eager"), nn.Tanh()))),
        "averaged": torch.optim.swa_utils.AveragedModel(nn.Sequential(inner, nn.Tanh())),
    }
    for model in wrapped.values():
        with torch.no_grad():
            if model is wrapped["compiled part"]:
                model(X)  # compiled code that knows of no hooks
        found = record(model)
        assert names(found) == names(plain)
        assert all(found.layer(name).identical(plain.layer(name)) for name in names(plain))
    in_place = nn.Sequential(inner, nn.Tanh())
    in_place[0].compile(backend="eager")
    assert names(record(in_place)) == names(plain)


def test_distributed_data_parallel(inner, tmp_path):
    """The wrapper for several processes is unwrapped as well."""
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        found = record(nn.parallel.DistributedDataParallel(inner))
    finally:
        dist.destroy_process_group()
    assert all(a.identical(b) for a, b in zip(found.layers, record(inner).layers, strict=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_parts_are_refused_unless_other_layers_are_named():
    """Nothing within a scripted part can be seen: that must not go unnoticed."""
    model = nn.Sequential(torch.jit.script(nn.Sequential(nn.Linear(6, 5), nn.ReLU())), nn.Tanh())
    for layers in (None, "0", "0.1", "*"):
        with pytest.raises(ModelError, match=r"'0' .*scripted"):
            record(model, layers=layers)
    assert (record(model, layers="1").raster("1") == bits(in_batches(model, X))).all()


def test_shared_modules_go_by_their_first_name():
    """Asking for another name says so."""
    act = nn.ReLU()
    model = make(lambda self, x: self.b(self.a(x) - 0.2), a=nn.Sequential(act), b=nn.Sequential(act))
    assert names(record(model)) == ["a.0", "a.0:1"]
    with pytest.raises(LayerNotFound, match=r"same module as 'a.0'"):
        record(model, layers="b.0")
    assert list(named_modules(model)) == ["Model", "a", "a.0", "b"]


def test_wrong_names_are_refused_with_a_suggestion():
    """A function that is not called, a part that is not there, a name that means nothing."""
    model = make(lambda self, x: F.relu(self.fc1(x)), fc1=nn.Linear(6, 6))
    with pytest.raises(LayerNeverRan, match=r"'fc1.relu'.*called: 'relu'"):
        record(model, layers="fc1.relu")
    with pytest.raises(LayerNotFound, match=r"fc1\.relux"):
        record(model, layers="fc1.relux")
    with pytest.raises(LayerNotFound, match=r"block\.\*"):
        record(model, layers="block.*")
    with pytest.raises(ThresholdError, match="Linear"):
        record(model, layers="fc1")


def test_errors_in_the_model_leave_nothing_behind(inner):
    """An exception that the model itself catches does not confuse the names; one that it does not catch leaves no hook or mode."""

    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("inside")

    def forward(self, x):
        try:
            self.fails(x)
        except ValueError:
            return F.relu(x)

    assert names(record(make(forward, fails=Fails()))) == ["relu"]
    model = nn.Sequential(inner, Fails())
    with pytest.raises(ValueError, match="inside"):
        record(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._forward_hooks_always_called for m in model.modules())
    assert torch._C._len_torch_function_stack() == 0
    assert torch.backends.mha.get_fastpath_enabled()


def test_modes_of_the_caller_stay():
    """A function mode that the user has set goes on working, and sees what it saw."""
    seen = []

    class Mine(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    with Mine():
        assert names(record(make(lambda self, x: F.relu(x)))) == ["relu"]
    assert F.relu in seen


def test_plan_lists_functions_too(inner):
    """Layers, kinds, shapes and units of modules and functions alike."""
    table = ann2neo.plan(inner, X)
    assert table[["layer", "kind", "units"]].values.tolist() == [["act", "Sigmoid", 8], ["relu", "ReLU", 8]]


def test_iterables_without_length(inner):
    """An iterable dataset through workers, and a generator, have no length; the last batch is smaller."""
    from torch.utils.data import DataLoader, IterableDataset

    class Stream(IterableDataset):
        def __iter__(self):
            info = torch.utils.data.get_worker_info()
            return iter(X if info is None else X[info.id :: info.num_workers])

    expected = record(inner)
    for inputs in (
        DataLoader(Stream(), batch_size=5),
        DataLoader(Stream(), batch_size=5, num_workers=1),
        (x for x in X.split(5)),
    ):
        found = ann2neo.record(inner, inputs, progress=False)
        assert all(a.identical(b) for a, b in zip(found.layers, expected.layers, strict=True))


def test_a_network_that_somebody_else_trained():
    """The digit recognizer's convolutional network, from its package; torchvision, which its other modules need, is not loaded."""
    import importlib.util
    from pathlib import Path

    found = importlib.util.find_spec("digit_recognizer")
    if found is None:
        pytest.skip("digit-recognizer-py is not installed")
    folder = Path(found.submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location("digit_recognizer_model", folder / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.CNN()
    model.load_state_dict(torch.load(folder / "models" / "handwriting_model.pth", weights_only=True))
    images = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(4))
    recording = record(model, images, batch_size=6)
    assert names(recording) == ["conv_layers.1", "conv_layers.4", "conv_layers.7", "fc_layers.1"]
    assert recording.layer("conv_layers.7").shape == (128, 7, 7)
    hidden = model.eval().conv_layers(images)
    assert (recording.raster("fc_layers.1") == bits(model.fc_layers[0](hidden.flatten(1)))).all()
    assert "torchvision" not in sys.modules


def test_the_watch_alone_shows_activations(inner):
    """Without a recording: name, module and activation at the moment when it exists."""
    shown = []
    watch = Watch(inner, None, lambda name, module, activation: shown.append((name, type(module), activation.clone())))
    with torch.no_grad(), watch.attached():
        watch.run(lambda: inner(X))
    assert [(name, kind) for name, kind, _ in shown] == [("act", nn.Sigmoid), ("relu", nn.ReLU)]
    assert torch.equal(shown[1][2], inner(X))
    assert watch.called == ["act", "relu"]
