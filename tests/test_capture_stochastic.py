"""What draws in training mode draws in passes, from seeded states; what may and does not is told."""

import random
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from capture_sources import make, names, record
from torch import nn

import ann2neo
from ann2neo.capture.passes import own_dropout
from ann2neo.errors import Ann2NeoWarning, LayerNotFound, ModelError
from ann2neo.store import layout

X = torch.randn(32, 5, 8, generator=torch.Generator().manual_seed(0))
FLAT = X[:, 0]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def passes_of(recording, layer):
    return np.split(recording.raster(layer), recording.n_passes, axis=1)


class Attending(nn.Module):
    def __init__(self, share):
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2, dropout=share, batch_first=True)

    def forward(self, x):
        return torch.relu(self.attn(x, x, x)[0])


class Remembering(nn.Module):
    def __init__(self, kind, share, n_layers):
        super().__init__()
        self.cells = kind(8, 6, n_layers, dropout=share, batch_first=True)

    def forward(self, x):
        return torch.relu(self.cells(x)[0])


@pytest.mark.parametrize(
    "model",
    [
        lambda: Attending(0.5),
        lambda: Remembering(nn.LSTM, 0.5, 2),
        lambda: Remembering(nn.GRU, 0.5, 3),
        lambda: Remembering(nn.RNN, 0.5, 2),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_attention_and_recurrent_modules_drop_as_well(model, beside):
    """A dropout of a module's own is active in passes, alone and beside a dropout module; without passes it is off."""
    first = model()
    whole = nn.Sequential(first, nn.Dropout(0.5), nn.Tanh()) if beside else nn.Sequential(first, nn.Tanh())
    a, b = passes_of(record(whole, X, steps=ann2neo.Steps(1), passes=ann2neo.Passes(2)), "0.relu")
    assert (a != b).any()
    assert all(module.training for module in whole.modules())
    plain = record(whole, X, steps=ann2neo.Steps(1)).raster("0.relu")
    # In the same batches.
    with torch.no_grad():
        whole.eval()
        expected = torch.cat([first(x) for x in X.split(5)]) > 0
    assert (plain == expected.reshape(-1, expected.shape[-1]).numpy().T).all()


def test_the_attention_within_a_transformer_drops_as_well():
    """What comes before the first dropout module of a block differs from pass to pass: only attention weights are dropped there."""
    block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)
    recording = record(block, X, layers="self_attn", threshold=0.0, steps=ann2neo.Steps(1), passes=ann2neo.Passes(2))
    a, b = passes_of(recording, "self_attn")
    assert (a != b).any()


@pytest.mark.parametrize(
    "module",
    [nn.Dropout(0.0), nn.LSTM(8, 6), nn.LSTM(8, 6, 2), nn.MultiheadAttention(8, 2), nn.Linear(8, 8), nn.RReLU()],
)
def test_modules_that_drop_nothing_are_no_dropout(module):
    """A share of 0, or a recurrent module with nothing between layers: all passes would be the same."""
    assert own_dropout(module) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert own_dropout(nn.GRU(8, 6, dropout=0.5)) == 0, "a single layer has nothing behind which to drop"
    with pytest.raises(ModelError, match="no dropout"):
        record(nn.Sequential(module, nn.ReLU()), X, passes=ann2neo.Passes(2))


class Functional(nn.Module):
    """Dropout as a function, in the mode of the module."""

    def __init__(self, share=0.5):
        super().__init__()
        self.fc, self.norm, self.share = nn.Linear(8, 20), nn.BatchNorm1d(20), share

    def forward(self, x):
        return F.relu(F.dropout(self.norm(self.fc(x)), self.share, training=self.training))


def test_dropout_that_is_called_as_a_function_is_told_and_can_be_named():
    """Beside a dropout module it would stay off silently; alone the error names it. The cure of the message works, and leaves batch statistics alone."""
    model = nn.Sequential(Functional(), nn.Dropout(0.5), nn.Linear(20, 20), nn.ReLU())
    with pytest.warns(Ann2NeoWarning, match=r"forward of \['0'\].*active=\['1', '0'\]"):
        recording = record(model, FLAT, passes=ann2neo.Passes(2))
    a, b = passes_of(recording, "0.relu")
    assert (a == b).all()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    a, b = passes_of(record(model, FLAT, passes=ann2neo.Passes(2, active=["1", "0"])), "0.relu")
    assert (a != b).any()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(ModelError, match=r"active=\['0'\]"):
        record(nn.Sequential(Functional(), nn.ReLU()), FLAT, passes=ann2neo.Passes(2))


def test_the_model_itself_can_be_named():
    """By the name of its class, or by a pattern that fits everything."""
    model = Functional()
    model.norm = nn.Identity()
    for active in ("Functional", ["Functional"], "*"):
        a, b = passes_of(record(model, FLAT, passes=ann2neo.Passes(2, active=active)), "relu")
        assert (a != b).any()
    with pytest.raises(ModelError, match=r"active=\['Functional'\]"):
        record(Functional(), FLAT, passes=ann2neo.Passes(2))
    for active in ("Function", "Funct*"):
        with pytest.raises(LayerNotFound, match="'Funct"):
            record(Functional(), FLAT, passes=ann2neo.Passes(2, active=active))


def forwards():
    """Forwards whose code names dropout and training mode, and whether they drop by themselves."""

    class Modular(nn.Module):
        def __init__(self):
            super().__init__()
            self.dropout, self.fc = nn.Dropout(0.5), nn.Linear(8, 8)

        def forward(self, x):
            return (self.dropout(self.fc(x)) if self.training else self.fc(x)).relu()

    class OfShareZero(nn.Module):
        attention_dropout = 0.0

        def forward(self, x):
            return F.scaled_dot_product_attention(
                x, x, x, dropout_p=self.attention_dropout if self.training else 0.0
            ).relu()

    class OfShare(OfShareZero):
        attention_dropout = 0.1

    class OfModule(Modular):
        def forward(self, x):
            share = self.dropout.p if self.training else 0.0
            return F.scaled_dot_product_attention(x, x, x, dropout_p=share).relu()

    class OfNumber(nn.Module):
        dropout = 0.1

        def forward(self, x):
            return F.dropout(x, p=self.dropout, training=self.training).relu()

    return {Modular: False, OfShareZero: False, OfShare: True, OfModule: True, OfNumber: True}


@pytest.mark.parametrize("kind", forwards().items(), ids=lambda kind: kind[0].__name__)
def test_only_code_that_may_drop_is_told(kind, recwarn):
    """Dropout modules that the code asks for their mode, and shares of 0, are no reason to warn; shares are, also those of modules."""
    own, may_drop = kind
    model = nn.Sequential(own(), nn.Dropout(0.5))
    if may_drop:
        with pytest.warns(Ann2NeoWarning, match=r"forward of \['0'\]"):
            record(model, X, passes=ann2neo.Passes(2))
    else:
        record(model, X, passes=ann2neo.Passes(2))
        assert not [one for one in recwarn if issubclass(one.category, Ann2NeoWarning)]


# Random states

NOISE = {
    "torch": lambda shape: torch.randn(shape),
    "numpy": lambda shape: torch.from_numpy(np.random.standard_normal(shape)).float(),  # noqa: NPY002
    "random": lambda shape: torch.tensor([random.gauss(0, 1) for _ in range(int(np.prod(shape)))]).reshape(shape),
}


def noisy(kind):
    torch.manual_seed(0)
    return make(lambda self, x: torch.relu(x + NOISE[kind](x.shape) * self.drop.training), drop=nn.Dropout(0.5))


def disturb():
    torch.manual_seed(77)
    np.random.seed(77)  # noqa: NPY002
    random.seed(77)


@pytest.mark.parametrize("kind", NOISE)
def test_noise_of_passes_follows_from_the_seed_whatever_draws_it(kind):
    """Recorded again, from other random states, the passes are the same; batches, passes and seeds differ."""
    same = FLAT[:8].repeat(2, 1)
    first = record(noisy(kind), same, batch_size=8, passes=ann2neo.Passes(2, seed=5))
    disturb()
    again = record(noisy(kind), same, batch_size=8, passes=ann2neo.Passes(2, seed=5))
    assert first.layers[0].identical(again.layers[0])
    parts = np.split(first.raster("relu"), 4, axis=1)
    assert all((a != b).any() for i, a in enumerate(parts) for b in parts[:i])
    other = record(noisy(kind), same, batch_size=8, passes=ann2neo.Passes(2, seed=6))
    assert not first.layers[0].identical(other.layers[0])


@pytest.mark.parametrize("layers", [None, "*r*"])
@pytest.mark.parametrize("kind", NOISE)
def test_a_resumed_recording_has_the_same_noise(kind, layers, tmp_path, monkeypatch):
    """Also where its first batch is run twice, to see which functions it calls."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 8)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 8)
    options = {"batch_size": 8, "passes": ann2neo.Passes(2, seed=1), "layers": layers}
    whole = record(noisy(kind), FLAT, **options)
    model, n_calls = noisy(kind), []

    def stop(_module, _args):
        n_calls.append(0)
        if len(n_calls) == 4:
            raise KeyboardInterrupt

    handle = model.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        record(model, FLAT, store=tmp_path / "a.zarr", **options)
    handle.remove()
    disturb()
    resumed = record(model, FLAT, store=tmp_path / "a.zarr", **options)
    assert names(resumed) == ["relu"]
    assert all(a.identical(b) for a, b in zip(resumed.layers, whole.layers, strict=True))
