"""Looking how far a store is, and whether it holds what is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ann2neo.atomic import check_target
from ann2neo.capture.checksums import batch_checksum
from ann2neo.capture.identity import check_same, identity_of, order_facts
from ann2neo.capture.inputs import Source, read_batches
from ann2neo.capture.repeating import gives_its_bits
from ann2neo.capture.storing.orders import drawn_at_random, drawn_before, drawn_order, in_order
from ann2neo.capture.storing.wanted import Found, Wanted
from ann2neo.errors import FormatError, StoreError
from ann2neo.store.growing import is_complete, open_growing
from ann2neo.store.layout import MARKER
from ann2neo.store.log import Column, read_log


def look_for(wanted: Wanted, source: Source) -> Found:
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


def _look_into(wanted: Wanted, source: Source, facts: dict[str, Any]) -> Found:
    """Find out how far a store is that is there.

    Raises
    ------
    StoreError, FormatError
        If it holds another recording, or none.
    """
    growing = open_growing(wanted.path)
    if growing.identity != facts and drawn_at_random(source):
        source = in_order(source, drawn_before(growing))
        facts = facts_of(wanted, source)
    check_same(wanted.path, growing.identity, facts)
    complete = is_complete(wanted.path)
    _check_inputs(wanted, source, read_log(wanted.path), every=complete)
    if complete and wanted.overwrite and not gives_its_bits(wanted.job, source, growing):
        raise StoreError(f"{wanted.path} holds other spikes.", "They are replaced.", "")
    return Found(facts=facts, drawn=drawn_order(source), growing=growing, complete=complete)


def _check_inputs(wanted: Wanted, source: Source, log: Mapping[tuple[int, int], Column], *, every: bool) -> None:
    """Refuse inputs that are not those from which the store was recorded.

    Batches in memory are all compared. Of a loader, whose batches may be slow to read, the first stands for all, except where others would be replaced. Batches whose
    number is not known are compared at once if nothing will be run, and as they come if something will.
    """
    crc = {number: crc for (p, _), column in log.items() if p == 0 for number, crc in column.batches.items()}
    if not crc or (source.batch_sizes is None and not every):
        return
    n_seen = 0
    for number, batch in enumerate(read_batches(source, wanted.job.inputs)):
        if (number in crc or every) and crc.get(number) != batch_checksum(batch.x):
            raise other_inputs(wanted.path, number)
        n_seen += 1
        if source.in_order is not None and not wanted.overwrite:
            return
    if every and n_seen != len(crc):
        raise other_inputs(wanted.path, n_seen)


def other_inputs(path: Path, batch: int) -> StoreError:
    """Say that a batch is not the one that was recorded."""
    return StoreError(
        f"batch {batch} is not the one that was recorded into {path}.",
        "The inputs, or what changes them at random, are not the same; nothing more was recorded.",
        "Give the same inputs in the same order, or record into another store.",
    )


def facts_of(wanted: Wanted, source: Source) -> dict[str, Any]:
    """Write down what is recorded from what, by which a store is known again."""
    known = identity_of(
        wanted.job,
        bin_size_ms=wanted.bin_size_ms,
        weights=wanted.known["weights_sha256"],
        threshold_rule=wanted.threshold_rule,
        units=wanted.units,
    )
    return known | order_facts(source, wanted.job.inputs.batch_size)
