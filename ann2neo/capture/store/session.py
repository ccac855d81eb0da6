"""A session on a store: column by column, resumed where it stopped, dealt to several processes."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ann2neo.capture.distributed import deal
from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.inputs import Batch, Presentation, open_source
from ann2neo.capture.job import Job, watching
from ann2neo.capture.last_batch import check_last, check_not_refused
from ann2neo.capture.passes import stochastic_modules
from ann2neo.capture.provenance import described
from ann2neo.capture.run import SeenBatch, TrialColumns, run_pass
from ann2neo.capture.store.identity import check_same
from ann2neo.capture.store.repeats import Recorded, bare_layers, check_layers, repeat, to_repeat
from ann2neo.capture.store.resume import (
    Log,
    Request,
    StoreState,
    edges_of_batches,
    in_order,
    order_of,
    other_inputs,
    state_of,
)
from ann2neo.device.failures import failures_told
from ann2neo.errors import Ann2NeoWarning, InputsError, ModelError, StoreError
from ann2neo.probe.state import evaluation_mode
from ann2neo.progress import progress_bar
from ann2neo.recording import Recording
from ann2neo.store.begun import BegunColumn
from ann2neo.store.complete import load
from ann2neo.store.disk import Unsynced
from ann2neo.store.finishing import finish
from ann2neo.store.growing import Growing, create, is_complete, missing_columns, update_provenance
from ann2neo.store.layout import column_bins, open_group
from ann2neo.store.lock import locked
from ann2neo.store.log import Column, Start, is_whole, log_file, prefix, read_log
from ann2neo.store.schedule import Span, cut_spans, n_columns
from ann2neo.store.writer import ColumnWriter
from ann2neo.verification import Verdict, together

EXIT_TERMINATED = 128 + signal.SIGTERM


class Terminated(SystemExit):
    """The process was told to end (SIGTERM); it cleans up as after Ctrl-C."""


def record_into(request: Request) -> Recording:
    """Record into a store what it lacks, and open it.

    An identical complete store is opened and nothing is run; an incomplete one is resumed, whether it may be overwritten or not. Of several processes each records columns of its own.

    Raises
    ------
    StoreError
        If the store holds another recording, another process records into it, or it cannot be written.
    InputsError
        If there are several processes and the number of bins is not known before the inputs are read.
    """
    job, processes = request.job, request.processes
    with ended_by_signal(), evaluation_mode(job.module, stochastic_modules(job.module, job.passes)), _alone(request):
        source = open_source(job.inputs)
        found = _stored_verdict(request.path) if job.checks.verdict is None else None
        _adopt(job, found)
        state = processes.from_first(lambda: state_of(request, source))
        if state.growing is None and found is not None:
            # It was that of another recording, which is replaced.
            job.checks.forget()
            job.probe.reset()
            job.sink.restart()
        source = in_order(source, state.drawn)
        processes.together(lambda: check_same(request.path, state.identity, request.identity(source)))
        if not state.complete:
            with _kept(request.path), failures_told():
                Session(request, state, source).run()
    return load(request.path)


@contextmanager
def _alone(request: Request) -> Iterator[None]:
    """Keep others from recording into the store; the first process holds its lock for all. A complete store is only read, which needs none."""
    needed = request.processes.from_first(lambda: request.overwrite or not _is_complete(request.path))
    lock = locked(request.path)
    request.processes.from_first(lambda: lock.__enter__() if needed else None)
    try:
        yield
    finally:
        if needed and request.processes.rank == 0:
            lock.__exit__(None, None, None)


def _is_complete(path: Path) -> bool:
    try:
        return path.exists() and is_complete(path)
    # What is not a store, or is a damaged one, is told apart later.
    except Exception:
        return False


class Session:
    """Runs what a store lacks.

    Parameters
    ----------
    request
        What is to be in the store.
    state
        What is there.
    source
        The inputs, in the order of the store.
    """

    def __init__(self, request: Request, state: StoreState, source: Presentation) -> None:
        self._request, self._state, self._source = request, state, source
        self._job, self._edges, self._processes = request.job, edges_of_batches(request.job, source), request.processes
        self._trial_columns = TrialColumns(request.job, source)
        self._unsynced = Unsynced()
        self._begun: Iterator[SeenBatch] | None = None
        self._checked = False
        self._crc: dict[tuple[int, int], int] = {}
        self._again: list[tuple[Growing, Recorded]] = []
        self._kept: Verdict | None = None
        if self._processes.n > 1 and self._edges is None:
            raise InputsError(
                "the number of bins shows only when the inputs are read, but there are several processes.",
                "It is unclear which of them records what.",
                "Give a tensor, an array, a map-style data set or loader, or a list of batches; with steps, their lengths as an array.",
            )

    def run(self) -> None:
        """Record every column that is missing, then finish the store."""
        with watching(self._job):
            growing = self._state.growing
            if growing is None:
                growing = self._processes.from_first(self._create)
                if self._processes.rank > 0:
                    _adopt(self._job, _stored_verdict(growing.path))
            else:
                self._processes.from_first(self._discard_damaged)
            self._kept = self._job.checks.verdict
            log = read_log(growing.path)
            for column in [*log.values(), *(one.column for one in self._state.begun.values())]:
                self._crc |= {(column.pass_number, number): crc for number, crc in column.batches.items()}
            if self._edges is None:
                self._run_passes(growing, log)
            else:
                todo = self._processes.from_first(lambda: missing_columns(growing, log)) or []
                spans = cut_spans(todo, growing, self._edges, self._processes.n, self._state.begun)
                self._run_spans(growing, deal(spans, self._processes))
            self._check_last(growing)
        self._unsynced.sync()
        self._processes.from_first(lambda: self._keep_verdict(growing))
        self._processes.from_first(lambda: finish(growing))

    def _join_verdicts(self) -> None:
        """Put what all processes found into one verdict."""
        verdicts = [one for one in self._processes.together(lambda: self._job.checks.verdict) if one is not None]
        if verdicts:
            self._job.checks.verdict = together(verdicts)

    def _check_last(self, growing: Growing) -> None:
        """Let every process run its first batch once more; what that shows is written down before it is refused."""
        try:
            self._processes.together(lambda: check_last(self._job, in_memory=False))
        except ModelError:
            self._join_verdicts()
            self._processes.from_first(lambda: self._keep_verdict(growing))
            raise
        self._join_verdicts()
        check_not_refused(self._job, growing.path.name)
        self._job.checks.close()

    def _keep_verdict(self, growing: Growing) -> None:
        """Write down what later batches showed of the layers; a recording that is resumed keeps to it."""
        verdict = self._job.checks.verdict
        if verdict != self._kept:
            update_provenance(growing, self._job.checks.facts(), instead_of=("verified", "verified_json"))
            self._kept = verdict

    def _create(self) -> Growing:
        """Run the first batch, which shows the layers, and make the store."""
        stream = self._batches(0, Start(), progress=self._edges is None and self._request.progress)
        first = next(stream)
        self._begun = chain([first], stream)
        request, layers = self._request, bare_layers(self._job)
        n_bins = None if self._edges is None else self._edges.n_bins
        n_units = sum(layer.n_units for layer in layers)
        growing = Growing(
            path=request.path,
            identity=self._state.identity.facts(),
            column_bins=column_bins(n_units, n_bins, n_processes=self._processes.n),
            n_bins=n_bins,
            n_passes=self._job.n_passes,
            layers=layers,
            order=order_of(self._source),
        )
        provenance = described(self._job, batch_size=first.lengths.size) | dict(request.provenance)
        provenance["stimulus_ids"] = self._source.stimulus_ids_are
        create(growing, bin_size_ms=request.bin_size_ms, provenance=provenance, overwrite=request.overwrite)
        return growing

    def _discard_damaged(self) -> None:
        """Take columns whose bits are not those that were recorded out of the log, so that they are recorded again."""
        path = self._request.path
        damaged = sorted(set(read_log(path)) - set(self._state.log))
        if not damaged:
            return
        for place in damaged:
            log_file(path, *place).unlink(missing_ok=True)
        text = f"{len(damaged)} columns of {path} are missing or damaged on the disk, such as column {damaged[0][1]} of pass {damaged[0][0]}: they are recorded again."
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)

    def _run_passes(self, growing: Growing, log: Log) -> None:
        """Record pass after pass to where the inputs end."""
        for number in range(growing.n_passes):
            columns = prefix(log, number)
            if not is_whole(columns):
                begun = self._state.begun.get((number, len(columns)))
                self._compare_as_they_come(growing, log, columns, begun)
                last = columns[-1] if columns else None
                before = begun.column if begun is not None else last
                start = Start() if before is None else before.after
                span = Span(pass_number=number, first=len(columns), stop=None, start=start, begun=begun)
                self._run_span(growing, span, None)

    def _compare_as_they_come(
        self, growing: Growing, log: Log, columns: Sequence[Column], begun: BegunColumn | None
    ) -> None:
        """Run what is recorded again where it could not be read before: the first batch, and the last of the pass that goes on."""
        if self._state.growing is None or self._source.batch_sizes is not None or self._checked:
            return
        first = [log[0, 0]] if (0, 0) in log else []
        near = {(column.pass_number, column.number): column for column in [*first, *columns]}
        parts = {place: one for place, one in self._state.begun.items() if place == (0, 0) or one is begun}
        self._again = [(growing, recorded) for recorded in to_repeat(near, parts, complete=False)]

    def _run_spans(self, growing: Growing, spans: Sequence[Span]) -> None:
        shown = self._request.progress and self._processes.rank == 0
        total = sum(n_columns(span) for span in spans)
        with progress_bar(shown=shown, desc="recording", unit="column", total=total) as bar:
            for span in spans:
                self._run_span(growing, span, bar.update)

    def _run_span(self, growing: Growing, span: Span, committed: Callable[[int], Any] | None) -> None:
        whole = committed is None and self._request.progress
        batches = self._begun if self._begun is not None and span.start == Start() and span.pass_number == 0 else None
        self._begun = None
        writing = ColumnWriter(
            growing,
            span.pass_number,
            first=span.first,
            stop=span.stop,
            start=span.start,
            begun=span.begun,
            committed=committed,
            unsynced=self._unsynced,
        )
        with writing as writer:
            for batch in batches or self._batches(span.pass_number, span.start, progress=whole):
                if not self._checked:
                    check_layers(growing, self._job)
                    self._checked = True
                number, n_before = writer.next_batch.batch, writer.next_batch.first_input
                known = self._trial_columns.of(batch, n_before, span.pass_number)
                writer.add(batch.planes, batch.lengths, known, self._crc[span.pass_number, number])
                if self._processes.rank == 0:
                    self._keep_verdict(growing)
                if writer.done:
                    return
            self._trial_columns.check_number(writer.next_batch.first_input)
            writer.end()

    def _batches(self, pass_number: int, start: Start, *, progress: bool) -> Iterator[SeenBatch]:
        def look(number: int, batch: Batch) -> None:
            crc, place = batch_checksum(batch.x, self._job.labels_of(batch)), (pass_number, number)
            if self._crc.setdefault(place, crc) != crc:
                raise other_inputs(self._request.path, number)
            while self._again and self._again[0][1].batch == number:
                growing, recorded = self._again.pop(0)
                repeat(self._job, growing, recorded, batch)

        return run_pass(
            self._job,
            self._source,
            pass_number,
            progress=progress,
            first=start.batch,
            n_before=start.first_input,
            look=look,
        )


def _stored_verdict(path: Path) -> Verdict | None:
    """Read what was found of the layers when a store was begun; None if there is no such store."""
    try:
        return Verdict.of_facts(open_group(path).attrs["provenance"])
    # What is not a store, or is a damaged one, is told apart later.
    except Exception:
        return None


def _adopt(job: Job, verdict: Verdict | None) -> None:
    """Keep to a verdict that was reached before: in this store, or by the first process."""
    if job.checks.wanted and verdict is not None:
        job.checks.verdict = verdict


@contextmanager
def _kept(path: Path) -> Iterator[None]:
    """Add a note to any error: what was stored can be resumed."""
    try:
        yield
    except BaseException as error:
        if path.exists() and not isinstance(error, StoreError):
            n_columns = len(read_log(path))
            error.add_note(
                f"{path} keeps the {n_columns} columns that were recorded; the same call goes on with the rest."
            )
        raise


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Raise `Terminated` when the process is told to end, as Ctrl-C raises KeyboardInterrupt; only where no other handler listens to that signal."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(_: int, __: FrameType | None) -> NoReturn:
        raise Terminated(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
