"""Kolmogorov-Smirnov distances of intervals on bins from their law by chance, compiled.

All compiled parts lie in one file, because numba's cache does not notice a callee that changed in another file.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int, Int32, Int64, UInt64
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ann2neo.compiled import compiled
from ann2neo.threads import over_units

SALT = 0x15_1A
"""Second word of the key of a unit's random numbers."""
# Numbers that share a cell of the unit interval: few enough that the cells where the distance may lie are soon sorted.
_PER_CELL = 4
# The number of a cell is rounded; a deviation at its border is thus known to this.
_SLACK = 1e-12
_MULTIPLIERS = np.array([0xD2E7470EE14C6C93, 0xCA5A826395121157], np.uint64)
_STEPS = np.array([0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B], np.uint64)


class Isis(NamedTuple):
    """Intervals in bins unit after unit and within a unit stretch after stretch, and the spikes and bins of stretches."""

    lengths: Int32[np.ndarray, " isi"]
    offsets: Int64[np.ndarray, " unit_plus_one"]
    n: Int64[np.ndarray, "unit stretch"]
    bins: Int64[np.ndarray, " stretch"]


def lattice_distances(
    isis: Int[np.ndarray, " isi"],
    offsets: Int[np.ndarray, " unit_plus_one"],
    n: Int[np.ndarray, "unit stretch"],
    bins: Int[np.ndarray, " stretch"],
    *,
    keys: Int[np.ndarray, " unit"],
    n_threads: int | None = None,
) -> Float[np.ndarray, " unit"]:
    """Measure the distance of each unit's intervals from their law by chance, spread at random within its steps.

    An interval exceeds k bins with the chance C(L - k, n) / C(L, n) of its stretch. Each is mapped to that chance plus a
    random part of the step below it, and the distance is the largest one between the distribution of these numbers and
    the uniform law. The random numbers are those of NumPy's ``Generator(Philox)`` with the key ``(key, SALT)``. NaN
    without intervals, and where every stretch with intervals is saturated.

    Parameters
    ----------
    isis
        Intervals in bins, unit after unit and within a unit stretch after stretch, shape (isi,).
    offsets
        Intervals of unit ``u`` are ``isis[offsets[u]:offsets[u + 1]]``, shape (unit + 1,).
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).
    keys
        One integer per unit from which its random numbers follow, shape (unit,).
    n_threads
        Number of threads; None for one per available processor.

    Examples
    --------
    >>> even = np.full(9, 10)
    >>> lattice_distances(even, np.array([0, 9]), np.array([[10]]), np.array([91]), keys=np.array([0])).round(2)
    array([0.67])
    """
    given = Isis(
        lengths=np.ascontiguousarray(isis, np.int32),
        offsets=np.ascontiguousarray(offsets, np.int64),
        n=np.ascontiguousarray(n, np.int64),
        bins=np.ascontiguousarray(bins, np.int64),
    )
    distances, own = np.full(len(n), np.nan), np.ascontiguousarray(keys, np.int64).view(np.uint64)
    over_units(lambda first, last: fill_distances(given, own, distances, first, last), len(n), n_threads=n_threads)
    return distances


def _high_product(typing: Any, first: Any, second: Any) -> Any:
    """Multiply two words of 64 bits and keep the upper 64 of the 128 bits of the product, for compiled code."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(values[0], wide), builder.zext(values[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


high_product: Any = intrinsic(_high_product)


@compiled
def philox_block(key: int, number: int, out: Float64[np.ndarray, 4]) -> None:
    """Fill in the four uniform numbers of one block of Philox 4x64-10, the first block being number 1."""
    c0, c1, c2, c3 = np.uint64(number), np.uint64(0), np.uint64(0), np.uint64(0)
    k0, k1 = np.uint64(key), np.uint64(SALT)
    for _ in range(10):
        high0, low0 = high_product(_MULTIPLIERS[0], c0), _MULTIPLIERS[0] * c0
        high1, low1 = high_product(_MULTIPLIERS[1], c2), _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += _STEPS[0]
        k1 += _STEPS[1]
    shift, scale = np.uint64(11), 1.0 / 9007199254740992.0
    out[0] = np.float64(c0 >> shift) * scale
    out[1] = np.float64(c1 >> shift) * scale
    out[2] = np.float64(c2 >> shift) * scale
    out[3] = np.float64(c3 >> shift) * scale


@compiled
def fill_uniform(
    isis: Isis, unit: int, key: int, exceed: Float64[np.ndarray, " length"], uniform: Float64[np.ndarray, " isi"]
) -> None:
    """Map the intervals of a unit through the law of their stretch, spread within its steps."""
    numbers, block, place = np.empty(4), 0, 0
    begin = isis.offsets[unit]
    for stretch in range(isis.bins.size):
        count, size, known = isis.n[unit, stretch], isis.bins[stretch], 0
        exceed[0] = 1.0
        for _ in range(count - 1):
            if place % 4 == 0:
                block += 1
                philox_block(key, block, numbers)
            length = isis.lengths[begin + place]
            while known < length:
                left = size - known
                # A law of one factor, as NumPy's cumprod has it: nothing is multiplied by 1 first.
                factor = (left - count) / left
                exceed[known + 1] = factor if known == 0 else exceed[known] * factor
                known += 1
            above = exceed[length]
            uniform[place] = above + numbers[place % 4] * (exceed[length - 1] - above)
            place += 1


@compiled
def largest_distance(
    uniform: Float64[np.ndarray, " isi"],
    count: int,
    upto: Int64[np.ndarray, " cell_plus_one"],
    sorted_out: Int64[np.ndarray, " cell"],
    wanted: Float64[np.ndarray, " isi"],
) -> float:
    """Find the largest distance between the distribution of numbers and the uniform law, sorting as few as possible.

    The deviation at the border of a cell bounds the distance from below, the number of numbers in a cell bounds the
    deviation within it from above: only cells whose bound is large enough are sorted.
    """
    cells = count // _PER_CELL + 1
    upto[: cells + 1] = 0
    for i in range(count):
        upto[min(int(uniform[i] * cells), cells - 1) + 1] += 1
    least = 0.0
    for cell in range(1, cells + 1):
        upto[cell] += upto[cell - 1]
        least = max(least, abs(upto[cell] / count - cell / cells))
    for cell in range(cells):
        most = max(upto[cell + 1] / count - cell / cells, (cell + 1) / cells - upto[cell] / count)
        sorted_out[cell] = most + _SLACK >= least
    n_wanted = 0
    for i in range(count):
        # Written always and kept where wanted: no branch.
        wanted[n_wanted] = uniform[i]
        n_wanted += sorted_out[min(int(uniform[i] * cells), cells - 1)]
    wanted[:n_wanted].sort()
    distance, cell, rank = 0.0, -1, 0
    for i in range(n_wanted):
        own = min(int(wanted[i] * cells), cells - 1)
        rank = rank + 1 if own == cell else upto[own]
        cell = own
        distance = max(distance, max(wanted[i] - rank / count, (rank + 1) / count - wanted[i]))
    return distance


@compiled
def fill_distances(
    isis: Isis, keys: UInt64[np.ndarray, " unit"], distances: Float64[np.ndarray, " unit"], first: int, last: int
) -> None:
    """Fill in the distances of units ``first`` to ``last``."""
    longest, most = 0, 0
    for i in range(isis.offsets[first], isis.offsets[last]):
        longest = max(longest, isis.lengths[i])
    for unit in range(first, last):
        most = max(most, isis.offsets[unit + 1] - isis.offsets[unit])
    # One place more than there are numbers, into which the one after the last wanted is written.
    exceed, uniform, wanted = np.empty(longest + 1), np.empty(most), np.empty(most + 1)
    upto, sorted_out = np.empty((2, most // _PER_CELL + 3), np.int64)
    for unit in range(first, last):
        varies = False
        for stretch in range(isis.bins.size):
            varies |= 1 < isis.n[unit, stretch] < isis.bins[stretch]
        if varies:
            count = isis.offsets[unit + 1] - isis.offsets[unit]
            fill_uniform(isis, unit, keys[unit], exceed, uniform)
            distances[unit] = largest_distance(uniform, count, upto, sorted_out, wanted)
