"""The store on disk."""

import shutil

import numpy as np
import pytest
import zarr
from strategies import small_recording

import ann2neo
from ann2neo.errors import FormatError, OutputExists, StoreError
from ann2neo.store import layout


def _files(path):
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}


def test_only_the_units_that_are_looked_at_are_read(monkeypatch, tmp_path):
    """With every other chunk removed from under it, an open recording still gives the units whose chunks are there, and no others."""
    monkeypatch.setattr(layout, "CHUNK_BYTES", 40)
    recording = small_recording(40, 80, n_passes=1)
    ann2neo.save(recording, tmp_path / "a.zarr")
    opened = ann2neo.load(tmp_path / "a.zarr")
    chunks = opened.layers[1].raster.packed.chunks
    assert chunks == (1, 4, 10)
    for chunk in range(1, 10):
        (tmp_path / f"a.zarr/layers/1/bits/0.{chunk}.0").unlink()
    expected = recording.raster("fc/relu:1")
    assert np.array_equal(opened.layers[1].raster.dense(slice(0, 4)), expected[:4])
    assert np.array_equal(opened.select(units=[2, 0]).raster("fc/relu:1"), expected[[2, 0]])
    with pytest.raises(StoreError, match=r"0\.1\.0 cannot be read(?s:.*)silence"):
        opened.layers[1].raster.dense(slice(4, 8))


def test_silent_units_are_on_the_disk(tmp_path):
    """Chunks without a spike are written, so that a lost chunk can be told from silence."""
    ann2neo.save(ann2neo.from_array(np.zeros((9, 3), bool)), tmp_path / "a.zarr")
    assert "layers/0/bits/0.0.0" in _files(tmp_path / "a.zarr")
    assert ann2neo.load(tmp_path / "a.zarr").raster("array").sum() == 0


def test_a_lost_chunk_is_noticed(monkeypatch, tmp_path):
    """A store that lacks a chunk is refused and not read as silence."""
    monkeypatch.setattr(layout, "CHUNK_BYTES", 40)
    ann2neo.save(small_recording(40, 80), tmp_path / "a.zarr")
    (tmp_path / "a.zarr/layers/1/bits/1.2.0").unlink()
    with pytest.raises(StoreError, match="lacks 1 of 20 chunks of layer 'fc/relu:1'"):
        ann2neo.load(tmp_path / "a.zarr")


@pytest.mark.parametrize("lost", ["layers/1", "trials", ".zattrs", "layers/0/thresholds/.zarray"])
def test_a_damaged_store_is_refused(lost, tmp_path):
    """Whatever is missing, the error is one of ours."""
    path = tmp_path / "a.zarr"
    ann2neo.save(small_recording(), path)
    if (path / lost).is_dir():
        shutil.rmtree(path / lost)
    else:
        (path / lost).unlink()
    with pytest.raises(FormatError):
        ann2neo.load(path)


def test_it_is_plain_zarr_of_format_2(tmp_path):
    """Without ann2neo the bits, units and thresholds are there under numbers, and the names are values."""
    recording = small_recording()
    ann2neo.save(recording, tmp_path / "a.zarr")
    root = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    assert [layer["name"] for layer in root.attrs["layers"]] == ["features.3", "fc/relu:1"]
    assert (root.attrs["schema"], root.attrs["bin_size_ms"], root.attrs["n_bins"]) == ("ann2neo/1", 1.0, 120)
    assert root.attrs["provenance"]["model_class"] == "Sequential"
    bits = np.unpackbits(root["layers/1/bits"][:], axis=2, count=60)
    assert np.array_equal(np.concatenate(list(bits), axis=1), recording.raster("fc/relu:1"))
    assert {".zgroup", ".zattrs", "layers/0/bits/.zarray"} <= _files(tmp_path / "a.zarr")
    assert not any("zarr.json" in name for name in _files(tmp_path / "a.zarr"))


def test_a_store_of_many_bins_has_several_chunks_of_bins(monkeypatch, tmp_path):
    """Chunks of bins are put together in order."""
    monkeypatch.setattr(layout, "CHUNK_BINS_IN_BYTES", 4)
    recording = small_recording(4, 100)
    ann2neo.save(recording, tmp_path / "a.zarr")
    opened = ann2neo.load(tmp_path / "a.zarr")
    assert opened.layers[0].raster.packed.chunks[2] == 4
    assert opened.identical(recording)


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    """Only a store is replaced by a store, and an empty folder."""
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists, match="holds files that ann2neo did not write"):
        ann2neo.save(small_recording(), tmp_path / "a.zarr", overwrite=True)
    (tmp_path / "a.zarr" / "mine.txt").unlink()
    ann2neo.save(small_recording(), tmp_path / "a.zarr", overwrite=True)
    assert ann2neo.load(tmp_path / "a.zarr").identical(small_recording())


def test_a_stored_view_is_viewed_again(tmp_path):
    """Selecting and arranging an open store gives what it gives in memory, and can be stored in its turn."""
    recording = small_recording()
    ann2neo.save(recording, tmp_path / "a.zarr")
    opened = ann2neo.load(tmp_path / "a.zarr").select(layers="fc*", units=[5, 1]).arrange("shuffled", seed=1)
    expected = recording.select(layers="fc*", units=[5, 1]).arrange("shuffled", seed=1)
    assert opened.identical(expected)
    ann2neo.save(opened, tmp_path / "b.zarr")
    assert ann2neo.load(tmp_path / "b.zarr").identical(expected)
    ann2neo.save(opened, tmp_path / "a.zarr", overwrite=True)
    assert ann2neo.load(tmp_path / "a.zarr").identical(expected)


def test_bits_on_the_disk_have_what_an_array_of_zarr_has(tmp_path):
    """Sizes and values are those that zarr itself reports of the same folder, for code that was written for either."""
    recording = small_recording(40, 80)
    ann2neo.save(recording, tmp_path / "a.zarr")
    bits = ann2neo.load(tmp_path / "a.zarr").layers[1].raster.packed
    expected = zarr.open_array(str(tmp_path / "a.zarr/layers/1/bits"), mode="r")
    for name in ("shape", "chunks", "dtype", "ndim", "size", "nbytes"):
        assert getattr(bits, name) == getattr(expected, name), name
    assert len(bits) == expected.shape[0]
    assert np.array_equal(np.asarray(bits), expected[:])
    assert np.asarray(bits, dtype=np.int64).dtype == np.int64
    units, known = layout.open_group(tmp_path / "a.zarr")["layers/1/units"], recording.layers[1].units
    assert np.array_equal(np.asarray(units), known)
    assert len(units) == known.size
    with pytest.raises(ValueError, match="without a copy"):
        np.array(bits, copy=False)


def test_units_are_read_in_any_order_and_as_often_as_asked(monkeypatch, tmp_path):
    """Indices that repeat, skip or turn back give what they give on a NumPy array, also where they begin and end as a row of units does."""
    monkeypatch.setattr(layout, "CHUNK_BYTES", 40)
    recording = ann2neo.from_array(np.random.default_rng(0).random((70, 9)) < 0.5)
    ann2neo.save(recording, tmp_path / "r.zarr")
    bits, packed = layout.open_group(tmp_path / "r.zarr")["layers/0/bits"], recording.layers[0].raster.packed
    assert bits.chunks == (1, 4, 9)
    for units in ([0, 1, 1, 3], [0, 2, 1, 3], [3, 2, 1, 0], [0, 1, 2, 3], [2], [2, 2], [8, 0, 5, 4, 6, 7, 7], []):
        for some in ([0, 1, 2], [0, 2, 1, 3], [8, 0]):
            expected = packed[0][np.ix_(np.array(units, int), some)]
            np.testing.assert_array_equal(bits[0, np.array(units, int), np.array(some)], expected)


@pytest.mark.parametrize(
    ("n_units", "n_bytes", "units"), [(1, 1, 1), (5, 1, 5), (500, 1, 100), (9, 30, 3), (9, 200, 1), (9, 0, 9)]
)
def test_a_chunk_holds_as_many_units_as_its_bytes(n_units, n_bytes, units):
    """As many as fit, all of them if there are fewer, and one that is too large alone."""
    assert layout.units_per_chunk(n_units, n_bytes, 100) == units
