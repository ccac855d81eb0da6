"""NIX files, as neo reads them."""

import h5py
import neo
import numpy as np
import pytest
from strategies import small_recording

import ann2neo
from ann2neo.errors import Ann2NeoWarning, ForeignFile, FormatError
from ann2neo.formats import nix
from ann2neo.formats.hdf5 import check_storage


def test_neo_reads_the_whole_block(tmp_path):
    """Segments, names, annotations, Epochs with their columns, and Groups are there for a person who has only neo."""
    recording = small_recording(2, 12)
    ann2neo.save(recording, tmp_path / "a.nix")
    with neo.NixIO(str(tmp_path / "a.nix"), "ro") as io:
        block = io.read_block()
    ours = ann2neo.to_block(recording)
    assert block.annotations["model_class"] == "Sequential"
    assert [segment.name for segment in block.segments] == ["pass 0", "pass 1"]
    for read, made in zip(block.segments, ours.segments):
        for theirs, mine in zip(read.spiketrains, made.spiketrains):
            assert (theirs.name, theirs.times.tolist()) == (mine.name, mine.times.tolist())
            assert (theirs.t_start, theirs.t_stop) == (mine.t_start, mine.t_stop)
            assert {key: theirs.annotations[key] for key in mine.annotations} == mine.annotations
        assert read.epochs[0].labels.tolist() == made.epochs[0].labels.tolist()
        assert read.epochs[0].array_annotations["target_label"].tolist() == (
            made.epochs[0].array_annotations["target_label"].tolist()
        )
    assert [(group.name, len(group.spiketrains)) for group in block.groups] == [("features.3", 4), ("fc/relu:1", 4)]


def test_a_block_that_neo_wrote_is_read(tmp_path):
    """It does not matter who wrote our Block."""
    recording = small_recording(2, 12)
    with neo.NixIO(str(tmp_path / "a.nix"), "ow") as io:
        io.write_block(ann2neo.to_block(recording))
    with pytest.warns(Ann2NeoWarning, match="carries no check sums"):
        assert ann2neo.load(tmp_path / "a.nix").identical(recording)


def test_segments_by_label_in_a_file_are_refused(tmp_path):
    """The refusal is that of the Block."""
    with neo.NixIO(str(tmp_path / "a.nix"), "ow") as io:
        io.write_block(ann2neo.to_block(small_recording(2, 6), segment_by="label"))
    with pytest.raises(FormatError, match="segmented by label"):
        ann2neo.load(tmp_path / "a.nix")


def test_many_trains_are_announced(monkeypatch, tmp_path):
    """Before a long write there is a warning with its time and size."""
    monkeypatch.setattr(nix, "MANY_TRAINS", 7)
    with pytest.warns(Ann2NeoWarning, match=r"8 spike trains take about 0 s and 0 MB(?s:.*)\.nwb"):
        ann2neo.save(small_recording(2, 12), tmp_path / "a.nix")


def test_name_that_is_no_utf8(tmp_path):
    """What nixio cannot open is refused by its name, when writing and when reading; nothing is left behind."""
    path = tmp_path / "a\udcff.nix"
    with pytest.raises(FormatError, match="not text in UTF-8"):
        ann2neo.save(ann2neo.from_array(np.eye(3, dtype=bool)), path)
    assert not list(tmp_path.iterdir())
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="not text in UTF-8"):
        ann2neo.load(path)


def test_trains_of_cells_are_read_once(monkeypatch, tmp_path):
    """A file of another laboratory is known by its first Block's annotations; both ways in say and return the same as before."""
    path, read = tmp_path / "cells.nix", []
    trains = [neo.SpikeTrain([0.1, 0.4 + i], units="s", t_stop=9, name=f"u{i}") for i in range(3)]
    block = neo.Block(name="cells", lab="ours")
    block.segments.append(neo.Segment())
    block.segments[0].spiketrains.extend(trains)
    with neo.NixIO(str(path), "ow") as io:
        io.write_block(block)
    one = neo.NixIO._nix_to_neo_spiketrain
    monkeypatch.setattr(neo.NixIO, "_nix_to_neo_spiketrain", lambda io, train: (read.append(1), one(io, train))[1])
    with pytest.raises(
        ForeignFile, match="the Block 'cells' was not made by ann2neo: it has no annotation 'config_json'"
    ):
        ann2neo.load(path)
    assert not read
    found = ann2neo.read_block(path).segments[0].spiketrains
    assert [(train.name, train.magnitude.tolist()) for train in found] == [
        ("u0", [0.1, 0.4]),
        ("u1", [0.1, 1.4]),
        ("u2", [0.1, 2.4]),
    ]
    assert len(read) == 3


def test_storage_is_checked_once_where_it_has_several_names(tmp_path):
    """NIX names a section from every object; even a group that contains itself ends, and what is hidden in it is found."""
    with h5py.File(tmp_path / "round.h5", "w") as file:
        file["a/b/number"] = 1
        file["a/b/again"] = file["a"]
        check_storage(file, "/", tmp_path)
        file["a/b/out"] = h5py.ExternalLink("other.h5", "/")
        with pytest.raises(FormatError, match=r"/a/b/out in .* is a link to another place or file"):
            check_storage(file, "/", tmp_path)
