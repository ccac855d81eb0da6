"""Compiled intervals, runs and counts of spikes, which call no compiled function of another file."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int32, Int64
from numba import types
from numba.extending import intrinsic

from ann2neo.compiled import compiled
from ann2neo.measures.bulk.kernels import Lattice, Trains

_TOP, _NONE, _BYTE = np.uint64(1 << 63), np.uint64(0), np.uint64(8)


def _empty_before(typing: Any, word: Any) -> Any:
    """Count the bits of a word of 64 bits before its first set bit, for compiled code."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.ctlz(values[0], context.get_constant(types.boolean, False))

    return types.uint64(types.uint64), generate


empty_before: Any = intrinsic(_empty_before)


@compiled
def list_intervals_of_bins(
    lattice: Lattice,
    offsets: Int64[np.ndarray, " unit_plus_one"],
    isis: Int32[np.ndarray, " isi"],
    sums: Int64[np.ndarray, " unit"],
    runs: Int64[np.ndarray, " unit"],
    first: int,
    last: int,
) -> None:
    """List each unit's intervals in bins within stretches, sum the indices of bins with a spike, and count runs."""
    n_passes, n_bytes = lattice.bits.shape[0], lattice.bits.shape[2]
    for unit in range(first, last):
        place, before, total, own_runs = offsets[unit], -1, 0, 0
        for number in range(n_passes):
            for begin in range(0, n_bytes, 8):
                word = _NONE
                for byte in range(begin, begin + 8):
                    value = lattice.bits[number, unit, byte] if byte < n_bytes else np.uint8(0)
                    word = (word << _BYTE) | np.uint64(value)
                while word != _NONE:
                    lead = empty_before(word)
                    word ^= _TOP >> lead
                    here = number * lattice.pass_bins + 8 * begin + np.int64(lead)
                    total += here
                    if before >= 0 and (lattice.unbroken or lattice.stretch[here] == lattice.stretch[before]):
                        isis[place] = here - before
                        own_runs += here - before > 1
                        place += 1
                    else:
                        own_runs += 1
                    before = here
        sums[unit], runs[unit] = total, own_runs


@compiled
def count_runs_of_bins(lattice: Lattice, counts: Int64[np.ndarray, "unit stretch"], first: int, last: int) -> None:
    """Count runs of bins with spikes within stretches, from packed bits; ``counts`` has shape (unit, stretch)."""
    n_passes, stretch = lattice.bits.shape[0], lattice.stretch
    for unit in range(first, last):
        before = False
        for item in range(n_passes * lattice.pass_bins):
            number, place = item // lattice.pass_bins, item % lattice.pass_bins
            spiked = (lattice.bits[number, unit, place // 8] >> (7 - place % 8)) & 1 == 1
            if spiked and not (before and stretch[item] == stretch[item - 1]):
                counts[unit, stretch[item]] += 1
            before = spiked


@compiled
def count_ids(
    ids: Int32[np.ndarray, " spike"],
    offsets: Int64[np.ndarray, " unit_plus_one"],
    counts: Int64[np.ndarray, "unit id"],
    first: int,
    last: int,
) -> None:
    """Count the spikes of each id that is not negative; ``counts`` has shape (unit, id)."""
    for unit in range(first, last):
        for i in range(offsets[unit], offsets[unit + 1]):
            if ids[i] >= 0:
                counts[unit, ids[i]] += 1


@compiled
def count_runs_of_times(
    trains: Trains, bin_size: float, counts: Int64[np.ndarray, "unit stretch"], first: int, last: int
) -> None:
    """Count runs of successive bins with spikes within stretches, from spike times on equal bins."""
    times, stretch = trains.times, trains.stretch
    for unit in range(first, last):
        for i in range(trains.offsets[unit], trains.offsets[unit + 1]):
            begins = i == trains.offsets[unit] or stretch[i] != stretch[i - 1]
            if begins or times[i] - times[i - 1] > 1.5 * bin_size:
                counts[unit, stretch[i]] += 1
