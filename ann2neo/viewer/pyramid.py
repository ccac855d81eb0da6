"""A pyramid of spike counts in blocks of units and bins, from single unit-bins to the whole recording."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int, UInt, UInt8, UInt32

from ann2neo.errors import RecordingError
from ann2neo.progress import progress_bar
from ann2neo.recording import Recording
from ann2neo.viewer.rows import gather, packed_rows

# Blocks along one side of a tile.
SIDE = 256
# The smallest blocks whose counts are kept have 16 by 16 unit-bins; they are larger if their counts would take too much memory.
MIN_LEVEL, MOST_KEPT_BYTES = 4, 96 << 20
# Counts in blocks of more levels may not fit into 32 bits.
MOST_LEVELS = 31
STRIP_BYTES, MOST_STRIP_BYTES = 8 << 20, 128 << 20
WORDS = {6: np.uint64, 5: np.uint32, 4: np.uint16, 3: np.uint8}


@dataclass(frozen=True, slots=True, eq=False)
class Cache:
    """Arrays that were used last, up to a number of bytes; threads may share the cache."""

    most_bytes: int
    kept: OrderedDict[Any, np.ndarray] = field(default_factory=OrderedDict, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get(self, key: Any, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array of a key, or make it; the least recently used arrays are dropped."""
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
        made = make()
        with self.lock:
            self.kept[key] = made
            while len(self.kept) > 1 and sum(one.nbytes for one in self.kept.values()) > self.most_bytes:
                self.kept.popitem(last=False)
        return made


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pyramid:
    """Counts of spikes in blocks, and the bits for smaller blocks.

    Parameters
    ----------
    recording
        Recording whose spikes are counted, with the units of all layers and the bins of all passes in sequence.
    bins
        Bin that is shown at each position, shape (bin,); None for the arrangement of the recording.
    level
        Blocks of ``levels[0]`` have ``2**level`` units and as many bins; those of each next array are twice as long on both sides.
    levels
        Number of spikes in each block, shape (block of units, block of bins) each.
    n_spikes
        Number of spikes of each unit, shape (unit,).
    strips, beside
        Cache of bits, and cache of rows of tiles that were counted together.
    """

    recording: Recording
    bins: Int[np.ndarray, " bin"] | None
    level: int
    levels: tuple[np.ndarray, ...] = field(repr=False)
    n_spikes: Int[np.ndarray, " unit"] = field(repr=False)
    strips: Cache = field(default_factory=lambda: Cache(MOST_STRIP_BYTES), repr=False)
    beside: Cache = field(default_factory=lambda: Cache(MOST_KEPT_BYTES), repr=False)


def build_pyramid(
    recording: Recording, bins: Int[np.ndarray, " bin"] | None = None, *, progress: bool = False
) -> Pyramid:
    """Count the spikes of a recording in blocks, in one pass over its bits.

    Counts take at most 128 MiB for recordings of any size: the smallest blocks have 16 by 16 unit-bins up to about 7,000 million bits, and more beyond.

    Parameters
    ----------
    recording
        Recording whose spikes are counted.
    bins
        Bin to show at each position, shape (bin,); None for the arrangement of the recording.
    progress
        Whether to show a progress bar.

    Examples
    --------
    >>> import ann2neo
    >>> pyramid = build_pyramid(ann2neo.from_array(np.eye(40, dtype=bool)))
    >>> pyramid.levels[0].tolist(), pyramid.levels[-1].tolist()
    ([[16, 0, 0], [0, 16, 0], [0, 0, 8]], [[40]])
    """
    level = _smallest_level(recording)
    (n_units, n_bins), side = (recording.n_units, recording.n_bins), 1 << level
    smallest = np.zeros((-(-n_units // side), -(-n_bins // side)), np.uint32 if level >= 8 else np.uint16)
    n_spikes = np.zeros(n_units, np.int64)
    height = max(side, _strip_height(recording))
    for first in progress_bar(range(0, n_units, height), shown=progress, desc="counting spikes", unit="strip"):
        rows = _arranged(packed_rows(recording, first, min(first + height, n_units)), bins)
        n_spikes[first : first + height] = np.bitwise_count(rows).sum(axis=1, dtype=np.int64)
        counts = _count_units(_count_bins(rows, level, smallest.shape[1]), level, smallest.dtype)
        smallest[first // side : first // side + len(counts)] = counts
    levels = [smallest]
    while max(levels[-1].shape) > 1 and 2 * (level + len(levels)) <= MOST_LEVELS:
        levels.append(_halved(levels[-1]))
    return Pyramid(recording=recording, bins=bins, level=level, levels=tuple(levels), n_spikes=n_spikes)


def count_tile(pyramid: Pyramid, units: int, bins: int, row: int, column: int) -> UInt32[np.ndarray, "group block"]:
    """Count the spikes in each block of a tile.

    Block ``[y, x]`` holds ``2**units`` units from ``(256 * row + y) * 2**units`` and ``2**bins`` bins from ``(256 * column + x) * 2**bins``; positions after
    the last unit or bin count as silent.

    Parameters
    ----------
    pyramid
        Pyramid of the recording.
    units, bins
        Base-2 logarithms of the size of a block, at least 0, with a sum of at most 31.
    row, column
        Position of the tile among tiles of this size.

    Raises
    ------
    RecordingError
        If the tile does not exist.

    Examples
    --------
    >>> import ann2neo
    >>> pyramid = build_pyramid(ann2neo.from_array(np.eye(40, dtype=bool)))
    >>> count_tile(pyramid, 3, 3, 0, 0)[:2, :3]
    array([[8, 0, 0],
           [0, 8, 0]], dtype=uint32)
    """
    recording = pyramid.recording
    known = min(units, bins) >= 0 and units + bins <= MOST_LEVELS
    if not known or not (
        0 <= row * SIDE << units < recording.n_units and 0 <= column * SIDE << bins < recording.n_bins
    ):
        raise RecordingError(
            f"there is no tile {row, column} of blocks of 2**{units} units by 2**{bins} bins in {recording!r}.",
            "Nothing was counted.",
            "Count rows and columns of tiles from 0; each holds 256 blocks along a side.",
        )
    if min(units, bins) >= pyramid.level:
        return _from_blocks(pyramid, units, bins, row, column)
    return _from_bits(pyramid, units, bins, row, column)


def _from_blocks(pyramid: Pyramid, units: int, bins: int, row: int, column: int) -> UInt32[np.ndarray, "group block"]:
    at = min(units, bins, pyramid.level + len(pyramid.levels) - 1)
    counts, high, wide = pyramid.levels[at - pyramid.level], 2 ** (units - at), 2 ** (bins - at)
    part = counts[row * SIDE * high : (row + 1) * SIDE * high, column * SIDE * wide : (column + 1) * SIDE * wide]
    summed = np.add.reduceat(part, np.arange(0, part.shape[0], high), axis=0, dtype=np.uint32)
    return _whole(np.add.reduceat(summed, np.arange(0, part.shape[1], wide), axis=1, dtype=np.uint32))


def _from_bits(pyramid: Pyramid, units: int, bins: int, row: int, column: int) -> UInt32[np.ndarray, "group block"]:
    """Count the bits of a tile. If a tile has more units than the cache holds, all tiles of its row are counted together, because each needs the same bits."""
    recording = pyramid.recording
    n_units, n_blocks = min(SIDE << units, recording.n_units), -(-recording.n_bins >> bins)
    n_bytes, whole = n_units * -(-recording.n_bins // 8), SIDE * n_blocks * _counts(units + bins).itemsize
    if 2 * n_bytes <= MOST_STRIP_BYTES or whole > MOST_KEPT_BYTES:
        return _whole(_count_columns(pyramid, units, bins, row, slice(column * SIDE, (column + 1) * SIDE)))
    beside = pyramid.beside.get(
        (units, bins, row), lambda: _count_columns(pyramid, units, bins, row, slice(0, n_blocks), keep=False)
    )
    return _whole(beside[:, column * SIDE : (column + 1) * SIDE].astype(np.uint32))


def _count_columns(
    pyramid: Pyramid, units: int, bins: int, row: int, columns: slice, *, keep: bool = True
) -> UInt[np.ndarray, "group block"]:
    """Count some columns of blocks in a row of tiles, strip by strip; strips begin at multiples of their height, which is a power of two."""
    n_units, height = pyramid.recording.n_units, _strip_height(pyramid.recording)
    first, stop = row * SIDE << units, min((row + 1) * SIDE << units, n_units)
    out = np.zeros((SIDE, columns.stop - columns.start), _counts(units + bins))
    left, right = (columns.start << bins) // 8, -(-(columns.stop << bins) // 8)
    for number in range(first // height, -(-stop // height)):
        begin = number * height
        read = partial(_strip, pyramid, begin, min(begin + height, n_units))
        rows = pyramid.strips.get(number, read) if keep else read()
        low, high = max(first, begin), min(stop, begin + height)
        counts = _count_bins(rows[low - begin : high - begin, left:right], bins, out.shape[1])
        summed = _count_units(counts, min(units, height.bit_length() - 1), out.dtype)
        at = (low - first) >> units
        out[at : at + len(summed)] += summed
    return out


def _strip(pyramid: Pyramid, begin: int, stop: int) -> UInt8[np.ndarray, "unit byte"]:
    return _arranged(packed_rows(pyramid.recording, begin, stop), pyramid.bins)


def _arranged(
    rows: UInt8[np.ndarray, "unit byte"], bins: Int[np.ndarray, " bin"] | None
) -> UInt8[np.ndarray, "unit byte"]:
    return rows if bins is None else gather(rows, bins)


def _counts(level: int) -> np.dtype:
    """Choose a type for counts in blocks of ``2**level`` unit-bins."""
    return np.dtype(np.uint16 if level < 16 else np.uint32)


def _count_bins(rows: UInt8[np.ndarray, "unit byte"], level: int, n_blocks: int) -> UInt[np.ndarray, "unit block"]:
    """Count the spikes of each unit in the first ``n_blocks`` blocks of ``2**level`` bins."""
    wanted = -(-(n_blocks << level) // 8)
    if rows.shape[1] != wanted:
        filled = np.zeros((len(rows), wanted), np.uint8)
        filled[:, : rows.shape[1]] = rows[:, :wanted]
        rows = filled
    if level < 3:
        counts = np.unpackbits(rows, axis=1, count=n_blocks << level)
        for _ in range(level):
            counts = counts[:, ::2] + counts[:, 1::2]
        return counts
    # Bits are counted in the longest words that fit into a block.
    ones = np.bitwise_count(np.ascontiguousarray(rows).view(WORDS[min(level, 6)]))
    return ones if level <= 6 else ones.reshape(len(rows), n_blocks, -1).sum(2, dtype=np.uint32)


def _count_units(
    counts: UInt[np.ndarray, "unit block"], level: int, dtype: np.dtype
) -> UInt[np.ndarray, "group block"]:
    """Sum over blocks of ``2**level`` units; the last block may be incomplete."""
    side = 1 << level
    whole = len(counts) // side * side
    summed = counts[:whole].reshape(-1, side, counts.shape[1]).sum(axis=1, dtype=dtype)
    if whole == len(counts):
        return summed
    return np.concatenate([summed, counts[whole:].sum(axis=0, dtype=dtype)[None]])


def _smallest_level(recording: Recording) -> int:
    level = MIN_LEVEL
    while (recording.n_units >> level) * (recording.n_bins >> level) * (4 if level >= 8 else 2) > MOST_KEPT_BYTES:
        level += 1
    return level


def _strip_height(recording: Recording) -> int:
    """Return the number of units in a strip: the largest power of two, up to 256, that fits."""
    fitting = max(1, STRIP_BYTES // max(1, -(-recording.n_bins // 8)))
    return min(SIDE, 1 << (fitting.bit_length() - 1))


def _halved(counts: np.ndarray) -> UInt32[np.ndarray, "group block"]:
    for axis in (0, 1):
        counts = np.add.reduceat(counts, np.arange(0, counts.shape[axis], 2), axis=axis, dtype=np.uint32)
    return counts


def _whole(counts: UInt[np.ndarray, "some_group some_block"]) -> UInt32[np.ndarray, "group block"]:
    out = np.zeros((SIDE, SIDE), np.uint32)
    out[: counts.shape[0], : counts.shape[1]] = counts
    return out
