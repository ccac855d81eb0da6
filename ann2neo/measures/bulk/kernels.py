"""Compiled loops over units: kernels at the end, their parts before them.

All are in one file, because numba's cache does not notice changes of a callee in another file. Arrays are
C-contiguous; each kernel fills the rows of units ``first`` to ``last`` of its outputs, so that threads share no rows.
Kernels do not check their arguments: `SpikeArrays` and `SpikeBits` refuse ids that are out of range.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64, UInt8, UInt64
from numba import types
from numba.extending import intrinsic

from ann2neo.compiled import compiled

ISI_MEAN, ISI_VAR, CV, CV2, LV, LVR, IR, FANO, N_EMPTY = range(9)
N_COLUMNS = 9
# Intervals of up to this many bins have their logarithms in a table.
N_LOGS = 4096


class Trains(NamedTuple):
    """Spike times unit by unit, the stretch of each spike, and the unit of time in milliseconds."""

    times: Float64[np.ndarray, " spike"]
    offsets: Int64[np.ndarray, " unit_plus_one"]
    stretch: Int32[np.ndarray, " spike"]
    ms: float


class Lattice(NamedTuple):
    """Packed bits, the stretch of each bin, and whether there is only one stretch."""

    bits: UInt8[np.ndarray, "pass unit byte"]
    pass_bins: int
    bin_size: float
    stretch: Int32[np.ndarray, " bin"]
    unbroken: bool


class Ids(NamedTuple):
    """The id of each bin, or -1; and the same as masks of words of 64 bits, where these are few, else no masks.

    The bins of ``masks[i]`` in word ``words[i]`` have the id ``of_mask[i]``. Every pass begins with a word of its own.
    """

    of_bin: Int32[np.ndarray, " bin"]
    words: Int64[np.ndarray, " mask"]
    masks: UInt64[np.ndarray, " mask"]
    of_mask: Int64[np.ndarray, " mask"]


class Counting(NamedTuple):
    """Number of windows, groups of windows and sets of groups.

    ``members[edges[g]:edges[g + 1]]`` are the windows of group g, and the groups of set s are ``sets[s]`` to ``sets[s +
    1] - 1``.
    """

    n_windows: int
    members: Int64[np.ndarray, " member"]
    edges: Int64[np.ndarray, " edge"]
    sets: Int64[np.ndarray, " set_edge"]


class Filled(NamedTuple):
    """Outputs of `measure_bins`: measures and spike counts of all units, label counts only of the units of its task."""

    columns: Float64[np.ndarray, "unit column"]
    n_spikes: Int64[np.ndarray, " unit"]
    label_counts: Int64[np.ndarray, "own_unit class_plus_one"]


def _spikes_of_bytes() -> tuple[Int32[np.ndarray, "256 8"], Int64[np.ndarray, " 256"]]:
    """List, for each value of a byte, the positions of its set bits in the order of bins, and their number."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    places = np.argsort(1 - bits, axis=1, kind="stable").astype(np.int32)
    return places, bits.sum(axis=1, dtype=np.int64)


PLACES, N_ONES = _spikes_of_bytes()


def _ones(typing: Any, word: Any) -> Any:
    """Count the set bits of a word of 64 bits, for compiled code."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.ctpop(values[0])

    return types.int64(types.uint64), generate


ones: Any = intrinsic(_ones)


@compiled
def block_sum(values: Float64[np.ndarray, " item"], start: int, size: int) -> float:
    """Sum up to 128 values as NumPy does: in eight running sums, or one by one if there are fewer than eight."""
    if size < 8:
        total = 0.0
        for i in range(start, start + size):
            total += values[i]
        return total
    r0, r1, r2, r3 = values[start], values[start + 1], values[start + 2], values[start + 3]
    r4, r5, r6, r7 = values[start + 4], values[start + 5], values[start + 6], values[start + 7]
    whole = size - size % 8
    for i in range(start + 8, start + whole, 8):
        r0 += values[i]
        r1 += values[i + 1]
        r2 += values[i + 2]
        r3 += values[i + 3]
        r4 += values[i + 4]
        r5 += values[i + 5]
        r6 += values[i + 6]
        r7 += values[i + 7]
    total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for i in range(start + whole, start + size):
        total += values[i]
    return total


@compiled
def pairwise_sum(values: Float64[np.ndarray, " item"], start: int, size: int) -> float:
    """Sum as NumPy sums a contiguous row: recursively by halves, at multiples of eight, down to blocks of at most 128.

    A stack replaces NumPy's recursion: recursive functions crashed when numba loaded them from its cache.
    """
    if size <= 128:
        return block_sum(values, start, size)
    # Each halving adds at most two entries, and 2**57 values do not fit into any memory.
    sizes, sums = np.empty(128, np.int64), np.empty(64)
    sizes[0], n_sizes, n_sums = size, 1, 0
    while n_sizes > 0:
        n_sizes -= 1
        here = sizes[n_sizes]
        if here == 0:
            n_sums -= 1
            sums[n_sums - 1] += sums[n_sums]
        elif here <= 128:
            sums[n_sums] = block_sum(values, start, here)
            start, n_sums = start + here, n_sums + 1
        else:
            half = here // 2 - here // 2 % 8
            sizes[n_sizes], sizes[n_sizes + 1], sizes[n_sizes + 2] = 0, here - half, half
            n_sizes += 3
    return sums[0]


@compiled
def pooled_statistics(
    isi: Float64[np.ndarray, " item"],
    n: int,
    scratch: Float64[np.ndarray, " item"],
    ms: float,
    out: Float64[np.ndarray, " item"],
) -> None:
    """Fill in mean, variance and CV of all intervals, rounded like numpy.mean, numpy.var and scipy.stats.variation."""
    if n == 0:
        return
    mean = pairwise_sum(isi, 0, n) / n
    for i in range(n):
        deviation = isi[i] - mean
        scratch[i] = deviation * deviation
    variance = pairwise_sum(scratch, 0, n) / n
    out[ISI_MEAN] = mean * ms
    out[ISI_VAR] = variance * (ms * ms)
    out[CV] = np.sqrt(variance) / mean


@compiled
def lvr_of_stretch(
    isi: Float64[np.ndarray, " item"],
    start: int,
    n_pairs: int,
    scratch: Float64[np.ndarray, " item"],
    ms: float,
    period: float,
) -> float:
    """Compute Elephant's LvR of one stretch; Elephant computes it in milliseconds."""
    for i in range(n_pairs):
        first, second = ms * isi[start + i], ms * isi[start + i + 1]
        total = first + second
        scratch[i] = (1 - 4 * first * second / (total * total)) * (1 + 4 * period / total)
    return (3 / n_pairs) * pairwise_sum(scratch, 0, n_pairs)


@compiled
def log_or_nan(value: float) -> float:
    """Natural logarithm; NaN of 0, which stands for two spikes at one time."""
    return np.log(value) if value > 0 else np.nan


@compiled
def paired_statistics(
    isi: Float64[np.ndarray, " item"],
    logs: Float64[np.ndarray, " item"],
    ends: Int64[np.ndarray, " item"],
    n_parts: int,
    scratch: Float64[np.ndarray, "2 item"],
    ms: float,
    period: float,
    out: Float64[np.ndarray, " item"],
) -> None:
    """Fill in CV2, Lv, LvR and IR: the value per stretch, weighted by the number of pairs, in the order of stretches."""
    n_used, weights, start = 0, 0, 0
    cv2, lv, lvr, ir = 0.0, 0.0, 0.0, 0.0
    cv2_only, lv_only, lvr_only, ir_only = 0.0, 0.0, 0.0, 0.0
    for part in range(n_parts):
        n = ends[part] - start - 1
        if n >= 1:
            for i in range(n):
                contrast = (isi[start + i + 1] - isi[start + i]) / (isi[start + i] + isi[start + i + 1])
                scratch[0, i] = abs(contrast)
                scratch[1, i] = contrast * contrast
            cv2_here = 2.0 * (pairwise_sum(scratch[0], 0, n) / n)
            lv_here = 3.0 * (pairwise_sum(scratch[1], 0, n) / n)
            lvr_here = lvr_of_stretch(isi, start, n, scratch[0], ms, period) if period >= 0 else 0.0
            for i in range(n):
                scratch[0, i] = abs(logs[start + i + 1] - logs[start + i])
            ir_here = pairwise_sum(scratch[0], 0, n) / n
            n_used, weights = n_used + 1, weights + n
            if n_used == 1:
                # Kept unchanged: multiplication and division by the weight might change the last bit.
                cv2_only, lv_only, lvr_only, ir_only = cv2_here, lv_here, lvr_here, ir_here
            cv2, lv = cv2 + cv2_here * n, lv + lv_here * n
            lvr, ir = lvr + lvr_here * n, ir + ir_here * n
        start = ends[part]
    if n_used == 1:
        out[CV2], out[LV], out[LVR], out[IR] = cv2_only, lv_only, lvr_only, ir_only
    elif n_used > 1:
        out[CV2], out[LV], out[LVR], out[IR] = cv2 / weights, lv / weights, lvr / weights, ir / weights


@compiled
def fano_statistics(
    counts: Int64[np.ndarray, " item"],
    counting: Counting,
    square: Float64[np.ndarray, " item"],
    out: Float64[np.ndarray, " item"],
) -> None:
    """Fill in the mean over sets of the mean Fano factor over groups with spikes, and the number of groups without spikes."""
    members, edges, sets = counting.members, counting.edges, counting.sets
    whole, n_sets, n_empty = 0.0, 0, 0
    for one in range(sets.size - 1):
        total, n_used = 0.0, 0
        for group in range(sets[one], sets[one + 1]):
            first, n = edges[group], edges[group + 1] - edges[group]
            spikes = 0
            for i in range(n):
                spikes += counts[members[first + i]]
            if spikes > 0:
                mean = spikes / n
                for i in range(n):
                    deviation = counts[members[first + i]] - mean
                    square[i] = deviation * deviation
                total += pairwise_sum(square, 0, n) / n / mean
                n_used += 1
        n_empty += sets[one + 1] - sets[one] - n_used
        if n_used > 0:
            whole += total / n_used
            n_sets += 1
    out[FANO] = whole / n_sets if n_sets > 0 else np.nan
    out[N_EMPTY] = n_empty


@compiled
def intervals_of_times(
    trains: Trains,
    unit: int,
    isi: Float64[np.ndarray, " item"],
    logs: Float64[np.ndarray, " item"],
    ends: Int64[np.ndarray, " item"],
) -> int:
    """Write the intervals within stretches, their logarithms, and the end of each stretch's intervals; return the number of stretches with spikes."""
    times, stretch, n, part = trains.times, trains.stretch, 0, 0
    for i in range(trains.offsets[unit] + 1, trains.offsets[unit + 1]):
        if stretch[i] == stretch[i - 1]:
            isi[n] = times[i] - times[i - 1]
            logs[n] = log_or_nan(isi[n])
            n += 1
        else:
            ends[part] = n
            part += 1
    ends[part] = n
    return part + 1


@compiled
def spike_bins(lattice: Lattice, unit: int, bins: Int32[np.ndarray, " item"]) -> int:
    """Write the bins of a unit's spikes, pass by pass, and return their number. ``bins`` needs eight additional places."""
    n = 0
    for number in range(lattice.bits.shape[0]):
        row = lattice.bits[number, unit]
        for byte in range(row.size):
            value, base = row[byte], number * lattice.pass_bins + 8 * byte
            # Eight places are always written: without a branch this runs several times faster.
            for i in range(8):
                bins[n + i] = base + PLACES[value, i]
            n += int(N_ONES[value])
    return n


@compiled
def intervals_of_bins(
    lattice: Lattice,
    bins: Int32[np.ndarray, " item"],
    n_spikes: int,
    log_of: Float64[np.ndarray, " bin"],
    isi: Float64[np.ndarray, " item"],
    logs: Float64[np.ndarray, " item"],
    ends: Int64[np.ndarray, " item"],
) -> int:
    """Write intervals from bins, as `intervals_of_times` does: an interval is exactly its bins times the bin size; ``log_of`` holds logarithms."""
    stretch, bin_size, n, part = lattice.stretch, lattice.bin_size, 0, 0
    if lattice.unbroken:
        for i in range(n_spikes - 1):
            gap = bins[i + 1] - bins[i]
            isi[i] = gap * bin_size
            logs[i] = log_of[gap] if gap < log_of.size else log_or_nan(isi[i])
        ends[0] = max(n_spikes - 1, 0)
        return 1
    for i in range(1, n_spikes):
        if stretch[bins[i]] == stretch[bins[i - 1]]:
            gap = bins[i] - bins[i - 1]
            isi[n] = gap * bin_size
            logs[n] = log_of[gap] if gap < log_of.size else log_or_nan(isi[n])
            n += 1
        else:
            ends[part] = n
            part += 1
    ends[part] = n
    return part + 1


@compiled
def read_words(lattice: Lattice, unit: int, words: UInt64[np.ndarray, " word"]) -> None:
    """Copy the bits of a unit to words of 64 bits, of which every pass has whole ones."""
    n_passes, n_bytes = lattice.bits.shape[0], lattice.bits.shape[2]
    row = words.view(np.uint8).reshape((n_passes, -1))
    for number in range(n_passes):
        row[number, :n_bytes] = lattice.bits[number, unit]


@compiled
def count_spikes(
    ids: Ids,
    words: UInt64[np.ndarray, " word"],
    bins: Int32[np.ndarray, " item"],
    n_spikes: int,
    counts: Int64[np.ndarray, " id_plus_one"],
) -> None:
    """Add a unit's spikes of each id: word by word where ids have masks, else spike by spike, which counts -1 in the last place."""
    if ids.words.size > 0:
        for i in range(ids.words.size):
            counts[ids.of_mask[i]] += ones(words[ids.words[i]] & ids.masks[i])
    else:
        for i in range(n_spikes):
            counts[ids.of_bin[bins[i]]] += 1


@compiled
def measure_times(
    trains: Trains,
    window: Int32[np.ndarray, " spike"],
    counting: Counting,
    period: float,
    out: Float64[np.ndarray, "unit column"],
    first: int,
    last: int,
) -> None:
    """Fill in the columns of ``out`` from spike times."""
    offsets, n_windows, longest = trains.offsets, counting.n_windows, 1
    for unit in range(first, last):
        longest = max(longest, offsets[unit + 1] - offsets[unit])
    isi, logs, scratch, ends = np.empty(longest), np.empty(longest), np.empty((2, longest)), np.empty(longest, np.int64)
    counts, square = np.zeros(n_windows, np.int64), np.empty(n_windows)
    for unit in range(first, last):
        out[unit] = np.nan
        n_parts = intervals_of_times(trains, unit, isi, logs, ends)
        pooled_statistics(isi, ends[n_parts - 1], scratch[0], trains.ms, out[unit])
        paired_statistics(isi, logs, ends, n_parts, scratch, trains.ms, period, out[unit])
        counts[:] = 0
        for i in range(offsets[unit], offsets[unit + 1]):
            if window[i] >= 0:
                counts[window[i]] += 1
        fano_statistics(counts, counting, square, out[unit])


@compiled
def measure_bins(
    lattice: Lattice,
    window: Ids,
    label: Ids,
    counting: Counting,
    period: float,
    filled: Filled,
    first: int,
    last: int,
) -> None:
    """Fill in measures, spike counts and label counts from bits; the last class is meant for bins without a label, and may stay 0."""
    longest = 8 * lattice.bits.shape[0] * lattice.bits.shape[2] + 8
    bins, ends = np.empty(longest, np.int32), np.empty(longest, np.int64)
    isi, logs, scratch = np.empty(longest), np.empty(longest), np.empty((2, longest))
    log_of = np.empty(min(longest, N_LOGS))
    for i in range(log_of.size):
        log_of[i] = log_or_nan(i * lattice.bin_size)
    counts, square = np.zeros(counting.n_windows + 1, np.int64), np.empty(counting.n_windows)
    words = np.zeros(lattice.bits.shape[0] * -(-lattice.bits.shape[2] // 8), np.uint64)
    for unit in range(first, last):
        out = filled.columns[unit]
        out[:] = np.nan
        n = spike_bins(lattice, unit, bins)
        filled.n_spikes[unit] = n
        n_parts = intervals_of_bins(lattice, bins, n, log_of, isi, logs, ends)
        pooled_statistics(isi, ends[n_parts - 1], scratch[0], 1.0, out)
        paired_statistics(isi, logs, ends, n_parts, scratch, 1.0, period, out)
        if window.words.size > 0 or label.words.size > 0:
            read_words(lattice, unit, words)
        # Spikes outside all windows (-1) are counted in the last place, which belongs to no group; this avoids a branch.
        counts[:] = 0
        count_spikes(window, words, bins, n, counts)
        fano_statistics(counts, counting, square, out)
        if label.of_bin.size:
            count_spikes(label, words, bins, n, filled.label_counts[unit - first])


@compiled
def count_bin_ids(
    lattice: Lattice,
    ids: Ids,
    counts: Int64[np.ndarray, "unit id_plus_one"],
    first: int,
    last: int,
) -> None:
    """Count the spikes of each id from packed bits; the last column is meant for bins without an id (-1), and may stay 0."""
    bins = np.empty(8 * lattice.bits.shape[0] * lattice.bits.shape[2] + 8, np.int32)
    words = np.zeros(lattice.bits.shape[0] * -(-lattice.bits.shape[2] // 8), np.uint64)
    for unit in range(first, last):
        n = 0
        if ids.words.size > 0:
            read_words(lattice, unit, words)
        else:
            n = spike_bins(lattice, unit, bins)
        count_spikes(ids, words, bins, n, counts[unit])
