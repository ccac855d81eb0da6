"""Calibrated thresholds belong to units: the layers of the calibrating inputs must have the shape of those recorded."""

import numpy as np
import pytest
import torch
from torch import nn

import ann2neo
from ann2neo.errors import ThresholdError

torch.set_num_threads(1)

WIDE, TALL, LARGE = (
    torch.randn(30, 1, *shape, generator=torch.Generator().manual_seed(3)) for shape in ((5, 7), (7, 5), (6, 9))
)
RULES = {
    "quantile": lambda on, **options: ann2neo.Quantile(0.75, on=on, **options),
    "mean": lambda on, **options: ann2neo.MeanPlusSd(0.5, on=on, **options),
}
UNITS = {
    "all": None,
    "places": [0, 3, 8],
    "slice": slice(0, 12),
    "sample": ann2neo.Sample(n=4),
    "by layer": {"1": [2, 1]},
}


def convolution():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh())


def record(x, on, rule="quantile", per="unit", **options):
    threshold = RULES[rule](on, per=per)
    return ann2neo.record(convolution(), x, threshold=threshold, progress=False, **options)


def values_of(x):
    with torch.no_grad():
        return convolution()(x).flatten(1).numpy()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("on", [TALL, LARGE], ids=["as many units", "more units"])
@pytest.mark.parametrize("units", UNITS)
def test_thresholds_of_another_shape_are_refused(rule, on, units):
    """They are those of other units, whether there are as many or not; shapes and cure are told."""
    with pytest.raises(ThresholdError, match=r"shape \(2, 3, 5\), but shape .*\n.*other units.*\n.*per='layer'"):
        record(WIDE, on, rule, units=UNITS[units])


def test_one_calibrated_unit_is_not_that_of_all():
    """The threshold of the single unit of a small input does not stand for each unit of a larger one."""
    with pytest.raises(ThresholdError, match=r"shape \(2, 3, 5\), but shape \(2, 1, 1\)"):
        record(WIDE, WIDE[:, :, :3, :3])


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("on", [TALL, LARGE])
def test_one_threshold_from_all_units_holds_for_any_shape(tmp_path, on, stored):
    """It is a quantile of all values of the calibrating inputs, whatever their shape; a store opens again."""
    options = {"store": tmp_path / "a.zarr"} if stored else {}
    recording = record(WIDE, on, per="layer", **options)
    threshold = np.quantile(values_of(on), 0.75, method="inverted_cdf")
    assert (recording.layers[0].thresholds == threshold).all()
    assert np.array_equal(recording.raster("1"), (values_of(WIDE) > threshold).T)
    if stored:
        assert np.array_equal(record(WIDE, on, per="layer", **options).raster("1"), recording.raster("1"))


def test_one_threshold_from_some_units_holds_for_their_shape():
    """The chosen places are other units where the shape is another."""
    assert record(WIDE, WIDE + 1, per="layer", units=[0, 3]).n_units == 2
    with pytest.raises(ThresholdError, match="other units"):
        record(WIDE, TALL, per="layer", units=[0, 3])


def test_thresholds_that_a_store_keeps_have_its_shape(tmp_path):
    """A store is replaced by one of inputs of another shape: its thresholds are not those of the new units, but of one threshold for all."""
    path = tmp_path / "a.zarr"
    both = {"progress": False, "overwrite": True}
    ann2neo.export(convolution(), WIDE, path, threshold=RULES["mean"](WIDE), **both)
    with pytest.raises(ThresholdError, match="other units"):
        ann2neo.export(convolution(), TALL, path, threshold=RULES["mean"](WIDE), **both)
    ann2neo.export(convolution(), WIDE, path, threshold=RULES["mean"](WIDE, per="layer"), **both)
    found = ann2neo.export(convolution(), TALL, path, threshold=RULES["mean"](WIDE, per="layer"), **both)
    fresh = record(TALL, WIDE, "mean", per="layer")
    assert np.array_equal(found.raster("1"), fresh.raster("1"))


def test_steps_of_other_lengths_have_the_same_units():
    """Steps are bins: longer sequences calibrate the same units."""
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    x, on = torch.randn(5, 4, 3), torch.randn(9, 7, 3)
    found = ann2neo.record(network, x, threshold=ann2neo.Quantile(0.5, on=on), steps=ann2neo.Steps(1), progress=False)
    values = network(on).detach().flatten(0, 1).numpy()
    assert np.array_equal(found.layers[0].thresholds, np.quantile(values, 0.5, axis=0, method="inverted_cdf"))
    with pytest.raises(ThresholdError, match=r"steps=Steps\(1\)"):
        ann2neo.record(network, x, threshold=ann2neo.Quantile(0.5, on=on), progress=False)
