"""One reading of a stream, in which values between limits are kept or counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt

from ann2neo.thresholds.selection.keys import ordered_keys, place_of, values_of

MOST_BITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Columns whose quantile is not known yet, and the limits between which it lies.

    Parameters
    ----------
    columns
        The columns, shape (open,).
    low, high
        Smallest and largest possible value of the quantile, shape (open,).
    most_between
        Number of values from the lower to the upper limit, shape (open,).
    exact
        Whether these numbers are exact; if not, further values may equal a limit.
    """

    columns: Int[np.ndarray, " open"]
    low: Float[np.ndarray, " open"]
    high: Float[np.ndarray, " open"]
    most_between: Int[np.ndarray, " open"]
    exact: bool


def no_limits(n_columns: int, dtype: np.dtype[Any]) -> Limits:
    """Return infinite limits for all columns.

    Examples
    --------
    >>> no_limits(1, np.dtype(np.float32)).high
    array([inf], dtype=float32)
    """
    return Limits(
        columns=np.arange(n_columns),
        low=np.full(n_columns, -np.inf, dtype),
        high=np.full(n_columns, np.inf, dtype),
        most_between=np.zeros(n_columns, np.int64),
        exact=False,
    )


class Kept:
    """A reading in which values between limits are kept; if they become too many, the limits are narrowed.

    Parameters
    ----------
    limits
        Limits between which values are kept.
    room
        Number of values of each open column that can be kept: at least four, or one more than the column has; shape (open,).
    q
        Share of values that do not exceed the quantile.
    n_expected
        Number of values that each column will have, if it is known.
    """

    def __init__(self, limits: Limits, room: Int[np.ndarray, " open"], *, q: float, n_expected: int | None) -> None:
        self._limits, self._q = limits, q
        self._n_expected, self._n = -1 if n_expected is None else n_expected, 0
        self._place = -1 if n_expected is None else place_of(q, n_expected)
        self._starts = np.concatenate([[0], np.cumsum(np.maximum(room, 4))])
        self._slots = np.empty(self._starts[-1], limits.low.dtype)
        self._n_kept, self._n_below = np.zeros_like(limits.columns), np.zeros_like(limits.columns)
        self._low, self._high = limits.low.copy(), limits.high.copy()

    def add(self, values: Float[np.ndarray, "value column"]) -> None:
        """Add the next rows."""
        # numba is loaded only when thresholds are calibrated.
        from ann2neo.thresholds.selection.kernels import keep

        keep(
            values,
            self._limits.columns,
            self._n,
            self._q,
            self._n_expected,
            self._place,
            self._slots,
            self._starts,
            self._n_kept,
            self._n_below,
            self._low,
            self._high,
        )
        self._n += len(values)

    def end(self, place: int, quantiles: Float[np.ndarray, " column"]) -> Limits:
        """Write the quantiles that are known, and return the limits of the others."""
        from ann2neo.thresholds.selection.kernels import found

        places = place - self._n_below
        values = quantiles[self._limits.columns]
        found(self._slots, self._starts, self._n_kept, places, values)
        quantiles[self._limits.columns] = values
        lower, higher = places < 0, places >= self._n_kept
        left = lower | higher
        n_above = self._n - self._n_below - self._n_kept
        return Limits(
            columns=self._limits.columns[left],
            low=np.where(lower, self._limits.low, self._high)[left],
            high=np.where(lower, self._low, self._limits.high)[left],
            most_between=np.where(lower, self._n_below, n_above)[left],
            exact=False,
        )


class Counted:
    """A reading in which values between limits are counted by the leading bits of their distance from the lower limit.

    For each pattern of bits the smallest and largest value are kept; they become the next limits. Ties, however many, are therefore recognized at once.

    Parameters
    ----------
    limits
        Limits between which values are counted.
    max_bytes
        Memory for the counts.
    """

    def __init__(self, limits: Limits, *, max_bytes: int) -> None:
        self._limits = limits
        self._low = ordered_keys(limits.low).astype(np.uint64)
        self._high = ordered_keys(limits.high).astype(np.uint64)
        keys = np.dtype(f"u{limits.low.itemsize}")
        n_patterns = max_bytes // ((8 + 2 * keys.itemsize) * limits.columns.size)
        n_bits = min(max(n_patterns.bit_length() - 1, 1), MOST_BITS)
        self._shift = np.zeros(limits.columns.size, np.uint64)
        while (wide := (self._high - self._low) >> self._shift >= 1 << n_bits).any():
            self._shift += wide
        self._n_below = np.zeros(limits.columns.size, np.int64)
        self._counts = np.zeros((limits.columns.size, 1 << n_bits), np.int64)
        self._least, self._most = (
            np.full(self._counts.shape, np.iinfo(keys).max, keys),
            np.zeros_like(self._counts, keys),
        )

    def add(self, values: Float[np.ndarray, "value column"]) -> None:
        """Add the next rows."""
        from ann2neo.thresholds.selection.kernels import count

        keys: UInt[np.ndarray, "value open"] = ordered_keys(values[:, self._limits.columns])
        count(keys, self._low, self._high, self._shift, self._n_below, self._counts, self._least, self._most)

    def end(self, place: int, quantiles: Float[np.ndarray, " column"]) -> Limits:
        """Write the quantiles that are known, and return the limits of the others."""
        upto = np.cumsum(self._counts, axis=1, out=self._counts)
        column, pattern = np.arange(len(upto)), (upto <= (place - self._n_below)[:, None]).sum(axis=1)
        between = upto[column, pattern] - np.where(pattern > 0, upto[column, pattern - 1], 0)
        least, most = values_of(self._least[column, pattern]), values_of(self._most[column, pattern])
        quantiles[self._limits.columns] = least
        left = least < most
        return Limits(
            columns=self._limits.columns[left],
            low=least[left],
            high=most[left],
            most_between=between[left],
            exact=True,
        )
