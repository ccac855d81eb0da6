"""What the study measures is what the package records and measures."""

import numpy as np
import pandas as pd
import pytest
import torch

import ann2neo
from analyses.networks import activity, units
from analyses.networks.architectures import make
from analyses.networks.data import load


@pytest.fixture(scope="module", params=["vit", pytest.param("mlp", marks=pytest.mark.slow("more layers of the same"))])
def seen(request):
    """A network, images, labels, and the outputs of its layers."""
    torch.manual_seed(0)
    data = load("digits", True)
    model = make(request.param, 8).eval()
    return model, data, activity.activations(model, data.images)


@pytest.mark.parametrize("rule", activity.THRESHOLDS)
def test_bits_are_those_that_record_keeps(seen, rule):
    """Every layer, at 0 and at each unit's quantiles over the images that are counted."""
    model, data, layers = seen
    thresholds = {name: activity.thresholds(outputs, rule) for name, outputs in layers.items()}
    recorded = ann2neo.record(model, data.images, threshold=thresholds, verify=False, progress=False)
    made = activity.recording(layers, rule, {"label": data.labels})
    assert [layer.name for layer in made.layers] == [layer.name for layer in recorded.layers]
    for name, outputs in layers.items():
        np.testing.assert_array_equal(made.raster(name), recorded.raster(name))
        np.testing.assert_array_equal(made.raster(name).T, outputs > thresholds[name])


def test_indicators_are_those_of_its_counts(seen):
    """Fano factor, label share and rate by a loop over counts; the order of the images does not matter for label windows."""
    _, data, layers = seen
    table = pd.DataFrame(activity.rows(layers, {"label": data.labels}, seed=0))
    for rule in activity.THRESHOLDS:
        fano, share, p = [], [], []
        for outputs in layers.values():
            bits = (outputs > activity.thresholds(outputs, rule)).astype(float)
            counts = np.stack([bits[data.labels == label].sum(0) for label in range(10)])
            sizes = np.bincount(data.labels, minlength=10)[:, None]
            rate = bits.mean(0)
            p.append(rate)
            with np.errstate(invalid="ignore"):
                between = (sizes * np.square(counts / sizes - rate)).sum(0) / sizes.sum()
                share.append(between / (rate * (1 - rate)))
                fano.append(counts.var(0) / counts.mean(0))
        row = table[(table["threshold"] == rule) & (table["windows"] == "label") & (table["layer"] == "network")].iloc[
            0
        ]
        assert row["label_share_mean"] == pytest.approx(np.nanmean(np.concatenate(share)))
        assert row["p_spike_mean"] == pytest.approx(np.concatenate(p).mean())
        assert row["fano_mean"] == pytest.approx(
            np.nanmean(np.concatenate(fano)), rel=0.2
        )  # windows are scaled to equal length
        assert np.isnan(row["firing_rate_mean"]) == (rule != "0")
        tied = np.concatenate(
            [np.quantile(o, activity.QUANTILES.get(rule, 0), axis=0) <= o.min(0) for o in layers.values()]
        )
        assert row["tied_share"] == pytest.approx(tied.mean() if rule != "0" else 0)


def test_shuffled_order_leaves_the_rates_part(seen):
    """Windows of 50 images in shuffled order have Fano factors near 1 - p; in label order they are larger."""
    _, data, layers = seen
    table = pd.DataFrame(activity.rows(layers, {"label": data.labels}, seed=0))
    wide = table[(table["threshold"] == "median") & (table["layer"] == "network")].set_index("windows")
    assert wide.loc["shuffled", "fano_mean"] == pytest.approx(
        0.75 * (1 - wide.loc["shuffled", "p_spike_mean"]), rel=0.25
    )
    assert wide.loc["label order", "fano_mean"] > 2 * wide.loc["shuffled", "fano_mean"]


def test_matching_on_rate_is_a_weighted_mean():
    """Two networks with the same units have the same means; one whose measure is its rate differs only within bins."""
    rng = np.random.default_rng(0)
    p = rng.random(400)
    one, other = pd.DataFrame({"p_spike": p, "fano": p}), pd.DataFrame({"p_spike": p[:300] ** 2, "fano": p[:300] ** 2})
    assert activity.rate_matched(one, one, "fano") == pytest.approx((p.mean(), p.mean()))
    first, second = activity.rate_matched(one, other, "fano")
    assert abs(first - second) < 1 / activity.BINS_OF_P
    assert abs(one["fano"].mean() - other["fano"].mean()) > 0.1
    assert np.isnan(activity.rate_matched(one.assign(p_spike=0.01), other.assign(p_spike=0.99), "fano")).all()


def test_windows_of_equal_size_leave_nothing_of_a_unit_that_always_fires():
    """Its counts differ only by the sizes of windows; where these are equal, both Fano factors are the package's."""
    rng = np.random.default_rng(0)
    unequal, equal = np.repeat(np.arange(3), [10, 20, 60]), np.repeat(np.arange(3), 30)
    bits = rng.random((90, 5)) < 0.4
    bits[:, 0] = True
    assert units.equal_windows(bits, unequal)[0] == 0
    table = ann2neo.analyze(ann2neo.from_array(bits, labels=equal), windows="label", progress=False)
    np.testing.assert_allclose(units.equal_windows(bits, equal), table["fano"])
    counts = np.stack([bits[unequal == label].mean(0) * 30 for label in range(3)])
    np.testing.assert_allclose(units.equal_windows(bits, unequal), counts.var(0) / counts.mean(0))


def test_rates_are_matched_within_each_layer():
    """Networks whose layers have the same tuning at the same rates are equal, whatever share of their units each layer has after matching; without a common rate nothing is."""
    first = pd.DataFrame({"layer": ["a"] * 3 + ["b"], "p_spike": [0.11, 0.11, 0.11, 0.12], "fano": [1.0, 1, 1, 9]})
    other = pd.DataFrame({"layer": ["a"] + ["b"] * 3, "p_spike": [0.12, 0.11, 0.11, 0.11], "fano": [1.0, 9, 9, 9]})
    assert activity.rate_matched(first, other, "fano") == (3.0, 7.0)
    assert units.within_layers(first, other, "fano") == (5.0, 5.0, 0.5)
    assert units.within_layers(first, other.assign(p_spike=0.9), "fano")[2] == 0.0
