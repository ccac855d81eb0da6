"""A layer that does not depend on the inputs is left out or told; one that is silent, dead or saturated for all of them is recorded."""

import warnings

import numpy as np
import pytest
import torch
from capture_sources import names
from torch import nn
from verified_models import Net, X

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning

IDS = torch.randint(0, 9, (20, 5), generator=torch.Generator().manual_seed(6))


def with_table(scale, ids=False):
    """Squashes a table of as many equal rows as there are inputs, beside a layer that depends on them."""

    def forward(self, x):
        table = torch.sigmoid((scale * self.table.weight).expand(len(x), 8))
        return self.act(self.fc(self.words(x)[..., 0] if ids else x)) + table

    return Net(forward, table=nn.Linear(8, 1), words=nn.Embedding(9, 1))


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_a_table_of_equal_rows_is_left_out(scale):
    """Also where all its numbers are one; by name it is refused, and the plan says why."""
    model = with_table(scale)
    with pytest.warns(Ann2NeoWarning, match="sigmoid: it is the same whatever the inputs are"):
        assert names(ann2neo.record(model, X, progress=False)) == ["act"]
    with pytest.raises(ActivationError, match="it is the same whatever the inputs are"):
        ann2neo.record(model, X, layers="sigmoid", progress=False)


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: self.tanh(self.out(self.act(self.fc(x) - 100))),
        lambda self, x: self.act(self.tanh(self.fc(x) + 100)),
        lambda self, x: self.tanh(self.act(self.fc(x) - 100 * (torch.arange(8) < 3))),
        lambda self, x: self.tanh(self.act(self.out(self.fc(torch.tanh(x)) * 0.0))),
    ],
    ids=["dead, and what comes after it", "saturated", "silent units", "weights of 0"],
)
def test_what_is_dead_silent_or_saturated_is_recorded_without_a_word(forward):
    """It depends on the inputs, though these do not show it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {"act", "tanh"} <= set(names(ann2neo.record(Net(forward), X, progress=False)))


def test_where_inputs_are_integers_it_is_told():
    """They cannot be anything but what they are; the layer is recorded."""
    with pytest.warns(Ann2NeoWarning, match="same for all inputs of the first batch; whether they depend.*'sigmoid'"):
        recording = ann2neo.record(with_table(1.0, ids=True), IDS, progress=False)
    assert names(recording) == ["sigmoid", "act"] or names(recording) == ["act", "sigmoid"]
    assert "'sigmoid'" in recording.provenance["verified"]


def test_the_model_keeps_nothing_of_inputs_without_numbers():
    """A mean that the model keeps in place is a number afterwards."""

    def forward(self, x):
        self.norm.running_mean.mul_(0.9).add_(0.1 * x.mean(0))
        return self.act(self.fc(x)) + torch.sigmoid((1.0 * self.table.weight).expand(len(x), 8))

    model = Net(forward, table=nn.Linear(8, 1), norm=nn.BatchNorm1d(5))
    with pytest.warns(Ann2NeoWarning, match="sigmoid|changed its own"):
        ann2neo.record(model, X, progress=False)
    assert torch.isfinite(model.norm.running_mean).all()


def test_parameters_that_a_forward_pass_changes_have_no_nan():
    """A codebook that moves towards its inputs, kept as a parameter, is written back after inputs without numbers."""

    def forward(self, x):
        with torch.no_grad():
            self.codes.mul_(0.9).add_(0.1 * x.mean(0))
        return self.act(self.fc(x)) + torch.sigmoid((1.0 * self.table.weight).expand(len(x), 8))

    model = Net(forward, table=nn.Linear(8, 1), codes=nn.Parameter(torch.zeros(5)))
    with pytest.warns(Ann2NeoWarning, match="sigmoid|changed its own"):
        ann2neo.record(model, X, progress=False)
    assert torch.isfinite(model.codes).all()


@pytest.mark.parametrize(
    "kept", [[torch.zeros(5)], {"mean": (torch.zeros(5),)}, np.zeros(5)], ids=["list", "nested", "array"]
)
def test_what_a_model_keeps_in_lists_and_arrays_has_no_nan(kept):
    """Containers hold tensors that are changed in place, as buffers are."""

    def forward(self, x):
        if isinstance(self.kept, np.ndarray):
            self.kept += x.mean(0).numpy()
        else:
            one = self.kept[0] if isinstance(self.kept, list) else self.kept["mean"][0]
            one.add_(x.mean(0))
        return self.act(self.fc(x)) + torch.sigmoid((1.0 * self.table.weight).expand(len(x), 8))

    model = Net(forward, table=nn.Linear(8, 1))
    model.kept = kept
    with pytest.warns(Ann2NeoWarning, match="sigmoid"):
        ann2neo.record(model, X, progress=False)
    held = (
        model.kept
        if isinstance(model.kept, np.ndarray)
        else model.kept[0]
        if isinstance(model.kept, list)
        else model.kept["mean"][0]
    )
    assert np.isfinite(np.asarray(held)).all()


def beside(join):
    """Squashes rows that lie beside the inputs, in one batch with them."""

    def forward(self, x):
        rows = self.act(self.fc(join(self, x)))
        return self.out(rows).unflatten(0, (-1, 2) if len(rows) == 2 * len(x) else (-1,)).sum(1)

    return Net(forward, null=nn.Linear(5, 1, bias=False))


JOINED = {
    "prompt after": lambda self, x: torch.cat([x, self.null.weight.expand(len(x), 5)]),
    "padding before": lambda self, x: torch.cat([torch.zeros_like(x), x]),
    "padding between": lambda self, x: torch.stack([x, torch.zeros_like(x)], 1).flatten(0, 1),
}


@pytest.mark.parametrize("join", JOINED)
def test_rows_beside_the_inputs_that_do_not_depend_on_them_are_told(join):
    """Once, and in the provenance: half of the units of each input are none of its own."""
    with pytest.warns(Ann2NeoWarning, match=r"same whatever the inputs are: 'act' \(1 of 2\)") as said:
        recording = ann2neo.record(beside(JOINED[join]), X, layers="act", progress=False)
    assert len(said) == 1
    assert "'act' (1 of 2)" in recording.provenance["verified"]
    assert recording.layers[0].n_units == 16


@pytest.mark.parametrize(
    "join",
    [
        lambda self, x: torch.cat([x, x * 0.5 + 1]),
        lambda self, x: torch.stack([x, -x], 1).flatten(0, 1),
        lambda self, x: torch.cat([x, x - 100 * self.fc.weight.sum(0).sign()]),
    ],
    ids=["two views", "neighbours", "silent for these inputs"],
)
def test_two_rows_of_each_input_are_recorded_without_a_word(join):
    """Views of an input are its own, also where none of their units is above threshold for any of these inputs."""
    recording = ann2neo.record(beside(join), X, layers="act", progress=False)
    assert recording.provenance["verified"].startswith("rows follow")
    with torch.no_grad():
        rows = [torch.relu(beside(join).fc(join(beside(join), one[None]))).flatten() > 0 for one in X]
    assert (recording.raster("act") == torch.stack(rows).numpy().T).all()


def test_a_table_whose_rows_differ_in_the_last_bits_is_left_out():
    """The rows of a matrix product of equal rows are not equal bit by bit for every number of them."""
    for n in range(2, 20):
        model = Net(lambda self, x: self.act(self.fc(x)) + self.tanh(self.out(self.table.weight.expand(len(x), 8))))
        model.table = nn.Linear(8, 1)
        with pytest.warns(Ann2NeoWarning, match="tanh: it is the same whatever the inputs are"):
            assert names(ann2neo.record(model, X[:n], progress=False)) == ["act"]


def test_a_table_of_twice_as_many_rows_as_inputs_is_left_out_for_what_it_is():
    """It could be two rows of each input by its shape."""
    model = Net(lambda self, x: self.act(self.fc(x)) @ self.tanh(self.out(self.table.weight)).T)
    model.table = nn.Linear(8, 40)
    with pytest.warns(Ann2NeoWarning, match="tanh: it is the same whatever the inputs are"):
        assert names(ann2neo.record(model, X, progress=False)) == ["act"]
