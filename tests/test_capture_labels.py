"""Which labels and predictions a recording takes, which it refuses, and how a model is called with a batch."""

import re
import warnings

import numpy as np
import pytest
import torch
from capture_sources import X, make, record
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ann2neo
from ann2neo.errors import Ann2NeoWarning, AnnotationError, InputsError, RecordingError

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
    "one float32 number per input": (Y[:, None] == 1).float(),
    "one float64 number per input": torch.rand(N).double(),
    "float32 number per input": torch.rand(N, 1).bfloat16(),
    "4 zeros and ones per input": (torch.arange(4 * N).reshape(N, 4) % 3 == 0).int(),
    "7 integers per input": torch.arange(7 * N).reshape(N, 7),
    "uint64 integers above": np.arange(2**63 - 3, 2**63 - 3 + N, dtype=np.uint64),
    "names": np.array(NAMES)[Y],
    "3 float32 numbers per input": torch.rand(N, 3).softmax(1),
    "2 float64 numbers per input": torch.rand(N, 2).double() - 3,
    r"int64 values of shape (5, 1, 1)": Y[:, None, None],
    r"uint8 values of shape (5, 4, 6)": (torch.arange(N * 24) % 7).reshape(N, 4, 6).to(torch.uint8),
    "one complex64 number per input": torch.complex(Y.float(), Y.float()),
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
    with pytest.warns(Ann2NeoWarning, match=re.escape(what)):
        record(mlp, ann2neo.Inputs(in_parts(X, DROPPED[what])), store=tmp_path / "a.zarr")


def test_names_of_a_default_collate_and_other_targets(mlp):
    """Lists of strings, as a loader makes them, and mappings are told; images, and what is to be reconstructed, are left alone."""
    named = [(X[i], NAMES[i % 3]) for i in range(N)]
    with pytest.warns(Ann2NeoWarning, match="names"):
        record(mlp, ann2neo.Inputs(DataLoader(named, 5)))
    with pytest.warns(Ann2NeoWarning, match=r"keys \['boxes'\]"):
        record(mlp, ann2neo.Inputs([(x, {"boxes": y}) for x, y in in_parts(X, X)]))
    for target in (X, torch.rand(N, 4, 4), torch.tensor(0.5).expand(N, 2, 2)):
        assert "label" not in record(mlp, ann2neo.Inputs(in_parts(X, target))).trials
    for target, what in (([Y, X], "2 parts, 1 of which"), (Y[:-2], f"{N - 2} integers for {N} inputs")):
        with pytest.warns(Ann2NeoWarning, match=what):
            assert "label" not in record(mlp, ann2neo.Inputs([(X, target)])).trials
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


def test_numbers_to_be_predicted_are_recorded_without_labels(tmp_path):
    """One number per input beside it is a target; the recording is that of the inputs alone, in memory and in a store, and from a loader too."""
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    plain = record(model, X)
    for number, inputs in enumerate((in_parts(X, torch.rand(N)), DataLoader(TensorDataset(X, torch.rand(N, 1)), 5))):
        with pytest.warns(Ann2NeoWarning, match="one float32 number per input"):
            found = record(model, ann2neo.Inputs(inputs), store=tmp_path / f"{number}.zarr")
        assert (found.raster("1") == plain.raster("1")).all()
        assert not {"label", "predicted_label", "correct"} & set(found.trials)
        given = record(model, ann2neo.Inputs(inputs, labels=Y))
        assert given.trials["label"].tolist() == Y.tolist()


@pytest.mark.parametrize(
    "labels",
    [nn.functional.one_hot(Y, 3), torch.ones(N, 2, dtype=torch.int64), np.full(N, 2**63, np.uint64), np.array(1)],
)
def test_given_labels_follow_the_same_rule(mlp, labels):
    """What would not be taken from a batch is refused where it is given as labels; what may be labels of steps, where there are none."""
    with pytest.raises(InputsError, match=r"one-hot|2 zeros and ones|2\*\*63|something else"):
        record(mlp, ann2neo.Inputs(X, labels=labels))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.int64, bool])
def test_labels_of_every_integer_type_keep_their_values(mlp, dtype):
    """The largest that 64 bits with a sign hold, too."""
    top = min(np.iinfo(dtype).max, 2**63 - 1) if dtype is not bool else 1
    values = np.array([0, top] * N, object)[:N].astype(dtype)
    found = record(mlp, ann2neo.Inputs(in_parts(X, values))).trials["label"]
    assert [int(label) for label in found] == [int(value) for value in values]


def test_labels_that_occur_once_are_told(tmp_path):
    """Indices or lengths beside the inputs are no classes; a window would hold one input. Few inputs may well have a class each."""
    x = torch.randn(30, 6)
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    for number, inputs in enumerate(
        (
            DataLoader(TensorDataset(x, torch.randperm(30) * 7), 8),
            [(x[:15], torch.arange(15)), (x[15:], torch.arange(15, 30))],
        )
    ):
        for options in ({}, {"store": tmp_path / f"{number}.zarr"}):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                ann2neo.record(model, inputs, progress=False, **options)
            assert ["none of the 30 labels occurs twice" in str(one.message) for one in said] == [True]
    record(model, ann2neo.Inputs([(x[:10], torch.arange(10))]))
    record(model, ann2neo.Inputs([(x, torch.tensor([*range(29), 0]))]))
    record(model, ann2neo.Inputs(x, labels=range(30)))


@pytest.mark.parametrize(
    ("labels", "told"),
    [([-1, 1], True), ([-1, 0, 1], True), ([-1, 1, 2], False), ([-100, 1, 2], False), ([-7, 0, 3], True)],
)
@pytest.mark.parametrize("form", ["memory", "store"])
def test_negative_labels_are_unknown(labels, told, form, tmp_path):
    """Their inputs have no window and are neither correct nor wrong; where they may be classes it is said."""
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    values = np.resize(labels, N)
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, max(labels) + 1))
    inputs = ann2neo.Inputs(in_parts(X, torch.as_tensor(values)), predict=lambda output: output.argmax(1))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        recording = record(model, inputs, **options)
    assert ["labels are negative" in str(one.message) for one in said] == [True] * told
    predicted = model(X).argmax(1).numpy()
    known = values >= 0
    assert recording.trials["label"].tolist() == values.tolist()
    assert recording.trials["correct"][known].tolist() == (predicted == values)[known].tolist()
    assert recording.trials["correct"][~known].isna().all()
    assert recording.trials["correct"].mean() == pytest.approx((predicted == values)[known].mean())


@pytest.mark.parametrize("suffix", ["zarr", "nwb", "nix", "mat"])
def test_missing_correctness_survives_every_file(suffix, tmp_path):
    """It is missing afterwards as before, and the recording is the same."""
    inputs = ann2neo.Inputs(X, labels=np.resize([-1, 0, 1, 2], N))
    recording = record(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)), inputs)
    assert recording.trials["correct"].isna().sum() == 4
    ann2neo.save(recording, tmp_path / f"a.{suffix}")
    assert ann2neo.load(tmp_path / f"a.{suffix}").identical(recording)


@pytest.mark.parametrize("form", ["memory", "store"])
def test_an_output_of_another_width_than_the_classes_predicts_nothing(form, tmp_path):
    """A reconstruction or an embedding beside labels is no score of classes, unless the user says so; the true width counts over all batches."""
    options = {"store": tmp_path / "a.zarr"} if form == "store" else {}
    autoencoder = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 6))
    for inputs in (ann2neo.Inputs(in_parts(X, Y)), ann2neo.Inputs(X, labels=Y)):
        found = record(autoencoder, inputs, **options)
        assert "label" in found.trials
        assert not {"predicted_label", "correct"} & set(found.trials)
        options = {} if form == "memory" else {"store": tmp_path / "b.zarr"}
    said = ann2neo.Inputs(X, labels=Y, predict=lambda output: output.argmax(1))
    assert record(autoencoder, said).trials["predicted_label"].tolist() == autoencoder(X).argmax(1).tolist()
    late = torch.tensor([0] * (N - 1) + [5])
    found = record(autoencoder, ann2neo.Inputs(in_parts(X, late)))
    assert found.trials["predicted_label"].tolist() == autoencoder(X).argmax(1).tolist()


def test_outputs_for_classes_that_no_input_has_are_told():
    """A classifier of ten, shown nine classes, is most likely a classifier: it is said how to say so."""
    model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 10))
    with pytest.warns(Ann2NeoWarning, match=r"10 numbers per input[\s\S]*predict="):
        record(model, ann2neo.Inputs(X, labels=np.arange(N) % 9))


@pytest.mark.parametrize("name", ["a/b", "a:b", ".", "_a", "a_index", "a\0b"])
def test_columns_that_no_file_keeps_are_refused_before_the_model_runs(tmp_path, name):
    """A store ended in this error after its last batch, and could never be finished; in memory any name will do."""
    calls = []

    class Counted(torch.nn.ReLU):
        def forward(self, x):
            calls.append(1)
            return super().forward(x)

    labels = {"label": np.arange(6) % 2, name: np.arange(6)}
    inputs = ann2neo.Inputs(torch.randn(6, 3), labels=labels, batch_size=2)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), Counted())
    for path in ("a.zarr", "a.nwb"):
        with pytest.raises((RecordingError, AnnotationError), match=r"Use (a name without|another text)"):
            ann2neo.export(model, inputs, tmp_path / path, progress=False)
    with pytest.raises((RecordingError, AnnotationError)):
        ann2neo.record(model, inputs, store=tmp_path / "a.zarr", progress=False)
    assert not calls
    assert not list(tmp_path.iterdir())
    assert name in ann2neo.record(model, inputs, progress=False).trials
