"""Exact quantiles of a stream in bounded memory, by several readings where its values do not fit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt

from ann2neo.errors import InputsError

MOST_BITS = 16


def place_of(q: float, n_values: int) -> int:
    """Find the place of a quantile among sorted values, counted from 0: NumPy's "inverted_cdf" in double precision.

    Examples
    --------
    >>> [place_of(q, 10) for q in (0.0, 0.1, 0.11, 0.5, 1.0)]
    [0, 0, 1, 4, 9]
    """
    return max(math.ceil(n_values * q - 1), 0)


def ordered_keys(values: Float[np.ndarray, "*shape"]) -> UInt[np.ndarray, "*shape"]:
    """Map floating-point numbers to unsigned integers of the same width and order; both zeros have one key.

    Examples
    --------
    >>> keys = ordered_keys(np.array([-np.inf, -1.0, -0.0, 0.0, 1e-45, 2.0], np.float32))
    >>> np.diff(keys.astype(int)) > 0
    array([ True,  True, False,  True,  True])
    """
    bits = (values + values.dtype.type(0)).view(f"u{values.dtype.itemsize}")
    sign = bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
    return np.where(bits & sign, ~bits, bits | sign)


def values_of(keys: UInt[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Map keys back to the numbers that they came from.

    Examples
    --------
    >>> values_of(ordered_keys(np.array([-1.5, 0.25], np.float16)))
    array([-1.5 ,  0.25], dtype=float16)
    """
    sign = keys.dtype.type(1 << (8 * keys.dtype.itemsize - 1))
    return np.where(keys & sign, keys ^ sign, ~keys).view(f"f{keys.dtype.itemsize}")


class Selection:
    """A quantile of every column of a stream: exactly one of its values.

    Values are kept until `count` is called. From then on only how many of them begin with each pattern of bits is counted: the column's quantile lies in the
    pattern at which the count passes its place, and the next reading of the same stream counts the patterns that follow this one, until all bits are known.

    Examples
    --------
    >>> kept, counted = Selection(0.5), Selection(0.5)
    >>> kept.add(np.array([[3.0], [1.0], [2.0]])); kept.end_reading(), kept.values
    (True, array([2.]))
    >>> counted.add(np.array([[3.0], [1.0], [2.0]])); counted.count(bits=16)
    >>> while not counted.end_reading():
    ...     counted.add(np.array([[3.0], [1.0], [2.0]]))
    >>> counted.values
    array([2.])
    """

    def __init__(self, q: float) -> None:
        self._q, self._n = q, 0
        self._kept: list[np.ndarray] = []
        self._search: _Search | None = None
        self._values: np.ndarray | None = None

    def add(self, values: Float[np.ndarray, "value column"]) -> None:
        """Take in the next rows, all of one floating-point type."""
        if self._search is not None:
            self._search.add(values)
            return
        self._n += len(values)
        self._kept.append(values.copy())

    @property
    def kept_bytes(self) -> int:
        """Bytes of the values that are kept."""
        return sum(values.nbytes for values in self._kept)

    @property
    def n_columns(self) -> int:
        """Number of columns of the rows that are kept."""
        return self._kept[0].shape[1] if self._kept else 0

    def count(self, *, bits: int) -> None:
        """Keep no more values: count patterns of so many bits, which takes eight bytes per column and pattern."""
        self._search = _Search(self._q, self._kept[0], bits)
        while self._kept:
            self._search.add(self._kept.pop())

    def end_reading(self) -> bool:
        """Say that all rows were read; whether the values are known, so that no other reading is needed.

        Raises
        ------
        InputsError
            If another reading gave other values.
        """
        if self._search is None:
            every = np.concatenate(self._kept)
            place = place_of(self._q, len(every))
            every.partition(place, axis=0)
            self._values, self._kept = every[place] + every.dtype.type(0), []
            return True
        self._n = self._search.end_reading()
        if self._search.n_bits_left:
            return False
        self._values = values_of(self._search.found)
        return True

    @property
    def n_values(self) -> int:
        """Number of rows."""
        return self._n

    @property
    def values(self) -> Float[np.ndarray, " column"]:
        """Quantile of each column in the type of the stream, shape (column,); known once `end_reading` is true."""
        if self._values is None:
            raise InputsError("the quantiles are not known yet.", "", "Read the stream again.")
        return self._values


class _Search:
    """Radix search for the key at one place of each sorted column."""

    def __init__(self, q: float, like: np.ndarray, bits: int) -> None:
        self._q, self._most_bits = q, min(max(bits, 1), MOST_BITS)
        self._dtype: np.dtype[Any] = np.dtype(f"u{like.dtype.itemsize}")
        self.n_bits_left = 8 * like.dtype.itemsize
        self._prefix = np.zeros(like.shape[1], np.uint64)
        self._place: Int[np.ndarray, " column"] | None = None
        self._expected = np.zeros(like.shape[1], np.int64)
        self._n = 0
        self._begin()

    @property
    def found(self) -> UInt[np.ndarray, " column"]:
        """Key of each column, as far as its bits are known."""
        return self._prefix.astype(self._dtype)

    def _begin(self) -> None:
        self._bits = min(self._most_bits, self.n_bits_left)
        self._counts = np.zeros((self._prefix.size, 1 << self._bits), np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count the patterns that follow the known beginning of a column's key."""
        keys = ordered_keys(values)
        shift = self._dtype.type(self.n_bits_left - self._bits)
        patterns = ((keys >> shift) & self._dtype.type((1 << self._bits) - 1)).astype(np.intp)
        patterns += np.arange(keys.shape[1]) << self._bits
        if self._place is not None:
            patterns = patterns[keys >> self._dtype.type(self.n_bits_left) == self.found]
        np.add.at(self._counts.reshape(-1), patterns.reshape(-1), 1)

    def end_reading(self) -> int:
        """Extend the known beginnings; gives the number of rows."""
        upto = np.cumsum(self._counts, axis=1, out=self._counts)
        if self._place is None:
            self._n = int(upto[0, -1])
            self._place = np.full(upto.shape[0], place_of(self._q, self._n))
        elif (upto[:, -1] != self._expected).any():
            raise InputsError(
                f"the calibrating inputs gave other activations when they were read again ({(upto[:, -1] != self._expected).sum()} columns differ).",
                "Their exact quantiles cannot be found.",
                "Give inputs that are the same at every reading (no augmentation), fewer of them, or calibrate fewer units.",
            )
        column, pattern = np.arange(upto.shape[0]), (upto <= self._place[:, None]).sum(axis=1)
        before = np.where(pattern > 0, upto[column, pattern - 1], 0)
        self._expected, self._place = upto[column, pattern] - before, self._place - before
        self._prefix = (self._prefix << np.uint64(self._bits)) | pattern.astype(np.uint64)
        self.n_bits_left -= self._bits
        self._begin()
        return self._n
