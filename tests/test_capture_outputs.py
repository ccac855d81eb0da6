"""Outputs of many forms: named parts, tuples, hidden states of recurrent modules, packed sequences."""

import re
import warnings
from collections import namedtuple
from dataclasses import dataclass

import pytest
import torch
from capture_sources import SEQUENCES, X, bits, in_batches, make, names, record
from torch import nn

import ann2neo
from ann2neo.errors import ActivationError, InputsError, LayerNotFound


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)


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
    with pytest.raises(LayerNotFound, match=r"'inner\.hidden'"):
        record(model, layers="inner.hiden", threshold=0.0)
    if kind is Named:
        assert (record(model, layers="inner", threshold=0.0).raster("inner") == bits(X)).all()
    else:
        with pytest.raises(ActivationError, match=r"layers=: 'inner\.hidden'"):
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
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "layer '0' gives a list with 2 activations")
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


class Packs(nn.Module):
    """What packs by lengths as they are given to it."""

    def __init__(self):
        super().__init__()
        self.core = nn.GRU(4, 3, batch_first=True)

    def forward(self, x, n):
        return self.core(nn.utils.rnn.pack_padded_sequence(x, n, batch_first=True))[0]


def test_lengths_that_torch_cannot_pack_by_are_told_with_the_cure():
    """They may be on a device, where batches are moved as a whole, or have another axis."""
    model, n = Packs().eval(), torch.tensor([5, 5, 4, 3, 2, 2, 1])
    steps, batches = ann2neo.Steps(1, lengths=n), [{"x": SEQUENCES, "n": n[:, None]}]
    with pytest.raises(InputsError, match="from the CPU alone") as told:
        record(model, ann2neo.Inputs(batches), layers="core", steps=steps)
    cure = str(told.value).splitlines()[-1].partition("forward=")[2].removesuffix(").")
    expected = record(model, ann2neo.Inputs([{"x": SEQUENCES, "n": n}]), layers="core", steps=steps)
    found = record(model, ann2neo.Inputs(batches, forward=eval(cure)), layers="core", steps=steps)
    assert (found.raster("core") == expected.raster("core")).all()
    with pytest.raises(InputsError, match=re.escape("{**batch, 'n': batch['n'].flatten().cpu()} within forward=")):
        record(model, ann2neo.Inputs(batches, forward=lambda model, batch: model(**batch)), layers="core", steps=steps)


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


@pytest.mark.parametrize("function", [False, True])
def test_sparse_activations_are_recorded_with_their_zeros(function):
    """As the same numbers written out are."""

    class Sparse(nn.Module):
        def __init__(self, dense):
            super().__init__()
            torch.manual_seed(0)
            self.fc, self.act, self.dense = nn.Linear(5, 8), nn.ReLU(), dense

        def forward(self, x):
            h = self.fc(x)
            h = h if self.dense else h.to_sparse()
            return torch.relu(h) if function else self.act(h)

    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    sparse, dense = (ann2neo.record(Sparse(kind), x, progress=False) for kind in (False, True))
    layer = sparse.layers[0].name
    assert (sparse.raster(layer) == dense.raster(layer)).all()
    assert sparse.raster(layer).any()


@dataclass
class Nested:
    states: list
    more: dict


def _told(model):
    """Record every part of a model's modules, follow the names that messages tell, and return those that are recorded with their rasters."""
    found, pending = {}, ["inner", "Model"]
    while pending:
        layer = pending.pop()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                found[layer] = record(model, layers=layer, threshold=0.25)
            except ActivationError as error:
                text = str(error)
                assert "Name one of its activations" in text, text
                pending += re.findall(r"'([^']*)'", text.rpartition("in layers=: ")[2])
        for one in caught:
            pending += re.findall(r"'([^']*)'", str(one.message).rpartition("Name the entry to record: ")[2])
    return {layer: recording.raster(layer) for layer, recording in found.items()}


NESTED = {
    "dict of lists": (lambda x: {"a": [x, x - 1], "b": x * 2, "c": x}, {"a.0": X, "a.1": X - 1, "b": X * 2}),
    "list of dicts": (lambda x: [{"a": x}, {"a": x - 1}], {"0.a": X, "1.a": X - 1}),
    "tuple of lists": (lambda x: ([x, x - 1], None), {"0.0": X, "0.1": X - 1}),
    "dataclass": (lambda x: Nested([x, x - 1], {"k": (x * 2,)}), {"states.0": X, "states.1": X - 1, "more.k.0": X * 2}),
    "keys with dots": (lambda x: {"a.b": x, "a": {"c": x - 1}, "d": x}, {"a.b": X, "a.c": X - 1}),
    "numbers as keys": (lambda x: {3: x, 7: x - 1}, {"3": X, "7": X - 1}),
    "names of functions": (lambda x: {"relu": x, "input": x - 1}, {"relu": X, "input": X - 1}),
    "names of modules": (lambda x: [x, x - 1], {"0": X, "1": X - 1}),
}


@pytest.mark.parametrize("form", NESTED)
def test_every_entry_that_a_message_names_can_be_recorded(form):
    """What messages tell of nested outputs is accepted in layers=, and stands for the entry at that place, also where a module, an input or a function has that name."""
    change, entries = NESTED[form]
    inner = make(lambda self, x: change(x), **({"0": nn.ReLU()} if form == "names of modules" else {}))
    model = make(lambda self, x: self.inner(x), inner=inner)
    told = _told(model)
    assert set(told) - {"inner", "Model"}
    for name, raster in told.items():
        entry = name.partition(".")[2].removeprefix("output.")
        if entry in entries:
            assert (raster == bits(entries[entry], 0.25)).all(), name
    for entry, expected in entries.items():
        name = f"inner.output.{entry}" if form.startswith("names") else f"inner.{entry}"
        assert (record(model, layers=name, threshold=0.25).raster(name) == bits(expected, 0.25)).all(), name


def test_entries_of_a_second_call_are_named():
    """A module that is called twice has its entries by the number of the call, and the message of a wrong name lists them."""
    inner = make(lambda self, x: {"a": [x, x - 1]})
    model = make(lambda self, x: self.inner(self.inner(x)["a"][1]), inner=inner)
    assert (record(model, layers="inner.a.1:1", threshold=0.25).raster("inner.a.1:1") == bits(X - 2, 0.25)).all()
    with pytest.raises(LayerNotFound, match=r"entries of outputs.*'inner\.a\.0', 'inner\.a\.1'"):
        record(model, layers="inner.b.0", threshold=0.25)
