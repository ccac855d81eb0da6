"""What is on the disk is compared with what the model, the labels and the predictions would be now."""

import json

import numpy as np
import pytest
import torch
from store_sources import Batches, Stop, data, interrupted, model, record, same
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ann2neo
from ann2neo.errors import InputsError, StoreError
from ann2neo.store import check, layout

torch.set_num_threads(1)
Y = torch.arange(300) % 3
SIZES = [7] * 42 + [6]


@pytest.fixture(autouse=True)
def small_columns(monkeypatch):
    """Columns of 16 bins, so that little data fills many."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)


class Labeled(Batches):
    """Batches with labels, in an order that shows when they are read."""

    def __init__(self, x, y):
        super().__init__(x, SIZES)
        self.y = y

    def __iter__(self):
        first = 0
        for size in self.sizes:
            x = self.x[first : first + size]
            yield x if self.y is None else (x, self.y[first : first + size])
            first += size


KINDS = {
    "tensor": lambda x, y: x,
    "list": lambda x, y: list(Labeled(x, y)),
    "loader": lambda x, y: DataLoader(x if y is None else TensorDataset(x, y), 7),
    "iterable": Labeled,
    "generators": lambda x, y: lambda: iter(Labeled(x, y)),
    "generator": lambda x, y: iter(Labeled(x, y)),
}


def made(kind, x=None, y=Y, **options):
    return ann2neo.Inputs(KINDS[kind](data() if x is None else x, y), batch_size=7, **options)


def on_disk(path):
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def hooked():
    network = model()
    network[1].register_forward_hook(lambda module, args, output: -output)
    return network


def with_attribute():
    network = model()
    network[0].forward = lambda x: 2 * x - 1
    return network


CHANGES = {
    "forward": (
        model,
        {"forward": lambda network, batch: network(-(batch[0] if isinstance(batch, list | tuple) else batch))},
    ),
    "hook": (hooked, {}),
    "attribute": (with_attribute, {}),
    "predict": (model, {"predict": lambda output: output.argmin(dim=1)}),
}


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize(
    ("what", "kind"),
    [*((what, "tensor") for what in CHANGES), *(("hook", kind) for kind in KINDS), ("predict", "loader")],
)
def test_what_is_computed_has_changed(tmp_path, what, kind, complete):
    """Another call, hook, attribute or prediction is refused before anything is mixed, whatever the inputs are; what is there stays."""
    path, y = tmp_path / "a.zarr", None if what == "forward" else Y
    if complete:
        record(model(), made(kind, y=y), store=path)
    else:
        interrupted(path, 20, made(kind, y=y))
    before = on_disk(path)
    network, options = CHANGES[what]
    changed = "predicted_label" if what == "predict" else r"bits of layer '2' differ"
    with pytest.raises(StoreError, match=f"batch 0, run again, .*{changed}") as caught:
        record(network(), made(kind, y=y, **options), store=path)
    assert "Old and new would be mixed" in str(caught.value)
    assert on_disk(path) == before
    assert same(record(model(), made(kind, y=y), store=path), record(model(), made(kind, y=y)))


class Drawing(nn.Module):
    """Draws numbers that nobody seeded."""

    def forward(self, x):
        return x + torch.randn(x.shape)


class Counting(nn.Module):
    """Does something else in each batch."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def forward(self, x):
        self.n += 1
        return x * (-1) ** (self.n // 5)


@pytest.mark.parametrize("kind", ["tensor", "loader", "generator"])
@pytest.mark.parametrize("module", [Drawing, Counting])
def test_a_model_that_is_never_the_same_is_not_resumed(tmp_path, module, kind):
    """It begins alike if it is seeded alike, but what was recorded last does not come again."""
    path = tmp_path / "a.zarr"
    torch.manual_seed(1)
    with pytest.raises(Stop):
        record(nn.Sequential(module(), *model(20)), made(kind), store=path)
    torch.manual_seed(1)
    with pytest.raises(StoreError, match=r"batch (0|18), run again, does not give"):
        record(nn.Sequential(module(), *model()), made(kind), store=path)


def test_a_single_batch_that_a_random_model_gave(tmp_path):
    """Where the first batch is the last one too, it is run twice: once it comes again, twice it does not."""
    path, x = tmp_path / "a.zarr", ann2neo.Inputs(data(), batch_size=40)
    torch.manual_seed(1)
    with pytest.raises(Stop):
        record(nn.Sequential(Drawing(), *model(1)), x, store=path)
    assert len(list((path / "log").glob("*.*.json"))) == 2
    torch.manual_seed(1)
    with pytest.raises(StoreError, match=r"(?s)batch 0, run again, .*draws random numbers or keeps a state.*Passes"):
        record(nn.Sequential(Drawing(), *model()), x, store=path)


@pytest.mark.parametrize("kind", ["tensor", "generators"])
def test_passes_make_a_random_model_the_same(tmp_path, kind):
    """Each batch has its seed, so that a model which draws by itself is resumed, in whichever pass it was interrupted; another one is refused."""
    passes = ann2neo.Passes(2, active="4")
    for at in (44, 60):
        path = tmp_path / f"{at}.zarr"
        with pytest.raises(Stop):
            record(nn.Sequential(Drawing(), *model(at)), made(kind), store=path, passes=passes)
        with pytest.raises(StoreError, match="of pass 0, run again"):
            record(nn.Sequential(Drawing(), *hooked()), made(kind), store=path, passes=passes)
        whole = record(nn.Sequential(Drawing(), *model()), made(kind), passes=passes)
        assert same(record(nn.Sequential(Drawing(), *model()), made(kind), store=path, passes=passes), whole)


class Changing(nn.Module):
    """Changes its input in place."""

    def forward(self, x):
        return x.sub_(0.5)


@pytest.mark.parametrize("kind", ["loader", "iterable"])
def test_a_model_that_changes_its_batch(tmp_path, kind):
    """A batch that is run again, and then for good, is the same each time."""
    path = tmp_path / "a.zarr"
    with pytest.raises(Stop):
        record(nn.Sequential(Changing(), *model(20)), made(kind), store=path)
    resumed = record(nn.Sequential(Changing(), *model()), made(kind), store=path)
    assert same(resumed, record(nn.Sequential(Changing(), *model()), made(kind)))


def test_other_threads_are_named(tmp_path):
    """Where bits differ and so does something on which the last of them depend, the message says so."""
    path = tmp_path / "a.zarr"
    interrupted(path, 20, made("tensor"))
    torch.set_num_threads(2)
    try:
        with pytest.raises(StoreError, match="torch_threads 1 there, 2 here"):
            record(hooked(), made("tensor"), store=path)
    finally:
        torch.set_num_threads(1)


# Labels that come with batches


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("kind", ["loader", "generator"])
@pytest.mark.parametrize(("before", "now"), [(Y, Y + 1), (Y, None), (None, Y)])
def test_other_labels_are_refused(tmp_path, kind, before, now, complete):
    """Labels belong to what was recorded, whether they change, appear or vanish."""
    path = tmp_path / "a.zarr"
    if complete:
        record(model(), made(kind, y=before), store=path)
    else:
        interrupted(path, 20, made(kind, y=before))
    there = on_disk(path)
    with pytest.raises(StoreError, match=r"(?s)batch 0 is not the one.*labels"):
        record(model(), made(kind, y=now), store=path)
    assert on_disk(path) == there
    assert same(record(model(), made(kind, y=before), store=path), record(model(), made(kind, y=before)))


# The same data, and what differs


@pytest.mark.parametrize(
    "made_of", [(torch.Tensor.numpy, torch.Tensor.clone), (torch.Tensor.clone, torch.Tensor.numpy)]
)
def test_an_array_holds_the_same_data_as_a_tensor(tmp_path, made_of):
    """The same numbers of the same type go on, as either."""
    path, (first, then) = tmp_path / "a.zarr", made_of
    interrupted(path, 20, made("tensor", first(data())))
    assert same(record(model(), made("tensor", then(data())), store=path), record(model(), made("tensor")))
    with pytest.raises(StoreError, match="batch 0 is not the one"):
        record(model(), made("tensor", data().double().numpy(), forward=lambda m, x: m(x.float())), store=path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": "*"}, "layers (None there, '*' here)"),
        ({"steps": ann2neo.Steps(1)}, "steps (None there, axis 1, lengths None here)"),
        ({"units": [0, 1]}, "units (None there, [0, 1] here)"),
    ],
)
def test_both_facts_are_named(tmp_path, options, said):
    """The refusal says what was asked for there, and what here."""
    path = tmp_path / "a.zarr"
    interrupted(path, 20, made("tensor"))
    with pytest.raises(StoreError) as caught:
        record(model(), made("tensor"), store=path, **options)
    assert said in str(caught.value)


def test_both_rules_are_named(tmp_path):
    """A threshold that is the default's value by number is another rule, and the message shows both."""
    path = tmp_path / "a.zarr"
    interrupted(path, 20, made("tensor"), layers="2")
    with pytest.raises(StoreError, match=r"threshold rule \(.+ there, .*0\.0.* here\)\."):
        record(model(), made("tensor"), store=path, layers="2", threshold=0.0)


def test_what_a_generator_does_not_say_is_unknown(tmp_path):
    """Nobody asked for batches of 64."""
    path = tmp_path / "a.zarr"
    interrupted(path, 20, ann2neo.Inputs(data(), batch_size=7))
    with pytest.raises(
        StoreError, match=r"batch size \(7 there, unknown here\), number of inputs \(300 there, unknown"
    ) as e:
        record(model(), iter(data().split(7)), store=path)
    assert "64" not in str(e.value)


# Predictions of a wrong shape, and folders in which nothing can be made


@pytest.mark.parametrize("kind", ["tensor", "generators"])
def test_predictions_of_a_wrong_shape_are_mended(tmp_path, kind):
    """A last batch of one input, of which `squeeze` leaves no axis, stops the recording; with another ``predict`` the same call completes it."""
    path, x = tmp_path / "a.zarr", data(295)
    inputs = ann2neo.Inputs(x if kind == "tensor" else lambda: iter(x.split(7)), batch_size=7)
    squeezing = ann2neo.Inputs(inputs.data, batch_size=7, predict=lambda output: output.argmax(dim=1).squeeze())
    right = ann2neo.Inputs(inputs.data, batch_size=7, predict=lambda output: output.argmax(dim=1))
    with pytest.raises(InputsError, match="predict"):
        record(model(), squeezing, store=path)
    assert same(record(model(), right, store=path), record(model(), right))
    check(path)


def test_a_column_of_which_no_table_can_be_made_is_recorded_again(tmp_path):
    """A log that holds predictions in a wrong number does not make a recording impossible to get."""
    path = tmp_path / "a.zarr"
    interrupted(path, 20, made("list"))
    marker = path / "log/0.3.json"
    written = json.loads(marker.read_text())
    written["known"]["predicted_label"]["values"] *= 2
    marker.write_text(json.dumps(written))
    assert same(record(model(), made("list"), store=path), record(model(), made("list")))


def test_a_folder_in_which_nothing_can_be_made():
    """It is the store that cannot be written, whatever Zarr says of it."""
    with pytest.raises(StoreError, match=r"/proc/x\.zarr could not be written"):
        record(model(), made("tensor"), store="/proc/x.zarr")


def test_the_labels_of_the_store_are_there(tmp_path):
    """Labels that come with batches are in the table, in their order."""
    found = record(model(), made("loader"), store=tmp_path / "a.zarr")
    assert np.array_equal(found.trials["label"], Y.numpy())
