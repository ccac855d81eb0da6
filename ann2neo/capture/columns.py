"""Batches cut into columns of chunks: where each begins, and what is known of its inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from ann2neo.capture.inputs import Source, trial_columns
from ann2neo.capture.memory import SeenBatch
from ann2neo.capture.packing import PlaneBuffer, Planes, pack
from ann2neo.capture.running import Job
from ann2neo.store.growing import Growing, write_bits, writing
from ann2neo.store.log import Column, Start, write_column


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which inputs and bins each batch has, where that is known before they are read.

    Parameters
    ----------
    inputs, bins
        First input and first bin of each batch, and the end, shape (batch + 1,).

    Examples
    --------
    >>> layout = Layout(inputs=np.array([0, 2, 4, 5]), bins=np.array([0, 20, 40, 50]))
    >>> layout.start_of(39)
    Start(batch=1, first_input=2, first_bin=20)
    """

    inputs: Int[np.ndarray, " edge"]
    bins: Int[np.ndarray, " edge"]

    @property
    def n_bins(self) -> int:
        """Number of bins of one pass."""
        return int(self.bins[-1])

    def start_of(self, bin_number: int) -> Start:
        """Find the batch in which a bin lies."""
        batch = int(np.searchsorted(self.bins, bin_number, side="right")) - 1
        return Start(batch=batch, first_input=int(self.inputs[batch]), first_bin=int(self.bins[batch]))

    def columns_until_aligned(self, column_bins: int) -> int:
        """Number of columns after which a column and a batch begin together again: no batch is run twice if so many go together."""
        n_bins = int(self.bins[1])
        return n_bins // math.gcd(n_bins, column_bins)


def layout_of(job: Job, source: Source) -> Layout | None:
    """Find where batches lie, or None where the number of inputs or of their bins shows only when they are read."""
    sizes = source.batch_sizes
    if sizes is None or (job.steps is not None and (job.steps.lengths is None or callable(job.steps.lengths))):
        return None
    inputs = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if job.steps is None:
        return Layout(inputs=inputs, bins=inputs)
    given = job.steps.lengths
    lengths = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)
    # Lengths that do not fit the inputs are refused with the batch that shows it.
    if lengths.ndim != 1 or lengths.size < inputs[-1] or not np.issubdtype(lengths.dtype, np.integer):
        return None
    edges = np.concatenate([[0], np.cumsum(lengths[: inputs[-1]])]).astype(np.int64)
    return Layout(inputs=inputs, bins=edges[inputs])


class Known:
    """What is known of the inputs of a batch: labels that were given or came with it, and predictions."""

    def __init__(self, job: Job, source: Source) -> None:
        self._inputs = job.inputs
        self._given: dict[str, np.ndarray] = {}
        if job.inputs.labels is not None:
            n_inputs = source.n_inputs
            self._given = trial_columns(job.inputs, [], _n_given(job.inputs.labels) if n_inputs is None else n_inputs)

    def of(self, batch: SeenBatch, first_input: int, pass_number: int) -> dict[str, np.ndarray]:
        """Columns of the table of trials for the inputs of a batch."""
        known = {} if batch.predicted is None else {"predicted_label": batch.predicted}
        if pass_number:
            return known
        stop = first_input + batch.lengths.size
        if self._inputs.labels is None:
            return known if batch.labels is None else {"label": batch.labels} | known
        for values in self._given.values():
            if values.size < stop:
                self.check_number(stop)
        return {name: values[first_input:stop] for name, values in self._given.items()} | known

    def check_number(self, n_inputs: int) -> None:
        """Refuse labels that are not as many as the inputs.

        Raises
        ------
        InputsError
            If they are more or less.
        """
        if self._inputs.labels is not None:
            trial_columns(self._inputs, [], n_inputs)


class ColumnWriter:
    """Takes in batches of one pass and writes columns as soon as they are full.

    A column is compressed and written by a thread of its own while the next one is recorded; no more than one is under way. To be used in a ``with`` statement, at whose
    end, however it comes, all that was handed over is on the disk.

    Parameters
    ----------
    growing
        The store.
    pass_number, first, stop
        Which columns: of which pass, from which one on, to before which one; to where the inputs end if that is None.
    start
        The batch that comes first; its bins before the first column are left out.
    committed
        Is called when a column is on the disk.
    """

    def __init__(
        self,
        growing: Growing,
        pass_number: int,
        *,
        first: int,
        stop: int | None,
        start: Start,
        committed: Callable[[int], Any] | None = None,
    ) -> None:
        self._growing, self._pass, self._column, self._stop = growing, pass_number, first, stop
        self._committed = committed
        self._buffers: dict[str, PlaneBuffer] = {}
        self._inputs: list[tuple[int, np.ndarray, Mapping[str, np.ndarray]]] = []
        self._batches: dict[int, int] = {}
        self._n_buffered = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ann2neo-writing")
        self._under_way: Future[None] | None = None
        self.next_batch = start

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

    def add(self, batch: SeenBatch, known: Mapping[str, np.ndarray], crc32: int) -> None:
        """Take in a batch, and write the columns that it fills."""
        here, first_bin = self.next_batch, self._column * self._growing.column_bins + self._n_buffered
        n_inputs, n_bins = batch.lengths.size, int(batch.lengths.sum())
        after = Start(batch=here.batch + 1, first_input=here.first_input + n_inputs, first_bin=here.first_bin + n_bins)
        n_left_out = first_bin - here.first_bin
        for name, planes in batch.planes.items():
            if name not in self._buffers:
                self._buffers[name] = PlaneBuffer(planes.bits.shape[1])
            self._buffers[name].add(_without_first(planes, n_left_out))
        self._n_buffered += n_bins - n_left_out
        self._inputs.append((here.first_bin, batch.lengths, known))
        self._batches[here.batch] = crc32
        self.next_batch = after
        while self._n_buffered >= self._growing.column_bins and not self.done:
            cut = (self._column + 1) * self._growing.column_bins
            self._commit(self._growing.column_bins, here if cut < after.first_bin else after)
            self._batches = {here.batch: crc32} if cut < after.first_bin else {}

    def end(self) -> None:
        """Write what is left, when the inputs have come to their end."""
        if not self.done:
            self._commit(None, self.next_batch)

    def _commit(self, n_bins: int | None, after: Start) -> None:
        number, n_taken = self._column, self._n_buffered if n_bins is None else n_bins
        bits = [
            self._buffers[layer.name].pop(n_bins) if n_taken else np.zeros((layer.n_units, 0), np.uint8)
            for layer in self._growing.layers
        ]
        lengths, known = self._take_inputs(number * self._growing.column_bins, (number + 1) * self._growing.column_bins)
        column = Column(
            pass_number=self._pass,
            number=number,
            n_bins=n_taken,
            last=n_bins is None or number + 1 == self._growing.n_columns,
            lengths=lengths,
            known=known,
            batches=self._batches,
            after=after,
            crc32=[],
        )
        self._wait()
        self._under_way = self._thread.submit(_write, self._growing, column, bits)
        self._column += 1
        self._n_buffered -= n_taken

    def _wait(self) -> None:
        """Wait for the column that is being written, and raise what went wrong."""
        if self._under_way is None:
            return
        self._under_way.result()
        self._under_way = None
        if self._committed is not None:
            self._committed(1)

    def _take_inputs(self, first_bin: int, stop_bin: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Give what is known of the inputs that begin in these bins, and forget batches none of whose inputs begin later."""
        some, kept = [], []
        for first, lengths, known in self._inputs:
            starts = first + np.cumsum(lengths) - lengths
            here = slice(*np.searchsorted(starts, (first_bin, stop_bin)).tolist())
            if here.start < here.stop:
                some.append((lengths[here], {name: values[here] for name, values in known.items()}))
            if here.stop < starts.size:
                kept.append((first, lengths, known))
        self._inputs = kept
        if not some:
            return np.zeros(0, np.int64), {}
        names = [name for name in some[0][1] if all(name in known for _, known in some)]
        lengths = np.concatenate([lengths for lengths, _ in some])
        return lengths, {name: np.concatenate([known[name] for _, known in some]) for name in names}


def _write(growing: Growing, column: Column, bits: Sequence[np.ndarray]) -> None:
    """Write the bits of a column, shape (unit, byte) for each layer, then the marker by which it counts, with their check sums."""
    with writing(growing.path):
        crc32 = [write_bits(growing, place, column.pass_number, column.number, rows) for place, rows in enumerate(bits)]
        write_column(growing.path, replace(column, crc32=crc32))


def _without_first(planes: Planes, n_bins: int) -> Planes:
    """Leave out the first bins."""
    if n_bins == 0:
        return planes
    dense = np.unpackbits(planes.bits, axis=0, count=planes.n_bins)
    return pack(dense[n_bins:].view(np.bool_))


def _n_given(labels: Any) -> int:
    values = next(iter(labels.values()), []) if isinstance(labels, Mapping) else labels
    return len(values)
