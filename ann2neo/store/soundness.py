"""Soundness: every byte of a store compared with its check sum."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ann2neo.errors import FormatError, StoreError
from ann2neo.files import read_content
from ann2neo.integrity import damaged, warn_of_none
from ann2neo.store.chunked import ChunkedArray, frame_checksum
from ann2neo.store.growing import Growing, open_growing
from ann2neo.store.layout import GROUP_FILE, open_group
from ann2neo.store.log import HEAD, LOG, Column, is_whole, prefix, read_log
from ann2neo.store.sums import Sums, read_verified


def check(path: Path) -> list[str]:
    """Read every file of a store, compare it with its check sum, and return the names of the parts that were compared.

    Raises
    ------
    StoreError, FormatError
        If something is missing or differs from what was written.
    """
    root = open_group(path)
    wrong = [] if (path / GROUP_FILE).is_file() else [GROUP_FILE]
    right = ["attributes"]
    if root.sums is not None:
        for name, is_right in _compared(path, root.sums):
            (right if is_right else wrong).append(name)
    elif root.attrs.get("complete", True):
        warn_of_none(path)
    if (path / LOG / HEAD).is_file():
        growing, log = open_growing(path), read_log(path)
        if root.attrs.get("complete", True) and not all(is_whole(prefix(log, p)) for p in range(growing.n_passes)):
            wrong.append(LOG)
        bad = unsound_columns(growing, log)
        wrong += [f"column {number} of pass {p} ({reason})" for (p, number), reason in bad.items()]
        right += [f"column {number} of pass {p}" for p, number in sorted(log) if (p, number) not in bad]
    if wrong:
        raise damaged(path, wrong, StoreError)
    return right


def unsound_columns(
    growing: Growing, log: Mapping[tuple[int, int], Column] | None = None
) -> dict[tuple[int, int], str]:
    """Return the fault of each column that the log lists but whose chunks are missing or damaged, by pass and number.

    After a loss of power the log may list a column whose chunks never reached the disk.
    """
    columns = read_log(growing.path) if log is None else log
    found = {place: _fault(growing, column) for place, column in sorted(columns.items())}
    return {place: fault for place, fault in found.items() if fault}


def sound_columns(growing: Growing) -> dict[tuple[int, int], Column]:
    """Read the columns that are recorded and intact on the disk, by pass and number; all others must be recorded again."""
    log = read_log(growing.path)
    bad = unsound_columns(growing, log)
    return {place: column for place, column in log.items() if place not in bad}


def _fault(growing: Growing, column: Column) -> str:
    """Return what is wrong with the chunks of a column; an empty text if nothing is."""
    if not column.n_bins:
        return ""
    if len(column.checksums) != len(growing.layers):
        return "its entry in the log does not fit the layers"
    for number, layer in enumerate(growing.layers):
        known = column.checksums[number]
        array = _array(growing, column, number)
        names = [f"{column.pass_number}.{chunk}.{column.number}" for chunk in range(array.grid[1])]
        if not all((array.path / name).is_file() for name in names):
            return f"a chunk of layer {layer.name!r} is missing"
        if not (_has_bits(array, column, known) if isinstance(known, int) else _has_chunks(array, column, known)):
            return f"layer {layer.name!r} is damaged"
    return ""


def _array(growing: Growing, column: Column, number: int) -> ChunkedArray:
    """Open the bits of a layer up to a column, even where their description states another size."""
    layer = growing.layers[number]
    units, width = growing.chunk_shape(layer)
    shape = (column.pass_number + 1, layer.n_units, (column.number + 1) * width)
    folder = growing.path.absolute() / f"layers/{number}/bits"
    return ChunkedArray(path=folder, shape=shape, chunks=(1, units, width), dtype=np.dtype(np.uint8))


def _has_chunks(array: ChunkedArray, column: Column, known: Sequence[int]) -> bool:
    """Return whether the chunks of a column are those that were written."""
    if len(known) != array.grid[1]:
        return False
    places = [(column.pass_number, chunk, column.number) for chunk in range(array.grid[1])]
    try:
        for place in places:
            array.chunk(place)
        return [frame_checksum(read_content(array.path / ".".join(map(str, place)))) for place in places] == list(known)
    except (FormatError, OSError):
        return False


def _has_bits(array: ChunkedArray, column: Column, known: int) -> bool:
    """Return whether the bits of a layer agree with the check sum that ann2neo 0.1.0 stored."""
    first = column.number * array.chunks[2]
    try:
        found = array[column.pass_number, slice(None), slice(first, first + -(-column.n_bins // 8))]
    except FormatError:
        return False
    return zlib.crc32(np.ascontiguousarray(found).data) == known


def _compared(path: Path, sums: Sums) -> Iterator[tuple[str, bool]]:
    """Compare each file and each array of a store."""
    for name in sums.files:
        yield name, _is_right(path, name, sums)
    root = open_group(path)
    for name in sums.chunks:
        yield name, _is_whole_array(root[name]) if _is_right(path, f"{name}/.zarray", sums) else False


def _is_right(path: Path, name: str, sums: Sums) -> bool:
    try:
        read_verified(path, name, sums)
    except FormatError:
        return False
    return True


def _is_whole_array(array: ChunkedArray) -> bool:
    """Return whether every chunk exists, has its check sum and can be decoded."""
    try:
        for place in np.ndindex(array.grid):
            array.chunk(place)
    except FormatError:
        return False
    return True
