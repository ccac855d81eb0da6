"""MAT files, as neo and MATLAB see them."""

from dataclasses import replace

import neo
import numpy as np
import pytest
import scipy.io
from strategies import small_recording

import ann2neo
from ann2neo.errors import Ann2NeoWarning, FormatError
from ann2neo.formats import mat


@pytest.fixture(scope="module")
def recording():
    """Two layers, two passes, all columns, and provenance of every kind."""
    small = small_recording(4, 12)
    odd = {"größe": 1, "a" * 70: 2, "values": 3, "items": "x", "_x": 1.5, "none": [], "words": ["a", "bc"], "ok": True}
    return replace(small, provenance={**small.provenance, **odd})


@pytest.fixture(scope="module")
def path(recording, tmp_path_factory):
    """The recording as MAT."""
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    ann2neo.save(recording, path)
    return path


def test_what_matlab_cannot_name_is_not_lost(path, recording):
    """Keys that are no names of MATLAB's, or that neo takes for methods of a dictionary, come back all the same."""
    assert ann2neo.load(path).identical(recording)


def test_neo_reads_trains_labels_and_groups(path, recording):
    """neo's reader gives the names, exact times, borders and annotations of all trains, labels without padding, and the groups' own trains."""
    block, ours = neo.io.NeoMatlabIO(str(path)).read_block(), ann2neo.to_block(recording)
    assert block.annotations["model_class"] == "Sequential"
    assert block.annotations["words"].tolist() == ["a", "bc"]
    for read, made in zip(block.segments, ours.segments):
        assert len(read.spiketrains) == len(made.spiketrains)
        for theirs, mine in zip(read.spiketrains, made.spiketrains):
            assert (theirs.name, theirs.times.tolist()) == (mine.name, mine.times.tolist())
            assert (theirs.t_start, theirs.t_stop) == (mine.t_start, mine.t_stop)
            assert theirs.annotations == mine.annotations
        assert read.epochs[0].labels.tolist() == made.epochs[0].labels.tolist()
        for column in ("label", "target_label", "correct", "label_name"):
            expected = made.epochs[0].array_annotations[column].tolist()
            assert read.epochs[0].annotations[column].tolist() == expected
    for theirs, mine in zip(block.groups, ours.groups):
        assert [train.name for train in theirs.spiketrains] == [train.name for train in mine.spiketrains]
        assert theirs.spiketrains[0] is block.segments[0].spiketrains[0] or mine is ours.groups[1]


def test_groups_hold_their_own_trains_when_trains_are_not_kept(monkeypatch, tmp_path):
    """Trains that are forgotten once they are made have no id that would last: they are held while they are written."""
    monkeypatch.setattr("ann2neo.trains.unit_trains.KEPT_BYTES", 0)
    recording = small_recording(20, 12)
    ann2neo.save(recording, tmp_path / "a.mat")
    block = neo.io.NeoMatlabIO(str(tmp_path / "a.mat")).read_block()
    names = [[train.name for train in group.spiketrains] for group in block.groups]
    assert names == [layer.unit_names * 2 for layer in recording.layers]


def test_matlab_sees_structs(path, recording):
    """As MATLAB sees it: cells of structs with times in milliseconds, strings in cells, truth values as such."""
    block = scipy.io.loadmat(path, struct_as_record=False, squeeze_me=True)["block"]
    train = block.segments[0].spiketrains[3]
    expected = np.flatnonzero(recording.raster("features.3")[3, :12]) + 0.25
    assert train.times.tolist() == expected.tolist()
    assert (train.times_units, train.annotations.layer) == ("ms", "features.3")
    assert block.segments[0].epochs.annotations.label_name.tolist() == recording.trials["label_name"].tolist()[:12]


def test_many_trains_are_announced(monkeypatch, tmp_path):
    """Before a long write there is a warning with its time and size."""
    monkeypatch.setattr(mat, "MANY_TRAINS", 7)
    with pytest.warns(Ann2NeoWarning, match=r"8 spike trains take about 0 s and up to 0 MB(?s:.*)\.nwb"):
        ann2neo.save(small_recording(2, 12), tmp_path / "a.mat")


def test_what_matlab_cannot_open_is_refused(monkeypatch, tmp_path):
    """Too many spikes for a variable of MATLAB end in an error and in no file."""
    monkeypatch.setattr(mat, "MOST_BYTES", 8 * mat.BYTES_PER_TRAIN)
    with pytest.raises(FormatError, match="takes 2 GB"):
        ann2neo.save(small_recording(2, 12), tmp_path / "a.mat")
    assert not list(tmp_path.iterdir())


def test_changed_files_are_refused(tmp_path):
    """A file that lost a train, or whose spikes were moved, is no recording any more."""
    ann2neo.save(small_recording(2, 12), tmp_path / "a.mat")
    io = neo.io.NeoMatlabIO(str(tmp_path / "a.mat"))
    block = io.read_block()
    block.groups.clear()
    block.segments[0].spiketrains = list(block.segments[0].spiketrains)[:-1]
    neo.io.NeoMatlabIO(str(tmp_path / "b.mat")).write_block(block)
    with pytest.raises(FormatError, match=r"4 spike trains in each of 2 passes, but holds \[3, 4\]"):
        ann2neo.load(tmp_path / "b.mat")
    moved = io.read_block()
    moved.groups.clear()
    moved.segments[1].spiketrains[1].view(np.ndarray)[0] += 0.3
    neo.io.NeoMatlabIO(str(tmp_path / "c.mat")).write_block(moved)
    with pytest.raises(ann2neo.Ann2NeoError, match="not at a quarter of bins"):
        ann2neo.load(tmp_path / "c.mat")
