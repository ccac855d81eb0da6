"""Numbers of inputs that come as a list or tuple, such as lengths, change places with their inputs; and lists of as many arrays as each has entries."""

import warnings

import numpy as np
import pytest
import torch
from capture_sources import names
from torch import nn
from verified_models import Net, packed

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning
from ann2neo.verification.verdict import ALL_IS_WELL

LENGTHS = [6, 2, 3, 1, 5, 4, 6, 2]
X = torch.randn(24, 6, 5, generator=torch.Generator().manual_seed(10))


def record(forward, data, **options):
    options = {"progress": False} | options
    modules = options.pop("modules", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ann2neo.record(Net(forward, **modules), data, **options)


def batches(kind, *lengths):
    return [{"x": x, "lengths": kind(some)} for x, some in zip(X.split(8), lengths or [LENGTHS] * 3)]


def summed(self, x, lengths):
    """Sums each sequence up to its end; takes nothing but lists and tuples."""
    assert type(lengths) in (list, tuple)
    assert all(type(one) is int for one in lengths)
    return self.act(self.fc(torch.stack([one[:length].sum(0) for one, length in zip(x, lengths, strict=True)])))


def longest_first(self, x, lengths):
    order = torch.as_tensor(lengths).argsort(stable=True, descending=True)
    return self.act(self.fc(x.sum(1)[order]))


@pytest.mark.parametrize("kind", [list, tuple])
def test_lengths_in_a_list_are_those_of_their_inputs(kind):
    """The model is given what the batch holds; what sorts by it is refused."""
    recording = record(summed, batches(kind))
    expected = torch.cat([summed(Net(summed), **one).detach() > 0 for one in batches(kind)])
    assert recording.provenance["verified"] == ALL_IS_WELL
    assert np.array_equal(recording.raster("act"), expected.numpy().T)
    with pytest.raises(ActivationError, match="row k is not input k"):
        record(longest_first, batches(kind))


@pytest.mark.parametrize("kind", [list, tuple])
def test_lists_that_are_alike_at_first_are_verified_where_they_are_not(kind):
    """In the second batch."""
    data = batches(kind, [6] * 8, LENGTHS, LENGTHS)
    assert record(summed, data).provenance["verified"] == ALL_IS_WELL
    with pytest.raises(ActivationError, match=r"as long as each other(?s:.*)row k is not input k"):
        record(longest_first, data)


def test_packed_sequences_of_listed_lengths():
    """Beside steps, whose number a function finds in the list, and in a batch that is a tuple."""

    def forward(self, x, lengths):
        return packed(self, x, torch.as_tensor(lengths))

    def given(batch):
        lengths = batch["lengths"] if isinstance(batch, dict) else batch[1]
        assert type(lengths) is list
        return lengths

    modules = {"gru": nn.GRU(5, 8, batch_first=True), "enforce": False}
    options = {"steps": ann2neo.Steps(1, lengths=given), "modules": modules}
    recording = record(forward, batches(list), **options)
    pairs = ann2neo.Inputs(
        [(one["x"], one["lengths"]) for one in batches(list)],
        forward=lambda model, batch: model(batch[0], batch[1]),
    )
    assert recording.provenance["verified"] == ALL_IS_WELL
    assert np.array_equal(recording.raster("tanh"), record(forward, pairs, **options).raster("tanh"))
    assert recording.raster("tanh").shape[1] == 3 * sum(LENGTHS)


@pytest.mark.parametrize(("n", "size"), [(2, (3, 4)), (3, [5, 2, 1]), (8, [0.5, 1.0, 2.0, 0.1, 3.0, 1.0, 2.0, 4.0])])
def test_lists_that_are_not_of_inputs_are_no_alarm(n, size):
    """The size of an image, or a scale of as many units as there are inputs."""

    def forward(self, x, size):
        h = self.act(self.fc(x.sum(1)))
        return h * torch.as_tensor(size) if len(size) == 8 else h * size[0]

    data = [{"x": X[k : k + n], "size": size} for k in (0, 8, 16)]
    assert record(forward, data).provenance["verified"] == ALL_IS_WELL


def entries(n_batches=3, n=7):
    generator = torch.Generator().manual_seed(11)
    return [[torch.randn(n, generator=generator) for _ in range(n)] for _ in range(n_batches)]


def stacked(model, some):
    return model.act(model.fc(torch.stack(some)[:, :5]))


def turned(model, some):
    return model.act(model.fc(torch.stack(some).T[:, :5]))


def test_as_many_arrays_as_each_has_entries_are_counted_as_is_said():
    """Inputs are the arrays, or lie along the axis that they share."""
    models = {"entries": stacked, "axis": turned}
    counts = {"entries": len, "axis": lambda some: len(some[0])}
    for name, count in counts.items():
        for kind, forward in models.items():
            inputs = ann2neo.Inputs(entries(), n_inputs=count, forward=forward)
            if kind == name:
                recording = record(None, inputs)
                expected = torch.cat([forward(Net(None), some).detach() > 0 for some in entries()])
                assert np.array_equal(recording.raster("act"), expected.numpy().T)
                assert recording.provenance["verified"] == ALL_IS_WELL
            elif name == "entries":
                with pytest.raises((ActivationError, Ann2NeoWarning), match="depends on the other inputs"):
                    record(None, inputs)
    labelled = ann2neo.Inputs(
        [(some, torch.arange(7)) for some in entries()],
        n_inputs=lambda batch: len(batch[0]),
        forward=lambda model, batch: turned(model, batch[0]),
    )
    with pytest.raises((ActivationError, Ann2NeoWarning), match="depends on the other inputs"):
        record(None, labelled)


def test_models_take_lists_as_they_are_with_one_input_a_batch():
    """Nothing can change places there."""
    data = [{"x": X[k : k + 1], "lengths": [LENGTHS[k]]} for k in range(3)]
    assert names(record(summed, data)) == ["act"]
