"""What is counted and moved as the inputs of a batch: arrays that come before them, texts, arrays that torch cannot read, and what enters a module by name."""

import contextlib
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import ann2neo
from ann2neo.capture.inputs.batches import _n_inputs
from ann2neo.errors import ActivationError, Ann2NeoWarning, InputsError

X = torch.randn(8, 6, 4, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A layer whose inputs come last, after what is the same for all of them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.act = nn.Linear(4, 5), nn.ReLU()

    def forward(self, position_ids=None, scale=None, row=None, mask=None, lengths=None, x=None):
        h = self.fc(x)
        if position_ids is not None:
            h = h + 0.3 * position_ids[:, None]
        return self.act(h if scale is None else h * scale)


def spikes(h):
    return (h > 0).flatten(1).T.numpy()


def quiet(model, batches, **options):
    return ann2neo.record(model, batches, progress=False, **options)


def record(model, batches, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return quiet(model, batches, **options)


BEFORE = {
    "positions": {"position_ids": torch.arange(6.0) - 2},
    "scale": {"scale": torch.tensor([2.0])},
    "row": {"row": torch.arange(6)[None]},
    "mask": {"mask": torch.ones(6, 6).tril()},
    "both": {"position_ids": torch.arange(6.0), "scale": torch.tensor([2.0])},
}


# Where there are as many steps as inputs, a row of positions tells them apart.
@pytest.mark.parametrize(
    ("kind", "n"), [(kind, n) for kind in BEFORE for n in (8, 3)] + [("positions", 6), ("both", 6)]
)
def test_what_comes_before_the_inputs_is_not_counted(kind, n):
    """The number of inputs is that of the sequences, and inputs change places in these alone; a scale does not say along which of two axes they lie."""
    model, before = Net(), BEFORE[kind]
    with pytest.warns(Ann2NeoWarning, match="nothing says") if kind == "scale" else contextlib.nullcontext():
        recording = quiet(model, [{**before, "x": X[:n]}, {**before, "x": X[:n].flip(0)}])
    h = model.fc(torch.cat([X[:n], X[:n].flip(0)]))
    h = h + 0.3 * before["position_ids"][:, None] if "position_ids" in before else h
    assert (recording.raster("act") == spikes(h.detach())).all()
    in_steps = record(model, [{**before, "x": X[:n]}], steps=ann2neo.Steps(1))
    assert in_steps.trials["stop_bin"].tolist() == list(range(6, 6 * n + 1, 6))


def test_one_number_for_each_input_still_counts():
    """Lengths before sequences whose steps come first; numbers that nothing names are asked about."""
    model, x = Net(), X.transpose(0, 1)
    recording = record(model, [{"lengths": torch.full((8,), 6), "x": x}], steps=ann2neo.Steps(1))
    assert recording.trials.shape[0] == 8
    with pytest.raises(InputsError, match="'row' before it has shape"):
        record(model, [{"row": torch.arange(6.0), "x": X}])


class Reader(nn.Module):
    """Reads texts, in the order in which they come or sorted."""

    def __init__(self, sorts):
        super().__init__()
        torch.manual_seed(0)
        self.bag, self.act, self.sorts = nn.EmbeddingBag(30, 6), nn.ReLU(), sorts

    def forward(self, text):
        rows = sorted(text) if self.sorts else text
        return self.act(self.bag(torch.tensor([[ord(letter) % 30 for letter in one] for one in rows])))


@pytest.mark.parametrize("kind", [list, tuple])
def test_texts_are_verified_like_tensors(kind):
    """Texts that the model sorts are no rows of the inputs."""
    texts = ["neuron", "spikes", "axonal", "dendro", "cortex", "laminx", "glomus", "baskey"]
    inputs = ann2neo.Inputs([{"text": kind(texts)}], n_inputs=lambda batch: len(batch["text"]))
    recording = record(Reader(False), inputs)
    assert (
        recording.raster("act")[:, 1]
        == record(Reader(False), ann2neo.Inputs([{"text": texts[1:2]}], n_inputs=lambda _: 1)).raster("act")[:, 0]
    ).all()
    assert recording.provenance["verified"] == "rows follow their inputs, and come out the same again"
    with pytest.raises(ActivationError, match="row k is not input k"):
        record(Reader(True), inputs)


class Gate(nn.Module):
    def forward(self, x=None, mask=None):
        return x * mask


def test_what_enters_a_module_by_name_is_its_first_parameter():
    """Also where a mask is passed before it."""

    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.fc, self.down = nn.Linear(4, 6), Gate()

        def forward(self, x):
            return self.down(mask=torch.ones(len(x), 6), x=self.fc(x))

    model, x = Gated(), X[:, 0]
    recording = record(model, x, layers="down.input", threshold=0.0)
    assert (recording.raster("down.input") == spikes(model.fc(x).detach())).all()


def test_lengths_of_one_sequence_are_those_of_one_input():
    """Also where steps come first; and one row of tokens beside several images is one input."""
    assert _n_inputs({"lengths": torch.tensor([9]), "x": torch.zeros(9, 1, 2)}) == 1
    assert _n_inputs({"input_ids": torch.zeros(1, 20), "pixel_values": torch.zeros(5, 3, 4, 4)}) == 1
    assert _n_inputs({"scale": torch.ones(1), "x": torch.zeros(9, 4, 2)}) == 9
    assert _n_inputs({"row": torch.zeros(1, 4), "x": torch.zeros(9, 4, 2)}) == 9


class Scaled(nn.Module):
    """Takes images or vectors, in one piece or one by one, and a part that it does not use."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x, weights=None):
        return self.act(torch.stack(list(x)).to(torch.float32))


FIRST = np.random.default_rng(0).standard_normal((20, 7)).astype(np.float32)
FOREIGN = {
    "channels turned": lambda x: x[:, ::-1],
    "turned": lambda x: x[::-1],
    "other byte order": lambda x: x.astype(">f4"),
    "both": lambda x: x.astype(">f8")[..., ::-1],
    "one of two fields": lambda x: np.rec.fromarrays([x, x.astype("i1")]).f0,
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_arrays_that_torch_cannot_read_as_they_lie_are_copied(change):
    """Alone, in batches, as a part, and as entries of a list."""
    x = change(FIRST)
    batches = [x[:12], x[12:]]
    for data in (
        x,
        batches,
        [{"x": torch.as_tensor(one.astype("f4").copy()), "weights": one} for one in batches],
        ann2neo.Inputs([list(one) for one in batches], n_inputs=len),
    ):
        raster = ann2neo.record(Scaled(), data, progress=False).raster("act")
        np.testing.assert_array_equal(raster, (x > 0).T)


def test_numbers_of_more_digits_than_torch_knows_are_refused():
    """Rather than rounded."""
    for x in (FIRST.astype(np.longdouble), [{"x": FIRST, "weights": FIRST.astype(np.clongdouble)}]):
        if np.longdouble(0).itemsize > 8:
            with pytest.raises(InputsError, match=r"(?s)type (float|complex).*astype\('(float64|complex128)'\)"):
                ann2neo.record(Scaled(), x, progress=False)


def test_tensors_that_are_views_with_another_sign_are_read():
    """Negated and conjugate ones."""
    x = torch.as_tensor(FIRST)
    raster = ann2neo.record(Scaled(), torch._neg_view(x), progress=False).raster("act")
    np.testing.assert_array_equal(raster, (FIRST < 0).T)
    mirrored = torch.complex(x, x).conj().imag
    np.testing.assert_array_equal(ann2neo.record(Scaled(), mirrored, progress=False).raster("act"), raster)
