"""Predictions are those of the inputs: what they follow from is verified like a layer, and left out where it is not."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from capture_sources import make, names
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ann2neo
from ann2neo.errors import Ann2NeoWarning

X = torch.randn(44, 5, generator=torch.Generator().manual_seed(3))
Y = torch.arange(44) % 4
INPUTS = ann2neo.Inputs(X, labels=Y, batch_size=8)


def classifier(after):
    """A model whose scores are changed after its only activation function."""
    torch.manual_seed(0)
    modules = {"fc": nn.Linear(5, 9), "act": nn.ReLU(), "out": nn.Linear(9, 4)}
    return make(lambda self, x: after(self.out(self.act(self.fc(x))), x), **modules)


def record(model, inputs=INPUTS, **options):
    recording = ann2neo.record(model, inputs, progress=False, **options)
    with torch.no_grad():
        spikes = torch.cat([model.fc(x) for x in X.split(8)]) > 0
    assert names(recording) == ["act"]
    assert (recording.raster("act") == spikes.numpy().T).all()
    return recording


def classes(model):
    """Predicted class of each input, by the weights."""
    with torch.no_grad():
        return model.out(torch.relu(model.fc(X))).argmax(1).numpy()


# What models do to their scores, and why these cannot be predictions of the inputs.
WRONG = {
    "sorted": (lambda scores, x: scores[x[:, 0].argsort()], "row k is not input k"),
    "turned round": (lambda scores, _x: scores.flip(0), "row k is not input k"),
    "named": (lambda scores, _x: SimpleNamespace(logits=scores.roll(1, 0)), "row k is not input k"),
    "dropped": (lambda scores, _x: torch.dropout(scores, 0.5, True), "differs from run to run"),
    "noisy": (lambda scores, _x: scores + torch.randn(scores.shape), "differs from run to run"),
}


@pytest.mark.parametrize("case", WRONG)
def test_predictions_that_are_not_of_their_inputs_are_left_out(case, tmp_path):
    """Bits are right and recorded; in memory and in a store, also when it is opened again."""
    after, why = WRONG[case]
    model = classifier(after)
    for store in (None, tmp_path / "a.zarr"):
        with pytest.warns(Ann2NeoWarning, match=f"predicts are not recorded: [a-z ]*{why}") as told:
            recording = record(model, store=store)
        assert len(told) == 1
        assert not {"predicted_label", "correct"} & set(recording.trials)
        assert recording.trials["label"].tolist() == Y.tolist()
    if why.startswith("row"):
        with pytest.warns(Ann2NeoWarning, match="predicts are not recorded"):
            assert "predicted_label" not in record(model, store=tmp_path / "a.zarr").trials


def test_one_input_a_batch_is_the_cure_for_sorting():
    """There predictions are those of the inputs."""
    model = classifier(WRONG["sorted"][0])
    found = record(model, ann2neo.Inputs(X, labels=Y, batch_size=1)).trials["predicted_label"]
    assert (found.to_numpy() == classes(model)).all()


def test_predict_may_give_the_order_back():
    """What it gives is judged, not what the model returns."""
    model = classifier(WRONG["turned round"][0])
    back, not_back = (
        ann2neo.Inputs(X, labels=Y, batch_size=8, predict=one)
        for one in (lambda scores: scores.flip(0).argmax(1), lambda scores: scores.argmax(1))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (record(model, back).trials["predicted_label"].to_numpy() == classes(model)).all()
    with pytest.warns(Ann2NeoWarning, match="predicts are not recorded"):
        assert "predicted_label" not in record(model, not_back).trials


@pytest.mark.parametrize(
    "after", [lambda scores, _x: scores, lambda scores, _x: scores.softmax(1), lambda scores, _x: scores * 0 + 1]
)
def test_predictions_of_inputs_are_recorded_without_a_word(after):
    """Also where the class is the same for all inputs."""
    model = classifier(after)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = record(model).trials["predicted_label"].to_numpy()
    with torch.no_grad():
        assert np.array_equal(found, torch.cat([model(x) for x in X.split(8)]).argmax(1))


def test_scores_that_depend_on_their_batch_are_told():
    """Another batch would predict other classes."""
    model = classifier(lambda scores, _x: nn.functional.batch_norm(scores, None, None, training=True))
    inputs = ann2neo.Inputs(X, labels=Y, batch_size=44)
    with pytest.warns(
        Ann2NeoWarning, match="the class that the model predicts .* depends on the other inputs of its batch"
    ):
        assert "predicted_label" in ann2neo.record(model, inputs, progress=False).trials


@pytest.mark.parametrize("form", ["given", "with the batches"])
def test_inputs_without_labels_that_calibrate_show_predictions_too(form):
    """Whether outputs are scores is known from the labels of what is to be recorded, or may be known from its batches."""
    inputs = INPUTS if form == "given" else DataLoader(TensorDataset(X, Y), batch_size=8)
    model = classifier(WRONG["turned round"][0])
    with pytest.warns(Ann2NeoWarning, match="predicts are not recorded"):
        recording = ann2neo.record(model, inputs, threshold=ann2neo.Quantile(0.5, on=X), progress=False)
    assert "predicted_label" not in recording.trials
    right = ann2neo.record(
        classifier(lambda scores, _x: scores), inputs, threshold=ann2neo.Quantile(0.5, on=X), progress=False
    )
    assert (right.trials["predicted_label"] == classes(model)).all()


def test_outputs_that_are_no_scores_of_classes_are_judged_by_nobody(tmp_path):
    """A reconstruction has another number of columns than there are classes, and without labels anything may be an embedding: nothing is said of what is not recorded."""
    model = make(
        lambda self, x: self.out(self.act(self.fc(x))).flip(0), fc=nn.Linear(5, 9), act=nn.ReLU(), out=nn.Linear(9, 5)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for store in (None, tmp_path / "a.zarr"):
            assert "predicted_label" not in record(model, store=store).trials
        rule = ann2neo.Quantile(0.5, on=X)
        assert "predicted_label" not in ann2neo.record(model, list(X.split(8)), threshold=rule, progress=False).trials


@pytest.mark.parametrize("break_at", [None, 3])
def test_a_store_leaves_predictions_out_that_show_later_to_be_none(tmp_path, break_at):
    """Its bits are right, so that it is complete; so it is where the call was interrupted before it showed."""

    def forward(self, x):
        self.n += 1
        if self.n == self.limit:
            raise KeyboardInterrupt
        return self.out(self.act(self.fc(x))).roll(int(self.n > 5), 1)

    torch.manual_seed(0)
    model = make(forward, fc=nn.Linear(5, 9), act=nn.ReLU(), out=nn.Linear(9, 4))
    model.n, model.limit = 0, break_at
    store = tmp_path / "a.zarr"
    if break_at is not None:
        with pytest.raises(KeyboardInterrupt):
            record(model, store=store)
        model.n, model.limit = 0, None
    with pytest.warns(Ann2NeoWarning, match="predicts are not recorded: the first batch, run once more") as told:
        recording = record(model, store=store)
    assert len(told) == 1
    assert "predicted_label" not in recording.trials
    assert "predicted_label" not in ann2neo.load(store).trials


def test_scores_of_eight_bits_are_predictions():
    """Torch finds no largest one among them; as numbers of more bits they are the same."""
    model = classifier(lambda scores, _x: scores.to(torch.float8_e5m2))
    found = record(model).trials["predicted_label"].to_numpy()
    with torch.no_grad():
        assert np.array_equal(found, torch.cat([model(x).float() for x in X.split(8)]).argmax(1))
