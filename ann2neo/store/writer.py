"""Streaming planes of spikes into a store, column by column, from any producer; torch is not needed."""

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

# Half a minute: including the time of writing, at most a minute of work is lost.
SECONDS_BETWEEN_COMMITS = 30.0


class ColumnWriter:
    """Writer of the batches of one pass, which writes columns as soon as they are full.

    A column is compressed and written by a separate thread while the next one is recorded; at most one is being written at a time. If a column takes long to fill, the part so far
    is written after `SECONDS_BETWEEN_COMMITS`, so that no more than that is lost if the process dies. Use it in a ``with`` statement: at its end, also after an error,
    all added batches are on the disk.

    Parameters
    ----------
    growing
        The store.
    pass_number, first, stop
        Number of the pass, first column, and the column before which to stop; None to stop where the inputs end.
    start
        The first batch; its bins before the first column are left out.
    begun
        The part of the first column that is already recorded, if it was written before it was full; ``start`` is then the batch after it.
    committed
        Called when a column is on the disk.
    unsynced
        Keeps track of the written files until they are synced.
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
        """Wait until all columns are written; an error of writing is not raised if there was an error before."""
        self._thread.shutdown()
        if error is None:
            self._wait()

    @property
    def done(self) -> bool:
        """Return whether all columns are full."""
        return self._column == self._stop

    def add(
        self,
        planes: Mapping[str, Planes | Held],
        lengths: Int[np.ndarray, " input"],
        known: Mapping[str, Any],
        checksum: int,
    ) -> None:
        """Add a batch and write the columns that it fills.

        Parameters
        ----------
        planes
            Spikes by layer, with the same number of bins in each.
        lengths
            Bins of each input, shape (input,).
        known
            Facts about each input (``label``, ``predicted_label``, ...), each of shape (input,): arrays, or objects whose slices are arrays.
        checksum
            32 bits that identify the batch when the recording is resumed.
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
        """Write the rest after the last input."""
        if not self.done:
            self._commit(None, self.next_batch)

    def _begin(self, name: str, buffer: Buffer) -> Buffer:
        """Copy the recorded part of a column into a new buffer."""
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
        """Write the part of a column so far, and continue to fill it."""
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
        """Wait for the column that is being written, and raise its error if there was one."""
        if self._under_way is None:
            return
        (under_way, n_columns), self._under_way = self._under_way, None
        under_way.result()
        if self._committed is not None and n_columns:
            self._committed(n_columns)

    def _take_up(self, begun: BegunColumn) -> None:
        """Continue a column that was written before it was full."""
        column = begun.column
        for layer, rows in zip(self._growing.layers, begun.rows):
            self._taken_up[layer.name] = Planes(bits=np.ascontiguousarray(rows.T), n_bins=column.n_bins)
        first_bin = column.after.first_bin - int(column.lengths.sum())
        self._inputs = [(first_bin, column.lengths, column.known)] if column.lengths.size else []
        self._batches, self._n_buffered = dict(column.batches), column.n_bins

    def _inputs_between(self, first_bin: int, stop_bin: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Collect the facts about the inputs that begin in these bins."""
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
    """Write the bits of a column, shape (unit, byte) for each layer, as they arrive, then its log entry with their check sums."""
    place = column.pass_number, column.number
    with writing(growing.path):
        check_unreplaced(growing)
        checksums = [write_bits(growing, layer, *place, rows(), unsynced) for layer, rows in enumerate(bits)]
        unsynced.sync_if_due()
        # Checked again, because writing the bits takes time.
        check_unreplaced(growing)
        write_column(growing.path, replace(column, checksums=checksums))
        unsynced.entries.append(os.fspath(log_file(growing.path, *place)))
        forget_begun(growing.path, *place)


def _write_part(growing: Growing, column: Column, bits: Sequence[np.ndarray], unsynced: Unsynced) -> None:
    """Write the part of a column so far."""
    with writing(growing.path):
        check_unreplaced(growing)
        write_begun(growing, BegunColumn(column=column, rows=bits))
        unsynced.files.append(os.fspath(begun_file(growing.path, column.pass_number, column.number)))
        unsynced.sync_if_due()
