"""Transformers: fused layers, attention, models of the transformers library, activation functions of other libraries."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from capture_sources import IMAGES, SEQUENCES, X, bits, in_batches, make, names, record
from torch import nn

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning
from ann2neo.probe.custom import is_elementwise


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)


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
    with pytest.warns(Ann2NeoWarning, match="'src_key_padding_mask' is 1 at 10 of 35 positions"):
        everything = record(
            model,
            ann2neo.Inputs(batches),
            layers=["*relu", "layers.0.self_attn"],
            threshold=0.0,
            steps=ann2neo.Steps(1),
        )
    assert names(everything) == ["layers.0.self_attn", "layers.0.relu", "layers.1.relu"]
    with torch.no_grad():
        attended = model.layers[0].self_attn(SEQUENCES, SEQUENCES, SEQUENCES, key_padding_mask=mask)[0]
    same = everything.raster("layers.0.self_attn") == bits(attended.reshape(35, 4))
    assert same[:, ~mask.flatten().numpy()].all()
    for name in ("layers.0.self_attn", "layers.1.relu"):
        with pytest.warns(Ann2NeoWarning, match="'src_key_padding_mask' is 1"):
            alone = record(model, ann2neo.Inputs(batches), layers=name, threshold=0.0, steps=ann2neo.Steps(1))
        assert alone.layer(name).identical(everything.layer(name))


@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_by_itself_has_inputs_first(batch_first):
    """An attention module that has steps before inputs is turned, and what comes behind it in a model that has inputs first is not."""

    def forward(self, x):
        query = x if batch_first else x.transpose(0, 1)
        attended = self.attention(query, query, query)[0]
        return self.act(attended if batch_first else attended.transpose(0, 1))

    torch.manual_seed(8)
    model = make(forward, attention=nn.MultiheadAttention(4, 2, batch_first=batch_first), act=nn.Tanh())
    options = {"layers": ["attention", "act"], "threshold": 0.0}
    expected = bits(in_batches(model, SEQUENCES).reshape(35, 4))
    recording = record(model, SEQUENCES, steps=ann2neo.Steps(1), **options)
    assert names(recording) == ["attention", "act"]
    for name in ("attention", "act"):
        assert (recording.raster(name) == expected).all()
        assert recording.layer(name).shape == (4,)
    whole = record(model, SEQUENCES, **options)
    assert all((layer.shape, layer.raster.n_bins) == ((5, 4), 7) for layer in whole.layers)


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
        assert is_elementwise(model.get_submodule(name), torch.randn(3, 4))
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


def named(name, forward, **parameters):
    module = type(name, (nn.Module,), {"forward": lambda self, x: forward(self, x)})()
    for key, value in parameters.items():
        module.register_parameter(key, nn.Parameter(torch.tensor(value)))
    return module


ONE_LAYER = {
    "named": named("QuickGELUActivation", lambda self, x: x * torch.sigmoid(1.702 * x)),
    "made of a gate": named("Squeeze", lambda self, x: x * torch.sigmoid(x)),
    "with a parameter": named("Gate", lambda self, x: x * torch.sigmoid(self.beta * x), beta=[1.5] * 6),
    "made of two": named("Smooth", lambda self, x: x * torch.tanh(F.softplus(x))),
}
OTHERS = {
    "passes on": (named("Block", lambda self, x: torch.tanh(torch.relu(x))), ["1.relu", "1.tanh"]),
    "along the units": (named("RowActivation", lambda self, x: torch.relu(x) - x.mean(1, keepdim=True)), ["1.relu"]),
    "half of the units": (named("GLUActivation", lambda self, x: x[:, ::2] * torch.sigmoid(x[:, 1::2])), ["1.sigmoid"]),
    "a line": (named("LinearActivation", lambda self, x: x), []),
}


@pytest.mark.parametrize("case", ONE_LAYER)
def test_what_acts_number_by_number_is_one_layer(case):
    """The functions that it is made of are not layers of their own, and its threshold is its own value at 0."""
    module = ONE_LAYER[case]
    model = nn.Sequential(nn.Linear(6, 6), module)
    recording = record(model, threshold=ann2neo.Quantile(0.7, on=X))
    assert names(recording) == names(record(model)) == ["1"]
    values = in_batches(model, X)
    assert (record(model).raster("1") == bits(values)).all()
    # Quantiles are those of the function itself, not of its gate.
    assert recording.layers[0].thresholds == pytest.approx(
        np.quantile(values.numpy(), 0.7, axis=0, method="inverted_cdf"), rel=1e-6
    )


@pytest.mark.parametrize("case", OTHERS)
def test_what_does_not_leaves_its_functions_to_be_layers(case):
    """A module that mixes its units, or hands on what a function gave, is not an activation function, whatever its name."""
    module, expected = OTHERS[case]
    assert names(record(nn.Sequential(nn.Linear(6, 6), module, nn.ReLU()))) == [*expected, "2"]


def test_unverified_names_decide():
    """Nothing is called but by the model; a class named like an activation function is one."""
    calls = []
    counted = named("CountedActivation", lambda self, x: calls.append(1) or x.clamp(min=0))
    assert names(record(counted, threshold=0.0, verify=False)) == ["CountedActivation"]
    assert len(calls) == 3
    assert names(record(nn.Sequential(ONE_LAYER["made of a gate"]), verify=False)) == ["0.sigmoid"]


def test_the_model_itself_is_treated_as_any_module():
    """What is one layer within a model is one layer as the model."""

    class SwishActivation(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Sigmoid()

        def forward(self, x):
            return x * self.gate(x)

    assert names(record(SwishActivation())) == ["SwishActivation"]
    assert names(record(nn.Sequential(SwishActivation()))) == ["0"]


@pytest.mark.parametrize("lengths", [None, [5, 3, 4, 5, 1, 2, 5]])
def test_a_pooler_has_no_positions(lengths):
    """Its units are not taken for positions: it is left out where nobody asked for it, and refused where somebody did."""

    def forward(self, x):
        return self.pooler(self.encoder(x)[:, 0])

    model = make(
        forward,
        encoder=nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), nn.Tanh()),
        pooler=nn.Sequential(nn.Linear(3, 8), nn.Tanh()),
    )
    steps = ann2neo.Steps(1, lengths)
    with pytest.warns(ann2neo.Ann2NeoWarning, match=r"(?s)1 activation functions are not recorded.*pooler\.1"):
        assert names(record(model, SEQUENCES, batch_size=7, steps=steps)) == ["encoder.1", "encoder.3"]
    with pytest.raises(ActivationError, match="pooler"):
        record(model, SEQUENCES, batch_size=7, layers="*", steps=steps)
    recording = record(model, SEQUENCES, batch_size=7, layers="encoder.*", steps=steps)
    assert names(recording) == ["encoder.1", "encoder.3"]
    expected = in_batches(model.encoder, SEQUENCES, 7)
    inside = torch.arange(5) < torch.tensor(lengths or [5] * 7)[:, None]
    assert (recording.raster("encoder.3") == bits(expected[inside])).all()
