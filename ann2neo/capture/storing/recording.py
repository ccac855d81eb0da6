"""Recording into a store: column by column, resumed where it stopped, dealt to several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ann2neo.capture.columns import Known, layout_of
from ann2neo.capture.distributed import Processes, deal, joined
from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.identity import check_same
from ann2neo.capture.inputs import Batch, Presentation, open_source
from ann2neo.capture.memory import SeenBatch
from ann2neo.capture.passes import stochastic_modules
from ann2neo.capture.provenance import described
from ann2neo.capture.quiet import evaluation_mode
from ann2neo.capture.repeating import Recorded, bare_layers, check_layers, repeat, to_repeat
from ann2neo.capture.running import Job, run_pass, watching
from ann2neo.capture.storing.looking import facts_of, look_for, other_inputs
from ann2neo.capture.storing.orders import in_order, order_of
from ann2neo.capture.storing.spans import Span, cut_spans, n_columns
from ann2neo.capture.storing.wanted import Found, Wanted
from ann2neo.errors import InputsError, StoreError
from ann2neo.recording import Recording
from ann2neo.store.complete import load
from ann2neo.store.finishing import finish
from ann2neo.store.growing import Growing, create, missing_columns
from ann2neo.store.layout import column_bins
from ann2neo.store.log import Column, Start, is_whole, prefix, read_log
from ann2neo.store.writer import ColumnWriter


def record_into(wanted: Wanted) -> Recording:
    """Record into a store what it lacks, and open it.

    An identical complete store is opened and nothing is run; an incomplete one is resumed, whether it may be overwritten or not. Of several processes each records columns of its own.

    Raises
    ------
    StoreError
        If the store holds another recording, or cannot be written.
    InputsError
        If there are several processes and the number of bins is not known before the inputs are read.
    """
    job = wanted.job
    with joined() as processes, evaluation_mode(job.module, _stochastic(job)):
        source = open_source(job.inputs)
        found = processes.from_first(lambda: look_for(wanted, source))
        if processes.rank > 0:
            source = in_order(source, found.drawn)
            check_same(wanted.path, found.facts, facts_of(wanted, source))
        elif found.drawn is not None:
            source = in_order(source, found.drawn)
        if not found.complete:
            with _kept(wanted.path):
                _Recorder(wanted, source, processes, found).run()
    return load(wanted.path)


class _Recorder:
    """Runs what a store lacks."""

    def __init__(self, wanted: Wanted, source: Presentation, processes: Processes, found: Found) -> None:
        self._wanted, self._source, self._processes, self._found = wanted, source, processes, found
        self._job, self._layout = wanted.job, layout_of(wanted.job, source)
        self._known = Known(wanted.job, source)
        self._begun: Iterator[SeenBatch] | None = None
        self._checked = False
        self._crc: dict[tuple[int, int], int] = {}
        self._again: list[tuple[Growing, Recorded]] = []
        if processes.n > 1 and self._layout is None:
            raise InputsError(
                "the number of bins shows only when the inputs are read, but there are several processes.",
                "It is unclear which of them records what.",
                "Give a tensor, an array, a map-style data set or loader, or a list of batches; with steps, their lengths as an array.",
            )

    def run(self) -> None:
        """Record every column that is missing, then finish the store."""
        with watching(self._job):
            growing = self._found.growing
            if growing is None:
                growing = self._processes.from_first(self._create)
            log = read_log(growing.path)
            self._crc |= {(p, number): crc for (p, _), c in log.items() for number, crc in c.batches.items()}
            if self._layout is None:
                self._run_passes(growing, log)
            else:
                todo = self._processes.from_first(lambda: missing_columns(growing, log)) or []
                self._run_spans(
                    growing, deal(cut_spans(todo, growing, self._layout, self._processes.n), self._processes)
                )
        self._processes.wait()
        self._processes.from_first(lambda: finish(growing))

    def _create(self) -> Growing:
        """Run the first batch, which shows the layers, and make the store."""
        stream = self._batches(0, Start(), progress=self._layout is None and self._wanted.progress)
        first = next(stream)
        self._begun = chain([first], stream)
        wanted, layers = self._wanted, bare_layers(self._job)
        n_bins = None if self._layout is None else self._layout.n_bins
        n_units = sum(layer.n_units for layer in layers)
        growing = Growing(
            path=wanted.path,
            identity=self._found.facts,
            column_bins=column_bins(n_units, n_bins, n_processes=self._processes.n),
            n_bins=n_bins,
            n_passes=self._job.n_passes,
            layers=layers,
            order=order_of(self._source),
        )
        provenance = described(self._job, batch_size=first.lengths.size) | dict(wanted.known)
        provenance["stimulus_ids"] = self._source.stimulus_ids_are
        create(growing, bin_size_ms=wanted.bin_size_ms, provenance=provenance, overwrite=wanted.overwrite)
        return growing

    def _run_passes(self, growing: Growing, log: Mapping[tuple[int, int], Column]) -> None:
        """Record pass after pass to where the inputs end."""
        for number in range(growing.n_passes):
            columns = prefix(log, number)
            if not is_whole(columns):
                self._compare_as_they_come(growing, log, columns)
                start = columns[-1].after if columns else Start()
                self._run_span(growing, Span(pass_number=number, first=len(columns), stop=None, start=start), None)

    def _compare_as_they_come(
        self, growing: Growing, log: Mapping[tuple[int, int], Column], columns: Sequence[Column]
    ) -> None:
        """Run what is recorded again where it could not be read before: the first batch, and the last of the pass that goes on."""
        if self._found.growing is None or self._source.batch_sizes is not None or self._checked:
            return
        first = [log[0, 0]] if (0, 0) in log else []
        near = {(column.pass_number, column.number): column for column in [*first, *columns]}
        self._again = [(growing, recorded) for recorded in to_repeat(near, complete=False)]

    def _run_spans(self, growing: Growing, spans: Sequence[Span]) -> None:
        shown = self._wanted.progress and self._processes.rank == 0
        with tqdm(
            total=sum(n_columns(span) for span in spans), desc="recording", unit="column", disable=not shown
        ) as bar:
            for span in spans:
                self._run_span(growing, span, bar.update)

    def _run_span(self, growing: Growing, span: Span, committed: Callable[[int], Any] | None) -> None:
        whole = committed is None and self._wanted.progress
        batches = self._begun if self._begun is not None and span.start == Start() and span.pass_number == 0 else None
        self._begun = None
        writing = ColumnWriter(
            growing, span.pass_number, first=span.first, stop=span.stop, start=span.start, committed=committed
        )
        with writing as writer:
            for batch in batches or self._batches(span.pass_number, span.start, progress=whole):
                if not self._checked:
                    check_layers(growing, self._job)
                    self._checked = True
                number, n_before = writer.next_batch.batch, writer.next_batch.first_input
                known = self._known.of(batch, n_before, span.pass_number)
                writer.add(batch.planes, batch.lengths, known, self._crc[span.pass_number, number])
                if writer.done:
                    return
            self._known.check_number(writer.next_batch.first_input)
            writer.end()

    def _batches(self, pass_number: int, start: Start, *, progress: bool) -> Iterator[SeenBatch]:
        def look(number: int, batch: Batch) -> None:
            crc, place = batch_checksum(batch.x, batch.labels), (pass_number, number)
            if self._crc.setdefault(place, crc) != crc:
                raise other_inputs(self._wanted.path, number)
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


def _stochastic(job: Job) -> Sequence[Any]:
    return [] if job.passes is None else stochastic_modules(job.module, job.passes)


@contextmanager
def _kept(path: Path) -> Iterator[None]:
    """Say of whatever goes wrong while a store grows that nothing is lost."""
    try:
        yield
    except BaseException as error:
        if path.exists() and not isinstance(error, StoreError):
            n_columns = len(read_log(path))
            error.add_note(
                f"{path} keeps the {n_columns} columns that were recorded; the same call goes on with the rest."
            )
        raise
