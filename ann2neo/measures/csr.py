"""Spikes of many units as flat arrays, the common input of all measures for any source of spike trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ann2neo.errors import SpikeTrainError
from ann2neo.exchange import Exchange
from ann2neo.windows import Repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class SpikeArrays:
    """The spikes of some units, unit by unit, as compressed sparse rows.

    A stretch is a contiguous piece of time; no inter-spike interval crosses its border. A window is a set of times in
    which spikes are counted. Each window belongs to one pass (one run through all inputs), and windows of a pass need
    not be contiguous or of equal size.

    Parameters
    ----------
    times
        Spike times in ``time_unit``, ascending within each (unit, stretch), shape (spike,). Each stretch may have its
        own clock.
    offsets
        Spikes of unit ``u`` are ``times[offsets[u]:offsets[u + 1]]``, shape (unit + 1,).
    stretch
        Stretch of each spike, ascending within a unit, shape (spike,).
    window
        Window in which each spike is counted, -1 for none, shape (spike,).
    label
        Class in which each spike is counted for the label share, -1 for none, shape (spike,).
    stretch_durations
        Duration of each stretch in ``time_unit``, shape (stretch,).
    stretch_starts
        Begin of each stretch on its clock, in ``time_unit``, shape (stretch,); None if all begin at 0.
    stretch_bins
        Number of bins of each stretch, shape (stretch,); None if the source has no bins.
    window_durations
        Duration of each window in ``time_unit``, shape (window,).
    window_bins
        Number of bins of each window, shape (window,); None if the source has no bins.
    window_pass
        Pass to which each window belongs, shape (window,).
    label_bins
        Number of bins of each class over all passes, shape (class,); None without labels or bins.
    time_unit
        Unit of all times, for instance "ms".
    repeats
        Which windows repeat each other, if Fano factors are computed over repeats; otherwise None.
    exchange
        Exchangeable input of each spike, and the class of each input, if classes are known; otherwise None.
    """

    times: Float[np.ndarray, " spike"]
    offsets: Int[np.ndarray, " unit_plus_one"]
    stretch: Int[np.ndarray, " spike"]
    window: Int[np.ndarray, " spike"]
    label: Int[np.ndarray, " spike"] | None
    stretch_durations: Float[np.ndarray, " stretch"]
    stretch_bins: Int[np.ndarray, " stretch"] | None
    window_durations: Float[np.ndarray, " window"]
    window_bins: Int[np.ndarray, " window"] | None
    window_pass: Int[np.ndarray, " window"]
    label_bins: Int[np.ndarray, " class"] | None
    time_unit: str
    stretch_starts: Float[np.ndarray, " stretch"] | None = None
    repeats: Repeats | None = None
    exchange: Exchange | None = None

    def __post_init__(self) -> None:
        if self.offsets[0] != 0 or self.offsets[-1] != self.times.size or np.any(np.diff(self.offsets) < 0):
            raise SpikeTrainError(
                f"offsets do not ascend from 0 to the {self.times.size} spikes.",
                "Spikes would be lost or counted for the wrong unit.",
                "Give offsets that begin with 0 and end with the number of spikes.",
            )
        self._check_ids("stretch", self.stretch, 0, self.stretch_durations.size)
        self._check_ids("window", self.window, -1, self.window_durations.size)
        if self.label is not None and self.label_bins is not None:
            self._check_ids("label", self.label, -1, self.label_bins.size)

    def _check_ids(self, name: str, ids: Int[np.ndarray, " spike"], lowest: int, n_known: int) -> None:
        """Raise if ids are out of range: compiled kernels do not check them and would write outside their arrays."""
        if ids.size and (ids.min() < lowest or ids.max() >= n_known):
            raise SpikeTrainError(
                f"Spikes name the {name} ids {ids.min()} to {ids.max()}, but only {lowest} to {n_known - 1} are known.",
                "Spikes would be counted in the wrong place.",
                f"Give every spike a {name} that exists.",
            )

    @property
    def n_units(self) -> int:
        """Number of units, including silent units."""
        return self.offsets.size - 1

    @property
    def n_spikes(self) -> Int[np.ndarray, " unit"]:
        """Spikes of each unit over all stretches, shape (unit,)."""
        return np.diff(self.offsets)

    @property
    def unit_of_spike(self) -> Int[np.ndarray, " spike"]:
        """Unit of each spike, shape (spike,)."""
        return np.repeat(np.arange(self.n_units), self.n_spikes)

    def stretches_of(self, unit: int) -> Iterator[tuple[int, Float[np.ndarray, " spike"]]]:
        """Yield the number and spike times of each stretch in which the unit spiked."""
        rows = slice(self.offsets[unit], self.offsets[unit + 1])
        times, stretch = self.times[rows], self.stretch[rows]
        borders = np.flatnonzero(np.diff(stretch)) + 1
        for part, ids in zip(np.split(times, borders), np.split(stretch, borders)):
            if ids.size:
                yield int(ids[0]), part
