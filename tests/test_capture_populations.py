"""Units are drawn once and for all."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from threshold_sources import X, perceptron, record
from torch import nn

import ann2neo
from ann2neo.capture.units import KEYS_AT_ONCE, UNITS_PER_THREAD, choose_units
from ann2neo.errors import ActivationError


@pytest.fixture
def mlp():
    return perceptron()


def test_a_sample_depends_on_seed_and_layer_only():
    """Other layers and how much is drawn change nothing; a larger sample contains the smaller one."""
    small, large = (choose_units("conv", 5000, ann2neo.Sample(n=n)) for n in (20, 400))
    assert small.size == 20
    assert set(small) < set(large)
    assert (np.diff(small) > 0).all()
    assert small.tolist() != choose_units("fc", 5000, ann2neo.Sample(n=20)).tolist()
    assert small.tolist() != choose_units("conv", 5000, ann2neo.Sample(n=20, seed=1)).tolist()
    assert small.tolist() == choose_units("conv", 5000, {"c*": ann2neo.Sample(fraction=0.004)}).tolist()
    # Written down: the same on every machine and in every version.
    assert choose_units("features.0", 1000, ann2neo.Sample(n=4)).tolist() == [58, 137, 216, 563]


def test_a_sample_is_uniform():
    """Over seeds, every unit is drawn equally often."""
    drawn = np.bincount(
        np.concatenate([choose_units("a", 20, ann2neo.Sample(fraction=0.25, seed=seed)) for seed in range(2000)]),
        minlength=20,
    )
    assert drawn.sum() == 10_000
    assert ((drawn - 500) ** 2 / 500).sum() < 45  # chi2 with 19 degrees of freedom: p < 0.001


@given(n_units=st.integers(1, 300), fraction=st.floats(1e-3, 1), seed=st.integers(0, 2**40))
def test_a_share_has_its_size(n_units, fraction, seed):
    """Rounded, at least one, different places that exist."""
    units = choose_units("a", n_units, ann2neo.Sample(fraction=fraction, seed=seed))
    assert units.size == max(1, round(n_units * fraction)) == np.unique(units).size
    assert 0 <= units.min() <= units.max() < n_units
    assert choose_units("a", n_units, ann2neo.Sample(n=500)).tolist() == list(range(n_units))


def test_samples_are_recorded_planned_and_written_down(mlp):
    """Bits of drawn units are those of the full recording, and the plan counts them."""
    units = {"1": ann2neo.Sample(fraction=0.5, seed=3), "3": slice(0, None, 2)}
    recording, whole = record(mlp, units=units), record(mlp)
    for layer in recording.layers:
        assert (recording.raster(layer.name) == whole.raster(layer.name)[layer.units]).all()
    assert (
        ann2neo.plan(mlp, X, units=units)["units"].tolist() == [layer.n_units for layer in recording.layers] == [4, 3]
    )
    assert recording.provenance["units_rule"] == "{'1': Sample(fraction=0.5, n=None, seed=3), '3': slice(0, None, 2)}"
    assert "units_rule" not in whole.provenance


def test_units_may_be_truth_values_or_an_array():
    """One truth value for each unit, or places in any integer type."""
    mask = np.array([True, False, False, True, False, True])
    assert choose_units("a", 6, mask).tolist() == [0, 3, 5]
    assert choose_units("a", 6, np.array([5, 2], np.uint8)).tolist() == [5, 2]


@pytest.mark.parametrize(
    "units", [[], [0, 0], [6], [-1], np.array([0.5]), np.array([True, False]), slice(9, None)], ids=repr
)
def test_choices_that_are_none_are_refused(units):
    """Nothing is cut off, rounded or recorded twice."""
    with pytest.raises(ActivationError, match="layer 'a' has 6 units"):
        choose_units("a", 6, units)


@pytest.mark.parametrize(
    "options", [{}, {"n": 3, "fraction": 0.5}, {"n": 0}, {"fraction": 1.5}, {"fraction": 0.0}, {"n": 3, "seed": -1}]
)
def test_samples_that_are_none_are_refused(options):
    """Exactly one of share and number, in range."""
    with pytest.raises(ActivationError, match="draws no sample"):
        ann2neo.Sample(**options)


@given(st.integers(1, 3 * KEYS_AT_ONCE), st.floats(1e-4, 1), st.integers(0, 2**16))
@example(2 * UNITS_PER_THREAD + KEYS_AT_ONCE + 7, 0.01, 5)  # Drawn by three threads.
@settings(max_examples=40, deadline=None)
def test_a_sample_is_what_sorting_all_keys_gives(n_units, fraction, seed):
    """The units with the smallest keys, which are PCG64's raw output; of maps longer than what is drawn at a time, too."""
    digest = hashlib.blake2b(f"{seed} map".encode(), digest_size=16).digest()
    keys = np.random.PCG64(int.from_bytes(digest, "little")).random_raw(n_units)
    sample = ann2neo.Sample(fraction=fraction, seed=seed)
    expected = np.sort(np.argsort(keys, kind="stable")[: sample.size(n_units)])
    assert np.array_equal(sample.draw("map", n_units), expected)


def test_truth_values_may_have_the_shape_of_a_layer():
    """Of images, say; those of another shape, if as many, are refused."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU()), torch.randn(6, 2, 4, 5)
    mask = np.zeros((3, 3, 4), bool)
    mask[1, :, 2] = mask[2, 0] = True
    for chosen in (mask, mask.ravel(), {"1": mask}):
        recording = ann2neo.record(model, x, units=chosen, progress=False)
        assert (recording.raster("1") == (model(x)[:, torch.as_tensor(mask)] > 0).T.numpy()).all()
    with pytest.raises(ActivationError, match="layer '1' has 36 units"):
        ann2neo.record(model, x, units=mask.transpose(1, 2, 0), progress=False)
