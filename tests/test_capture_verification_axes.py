"""Batches whose inputs lie along their second axis, steps first: they are moved along it, and recorded by input."""

import numpy as np
import pytest
import torch
from torch import nn
from verified_models import Net

import ann2neo
from ann2neo.capture.verification.places import are_alike, taken
from ann2neo.errors import ActivationError

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
