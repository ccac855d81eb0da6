"""p values of each unit: is its train what chance predicts, given its number of spikes?"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ann2neo import chance
from ann2neo.analysis.expectation import bins_of_passes, unit_blocks
from ann2neo.analysis.source import Chunk
from ann2neo.chance.stationarity import stationarity_test_of_inputs
from ann2neo.exchange import Exchange
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk import (
    Intervals,
    count_in_groups,
    count_in_stretches,
    count_in_windows,
    count_runs,
    intervals_in_bins,
)
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import fano_is_fixed
from ann2neo.step_labels import Sequences

TESTS = {
    "dispersion_p": "dispersion over windows, both ways",
    "overdispersion_p": "excess over windows",
    "runs_p": "runs",
    "isi_law_p": "ISI law",
    "stationarity_p": "stationarity",
}
"""Columns of tests, and what each is about."""


def p_values(chunk: Chunk, *, seed: int) -> dict[str, Float[np.ndarray, " unit"]]:
    """Test the counts in windows, the runs, the law of intervals and the trend of each unit; NaN where a test is undefined.

    Every test is conditioned on the unit's number of spikes. Over label windows the test of dispersion is one of label tuning, over all passes of an input
    together. Else the first of several passes is tested: the others show the same inputs again and add no evidence.
    """
    spikes = first_pass(chunk.spikes) if isinstance(chunk.spikes, SpikeBits) else chunk.spikes
    n = count_in_stretches(spikes)
    dispersion, overdispersion = dispersion_p_values(chunk.spikes, count_in_windows(spikes))
    bins = spikes.stretch_bins
    if isinstance(spikes, SpikeArrays) and (bins is None or spikes.window_bins is None):
        return {
            "dispersion_p": dispersion,
            "overdispersion_p": overdispersion,
            "runs_p": np.full(len(n), np.nan),
            "isi_law_p": chance.isi_law_test_poisson(*_intervals(spikes), n, spikes.stretch_durations),
            "stationarity_p": trend_in_time(chunk),
        }
    assert bins is not None  # noqa: S101
    found = intervals_in_bins(spikes, n) if isinstance(spikes, SpikeBits) else _in_bins(spikes, bins)
    keys = unit_keys(chunk.units, seed)
    return {
        "dispersion_p": dispersion,
        "overdispersion_p": overdispersion,
        "runs_p": chance.runs_test(found.n_runs, n, bins),
        "isi_law_p": chance.isi_law_test(found.isis, found.offsets, n, bins, keys=keys),
        "stationarity_p": _trend(spikes, found, n, bins),
    }


def _trend(
    spikes: SpikeBits | SpikeArrays,
    found: Intervals,
    n: Int[np.ndarray, "unit stretch"],
    bins: Int[np.ndarray, " stretch"],
) -> Float[np.ndarray, " unit"]:
    """Test for a trend over the bins of a pass; over its inputs (trials) where these have several bins, as those of a recording that are its stretches."""
    if isinstance(spikes, SpikeBits) and bins.size > 1:
        return stationarity_test_of_inputs(n, bins)
    exchange = spikes.exchange
    if isinstance(spikes, SpikeArrays) and exchange is not None and not exchange.one_bin:
        return stationarity_test_of_inputs(count_in_groups(spikes, exchange.ids, exchange.size.size), exchange.size)
    return chance.stationarity_test(found.bin_sums, n.sum(axis=1), n_bins=int(bins.sum()))


def trend_in_time(chunk: Chunk) -> Float[np.ndarray, " unit"]:
    """Test for a trend over trials, or over windows where there are none: spikes of one of them depend on one another where its gain is its own.

    Trials, or windows, are in the order of their segments and in time; NaN where they overlap, so that one would be told by the next.
    """
    spikes, counted = chunk.spikes, chunk.counted
    if counted is None:
        assert isinstance(spikes, SpikeArrays)  # noqa: S101
        own = spikes.exchange
        counts = count_in_windows(spikes) if own is None else count_in_groups(spikes, own.ids, own.size.size)
        durations = spikes.window_durations if own is None else own.size
        return stationarity_test_of_inputs(counts[:, durations > 0], durations[durations > 0], lattice=False)
    assert counted.stretch_starts is not None  # noqa: S101
    seen = np.flatnonzero(counted.window_durations > 0)
    seen = seen[np.lexsort((counted.stretch_starts[seen], counted.window_pass[seen]))]
    start, durations = counted.stretch_starts[seen], counted.window_durations[seen]
    follows = np.diff(counted.window_pass[seen]) == 0
    if (follows & (start[1:] < (start + (1 - 1e-6) * durations)[:-1])).any():
        return np.full(counted.n_units, np.nan)
    first = np.ones(seen.size, np.bool_) if counted.repeats is None else counted.repeats.position[seen] == 0
    trials = np.flatnonzero(first)
    counts = np.add.reduceat(count_in_windows(counted)[:, seen], trials, axis=1)
    return stationarity_test_of_inputs(counts, np.add.reduceat(durations, trials), lattice=False)


def dispersion_p_values(
    spikes: SpikeBits | SpikeArrays, counts: Int[np.ndarray, "unit window"]
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    """Test counts in windows both ways, and for an excess.

    Over labels of steps, inputs exchange their sequences of labels; over other labels, inputs with all their bins and passes are dealt to labels; where each input is one bin, and over other
    windows (of the first pass), spikes are thrown into bins; without bins, into time.

    Parameters
    ----------
    spikes
        Spikes of some units, all passes.
    counts
        Spikes of the first pass in each of its windows, shape (unit, window).
    """
    undefined = np.full(len(counts), np.nan)
    exchange = spikes.exchange
    if spikes.repeats is not None or fano_is_fixed(spikes.window_bins):
        return undefined, undefined
    if isinstance(spikes, SpikeBits) and spikes.sequences is not None and spikes.sequences.labels_are_windows:
        return _over_sequences(spikes, spikes.sequences)
    if exchange is not None and exchange.labels_are_windows and not exchange.one_bin:
        if chance.has_repeats(exchange.label):
            return _over_inputs(spikes, exchange)
        if spikes.window_bins is not None:
            return undefined, undefined
    if spikes.window_bins is not None:
        if exchange is not None and exchange.labels_are_windows and not chance.has_repeats(exchange.label):
            return undefined, undefined
        bins = spikes.window_bins[spikes.window_pass == 0] if isinstance(spikes, SpikeBits) else spikes.window_bins
        return chance.dispersion_tests(counts, bins)
    assert isinstance(spikes, SpikeArrays)  # noqa: S101
    durations = spikes.window_durations
    return chance.dispersion_tests(counts, durations, lattice=False)


def _over_inputs(
    spikes: SpikeBits | SpikeArrays, exchange: Exchange
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    lattice = spikes.window_bins is not None
    parts = []
    for block in unit_blocks(spikes, exchange.size.size):
        inputs = count_in_groups(block, exchange.ids, exchange.size.size)
        parts.append(np.stack(chance.input_dispersion_tests(inputs, exchange.size, exchange.label, lattice=lattice)))
    both, more = np.concatenate(parts, axis=1)
    return both, more


def _over_sequences(
    spikes: SpikeBits, sequences: Sequences
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, " unit"]]:
    """Test spikes of all passes over labels of steps."""
    groups, label, n = sequences.groups, sequences.label, sequences.n_labels
    if not chance.can_exchange(groups, label):
        nothing = np.full(spikes.n_units, np.nan)
        return nothing, nothing
    n_passes = spikes.bits.shape[0]
    bins = np.bincount(label[label >= 0], minlength=n) * n_passes
    parts = []
    for some in unit_blocks(spikes, max(chance.DRAWS, 4 * spikes.n_bins)):
        block = cast(SpikeBits, some)
        mean = chance.mean_of_sequences(bins_of_passes(block).sum(axis=0), groups, label)
        drawn = (
            count_in_groups(block, np.tile(dealt, n_passes), n) for dealt in chance.exchanged_labels(groups, label)
        )
        counts = count_in_groups(block, np.tile(label, n_passes), n)
        parts.append(np.stack(chance.sequence_dispersion_tests(counts, mean, bins, drawn)))
    both, more = np.concatenate(parts, axis=1)
    return both, more


def first_pass(spikes: SpikeBits) -> SpikeBits:
    """View the first pass of a recording.

    Examples
    --------
    >>> one = SpikeBits(
    ...     bits=np.zeros((2, 1, 1), np.uint8), pass_bins=4, bin_size_ms=1.0, stretch_edges=np.array([0, 4, 8]),
    ...     window=np.array([0, 0, 1, 1, 2, 2, 3, 3]), window_pass=np.array([0, 0, 1, 1]),
    ... )
    >>> first_pass(one).window, first_pass(one).stretch_edges
    (array([0, 0, 1, 1]), array([0, 4]))
    """
    if spikes.bits.shape[0] == 1:
        return spikes
    n = spikes.pass_bins
    return replace(
        spikes,
        bits=spikes.bits[:1],
        stretch_edges=spikes.stretch_edges[spikes.stretch_edges <= n],
        window=spikes.window[:n],
        window_pass=spikes.window_pass[spikes.window_pass == 0],
        label=None if spikes.label is None else spikes.label[:n],
        repeats=None,
        exchange=None,
        sequences=None,
    )


def corrected(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """Correct each test for the number of good units of a layer; other units do not count as tests and have no corrected value."""
    columns = {f"{name}_corrected": pd.Series(np.nan, index=table.index) for name in TESTS}
    for _, units in table[table["quality"] == "good"].groupby("layer", sort=False):
        for name in TESTS:
            columns[f"{name}_corrected"].loc[units.index] = chance.false_discovery(
                units[name].to_numpy(np.float64), method=method
            )
    return table.assign(**columns)


def unit_keys(units: pd.DataFrame, seed: int) -> Int[np.ndarray, " unit"]:
    """Assign each unit a number of its own that seeds its randomness in any chunk.

    Examples
    --------
    >>> units = pd.DataFrame({"layer": ["a", "b"], "unit": [3, 3]})
    >>> bool((unit_keys(units, 0)[::-1] == unit_keys(units.iloc[::-1], 0)).all())
    True
    """
    layer, names = pd.factorize(units["layer"])
    keys = [hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest() for name in names]
    base = np.array([int.from_bytes(key, "little") for key in keys], np.uint64)[layer]
    mixed = base + units["unit"].to_numpy(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed >> np.uint64(1)).astype(np.int64)


def _intervals(arrays: SpikeArrays) -> tuple[Float[np.ndarray, " isi"], Int[np.ndarray, " unit_plus_one"]]:
    """List the intervals of each unit, none across the border of a stretch."""
    unit = arrays.unit_of_spike
    inside = (np.diff(unit) == 0) & (np.diff(arrays.stretch) == 0)
    per_unit = np.bincount(unit[1:][inside], minlength=arrays.n_units)
    return np.diff(arrays.times)[inside], np.concatenate([[0], np.cumsum(per_unit)]).astype(np.int64)


def _in_bins(arrays: SpikeArrays, bins: Int[np.ndarray, " stretch"]) -> Intervals:
    """List the intervals of times on a lattice in bins, as `intervals_in_bins` does those of bits."""
    size = float(arrays.stretch_durations.sum() / bins.sum())
    isis, offsets = _intervals(arrays)
    places = np.floor(_since_beginning(arrays) / size + 1e-6).astype(np.int64)
    return Intervals(
        isis=np.rint(isis / size).astype(np.int64),
        offsets=offsets,
        bin_sums=_whole_sums(arrays, places),
        n_runs=count_runs(arrays).sum(axis=1),
    )


def _since_beginning(arrays: SpikeArrays) -> Float[np.ndarray, " spike"]:
    """Concatenate all stretches on one clock that begins at 0."""
    starts = 0.0 if arrays.stretch_starts is None else arrays.stretch_starts
    shift = np.cumsum(arrays.stretch_durations) - arrays.stretch_durations - starts
    return arrays.times + shift[arrays.stretch]


def _whole_sums(arrays: SpikeArrays, values: Int[np.ndarray, " spike"]) -> Int[np.ndarray, " unit"]:
    """Sum whole numbers over the spikes of each unit: exact, and faster than counting by weight."""
    upto = np.concatenate([[0], np.cumsum(values)]).astype(np.int64)
    return np.diff(upto[arrays.offsets])
