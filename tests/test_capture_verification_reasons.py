"""The reason that is told is the right one, also in small batches and for few units, and each cure that is named works."""

import contextlib
import re
import warnings

import pytest
import torch
import torch.nn.functional as F
from capture_sources import names
from torch import nn
from verified_models import Net

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning, InputsError, ModelError

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(8))
# These two are active, whatever others are.
X[1], X[2] = 1.5, 0.7


class Four(Net):
    """Takes inputs of four numbers, and gives this many units."""

    def __init__(self, forward, n_units=8, **modules):
        super().__init__(forward, **modules)
        self.fc = nn.Linear(4, n_units)
        # Half of the inputs are silent.
        self.fc.weight.data[0], self.fc.bias.data[0] = torch.tensor([1.0, 0.0, 0.0, 0.0]), 0.0


def record(model, n, **options):
    return ann2neo.record(model, [X[:n]], layers="act", progress=False, **options)


def filtered(h, weights):
    """Filter along the batch, each unit by itself."""
    return F.conv1d(h.T[:, None], torch.tensor([[weights]]), padding=len(weights) // 2)[:, 0].T


# Rows that are those of their inputs and depend on others along the batch, and sizes of batches in which it does not show why.
ALONG = {
    "sums": (lambda self, x: self.act(self.fc(x).cumsum(0)), ()),
    "sums from the end": (lambda self, x: self.act(self.fc(x).flip(0).cumsum(0).flip(0)), ()),
    "recurrence": (lambda self, x: self.act(self.rnn(x[:, None])[0][:, 0]), ()),
    "differences": (lambda self, x: self.act(torch.cat([self.fc(x)[:1], self.fc(x).diff(dim=0)])), ()),
    "convolution": (lambda self, x: self.act(filtered(self.fc(x), [0.4, 1.0, 0.7])), (2, 3)),
    "a mean of neighbours": (lambda self, x: self.act(filtered(self.fc(x), [0.3, 0.4, 0.3])), (3,)),
}


@pytest.mark.parametrize("n", [2, 3, 5, 6, 7, 8])
@pytest.mark.parametrize("case", ALONG)
def test_dependence_along_small_batches_is_told(case, n):
    """Its rows are recorded, with the warning; where the ends of a batch do not show it, more inputs do, as the message says."""
    forward, unclear = ALONG[case]
    model = Four(forward, rnn=nn.GRU(4, 8))
    n_shown = n
    if n in unclear:
        with pytest.raises(
            ActivationError, match=rf"(?s)or it depends on.*batch of {n} inputs.*a batch of 7 inputs or more"
        ):
            record(model, n)
        n_shown = 7
    with pytest.warns(Ann2NeoWarning, match="depends on the other inputs of its batch: 'act'"):
        recording = record(model, n_shown)
    with torch.no_grad():
        assert (recording.raster("act") == (model(X[:n_shown]) > 0).numpy().T).all()


def exchanged(self, x):
    order = torch.arange(len(x))
    order[1:3] = order[1:3].flip(0)
    return self.act(self.fc(x[order]))


ELSEWHERE = {
    "two exchanged": exchanged,
    "sorted": lambda self, x: self.act(self.fc(x)[x[:, 0].argsort()]),
    "turned round": lambda self, x: self.act(self.fc(x).flip(0)),
    "shifted": lambda self, x: self.act(self.fc(x).roll(1, 0)),
}
SORTED = {
    "each feature": lambda self, x: self.tanh(self.fc(x.sort(0).values)),
    "each unit": lambda self, x: self.tanh(self.fc(x).sort(0).values),
    "one feature": lambda self, x: self.tanh(self.fc(x[:, :1].sort(0).values.expand(-1, 4))),
}


@pytest.mark.parametrize("n", [3, 5, 6, 7, 64])
@pytest.mark.parametrize("n_units", [1, 8])
@pytest.mark.parametrize("case", ELSEWHERE)
def test_rows_that_are_those_of_others_are_never_taken_for_dependence(case, n_units, n):
    """Few units are silent for many inputs, so that their rows are like others; two rows that are exchanged are as wrong as all."""
    # What is sorted is not told from what depends on others where the rows of a small batch are silent.
    why = "act: row k is not input k" + (": when" if case != "sorted" or n_units == 8 else "")
    with pytest.raises(ActivationError, match=why):
        record(Four(ELSEWHERE[case], n_units), n)


@pytest.mark.parametrize("n", [3, 4, 6, 7])
@pytest.mark.parametrize("n_units", [1, 8])
@pytest.mark.parametrize("case", SORTED)
@pytest.mark.parametrize("order", ["any", "ascending", "descending"])
def test_what_is_sorted_is_refused(case, n_units, n, order):
    """Also where units or features are sorted by themselves, and where they were in order before."""
    x = X[:n] if order == "any" else X[:n].sort(0, descending=order == "descending").values
    with pytest.raises(ActivationError, match="tanh: row k is not input k"):
        ann2neo.record(Four(SORTED[case], n_units), [x], layers="tanh", progress=False)


@pytest.mark.parametrize("n", [2, 3, 6, 7, 30])
@pytest.mark.parametrize("period", [2, 3, 4])
def test_a_state_that_comes_back_is_told_as_such(period, n):
    """Not as dependence on the batch; and no more runs are made than six."""

    def forward(self, x):
        self.n += 1
        return self.act(self.fc(x) + self.n % period)

    model = Four(forward, n=0)
    with pytest.raises(ModelError, match=r"(?s)act: it differs from run to run.*reset a state"):
        record(model, n)
    assert model.n <= 7


def test_there_are_at_most_six_reruns():
    """Whatever is wrong."""
    for forward in (*(one for one, _ in ALONG.values()), *ELSEWHERE.values(), *SORTED.values()):
        for n in (2, 5, 7):
            model, calls = Four(forward, rnn=nn.GRU(4, 8)), []
            model.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
            with contextlib.suppress(ActivationError), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ann2neo.record(model, [X[:n]], progress=False)
            assert len(calls) <= 7


class Parts(nn.Module):
    """Gives several things by name."""

    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def forward(self, h):
        return {name: part(h) for name, part in self.parts.items()}


@pytest.mark.parametrize(
    ("parts", "cure", "recorded"),
    [
        ({"a": torch.relu, "b": torch.tanh}, r"layers=: '(o\.a)', 'o\.b'", ["o.a"]),
        ({"n": torch.Tensor.argmax, "b": torch.tanh, "c": torch.tanh}, r"layers=: '(o\.b)', 'o\.c'", ["o.b"]),
        ({"n": torch.Tensor.argmax, "k": lambda h: h.argmax(1)}, r"layers='(!o)'", ["act"]),
        ({"h": lambda h: {"deep": h}}, r"layers=: '(o\.h\.deep)'", ["o.h.deep"]),
    ],
)
def test_the_layer_that_a_cure_names_can_be_recorded(parts, cure, recorded):
    """A part by its name where there is one, else all but the module."""
    model = Net(lambda self, x: (self.o(self.fc(x)), self.act(self.fc(x)))[1], o=Parts(parts))
    batch = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ActivationError) as caught:
        ann2neo.record(model, [batch], layers="o", progress=False)
    named = re.search(cure, str(caught.value))
    assert named is not None, str(caught.value)
    options = {} if named[1] == "!o" else {"threshold": 0.0}
    assert names(ann2neo.record(model, [batch], layers=named[1], progress=False, **options)) == recorded


@pytest.mark.filterwarnings("ignore::UserWarning:torch")
@pytest.mark.parametrize("kind", ["vmap", "jvp", "grad"])
def test_transforms_of_functions_are_told_by_their_name(kind):
    """And what is transformed can be recorded by itself, as the message says."""

    def forward(self, x):
        if kind == "vmap":
            return torch.func.vmap(self.net)(x)
        if kind == "jvp":
            return torch.func.jvp(self.net, (x,), (torch.ones_like(x),))[1]
        return torch.func.grad(lambda x: self.net(x).sum())(x)

    model = Net(forward, net=nn.Sequential(nn.Linear(4, 8), nn.ReLU()))
    with pytest.raises(
        InputsError, match=rf"(?s)a transform of torch.func \(.*{kind}.*lambda model, x: model.net\(x\)"
    ):
        ann2neo.record(model, X, progress=False)
    recording = ann2neo.record(model, ann2neo.Inputs(X, forward=lambda model, x: model.net(x)), progress=False)
    assert (recording.raster("net.1") == (model.net(X) > 0).numpy().T).all()
