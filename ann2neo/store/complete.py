"""Whole recordings in and out of a store."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ann2neo.atomic import complete_or_absent
from ann2neo.errors import Ann2NeoError, FormatError, StoreError
from ann2neo.outline import check_schema, outline_of, restore_trials, trial_column_names
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording
from ann2neo.store import layout
from ann2neo.store.growing import open_growing
from ann2neo.store.log import HEAD, LOG, read_log
from ann2neo.store.unfinished import open_unfinished


def save(recording: Recording, path: Path, *, overwrite: bool = False) -> None:
    """Write a recording to a new store, some units at a time; see `ann2neo.formats.save`."""
    outline = outline_of(recording)
    with complete_or_absent(path, overwrite=overwrite, marker=layout.MARKER) as part:
        root = layout.new_group(part)
        root.attrs.update(outline | {"n_bins": recording.n_bins, "complete": True})
        for number, layer in enumerate(recording.layers):
            _write_layer(root, f"layers/{number}", layer)
        for number, name in enumerate(trial_column_names(outline)):
            layout.write_values(root, f"trials/{number}", np.array(recording.trials[name].tolist()))


def load(path: Path) -> Recording:
    """Open a store; see `ann2neo.formats.load`.

    Raises
    ------
    StoreError
        If a part of the store is missing.
    """
    try:
        return _recording(layout.open_group(path), path)
    except Ann2NeoError:
        raise
    # Zarr of versions 2 and 3 fail on a damaged or foreign folder in many ways, each of which means the same.
    except Exception as error:
        raise FormatError(
            f"{path} cannot be read as a store ({type(error).__name__}: {error}).",
            "It was not written by ann2neo, or it is damaged.",
            "Get it again, or record anew.",
        ) from error


def _recording(root: Any, path: Path) -> Recording:
    outline = dict(root.attrs)
    if "schema" not in outline:
        raise FormatError(
            f"{path} was not written by ann2neo.", "It names no layers and no trials.", "Give a store made by `save`."
        )
    check_schema(str(outline["schema"]), str(path))
    if not outline.get("complete", True):
        return open_unfinished(path)
    columns = {name: root[f"trials/{i}"][:].tolist() for i, name in enumerate(trial_column_names(outline))}
    n_bins = int(outline["n_bins"]) // int(outline["n_passes"])
    return Recording(
        layers=tuple(_layer(root, f"layers/{i}", entry, n_bins, path) for i, entry in enumerate(outline["layers"])),
        trials=restore_trials(columns, outline),
        bin_size_ms=outline["bin_size_ms"],
        provenance=outline["provenance"],
    )


def _layer(root: Any, place: str, entry: dict[str, Any], n_bins: int, path: Path) -> Layer:
    bits = root[f"{place}/bits"]
    # A chunk that is not there reads as zeros, which would be silence.
    if bits.nchunks_initialized != bits.nchunks:
        raise StoreError(
            f"{path} lacks {bits.nchunks - bits.nchunks_initialized} of {bits.nchunks} chunks of layer {entry['name']!r}.",
            "The missing spikes would read as silence.",
            "Copy the whole folder again, or record anew.",
        )
    return Layer(
        name=entry["name"],
        shape=tuple(entry["shape"]),
        dtype=entry["dtype"],
        units=root[f"{place}/units"][:].astype(entry["units_dtype"]),
        thresholds=root[f"{place}/thresholds"][:].astype(entry["thresholds_dtype"]),
        raster=Raster(packed=bits, n_bins=n_bins),
    )


def _write_layer(root: Any, place: str, layer: Layer) -> None:
    raster = layer.raster
    n_bytes = -(-raster.n_bins // 8)
    width = min(n_bytes, layout.CHUNK_BINS_IN_BYTES)
    chunks = (1, layout.units_per_chunk(raster.n_units, width, layout.CHUNK_BYTES), width)
    bits = layout.new_layer(root, place, layer, n_passes=raster.n_passes, n_bytes=n_bytes, chunks=chunks)
    for units in _whole_chunks(raster, chunks[1]):
        bits[:, units] = raster.bits(units)


def _whole_chunks(raster: Raster, step: int) -> Iterator[slice]:
    """Cut the units where chunks end, so that each chunk is written once."""
    for first in range(0, raster.n_units, step):
        yield slice(first, min(first + step, raster.n_units))


def check(path: Path) -> None:
    """Read every column that was recorded into a store and compare it with its checksum; a store saved as a whole has none.

    Raises
    ------
    StoreError
        If bits are not those that were recorded.
    """
    if not (path / LOG / HEAD).is_file():
        return
    width = open_growing(path).column_bins // 8
    root = layout.open_group(path)
    for (pass_number, number), column in sorted(read_log(path).items()):
        where = slice(number * width, number * width - (-column.n_bins // 8))
        for layer, crc in enumerate(column.crc32):
            found = np.ascontiguousarray(root[f"layers/{layer}/bits"][pass_number, :, where])
            if zlib.crc32(found.data) != crc:
                raise StoreError(
                    f"{path} is damaged in column {number} of pass {pass_number}, layer {root.attrs['layers'][layer]['name']!r}.",
                    "Its bits are not those that were recorded.",
                    "Copy the whole folder again, or record anew.",
                )
