"""NWB files, as the readers of other people see them."""

import warnings

import h5py
import neo
import numpy as np
import nwbinspector
import pynwb
import pytest
from strategies import small_recording

import ann2neo
from ann2neo.errors import RecordingError
from ann2neo.formats.nwb import units_table
from ann2neo.formats.nwb.writing import _most_bytes

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pynapple


@pytest.fixture(scope="module")
def recording():
    """Two layers, two passes, all columns."""
    return small_recording()


@pytest.fixture(scope="module")
def path(recording, tmp_path_factory):
    """The recording as NWB."""
    path = tmp_path_factory.mktemp("nwb") / "recording.nwb"
    ann2neo.save(recording, path)
    return path


@pytest.fixture(scope="module")
def dense(recording):
    """Whether each unit of all layers spiked in each bin of all passes."""
    return np.concatenate([recording.raster(layer.name) for layer in recording.layers])


@pytest.fixture(scope="module")
def segment(path):
    """What neo reads."""
    return neo.io.NWBIO(str(path), "r").read_block().segments[0]


def test_neo_reads_every_unit(segment, recording, dense):
    """neo's trains have our names, our spikes in seconds and the whole clock, silent units too."""
    assert [train.name for train in segment.spiketrains] == [n for layer in recording.layers for n in layer.unit_names]
    for row, train in zip(dense, segment.spiketrains):
        assert train.dimensionality.string == "s"
        assert train.times.magnitude.tolist() == [(k + 0.25) / 1000 for k in np.flatnonzero(row)]
        assert (float(train.t_start), float(train.t_stop)) == (0.0, 0.12)


def test_neo_reads_labels_as_plain_strings(segment, recording):
    """Both Epochs have one plain string for each trial, so that they can be compared with a label."""
    epochs = {epoch.name: epoch for epoch in segment.epochs}
    assert set(epochs) == {"trials", "target_label"}
    assert epochs["trials"].labels.tolist() == recording.trials["label_name"].tolist()
    assert epochs["target_label"].labels.tolist() == recording.trials["target_label"].astype(str).tolist()
    for epoch in epochs.values():
        assert epoch.labels.ndim == 1
        assert all(type(label) is str for label in epoch.labels)
        assert np.array_equal(epoch.times.magnitude, np.arange(120) / 1000)
    assert (epochs["trials"].labels == "dog").sum() == (recording.trials["label_name"] == "dog").sum()


def test_neo_loses_what_the_documentation_says(path, segment):
    """No annotation of ours, no Group, no pass and no bin size arrives, so that a release of neo that reads more is noticed."""
    block = neo.io.NWBIO(str(path), "r").read_block()
    assert (block.name, len(block.segments), len(block.groups)) == ("ann2neo", 1, 0)
    assert "1 bin = 1 input (1.0 ms)" in block.description
    assert not {"schema", "model_class", "config_json"} & block.annotations.keys()
    assert (segment.name, segment.annotations) == ("all passes", {})
    for train in segment.spiketrains:
        assert set(train.annotations) == {"nwb_group"}
        assert float(train.sampling_rate.rescale("Hz")) == 1.0
    assert [epoch.array_annotations for epoch in segment.epochs] == [{}, {}]


def test_without_labels_epochs_name_the_inputs(tmp_path):
    """A recording without labels tags its trials with the numbers of the inputs."""
    ann2neo.save(ann2neo.from_array(np.eye(4, dtype=bool)), tmp_path / "a.nwb")
    (epoch,) = neo.io.NWBIO(str(tmp_path / "a.nwb"), "r").read_block().segments[0].epochs
    assert epoch.labels.tolist() == ["0", "1", "2", "3"]


def test_neo_gives_the_same_counts_per_trial(segment, dense):
    """Cut by its own Epoch, a train that neo read has its spikes in the trials in which the unit fired."""
    train = segment.spiketrains[3]
    epoch = next(epoch for epoch in segment.epochs if epoch.name == "trials")
    counts = np.histogram(train.times.magnitude, np.append(epoch.times.magnitude, train.t_stop.magnitude))[0]
    assert counts.tolist() == dense[3].astype(int).tolist()


def test_pynwb_reads_and_validates(path, recording):
    """The file is valid, every column is described, trials have no gap and no overlap, and columns are as in the recording."""
    with pynwb.NWBHDF5IO(str(path), "r") as io:
        assert pynwb.validate(io=io) == []
        nwbfile = io.read()
        assert "pseudo-time: 1 bin = 1 input" in nwbfile.session_description
        assert all(
            column.description for table in (nwbfile.units, nwbfile.trials, nwbfile.epochs) for column in table.columns
        )
        trials, units = nwbfile.trials.to_dataframe(), nwbfile.units.to_dataframe()
        assert nwbfile.units.resolution == 0.001
        assert nwbfile.processing["ann2neo"]["layers"].to_dataframe()["layer"].tolist() == ["features.3", "fc/relu:1"]
    assert np.array_equal(trials["stop_time"].to_numpy()[:-1], trials["start_time"].to_numpy()[1:])
    for column in recording.trials.columns:
        assert trials[column].tolist() == recording.trials[column].tolist()
    assert units["node_id"].tolist() == [unit for layer in recording.layers for unit in layer.units]
    assert units["layer"].tolist() == ["features.3"] * 6 + ["fc/relu:1"] * 6
    assert units["row"].tolist() == [0, 0, 0, 1, 1, 1] + [-1] * 6
    assert units["quality"].tolist()[:3] == ["silent", "saturated", "good"]
    assert not [column for column in units.columns if column.endswith("_index")]


def test_pynapple_reads_units_and_trials(path, recording, dense):
    """pynapple has all trials (it merges those that overlap by rounding), all columns, and finds each spike in its trial."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = pynapple.load_file(str(path))
        units, trials = data["units"], data["trials"]
    assert len(trials) == 120
    assert trials["label_name"].tolist() == recording.trials["label_name"].tolist()
    assert units["layer"].tolist() == ["features.3"] * 6 + ["fc/relu:1"] * 6
    assert units["threshold"].tolist() == [t for layer in recording.layers for t in layer.thresholds]
    assert [len(units[unit]) for unit in range(12)] == dense.sum(axis=1).tolist()
    counts = np.stack([units[unit].count(ep=trials).values for unit in (1, 3, 8)])
    assert np.array_equal(counts, dense[[1, 3, 8]])


@pytest.mark.parametrize("config", [None, "dandi"])
def test_the_inspector_has_nothing_but_suggestions(path, config):
    """Neither nwbinspector's own rules nor DANDI's find anything critical or against best practice."""
    loaded = None if config is None else nwbinspector.load_config(config)
    found = list(nwbinspector.inspect_nwbfile(nwbfile_path=path, config=loaded))
    assert {message.importance.name for message in found} == {"BEST_PRACTICE_SUGGESTION"}
    assert {message.check_function_name for message in found} == {
        "check_experimenter_exists",
        "check_institution",
        "check_keywords",
        "check_processing_module_name",
        "check_column_binary_capability",
    }


def test_spikes_are_written_piece_by_piece(monkeypatch, tmp_path):
    """However small the pieces, the times in the file are the same."""
    recording = small_recording(40, 300, seed=3)
    whole, pieces = tmp_path / "whole.nwb", tmp_path / "pieces.nwb"
    ann2neo.save(recording, whole)
    monkeypatch.setattr(units_table, "PLAIN_SPIKES", 700)
    monkeypatch.setattr(units_table, "CHUNK_SPIKES", 100)
    monkeypatch.setattr(units_table, "CHUNK_BYTES", 4 * 7 * 600)
    ann2neo.save(recording, pieces)
    with h5py.File(whole) as a, h5py.File(pieces) as b:
        assert np.array_equal(a["units/spike_times"][:], b["units/spike_times"][:])
    assert ann2neo.load(pieces).identical(recording)


def test_the_estimate_of_the_size_is_not_too_low(path, recording):
    """Room is taken on the disk for at least the whole file, of few long names as of many spikes."""
    assert path.stat().st_size <= _most_bytes(recording)
    many = small_recording(100, 2000)
    ann2neo.save(many, path.with_name("many.nwb"))
    assert path.with_name("many.nwb").stat().st_size <= _most_bytes(many)


def test_no_units_are_refused(recording, tmp_path):
    """NWB has no empty tables: the error says to select something."""
    with pytest.raises(RecordingError, match="no units"):
        ann2neo.save(recording.select(units=[]), tmp_path / "a.nwb")
    assert not list(tmp_path.iterdir())


def test_a_file_that_lost_units_is_refused(recording, tmp_path):
    """If the table of units no longer fits the layers, the error says so."""
    ann2neo.save(recording, tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb", "r+") as file:
        file["processing/ann2neo/layers/n_units"][0] = 5
    with pytest.raises(ann2neo.Ann2NeoError, match="names 11 units, but its table has 12"):
        ann2neo.load(tmp_path / "a.nwb")


def test_moved_spikes_are_refused(recording, tmp_path):
    """Spikes that are no longer at a quarter of their bin do not become bits."""
    ann2neo.save(recording, tmp_path / "a.nwb")
    with h5py.File(tmp_path / "a.nwb", "r+") as file:
        file["units/spike_times"][3] += 0.0003
    with pytest.raises(ann2neo.Ann2NeoError, match="not at a quarter of bins"):
        ann2neo.load(tmp_path / "a.nwb")
