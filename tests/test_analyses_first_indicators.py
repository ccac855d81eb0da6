"""Question 7: other indicators are what their definitions say, and an orientation is never taken from the setting it is used in."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from analyses.networks import indicators
from analyses.networks.architectures import make
from analyses.networks.data import Data, load

RESULTS = Path(__file__).parent.parent / "analyses" / "first" / "results"
other = importlib.import_module("analyses.first.07_other_indicators")
activations = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 6), st.integers(2, 5)), elements=st.integers(-3, 6).map(float)
)


@pytest.fixture(scope="module")
def digits():
    """A few digits."""
    return load("digits", True)


@given(activations)
def test_the_effective_rank_is_that_of_the_singular_values(matrix):
    """By a singular value decomposition, whichever side is longer; it does not change with scale or with what a unit always does."""
    values = np.linalg.svd(matrix - matrix.mean(axis=0), compute_uv=False)
    values = values[values > 1e-9]
    found = indicators.effective_rank(matrix)
    if len(values) == 0:
        assert np.isnan(found)
        return
    shares = values / values.sum()
    assert found == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-6)
    assert indicators.effective_rank(3 * matrix + np.arange(matrix.shape[1])) == pytest.approx(found, rel=1e-6)
    assert 1 - 1e-9 <= found <= np.linalg.matrix_rank(matrix - matrix.mean(axis=0)) + 1e-6


@given(activations)
def test_sparsity_lies_between_none_and_one_unit(matrix):
    """By a slow loop over images; it does not change with scale."""
    found = indicators.sparsity(matrix)
    slow = []
    for row in np.maximum(matrix, 0):
        if row.any():
            n = len(row)
            slow.append((1 - (row.sum() / n) ** 2 / ((row**2).sum() / n)) / (1 - 1 / n))
    assert found == pytest.approx(np.mean(slow) if slow else np.nan, nan_ok=True)
    assert not slow or -1e-9 <= found <= 1 + 1e-9
    assert indicators.sparsity(2 * matrix) == pytest.approx(found, nan_ok=True)


def test_one_unit_has_no_sparsity():
    """Nor has a layer that answers to nothing."""
    assert np.isnan(indicators.sparsity(np.ones((3, 1))))
    assert np.isnan(indicators.sparsity(np.zeros((3, 4))))


@given(hnp.arrays(np.float64, (4, 3), elements=st.integers(-5, 5).map(float)), st.integers(0, 2))
def test_a_margin_is_positive_where_the_label_wins_alone(outputs, label):
    """By a slow loop; the outputs stay as they are."""
    before = outputs.copy()
    found = indicators.margins(outputs, np.full(4, label))
    slow = [row[label] - max(x for i, x in enumerate(row) if i != label) for row in outputs]
    np.testing.assert_array_equal(found, slow)
    np.testing.assert_array_equal(outputs, before)


def test_numbers_of_a_network_by_hand():
    """Weights, outputs and activations that can be followed on paper."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.eye(2))
        model[3].weight.copy_(2 * torch.eye(2))
        model[1].bias.zero_()
        model[3].bias.fill_(4.0)  # the same for both labels: no margin, no loss and no weight
    images = torch.tensor([[1.0, 0.0], [0.0, 3.0]]).reshape(2, 1, 1, 2)
    data = Data(
        name="two",
        images=images,
        labels=np.array([0, 1]),
        held_out_images=images[:1] * 5,
        held_out_labels=np.array([1]),
    )
    start = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    start["3.weight"] = 2 * torch.eye(2)  # did not move
    found = indicators.of(model, data, np.array([0, 1]), initial=start)
    assert found["weight_norm"] == pytest.approx(np.sqrt(2 + 8))
    assert found["distance_from_initial"] == pytest.approx(np.sqrt(2))
    assert found["margin_mean"] == pytest.approx((2 + 6) / 2)
    assert found["held_out_margin_mean"] == pytest.approx(10)  # of the answer given, not of the true label
    assert found["train_loss"] == pytest.approx((np.log1p(np.exp(-2)) + np.log1p(np.exp(-6))) / 2)
    assert found["sparsity:2"] == found["sparsity_mean"] == pytest.approx(1.0)
    assert found["effective_rank:2"] == found["effective_rank_mean"] == pytest.approx(1.0)
    assert indicators.of(model, data, np.array([1, 0]))["margin_mean"] == pytest.approx(-4)


def test_a_network_is_left_as_it_was(digits):
    """Weights, modes of all parts, hooks, and the generator of random numbers."""
    model = nn.Sequential(nn.Dropout(0.5), make("mlp", 8))
    model[1].eval()
    before, state = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    found = [indicators.of(model, digits, digits.labels) for _ in range(2)]
    assert found[0] == pytest.approx(found[1], nan_ok=True)
    assert np.isnan(found[0]["distance_from_initial"])
    assert model.training
    assert not model[1].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(part._forward_hooks for part in model.modules())


def test_every_call_of_an_activation_function_counts_and_in_place_ones_are_not_overwritten():
    """A ReLU used twice is two layers; what the next layer writes over is kept as it was."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu = nn.ReLU(inplace=True)

        def forward(self, images):
            first = self.relu(images.flatten(1) - 0.5)
            return self.relu(first.sub_(0.3))

    images = torch.tensor([[1.0, 0.0, 0.6], [0.9, 0.7, 0.0]]).reshape(2, 1, 1, 3)
    found = indicators.layer_outputs(Twice(), images.clone())
    np.testing.assert_allclose(found["relu"], [[0.5, 0, 0.1], [0.4, 0.2, 0]], atol=1e-6)
    np.testing.assert_allclose(found["relu@1"], [[0.2, 0, 0], [0.1, 0, 0]], atol=1e-6)


@given(hnp.arrays(np.float64, st.integers(2, 6), elements=st.integers(0, 8).map(lambda k: k / 8)))
def test_an_orientation_comes_from_the_other_settings(areas):
    """By a slow loop; an indicator and its opposite are oriented to the same."""
    slow = []
    for i, area in enumerate(areas):
        others = np.mean(np.delete(areas, i))
        slow.append(area if others > 0.5 else 1 - area if others < 0.5 else 0.5)
    assert other.oriented(areas) == pytest.approx(np.mean(slow))
    assert other.oriented(1 - areas) == pytest.approx(other.oriented(areas))


def test_one_setting_cannot_orient_itself():
    """Otherwise any indicator that differs would be right by construction."""
    assert np.isnan(other.oriented(np.array([1.0])))


def test_pairs_are_compared_within_settings():
    """A shift that all networks of a setting share changes nothing within, and everything across."""
    low, high = np.array([1.0, 2.0, 3.0]), np.array([2.5, 3.5, 4.5])
    found = other.over({"a": (high, low), "b": (high + 100, low + 100)})
    assert found["auc"] == pytest.approx(8 / 9)
    assert found["across"] < 0.75
    assert found["same_sign"] == 1
    assert (found["n_settings"], found["n_memorizing"]) == (2, 6)


def test_settings_without_numbers_are_left_out():
    """No networks of a kind, or an indicator that is not defined there."""
    good, nothing = np.array([1.0, 2.0]), np.array([])
    found = other.over({"a": (good + 5, good), "b": (nothing, good), "c": (np.array([np.nan]), good)})
    assert found["n_settings"] == 1
    assert found["auc"] == 1
    assert other.over({"b": (nothing, good)}) == {"n_settings": 0}


@pytest.mark.skipif(not (RESULTS / "07_other_indicators.csv").exists(), reason="the full run has not been committed")
def test_the_paragraph_says_what_the_table_says():
    """Made anew from the committed table."""
    table = pd.read_csv(RESULTS / "07_other_indicators.csv")
    assert other.paragraph(table) + "\n" == (RESULTS / "07_other_indicators.md").read_text(encoding="utf-8")
