"""Counts for tests against chance: spikes per window and stretch, and runs of bins with spikes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from ann2neo.errors import AnalysisError
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk import intervals, kernels
from ann2neo.measures.bulk.words import as_ids, ids_of_bins
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import milliseconds_per
from ann2neo.threads import over_units


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervals:
    """Inter-spike intervals of some units in bins, with sums of spike positions and numbers of runs.

    Parameters
    ----------
    isis
        Intervals in bins, unit by unit and, within a unit, stretch by stretch, shape (isi,).
    offsets
        Intervals of unit ``u`` are ``isis[offsets[u]:offsets[u + 1]]``, shape (unit + 1,).
    bin_sums
        Sum of the indices of each unit's bins with a spike, counted from 0 over all stretches, shape (unit,).
    n_runs
        Number of runs of successive bins with a spike within stretches, shape (unit,).
    """

    isis: Int[np.ndarray, " isi"]
    offsets: Int[np.ndarray, " unit_plus_one"]
    bin_sums: Int[np.ndarray, " unit"]
    n_runs: Int[np.ndarray, " unit"]


def count_in_windows(
    spikes: SpikeArrays | SpikeBits, *, n_threads: int | None = None
) -> Int[np.ndarray, "unit window"]:
    """Count each unit's spikes in each window, shape (unit, window); a window without bins counts 0.

    Parameters
    ----------
    spikes
        Spikes of some units.
    n_threads
        Number of threads; None for one per available processor.

    Examples
    --------
    >>> spikes = SpikeBits(
    ...     bits=np.packbits(np.array([[[1, 0, 1, 1]]], bool), axis=2),
    ...     pass_bins=4,
    ...     bin_size_ms=1.0,
    ...     stretch_edges=np.array([0, 4]),
    ...     window=np.array([0, 0, 1, -1]),
    ...     window_pass=np.array([0, 0]),
    ... )
    >>> count_in_windows(spikes), count_in_stretches(spikes), count_runs(spikes)
    (array([[1, 1]]), array([[3]]), array([[2]]))
    """
    n_windows = spikes.window_pass.size
    if isinstance(spikes, SpikeBits):
        return _count_bins(spikes, spikes.window, n_windows, n_threads)
    return _count_times(spikes, spikes.window, n_windows, n_threads)


def count_in_stretches(
    spikes: SpikeArrays | SpikeBits, *, n_threads: int | None = None
) -> Int[np.ndarray, "unit stretch"]:
    """Count each unit's spikes in each stretch, shape (unit, stretch); intended for few stretches, or few units at a time.

    Parameters
    ----------
    spikes
        Spikes of some units.
    n_threads
        Number of threads; None for one per available processor.
    """
    if isinstance(spikes, SpikeBits):
        return _count_bins(spikes, spikes.stretch_of_bin, spikes.stretch_bins.size, n_threads)
    return _count_times(spikes, spikes.stretch, spikes.stretch_durations.size, n_threads)


def count_labels(spikes: SpikeArrays | SpikeBits, *, n_threads: int | None = None) -> Int[np.ndarray, "unit class"]:
    """Count each unit's spikes in the bins of each class, shape (unit, class).

    Parameters
    ----------
    spikes
        Spikes of some units.
    n_threads
        Number of threads; None for one per available processor.

    Raises
    ------
    AnalysisError
        If the spikes have no labels.
    """
    if spikes.label is None or spikes.label_bins is None:
        raise AnalysisError("The spikes have no labels.", "Spikes per class cannot be counted.", "Record with labels.")
    if isinstance(spikes, SpikeBits):
        return _count_bins(spikes, spikes.label, spikes.label_bins.size, n_threads)
    return _count_times(spikes, spikes.label, spikes.label_bins.size, n_threads)


def count_in_groups(
    spikes: SpikeArrays | SpikeBits, ids: Int[np.ndarray, " item"], n_ids: int, *, n_threads: int | None = None
) -> Int[np.ndarray, "unit id"]:
    """Count each unit's spikes for each id, given one id per bin (bits) or per spike (times), shape (unit, id).

    Parameters
    ----------
    spikes
        Spikes of some units.
    ids
        Id of each bin or spike, -1 for none, below ``n_ids``.
    n_ids
        Number of ids.
    n_threads
        Number of threads; None for one per available processor.

    Raises
    ------
    AnalysisError
        If an id is out of range, or ids and bins or spikes differ in number.
    """
    n_items = spikes.n_bins if isinstance(spikes, SpikeBits) else spikes.times.size
    if ids.size != n_items or (ids.size and not -1 <= ids.min() <= ids.max() < n_ids):
        raise AnalysisError(
            f"There are {ids.size} ids below {n_ids} for {n_items} bins or spikes, or some are out of range.",
            "Spikes would be counted in the wrong place.",
            "Give one id for each bin or spike, -1 for none.",
        )
    if isinstance(spikes, SpikeBits):
        return _count_bins(spikes, ids, n_ids, n_threads)
    return _count_times(spikes, ids, n_ids, n_threads)


def count_runs(spikes: SpikeArrays | SpikeBits, *, n_threads: int | None = None) -> Int[np.ndarray, "unit stretch"]:
    """Count each unit's runs in each stretch, shape (unit, stretch); successive bins with a spike form one run.

    Parameters
    ----------
    spikes
        Spikes of some units.
    n_threads
        Number of threads; None for one per available processor.

    Raises
    ------
    AnalysisError
        If the source has no bins, so that successive bins are not defined.
    """
    if isinstance(spikes, SpikeBits):
        counts = np.zeros((spikes.n_units, spikes.stretch_bins.size), np.int64)
        lattice = as_lattice(spikes)

        def count(first: int, last: int) -> None:
            intervals.count_runs_of_bins(lattice, counts, first, last)
    else:
        counts = np.zeros((spikes.n_units, spikes.stretch_durations.size), np.int64)
        trains, bin_size = as_trains(spikes), _bin_size(spikes)

        def count(first: int, last: int) -> None:
            intervals.count_runs_of_times(trains, bin_size, counts, first, last)

    over_units(count, spikes.n_units, n_threads=n_threads)
    return counts


def intervals_in_bins(
    spikes: SpikeBits, n: Int[np.ndarray, "unit stretch"], *, n_threads: int | None = None
) -> Intervals:
    """List each unit's inter-spike intervals in bins, within stretches.

    Parameters
    ----------
    spikes
        Spikes of some units.
    n
        Spikes of each unit in each stretch, from `count_in_stretches`, shape (unit, stretch).
    n_threads
        Number of threads; None for one per available processor.

    Examples
    --------
    >>> spikes = SpikeBits(
    ...     bits=np.packbits(np.array([[[1, 0, 1, 1]]], bool), axis=2), pass_bins=4, bin_size_ms=1.0,
    ...     stretch_edges=np.array([0, 4]), window=np.zeros(4, int), window_pass=np.array([0]),
    ... )
    >>> found = intervals_in_bins(spikes, count_in_stretches(spikes))
    >>> found.isis, found.bin_sums, found.n_runs
    (array([2, 1], dtype=int32), array([5]), array([2]))
    """
    lattice, (sums, runs) = as_lattice(spikes), np.zeros((2, spikes.n_units), np.int64)
    offsets = np.concatenate([[0], np.cumsum(np.maximum(n - 1, 0).sum(axis=1))]).astype(np.int64)
    isis = np.empty(offsets[-1], np.int32)
    over_units(
        lambda first, last: intervals.list_intervals_of_bins(lattice, offsets, isis, sums, runs, first, last),
        spikes.n_units,
        n_threads=n_threads,
    )
    return Intervals(isis=isis, offsets=offsets, bin_sums=sums, n_runs=runs)


def as_trains(spikes: SpikeArrays) -> kernels.Trains:
    """Convert spike times to the types for which kernels are compiled."""
    return kernels.Trains(
        times=np.ascontiguousarray(spikes.times, np.float64),
        offsets=np.ascontiguousarray(spikes.offsets, np.int64),
        stretch=as_ids(spikes.stretch),
        ms=milliseconds_per(spikes.time_unit),
    )


def as_lattice(spikes: SpikeBits) -> kernels.Lattice:
    """Convert packed bits to the types for which kernels are compiled."""
    return kernels.Lattice(
        bits=np.ascontiguousarray(spikes.bits),
        pass_bins=spikes.pass_bins,
        bin_size=float(spikes.bin_size_ms),
        stretch=as_ids(spikes.stretch_of_bin),
        unbroken=spikes.stretch_bins.size == 1,
    )


def _bin_size(spikes: SpikeArrays) -> float:
    """Return the size of a bin in the unit of the spike times."""
    if spikes.stretch_bins is None or spikes.stretch_bins.sum() == 0:
        raise AnalysisError(
            "The spikes come from a source without bins.",
            "Runs of successive bins are undefined.",
            "Give bin_size_ms if the spike times lie on equal bins.",
        )
    return float(spikes.stretch_durations.sum() / spikes.stretch_bins.sum())


def _count_times(
    spikes: SpikeArrays, ids: Int[np.ndarray, " spike"], n_ids: int, n_threads: int | None
) -> Int[np.ndarray, "unit id"]:
    """Count the spikes of each id from one id per spike."""
    ids, offsets = as_ids(ids), spikes.offsets.astype(np.int64)
    counts = np.zeros((spikes.n_units, n_ids), np.int64)
    over_units(
        lambda first, last: intervals.count_ids(ids, offsets, counts, first, last), spikes.n_units, n_threads=n_threads
    )
    return counts


def _count_bins(
    spikes: SpikeBits, ids: Int[np.ndarray, " bin"], n_ids: int, n_threads: int | None
) -> Int[np.ndarray, "unit id"]:
    """Count the spikes of each id from one id per bin."""
    marked, lattice = ids_of_bins(spikes, ids, n_ids), as_lattice(spikes)
    # The last column takes the spikes of bins without an id.
    counts = np.zeros((spikes.n_units, n_ids + 1), np.int64)
    over_units(
        lambda first, last: kernels.count_bin_ids(lattice, marked, counts, first, last),
        spikes.n_units,
        n_threads=n_threads,
    )
    return np.ascontiguousarray(counts[:, :n_ids])
