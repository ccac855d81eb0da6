"""Streaming planes of spikes into a store, column by column; any producer can, and torch is not needed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from ann2neo.bits import Buffer, Held, PlaneBuffer, Planes, buffer_for
from ann2neo.recording import Layer
from ann2neo.store.begun import BegunColumn, begun_file, forget_begun, write_begun
from ann2neo.store.disk import Unsynced
from ann2neo.store.growing import Growing, check_unreplaced, write_bits, writing
from ann2neo.store.log import Column, Start, log_file, write_column

# Half a minute: with the time that writing takes, no more than a minute of work is lost.
SECONDS_BETWEEN_COMMITS = 30.0


class ColumnWriter:
    """Takes in batches of one pass and writes columns as soon as they are full.

    A column is compressed and written by a thread of its own while the next one is recorded; no more than one is under way. If columns take long to fill, what there is of
    one is written after `SECONDS_BETWEEN_COMMITS`, so that no more than that is lost with a process. To be used in a ``with`` statement, at whose end, however it comes,
    all that was handed over is on the disk.

    Parameters
    ----------
    growing
        The store.
    pass_number, first, stop
        Which columns: of which pass, from which one on, to before which one; to where the inputs end if that is None.
    start
        The batch that comes first; its bins before the first column are left out.
    begun
        What is recorded of the first column already, if it was put down before it was full; ``start`` is then the batch after it.
    committed
        Is called when a column is on the disk.
    unsynced
        Takes note of the files that are written.
    """

    def __init__(
        self,
        growing: Growing,
        pass_number: int,
        *,
        first: int,
        stop: int | None,
        start: Start,
        begun: BegunColumn | None = None,
        committed: Callable[[int], Any] | None = None,
        unsynced: Unsynced | None = None,
    ) -> None:
        self._growing, self._pass, self._column, self._stop = growing, pass_number, first, stop
        self._committed, self._unsynced = committed, Unsynced() if unsynced is None else unsynced
        self._buffers: dict[str, Buffer] = {}
        self._taken_up: dict[str, Planes] = {}
        self._inputs: list[tuple[int, np.ndarray, Mapping[str, Any]]] = []
        self._batches: dict[int, int] = {}
        self._n_buffered = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ann2neo-writing")
        self._under_way: tuple[Future[None], int] | None = None
        self._last_commit = time.monotonic()
        self.next_batch = start
        if begun is not None:
            self._take_up(begun)

    def __enter__(self) -> ColumnWriter:
        return self

    def __exit__(self, _: type | None, error: BaseException | None, __: Any) -> None:
        """Wait until all is written; what goes wrong there is not shown if something went wrong before."""
        self._thread.shutdown()
        if error is None:
            self._wait()

    @property
    def done(self) -> bool:
        """Whether all columns are full."""
        return self._column == self._stop

    def add(
        self,
        planes: Mapping[str, Planes | Held],
        lengths: Int[np.ndarray, " input"],
        known: Mapping[str, Any],
        checksum: int,
    ) -> None:
        """Take in a batch and write the columns that it fills.

        Parameters
        ----------
        planes
            Spikes by layer, as many bins in each.
        lengths
            Bins of each input, shape (input,).
        known
            What is known of each input (``label``, ``predicted_label``, ...), each of shape (input,): arrays, or what becomes one when it is sliced.
        checksum
            32 bits by which the batch is recognized when the recording is resumed.
        """
        here, first_bin = self.next_batch, self._column * self._growing.column_bins + self._n_buffered
        n_inputs, n_bins = lengths.size, int(lengths.sum())
        after = Start(batch=here.batch + 1, first_input=here.first_input + n_inputs, first_bin=here.first_bin + n_bins)
        n_left_out = first_bin - here.first_bin
        for name, some in planes.items():
            here_only = some.without_first(n_left_out)
            if name not in self._buffers:
                self._buffers[name] = self._begin(name, buffer_for(here_only, self._growing.column_bins))
            self._buffers[name].add(here_only)
        self._n_buffered += n_bins - n_left_out
        self._inputs.append((here.first_bin, lengths, known))
        self._batches[here.batch] = checksum
        self.next_batch = after
        while self._n_buffered >= self._growing.column_bins and not self.done:
            cut = (self._column + 1) * self._growing.column_bins
            self._commit(self._growing.column_bins, here if cut < after.first_bin else after)
            self._batches = {here.batch: checksum} if cut < after.first_bin else {}
        if time.monotonic() - self._last_commit > SECONDS_BETWEEN_COMMITS and not self.done:
            self._commit_part(after)

    def end(self) -> None:
        """Write what is left, when the inputs have come to their end."""
        if not self.done:
            self._commit(None, self.next_batch)

    def _begin(self, name: str, buffer: Buffer) -> Buffer:
        """Put what was recorded of a column before into a new buffer."""
        if name in self._taken_up:
            buffer.add(self._taken_up.pop(name))
        return buffer

    def _buffer(self, layer: Layer) -> Buffer:
        if layer.name not in self._buffers:
            self._buffers[layer.name] = self._begin(layer.name, PlaneBuffer(layer.n_units))
        return self._buffers[layer.name]

    def _commit(self, n_bins: int | None, after: Start) -> None:
        number, n_taken = self._column, self._n_buffered if n_bins is None else n_bins
        bits = [self._buffer(layer).take(n_bins) if n_taken else _no_rows(layer) for layer in self._growing.layers]
        last = n_bins is None or number + 1 == self._growing.n_columns
        self._submit(_write, self._described(n_taken, after, last=last), bits, 1)
        first_bin = (number + 1) * self._growing.column_bins
        self._inputs = [one for one in self._inputs if one[0] + one[1][:-1].sum() >= first_bin]
        self._column += 1
        self._n_buffered -= n_taken

    def _commit_part(self, after: Start) -> None:
        """Put down what there is of a column that is not full, and go on with it."""
        if self._n_buffered:
            bits = [self._buffer(layer).rows() for layer in self._growing.layers]
            self._submit(_write_part, self._described(self._n_buffered, after), bits, 0)

    def _described(self, n_bins: int, after: Start, *, last: bool = False) -> Column:
        begin = self._column * self._growing.column_bins
        lengths, known = self._inputs_between(begin, begin + self._growing.column_bins)
        return Column(
            pass_number=self._pass,
            number=self._column,
            n_bins=n_bins,
            last=last,
            lengths=lengths,
            known=known,
            batches=dict(self._batches),
            after=after,
            checksums=[],
        )

    def _submit(self, write: Callable[..., None], column: Column, bits: Sequence[Any], n_columns: int) -> None:
        self._wait()
        self._under_way = self._thread.submit(write, self._growing, column, bits, self._unsynced), n_columns
        self._last_commit = time.monotonic()

    def _wait(self) -> None:
        """Wait for the column that is being written, and raise what went wrong."""
        if self._under_way is None:
            return
        (under_way, n_columns), self._under_way = self._under_way, None
        under_way.result()
        if self._committed is not None and n_columns:
            self._committed(n_columns)

    def _take_up(self, begun: BegunColumn) -> None:
        """Go on with a column that was put down before it was full."""
        column = begun.column
        for layer, rows in zip(self._growing.layers, begun.rows):
            self._taken_up[layer.name] = Planes(bits=np.ascontiguousarray(rows.T), n_bins=column.n_bins)
        first_bin = column.after.first_bin - int(column.lengths.sum())
        self._inputs = [(first_bin, column.lengths, column.known)] if column.lengths.size else []
        self._batches, self._n_buffered = dict(column.batches), column.n_bins

    def _inputs_between(self, first_bin: int, stop_bin: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Gather what is known of the inputs that begin in these bins."""
        some = []
        for first, lengths, known in self._inputs:
            starts = first + np.cumsum(lengths) - lengths
            here = slice(*np.searchsorted(starts, (first_bin, stop_bin)).tolist())
            if here.start < here.stop:
                some.append((lengths[here], {name: values[here] for name, values in known.items()}))
        if not some:
            return np.zeros(0, np.int64), {}
        names = [name for name in some[0][1] if all(name in known for _, known in some)]
        lengths = np.concatenate([lengths for lengths, _ in some])
        return lengths, {name: np.concatenate([known[name] for _, known in some]) for name in names}


def _no_rows(layer: Layer) -> Callable[[], UInt8[np.ndarray, "unit byte"]]:
    return lambda: np.zeros((layer.n_units, 0), np.uint8)


def _write(
    growing: Growing, column: Column, bits: Sequence[Callable[[], UInt8[np.ndarray, "_ _"]]], unsynced: Unsynced
) -> None:
    """Write the bits of a column, shape (unit, byte) for each layer, as they come, then the marker by which it counts, with their check sums."""
    place = column.pass_number, column.number
    with writing(growing.path):
        check_unreplaced(growing)
        checksums = [write_bits(growing, layer, *place, rows(), unsynced) for layer, rows in enumerate(bits)]
        unsynced.sync_if_due()
        # Again: to write the bits takes its time.
        check_unreplaced(growing)
        write_column(growing.path, replace(column, checksums=checksums))
        unsynced.entries.append(os.fspath(log_file(growing.path, *place)))
        forget_begun(growing.path, *place)


def _write_part(growing: Growing, column: Column, bits: Sequence[np.ndarray], unsynced: Unsynced) -> None:
    """Write what there is of a column."""
    with writing(growing.path):
        check_unreplaced(growing)
        write_begun(growing, BegunColumn(column=column, rows=bits))
        unsynced.files.append(os.fspath(begun_file(growing.path, column.pass_number, column.number)))
        unsynced.sync_if_due()
