"""Buffers that collect the planes of many batches and return their bits unit by unit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from ann2neo.bits.planes import Planes
from ann2neo.bits.transposition import transpose
from ann2neo.compiled import compiled

PLANES_PER_TURN = 128


@runtime_checkable
class Buffer(Protocol):
    """Consecutive bins of one layer: added batch by batch as planes, taken out as rows of units."""

    @property
    def n_bins(self) -> int:
        """Number of bins that were added and not yet taken out."""
        ...

    def add(self, planes: Any) -> None:
        """Append the bins of a batch."""
        ...

    def take(self, n_bins: int | None = None) -> Callable[[], UInt8[np.ndarray, "unit byte"]]:
        """Take the first bins out and return a function that waits for their rows; any thread may call it."""
        ...

    def pop(self, n_bins: int | None = None) -> UInt8[np.ndarray, "unit byte"]:
        """Take the first bins out and wait for their rows."""
        ...

    def rows(self) -> UInt8[np.ndarray, "unit byte"]:
        """Copy all bins without taking them out."""
        ...


@runtime_checkable
class Held(Protocol):
    """Spikes of a batch that are held elsewhere, such as on a device, with a type of buffer of their own; see `Planes`."""

    n_bins: int

    def fetch(self) -> Planes:
        """Copy the planes to the host; only possible before they are added to a buffer."""
        ...

    def without_first(self, n_bins: int) -> Held:
        """Return the spikes without the first bins."""
        ...

    def buffer(self, n_bins: int | None) -> Buffer:
        """Make a buffer from which ``n_bins`` are taken out at a time; None if that is not known."""
        ...


def fetched(planes: Planes | Held) -> Planes:
    """Return planes in host memory, copied if they are held elsewhere."""
    return planes if isinstance(planes, Planes) else planes.fetch()


def buffer_for(planes: Planes | Held, n_bins: int | None = None) -> Buffer:
    """Make a buffer for spikes of this kind, from which ``n_bins`` are taken out at a time.

    Examples
    --------
    >>> buffer_for(Planes(bits=np.zeros((1, 3), np.uint8), n_bins=4)).n_bins
    0
    """
    return PlaneBuffer(planes.bits.shape[1]) if isinstance(planes, Planes) else planes.buffer(n_bins)


class PlaneBuffer:
    """Consecutive planes of one layer, each with any number of bins.

    Examples
    --------
    >>> from ann2neo.bits import pack
    >>> buffer = PlaneBuffer(n_units=1)
    >>> buffer.add(pack(np.ones((3, 1), bool))); buffer.add(pack(np.ones((6, 1), bool)))
    >>> buffer.n_bins, np.unpackbits(buffer.pop(8)), buffer.n_bins, np.unpackbits(buffer.pop())
    (9, array([1, 1, 1, 1, 1, 1, 1, 1], dtype=uint8), 1, array([1, 0, 0, 0, 0, 0, 0, 0], dtype=uint8))
    """

    def __init__(self, n_units: int) -> None:
        self._whole: deque[np.ndarray] = deque()
        self._n_whole = 0
        self._rest = np.zeros((1, n_units), np.uint8)
        self._n_rest = 0

    @property
    def n_bins(self) -> int:
        """Number of bins that were added and not yet taken out."""
        return 8 * self._n_whole + self._n_rest

    def add(self, planes: Planes) -> None:
        """Append planes, with their bits shifted to follow the last bin."""
        n_bins = self._n_rest + planes.n_bins
        if self._n_rest == 0 and n_bins % 8 == 0 and n_bins:
            self._whole.append(np.ascontiguousarray(planes.bits))
            self._n_whole += n_bins // 8
            return
        bits = np.ascontiguousarray(planes.bits) if self._n_rest == 0 else self._shifted(planes.bits)
        n_whole = n_bins // 8
        if n_whole:
            self._whole.append(bits[:n_whole])
            self._n_whole += n_whole
        self._n_rest = n_bins % 8
        if self._n_rest:
            self._rest = bits[n_whole : n_whole + 1].copy()

    def pop(self, n_bins: int | None = None) -> UInt8[np.ndarray, "unit byte"]:
        """Take the first bins out as rows of units, shape (unit, byte).

        ``n_bins`` is a multiple of eight, or None for all bins; the unused bits of the last byte are then zero.
        """
        everything = n_bins is None
        n_whole = self._n_whole if n_bins is None else min(n_bins // 8, self._n_whole)
        rows = np.empty((self._rest.shape[1], n_whole + (everything and self._n_rest > 0)), np.uint8)
        joined = np.empty((min(PLANES_PER_TURN, n_whole), rows.shape[0]), np.uint8)
        done = 0
        while done < n_whole:
            some = self._first(joined[: n_whole - done])
            transpose(some, done, rows)
            done += len(some)
        if everything and self._n_rest:
            rows[:, -1] = self._rest[0]
            self._n_rest = 0
        return rows

    def take(self, n_bins: int | None = None) -> Callable[[], UInt8[np.ndarray, "unit byte"]]:
        """Take the first bins out and return a function that returns their rows."""
        rows = self.pop(n_bins)
        return lambda: rows

    def rows(self) -> UInt8[np.ndarray, "unit byte"]:
        """Copy all bins as rows of units, shape (unit, byte), without taking them out."""
        rows, done = np.empty((self._rest.shape[1], self._n_whole + (self._n_rest > 0)), np.uint8), 0
        for piece in self._whole:
            transpose(np.ascontiguousarray(piece), done, rows)
            done += len(piece)
        if self._n_rest:
            rows[:, -1] = self._rest[0]
        return rows

    def _first(self, joined: UInt8[np.ndarray, "plane unit"]) -> UInt8[np.ndarray, "plane unit"]:
        """Take out as many complete planes as the array holds.

        The planes of one batch fill only a few bytes of a row, so those of several batches are joined before they are transposed.
        """
        pieces, missing = [], len(joined)
        while missing:
            piece = self._whole.popleft()
            if len(piece) > missing:
                self._whole.appendleft(piece[missing:])
            pieces.append(piece[:missing])
            missing -= len(pieces[-1])
        self._n_whole -= len(joined)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, out=joined)

    def _shifted(self, bits: UInt8[np.ndarray, "plane unit"]) -> UInt8[np.ndarray, "plane_plus_one unit"]:
        """Append bits to those of the incomplete plane."""
        shifted = np.empty((len(bits) + 1, bits.shape[1]), np.uint8)
        append_shifted(self._rest[0], self._n_rest, np.ascontiguousarray(bits), shifted)
        return shifted


@compiled
def append_shifted(
    last: UInt8[np.ndarray, " unit"],
    n_used: int,
    bits: UInt8[np.ndarray, "plane unit"],
    shifted: UInt8[np.ndarray, "plane_plus_one unit"],
) -> None:
    """Append planes after the first ``n_used`` bits (1 to 7) of an incomplete plane."""
    for unit in range(last.size):
        shifted[0, unit] = last[unit]
    for plane in range(len(bits)):
        before, behind, given = shifted[plane], shifted[plane + 1], bits[plane]
        for unit in range(last.size):
            before[unit] |= given[unit] >> n_used
            behind[unit] = given[unit] << (8 - n_used)
