"""Compiled loops: threshold, pack and check in one pass over memory.

All live in one file, because numba's cache does not notice a callee that changed in another file. They run on one thread:
numba's own threads would reset torch's number of threads, and one thread already reads as fast as memory delivers.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64, UInt8

from ann2neo.compiled import compiled

TILE = 1 << 12


@compiled
def pack_rows(
    values: Float[np.ndarray, " place"],
    row_stride: int,
    n_bins: int,
    limits: Float[np.ndarray, " limit"],
    bits: UInt8[np.ndarray, "plane unit"],
) -> bool:
    """Pack which values are above the thresholds, and say whether all values may be finite.

    Row k of the values begins at place ``k * row_stride``, and its units follow one another. There is one threshold for all units or one each. The sum of a
    unit's values is NaN or infinite if one of them is: True is certain, but False may come from large finite values as well.
    """
    n_units, largest, finite = bits.shape[1], np.finfo(values.dtype).max, True
    thresholds, sums = np.empty(min(TILE, n_units), values.dtype), np.empty(min(TILE, n_units), values.dtype)
    if n_bins % 8:
        bits[n_bins // 8] = 0
    # Tile by tile, so that sums and thresholds stay in the cache beside the rows that are read.
    for left in range(0, n_units, TILE):
        width = min(TILE, n_units - left)
        sums[:] = 0
        if limits.size == 1:
            thresholds[:] = limits[0]
        else:
            thresholds[:width] = limits[left : left + width]
        for plane in range(n_bins // 8):
            first = 8 * plane * row_stride + left
            # Eight streams, not an array of eight rows: only so is the loop over units vectorized.
            row0 = values[first : first + width]
            row1 = values[first + row_stride : first + row_stride + width]
            row2 = values[first + 2 * row_stride : first + 2 * row_stride + width]
            row3 = values[first + 3 * row_stride : first + 3 * row_stride + width]
            row4 = values[first + 4 * row_stride : first + 4 * row_stride + width]
            row5 = values[first + 5 * row_stride : first + 5 * row_stride + width]
            row6 = values[first + 6 * row_stride : first + 6 * row_stride + width]
            row7 = values[first + 7 * row_stride : first + 7 * row_stride + width]
            packed = bits[plane, left : left + width]
            for unit in range(width):
                a, b, c, d = row0[unit], row1[unit], row2[unit], row3[unit]
                e, f, g, h = row4[unit], row5[unit], row6[unit], row7[unit]
                t = thresholds[unit]
                high = ((a > t) << 7) | ((b > t) << 6) | ((c > t) << 5) | ((d > t) << 4)
                packed[unit] = high | ((e > t) << 3) | ((f > t) << 2) | ((g > t) << 1) | (h > t)
                sums[unit] += ((a + b) + (c + d)) + ((e + f) + (g + h))
        for bin_ in range(n_bins // 8 * 8, n_bins):
            row = values[bin_ * row_stride + left : bin_ * row_stride + left + width]
            packed = bits[n_bins // 8, left : left + width]
            for unit in range(width):
                packed[unit] |= (row[unit] > thresholds[unit]) << (7 - bin_ % 8)
                sums[unit] += row[unit]
        for unit in range(width):
            finite &= abs(sums[unit]) <= largest
    return finite


@compiled
def pack_places(
    values: Float[np.ndarray, " place"],
    row_stride: int,
    n_bins: int,
    places: Int64[np.ndarray, " unit"],
    limits: Float[np.ndarray, " limit"],
    bits: UInt8[np.ndarray, "plane unit"],
) -> bool:
    """Pack as `pack_rows` does, but only the values at some places of each row."""
    thresholds = np.full(places.size, limits[0]) if limits.size == 1 else limits
    largest = np.finfo(values.dtype).max
    suspicious = np.uint8(0)
    for plane in range(len(bits)):
        begun = min(8, n_bins - 8 * plane)
        for unit in range(places.size):
            byte = 0
            for place in range(begun):
                value = values[(8 * plane + place) * row_stride + places[unit]]
                byte = (byte << 1) | (value > thresholds[unit])
                suspicious |= np.uint8(not (abs(value) <= largest))
            bits[plane, unit] = byte << (8 - begun)
    return suspicious == 0
