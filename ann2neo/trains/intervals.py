"""Intervals of a segment in which trials lie: the meaning of a name such as "orientation", "trial" or "stimuli"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ann2neo.errors import WindowError, suggestion
from ann2neo.trains.conditions import known_conditions
from ann2neo.trains.observed import borders_of
from ann2neo.trains.segment import ExternalSegment

LABEL, TRIAL, TRIALS = "label", "trial", "trials"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Intervals:
    """Intervals of one segment, each with a value.

    Parameters
    ----------
    start, stop
        Milliseconds on the clock of the segment, shape (interval,); NaN where unknown.
    values
        Value of each interval, None where it is unknown, shape (interval,).
    whole
        Whether the interval is the whole segment, with a value from the segment's annotation.
    """

    start: Float[np.ndarray, " interval"]
    stop: Float[np.ndarray, " interval"]
    values: np.ndarray
    whole: bool = False


def intervals_by(segments: Sequence[ExternalSegment], name: str) -> list[Intervals]:
    """Find the intervals of every segment that a name refers to, with their values.

    The name may be that of a column of an Epoch; that of an Epoch, whose labels are the values, or whose intervals are used one by one where it has no labels; ``"label"`` for the
    labels of the Epoch called ``trials``; ``"trial"`` for the intervals of that Epoch one by one; or that of an annotation of the segments, each of which is then one
    interval.

    Raises
    ------
    WindowError
        If the name has no meaning in a segment, or two.
    """
    found = [_of_segment(segment, number, name) for number, segment in enumerate(segments)]
    values = known_conditions([values for _, _, values, _ in found], name)
    return [
        Intervals(start=start, stop=stop, values=known, whole=whole)
        for (start, stop, _, whole), known in zip(found, values)
    ]


def _of_segment(segment: ExternalSegment, number: int, name: str) -> tuple[np.ndarray, np.ndarray, Any, bool]:
    meanings = _meanings(segment, name)
    if len(meanings) > 1:
        raise WindowError(
            f"{name!r} has {len(meanings)} meanings in segment {number}: {' and '.join(meanings)}.",
            "It is unclear which trials are meant.",
            "Rename one of them, or name an Epoch (its labels are then used).",
        )
    for epoch, values in meanings.values():
        return *epoch_borders_ms(epoch), values, False
    if name in segment.annotations and segment.trains:
        borders = np.array([borders_of(train) for train in segment.trains])
        return borders[:, 0].min(keepdims=True), borders[:, 1].max(keepdims=True), [segment.annotations[name]], True
    raise no_such_name(segment, number, name)


def _meanings(segment: ExternalSegment, name: str) -> dict[str, tuple[Any, Any]]:
    """List the meanings of a name among the Epochs: a description, the Epoch, the values."""
    found: dict[str, tuple[Any, Any]] = {}
    for place, epoch in enumerate(segment.epochs):
        values = epoch_values(epoch, name)
        if values is not None:
            kind = "column of" if name in epoch.array_annotations else "intervals of" if name == TRIAL else "labels of"
            found[f"the {kind} Epoch {epoch.name!r} (number {place})"] = (epoch, values)
    return found


def epoch_values(epoch: Any, name: str) -> Any:
    """Return the values that a name refers to in an Epoch: its column, its labels, or its intervals one by one; None if there are none."""
    if name in epoch.array_annotations:
        return epoch.array_annotations[name]
    if name == TRIAL and epoch.name == TRIALS and len(epoch):
        return np.arange(len(epoch))
    labels = labels_of(epoch)
    if name == LABEL and epoch.name == TRIALS:
        return labels
    if epoch.name == name and len(epoch):
        return np.arange(len(epoch)) if labels is None else labels
    return None


def labels_of(epoch: Any) -> np.ndarray | None:
    """Return the labels of an Epoch or Event; None if it has none."""
    labels = np.asarray(epoch.labels)
    return labels if labels.size == len(epoch) and any(str(label) for label in labels.tolist()) else None


def has_labels(segments: Sequence[ExternalSegment]) -> bool:
    """Return whether every segment has an Epoch called trials with labels or with a column called label; only then are labels the default windows."""
    return all(
        any(epoch.name == TRIALS and len(epoch) and epoch_values(epoch, LABEL) is not None for epoch in segment.epochs)
        for segment in segments
    )


def epoch_borders_ms(epoch: Any) -> tuple[Float[np.ndarray, " interval"], Float[np.ndarray, " interval"]]:
    """Return begin and end of each interval of an Epoch, in milliseconds."""
    start = np.asarray(epoch.times.rescale("ms").magnitude, np.float64)
    durations = np.asarray(epoch.durations.rescale("ms").magnitude, np.float64)
    return start, start + np.broadcast_to(durations, start.shape)


def names_in(segment: ExternalSegment) -> list[str]:
    """List the names by which intervals of a segment can be found."""
    names = {str(epoch.name) for epoch in segment.epochs if epoch.name}
    names |= {str(key) for epoch in segment.epochs for key in epoch.array_annotations}
    return sorted(names | {str(key) for key in segment.annotations})


def no_such_name(segment: ExternalSegment, number: int, name: str) -> WindowError:
    """Make the error of a name without intervals, with the names that would work."""
    known = names_in(segment)
    fact = f"segment {number} has no Epoch that gives {name!r} (names and columns: {', '.join(map(repr, known)) or 'none'})."
    if name == TRIAL:
        cure = (
            "In neo a trial is an interval of an Epoch: add one called 'trials' (neo.Epoch(times, durations, name='trials')), or use windows of a duration "
            "such as 500 * pq.ms. Segments are passes, not trials, unless an annotation of theirs is named."
        )
    elif name[:1].isdigit():
        cure = "A duration is a quantity, not a string: 500 * pq.ms."
    else:
        cure = "Use windows of a duration such as 500 * pq.ms, name an Epoch or a column, or annotate each segment: segment.annotate(label=...)."
    return WindowError(
        fact + suggestion(name, [each for each in known if each != name]), "Spikes cannot be counted by it.", cure
    )
