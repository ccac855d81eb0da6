"""Intervals of a segment in which trials lie: what a name such as "orientation", "trial" or "stimuli" stands for."""

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
    """Intervals of one segment, each with a value of a column.

    Parameters
    ----------
    start, stop
        Milliseconds on the clock of the segment, shape (interval,); NaN where unknown.
    values
        Value of each, None where it is unknown, shape (interval,).
    whole
        Whether the interval is the whole segment, which the segment's annotation describes.
    """

    start: Float[np.ndarray, " interval"]
    stop: Float[np.ndarray, " interval"]
    values: np.ndarray
    whole: bool = False


def intervals_by(segments: Sequence[ExternalSegment], name: str) -> list[Intervals]:
    """Find the intervals of every segment that a name stands for, with their values.

    The name is that of a column of an Epoch; of an Epoch, whose labels are the values, or whose intervals are one by one where it has none; ``"label"``, the
    labels of the Epoch called ``trials``; ``"trial"``, the intervals of that Epoch one by one; or an annotation of the segments, each of which is then one
    interval.

    Raises
    ------
    WindowError
        If a segment has nothing of that name, or two things.
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
    """List what a name may stand for among the Epochs: its meaning in words, the Epoch, the values."""
    found: dict[str, tuple[Any, Any]] = {}
    for place, epoch in enumerate(segment.epochs):
        values = epoch_values(epoch, name)
        if values is not None:
            kind = "column of" if name in epoch.array_annotations else "intervals of" if name == TRIAL else "labels of"
            found[f"the {kind} Epoch {epoch.name!r} (number {place})"] = (epoch, values)
    return found


def epoch_values(epoch: Any, name: str) -> Any:
    """Find what a name stands for in an Epoch: its column, its labels, or its intervals one by one; None for nothing."""
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
    """Give the labels of an Epoch or Event; None if it has none."""
    labels = np.asarray(epoch.labels)
    return labels if labels.size == len(epoch) and any(str(label) for label in labels.tolist()) else None


def has_labels(segments: Sequence[ExternalSegment]) -> bool:
    """Whether every segment has an Epoch called trials with labels, or with a column called label: only then are labels the usual windows."""
    return all(
        any(epoch.name == TRIALS and len(epoch) and epoch_values(epoch, LABEL) is not None for epoch in segment.epochs)
        for segment in segments
    )


def epoch_borders_ms(epoch: Any) -> tuple[Float[np.ndarray, " interval"], Float[np.ndarray, " interval"]]:
    """Say when each interval of an Epoch begins and ends, in milliseconds."""
    start = np.asarray(epoch.times.rescale("ms").magnitude, np.float64)
    durations = np.asarray(epoch.durations.rescale("ms").magnitude, np.float64)
    return start, start + np.broadcast_to(durations, start.shape)


def names_in(segment: ExternalSegment) -> list[str]:
    """List what intervals of a segment can be called."""
    names = {str(epoch.name) for epoch in segment.epochs if epoch.name}
    names |= {str(key) for epoch in segment.epochs for key in epoch.array_annotations}
    return sorted(names | {str(key) for key in segment.annotations})


def no_such_name(segment: ExternalSegment, number: int, name: str) -> WindowError:
    """Say what trials could be found by instead."""
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
