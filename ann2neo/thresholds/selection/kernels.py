"""Compiled loops over the values of a stream: keep those that may be a quantile, or count them by their leading bits.

All are in one file, because numba's cache does not notice changes of a callee in another file.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64, UInt, UInt64

from ann2neo.compiled import compiled

# A cache line holds sixteen float32: in tiles each line is read once, and a column then becomes a row.
TILE, ROWS = 64, 64


@compiled
def _gather(row: Float[np.ndarray, " slot"], first: int, last: int, pivot: float, ties: bool) -> int:
    """Move values below a pivot (with ``ties``, values not above it) to the front; return the index after them.

    The loop has no branch that depends on a value: it would be mispredicted half of the time.
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
    """Partially sort a row so that the value at ``place`` is that of the sorted row: none before it is larger, none after it smaller."""
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
    """Choose which of the sorted kept values remain; returns the first and last index.

    If the number of values is known, values that cannot become the quantile are dropped first, whatever values are still to come. If that is not enough, the values
    nearest to the expected place of the quantile remain, under the assumption that later values are distributed like earlier ones.
    """
    first, last = 0, n_kept - 1
    if n_expected >= n_seen:
        first = min(max(place - (n_expected - n_seen) - n_below, 0), n_kept - 1)
        last = min(max(place - n_below, 0), n_kept - 1)
    if last - first + 1 <= n_kept * 3 // 4:
        return first, last
    # Six standard deviations of a quantile's place on either side, if the values come in random order.
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
    """Keep the values between the limits of their column; if its slots are full, narrow the limits.

    Every dropped value is either not above the lower limit, and counted, or not below the upper limit.
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
                    # Written before it is known whether the value is kept: a branch here would be mispredicted half of the time.
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
    """Write, for each column, the kept value at its place; columns whose place is not among the kept values are skipped."""
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
    """Count keys below the limits of their column, and keys between the limits by the leading bits of their distance from the lower limit, with extremes."""
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
