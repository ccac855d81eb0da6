"""How far a store is, whether it holds what is asked for, and the order of its inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ann2neo.atomic import check_target
from ann2neo.capture.distributed import Processes
from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.inputs import (
    Batch,
    Drawn,
    Presentation,
    comes_out_again,
    draws_at_random,
    in_batches,
    lies_in_memory,
    read_batches,
    read_some,
    spread,
)
from ann2neo.capture.job import Job, watching
from ann2neo.capture.provenance import check_notes
from ann2neo.capture.store.identity import ANOTHER, Identity, check_same, identity_of, with_order
from ann2neo.capture.store.repeats import Recorded, repeat, to_repeat
from ann2neo.errors import Ann2NeoWarning, FormatError, StoreError
from ann2neo.store.begun import BegunColumn, read_begun
from ann2neo.store.growing import Growing, Order, is_complete, open_growing
from ann2neo.store.layout import MARKER, open_group
from ann2neo.store.log import Column, read_log
from ann2neo.store.schedule import BatchEdges
from ann2neo.store.soundness import sound_columns

Log = Mapping[tuple[int, int], Column]
Begun = Mapping[tuple[int, int], BegunColumn]
# In what all draws may be alike, though not in their order.
ALIKE: dict[str, Callable[[Drawn], Any]] = {
    "number of inputs": lambda drawn: sum(map(len, drawn)),
    "sizes of batches": lambda drawn: sorted(map(len, drawn)),
    "inputs": lambda drawn: sorted(index for batch in drawn for index in batch),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A recording that is to be in a store.

    Parameters
    ----------
    job
        What is run.
    path
        The store.
    bin_size_ms
        Size of a bin.
    provenance
        What the provenance says beside what the job shows, ``weights_sha256`` included.
    threshold_rule, units
        Which thresholds and units were asked for.
    overwrite
        Whether a store of that name that holds another recording may be replaced.
    progress
        Whether to show a progress bar.
    verified
        What was found of each layer when it was verified that its rows are the inputs; None where nothing was.
    processes
        The processes that record together; they have joined, and have the same inputs.
    """

    job: Job
    path: Path
    bin_size_ms: float
    provenance: Mapping[str, Any]
    threshold_rule: Any
    units: Any
    overwrite: bool
    progress: bool
    verified: Mapping[str, str] | None = None
    processes: Processes = field(default_factory=Processes)

    def identity(self, source: Presentation) -> Identity:
        """Write down what is recorded from what, by which a store is recognized."""
        known = identity_of(
            self.job,
            bin_size_ms=self.bin_size_ms,
            weights=self.provenance["weights_sha256"],
            threshold_rule=self.threshold_rule,
            units=self.units,
            verified=self.verified,
        )
        return with_order(known, source, self.job.inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreState:
    """How far a store is: what it holds or will hold, the order of its inputs, its sound columns, those that were begun, and whether it is complete.

    ``growing`` is None where there is no store, or one that is to be replaced.
    """

    identity: Identity
    drawn: Drawn | None
    growing: Growing | None
    log: Log
    begun: Begun
    complete: bool


def state_of(request: Request, source: Presentation) -> StoreState:
    """Find out how far the store is, and in which order its inputs were drawn.

    Raises
    ------
    StoreError, FormatError
        If it holds another recording, or none, and may not be replaced.
    """
    # To compare a generator would use it up, and then it could not be recorded.
    comparable = not (request.overwrite and isinstance(request.job.inputs.data, Iterator))
    try:
        if request.path.exists() and comparable:
            return _state_of_stored(request, source)
    except (FormatError, StoreError):
        if not request.overwrite:
            raise
    check_target(request.path, request.overwrite, marker=MARKER)
    return StoreState(
        identity=request.identity(source), drawn=source.drawn, growing=None, log={}, begun={}, complete=False
    )


def _state_of_stored(request: Request, source: Presentation) -> StoreState:
    growing = open_growing(request.path)
    if growing.store_id is None:
        raise StoreError(
            f"{request.path} was recorded by ann2neo 0.1.0, whose hashes of weights and inputs are of another kind.",
            "Whether it is the same recording cannot be known: nothing was recorded; what is there is unchanged.",
            f"ann2neo.load opens what is there; {ANOTHER[0].lower()}{ANOTHER[1:]}",
        )
    there, here = Identity.from_facts(growing.identity, growing.path), request.identity(source)
    if there.differing(here) and source.drawn is not None and draws_at_random(source):
        check_drawn_alike(source, growing)
        source = in_order(source, drawn_before(growing))
        here = request.identity(source)
    check_same(request.path, there, here)
    check_notes(request.path, open_group(request.path).attrs["provenance"], request.provenance)
    complete = is_complete(request.path)
    log = read_log(request.path) if complete else sound_columns(growing)
    begun = {} if complete else read_begun(growing, log)
    # Batches that can only be read one after another are compared as they come, if the rest of them is to be recorded and nothing replaced.
    if source.batch_sizes is not None or complete or request.overwrite:
        again = to_repeat(log, begun, complete=complete)
        columns = [*log.values(), *(one.column for one in begun.values())]
        read = _check_inputs(request, source, columns, again, complete=complete)
        with watching(request.job):
            for recorded in again:
                repeat(request.job, growing, recorded, read[recorded.batch])
    if there.lacks_weights(here):
        _tell_of_unknown_weights(request.path)
    return StoreState(identity=here, drawn=source.drawn, growing=growing, log=log, begun=begun, complete=complete)


def _tell_of_unknown_weights(path: Path) -> None:
    text = (
        f"the weights of the model cannot be read (shards of a distributed tensor, quantized tensors), here or when {path} was recorded: "
        "that they are the same is known only from batches that are run again, which have to give what is stored."
    )
    warnings.warn(Ann2NeoWarning(text), stacklevel=2)


def _check_inputs(
    request: Request, source: Presentation, columns: Sequence[Column], again: Sequence[Recorded], *, complete: bool
) -> dict[int, Batch]:
    """Refuse inputs that are not those from which the store was recorded, and give the batches that are to be run again.

    Batches in memory are all compared. Of a loader, whose batches may be slow to read, a few that are spread over all stand for them, except where others would be replaced; what is
    another batch at each reading tells nothing, unless it is to be run again.
    """
    first = (column for column in columns if column.pass_number == 0)
    crc = {number: crc for column in first for number, crc in column.batches.items()}
    wanted_again = sorted({recorded.batch for recorded in again})
    read: dict[int, Batch] = {}
    n_seen = 0
    inputs = request.job.inputs
    all_of_them = source.in_order is None or request.overwrite or lies_in_memory(inputs.data)
    some = None if all_of_them else sorted({*wanted_again, *(spread(sorted(crc)) if crc else ())})
    for number, batch in _numbered(request, source, some):
        differs = (number in crc or complete) and crc.get(number) != batch_checksum(
            batch.x, request.job.labels_of(batch)
        )
        if differs and (some is None or number in wanted_again or comes_out_again(source, inputs, number)):
            raise other_inputs(request.path, number)
        if number in wanted_again:
            read[number] = batch
        n_seen += 1
        if not complete and number >= max([*crc, *wanted_again], default=0):
            break
    if some is None and (n_seen != len(crc) if complete else len(read) < len(wanted_again)):
        raise other_inputs(request.path, n_seen)
    return read


def _numbered(request: Request, source: Presentation, some: Sequence[int] | None) -> Iterator[tuple[int, Batch]]:
    """Read all batches, or some of them, each with its number."""
    inputs = request.job.inputs
    if some is None:
        yield from enumerate(read_batches(source, inputs))
    else:
        yield from read_some(source, inputs, some)


def other_inputs(path: Path, batch: int) -> StoreError:
    """Describe that a batch is not the one that was recorded."""
    return StoreError(
        f"batch {batch} is not the one that was recorded into {path}.",
        "The inputs, the labels that come with them, or what changes them at random, are not the same; nothing more was recorded.",
        "Give the same inputs in the same order, or record into another store.",
    )


def order_of(source: Presentation) -> Order | None:
    """Write down the order of the inputs and their batches, if it is known before they are read."""
    if source.stimulus_ids is None or source.batch_sizes is None:
        return None
    return Order(stimulus_ids=source.stimulus_ids, batch_sizes=source.batch_sizes)


def drawn_before(growing: Growing) -> Drawn | None:
    """Return the order that a store keeps, batch by batch."""
    return None if growing.order is None else in_batches(growing.order.stimulus_ids, growing.order.batch_sizes)


def in_order(source: Presentation, drawn: Drawn | None) -> Presentation:
    """Return the same inputs in an order that was drawn before; as they come where there is only one."""
    return source if drawn is None or source.in_order is None else source.in_order(drawn)


def check_drawn_alike(source: Presentation, growing: Growing) -> None:
    """Refuse a store whose inputs this source never draws: what its draws have in common, the stored one must have too.

    Raises
    ------
    StoreError
        If the number of inputs, the sizes of batches or the inputs are others.
    """
    before, drawn = drawn_before(growing), source.drawn
    if before is None or drawn is None or source.draw is None:
        return
    draws = [drawn, source.draw(), source.draw()]
    for what, of in ALIKE.items():
        here = [of(one) for one in draws]
        if here.count(here[0]) == len(here) and of(before) != here[0]:
            raise StoreError(
                f"{growing.path} holds another recording: its {what} are not those that the loader draws{_shown(of(before), here[0])}.",
                "Nothing was recorded; what is there is unchanged.",
                "Give the same data set, sampler and batch size, record into another store, or allow overwriting.",
            )


def _shown(there: Any, here: Any) -> str:
    return f" ({there} there, {here} here)" if isinstance(there, int) else ""


def edges_of_batches(job: Job, source: Presentation) -> BatchEdges | None:
    """Find where batches lie, or None where the number of inputs or of their bins shows only when they are read."""
    sizes = source.batch_sizes
    if sizes is None or (job.steps is not None and (job.steps.lengths is None or callable(job.steps.lengths))):
        return None
    inputs = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if job.steps is None:
        return BatchEdges(inputs=inputs, bins=inputs)
    given = job.steps.lengths
    lengths = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)
    # Lengths that do not fit the inputs are refused with the batch that shows it.
    if lengths.ndim != 1 or lengths.size < inputs[-1] or not np.issubdtype(lengths.dtype, np.integer):
        return None
    edges = np.concatenate([[0], np.cumsum(lengths[: inputs[-1]])]).astype(np.int64)
    return BatchEdges(inputs=inputs, bins=edges[inputs])
