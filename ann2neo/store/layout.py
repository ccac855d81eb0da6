"""Layout of a recording in a folder: groups, arrays and chunks of Zarr format 2."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from ann2neo.files import read_content
from ann2neo.ownership import Marker, files_of
from ann2neo.recording import Layer
from ann2neo.store.chunked import (
    DESCRIPTION,
    ChunkedArray,
    chunk_checksum,
    compression,
    described,
    read_description,
    stamp_of,
)
from ann2neo.store.log import LOG, write_whole
from ann2neo.store.sums import ATTRIBUTES, Sums, read_attributes, read_sums, read_verified

CHUNK_BINS_IN_BYTES = 1 << 13
CHUNK_BYTES = 1 << 20
GROWING_CHUNK_BYTES = 1 << 17
MIN_COLUMN_BINS = 1 << 10
MAX_COLUMN_BINS = 1 << 16
COLUMN_BYTES = 1 << 22
COLUMNS_PER_PASS = 8
# Every group of format 2 holds this file.
GROUP_FILE = ".zgroup"
STORED = re.compile(
    r"(\.zattrs|\.zmetadata|checksums(-of-growing)?\.json|log/(recording\.json|order\.npz|\d+\.\d+\.(json|begun))|"
    r"((layers(/\d+)?|trials|bins)/)?\.zgroup|(layers/\d+/(bits|units|thresholds)|(trials|bins)/\d+)/(\.zarray|\.zattrs|[\d.]+))(\.\w+\.partial)?"
)
GROUP = json.dumps({"zarr_format": 2}).encode()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """An open store: its attributes, and its arrays by their paths in it.

    Parameters
    ----------
    path
        Its folder, absolute, so that later reads do not depend on the working directory.
    attrs
        Its attributes.
    sums
        Its check sums; None if it was written without them.
    """

    path: Path
    attrs: Mapping[str, Any]
    sums: Sums | None

    def __getitem__(self, name: str) -> ChunkedArray:
        """Open an array; its chunks are verified when they are read."""
        folder = self.path / name
        known = name in self.sums.chunks if self.sums is not None else False
        content = read_verified(self.path, f"{name}/{DESCRIPTION}", self.sums if known else None)
        array = read_description(content, folder)
        if not known or self.sums is None:
            return replace(array, stamp=None if self.attrs.get("complete") is False else stamp_of(folder))
        return replace(array, checksums=self.sums.chunks[name])


def new_group(path: Path) -> None:
    """Create a group in a new folder."""
    path.mkdir()
    write_whole(path / GROUP_FILE, GROUP)


def open_group(path: Path) -> Group:
    """Open the group in a folder."""
    path = Path(path).absolute()
    return Group(path=path, attrs=read_attributes(path), sums=read_sums(path))


def new_array(root: Path, name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype) -> ChunkedArray:
    """Write the description of an array; all chunks are still to be written, also those of zeros."""
    folder = root / name
    folder.mkdir(parents=True)
    for parent in folder.relative_to(root).parents[:-1]:
        if not (root / parent / GROUP_FILE).exists():
            write_whole(root / parent / GROUP_FILE, GROUP)
    write_whole(folder / DESCRIPTION, described(shape, chunks, dtype))
    return ChunkedArray(path=folder, shape=shape, chunks=chunks, dtype=dtype)


def write_chunk(array: ChunkedArray, place: tuple[int, ...], values: Shaped[np.ndarray, "*axis"]) -> int:
    """Write a chunk, padded with zeros, and return its check sum."""
    if values.shape != array.chunks:
        full = np.zeros(array.chunks, array.dtype)
        full[tuple(slice(size) for size in values.shape)] = values
        values = full
    content = compression().encode(np.ascontiguousarray(values, array.dtype))
    write_whole(array.path / ".".join(map(str, place)), content)
    return chunk_checksum(content)


def write_values(root: Path, name: str, values: Shaped[np.ndarray, " value"]) -> list[int]:
    """Write an array of one axis, and return the check sum of each chunk."""
    step = max(1, min(values.size, CHUNK_BYTES // values.dtype.itemsize))
    array = new_array(root, name, values.shape, (step,), values.dtype)
    return [
        write_chunk(array, (number,), values[first : first + step])
        for number, first in enumerate(range(0, values.size, step))
    ]


def write_bins(root: Path, bins: pd.DataFrame | None) -> dict[str, list[int]]:
    """Write the table of bins column by column, and return the check sums of their chunks; write nothing if there is no table."""
    columns = [] if bins is None else [bins[name].to_numpy() for name in bins.columns]
    return {f"bins/{i}": write_values(root, f"bins/{i}", values) for i, values in enumerate(columns)}


def new_layer(
    root: Path, place: str, layer: Layer, *, n_passes: int, n_bytes: int, chunks: tuple[int, int, int]
) -> tuple[ChunkedArray, dict[str, list[int]]]:
    """Create the arrays of a layer; return its bits, which are still to be written, and the check sums of the other arrays."""
    bits = new_array(root, f"{place}/bits", (n_passes, layer.n_units, n_bytes), chunks, np.dtype(np.uint8))
    units = write_values(root, f"{place}/units", layer.units)
    thresholds = write_values(root, f"{place}/thresholds", layer.thresholds)
    return bits, {f"{place}/units": units, f"{place}/thresholds": thresholds}


def resize(bits: ChunkedArray, n_bytes: int) -> None:
    """Change the number of bytes of each unit in the description of an array; chunks stay as they are."""
    shape = (*bits.shape[:2], n_bytes)
    write_whole(bits.path / DESCRIPTION, described(shape, bits.chunks, bits.dtype))


def open_bits(path: Path, layer: int) -> ChunkedArray:
    """Open the bits of a layer of a store that grows."""
    folder = path.absolute() / f"layers/{layer}/bits"
    return read_description(read_verified(path, f"layers/{layer}/bits/{DESCRIPTION}", None), folder)


def file_sums(path: Path, chunks: Mapping[str, Sequence[int]]) -> Sums:
    """Add the check sums of all other files that are read to those of the chunks."""
    names = [f"{name}/{DESCRIPTION}" for name in chunks]
    names += [file.relative_to(path).as_posix() for file in sorted((path / LOG).glob("*"))]
    return Sums(files={name: zlib.crc32((path / name).read_bytes()) for name in names}, chunks=chunks)


def units_per_chunk(n_units: int, n_bytes: int, chunk_bytes: int) -> int:
    """Return how many units share a chunk in which each has ``n_bytes`` bytes."""
    return max(1, min(n_units, chunk_bytes // max(n_bytes, 1)))


def column_bins(n_units: int, n_bins: int | None, *, n_processes: int = 1) -> int:
    """Choose the number of bins that are written at once: a power of two, large enough for few calls and small enough to lose little.

    Parameters
    ----------
    n_units
        Units of all layers.
    n_bins
        Bins of one pass; None if unknown.
    n_processes
        Number of processes that share the columns.

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


def strangers(path: Path) -> list[str]:
    """List the files in a folder that do not belong to an ann2neo store; all files, where the folder is not a store."""
    try:
        attributes = json.loads(read_content(path / ATTRIBUTES))
        ours = isinstance(attributes, dict) and str(attributes.get("schema")).startswith("ann2neo/")
    except OSError:
        ours = False
    except (ValueError, RecursionError):
        # The store is damaged, so that only its arrays identify it.
        ours = all((path / f"layers/0/{part}/{DESCRIPTION}").is_file() for part in ("bits", "units", "thresholds"))
    return [name for name in files_of(path) if not ours or not STORED.fullmatch(name)]


MARKER = Marker(kind="a store", strangers=strangers)
