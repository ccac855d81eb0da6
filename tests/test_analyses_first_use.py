"""Question 6: what is silenced is silent, what is frozen stays, rankings come from the file, and pairs are compared within networks."""

import importlib
import math
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

import ann2neo
from analyses.first.networks import pruning, transfer
from analyses.first.networks.exporting import export
from analyses.first.treatments import layer_distances, ways
from analyses.networks.architectures import make
from analyses.networks.data import load
from analyses.networks.training import accuracy
from analyses.paired import mean_within, sign_flip_p

RESULTS = Path(__file__).parent.parent / "analyses" / "first" / "results"
use = importlib.import_module("analyses.first.06_use")


@pytest.fixture(scope="module")
def digits():
    """A few digits."""
    return load("digits", True)


@pytest.fixture(scope="module", params=["mlp", "cnn"])
def exported(request, digits, tmp_path_factory):
    """An untrained network and the file of its spikes."""
    torch.manual_seed(0)
    model = make(request.param, 8)
    folder = tmp_path_factory.mktemp("exported")
    export(model, digits, digits.labels, folder, "net")
    return model, folder / "net-train.nwb"


@given(hnp.arrays(float, st.integers(1, 30), elements=st.integers(0, 5).map(float)), st.floats(0, 1))
def test_the_lowest_scores_go_first(scores, sparsity):
    """As many as asked for, rounded; nothing that goes has a higher score than what stays; growing shares contain the smaller ones."""
    kept = pruning.keep(scores, sparsity)
    assert (~kept).sum() == round(sparsity * len(scores))
    if kept.any() and not kept.all():
        assert scores[~kept].max() <= scores[kept].min()
    assert not (pruning.keep(scores, min(1.0, sparsity + 0.2)) & ~kept).any()


def test_silenced_units_are_silent_and_others_as_before(exported, digits):
    """Channels of convolutions and units of linear layers, exactly those; afterwards the network is as it was."""
    model, _ = exported
    images = digits.images[:20]
    before = model(images)
    layers = pruning.magnitudes(model)
    kept = {layer: pruning.keep(scores, 0.5) for layer, scores in layers.items()}
    seen = {}
    with pruning.silenced(model, kept):
        hook = model.relu1.register_forward_hook(lambda _part, _inputs, output: seen.update(relu1=output))
        silenced = model(images)
        hook.remove()
    assert (seen["relu1"][:, ~kept["relu1"]] == 0).all()
    first = list(model.children())
    plain = torch.nn.Sequential(*first[: [name for name, _ in model.named_children()].index("relu1") + 1])(images)
    assert torch.equal(seen["relu1"][:, kept["relu1"]], plain[:, kept["relu1"]])
    assert not torch.equal(silenced, before)
    assert torch.equal(model(images), before)


def test_without_sparsity_nothing_is_lost(exported, digits):
    """The curve begins at the accuracy of the whole network and ends near guessing when nearly all is silent."""
    model, _ = exported
    rows = list(pruning.curve(model, digits, digits.labels, pruning.magnitudes(model)))
    assert [row["sparsity"] for row in rows] == list(pruning.SPARSITIES)
    assert rows[0]["accuracy_held_out"] == accuracy(model, digits.held_out_images, digits.held_out_labels)


def test_scores_are_those_of_the_file(exported, digits):
    """Rates are the share of images above zero, channels the mean over their places: from raw activations, without the file."""
    model, path = exported
    scores = pruning.firing_scores(path)
    values, seen = digits.images, {}
    with torch.no_grad():
        for name, part in model.named_children():
            values = part(values)
            seen[name] = values
    for layer, rates in scores["rate"].items():
        share = (seen[layer] > 0).double().mean(0)
        expected = share.flatten(1).mean(1) if share.ndim == 3 else share
        np.testing.assert_allclose(rates, expected.numpy(), rtol=1e-12)
        np.testing.assert_array_equal(scores["rate, highest first"][layer], -rates)
        spread = share * (1 - share)
        spread = spread.flatten(1).mean(1) if share.ndim == 3 else spread
        np.testing.assert_allclose(scores["variance"][layer], spread.numpy(), rtol=1e-12)
        assert len(scores["fano"][layer]) == len(rates) == len(pruning.magnitudes(model)[layer])
        if share.ndim == 1:
            assert (scores["fano"][layer][rates == 0] == -1).all()


def test_magnitudes_are_norms_of_incoming_weights(exported):
    """By a slow loop over units."""
    model, _ = exported
    first = model.fc1 if hasattr(model, "fc1") else model.conv1
    slow = [math.sqrt(sum(float(w) ** 2 for w in unit.flatten())) for unit in first.weight.detach()]
    np.testing.assert_allclose(pruning.magnitudes(model)["relu1"], slow, rtol=1e-6)


def test_a_frozen_layer_stays_and_the_others_move(digits):
    """Weights and biases; the network that is tuned is a copy."""
    torch.manual_seed(0)
    model = make("mlp", 8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    student = make("mlp", 8)
    student.load_state_dict(before)
    transfer.freeze(student, ["relu2"])
    from analyses.networks.training import train

    train(student, digits.images, digits.labels, seed=0, epochs=1)
    moved = {name for name, value in student.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if not name.startswith("fc2")}
    transfer.tuned(model, transfer.halves(digits)[1], ["relu1"], 0, 1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_tuning_can_be_repeated(digits):
    """The same seed gives the same accuracy, and freezing is all that differs between two sets of layers."""
    torch.manual_seed(0)
    model, new = make("mlp", 8), transfer.halves(digits)[1]
    assert transfer.tuned(model, new, [], 3, 4) == transfer.tuned(model, new, [], 3, 4)


def test_halves_share_no_class_and_lose_no_image(digits):
    """0 to 4 and 5 to 9, training and held-out."""
    old, new = transfer.halves(digits)
    assert set(old.labels) | set(old.held_out_labels) == set(range(5))
    assert set(new.labels) | set(new.held_out_labels) == set(range(5, 10))
    assert len(old.images) + len(new.images) == len(digits.images)
    assert len(old.held_out_images) + len(new.held_out_images) == len(digits.held_out_images)


@given(st.integers(5, 60), st.integers(0, 5))
def test_few_images_are_equally_many_of_each_class(n_images, seed):
    """As far as there are enough; none twice."""
    labels = np.random.default_rng(0).integers(5, 10, 400)
    chosen = transfer.few(labels, n_images, np.random.default_rng(seed))
    assert len(set(chosen)) == len(chosen) == n_images // 5 * 5
    assert set(np.unique(labels[chosen], return_counts=True)[1]) == {n_images // 5}


def test_a_layer_that_did_not_move_has_no_distance(tmp_path, digits):
    """One unit rises to always, one falls to never: they moved by as much, in whichever direction, and the others by nothing."""
    torch.manual_seed(0)
    model = make("mlp", 8)
    for name in ("before", "after"):
        export(model, digits, None, tmp_path, name)
        if name == "before":
            with torch.no_grad():
                share = (model.fc1(digits.images.flatten(1)) > 0).double().mean(0)
                model.fc1.bias[3], model.fc1.bias[5] = 1e3, -1e3
    distances = layer_distances(tmp_path / "before-train.nwb", tmp_path / "after-train.nwb", 0)
    assert distances["rate"]["relu1"] == pytest.approx(1000 * float(1 - share[3] + share[5]) / 256)
    same = ann2neo.load(tmp_path / "before-train.nwb")
    assert [layer.name for layer in same.layers] == list(distances["rate"]) == list(distances["fano"])


def test_ways_look_up_the_layers_that_distances_choose():
    """Three layers: the farthest two, the nearest one, the mean over all pairs."""
    layers = ["a", "b", "c"]
    accuracies = {frozenset(chosen): i / 10 for i, chosen in enumerate(transfer.subsets(layers))}
    found = ways(accuracies, layers, {"rate": {"a": 2.0, "b": 1.0, "c": 3.0}})
    assert found["farthest (rate) 2"] == accuracies[frozenset("ac")]
    assert found["nearest (rate) 1"] == accuracies[frozenset("b")]
    assert found["first 2"] == accuracies[frozenset("ab")]
    assert found["any 2"] == pytest.approx(np.mean([accuracies[frozenset(pair)] for pair in ("ab", "ac", "bc")]))
    assert found["all"] == accuracies[frozenset("abc")]
    assert not any("fano" in name for name in found)


differences = hnp.arrays(float, st.integers(1, 8), elements=st.integers(-6, 6).map(float))


@given(differences)
def test_p_of_flipped_signs_is_enumerated(observed):
    """By a slow loop over all signs, and the same for the opposite."""
    sums = [abs(sum(s * d for s, d in zip(signs, observed))) for signs in product((-1, 1), repeat=len(observed))]
    slow = np.mean([total >= abs(observed.sum()) - 1e-9 for total in sums])
    assert sign_flip_p(observed) == pytest.approx(slow)
    assert sign_flip_p(-observed) == pytest.approx(slow)


def test_p_of_many_networks_is_drawn_near_the_exact_one():
    """20 networks: SciPy's paired permutation test."""
    observed = np.random.default_rng(5).normal(0.4, 1, 20)
    test = stats.permutation_test(
        (observed,), np.mean, permutation_type="samples", n_resamples=50_000, rng=np.random.default_rng(0)
    )
    assert sign_flip_p(observed) == pytest.approx(test.pvalue, abs=0.01)
    assert sign_flip_p(np.full(20, 1.0)) == pytest.approx(1e-5, abs=3e-5)


def test_no_difference_has_no_p_below_one():
    """Nor has nothing, or what was not measured."""
    assert sign_flip_p(np.zeros(4)) == 1
    assert math.isnan(sign_flip_p(np.array([])))
    assert math.isnan(sign_flip_p(np.array([1.0, np.nan])))


def test_the_interval_of_one_setting_is_students():
    """And over settings its ends do not depend on how far these lie apart."""
    values = np.array([0.3, 1.2, 0.7, -0.1, 0.9])
    mean, low, high = mean_within({"a": values})
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((values.mean(), expected.low, expected.high))
    near, far = (mean_within({"a": values, "b": values + shift}) for shift in (0.0, 50.0))
    assert far[2] - far[1] == pytest.approx(near[2] - near[1])
    error = math.sqrt(values.var(ddof=1) / 5 / 2)  # of the mean of two means
    assert near[2] - near[0] == pytest.approx(stats.t.isf(0.025, 8) * error)
    assert math.isnan(mean_within({"a": values, "b": values[:1]})[1])


@pytest.mark.skipif(not (RESULTS / "06_use.csv").exists(), reason="the full run has not been committed")
def test_the_paragraph_says_what_the_table_says():
    """Made anew from the committed table."""
    table = pd.read_csv(RESULTS / "06_use.csv")
    assert use.paragraph(table) + "\n" == (RESULTS / "06_use.md").read_text(encoding="utf-8")
