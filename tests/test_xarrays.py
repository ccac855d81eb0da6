"""Recordings as xarrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import recordings, small_recording

from ann2neo.xarrays import to_xarray

pytest.importorskip("xarray")


@settings(max_examples=40, deadline=None)
@given(recordings())
def test_values_are_spikes_in_trials(recording):
    """Each value is the number of spikes of its unit between the borders of its trial, counted slowly."""
    array = to_xarray(recording)
    assert array.dims == ("presentation", "neuroid")
    assert array.dtype.kind == "u"
    dense = np.concatenate([recording.raster(layer.name) for layer in recording.layers])
    trials = recording.trials
    expected = [dense[:, a:b].sum(axis=1).tolist() for a, b in zip(trials["start_bin"], trials["stop_bin"])]
    assert array.values.tolist() == expected
    for column in trials.columns:
        assert array[column].values.tolist() == trials[column].tolist()


def test_coordinates_are_those_of_brain_score():
    """Its users select by layer, channel, stimulus and repetition."""
    array = to_xarray(small_recording())
    assert array.shape == (120, 12)
    assert {"stimulus_id", "repetition"} <= {name for name in array.coords if array[name].dims == ("presentation",)}
    of_neuroids = {name for name in array.coords if array[name].dims == ("neuroid",)}
    assert {"neuroid_id", "neuroid_num", "model", "layer", "channel", "channel_x", "channel_y"} <= of_neuroids
    picked = array[{"presentation": array["repetition"] == 1, "neuroid": array["layer"] == "features.3"}]
    assert np.array_equal(picked.values.T, small_recording().raster("features.3")[:, 60:])
    assert picked["channel_y"].values.tolist() == [0, 0, 0, 1, 1, 1]
    assert picked["channel_x"].values.tolist() == [0, 1, 2, 0, 1, 2]
    assert set(array["model"].values) == {"Sequential"}
    assert array["quality"].values.tolist()[:2] == ["silent", "saturated"]
    assert array.attrs["model_class"] == "Sequential"


def test_pieces_are_the_whole(monkeypatch):
    """However few units are counted at once, the values are the same; no unit at all is an array too."""
    recording = small_recording(40, 50)
    whole = to_xarray(recording)
    monkeypatch.setattr("ann2neo.raster.CHUNK_BYTES", 700)
    assert whole.identical(to_xarray(recording))
    assert to_xarray(recording.select(units=[])).shape == (100, 0)


def test_selection_groups_and_means_work():
    """What xarray is for: the mean response to each label."""
    recording = small_recording()
    means = to_xarray(recording).groupby("label_name").mean()
    dense = recording.raster("fc/relu:1")
    dogs = (recording.trials["label_name"] == "dog").to_numpy()
    found = means.sel(label_name="dog").values[6:]
    assert np.allclose(found, dense[:, dogs].mean(axis=1))


def test_rsatoolbox_takes_it():
    """rsatoolbox computes its dissimilarities between labels from it."""
    rsatoolbox = pytest.importorskip("rsatoolbox")
    array = to_xarray(small_recording())
    dataset = rsatoolbox.data.Dataset(
        array.values.astype(float),
        obs_descriptors={"label": array["label"].values, "repetition": array["repetition"].values},
        channel_descriptors={"layer": array["layer"].values, "unit": array["neuroid_id"].values},
    )
    rdm = rsatoolbox.rdm.calc_rdm(dataset, descriptor="label", method="euclidean").get_matrices()[0]
    means = np.stack([array.values[array["label"].values == label].mean(axis=0) for label in range(3)])
    expected = ((means[:, None] - means[None]) ** 2).mean(axis=-1)
    assert np.allclose(rdm, expected)
