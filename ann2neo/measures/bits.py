"""Spikes of many units as packed bits: the form in which recordings are stored, and the fastest input of measures."""

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
    """The spikes of some units on equal bins, one bit per unit and bin.

    The spike of bin ``k`` is at ``(k + 0.25) * bin_size_ms``, with one clock for all passes. The bin size must make
    these times exact, so that an interval is a number of bins times the bin size. Stretches and windows are defined as in
    `SpikeArrays`.

    Parameters
    ----------
    bits
        Whether each unit spiked in each bin, in the layout of `numpy.packbits`, shape (pass, unit, byte). Every pass
        begins on a byte.
    pass_bins
        Number of bins of one pass. Bits beyond it are zero.
    bin_size_ms
        Size of a bin in milliseconds.
    stretch_edges
        First bin of each stretch, counted over all passes, and the end of the last one, shape (stretch + 1,).
    window
        Window of each bin over all passes, -1 for none, shape (bin,).
    window_pass
        Pass to which each window belongs, shape (window,).
    label
        Class of each bin for the label share, -1 for none, shape (bin,); None without labels.
    repeats
        Which windows repeat each other, if Fano factors are computed over repeats; otherwise None.
    exchange
        Exchangeable input of each bin, and the class of each input, if classes are known; otherwise None.
    sequences
        Inputs that can exchange their sequences of labels, if labels belong to bins; otherwise None.

    Raises
    ------
    RecordingError
        If the parts contradict each other, or a bit after the last bin is set.

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
                fact, "Spikes would be counted in the wrong place.", "Give parts that belong to the same recording."
            )

    def _contradictions(self) -> list[str]:
        """List contradictions; compiled kernels do not check these numbers and would read outside their arrays."""
        n_bytes, n_pad = -(-self.pass_bins // 8), -self.pass_bins % 8
        edges = self.stretch_edges
        facts = []
        if self.bits.shape[2] != n_bytes:
            facts.append(f"{self.pass_bins} bins need {n_bytes} bytes per unit, but bits have shape {self.bits.shape}.")
        elif n_pad and np.any(self.bits[:, :, -1] & ((1 << n_pad) - 1)):
            facts.append(f"A bit after the last of {self.pass_bins} bins is set.")
        if edges.size == 0 or edges[0] != 0 or edges[-1] != self.n_bins or np.any(np.diff(edges) < 0):
            facts.append(f"stretch_edges do not ascend from 0 to the {self.n_bins} bins of all passes.")
        for name, ids in (("window", self.window), ("label", self.label)):
            if ids is not None and ids.size != self.n_bins:
                facts.append(f"There are {ids.size} {name} ids for {self.n_bins} bins.")
        n_windows = self.window_pass.size
        if self.window.size and (self.window.max() >= n_windows or self.window.min() < -1):
            facts.append(
                f"Bins have window ids {self.window.min()} to {self.window.max()}, but there are {n_windows} windows."
            )
        if self.repeats is not None and self.repeats.condition.size != n_windows:
            facts.append(f"There are {self.repeats.condition.size} conditions for {n_windows} windows.")
        if self.exchange is not None and self.exchange.ids.size != self.n_bins:
            facts.append(f"There are {self.exchange.ids.size} input ids for {self.n_bins} bins.")
        if self.sequences is not None and self.sequences.label.size != self.pass_bins:
            facts.append(f"There are {self.sequences.label.size} labels of steps for {self.pass_bins} bins of a pass.")
        if self.label is not None and self.label.size and self.label.min() < -1:
            facts.append(f"Label ids must be at least -1, got {self.label.min()}.")
        return facts

    @property
    def n_units(self) -> int:
        """Number of units, including silent units."""
        return self.bits.shape[1]

    @property
    def n_bins(self) -> int:
        """Number of bins over all passes."""
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
        """Number of bins of each class over all passes, shape (class,); None without labels."""
        return None if self.label is None else np.bincount(self.label[self.label >= 0])

    def arrays(self) -> SpikeArrays:
        """Convert the spikes to times, which takes up to 64 times the memory."""
        dense = np.unpackbits(self.bits, axis=2, count=self.pass_bins).view(np.bool_)
        # Flat indices minus the offset of each unit: three times as fast as the indices of a matrix.
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
