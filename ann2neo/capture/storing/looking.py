"""Looking how far a store is, and whether it holds what is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from ann2neo.atomic import check_target
from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.identity import check_same, identity_of, order_facts
from ann2neo.capture.inputs import Batch, Presentation, read_batches
from ann2neo.capture.repeating import Recorded, repeat, to_repeat
from ann2neo.capture.running import watching
from ann2neo.capture.storing.orders import check_drawn_alike, drawn_at_random, drawn_before, drawn_order, in_order
from ann2neo.capture.storing.wanted import Found, Wanted
from ann2neo.errors import FormatError, StoreError
from ann2neo.store.growing import is_complete, open_growing
from ann2neo.store.layout import MARKER
from ann2neo.store.log import Column, read_log


def look_for(wanted: Wanted, source: Presentation) -> Found:
    """Find out how far the store is, and in which order its inputs were drawn."""
    facts = facts_of(wanted, source)
    # To compare a generator would use it up, and then it could not be recorded.
    comparable = not (wanted.overwrite and isinstance(wanted.job.inputs.data, Iterator))
    try:
        if wanted.path.exists() and comparable:
            return _look_into(wanted, source, facts)
    except (FormatError, StoreError):
        if not wanted.overwrite:
            raise
    check_target(wanted.path, wanted.overwrite, marker=MARKER)
    return Found(facts=facts, drawn=drawn_order(source), growing=None, complete=False)


def _look_into(wanted: Wanted, source: Presentation, facts: dict[str, Any]) -> Found:
    """Find out how far a store is that is there.

    Raises
    ------
    StoreError, FormatError
        If it holds another recording, or none.
    """
    growing = open_growing(wanted.path)
    if growing.identity != facts and drawn_at_random(source):
        check_drawn_alike(source, growing)
        source = in_order(source, drawn_before(growing))
        facts = facts_of(wanted, source)
    check_same(wanted.path, growing.identity, facts)
    complete = is_complete(wanted.path)
    log = read_log(wanted.path)
    # Batches that can only be read one after another are compared as they come, if the rest of them is to be recorded and nothing replaced.
    if source.batch_sizes is not None or complete or wanted.overwrite:
        again = to_repeat(log, complete=complete)
        read = _check_inputs(wanted, source, log, again, complete=complete)
        with watching(wanted.job):
            for recorded in again:
                repeat(wanted.job, growing, recorded, read[recorded.batch])
    return Found(facts=facts, drawn=drawn_order(source), growing=growing, complete=complete)


def _check_inputs(
    wanted: Wanted,
    source: Presentation,
    log: Mapping[tuple[int, int], Column],
    again: Sequence[Recorded],
    *,
    complete: bool,
) -> dict[int, Batch]:
    """Refuse inputs that are not those from which the store was recorded, and give the batches that are to be run again.

    Batches in memory are all compared. Of a loader, whose batches may be slow to read, those that are run again stand for all, except where others would be replaced.
    """
    crc = {number: crc for (p, _), column in log.items() if p == 0 for number, crc in column.batches.items()}
    wanted_again = sorted({recorded.batch for recorded in again})
    read: dict[int, Batch] = {}
    n_seen = 0
    some = wanted_again if source.in_order is not None and not wanted.overwrite else None
    for number, batch in _numbered(wanted, source, some):
        if (number in crc or complete) and crc.get(number) != batch_checksum(batch.x, batch.labels):
            raise other_inputs(wanted.path, number)
        if number in wanted_again:
            read[number] = batch
        n_seen += 1
        if not complete and number >= max([*crc, *wanted_again], default=0):
            break
    if some is None and (n_seen != len(crc) if complete else len(read) < len(wanted_again)):
        raise other_inputs(wanted.path, n_seen)
    return read


def _numbered(wanted: Wanted, source: Presentation, some: Sequence[int] | None) -> Iterator[tuple[int, Batch]]:
    """Read all batches, or some of them, each with its number."""
    inputs = wanted.job.inputs
    if some is None:
        yield from enumerate(read_batches(source, inputs))
    else:
        yield from ((number, next(read_batches(source, inputs, number))) for number in some)


def other_inputs(path: Path, batch: int) -> StoreError:
    """Say that a batch is not the one that was recorded."""
    return StoreError(
        f"batch {batch} is not the one that was recorded into {path}.",
        "The inputs, the labels that come with them, or what changes them at random, are not the same; nothing more was recorded.",
        "Give the same inputs in the same order, or record into another store.",
    )


def facts_of(wanted: Wanted, source: Presentation) -> dict[str, Any]:
    """Write down what is recorded from what, by which a store is known again."""
    known = identity_of(
        wanted.job,
        bin_size_ms=wanted.bin_size_ms,
        weights=wanted.known["weights_sha256"],
        threshold_rule=wanted.threshold_rule,
        units=wanted.units,
    )
    inputs = wanted.job.inputs
    cut_here = source.batch_sizes is not None or isinstance(inputs.data, Dataset)
    return known | order_facts(source, inputs.batch_size if cut_here else None)
