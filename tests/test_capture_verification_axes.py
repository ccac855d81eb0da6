"""Batches whose inputs lie along their second axis, steps first: they are moved along it, and recorded by input."""

import contextlib

import numpy as np
import pytest
import torch
from capture_sources import make
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, IterableDataset
from verified_models import Net

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning, InputsError
from ann2neo.verification.places import are_alike, taken

N_STEPS = 7


def recorded(model, batch, **options):
    inputs = ann2neo.Inputs([batch], n_inputs=lambda b: (b["x"] if isinstance(b, dict) else b).shape[1])
    return ann2neo.record(model, inputs, progress=False, **options)


def sequences(n_inputs, n_steps=N_STEPS):
    return torch.randn(n_steps, n_inputs, 5, generator=torch.Generator().manual_seed(n_inputs))


def last_state(self, x, lengths=None):
    states = self.gru(x)[0]
    return self.act(self.out(states[-1] if lengths is None else states[lengths - 1, torch.arange(x.shape[1])]))


def one_by_one(model, x):
    """Activations of each input, alone in its batch, (input, unit, ...)."""
    with torch.no_grad():
        return torch.stack([model(x[:, [k]]).squeeze(1) for k in range(x.shape[1])])


@pytest.mark.parametrize("n_inputs", [2, 5, 20])
def test_inputs_along_the_second_axis_are_recorded_by_input(n_inputs):
    """Bits are those of each input alone, also where the layer has the inputs along its own second axis."""
    model, x = Net(lambda self, x: self.act(self.fc(x))), sequences(n_inputs)
    recording = recorded(model, x)
    assert recording.provenance["verified"] == "rows follow their inputs, and come out the same again"
    expected = one_by_one(model, x) > 0
    assert (recording.raster("act") == expected.reshape(n_inputs, -1).numpy().T).all()
    steps = recorded(model, x, steps=ann2neo.Steps(1))
    assert (steps.raster("act") == expected.reshape(-1, 8).numpy().T).all()


def test_steps_that_are_flattened_with_inputs_are_told_apart():
    """Rows (step, input) of a layer get their two axes back, steps first as the batch has them."""
    model, x = Net(lambda self, x: self.act(self.fc(x.reshape(-1, 5)))), sequences(20)
    steps = recorded(model, x, steps=ann2neo.Steps(1))
    with torch.no_grad():
        expected = torch.relu(model.fc(x)).movedim(1, 0) > 0
    assert (steps.raster("act") == expected.reshape(-1, 8).numpy().T).all()


@pytest.mark.parametrize("n_steps", [N_STEPS, 20])
def test_lengths_go_with_the_inputs_of_the_second_axis(n_steps):
    """What has one number per input is moved along, wherever it lies in the batch; as many steps as inputs are told apart by what the model does with them."""
    model = Net(last_state, gru=nn.GRU(5, 8))
    x, lengths = sequences(20, n_steps), torch.arange(20) % N_STEPS + 1
    recording = recorded(model, {"lengths": lengths, "x": x})
    with torch.no_grad():
        expected = torch.stack([model(x[: lengths[k], [k]])[0] for k in range(20)]) > 0
    assert (recording.raster("act") == expected.numpy().T).all()
    assert are_alike({"x": sequences(4, 9)[:, [0, 0, 0, 0]], "lengths": lengths[:4]}, 4) == ["/x"]


def test_rows_that_are_sorted_along_the_second_axis_are_refused():
    """Moved along the second axis, inputs that do not come out where they went in are found."""
    sorting = Net(lambda self, x: self.act(self.fc(x[:, x[0, :, 0].argsort()])))
    with pytest.raises(ActivationError, match="row k is not input k"):
        recorded(sorting, sequences(20))


def test_the_axis_of_inputs_of_a_graph_is_the_first():
    """As many edges as nodes do not make the ends of an edge steps."""
    x, edges = torch.randn(6, 5), torch.randint(6, (2, 6))
    moved = taken({"x": x, "edges": edges}, [3, 3, 1], 6)
    assert (moved["x"] == x[[3, 3, 1]]).all()
    assert moved["edges"] is edges
    assert (taken(np.arange(12).reshape(3, 4), [3, 0], 4) == np.arange(12).reshape(3, 4)[:, [3, 0]]).all()


def pointwise(self, x, **_others):
    return self.act(self.fc(x))


def mean_over_steps(self, x, **_others):
    return self.out(self.act(self.fc(x)).mean(0))


def last_of_steps(self, x, **_others):
    return self.gru(self.act(self.fc(x)))[0][-1]


def along_steps(self, x, mask=None):
    return self.encoder(self.act(self.fc(x)), src_key_padding_mask=None if mask is None else mask == 0)


# Models of (step, input, feature), the first of which does the same along either axis; only what the others return, or a later layer, tells.
STEPS_FIRST = {
    "pointwise": lambda: Net(pointwise),
    "mean": lambda: Net(mean_over_steps),
    "recurrent": lambda: Net(last_of_steps, gru=nn.GRU(8, 8)),
    "attention": lambda: Net(along_steps, encoder=nn.TransformerEncoderLayer(8, 2, 8, dropout=0.0)),
}


def is_by_input(recording, model, x):
    with torch.no_grad():
        expected = torch.relu(model.fc(x)).movedim(1, 0) > 0
    return np.array_equal(recording.raster("act"), expected.flatten(1).numpy().T)


def quiet(model, batches, **options):
    return ann2neo.record(model, batches, progress=False, **options)


@pytest.mark.parametrize("kind", ["mean", "recurrent", "attention"])
def test_as_many_steps_as_inputs_are_told_by_what_comes_after(kind):
    """A layer, or what the model returns, follows the inputs along one of the two axes only: that is theirs."""
    model, x = STEPS_FIRST[kind](), sequences(8, 8)
    assert is_by_input(quiet(model, [x]), model, x)


@pytest.mark.parametrize("n_batches", [1, 3])
def test_labels_of_as_many_steps_as_inputs_are_not_guessed(n_batches, tmp_path):
    """Along which of their axes inputs lie is not known; in memory, and in a store that goes on after one batch."""
    model, x, y = STEPS_FIRST["mean"](), sequences(8, 8), torch.arange(64).reshape(8, 8)
    batches = [(x + k, y) for k in range(3)]

    def some():
        yield from batches[:n_batches]
        if n_batches < 3:
            raise KeyError("no more")

    options = {"steps": ann2neo.Steps(1), "store": tmp_path / "a.zarr"}
    with contextlib.suppress(KeyError), pytest.warns(Ann2NeoWarning, match="are not taken for labels of steps"):
        quiet(model, some, **options)
    with pytest.warns(Ann2NeoWarning, match="not taken for labels"):
        recording = quiet(model, lambda: iter(batches), **options)
    assert len(recording.trials) == 24
    assert recording.bins is None or "label" not in recording.bins


def test_as_many_steps_as_inputs_are_told_by_a_mask():
    """A mask of shape (input, step) goes with the inputs of (step, input, feature), and its padding is left out."""
    model, x, lengths = STEPS_FIRST["attention"](), sequences(8, 8), torch.arange(1, 9)
    mask = (torch.arange(8) < lengths[:, None]).long()
    recording = quiet(model, [{"x": x, "mask": mask}], steps=ann2neo.Steps(1, lengths="mask"))
    with torch.no_grad():
        expected = torch.cat([torch.relu(model.fc(x))[:n, k] for k, n in enumerate(lengths)]) > 0
    assert (recording.raster("act") == expected.numpy().T).all()


def test_as_many_steps_as_inputs_that_nothing_tells_apart_are_told():
    """One warning, and in the provenance; none where the user says which axis is which, or a tensor or data set does."""
    model, x = STEPS_FIRST["pointwise"](), sequences(8, 8)
    with pytest.warns(Ann2NeoWarning, match="nothing says which axis") as said:
        recording = quiet(model, [x])
    assert len(said) == 1
    assert "nothing says which axis" in recording.provenance["verified"]
    for data, options in (([x], {"steps": ann2neo.Steps(1)}), (x, {}), (DataLoader(x, batch_size=8), {})):
        assert quiet(model, data, **options).provenance["verified"].startswith("rows follow")
    by_features = Net(lambda self, x: self.act(self.fc(x)))
    assert quiet(by_features, [sequences(5, 1)[0]]).provenance["verified"].startswith("rows follow")


@pytest.mark.parametrize("n_inputs", [4, 1])
@pytest.mark.parametrize("kind", ["mean", "recurrent", "attention"])
def test_steps_that_are_taken_for_inputs_are_refused(kind, n_inputs):
    """Of a list what is returned shows that inputs lie along the second axis; a number of inputs that is said is the cure. Of a tensor it is told."""
    model, x = STEPS_FIRST[kind](), sequences(n_inputs, 9)
    with pytest.raises(InputsError, match=f"the {n_inputs} entries of the second axis"):
        quiet(model, [x])
    assert is_by_input(recorded(model, x), model, x)
    with pytest.warns(Ann2NeoWarning, match=f"the {n_inputs} entries of the second axis"):
        quiet(model, x, layers="act")


@pytest.mark.parametrize(
    "beside",
    [
        {"lengths": torch.tensor([9, 2, 3, 4])},
        {"mask": torch.ones(4, 9)},
        {"label": torch.tensor([1, 0, 1, 1])},
    ],
)
def test_what_counts_the_second_axis_is_asked_for(beside):
    """Labels, lengths and masks of as many entries as the second axis has are no proof, and are not left out in silence."""
    x = sequences(4, 9)
    with pytest.raises(InputsError, match="whether it holds 9 inputs or, with steps first, 4"):
        quiet(STEPS_FIRST["pointwise"](), [{"x": x, **beside}])
    number = ann2neo.Inputs([{"x": x, **beside}], n_inputs=lambda batch: batch["x"].shape[1])
    model = STEPS_FIRST["pointwise"]()
    assert is_by_input(quiet(model, number), model, x)


def turned_square(n_features, *, function=False):
    """A model whose layer has its units, or steps, along the first axis and its inputs along the second."""
    torch.manual_seed(0)
    act = torch.relu if function else nn.ReLU()
    modules = {"fc": nn.Linear(n_features, 8)} | ({} if function else {"act": act})
    return make(lambda self, x: act(self.fc(x).transpose(0, 1)), **modules)


@pytest.mark.parametrize("how", ["function", "by default", "by name", "calibrated", "store"])
@pytest.mark.parametrize("shape", [(21, 5, 5), (28, 8)])
def test_a_square_that_is_turned_inside_is_turned_back_in_every_batch(shape, how, tmp_path):
    """As many steps, or units, as inputs: the shape of what comes out is the same in either order; also in a shorter last batch."""
    model, x = turned_square(shape[-1], function=how == "function"), torch.randn(shape)
    options = {
        "by name": {"layers": "act"},
        "calibrated": {"threshold": ann2neo.Quantile(0.5, on=x)},
        "store": {"store": tmp_path / "a.zarr"},
    }
    recording = quiet(model, ann2neo.Inputs(x, batch_size=5 if x.ndim > 2 else 8), **options.get(how, {}))
    with torch.no_grad():
        values = torch.relu(model.fc(x)).flatten(1).double().numpy()
    limits = np.quantile(values, 0.5, axis=0, method="inverted_cdf") if how == "calibrated" else 0.0
    assert (recording.raster(recording.layers[0].name) == (values > limits).T).all()


class Stream(IterableDataset):
    """Sequences that come one after another."""

    def __iter__(self):
        yield from sequences(12, 7).movedim(1, 0)


@pytest.mark.parametrize("batch_size", [4, 9, 40])
def test_a_stream_whose_items_lie_along_the_second_axis_is_recorded_by_input(batch_size):
    """Its loader says of how many items a batch is made; also where all of them are fewer than a batch. One whose items have steps after them is recorded as before."""
    model, x = STEPS_FIRST["pointwise"](), sequences(12, 7)
    assert is_by_input(quiet(model, DataLoader(Stream(), batch_size=batch_size, collate_fn=pad_sequence)), model, x)
    inputs = ann2neo.Inputs(DataLoader(Stream(), batch_size=4, collate_fn=pad_sequence), n_inputs=lambda x: x.shape[1])
    assert is_by_input(quiet(model, inputs), model, x)
    recording = quiet(model, DataLoader(Stream(), batch_size=batch_size, collate_fn=torch.stack))
    assert len(recording.trials) == 12
    assert recording.provenance["verified"].startswith("rows follow")


def test_a_stream_that_is_counted_is_read_as_it_is_in_workers_and_left_alone():
    """The loader keeps its collating function, and workers give the same."""
    loader = DataLoader(Stream(), batch_size=5, collate_fn=pad_sequence, num_workers=1)
    model = STEPS_FIRST["pointwise"]()
    assert is_by_input(quiet(model, loader), model, sequences(12, 7))
    assert loader.collate_fn is pad_sequence
    assert [tuple(batch.shape) for batch in loader] == [(7, 5, 5), (7, 5, 5), (7, 2, 5)]


class OwnWay(DataLoader):
    """A loader that yields what it wants."""

    def __iter__(self):
        return iter(sequences(12, 7).split(4, dim=1))


def test_a_number_of_inputs_that_is_declared_is_held_against_the_second_axis():
    """Of batches that come as they are, by their loader or by Inputs(batch_size=...)."""
    model = STEPS_FIRST["pointwise"]()
    with pytest.raises(InputsError, match="batch_size=4"):
        quiet(model, OwnWay(Stream(), batch_size=4, collate_fn=pad_sequence))
    with pytest.raises(InputsError, match="batch_size=4"):
        quiet(model, ann2neo.Inputs(lambda: sequences(12, 7).split(4, dim=1), batch_size=4))
    quiet(model, ann2neo.Inputs(lambda: [sequences(12, 7)], n_inputs=lambda x: x.shape[0], batch_size=12))


@pytest.mark.parametrize("as_mapping", [False, True])
def test_a_number_of_inputs_that_fits_two_axes_is_that_of_the_one_it_counts(as_mapping):
    """What the user's function counts is found by counting one entry more; a number that counts neither axis is told."""
    model, x = STEPS_FIRST["pointwise"](), sequences(8, 8)
    batch, of = ({"x": x, "age": torch.arange(8) + 1}, lambda b: b["x"]) if as_mapping else (x, lambda b: b)
    for steps in (None, ann2neo.Steps(1)):
        second = quiet(model, ann2neo.Inputs([batch], n_inputs=lambda b: of(b).shape[1]), steps=steps)
        first = quiet(model, ann2neo.Inputs([batch], n_inputs=lambda b: len(of(b))), steps=steps)
        with torch.no_grad():
            values = torch.relu(model.fc(x)) > 0
        shape = (8, -1) if steps is None else (64, 8)
        assert (first.raster("act") == values.reshape(shape).numpy().T).all()
        assert (second.raster("act") == values.movedim(1, 0).reshape(shape).numpy().T).all()
        assert {one.provenance["verified"][:11] for one in (first, second)} == {"rows follow"}
        with pytest.warns(Ann2NeoWarning, match="nothing says which axis") as said:
            unclear = quiet(model, ann2neo.Inputs([batch], n_inputs=lambda b: 8), steps=steps)
        assert len(said) == 1
        assert "nothing says which axis" in unclear.provenance["verified"]


def test_labels_of_steps_of_a_square_are_not_guessed():
    """It is known which axis of the inputs is counted, not which of their labels."""
    batch = {"x": sequences(8, 8), "labels": torch.arange(64).reshape(8, 8)}
    inputs = ann2neo.Inputs([batch], n_inputs=lambda b: b["x"].shape[1])
    with pytest.warns(Ann2NeoWarning, match="no labels of steps"):
        quiet(STEPS_FIRST["pointwise"](), inputs, steps=ann2neo.Steps(1))


def flattened(self, x):
    return self.act(self.fc(x.flatten(0, 1))).unflatten(0, x.shape[:2])


@pytest.mark.parametrize(("forward", "n_inputs"), [(pointwise, 4), (pointwise, 1), (pointwise, 12), (flattened, 4)])
def test_batches_that_come_as_they_are_and_follow_either_axis_are_told(forward, n_inputs):
    """Once, and in the provenance: nothing says whether steps come first; not where labels, or a number that is said, count the inputs."""
    model, x = Net(forward), sequences(n_inputs, 9)
    for data in ([x], lambda: iter([x])):
        with pytest.warns(Ann2NeoWarning, match=f"9 entries along its first and {n_inputs} along its second") as said:
            recording = quiet(model, data)
        assert len(said) == 1
        assert "the first was taken" in recording.provenance["verified"]
    labels = torch.arange(9) % 2
    for data in (
        [(x, labels)],
        x,
        ann2neo.Inputs([x], n_inputs=len),
        DataLoader(list(x), batch_size=9, collate_fn=torch.stack),
    ):
        assert quiet(model, data).provenance["verified"].startswith("rows follow")


def test_images_in_batches_that_come_as_they_are_are_not_asked_about():
    """Channels are no inputs, whether there are more or fewer of them; nor are features."""
    torch.manual_seed(0)
    for model, shape in (
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), (6, 3, 8, 8)),
        (nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), nn.ReLU()), (6, 3, 8, 8)),
        (nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)), (6, 3, 4, 4)),
        (nn.Sequential(nn.Linear(5, 8), nn.ReLU()), (6, 5)),
    ):
        assert quiet(model, [torch.randn(shape)]).provenance["verified"].startswith("rows follow")


@pytest.mark.parametrize("batch_size", [6, 4, 1])
def test_what_a_collating_function_puts_along_the_second_axis_is_found(batch_size):
    """By putting an item together with itself; also where there are as many steps as inputs, and labels of steps with them."""
    items = [(one, torch.arange(6) + k) for k, one in enumerate(sequences(12, 6).movedim(1, 0))]
    loader = DataLoader(
        items, batch_size=batch_size, collate_fn=lambda some: tuple(map(pad_sequence, zip(*some))), shuffle=True
    )
    model = STEPS_FIRST["pointwise"]()
    recording = quiet(model, loader, steps=ann2neo.Steps(1))
    ids = recording.trials["stimulus_id"].to_numpy()
    assert sorted(ids) == list(range(12))
    with torch.no_grad():
        expected = torch.relu(model.fc(torch.stack([items[k][0] for k in ids]))).flatten(0, 1) > 0
    assert (recording.raster("act") == expected.numpy().T).all()
    assert (recording.bins["label"].to_numpy().reshape(12, 6) == ids[:, None] + np.arange(6)).all()
