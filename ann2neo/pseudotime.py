"""Pseudo-time: the bin of each spike, and the time at which it is written."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ann2neo.arguments import check_whole
from ann2neo.errors import PseudoTimeError

# Of edge, quarter and centre, only the quarter was mapped back to its bin by every consumer that was tried (floor, round, Elephant's and pynapple's
# binning, closed intervals on both ends). It is dyadic, so every time is also exact in binary floating point.
POSITION_IN_BIN = 0.25
MANTISSA_BITS = 53


def milliseconds(given: Any, name: str = "bin_size_ms") -> float:
    """Convert a duration to milliseconds. A plain number is in milliseconds; a value with a unit is converted, or refused if its unit is not one of time.

    Parameters
    ----------
    given
        A number, a quantity of time, or a time difference of Python, NumPy or pandas.
    name
        Name of the argument, for the message.

    Raises
    ------
    PseudoTimeError
        If the value is not a single duration.

    Examples
    --------
    >>> import quantities as pq
    >>> milliseconds(2), milliseconds(0.5 * pq.s), milliseconds(np.timedelta64(3, "us"))
    (2.0, 500.0, 0.003)
    >>> milliseconds(2 * pq.mV)
    Traceback (most recent call last):
        ...
    ann2neo.errors.PseudoTimeError: `bin_size_ms` must be a duration, got 2.0 mV.
    Without a unit of time, all times and rates would be wrong.
    Give a number of milliseconds, such as 1.0, or a quantity of time, such as 1 * pq.ms.
    """
    try:
        if isinstance(given, timedelta):
            return given / timedelta(milliseconds=1)
        if isinstance(given, np.timedelta64):
            return float(given / np.timedelta64(1, "ns")) / 1e6
        if hasattr(given, "rescale"):
            return float(given.rescale("ms").item())
        if isinstance(given, Real) and not isinstance(given, bool | np.bool_):
            return float(given)
    except (ValueError, TypeError, OverflowError):
        pass
    raise PseudoTimeError(
        f"`{name}` must be a duration, got {given!s}.",
        "Without a unit of time, all times and rates would be wrong.",
        "Give a number of milliseconds, such as 1.0, or a quantity of time, such as 1 * pq.ms.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PseudoTime:
    """A time axis of equal bins that begins at 0.

    The spike of bin ``k`` is at ``(k + 0.25) * bin_size_ms``. Bin sizes for which these times are not exact in float64 (0.1 ms, for instance)
    are refused, because equal inter-spike intervals would then differ.

    Parameters
    ----------
    n_bins
        Number of bins.
    bin_size_ms
        Size of a bin in milliseconds. The time is called "pseudo" because an input takes no time.

    Raises
    ------
    PseudoTimeError
        If the bin size is not positive, or spike times would be inexact.

    Examples
    --------
    >>> axis = PseudoTime(n_bins=4, bin_size_ms=2.0)
    >>> axis.spike_times_ms(np.array([0, 3]))
    array([0.5, 6.5])
    >>> axis.bins_of(np.array([0.5, 6.5]))
    array([0, 3])
    >>> axis.edges_ms
    array([0., 2., 4., 6., 8.])
    """

    n_bins: int
    bin_size_ms: float = 1.0

    def __post_init__(self) -> None:
        check_whole(self.n_bins, "n_bins", low=0, such_as=1000, error=PseudoTimeError)
        object.__setattr__(self, "bin_size_ms", milliseconds(self.bin_size_ms))
        if not (math.isfinite(self.bin_size_ms) and self.bin_size_ms > 0):
            raise PseudoTimeError(
                f"`bin_size_ms` must be positive and finite, got {self.bin_size_ms}.",
                "Nothing was done.",
                "Use a positive bin size, such as 1.0.",
            )
        numerator, _ = float(self.bin_size_ms).as_integer_ratio()
        odd_part = numerator // (numerator & -numerator)
        if odd_part * (4 * max(self.n_bins, 1) + 1) >= 2**MANTISSA_BITS:
            near = 2.0 ** round(math.log2(self.bin_size_ms))
            raise PseudoTimeError(
                f"Bins of {self.bin_size_ms!r} ms do not give exact spike times over {self.n_bins} bins.",
                "Equal inter-spike intervals would differ in their last bits.",
                f"Use a bin size that is a small number of halves, quarters, ...: {near!r} ms is the nearest power of two.",
            )

    @property
    def duration_ms(self) -> float:
        """End of the last bin, in milliseconds."""
        return self.n_bins * self.bin_size_ms

    @property
    def edges_ms(self) -> Float[np.ndarray, " edge"]:
        """Edges of the bins in milliseconds, shape (bin + 1,)."""
        return np.arange(self.n_bins + 1) * float(self.bin_size_ms)

    def spike_times_ms(self, bins: Int[np.ndarray, " spike"]) -> Float[np.ndarray, " spike"]:
        """Return the time of a spike in each of the given bins, in milliseconds, shape (spike,)."""
        return (bins + POSITION_IN_BIN) * float(self.bin_size_ms)

    def bins_of(self, times_ms: Float[np.ndarray, " spike"]) -> Int[np.ndarray, " spike"]:
        """Find the bin of each spike time in milliseconds, shape (spike,).

        Raises
        ------
        PseudoTimeError
            If a time lies outside the bins, or not at a quarter of its bin: ann2neo did not make such a train.
        """
        bins = np.floor(times_ms / self.bin_size_ms).astype(np.int64)
        if bins.size and (bins.min() < 0 or bins.max() >= self.n_bins):
            raise PseudoTimeError(
                f"Spike times reach from {times_ms.min()} to {times_ms.max()} ms, but the bins cover 0 to {self.duration_ms} ms.",
                "These spikes have no bin.",
                "Analyze the trains as they are (`ann2neo.analyze`), or use the bin size with which they were made.",
            )
        if not np.allclose(times_ms, self.spike_times_ms(bins), rtol=1e-9, atol=1e-6 * self.bin_size_ms):
            raise PseudoTimeError(
                f"Spike times are not at a quarter of bins of {self.bin_size_ms} ms.",
                "They were made by other software, or with another bin size, and cannot be converted to bits without loss.",
                "Analyze the trains as they are (`ann2neo.analyze`).",
            )
        return bins
