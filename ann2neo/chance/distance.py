"""Kolmogorov-Smirnov distances of intervals on bins from their law by chance, compiled.

All compiled parts lie in one file, because numba's cache does not notice a callee that changed in another file.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int, Int32, Int64, UInt32, UInt64

from ann2neo.compiled import compiled
from ann2neo.threads import over_units

SALT = 0x15_1A
"""Second word of the state with which a unit's random numbers begin."""
# Numbers that share a cell of the unit interval: few enough that the cells where the distance may lie are soon sorted.
_PER_CELL = 4
# The number of a cell is rounded; a deviation at its border is thus known to this.
_SLACK = 1e-12
# SFC64 is begun with three words, and its first numbers are not used.
_DISCARDED = 12
_ONE, _THREE, _ELEVEN, _TURN, _TURN_BACK = np.array([1, 3, 11, 24, 40], np.uint64)
_SCALE = 1.0 / 9007199254740992.0


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
    the uniform law. The random numbers are those of NumPy's ``Generator(SFC64)`` from the state ``(key, SALT, 0, 1)``
    after 12 discarded numbers. NaN without intervals, and where every stretch with intervals is saturated.

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
    array([0.69])
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


@compiled
def fill_random(key: int, count: int, out: Float64[np.ndarray, " isi"]) -> None:
    """Fill in the first uniform numbers of SFC64 that follow from a key."""
    a, b, c, counter = np.uint64(key), np.uint64(SALT), np.uint64(0), np.uint64(1)
    for place in range(-_DISCARDED, count):
        word = a + b + counter
        counter += _ONE
        a, b, c = b ^ (b >> _ELEVEN), c + (c << _THREE), ((c << _TURN) | (c >> _TURN_BACK)) + word
        if place >= 0:
            out[place] = np.int64(word >> _ELEVEN) * _SCALE


@compiled
def fill_uniform(
    isis: Isis, unit: int, exceed: Float64[np.ndarray, " length"], uniform: Float64[np.ndarray, " isi"]
) -> None:
    """Map the intervals of a unit through the law of their stretch, spread within its steps by the random numbers in their place."""
    begin, place = isis.offsets[unit], 0
    for stretch in range(isis.bins.size):
        count, size, longest = isis.n[unit, stretch], isis.bins[stretch], 0
        lengths = isis.lengths[begin + place : begin + place + max(count - 1, 0)]
        for length in lengths:
            longest = max(longest, length)
        exceed[0], exceed[1] = 1.0, (size - count) / size
        for known in range(1, longest):
            left = size - known
            exceed[known + 1] = exceed[known] * ((left - count) / left)
        for length in lengths:
            at = np.uint32(length)
            above = exceed[at]
            uniform[place] = above + uniform[place] * (exceed[at - np.uint32(1)] - above)
            place += 1


@compiled
def largest_distance(
    uniform: Float64[np.ndarray, " isi"],
    count: int,
    cell_of: UInt32[np.ndarray, " isi"],
    upto: Int32[np.ndarray, " cell_plus_one"],
    sorted_out: Int32[np.ndarray, " cell"],
    wanted: Float64[np.ndarray, " isi"],
) -> float:
    """Find the largest distance between the distribution of numbers and the uniform law, sorting as few as possible.

    The deviation at the border of a cell bounds the distance from below, the number of numbers in a cell bounds the
    deviation within it from above: only cells whose bound is large enough are sorted.
    """
    cells = count // _PER_CELL + 1
    share, width = 1.0 / count, 1.0 / cells
    for i in range(count):
        cell_of[i] = min(np.int32(uniform[i] * cells), np.int32(cells - 1))
    upto[: cells + 1] = 0
    for i in range(count):
        upto[cell_of[i] + np.uint32(1)] += 1
    least, total = 0.0, 0
    for cell in range(1, cells + 1):
        total += upto[cell]
        upto[cell] = total
        least = max(least, abs(total * share - cell * width))
    for cell in range(cells):
        most = max(upto[cell + 1] * share - cell * width, (cell + 1) * width - upto[cell] * share)
        sorted_out[cell] = most + _SLACK >= least
    n_wanted = 0
    for i in range(count):
        # Written always and kept where wanted: no branch.
        wanted[n_wanted] = uniform[i]
        n_wanted += sorted_out[cell_of[i]]
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
    exceed, uniform, wanted = np.empty(longest + 2), np.empty(most), np.empty(most + 1)
    cell_of, (upto, sorted_out) = np.empty(most, np.uint32), np.empty((2, most // _PER_CELL + 3), np.int32)
    for unit in range(first, last):
        varies = False
        for stretch in range(isis.bins.size):
            varies |= 1 < isis.n[unit, stretch] < isis.bins[stretch]
        if varies:
            count = isis.offsets[unit + 1] - isis.offsets[unit]
            fill_random(keys[unit], count, uniform)
            fill_uniform(isis, unit, exceed, uniform)
            distances[unit] = largest_distance(uniform, count, cell_of, upto, sorted_out, wanted)
