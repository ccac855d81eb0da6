"""Recordings as neo Blocks."""

import json
from dataclasses import replace

import neo
import numpy as np
import pytest
import quantities as pq
from hypothesis import HealthCheck, given, settings
from strategies import recordings, small_recording

import ann2neo
from ann2neo.errors import AnnotationError, FormatError, WindowError
from ann2neo.outline import check_provenance
from ann2neo.recording import Recording


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recordings())
def test_block_and_back_is_the_identity(recording):
    """A Block gives back bits, labels, shapes, thresholds, provenance and the types of all columns."""
    back = ann2neo.from_block(ann2neo.to_block(recording))
    assert back.identical(recording)
    assert back.trials.dtypes.equals(recording.trials.dtypes)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recordings())
def test_every_pass_is_a_segment_on_its_own_clock(recording):
    """Each train of a pass has exactly the spikes of that pass, at a quarter of their bins, between 0 and the end of the pass."""
    block = ann2neo.to_block(recording)
    n_bins = recording.n_bins // recording.n_passes
    dense = np.concatenate([recording.raster(layer.name) for layer in recording.layers])
    assert len(block.segments) == recording.n_passes
    for number, segment in enumerate(block.segments):
        assert len(segment.spiketrains) == recording.n_units
        for row, train in zip(dense[:, number * n_bins : (number + 1) * n_bins], segment.spiketrains):
            assert train.times.magnitude.tolist() == [(k + 0.25) * recording.bin_size_ms for k in np.flatnonzero(row)]
            assert (float(train.t_start), float(train.t_stop)) == (0.0, n_bins * recording.bin_size_ms)
            assert train.dimensionality.string == "ms"
            assert float(train.sampling_rate.rescale("Hz")) == pytest.approx(1000 / recording.bin_size_ms, rel=1e-15)


def test_names_and_annotations():
    """Trains say from which place of which layer they are, in the words of neo and PyNN, and how good they are."""
    recording = small_recording(n_trials=60)
    trains = ann2neo.to_block(recording).segments[0].spiketrains
    assert [train.name for train in trains] == [n for layer in recording.layers for n in layer.unit_names]
    assert trains[4].name == "features.3[0,1,1]"
    known = trains[4].annotations
    assert {
        k: known[k] for k in ("layer", "source_population", "channel", "row", "col", "source_index", "channel_id")
    } == {
        "layer": "features.3",
        "source_population": "features.3",
        "channel": 0,
        "row": 1,
        "col": 1,
        "source_index": 4,
        "channel_id": 4,
    }
    assert known["threshold"] == recording.layers[0].thresholds[4]
    assert "row" not in trains[6].annotations
    assert [train.annotations["channel_id"] for train in trains] == list(range(12))
    assert [train.annotations["quality"] for train in trains[:3]] == ["silent", "saturated", "good"]


def test_few_spikes_are_said_to_be_few():
    """Nine spikes are too few and ten are enough; a unit that fires in all of five bins is saturated rather than that."""
    dense = np.zeros((40, 2), bool)
    dense[:9, 0] = dense[:10, 1] = True
    trains = ann2neo.to_block(ann2neo.from_array(dense)).segments[0].spiketrains
    assert [train.annotations["quality"] for train in trains] == ["too_few", "good"]
    trains = ann2neo.to_block(ann2neo.from_array(np.ones((5, 1), bool))).segments[0].spiketrains
    assert trains[0].annotations["quality"] == "saturated"


def test_trains_and_tables_call_a_unit_alike():
    """A unit has one quality, whoever says it: trains, xarray and the table, also where it has few empty bins."""
    dense = np.arange(40)[:, None] < np.array([0, 1, 9, 10, 30, 31, 39, 40])
    recording = ann2neo.from_array(dense)
    of_table = ann2neo.analyze(recording, windows=5, progress=False)["quality"].tolist()
    of_trains = [train.annotations["quality"] for train in ann2neo.to_block(recording).segments[0].spiketrains]
    few = ["too_few"] * 2
    assert of_table == of_trains == ["silent", *few, "good", "good", *few, "saturated"]
    assert ann2neo.to_xarray(recording)["quality"].values.tolist() == of_table


def test_the_block_says_what_it_is():
    """Provenance is flat, the axis of time is described, the Epoch has the trials and there is a Group for each layer with the very trains."""
    recording = small_recording()
    block = ann2neo.to_block(recording)
    assert "pseudo-time: 1 bin = 1 input" in block.description
    assert (block.annotations["model_class"], block.annotations["seed"]) == ("Sequential", 3)
    assert (block.annotations["schema"], block.annotations["bin_size_ms"]) == ("ann2neo/1", 1.0)
    (epoch,) = block.segments[1].epochs
    of_pass = recording.trials[recording.trials["pass"] == 1]
    assert epoch.name == "trials"
    assert epoch.labels.tolist() == of_pass["label_name"].tolist()
    assert set(epoch.array_annotations) == set(recording.trials.columns)
    assert epoch.array_annotations["correct"].tolist() == of_pass["correct"].tolist()
    assert epoch.times.magnitude.tolist() == list(range(60))
    assert [group.name for group in block.groups] == ["features.3", "fc/relu:1"]
    assert block.groups[1].spiketrains[0] is block.segments[0].spiketrains[6]
    assert [len(group.spiketrains) for group in block.groups] == [12, 12]


def test_trials_of_several_bins_are_steps():
    """With several bins for each trial, a bin is a step, and an Epoch lasts as long as its trial."""
    recording = small_recording(n_passes=1)
    trials = recording.trials.iloc[:20].assign(start_bin=np.arange(20) * 3, stop_bin=np.arange(20) * 3 + 3)
    steps = Recording(layers=recording.layers, trials=trials, bin_size_ms=2.0, provenance=recording.provenance)
    block = ann2neo.to_block(steps)
    assert "1 bin = 1 step" in block.description
    assert set(block.segments[0].epochs[0].durations.magnitude.tolist()) == {6.0}


@pytest.mark.parametrize("segment_by", ["label", "trial"])
def test_segments_by_label_and_trial_hold_their_own_spikes(segment_by):
    """The Segments of a pass share out its spikes: each has those of its trials, and none crosses a pass."""
    recording = small_recording(n_trials=20)
    block = ann2neo.to_block(recording, segment_by=segment_by)
    dense = np.concatenate([recording.raster(layer.name) for layer in recording.layers])
    assert len(block.segments) == 2 * (3 if segment_by == "label" else 20)
    for segment in block.segments:
        rows = (recording.trials["pass"] == segment.annotations["pass"]) & (
            recording.trials[segment_by] == segment.annotations[segment_by]
        )
        expected = dense[:, recording.trials.loc[rows, "start_bin"]]
        found = np.zeros_like(expected)
        for unit, train in enumerate(segment.spiketrains):
            found[unit, np.floor(train.times.magnitude).astype(int)] = True
            assert float(train.t_stop) == rows.sum()
        assert np.array_equal(found, expected)
        assert (
            segment.epochs[0].array_annotations["stimulus_id"].tolist()
            == recording.trials.loc[rows, "stimulus_id"].tolist()
        )


@pytest.mark.parametrize("segment_by", ["label", "trial"])
def test_segments_by_label_or_trial_cannot_be_turned_back(segment_by):
    """The refusal says what to do instead."""
    block = ann2neo.to_block(small_recording(n_trials=10), segment_by=segment_by)
    with pytest.raises(FormatError, match=rf"segmented by {segment_by}(?s:.*)analyze"):
        ann2neo.from_block(block)


def test_segments_by_label_need_labels():
    """Without labels the error names the columns that there are."""
    with pytest.raises(WindowError, match="no column 'label'"):
        ann2neo.to_block(ann2neo.from_array(np.eye(3, dtype=bool)), segment_by="label")


def test_units_taken_out_of_all_segments_are_left_out():
    """A Block from which a person took trains is the recording of the other units."""
    recording = small_recording()
    block = ann2neo.to_block(recording)
    for segment in block.segments:
        kept = [train for train in segment.spiketrains if train.annotations["quality"] == "good"]
        _put(segment.spiketrains, kept)
    assert ann2neo.from_block(block).identical(recording.select(units=[2, 3, 4, 5]))


def _without_outline(block):
    del block.annotations["config_json"]


def _newer(block):
    outline = json.loads(block.annotations["config_json"])
    block.annotations["config_json"] = json.dumps(outline | {"schema": "ann2neo/2"})


def _garbled(block):
    block.annotations["config_json"] = block.annotations["config_json"][:50]


def _put(of_segment, objects):
    of_segment.clear()
    of_segment.extend(objects)


def _moved(block):
    trains = list(block.segments[0].spiketrains)
    trains[2] = trains[2].time_shift(0.125 * pq.ms)
    _put(block.segments[0].spiketrains, trains)


def _one_fewer(block):
    _put(block.segments[1].spiketrains, list(block.segments[1].spiketrains)[1:])


def _one_segment_fewer(block):
    _put(block.segments, list(block.segments)[:1])


def _no_epoch(block):
    _put(block.segments[0].epochs, [])


def _foreign_train(block):
    block.segments[0].spiketrains.append(neo.SpikeTrain([0.25] * pq.ms, t_stop=60 * pq.ms, name="cell 7"))


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (_without_outline, "not made by ann2neo"),
        (_newer, "has schema 'ann2neo/2'"),
        (_garbled, "cannot be read"),
        (_moved, "spikes were moved"),
        (_one_fewer, "different units"),
        (_one_segment_fewer, "1 Segments for 2 passes"),
        (_no_epoch, "1 Epochs 'trials'"),
        (_foreign_train, "'cell 7' lacks"),
    ],
)
def test_foreign_and_changed_blocks_are_refused(change, fact):
    """What cannot be turned back without guessing is refused, with the fact and a cure."""
    block = ann2neo.to_block(small_recording())
    change(block)
    with pytest.raises(FormatError, match=fact) as error:
        ann2neo.from_block(block)
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    "provenance",
    [
        {"a": None},
        {"a": {"b": 1}},
        {"a": (1, 2)},
        {"a": [[1], [2]]},
        {"a": [1, "b"]},
        {"a": [True, 1]},
        {"a": np.arange(3)},
        {"a": 2**63},
        {"a": float("nan")},
        {"a": "null \0 character"},
        {"a": "\ud800"},
        {"a/b": 1},
        {"": 1},
        {"units": "ms"},
        {"t_start": 0},
        {"neo_name": "x"},
        {"description": "x"},
    ],
    ids=repr,
)
def test_annotations_that_files_would_lose_are_refused(provenance):
    """Nothing nested, missing, mixed or with a name that neo or NIX use themselves becomes an annotation."""
    with pytest.raises(AnnotationError):
        check_provenance(provenance)


@pytest.mark.parametrize("provenance", [{"a": [1, "b"]}, {"a/b": 1}, {"units": "ms"}], ids=repr)
def test_a_block_is_not_made_of_what_files_would_lose(provenance):
    """The refusal comes before anything is made or written."""
    recording = replace(small_recording(), provenance=provenance)
    with pytest.raises(AnnotationError):
        ann2neo.to_block(recording)


def test_a_block_can_be_analyzed_by_neo_itself():
    """neo's own slicing by the Epoch gives each trial its spike, because spikes lie inside their bins."""
    recording = small_recording(n_passes=1, n_trials=12)
    segment = ann2neo.to_block(recording).segments[0]
    train, epoch = segment.spiketrains[2], segment.epochs[0]
    counts = [len(train.time_slice(start, start + length)) for start, length in zip(epoch.times, epoch.durations)]
    assert counts == recording.raster("features.3")[2].astype(int).tolist()
