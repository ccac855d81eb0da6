"""The default recording agrees, call by call, with every activation operator that torch itself sees in one plain pass."""

import warnings

import pytest
import torch
from activation_oracle import calls_of, compared
from oracle_networks import OWN
from torch import nn
from transformers_networks import MORE, QUICK, ROUTED, built

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning

pytestmark = pytest.mark.filterwarnings("ignore", "error::ann2neo.errors.Ann2NeoWarning")


def is_one(module):
    """Modules that are one activation function, made of several operators."""
    return type(module).__module__ == "transformers.activations" or type(module).__name__ in ("FastGelu", "BloomGelu")


def plain_pass(model, batch):
    return calls_of(model, lambda model: model(**batch) if isinstance(batch, dict) else model(batch), is_one)


def planned(model, inputs, **options):
    """Reasons by layer, of what the plan says is left out; softmax and attention, which it lists too, are no operators that the oracle looks for."""
    table = ann2neo.plan(model, inputs, **options)
    left = table[
        table["not_recorded"].notna() & ~table["not_recorded"].astype(str).str.contains("values compete|it mixes")
    ]
    return dict(zip(left["layer"], left["not_recorded"]))


def differences(model, batch, **options):
    """Record a batch, and say where the recording, and the reasons of the plan, differ from the plain pass."""
    calls, inputs = plain_pass(model, batch), ann2neo.Inputs([batch])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ann2NeoWarning)
        recording = ann2neo.record(model, inputs, progress=False, **options)
        left_out = planned(model, inputs, **options)
    layers = {
        layer.name: (layer.n_units * layer.raster.n_bins, int(layer.raster.n_spikes().sum()))
        for layer in recording.layers
    }
    assert layers
    assert all(left_out.values())
    return compared(calls, layers, left_out)


@pytest.mark.parametrize("name", OWN)
def test_networks_of_our_own(name):
    """Layers, order, numbers of units and of spikes; what is not recorded is in the plan with its reason."""
    torch.manual_seed(0)
    assert not differences(*OWN[name]())


@pytest.mark.parametrize("name", QUICK)
def test_networks_of_the_transformers_library(name):
    """The same, of networks that others wrote."""
    pytest.importorskip("transformers")
    assert not differences(*built(name))


@pytest.mark.parametrize("name", MORE)
def test_more_networks_of_the_transformers_library(name, slow):
    """The same, of more of them."""
    pytest.importorskip("transformers")
    if not slow:
        pytest.skip("needs --slow")
    assert not differences(*built(name))


@pytest.mark.parametrize("name", ROUTED)
def test_networks_all_of_whose_activations_are_routed(name):
    """Nothing can be recorded by default: refused, with every operator that the oracle sees, by recording and plan alike."""
    pytest.importorskip("transformers")
    model, batch = built(name)
    calls = plain_pass(model, batch)
    for refusing in (ann2neo.record, ann2neo.plan):
        with pytest.raises(ActivationError, match="row k is not input k") as error:
            refusing(model, ann2neo.Inputs([batch]))
        assert calls
        assert all(any(name in str(error.value) for name in (*one.names, *one.modules[-1:])) for one in calls)


@pytest.mark.parametrize("name", ["OPT", "Llama", "GPT2", "Qwen2Moe"])
def test_sequences(name):
    """With steps the same calls are recorded, bins by steps; routed experts are left out."""
    pytest.importorskip("transformers")
    assert not differences(*built(name), steps=ann2neo.Steps(1))


def test_what_is_squashed_beside_the_inputs_takes_no_number():
    """A module and a function that are called on a parameter first, then on activations, are recorded under their plain names."""

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.act, self.gate = nn.Linear(5, 4), nn.Sigmoid(), nn.Parameter(torch.randn(4))

        def forward(self, x):
            h = self.fc(x) * self.act(self.gate)
            h = self.act(h) * torch.tanh(self.gate) * torch.tanh(self.gate.sum())
            return torch.tanh(h)

    model, x = Gated(), torch.randn(12, 5)
    recording = ann2neo.record(model, x, progress=False)
    assert [layer.name for layer in recording.layers] == ["act", "tanh"]
    left_out = planned(model, x)
    assert list(left_out) == ["act(parameter)", "tanh(parameter)", "tanh(number)"]
    assert "the same for every input" in left_out["act(parameter)"]
    assert "no axis of inputs" in left_out["tanh(number)"]
    assert not differences(model, x)


def test_the_oracle_sees_what_is_missing():
    """A recording without a layer, with another number of spikes, or in another order does not agree."""
    torch.manual_seed(0)
    model, batch = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4), nn.Sigmoid()), torch.randn(4, 3)
    calls = plain_pass(model, batch)
    right = {one.names[0]: (one.n_values, one.n_above) for one in calls}
    assert list(right) == ["1", "3"]
    assert not compared(calls, right, {})
    assert "neither recorded" in compared(calls, {"1": right["1"]}, {})[0]
    assert "plain pass" in compared(calls, right | {"3": (16, 17)}, {})[0]
    assert "order" in compared(calls, dict(reversed(right.items())), {})[0]
    assert "said to be left out, but not" in compared(calls, right, {"5": "why"})[0]
