"""Moments of a segment around which windows are placed: columns of times, Epochs, Events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ann2neo.around import Around
from ann2neo.errors import WindowError, suggestion
from ann2neo.trains.conditions import known_conditions
from ann2neo.trains.intervals import LABEL, TRIALS, Intervals, epoch_borders_ms, labels_of
from ann2neo.trains.observed import borders_of
from ann2neo.trains.segment import ExternalSegment

BORDERS = ("start_time", "stop_time")


def windows_around(segments: Sequence[ExternalSegment], around: Around, within: str | None) -> list[Intervals]:
    """Place a window around every event of each segment; its value is that of the column ``within`` in the event's table, if given.

    Raises
    ------
    WindowError
        If a segment lacks the event, if the event is ambiguous, or if its table lacks the column.
    """
    found = [_of_segment(segment, number, around.event, within) for number, segment in enumerate(segments)]
    name = within or around.event
    values = known_conditions([values for _, values in found], name) if within else [values for _, values in found]
    before, after = around.offsets_ms
    return [
        Intervals(start=times + before, stop=times + after, values=known) for (times, _), known in zip(found, values)
    ]


def _of_segment(segment: ExternalSegment, number: int, event: str, within: str | None) -> tuple[np.ndarray, Any]:
    meanings = _meanings(segment, event)
    if len(meanings) > 1:
        raise WindowError(
            f"the event {event!r} has {len(meanings)} meanings in segment {number}: {' and '.join(meanings)}.",
            "It is unclear where windows lie.",
            "Rename one of them.",
        )
    for times, table in meanings.values():
        return times, np.arange(times.size) if within is None else _column(segment, number, table, within, times.size)
    known = sorted(_event_names(segment))
    raise WindowError(
        f"segment {number} has no event {event!r} (columns of trials, Epochs and Events: {', '.join(map(repr, known)) or 'none'})."
        + suggestion(event, known),
        "Windows cannot be placed.",
        "Name a column of times in the Epoch 'trials', 'start_time', 'stop_time', an Epoch or an Event.",
    )


def _meanings(segment: ExternalSegment, event: str) -> dict[str, tuple[Float[np.ndarray, " event"], Any]]:
    """List the meanings of an event: a description, its times, and the table that it is in."""
    found: dict[str, tuple[np.ndarray, Any]] = {}
    trials = [epoch for epoch in segment.epochs if epoch.name == TRIALS]
    if event in BORDERS:
        for epoch in trials:
            found[f"borders of Epoch {TRIALS!r} (number {len(found)})"] = (
                epoch_borders_ms(epoch)[BORDERS.index(event)],
                epoch,
            )
        if not trials and segment.trains:
            ends = np.array([borders_of(train) for train in segment.trains])
            moment = ends[:, 0].min() if event == BORDERS[0] else ends[:, 1].max()
            found["border of the segment"] = (np.array([moment]), None)
        return found
    for epoch in trials:
        if event in epoch.array_annotations:
            found[f"the column {event!r} of Epoch {TRIALS!r}"] = (_times_ms(epoch, event), epoch)
    for kind, tables in (("Epoch", segment.epochs), ("Event", segment.events)):
        for place, table in enumerate(tables):
            if table.name == event:
                found[f"the {kind} {event!r} (number {place})"] = (_starts_ms(table), table)
    return found


def _starts_ms(table: Any) -> Float[np.ndarray, " event"]:
    return np.asarray(table.times.rescale("ms").magnitude, np.float64)


def _times_ms(epoch: Any, name: str) -> Float[np.ndarray, " event"]:
    """Read a column of times in its own unit, or in that of its Epoch."""
    column = epoch.array_annotations[name]
    try:
        if hasattr(column, "rescale"):
            return np.asarray(column.rescale("ms").magnitude, np.float64)
        factor = float(epoch.units.rescale("ms").magnitude)
        values = np.asarray(column)
        if values.dtype.kind not in "iuf":
            raise ValueError(f"type {values.dtype}")
        return values.astype(np.float64) * factor
    except ValueError as error:
        raise WindowError(
            f"the column {name!r} of Epoch {TRIALS!r} holds no times ({error}).",
            "Windows cannot be placed.",
            "Name a column of numbers, or of quantities of time.",
        ) from error


def _column(segment: ExternalSegment, number: int, table: Any, within: str, size: int) -> Any:
    """Return the value of a column for every event."""
    if table is not None and within in table.array_annotations:
        return table.array_annotations[within]
    named = table is not None and (
        table.name == within or (within == LABEL and (table.name == TRIALS or not hasattr(table, "durations")))
    )
    if named and labels_of(table) is not None:
        return labels_of(table)
    if within in segment.annotations:
        return [segment.annotations[within]] * size
    known = sorted({*(map(str, table.array_annotations) if table is not None else ()), *map(str, segment.annotations)})
    where = f"the table of the event ({table.name!r})" if table is not None else f"segment {number}"
    raise WindowError(
        f"{where} has no column {within!r} (columns: {', '.join(map(repr, known)) or 'none'}).{suggestion(within, known)}",
        "Trials cannot be grouped by condition.",
        "Name a column of the table that holds the event, or an annotation of the segments.",
    )


def _event_names(segment: ExternalSegment) -> set[str]:
    names = {str(table.name) for table in (*segment.epochs, *segment.events) if table.name}
    trials = [epoch for epoch in segment.epochs if epoch.name == TRIALS]
    columns = {
        str(key)
        for epoch in trials
        for key, column in epoch.array_annotations.items()
        if np.asarray(column).dtype.kind in "iuf"
    }
    return names | columns | set(BORDERS)
