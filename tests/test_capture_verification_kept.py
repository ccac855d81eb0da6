"""What is found of the layers after the first batch, or by what it leaves in the model, is told and kept: in memory, in a store, and by a recording that is resumed."""

import json
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from verified_models import N, Net, X

import ann2neo
from ann2neo.capture.distributed import Processes
from ann2neo.errors import Ann2NeoWarning
from ann2neo.store import check, layout
from ann2neo.verification.verdict import ALL_IS_WELL, DEPENDS, Verdict, together

ALIKE = X[:1].expand(4, 5)
BATCHES = [ALIKE, ALIKE + 1, *X.split(4)]


class Stop(Exception):
    """The batches end too early."""


@pytest.fixture(autouse=True)
def small_columns(monkeypatch):
    """Columns of 8 bins, so that little data fills several."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 8)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 8)


def less_the_mean(self, x):
    """Depends on the other inputs of the batch, which shows where they differ."""
    h = self.fc(x)
    return self.act(h - 0.5 * h.mean(0))


def record(model, batches, **options):
    """Record; what is said of the layers comes second."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        recording = ann2neo.record(model, batches, progress=False, **options)
    return recording, [
        str(one.message) for one in told if one.category is Ann2NeoWarning and "depend" in str(one.message)
    ]


def facts(recording):
    return {key: value for key, value in recording.provenance.items() if key.startswith("verified")}


def cut_off(model, path, n_batches):
    """Record into a store until the batches end too early."""

    def batches():
        yield from BATCHES[:n_batches]
        raise Stop

    with pytest.raises(Stop):
        record(model, batches, store=path)


@pytest.mark.parametrize("store", [None, "a.zarr"])
def test_what_a_later_batch_shows_is_kept(store, tmp_path):
    """Told once, and in the provenance; before, it stands there that nothing was verified."""
    options = {} if store is None else {"store": tmp_path / store}
    recording, told = record(Net(less_the_mean), BATCHES, **options)
    assert len(told) == 1
    assert list(json.loads(recording.provenance["verified_json"])["dependent"]) == ["act"]
    assert recording.provenance["verified"] == "rows follow their inputs, and come out the same again"
    of_alike, _ = record(Net(less_the_mean), BATCHES[:2])
    assert "is the same for all inputs" in of_alike.provenance["verified"]
    if store is not None:
        check(tmp_path / store)
        assert facts(ann2neo.load(tmp_path / store)) == facts(recording)


@pytest.mark.parametrize("n_batches", [2, 3, 5], ids=["before it shows", "as soon as it shows", "afterwards"])
def test_what_a_later_batch_shows_is_kept_by_a_recording_that_is_resumed(n_batches, tmp_path):
    """Wherever it was interrupted the store ends up with the same verdict as memory; it is told by whoever sees the batch."""
    expected, _ = record(Net(less_the_mean), BATCHES)
    cut_off(Net(less_the_mean), tmp_path / "a.zarr", n_batches)
    recording, told = record(Net(less_the_mean), lambda: iter(BATCHES), store=tmp_path / "a.zarr")
    assert len(told) == (n_batches == 2)
    assert facts(recording) == facts(expected)
    assert (recording.raster("act") == expected.raster("act")).all()
    check(tmp_path / "a.zarr")


def test_what_other_processes_saw_is_joined(tmp_path, monkeypatch):
    """Another process saw that one more layer depends on its batch, and what was alike differ: both verdicts are in the store, whoever has the lower number."""
    own, other = Verdict(dependent={"act": DEPENDS}, pending=("",)), Verdict(dependent={"out": DEPENDS})
    assert together([own, other]) == together([other, own]) == Verdict(dependent={"act": DEPENDS, "out": DEPENDS})

    def gathered(self, work):
        found = work()
        return [found, Verdict(dependent={"elsewhere": DEPENDS})] if isinstance(found, Verdict) else [found]

    monkeypatch.setattr(Processes, "together", gathered)
    recording, _ = record(Net(less_the_mean), [ALIKE, ALIKE + 1], store=tmp_path / "a.zarr")
    assert list(json.loads(recording.provenance["verified_json"])["dependent"]) == ["elsewhere"]
    assert recording.provenance["verified"] == ALL_IS_WELL
    check(tmp_path / "a.zarr")


def gated(self, x):
    return nn.functional.glu(self.act(self.gate(self.fc(x))), 1)


@pytest.mark.parametrize("n_batches", [1, 4])
def test_gated_linear_units_are_resumed(n_batches, tmp_path):
    """Half as many units as enter, as a module and as a function: the same bits as in memory, and those of the definition."""
    model, batches = Net(gated, gate=nn.GLU(dim=1)), [*X.split(4)]
    expected, _ = record(model, batches)

    def some():
        yield from batches[:n_batches]
        raise Stop

    with pytest.raises(Stop):
        record(model, some, store=tmp_path / "a.zarr")
    recording, _ = record(model, lambda: iter(batches), store=tmp_path / "a.zarr")
    with torch.no_grad():
        h = model.fc(X)
        a = torch.relu(h[:, :4] * torch.sigmoid(h[:, 4:]))
    assert [layer.name for layer in recording.layers] == ["gate", "act", "glu"]
    assert (recording.raster("gate") == (h[:, :4] > 0).numpy().T).all()
    assert (recording.raster("glu") == (a[:, :2] > 0).numpy().T).all()
    for layer in recording.layers:
        assert (recording.raster(layer.name) == expected.raster(layer.name)).all()
    check(tmp_path / "a.zarr")


def once(self, name, value):
    """Compute something of the first batch and keep it, in a way of its own."""
    if name == "attribute":
        self.kept = value if getattr(self, "kept", None) is None else self.kept
        return self.kept
    if name == "private attribute":
        self._kept = value if getattr(self, "_kept", None) is None else self._kept
        return self._kept
    if name == "buffer":
        if "kept" not in self._buffers:
            self.register_buffer("kept", value, persistent=False)
        return self.kept
    self.cache.setdefault("kept", value) if name == "dictionary" else self.cache.append(value)
    return self.cache["kept"] if name == "dictionary" else self.cache[0]


KINDS = ["attribute", "private attribute", "buffer", "dictionary", "list"]


def caching(kind, of):
    """Make a network that keeps something of the first batch that it sees."""

    def forward(self, x):
        h = self.fc(x)
        return self.act(h - once(self, kind, of(h)))

    model = Net(forward)
    model.cache = {} if kind == "dictionary" else []
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_first_batch_leaves_in_the_model_is_seen(kind):
    """A mean over the first batch makes its inputs depend on each other, though every later run gives the same."""
    recording, told = record(caching(kind, lambda h: h.mean(0)), list(X.split(5)))
    assert len(told) == 1
    assert list(json.loads(recording.provenance["verified_json"])["dependent"]) == ["act"]


def scaled(self, x):
    """Scale by the largest value so far, of which only the last bits of the activation's sign depend."""
    h = self.fc(x)
    torch.maximum(self.largest, h.abs().max(), out=self.largest) if self.in_place else setattr(
        self, "largest", torch.maximum(self.largest, h.abs().max())
    )
    return self.act((h / self.largest * 3).round())


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("largest", range(10))
def test_a_running_maximum_is_seen_whichever_input_holds_it(largest, in_place):
    """In either half of the inputs that are run again; bound anew, or written to in place."""
    x = X[:10].clone()
    x[largest] *= 8
    model = Net(scaled)
    model.in_place = in_place
    model.register_buffer("largest", torch.zeros(()))
    _, told = record(model, [x])
    assert sum("depends on the other inputs of its batch: 'act'" in one for one in told) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_of_what_no_input_changes_is_not_told(kind):
    """Positions, say; and the model is left with what its own batches put there."""
    model = caching(kind, lambda h: torch.linspace(-1, 1, h.shape[1]))
    recording, told = record(model, list(X.split(5)))
    assert not told
    assert "verified_json" not in recording.provenance
    assert len(model.cache) == {"dictionary": 1, "list": 4}.get(kind, 0)
    expected = (model.fc(X) > torch.linspace(-1, 1, model.fc.out_features)).T.numpy()
    assert (recording.raster("act") == expected).all()


def test_what_is_computed_from_the_size_of_a_batch_is_told():
    """Each input gives other values in a batch of another size, by far more than rounding; a chaotic network, where rounding grows, is not taken for that."""
    recording, told = record(Net(lambda self, x: self.act(self.fc(8 * x / len(x)))), list(X.split(10)))
    assert len(told) == 1
    assert "how many inputs" in json.loads(recording.provenance["verified_json"])["dependent"]["act"]

    def chaotic(self, x):
        h = (64 * self.fc(x)).round().double() / 64 + x[:, :1].double() + (1e-13 if len(x) == 10 else 0)
        for _ in range(60):
            h = (h - h.floor()) * 3.7 % 1.0
        return self.act(h.float() - 0.5)

    recording, told = record(Net(chaotic), list(X.split(10)))
    assert not told
    assert json.loads(recording.provenance["verified_json"])["rounding"]["act"] > 0.9


def test_sparse_batches_are_verified():
    """Inputs of a sparse tensor change places as others do; a network that turns its batch round is refused."""
    batches = [one.to_sparse() for one in X.split(5)]
    recording, _ = record(Net(lambda self, x: self.act(self.fc(x))), batches)
    assert recording.provenance["verified"] == "rows follow their inputs, and come out the same again"
    model = Net(lambda self, x: self.act(self.fc(x)))
    assert (recording.raster("act") == (model.fc(X) > 0).T.numpy()).mean() > 1 - 2 / N
    with pytest.raises(ann2neo.errors.ActivationError, match="row k is not input k"):
        record(Net(lambda self, x: self.act(self.fc(x.to_dense().flip(0)))), batches)


class Narrow(nn.Module):
    """Gives numbers of 8 bits."""

    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return x.to(self.dtype)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
@pytest.mark.parametrize("rule", [0.25, ann2neo.Quantile(0.5, on=X)], ids=["number", "quantile"])
def test_numbers_of_8_bits_are_compared_as_what_they_are(dtype, rule):
    """Torch compares none of them; written with more bits they are the same numbers."""
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), Narrow(dtype))
    recording = ann2neo.record(model, list(X.split(5)), layers="2", threshold=rule, progress=False)
    threshold = torch.as_tensor(np.array(recording.layers[0].thresholds))
    assert (recording.raster("2") == (model(X).float() > threshold).T.numpy()).all()


PERMUTATIONS = {
    "turned round": lambda n: torch.arange(n).flip(0),
    "shifted": lambda n: torch.arange(n).roll(1),
    "shifted by two": lambda n: torch.arange(n).roll(2),
    "halves": lambda n: torch.arange(n).roll(n // 2),
    "neighbours": lambda n: torch.tensor([k ^ 1 if k ^ 1 < n else k for k in range(n)]),
    "every other": lambda n: torch.cat([torch.arange(0, n, 2), torch.arange(1, n, 2)]),
    "first two": lambda n: torch.tensor([1, 0, *range(2, n)]),
    "last two": lambda n: torch.tensor([*range(n - 2), n - 1, n - 2]),
}


@pytest.mark.parametrize("n", range(2, 17))
@pytest.mark.parametrize("kind", PERMUTATIONS)
def test_rows_that_are_exchanged_are_seen_in_batches_of_any_size(kind, n):
    """No order in which inputs are run again happens to go along with the exchange, as one of five inputs did that were turned round."""
    permutation = PERMUTATIONS[kind]
    exchanging = Net(lambda self, x: self.act(self.fc(x[permutation(len(x))])))
    if (permutation(n) == torch.arange(n)).all():
        return
    with pytest.raises(ann2neo.errors.ActivationError, match="row k is not input k"):
        record(exchanging, [X[:n]])
