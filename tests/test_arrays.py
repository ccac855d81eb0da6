"""Spikes from spiking networks and other sources become recordings, whatever their layout."""

import numpy as np
import pytest
import torch
from torch import nn

import ann2neo
from ann2neo.errors import InputsError

X = torch.randn(13, 6, generator=torch.Generator().manual_seed(0))


def test_spikes_of_a_spiking_network():
    """snnTorch's (step, input, unit) becomes trials of as many bins as there are steps, for the layers of the network as it stands."""
    snntorch = pytest.importorskip("snntorch")
    torch.manual_seed(3)
    fc, lif = nn.Linear(6, 8), snntorch.Leaky(beta=0.8)
    membrane, steps = lif.init_leaky(), []
    for _ in range(11):
        spikes, membrane = lif(3 * fc(X), membrane)
        steps.append(spikes)
    spikes = torch.stack(steps)
    assert 0 < spikes.mean() < 1
    recording = ann2neo.from_array(spikes, trial_axis=1, labels=[0] * 13, layer="lif", bin_size_ms=2.0)
    expected = spikes.detach().numpy()
    assert recording.n_bins == 13 * 11
    assert recording.stretches.tolist() == list(range(0, 13 * 11 + 1, 11))
    for trial in range(13):
        assert (recording.raster("lif")[:, trial * 11 : (trial + 1) * 11] == (expected[:, trial] > 0).T).all()

    def forward(model, x):
        membrane = model["lif"].init_leaky()
        for _ in range(11):
            _, membrane = model["lif"](3 * model["fc"](x), membrane)

    inputs = ann2neo.Inputs(X, batch_size=13, forward=forward)
    captured = ann2neo.record(
        nn.ModuleDict({"fc": fc, "lif": lif}),
        inputs,
        progress=False,
        layers="lif",
        threshold=0.5,
        steps=ann2neo.Steps("calls"),
    )
    assert (captured.raster("lif") == recording.raster("lif")).all()
    table = ann2neo.analyze(recording, windows="trial", progress=False)
    assert table[table["layer"] == "lif"]["n_spikes"].tolist() == expected.sum((0, 1)).tolist()


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("trial_axis", [0, 1])
def test_spikes_in_any_layout(trial_axis, dtype):
    """(step, trial, channel, row, col) as Norse and SpikingJelly give, or with trials first, of any type: the same recording."""
    spikes = torch.rand(4, 3, 2, 2, 5, generator=torch.Generator().manual_seed(0)) < 0.3
    given = (spikes if trial_axis == 1 else spikes.transpose(0, 1)).to(dtype)
    recording = ann2neo.from_array(given, trial_axis=trial_axis)
    assert recording.layers[0].shape == (2, 2, 5)
    assert recording.layers[0].unit_names[-1] == "array[1,1,4]"
    assert (recording.raster("array") == spikes.permute(2, 3, 4, 1, 0).reshape(20, 12).numpy()).all()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (4,)])
def test_arrays_without_bins_or_units_are_refused(shape):
    """Nothing to record."""
    with pytest.raises(InputsError, match="no bins"):
        ann2neo.from_array(np.zeros(shape, bool))


def test_impossible_arrays_are_refused():
    """Graded spikes, NaN, a missing axis, and labels for bins instead of trials."""
    for values, n in ((torch.full((3, 2), 0.5), 6), (np.array([[np.nan, 1.0]]), 1)):
        with pytest.raises(InputsError, match=f"^{n} of"):
            ann2neo.from_array(values)
    with pytest.raises(InputsError, match="step, trial, unit"):
        ann2neo.from_array(np.ones((3, 2), bool), trial_axis=1)
    with pytest.raises(InputsError, match="12 labels for 3 trials"):
        ann2neo.from_array(np.ones((4, 3, 2), bool), trial_axis=1, labels=[0] * 12)
