"""What leaves a column on a device: spikes of a batch that are still there, and rows of a layer on the host."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from ann2neo.bits import Buffer, Held, PlaneBuffer, Planes, fetched
from ann2neo.device.column import LayerColumn
from ann2neo.device.transfer import Rows
from ann2neo.errors import RecordingError


class Part:
    """Spikes of a batch that are still on the device; see `ann2neo.bits.Held`.

    It can be kept, by adding it to a buffer, before the next batch begins; or looked at, which copies it from the device.
    """

    def __init__(self, column: LayerColumn, n_bins: int) -> None:
        self._column, self.n_bins, self.kept = column, n_bins, False
        self._host: np.ndarray | None = None

    def fetch(self) -> Planes:
        """Copy the planes to here, units in their logical order.

        Raises
        ------
        RecordingError
            If they were kept: a buffer has them.
        """
        if self.kept:
            raise RecordingError(
                f"the spikes of a batch of layer {self._column.name!r} were added to a buffer.",
                "They are no longer here.",
                "Look at them before.",
            )
        self._column.owner.look(self._column.owner.pending())
        return Planes(bits=self.leave(), n_bins=self.n_bins)

    def leave(self) -> UInt8[np.ndarray, "plane unit"]:
        """Copy the planes from the device, on which the next batch takes their place."""
        if self._host is None:
            rows = self._column.logical(self._column.read(self._column.n_bins, self.n_bins))
            self._host = np.ascontiguousarray(rows.reshape(self._column.n_units, -1).cpu().numpy().T)
        return self._host

    def without_first(self, n_bins: int) -> Part:
        """Leave out the first bins."""
        if n_bins:
            column = self._column
            rest = column.read(column.n_bins + n_bins, self.n_bins - n_bins)
            self.n_bins, self._host = self.n_bins - n_bins, None
            column.write(rest, self.n_bins)
        return self

    def buffer(self, n_bins: int | None) -> Buffer:
        """Make a buffer for this layer, of this many bins at a time; see `ann2neo.bits.buffer_for`."""
        return RowBuffer(self._column, n_bins)

    def keep(self, column: LayerColumn) -> bool:
        """Let the bins stay where they are, as the last ones of their column; False if they are not there any more."""
        if column.opened() is not self or self.kept:
            return False
        column.n_bins += self.n_bins
        self.kept = True
        return True


def open_part(column: LayerColumn, n_bins: int) -> Part:
    """Describe what was written after the bins that a column keeps, and is a batch of this many bins."""
    part = Part(column, n_bins)
    column.open(part)
    return part


@dataclass(slots=True)
class Block:
    """Some bytes of each unit's row, of which those from ``first`` to before ``stop`` are filled."""

    rows: UInt8[np.ndarray, "unit byte"]
    first: int = 0
    stop: int = 0


class RowBuffer:
    """What `ann2neo.bits.PlaneBuffer` is for planes, for parts of a column on a device.

    The rows are put together by threads, while the model runs; who takes them out gets a function that waits for them.

    Parameters
    ----------
    column
        Bits of the layer on its device.
    n_bins
        How many bins will be taken out at a time, so that their rows need not be joined; None if that is not known.
    """

    def __init__(self, column: LayerColumn, n_bins: int | None) -> None:
        self._column, self._width = column, None if not n_bins else -(-n_bins // 8)
        self._blocks: deque[Block] = deque()
        self._n_here = 0
        self._jobs: list[Future[None]] = []
        column.buffer = weakref.ref(self)

    @property
    def n_bins(self) -> int:
        """Number of bins that were added and not taken out."""
        return self._n_here + (self._column.n_bins if self._is_fed else 0)

    @property
    def _is_fed(self) -> bool:
        return self._column.buffer() is self

    def add(self, planes: Planes | Held) -> None:
        """Append the bins of a batch, which stay on the device if they are there."""
        if isinstance(planes, Part) and planes.keep(self._column):
            return
        host, n_whole = fetched(planes), 0
        if not self.n_bins:
            # What was recorded of a column before may be more than the device is to hold.
            n_whole = host.n_bins // 8
            buffer = PlaneBuffer(self._column.n_units)
            buffer.add(Planes(bits=host.bits[:n_whole], n_bins=8 * n_whole))
            self._append(buffer.pop(), 8 * n_whole)
        if host.n_bins > 8 * n_whole:
            self._column.insert(Planes(bits=host.bits[n_whole:], n_bins=host.n_bins - 8 * n_whole))

    def receive(self, rows: Rows, n_bins: int) -> None:
        """Let threads put rows down that are on their way from the device."""
        done, n_bytes = 0, -(-n_bins // 8)
        last_bits = (0xFF00 >> (n_bins % 8 or 8)) & 0xFF
        while done < n_bytes:
            place = self._next_place(n_bytes - done)
            is_last = done + place.shape[1] == n_bytes
            self._jobs += rows.put(place, done, last_bits=last_bits if is_last else 0xFF)
            done += place.shape[1]
        self._n_here += n_bins

    def take(self, n_bins: int | None = None) -> Callable[[], UInt8[np.ndarray, "unit byte"]]:
        """Take the first bins out, a multiple of eight or all of them, and return a function that waits for their rows.

        The function raises what went wrong on their way, and refuses values that were not finite.
        """
        if self._is_fed and (n_bins is None or self._n_here < n_bins):
            self._column.owner.flush(last=n_bins is None)
        n_taken = self._n_here if n_bins is None else n_bins
        self._n_here -= n_taken
        rows = self._arriving(self._cut(-(-n_taken // 8)))
        self._jobs = [job for job in self._jobs if not job.done()]
        return rows

    def pop(self, n_bins: int | None = None) -> UInt8[np.ndarray, "unit byte"]:
        """Take bins out and wait for them."""
        return self.take(n_bins)()

    def rows(self) -> UInt8[np.ndarray, "unit byte"]:
        """Copy all bins unit by unit, shape (unit, byte), and keep them."""
        column = self._column
        column.owner.flush()
        column.owner.end(wait=True)
        parts = [block.rows[:, block.first : block.stop] for block in self._blocks]
        if column.n_bins:
            rest = column.logical(column.read(0, column.n_bins)).reshape(column.n_units, -1)
            parts.append(rest.cpu().numpy())
        return self._arriving(parts)().copy()

    def _arriving(self, parts: list[np.ndarray]) -> Callable[[], np.ndarray]:
        jobs, owner, n_units = list(self._jobs), self._column.owner, self._column.n_units
        counts = owner.pending()

        def rows() -> np.ndarray:
            for job in jobs:
                job.result()
            owner.look(counts)
            if len(parts) == 1:
                return np.ascontiguousarray(parts[0])
            return np.concatenate([np.zeros((n_units, 0), np.uint8), *parts], axis=1)

        return rows

    def _append(self, rows: np.ndarray, n_bins: int) -> None:
        done = 0
        while done < rows.shape[1]:
            place = self._next_place(rows.shape[1] - done)
            place[:] = rows[:, done : done + place.shape[1]]
            done += place.shape[1]
        self._n_here += n_bins

    def _next_place(self, n_bytes: int) -> np.ndarray:
        """Return the next bytes of every row, up to a limit."""
        if not self._blocks or self._blocks[-1].stop == self._blocks[-1].rows.shape[1]:
            width = n_bytes if self._width is None else self._width
            self._blocks.append(Block(np.empty((self._column.n_units, width), np.uint8)))
        block = self._blocks[-1]
        start, block.stop = block.stop, min(block.stop + n_bytes, block.rows.shape[1])
        return block.rows[:, start : block.stop]

    def _cut(self, n_bytes: int) -> list[np.ndarray]:
        parts = []
        while n_bytes:
            block = self._blocks[0]
            width = min(n_bytes, block.stop - block.first)
            parts.append(block.rows[:, block.first : block.first + width])
            block.first += width
            n_bytes -= width
            if block.first == block.rows.shape[1]:
                self._blocks.popleft()
        return parts
