"""A recording is consistent, never changes, and its views show the same bits."""

import dataclasses

import numpy as np
import pytest

import ann2neo
from ann2neo.errors import InputsError, LayerNotFound, RecordingError, WindowError
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials, presented_order


@pytest.fixture
def recording():
    """Two layers, one a feature map; two passes of five trials."""
    rng = np.random.default_rng(0)
    layers = tuple(
        Layer(
            name=name,
            shape=shape,
            dtype="float32",
            units=np.arange(np.prod(shape)),
            thresholds=np.linspace(0, 1, np.prod(shape)),
            raster=Raster.from_dense(rng.random((np.prod(shape), 10)) < 0.4, n_passes=2),
        )
        for name, shape in [("conv", (2, 3, 2)), ("fc", (4,))]
    )
    trials = make_trials(5, n_passes=2, stimulus_id=np.array([9, 8, 7, 6, 5]), label=np.array([1, 0, 1, 0, 2]))
    ids = trials["stimulus_id"].to_numpy()[:5]
    return Recording(layers=layers, trials=trials, bin_size_ms=1.0, provenance=presented_order(ids))


def test_arranging_by_label_and_back_is_the_identity(recording):
    """Arranging moves bits, trials and provenance together, and presented order undoes it."""
    arranged = recording.arrange("label")
    assert arranged.trials["label"].tolist() == [0, 0, 1, 1, 2] * 2
    assert arranged.trials["trial"].tolist() == [1, 3, 0, 2, 4] * 2
    assert (arranged.raster("fc") == recording.raster("fc")[:, [1, 3, 0, 2, 4, 6, 8, 5, 7, 9]]).all()
    assert arranged.provenance["input_order"] == "label"
    assert arranged.provenance["input_order_sha256"] != recording.provenance["input_order_sha256"]
    assert arranged.arrange("presented").identical(recording)


def test_a_shuffle_says_its_seed_and_is_undone(recording):
    """The seed is part of the provenance while it applies, and gone with the shuffle."""
    shuffled = recording.arrange("shuffled", seed=3)
    assert shuffled.provenance["input_order_seed"] == 3
    assert not shuffled.identical(recording)
    assert "input_order_seed" not in shuffled.arrange("label").provenance
    assert shuffled.arrange("presented").identical(recording)


def test_arranging_without_labels_is_refused():
    """Without labels there is no label order, and the message says how to get one."""
    with pytest.raises(WindowError, match="labels when recording"):
        ann2neo.from_array(np.eye(3, dtype=bool)).arrange("label")


def test_select_keeps_names_places_and_bits(recording):
    """Units keep who they are when others are left out."""
    view = recording.select(layers="conv", units=[11, 0])
    assert view.layers[0].unit_names == ["conv[1,2,1]", "conv[0,0,0]"]
    assert {k: v.tolist() for k, v in view.layers[0].coordinates.items()} == {
        "channel": [1, 0],
        "row": [2, 0],
        "col": [1, 0],
    }
    assert (view.raster("conv") == recording.raster("conv")[[11, 0]]).all()
    assert view.layers[0].thresholds.tolist() == [1.0, 0.0]
    by_name = recording.select(units={"fc": [1]})
    assert [layer.n_units for layer in by_name.layers] == [12, 1]


def test_an_unknown_layer_suggests_the_nearest(recording):
    """The message names what there is."""
    with pytest.raises(LayerNotFound, match="Did you mean 'conv'"):
        recording.select(layers="conf")
    with pytest.raises(LayerNotFound, match="'fc'"):
        recording.raster("fd")


def test_a_recording_never_changes(recording):
    """Its fields cannot be set."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        recording.bin_size_ms = 2.0


@pytest.mark.parametrize("change", ["bins", "names", "trials", "passes"])
def test_contradictions_are_refused(recording, change):
    """Layers and trials must agree on the number of bins, layers need names, trials follow one another, passes are in order."""
    trials, layers = recording.trials, recording.layers
    if change == "bins":
        trials = make_trials(9, stimulus_id=np.arange(9))
    elif change == "names":
        layers = (layers[0], dataclasses.replace(layers[0]))
    elif change == "trials":
        trials = trials.assign(start_bin=trials["start_bin"] + 1)
    else:
        trials = trials.assign(**{"pass": [1] * 5 + [0] * 5})
    with pytest.raises(RecordingError):
        dataclasses.replace(recording, trials=trials, layers=layers)


def test_from_array_checks_its_arguments():
    """No bins and too few labels are errors."""
    with pytest.raises(InputsError, match="no bins"):
        ann2neo.from_array(np.zeros((0, 3), bool))
    with pytest.raises(InputsError, match="2 labels for 3 bins"):
        ann2neo.from_array(np.zeros((3, 3), bool), labels=[0, 1])


def test_from_array_takes_bins_by_units():
    """Rows of the array are bins, rows of the raster are units."""
    spikes = np.array([[1, 0, 0], [1, 1, 0]], bool)
    recording = ann2neo.from_array(spikes, layer="snn", shape=(3,), provenance={"model_class": "LIF"})
    assert (recording.raster("snn") == spikes.T).all()
    assert recording.provenance["model_class"] == "LIF"
