"""The store: a recording as packed bits in a folder, of which only what is looked at is read.

The folder is Zarr of format 2 and needs no ann2neo to be read. Arrays are numbered and names are values in the attributes, since names of layers may be
anything: ``layers/0/bits`` (pass, unit, byte; bits as `numpy.packbits` lays them out, every pass begins on a byte), ``layers/0/units``,
``layers/0/thresholds``, and so on; ``trials/0`` and so on are the columns of the table of trials, in the order of the attribute ``trial_columns``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from jaxtyping import Shaped

from ann2neo.atomic import complete_or_absent
from ann2neo.errors import Ann2NeoError, FormatError, StoreError
from ann2neo.outline import check_schema, outline_of, restore_trials, trial_column_names
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording

CHUNK_BINS_IN_BYTES = 1 << 13
CHUNK_BYTES = 1 << 20
# Every group of format 2 holds this file: only such a folder is ever replaced.
MARKER = ".zgroup"


def save(recording: Recording, path: Path, *, overwrite: bool = False) -> None:
    """Write a recording to a new store, some units at a time; see `ann2neo.formats.save`."""
    outline = outline_of(recording)
    with complete_or_absent(path, overwrite=overwrite, marker=MARKER) as part:
        root = _new_group(part)
        root.attrs.update(outline | {"n_bins": recording.n_bins})
        for number, layer in enumerate(recording.layers):
            _write_layer(root, f"layers/{number}", layer)
        for number, name in enumerate(trial_column_names(outline)):
            _write(root, f"trials/{number}", np.array(recording.trials[name].tolist()))


def load(path: Path) -> Recording:
    """Open a store; see `ann2neo.formats.load`.

    Raises
    ------
    StoreError
        If a part of the store is missing.
    """
    try:
        return _recording(zarr.open_group(str(path), mode="r"), path)
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
    n_units = max(1, CHUNK_BYTES // min(n_bytes, CHUNK_BINS_IN_BYTES))
    chunks = (1, max(1, min(n_units, raster.n_units)), min(n_bytes, CHUNK_BINS_IN_BYTES))
    bits = _new_array(root, f"{place}/bits", (raster.n_passes, raster.n_units, n_bytes), chunks, np.dtype(np.uint8))
    for units in _whole_chunks(raster, chunks[1]):
        bits[:, units] = raster.bits(units)
    _write(root, f"{place}/units", layer.units)
    _write(root, f"{place}/thresholds", layer.thresholds)


def _whole_chunks(raster: Raster, step: int) -> Iterator[slice]:
    """Cut the units where chunks end, so that each chunk is written once."""
    for first in range(0, raster.n_units, step):
        yield slice(first, min(first + step, raster.n_units))


def _write(root: Any, name: str, values: Shaped[np.ndarray, " value"]) -> None:
    chunk = max(1, min(values.size, CHUNK_BYTES // values.dtype.itemsize))
    _new_array(root, name, values.shape, (chunk,), values.dtype)[:] = values


def _new_group(path: Path) -> Any:
    # Zarr 2 writes format 2 and knows no such parameter.
    chosen: dict[str, Any] = {} if zarr.__version__.startswith("2.") else {"zarr_format": 2}
    return zarr.open_group(str(path), mode="w", **chosen)


def _new_array(root: Any, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype) -> Any:
    compressor = numcodecs.Zstd(level=1)
    if zarr.__version__.startswith("2."):
        return root.create_dataset(
            name, shape=shape, chunks=chunks, dtype=dtype, compressor=compressor, write_empty_chunks=True
        )
    return root.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        compressors=compressor,
        config={"write_empty_chunks": True},
    )
