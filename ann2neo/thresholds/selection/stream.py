"""A quantile of every column of a stream, in as few readings as memory allows."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from ann2neo.errors import InputsError
from ann2neo.thresholds.selection.keys import place_of
from ann2neo.thresholds.selection.readings import Counted, Kept, Limits, no_limits

MAX_BYTES = 256 * 1024**2


class Selection:
    """The exact quantile of every column of a stream, which is one of the values of the column.

    The first reading keeps a column's values between two limits, and counts the others. If the kept values exceed the memory, the limits are narrowed around
    the expected place of the quantile, under the assumption that later values are distributed like earlier ones; values that cannot become the quantile are dropped
    first. One reading is enough if the quantile lies between the limits at the end, as it does if values come in random order, or if memory holds all of them. Other
    columns need further readings. Between limits that are known to contain the quantile, all values are kept if memory allows; otherwise they are counted by the
    leading bits of their distance from the lower limit, which narrows the limits by a known factor.

    Parameters
    ----------
    q
        Share of values that do not exceed the quantile.
    max_bytes
        Memory for values or counts.
    n_expected
        Number of values that each column will have, if it is known; fewer readings and less memory may then be needed.

    References
    ----------
    Munro and Paterson (1980), Selection and sorting with limited storage, doi:10.1016/0304-3975(80)90061-4.

    Examples
    --------
    >>> every, little = Selection(0.5), Selection(0.5, max_bytes=32)
    >>> every.add(np.array([[3.0], [1.0], [2.0]])); every.end_reading(), every.values
    (True, array([2.]))
    >>> values = np.linspace(0, 1, 1001)[:, None] ** 2
    >>> little.add(values)
    >>> while not little.end_reading():
    ...     little.add(values)
    >>> little.values
    array([0.25])
    """

    def __init__(self, q: float, *, max_bytes: int = MAX_BYTES, n_expected: int | None = None) -> None:
        self._q, self._max_bytes, self._n_expected = q, max_bytes, n_expected
        self._reading: Kept | Counted | None = None
        self._n_readings = self._n = self._n_before = 0
        self._sums = self._sums_before = np.zeros(0, np.uint64)
        self._found = np.zeros(0)
        self._dtype: np.dtype[Any] = np.dtype(np.float64)

    def add(self, values: Float[np.ndarray, "value column"]) -> None:
        """Add the next rows, all of one floating-point type."""
        reading = self._reading = self._reading or self._first_reading(values)
        # numba does not support float16; float32 represents all its values.
        wide = np.ascontiguousarray(values, np.float32 if values.itemsize < 4 else values.dtype)
        self._sums += wide.view(f"u{wide.itemsize}").sum(axis=0, dtype=np.uint64)
        reading.add(wide)
        self._n += len(values)

    def end_reading(self) -> bool:
        """End a reading of the stream; return whether all quantiles are known, so that no other reading is needed.

        Raises
        ------
        InputsError
            If the values differ from those of the reading before.
        """
        if self._reading is None:
            raise InputsError("no values were read.", "Their quantile is not defined.", "Give at least one input.")
        if self._n_readings:
            self._check_same()
        self._n_readings += 1
        limits = self._reading.end(place_of(self._q, self._n), self._found)
        # Its memory is released before the next reading allocates as much.
        self._reading = None
        self._n_before, self._sums_before = self._n, self._sums
        if limits.columns.size == 0:
            return True
        self._reading = self._next_reading(limits)
        self._n, self._sums = 0, np.zeros_like(self._sums)
        return False

    @property
    def n_readings(self) -> int:
        """Number of completed readings of the stream."""
        return self._n_readings

    @property
    def n_values(self) -> int:
        """Number of rows."""
        return max(self._n, self._n_before)

    @property
    def values(self) -> Float[np.ndarray, " column"]:
        """Quantile of each column in the type of the stream, shape (column,); known once `end_reading` is true."""
        if self._n_readings == 0 or self._n != self._n_before:
            raise InputsError(
                "the quantiles are not known yet.", "There are no values to return.", "Read the stream again."
            )
        # A quantile of zero is the positive zero.
        return self._found.astype(self._dtype) + self._dtype.type(0)

    def _first_reading(self, values: np.ndarray) -> Kept:
        n_columns, self._dtype = values.shape[1], values.dtype
        wide = np.dtype(np.float32) if values.itemsize < 4 else values.dtype
        self._found, self._sums = np.zeros(n_columns, wide), np.zeros(n_columns, np.uint64)
        most = max(self._max_bytes // (wide.itemsize * max(n_columns, 1)), 4)
        room = most if self._n_expected is None else min(most, self._n_expected + 1)
        limits = no_limits(n_columns, wide)
        return Kept(limits, np.full(n_columns, room), q=self._q, n_expected=self._n_expected)

    def _next_reading(self, limits: Limits) -> Kept | Counted:
        """Keep the values between the limits if memory has room for them; count them first if an earlier try failed because of ties at a limit."""
        room = limits.most_between + 1
        fits = int(room.sum()) * self._found.itemsize <= self._max_bytes
        if fits and (self._n_readings == 1 or limits.exact):
            return Kept(limits, room, q=self._q, n_expected=self._n_before)
        return Counted(limits, max_bytes=self._max_bytes)

    def _check_same(self) -> None:
        n_other = int((self._sums != self._sums_before).sum())
        if self._n != self._n_before or n_other:
            raise InputsError(
                f"the calibration inputs gave different activations when they were read again ({n_other} columns differ).",
                "Their exact quantiles cannot be determined.",
                "Give inputs that are the same at every reading (no augmentation), give fewer inputs, or calibrate fewer units.",
            )
