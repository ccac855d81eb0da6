"""Spikes of many units as packed bits: what recordings hold, and the fastest thing to measure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int, UInt8

from ann2neo.errors import RecordingError
from ann2neo.exchange import Exchange
from ann2neo.measures.csr import SpikeArrays
from ann2neo.step_labels import Sequences
from ann2neo.windows import Repeats

SPIKE_PLACE_IN_BIN = 0.25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpikeBits:
    """The spikes of some units on a lattice of bins, one bit each.

    The spike of bin ``k`` is at ``(k + 0.25) * bin_size_ms``, with one clock for all passes. The bin size must be one
    at which these times are exact, so that an interval is a number of bins times the bin size. Stretches and windows
    are as in `SpikeArrays`.

    Parameters
    ----------
    bits
        Whether each unit spiked in each bin, as `numpy.packbits` lays bits out, shape (pass, unit, byte). Every pass
        begins on a byte.
    pass_bins
        Number of bins of one pass. Bits beyond it are zero.
    bin_size_ms
        Size of a bin in milliseconds.
    stretch_edges
        Bins at which stretches begin, counted over all passes, and the end of the last one, shape (stretch + 1,).
    window
        Window of each bin, -1 for none, shape (bin,), passes one after another.
    window_pass
        Pass to which each window belongs, shape (window,).
    label
        Class of each bin for the label share, -1 for none, shape (bin,); None where there are no labels.

    repeats
        Which windows repeat each other, where Fano factors are taken over repeats; else None.
    exchange
        Which bins belong to one input, and the class of each, where there are classes; else None.
    sequences
        Which inputs can exchange their sequences of labels, where labels belong to bins; else None.

    Raises
    ------
    RecordingError
        If the parts contradict each other, or a bit beyond the last bin is set.

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
    >>> spikes.arrays().times
    array([0.25, 2.25, 3.25])
    >>> spikes.window_bins
    array([2, 1])
    """

    bits: UInt8[np.ndarray, "pass unit byte"]
    pass_bins: int
    bin_size_ms: float
    stretch_edges: Int[np.ndarray, " edge"]
    window: Int[np.ndarray, " bin"]
    window_pass: Int[np.ndarray, " window"]
    label: Int[np.ndarray, " bin"] | None = None
    repeats: Repeats | None = None
    exchange: Exchange | None = None
    sequences: Sequences | None = None

    def __post_init__(self) -> None:
        for fact in self._contradictions():
            raise RecordingError(
                fact, "Spikes would be counted where they do not belong.", "Give parts of one recording."
            )

    def _contradictions(self) -> list[str]:
        """Say what does not fit together; compiled kernels trust these numbers and would read beyond their arrays."""
        n_bytes, n_pad = -(-self.pass_bins // 8), -self.pass_bins % 8
        edges = self.stretch_edges
        facts = []
        if self.bits.shape[2] != n_bytes:
            facts.append(f"{self.pass_bins} bins need {n_bytes} bytes per unit, but bits have shape {self.bits.shape}.")
        elif n_pad and np.any(self.bits[:, :, -1] & ((1 << n_pad) - 1)):
            facts.append(f"A bit behind the last of {self.pass_bins} bins is set.")
        if edges.size == 0 or edges[0] != 0 or edges[-1] != self.n_bins or np.any(np.diff(edges) < 0):
            facts.append(f"stretch_edges do not ascend from 0 to the {self.n_bins} bins of all passes.")
        for name, ids in (("window", self.window), ("label", self.label)):
            if ids is not None and ids.size != self.n_bins:
                facts.append(f"There are {ids.size} {name} ids for {self.n_bins} bins.")
        n_windows = self.window_pass.size
        if self.window.size and (self.window.max() >= n_windows or self.window.min() < -1):
            facts.append(f"Windows {self.window.min()} to {self.window.max()} are named, but there are {n_windows}.")
        if self.repeats is not None and self.repeats.condition.size != n_windows:
            facts.append(f"There are conditions of {self.repeats.condition.size} windows for {n_windows} windows.")
        if self.exchange is not None and self.exchange.ids.size != self.n_bins:
            facts.append(f"There are inputs of {self.exchange.ids.size} bins for {self.n_bins} bins.")
        if self.sequences is not None and self.sequences.label.size != self.pass_bins:
            facts.append(f"There are labels of {self.sequences.label.size} steps for {self.pass_bins} bins of a pass.")
        if self.label is not None and self.label.size and self.label.min() < -1:
            facts.append(f"A label id is {self.label.min()}.")
        return facts

    @property
    def n_units(self) -> int:
        """Number of units, silent ones included."""
        return self.bits.shape[1]

    @property
    def n_bins(self) -> int:
        """Number of bins of all passes together."""
        return self.bits.shape[0] * self.pass_bins

    @property
    def stretch_bins(self) -> Int[np.ndarray, " stretch"]:
        """Number of bins of each stretch, shape (stretch,)."""
        return np.diff(self.stretch_edges)

    @property
    def stretch_of_bin(self) -> Int[np.ndarray, " bin"]:
        """Stretch of each bin, shape (bin,)."""
        return np.repeat(np.arange(self.stretch_bins.size), self.stretch_bins)

    @property
    def window_bins(self) -> Int[np.ndarray, " window"]:
        """Number of bins of each window, shape (window,)."""
        return np.bincount(self.window[self.window >= 0], minlength=self.window_pass.size)

    @property
    def label_bins(self) -> Int[np.ndarray, " class"] | None:
        """Number of bins of each class over all passes, shape (class,); None where there are no labels."""
        return None if self.label is None else np.bincount(self.label[self.label >= 0])

    def arrays(self) -> SpikeArrays:
        """Write the spikes out as times, which takes up to 64 times the memory."""
        dense = np.unpackbits(self.bits, axis=2, count=self.pass_bins).view(np.bool_)
        # Three times as fast as the places of a matrix: those of a line, less the beginning of each unit.
        by_unit = dense.transpose(1, 0, 2).reshape(self.n_units, self.n_bins)
        offsets = np.concatenate([[0], np.cumsum(np.count_nonzero(by_unit, axis=1))]).astype(np.int64)
        bins = np.flatnonzero(by_unit) - np.repeat(np.arange(self.n_units) * self.n_bins, np.diff(offsets))
        return SpikeArrays(
            times=(bins + SPIKE_PLACE_IN_BIN) * self.bin_size_ms,
            offsets=offsets,
            stretch=self.stretch_of_bin[bins],
            window=self.window[bins],
            label=None if self.label is None else self.label[bins],
            stretch_durations=self.stretch_bins * self.bin_size_ms,
            stretch_bins=self.stretch_bins,
            window_durations=self.window_bins * self.bin_size_ms,
            window_bins=self.window_bins,
            window_pass=self.window_pass,
            label_bins=self.label_bins,
            time_unit="ms",
            stretch_starts=self.stretch_edges[:-1] * self.bin_size_ms,
            repeats=self.repeats,
            exchange=None if self.exchange is None else replace(self.exchange, ids=self.exchange.ids[bins]),
        )
