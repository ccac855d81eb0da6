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
