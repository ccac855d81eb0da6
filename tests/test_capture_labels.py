"""Which labels and predictions a recording takes, which it refuses, and how a model is called with a batch."""

import warnings

import numpy as np
import pytest
import torch
from capture_sources import X, make, record
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ann2neo
from ann2neo.errors import Ann2NeoWarning, InputsError

N = len(X)
Y = torch.arange(N) % 3
NAMES = ["cat", "dog", "cow"]


@pytest.fixture
def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))


def in_parts(*values):
    return [tuple(value[i : i + 5] for value in values) for i in range(0, N, 5)]


@pytest.mark.parametrize(
    "labels",
    [[NAMES[y] for y in Y], {"label": np.array(NAMES)[Y]}, {"target_label": Y / 1.0}, {"label": Y, "target_label": ["a"] * N}],
    ids=["names", "column of names", "numbers", "target"],
)  # fmt: skip
def test_classes_that_are_no_integers_are_refused_at_once(labels):
    """A name never equals a predicted class; it has a column of its own."""
    with pytest.raises(InputsError, match=r"of type [\s\S]*label_name"):
        ann2neo.Inputs(X, labels=labels)


@pytest.mark.parametrize("labels", [Y.bool(), Y[:, None], (Y == 1).numpy()[:, None]], ids=["truth", "column", "both"])
def test_truth_values_and_columns_are_classes(mlp, labels):
    """Where nothing else can be meant, labels are taken, given for all inputs or in batches."""
    expected = np.asarray(labels).reshape(-1).astype(int).tolist()
    given = record(mlp, ann2neo.Inputs(X, labels={"label": labels, "label_name": [NAMES[y] for y in Y]}))
    assert given.trials["label"].tolist() == expected
    assert given.trials["label_name"].tolist()[:3] == NAMES
    for batches in (
        in_parts(X, torch.as_tensor(labels)),
        [{"input": x, "label": y} for x, y in in_parts(X, labels)],
        [(x, {"label": y, "id": 0}) for x, y in in_parts(X, labels)],
    ):
        assert record(mlp, ann2neo.Inputs(batches)).trials["label"].tolist() == expected


@pytest.mark.parametrize(
    "name", ["stimulus_id", "trial", "pass", "start_bin", "stop_bin", "start_time", "predicted_label", "correct"]
)
def test_reserved_columns_are_refused_before_anything_runs(name):
    """What the recording says itself cannot be said otherwise."""
    with pytest.raises(InputsError, match=rf"column '{name}'[\s\S]*another name"):
        ann2neo.Inputs(X, labels={name: Y, "label": Y})


def test_any_other_column_is_taken(mlp):
    """Names of arguments within are no names that a user could not give."""
    columns = {name: np.arange(N) for name in ("lengths", "n_passes", "n_trials", "label")}
    recording = record(mlp, ann2neo.Inputs(X, labels=columns))
    assert all((recording.trials[name] == np.arange(N)).all() for name in columns)


def test_the_number_of_labels_is_checked_before_anything_runs():
    """Of inputs whose number is known."""
    model = make(lambda self, x: pytest.fail("it ran"), act=nn.ReLU())
    for data in (X, DataLoader(TensorDataset(X), 5)):
        with pytest.raises(InputsError, match="13 inputs"):
            record(model, ann2neo.Inputs(data, labels=Y[:5]))


DROPPED = {
    "one-hot vectors": nn.functional.one_hot(Y, 3),
    "a column of float32 numbers": (Y[:, None] == 1).float(),
    "names": np.array(NAMES)[Y],
}


@pytest.mark.parametrize("what", list(DROPPED))
def test_labels_that_are_not_read_are_told_once(mlp, what, tmp_path):
    """Somebody who gave labels in another form hears that the recording has none."""
    for batches in (in_parts(X, DROPPED[what]), [{"input": x, "label": y} for x, y in in_parts(X, DROPPED[what])]):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            recording = record(mlp, ann2neo.Inputs(batches))
        assert [what in str(one.message) for one in said] == [True]
        assert "label" not in recording.trials
        record(mlp, ann2neo.Inputs(batches, labels=Y))
    with pytest.warns(Ann2NeoWarning, match=what):
        record(mlp, ann2neo.Inputs(in_parts(X, DROPPED[what])), store=tmp_path / "a.zarr")


def test_names_of_a_default_collate_and_other_targets(mlp):
    """Lists of strings, as a loader makes them, and mappings are told; targets of several dimensions are left alone."""
    named = [(X[i], NAMES[i % 3]) for i in range(N)]
    with pytest.warns(Ann2NeoWarning, match="names"):
        record(mlp, ann2neo.Inputs(DataLoader(named, 5)))
    with pytest.warns(Ann2NeoWarning, match=r"keys \['boxes'\]"):
        record(mlp, ann2neo.Inputs([(x, {"boxes": y}) for x, y in in_parts(X, X)]))
    for target in (X, torch.zeros(N, 4, 4, dtype=torch.int64), X[:, :1]):
        assert "label" not in record(mlp, ann2neo.Inputs(in_parts(X, target))).trials
    ragged = [(X[:5], [torch.zeros(i) for i in range(5)])]
    assert "label" not in record(mlp, ann2neo.Inputs(ragged)).trials


@pytest.mark.parametrize(
    "predict",
    [lambda output: output, lambda output: output.argmax(1)[:-1], lambda output: output.max(1).values, lambda output: None],
    ids=["logits", "too few", "floats", "nothing"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["memory", "store"])
def test_predictions_are_checked_with_the_first_batch(mlp, predict, form, tmp_path):
    """One integer per input, or nothing is recorded."""
    n_calls = []
    mlp.register_forward_hook(lambda *_: n_calls.append(1))
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    with pytest.raises(InputsError, match=r"predict= gave[\s\S]*argmax"):
        record(mlp, ann2neo.Inputs(X, batch_size=5, predict=predict), **options)
    assert len(n_calls) == 1
    assert not (tmp_path / "a.zarr").exists()


def test_predictions_are_made_where_classes_are_known(mlp):
    """An output of shape (input, number) is no prediction where nothing says that these are classes."""

    class Output:
        def __init__(self, logits):
            self.logits = logits

    expected = mlp(X).argmax(1).tolist()
    assert "predicted_label" not in record(mlp, X).trials
    for inputs in (
        ann2neo.Inputs(X, labels=Y),
        ann2neo.Inputs(X, labels={"target_label": Y}),
        ann2neo.Inputs(in_parts(X, Y)),
        ann2neo.Inputs(X, predict=lambda output: output.argmax(1)),
        ann2neo.Inputs(X, forward=lambda model, x: Output(model(x))),
    ):
        assert record(mlp, inputs).trials["predicted_label"].tolist() == expected
    assert "predicted_label" not in record(mlp, ann2neo.Inputs(X, labels={"session": Y})).trials


def two(self, x, t):
    return self.act(x + t[:, None])


CALLS = {
    "a missing argument": (two, lambda: in_parts(X, Y), r"takes \['x', 't'\][\s\S]*forward=lambda model, batch"),
    "a data set": (two, lambda: TensorDataset(X, Y), r"takes \['x', 't'\][\s\S]*forward=lambda model, batch"),
    "a missing key": (two, lambda: [{"x": X}], r"called with the arguments \['x'\]"),
    "triples": (lambda self, x: self.act(x), lambda: in_parts(X, Y, Y), r"3 parts[\s\S]*batch\[0\]"),
    "an attribute": (lambda self, x: self.act(x.float()), lambda: in_parts(X, Y, Y), r"3 parts[\s\S]*batch\[0\]"),
}


@pytest.mark.parametrize("case", list(CALLS))
@pytest.mark.parametrize("run", [record, ann2neo.plan], ids=["record", "plan"])
def test_a_model_that_is_called_wrongly_is_told_how(case, run):
    """The message names what the model takes and what it was given; torch's own error is kept behind it."""
    forward, inputs, match = CALLS[case]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

    Model.forward = forward
    with pytest.raises(InputsError, match=match) as caught:
        run(Model(), ann2neo.Inputs(inputs()))
    assert isinstance(caught.value.__cause__, (TypeError, AttributeError))


def test_an_error_of_the_model_itself_is_left_as_it_is():
    """What goes wrong within a model that takes what it is given is no matter of how it is called."""
    model = make(lambda self, x: self.act(x) + "a", act=nn.ReLU())
    with pytest.raises(TypeError):
        record(model, X)
    with pytest.raises(AttributeError):
        record(make(lambda self, x: self.nothing, act=nn.ReLU()), X)
    forward = {"forward": lambda model, batch: model(batch[0], batch[1])}
    with pytest.raises(TypeError, match="positional"):
        record(nn.ReLU(), ann2neo.Inputs(in_parts(X, Y), **forward))


@pytest.mark.parametrize("store", [False, True])
def test_labels_of_some_batches_are_told_to_be_left_out(store, tmp_path):
    """A column of labels needs all of them; that it is missing is said, whichever batch comes first."""
    x, y = torch.randn(10, 4), torch.arange(5)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
    for number, batches in enumerate(([(x[:5], y), x[5:]], [x[:5], (x[5:], y)])):
        options = {"store": tmp_path / f"{number}.zarr"} if store else {}
        with pytest.warns(Ann2NeoWarning, match="the trials have no labels"):
            recording = ann2neo.record(model, batches, progress=False, **options)
        assert "label" not in recording.trials
