"""Likelihood of single inputs, scores of mislabelled ones, and units that are taken away."""

import numpy as np
import pytest
import torch

import ann2neo
from analyses.networks import activity, processes, pruned
from analyses.networks.architectures import make
from analyses.networks.continuum import permuted
from analyses.networks.pruned import hidden, keep, replaced
from analyses.networks.within import left_out_likelihood, scores
from analyses.plan import cells
from analyses.statistics import area_under_curve


def _labelled(n_wrong=40):
    """Bits that follow a true label, and labels of which some are of another class."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 200)
    given = true.copy()
    given[:n_wrong] = (true[:n_wrong] + 1) % 3
    tuning = rng.uniform(0.1, 0.9, (3, 40))
    return rng.random((200, 40)) < tuning[true], given, np.arange(200) < n_wrong


def test_left_out_likelihoods_add_up_to_those_of_the_models():
    """Summed over inputs, each unit's is what `ann2neo.models.fit` gives; under another label it is that of all its members."""
    bits, labels, _ = _labelled()
    fitted = ann2neo.models.fit(ann2neo.from_array(bits, labels=labels), ["label"], progress=False)
    rows = np.arange(200)
    by_unit = np.stack([left_out_likelihood(bits[:, [k]], labels)[rows, labels].sum() for k in range(40)])
    np.testing.assert_allclose(by_unit, fitted["label_loglik_cv"], rtol=1e-9)
    assert left_out_likelihood(bits, labels)[rows, labels].sum() == pytest.approx(by_unit.sum())
    other = (labels[7] + 1) % 3
    p = (bits[labels == other].sum(0) + 0.5) / ((labels == other).sum() + 1)
    expected = np.log(np.where(bits[7], p, 1 - p)).sum()
    assert left_out_likelihood(bits, labels)[7, other] == pytest.approx(expected)


def test_mislabelled_inputs_are_found_where_patterns_follow_the_true_label():
    """All three scores are larger for them; the Hamming score is that of a loop."""
    bits, labels, wrong = _labelled()
    recording = ann2neo.from_array(bits, labels=labels, layer="relu")
    recording = activity.replace(recording, trials=recording.trials.assign(target_label=labels))
    found = scores(recording, "relu", bits, labels)
    for name, values in found.items():
        assert area_under_curve(values, wrong) > 0.8, name
    distances = (bits[5] != bits).sum(axis=1).astype(float)
    distances[5] = np.inf
    expected = distances[labels == labels[5]].min() - distances[labels != labels[5]].min()
    assert found["hamming"][5] == expected


def test_a_share_of_the_labels_is_permuted():
    """Each class keeps its number of images; larger shares contain smaller ones."""
    labels = np.arange(1000) % 10
    few, many = (permuted(labels, share=share, rng=np.random.default_rng(0)) for share in (0.2, 0.6))
    np.testing.assert_array_equal(np.bincount(few), np.bincount(labels))
    assert (few != labels).sum() <= 200
    assert 0.85 < (many != labels).mean() / 0.6 < 0.95
    np.testing.assert_array_equal(permuted(labels, share=0, rng=np.random.default_rng(0)), labels)


@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_what_is_taken_away_has_no_say_or_its_mean(architecture):
    """With zero the network is the one whose next weights are zero; with the mean it is that plus a constant; afterwards it is as before."""
    torch.manual_seed(0)
    model, images = make(architecture, 8).eval(), torch.rand(50, 1, 8, 8)
    layers = activity.activations(model, images)
    before = model(images)
    last = list(hidden(model))[-1]
    kept = {last: keep(np.random.default_rng(0).random(layers[last].shape[1]), 0.5)}
    mask, outputs = torch.as_tensor(kept[last]), torch.as_tensor(layers[last])
    means = {name: torch.as_tensor(values.mean(axis=0)) for name, values in layers.items()}
    with replaced(model, kept):
        torch.testing.assert_close(model(images), model.out(outputs * mask))
    with replaced(model, kept, means):
        torch.testing.assert_close(model(images), model.out(torch.where(mask, outputs, means[last])))
    torch.testing.assert_close(model(images), before)


def test_a_channel_is_taken_away_with_all_its_places():
    """The first convolution: its map is zero, or its mean map."""
    torch.manual_seed(0)
    model, images = make("cnn", 8).eval(), torch.rand(20, 1, 8, 8)
    seen = {}
    model.relu1.register_forward_hook(lambda _m, _i, output: seen.update(plain=output))
    model(images)
    mean = {"relu1": seen["plain"].flatten(1).mean(0).detach()}
    with replaced(model, {"relu1": np.arange(8) != 3}, mean):
        model.relu1.register_forward_hook(lambda _m, _i, output: seen.update(pruned=output))
        model(images)
    torch.testing.assert_close(seen["pruned"][:, 3], seen["plain"][:, 3].mean(0).expand(20, -1, -1))
    torch.testing.assert_close(seen["pruned"][:, 4], seen["plain"][:, 4])


def test_the_order_of_the_file_is_in_neither_order():
    """MNIST lies sorted by class: no order that is compared, and no window of it, may be that of the file; label order keeps labels together."""
    target = np.repeat(np.arange(4), 50)
    permuted_target = np.random.default_rng(1).permutation(target)
    for labels in (target, permuted_target):
        orders = processes.orders(labels, 3)
        assert all(sorted(order) == list(range(200)) for order in orders.values())
        assert (np.diff(labels[orders["label"]]) >= 0).all()
        assert (np.diff(labels[orders["shuffled"]]) < 0).sum() > 40
        for label in range(4):
            assert (np.diff(orders["label"][labels[orders["label"]] == label]) < 0).any()


def test_memorizing_networks_are_pruned_on_all_their_images(monkeypatch):
    """Every class is among the images that are judged, as often as in training."""
    seen = []
    model = make("mlp", 8).eval()
    monkeypatch.setattr(pruned.states, "networks", lambda *_: {"memorizing": (model, 1.0)})
    monkeypatch.setattr(pruned, "SHARES", (0.5,))
    monkeypatch.setattr(pruned, "accuracy", lambda _model, images, labels: seen.append((len(images), labels)) or 0.0)
    cell = next(cell for cell in cells(True) if cell.study == "states")
    data = pruned.states.data_of(cell, False)
    list(pruned._rows(cell, None, 0, False))
    assert {number for number, _ in seen} == {len(data.labels)}
    for _, labels in seen:
        np.testing.assert_array_equal(np.sort(labels), np.sort(data.labels))
