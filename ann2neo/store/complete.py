"""Saving a whole recording to a store, and opening one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ann2neo.atomic import complete_or_absent
from ann2neo.errors import Ann2NeoError, FormatError, StoreError
from ann2neo.integrity import warn_of_none
from ann2neo.outline import bin_column_names, outline_of, restore_bins, restore_trials, trial_column_names
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording
from ann2neo.store import layout
from ann2neo.store.chunked import ChunkedArray
from ann2neo.store.sums import write_sealed
from ann2neo.store.unfinished import open_unfinished


def save(recording: Recording, path: Path, *, overwrite: bool = False) -> None:
    """Write a recording to a new store, some units at a time; see `ann2neo.formats.save`."""
    outline = outline_of(recording)
    with complete_or_absent(path, overwrite=overwrite, marker=layout.MARKER) as part:
        layout.new_group(part)
        chunks: dict[str, list[int]] = {}
        for number, layer in enumerate(recording.layers):
            chunks |= _write_layer(part, f"layers/{number}", layer)
        for number, name in enumerate(trial_column_names(outline)):
            values = np.array(recording.trials[name].tolist())
            chunks[f"trials/{number}"] = layout.write_values(part, f"trials/{number}", values)
        chunks |= layout.write_bins(part, recording.bins)
        known = outline | {"n_bins": recording.n_bins, "complete": True}
        write_sealed(part, known, layout.file_sums(part, chunks))


def load(path: Path) -> Recording:
    """Open a store; see `ann2neo.formats.load`.

    Raises
    ------
    FormatError
        If it was not written by ann2neo.
    StoreError
        If a part of the store is missing, or differs from what was written.
    """
    try:
        return _recording(path)
    except Ann2NeoError:
        raise
    # A damaged store may raise many kinds of exception; all mean the same.
    except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise FormatError(
            f"{path} cannot be read as a store ({type(error).__name__}: {str(error)[:200]}).",
            "It was not written by ann2neo, or it is damaged.",
            "Get it again, or record again.",
        ) from error


def _recording(path: Path) -> Recording:
    if not (path / layout.GROUP_FILE).is_file():
        raise FormatError(
            f"{path} cannot be read as a store: it lacks {layout.GROUP_FILE}.",
            "It was not written by ann2neo, or it is damaged.",
            "Get it again, or record again.",
        )
    root = layout.open_group(path)
    outline: dict[str, Any] = dict(root.attrs)
    if not outline.get("complete", True):
        return open_unfinished(path)
    columns = {name: root[f"trials/{i}"].values().tolist() for i, name in enumerate(trial_column_names(outline))}
    of_bins = {name: root[f"bins/{i}"].values() for i, name in enumerate(bin_column_names(outline))}
    n_bins = int(outline["n_bins"]) // int(outline["n_passes"])
    recording = Recording(
        layers=tuple(_layer(root, f"layers/{i}", entry, n_bins) for i, entry in enumerate(outline["layers"])),
        trials=restore_trials(columns, outline),
        bin_size_ms=outline["bin_size_ms"],
        provenance=outline["provenance"],
        bins=restore_bins(of_bins, outline),
    )
    if root.sums is None:
        warn_of_none(path)
    return recording


def _layer(root: layout.Group, place: str, entry: dict[str, Any], n_bins: int) -> Layer:
    bits = root[f"{place}/bits"]
    # Checked now rather than in the middle of an analysis; each chunk is verified when it is read.
    if lost := bits.n_missing():
        raise StoreError(
            f"{root.path} lacks {lost} of {math.prod(bits.grid)} chunks of layer {entry['name']!r}.",
            "The missing spikes would read as silence.",
            "Copy the whole folder again, or record again.",
        )
    return Layer(
        name=entry["name"],
        shape=tuple(entry["shape"]),
        dtype=entry["dtype"],
        units=root[f"{place}/units"].values().astype(entry["units_dtype"]),
        thresholds=root[f"{place}/thresholds"].values().astype(entry["thresholds_dtype"]),
        raster=Raster(packed=bits, n_bins=n_bins),
    )


def _write_layer(root: Path, place: str, layer: Layer) -> dict[str, list[int]]:
    raster = layer.raster
    n_bytes = -(-raster.n_bins // 8)
    width = max(1, min(n_bytes, layout.CHUNK_BINS_IN_BYTES))
    chunks = (1, layout.units_per_chunk(raster.n_units, width, layout.CHUNK_BYTES), width)
    bits, crc = layout.new_layer(root, place, layer, n_passes=raster.n_passes, n_bytes=n_bytes, chunks=chunks)
    by_units = [_write_units(bits, number, raster.bits(units)) for number, units in enumerate(_whole_chunks(bits))]
    # Check sums in the order of the chunks: pass, then units, then bytes.
    crc[f"{place}/bits"] = [c for p in range(raster.n_passes) for of_units in by_units for c in of_units[p]]
    return crc


def _write_units(bits: ChunkedArray, number: int, packed: np.ndarray) -> list[list[int]]:
    """Write the chunks of some units in all passes, and return their check sums by pass."""
    width = bits.chunks[2]
    return [
        [
            layout.write_chunk(bits, (p, number, i), packed[p : p + 1, :, i * width : (i + 1) * width])
            for i in range(bits.grid[2])
        ]
        for p in range(bits.shape[0])
    ]


def _whole_chunks(bits: ChunkedArray) -> Iterator[slice]:
    """Split the units where chunks end, so that each chunk is written once."""
    for first in range(0, bits.shape[1], bits.chunks[1]):
        yield slice(first, min(first + bits.chunks[1], bits.shape[1]))
