"""Our store, as neo opens it."""

import subprocess
import sys
import time
from dataclasses import replace

import neo
import numpy as np
import pytest
import quantities as pq
from neo.test.rawiotest import rawio_compliance
from neo.test.tools import assert_neo_object_is_compliant, assert_sub_schema_is_lazy_loaded
from strategies import small_recording

import ann2neo
from ann2neo.errors import FormatError
from ann2neo.neoio import Ann2NeoIO, Ann2NeoRawIO
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials
from ann2neo.store import layout
from ann2neo.trains.unit_trains import UnitTrains


@pytest.fixture(scope="module")
def recording():
    """Two layers, two passes, bins of 10 ms: neo's own check looks for spikes within 1 ms of one another."""
    return replace(small_recording(), bin_size_ms=10.0)


@pytest.fixture(scope="module")
def path(recording, tmp_path_factory):
    """The recording as a store."""
    path = tmp_path_factory.mktemp("neoio") / "rec.zarr"
    ann2neo.save(recording, path)
    return path


def test_get_io_reads_the_recording(path, recording):
    """neo finds the reader by itself, and the Block is the recording."""
    assert neo.io.list_candidate_ios(path)[0] is Ann2NeoIO
    reader = neo.io.get_io(str(path))
    assert type(reader) is Ann2NeoIO
    (block,) = reader.read()
    assert block.file_origin == str(path)
    assert ann2neo.from_block(block).identical(recording)
    assert_neo_object_is_compliant(block)


def test_get_rawio_names_the_raw_reader(path, tmp_path):
    """neo knows the raw reader of a store that is there and of one that may be written, and of other folders and files what it knew before."""
    assert neo.rawio.get_rawio(path) is neo.rawio.get_rawio(str(path)) is Ann2NeoRawIO
    assert neo.rawio.get_rawio(path, exclusive_rawio=False) == [Ann2NeoRawIO]
    assert neo.rawio.get_rawio("nowhere.zarr") is Ann2NeoRawIO
    (tmp_path / ".zattrs").write_text('{"what": "something else"}')
    for name in (tmp_path, "cells.axgd", "cells", "cells.plx"):
        assert neo.rawio.get_rawio(name) is neo.rawio.get_rawio.__wrapped__(name)
    assert neo.rawio.get_rawio("cells").__name__ == "AxographRawIO"
    with pytest.raises(AttributeError):
        _ = neo.rawio.get_rawio.__wrapped__.__wrapped__


def test_a_hundred_thousand_units_open_at_once(tmp_path):
    """A Block, lazy or not, and a raw header of very many units take seconds (bounds are generous: machines are shared)."""
    n_units = 100_000
    layer = Layer(
        name="relu",
        shape=(n_units,),
        dtype="float32",
        units=np.arange(n_units),
        thresholds=np.zeros(n_units),
        raster=Raster(packed=np.full((1, n_units, 8), 3, np.uint8), n_bins=64),
    )
    trials = make_trials(64, stimulus_id=np.arange(64))
    ann2neo.save(Recording(layers=(layer,), trials=trials, bin_size_ms=1.0, provenance={}), tmp_path / "a.zarr")
    for lazy in (False, True):
        start = time.process_time()
        trains = neo.io.get_io(tmp_path / "a.zarr").read_block(lazy=lazy).segments[0].spiketrains
        assert (len(trains), trains[-1].name) == (n_units, "relu[99999]")
        assert time.process_time() - start < 5


def test_many_chunks_are_not_taken_for_another_format(monkeypatch, tmp_path):
    """Chunks have names such as 0.17.2, whose suffixes other readers of neo claim; ours claims them too, and has more."""
    monkeypatch.setattr(layout, "CHUNK_BYTES", 1)
    monkeypatch.setattr(layout, "CHUNK_BINS_IN_BYTES", 1)
    recording = small_recording(40, 80)
    ann2neo.save(recording, tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "log").mkdir()
    for number in range(60):
        (tmp_path / "a.zarr" / "log" / f"0.{number}.json").touch()
    first, second = neo.io.list_candidate_ios(tmp_path / "a.zarr")[:2]
    assert first is Ann2NeoIO
    assert second is not Ann2NeoIO
    assert ann2neo.from_block(neo.io.get_io(tmp_path / "a.zarr").read_block()).identical(recording)


def test_nothing_is_registered_without_the_import_and_once_with_it():
    """`import ann2neo` leaves neo's tables alone; importing the reader twice registers it once."""
    code = "import neo.io, importlib, ann2neo.trains\nassert 'zarr' not in neo.io.io_by_extension\n"
    code += "import ann2neo.neoio as n\nn.register()\nassert neo.io.iolist.count(n.Ann2NeoIO) == 1\n"
    code += "assert neo.io.io_by_extension['zarr'] == [n.Ann2NeoIO] and neo.rawio.rawiolist.count(n.Ann2NeoRawIO) == 1"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["data.json", "x.clu.1", "nothing"])
def test_files_of_others_are_refused_at_once(name, tmp_path):
    """What is no store is refused, so that neo asks the next reader."""
    (tmp_path / name).write_text("{}")
    with pytest.raises(FormatError, match="not a folder"):
        Ann2NeoIO(tmp_path / name)
    with pytest.raises(FormatError):
        Ann2NeoIO(tmp_path)
    if name == "data.json":
        assert len(neo.io.list_candidate_ios(tmp_path / name)) > 1


def test_neo_finds_the_raw_reader_compliant(path):
    """The checks that neo runs on its own raw readers pass."""
    reader = Ann2NeoRawIO(dirname=path)
    assert "nb_block" not in repr(reader)
    reader.parse_header()
    assert "nb_block" in repr(reader)
    reader._repr_annotations()
    for check in ("header_is_total", "check_signal_stream_buffer_hierachy", "count_element", "read_analogsignals"):
        getattr(rawio_compliance, check)(reader)
    for check in ("read_spike_times", "read_spike_waveforms", "read_events", "has_annotations"):
        getattr(rawio_compliance, check)(reader)


def test_raw_timestamps_are_bins(path, recording):
    """Timestamps count bins of their pass; the epochs are the trials."""
    reader = Ann2NeoRawIO(path)
    reader.parse_header()
    dense = np.concatenate([recording.raster(layer.name) for layer in recording.layers]).reshape(12, 2, 60)
    for unit, of_pass in np.ndindex(12, 2):
        found = reader.get_spike_timestamps(seg_index=of_pass, spike_channel_index=unit)
        assert found.tolist() == np.flatnonzero(dense[unit, of_pass]).tolist()
    times, durations, labels = reader.get_event_timestamps(seg_index=1)
    assert np.allclose(times, np.arange(60) * 0.01)
    assert np.allclose(durations, 0.01)
    assert labels.tolist() == recording.trials["label_name"].tolist()[60:]


def test_lazy_is_lazy_as_neo_means_it(path, recording):
    """With lazy=True there are proxies of neo, in Segments and Groups, that load compliant objects with our annotations."""
    block = Ann2NeoIO(path).read_block(lazy=True)
    assert_sub_schema_is_lazy_loaded(block)
    eager = ann2neo.to_block(recording)
    for lazy_segment, segment in zip(block.segments, eager.segments):
        for proxy, train in zip(lazy_segment.spiketrains, segment.spiketrains):
            assert np.allclose(proxy.load().rescale("ms").magnitude, train.magnitude)
            assert (proxy.name, proxy.annotations["layer"]) == (train.name, train.annotations["layer"])
            assert proxy.annotations["threshold"] == train.annotations["threshold"]
        epoch = lazy_segment.epochs[0].load()
        assert epoch.labels.tolist() == segment.epochs[0].labels.tolist()
        assert epoch.array_annotations["correct"].tolist() == segment.epochs[0].array_annotations["correct"].tolist()
    assert [len(group.spiketrains) for group in block.groups] == [12, 12]
    held = block.segments[0].spiketrains[3]
    assert block.segments[0].spiketrains[3] is held
    assert held.segment is block.segments[0]


def test_a_slice_of_time_is_read(path, recording):
    """A segment between two times has the spikes and trials in between, lazily or not."""
    reader = Ann2NeoIO(path)
    # From 0.1 to 0.2 s are the bins 10 to 19 of 10 ms, and the trial that begins where the slice ends.
    where = (0.1 * pq.s, 0.2 * pq.s)
    segment = reader.read_segment(seg_index=1, time_slice=where)
    dense = recording.raster("features.3")[:, 70:80]
    assert [len(train) for train in segment.spiketrains[:6]] == dense.sum(axis=1).tolist()
    assert len(segment.epochs[0]) == 11
    proxy = reader.read_segment(seg_index=1, lazy=True).spiketrains[5]
    assert len(proxy.load(time_slice=where)) == dense[5].sum()
    assert (segment.index, segment.name) == (1, "pass 1")


def test_there_is_one_block(path):
    """Another number than 0 is an error."""
    with pytest.raises(FormatError, match="holds one Block"):
        Ann2NeoIO(path).read_block(1)


@pytest.mark.parametrize("lazy", [False, True])
def test_nothing_is_made_before_it_is_touched(lazy, monkeypatch, path):
    """However many units there are, a Block is read without making a train, and a proxy makes its own only."""
    made = []
    make = UnitTrains._make
    monkeypatch.setattr(UnitTrains, "_make", lambda self, unit: made.append(unit) or make(self, unit))
    block = neo.io.get_io(path).read_block(lazy=lazy)
    assert len(block.segments[0].spiketrains) == 12
    assert not made
    _ = block.segments[0].spiketrains[4]
    assert set(made) == {4}
