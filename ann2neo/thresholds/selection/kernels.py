"""Compiled loops over the values of a stream: keep those that may be a quantile, or count them by their leading bits.

All live in one file, because numba's cache does not notice a callee that changed in another file.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64, UInt, UInt64

from ann2neo.compiled import compiled

# A line of memory holds sixteen float32: each is read once, and a column then lies in a row.
TILE, ROWS = 64, 64


@compiled
def _gather(row: Float[np.ndarray, " slot"], first: int, last: int, pivot: float, ties: bool) -> int:
    """Bring values below a pivot, or with ties not above it, to the front; gives the place behind them.

    Without a branch that depends on a value: it would be mispredicted half of the time.
    """
    behind = first
    for i in range(first, last + 1):
        value = row[i]
        row[i] = row[behind]
        row[behind] = value
        behind += (value < pivot) | (ties & (value == pivot))
    return behind


@compiled
def _select(row: Float[np.ndarray, " slot"], first: int, last: int, place: int) -> None:
    """Bring the value of a place to where sorting would bring it: none before is larger, none behind is smaller."""
    while first < last:
        left, middle, right = row[first], row[(first + last) // 2], row[last]
        pivot = max(min(left, middle), min(max(left, middle), right))
        behind = _gather(row, first, last, pivot, False)
        if place < behind:
            last = behind - 1
        elif behind > first:
            first = behind
        else:
            first = _gather(row, first, last, pivot, True)
            if place < first:
                return


@compiled
def _window(n_kept: int, n_below: int, n_seen: int, q: float, n_expected: int, place: int) -> tuple[int, int]:
    """Choose which of the sorted kept values stay, from the first to the last.

    If it is known how many values come, those that cannot reach the place whatever comes are left out; if that is not enough, those stay that would be nearest if
    what comes were like what came.
    """
    first, last = 0, n_kept - 1
    if n_expected >= n_seen:
        first = min(max(place - (n_expected - n_seen) - n_below, 0), n_kept - 1)
        last = min(max(place - n_below, 0), n_kept - 1)
    if last - first + 1 <= n_kept * 3 // 4:
        return first, last
    # Six standard deviations of a quantile's place, each way, if the values come in random order.
    width = min(max(int(12 * np.sqrt(q * (1 - q) * n_seen)), n_kept // 4), n_kept // 2)
    centre = int(q * n_seen) - n_below
    first = min(max(centre - width // 2, first), last - width + 1)
    return first, first + width - 1


@compiled
def keep(
    values: Float[np.ndarray, "value column"],
    columns: Int64[np.ndarray, " open"],
    n_before: int,
    q: float,
    n_expected: int,
    place: int,
    kept: Float[np.ndarray, " slot"],
    starts: Int64[np.ndarray, " edge"],
    n_kept: Int64[np.ndarray, " open"],
    n_below: Int64[np.ndarray, " open"],
    low: Float[np.ndarray, " open"],
    high: Float[np.ndarray, " open"],
) -> None:
    """Keep the values between the limits of their column; where its slots are full, narrow the limits.

    Whatever is dropped is not above the lower limit, and counted, or not below the upper one.
    """
    tile = np.empty((TILE, ROWS), values.dtype)
    for corner in range(0, columns.size, TILE):
        n_wide = min(TILE, columns.size - corner)
        for begin in range(0, len(values), ROWS):
            n_rows = min(ROWS, len(values) - begin)
            for r in range(n_rows):
                for j in range(n_wide):
                    tile[j, r] = values[begin + r, columns[corner + j]]
            for j in range(n_wide):
                c = corner + j
                row = kept[starts[c] : starts[c + 1]]
                k, below, least, most = n_kept[c], n_below[c], low[c], high[c]
                for r in range(n_rows):
                    value = tile[j, r]
                    # Written before it is known whether it stays: a branch here would be mispredicted half of the time.
                    row[k] = value
                    below += value < least
                    k += (value >= least) & (value <= most)
                    if k == row.size:
                        first, last = _window(k, below, n_before + begin + r + 1, q, n_expected, place)
                        _select(row, 0, k - 1, first)
                        _select(row, first, k - 1, last)
                        least = row[first] if first > 0 else least
                        most = row[last] if last < k - 1 else most
                        below, k = below + first, last - first + 1
                        for slot in range(k):
                            row[slot] = row[first + slot]
                n_kept[c], n_below[c], low[c], high[c] = k, below, least, most


@compiled
def found(
    kept: Float[np.ndarray, " slot"],
    starts: Int64[np.ndarray, " edge"],
    n_kept: Int64[np.ndarray, " open"],
    places: Int64[np.ndarray, " open"],
    values: Float[np.ndarray, " open"],
) -> None:
    """Write down the value at a place of each column's kept values; nothing where the place is not among them."""
    for c in range(places.size):
        if 0 <= places[c] < n_kept[c]:
            row = kept[starts[c] : starts[c + 1]]
            _select(row, 0, n_kept[c] - 1, places[c])
            values[c] = row[places[c]]


@compiled
def count(
    keys: UInt[np.ndarray, "value column"],
    low: UInt64[np.ndarray, " column"],
    high: UInt64[np.ndarray, " column"],
    shift: UInt64[np.ndarray, " column"],
    n_below: Int64[np.ndarray, " column"],
    counts: Int64[np.ndarray, "column pattern"],
    least: UInt[np.ndarray, "column pattern"],
    most: UInt[np.ndarray, "column pattern"],
) -> None:
    """Count the keys below the limits of their column, and those between by the leading bits of their distance from the lower one; with the extremes of each."""
    for corner in range(0, keys.shape[1], TILE):
        stop = min(corner + TILE, keys.shape[1])
        for r in range(len(keys)):
            for c in range(corner, stop):
                key = np.uint64(keys[r, c])
                if key < low[c]:
                    n_below[c] += 1
                elif key <= high[c]:
                    pattern = (key - low[c]) >> shift[c]
                    counts[c, pattern] += 1
                    least[c, pattern] = min(least[c, pattern], keys[r, c])
                    most[c, pattern] = max(most[c, pattern], keys[r, c])
