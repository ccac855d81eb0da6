"""How a recording lies in a folder: groups, arrays and chunks of Zarr format 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from jaxtyping import Shaped, UInt8

from ann2neo.recording import Layer

CHUNK_BINS_IN_BYTES = 1 << 13
CHUNK_BYTES = 1 << 20
GROWING_CHUNK_BYTES = 1 << 17
MIN_COLUMN_BINS = 1 << 10
MAX_COLUMN_BINS = 1 << 16
COLUMN_BYTES = 1 << 22
COLUMNS_PER_PASS = 8
# Every group of format 2 holds this file: only such a folder is ever replaced.
MARKER = ".zgroup"


def new_group(path: Path) -> Any:
    """Make a group in a new folder."""
    # Made here, because Zarr says of a folder that cannot be made only which file it lacks.
    path.mkdir()
    # Zarr 2 writes format 2 and knows no such parameter.
    chosen: dict[str, Any] = {} if zarr.__version__.startswith("2.") else {"zarr_format": 2}
    return zarr.open_group(str(path), mode="w", **chosen)


def open_group(path: Path, *, write: bool = False) -> Any:
    """Open the group in a folder."""
    return zarr.open_group(str(path), mode="r+" if write else "r")


def new_array(root: Any, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype) -> Any:
    """Make an array all of whose chunks will be on the disk, also those of zeros."""
    compressor = compression()
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


def compression() -> numcodecs.Zstd:
    """Make what compresses all chunks."""
    return numcodecs.Zstd(level=1)


def encoded_chunks(bits: UInt8[np.ndarray, "unit byte"], *, n_units: int, width: int) -> Iterator[tuple[int, bytes]]:
    """Encode the bits of a column of chunks as Zarr does: number and content of each, filled up with zeros to its size.

    Parameters
    ----------
    bits
        Bits of all units, not wider than a chunk.
    n_units, width
        Units and bytes of a chunk.

    Examples
    --------
    >>> chunks = dict(encoded_chunks(np.ones((5, 2), np.uint8), n_units=3, width=4))
    >>> list(chunks), np.frombuffer(compression().decode(chunks[1]), np.uint8).reshape(3, 4).sum(axis=1).tolist()
    ([0, 1], [2, 2, 0])
    """
    codec = compression()
    for number, first in enumerate(range(0, len(bits), n_units)):
        part = bits[first : first + n_units]
        if part.shape != (n_units, width):
            part = np.pad(part, ((0, n_units - part.shape[0]), (0, width - part.shape[1])))
        yield number, codec.encode(np.ascontiguousarray(part))


def open_bits(path: Path, layer: int) -> Any:
    """Open the bits of a layer to be written, zeros too."""
    place = f"{path}/layers/{layer}/bits"
    if zarr.__version__.startswith("2."):
        return zarr.open_array(place, mode="r+", write_empty_chunks=True)
    return zarr.open_array(place, mode="r+", config={"write_empty_chunks": True})


def write_values(root: Any, name: str, values: Shaped[np.ndarray, " value"]) -> None:
    """Write an array of one axis."""
    chunk = max(1, min(values.size, CHUNK_BYTES // values.dtype.itemsize))
    new_array(root, name, values.shape, (chunk,), values.dtype)[:] = values


def new_layer(root: Any, place: str, layer: Layer, *, n_passes: int, n_bytes: int, chunks: tuple[int, int, int]) -> Any:
    """Make the arrays of a layer; its bits are still to be written."""
    bits = new_array(root, f"{place}/bits", (n_passes, layer.n_units, n_bytes), chunks, np.dtype(np.uint8))
    write_values(root, f"{place}/units", layer.units)
    write_values(root, f"{place}/thresholds", layer.thresholds)
    return bits


def units_per_chunk(n_units: int, n_bytes: int, chunk_bytes: int) -> int:
    """Say how many units share a chunk in which each has so many bytes."""
    return max(1, min(n_units, chunk_bytes // max(n_bytes, 1)))


def column_bins(n_units: int, n_bins: int | None, *, n_processes: int = 1) -> int:
    """Choose how many bins are written at once: a power of two, so large that few calls are made, so small that little is lost.

    Parameters
    ----------
    n_units
        Units of all layers.
    n_bins
        Bins of one pass; None if that is not known.
    n_processes
        Number of processes among which the columns are dealt.

    Examples
    --------
    >>> column_bins(100_000, 100_000), column_bins(1536, 1_000_000), column_bins(1536, 60_000), column_bins(10, None)
    (1024, 32768, 4096, 65536)
    """
    n_bins_of_column = MIN_COLUMN_BINS
    most = MAX_COLUMN_BINS if n_bins is None else min(MAX_COLUMN_BINS, n_bins // (COLUMNS_PER_PASS * n_processes))
    while n_bins_of_column * n_units < 8 * COLUMN_BYTES and 2 * n_bins_of_column <= most:
        n_bins_of_column *= 2
    return n_bins_of_column
