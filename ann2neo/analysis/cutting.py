"""How the time of foreign spike trains is cut: windows of a duration, or the labelled intervals of an Epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ann2neo.errors import WindowError, suggestion

DEFAULT_BINS, DEFAULT_MS = 100, 1000.0
TRIAL, TRIALS = "trial", "trials"


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Intervals of a segment that carry a label, in milliseconds."""

    start: np.ndarray
    stop: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How time is cut: windows of a duration, or labelled intervals of each segment."""

    kind: str
    width_ms: float | None
    names: tuple[str, ...]
    labelled: tuple[Labelled, ...]


def windows_of_spikes(
    times: np.ndarray, stretch: np.ndarray, start: np.ndarray, stop: np.ndarray, ms: float, cut: Cut
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the window of each spike, the duration of each window in milliseconds, and its pass (the segment)."""
    if cut.width_ms is not None:
        per_stretch = np.floor((stop - start) * ms / cut.width_ms * (1 + 1e-12)).astype(np.int64)
        if per_stretch.sum() == 0:
            raise WindowError(
                f"No segment (longest: {((stop - start) * ms).max()} ms) holds a window of {cut.width_ms} ms.",
                "There would be nothing to count in.",
                "Use shorter windows.",
            )
        number = np.floor((times - start[stretch]) * ms / cut.width_ms).astype(np.int64)
        first = np.cumsum(per_stretch) - per_stretch
        ids = np.where(number < per_stretch[stretch], number + first[stretch], -1)
        return ids, np.full(per_stretch.sum(), cut.width_ms), np.repeat(np.arange(start.size), per_stretch)
    ids, durations = np.full(times.size, -1, np.int64), []
    for number, intervals in enumerate(cut.labelled):
        here = stretch == number
        found = np.searchsorted(intervals.start, times[here] * ms, side="right") - 1
        inside = (found >= 0) & (times[here] * ms < intervals.stop[np.maximum(found, 0)])
        ids[here] = np.where(inside, intervals.labels[np.maximum(found, 0)] + number * len(cut.names), -1)
        durations.append(
            np.bincount(intervals.labels, weights=intervals.stop - intervals.start, minlength=len(cut.names))
        )
    return ids, np.concatenate(durations), np.repeat(np.arange(start.size), len(cut.names))


def cut_time(windows: Any, epochs: list[list[Any]], bin_size_ms: float | None) -> Cut:
    """Decide how to cut: by label where epochs have labels, else 100 bins, else 1 s, unless the caller said."""
    if windows is None:
        found = any(epoch_labels(epoch, "label") is not None for segment in epochs for epoch in segment)
        windows = "label" if found else None
    if isinstance(windows, str):
        return _labelled_cut(windows, epochs)
    if windows is None:
        width = DEFAULT_MS if bin_size_ms is None else DEFAULT_BINS * bin_size_ms
    elif hasattr(windows, "rescale"):
        width = duration_ms(windows)
    elif isinstance(windows, bool) or not isinstance(windows, (int, float, np.number)):
        raise WindowError(
            f"windows={windows!r} is no name, no duration and no number of bins.",
            "Time cannot be cut.",
            "Give the name of an Epoch, a duration such as 500 * pq.ms, or, with bin_size_ms, a number of bins.",
        )
    elif bin_size_ms is None:
        raise WindowError(
            f"windows={windows} is a number of bins, but these spike trains have no bins.",
            "Time cannot be cut.",
            "Give a duration such as 500 * pq.ms, or bin_size_ms if the spikes lie on a lattice.",
        )
    else:
        width = windows * bin_size_ms
    if not width > 0:
        raise WindowError(
            f"Windows of {width} ms have no duration.", "Nothing can be counted.", "Use a positive duration."
        )
    kind = f"{width:g} ms" if bin_size_ms is None else f"{width / bin_size_ms:g} bins"
    return Cut(kind=kind, width_ms=width, names=(), labelled=())


def _labelled_cut(name: str, epochs: list[list[Any]]) -> Cut:
    chosen = []
    for segment in epochs:
        found = [(epoch, labels) for epoch in segment if (labels := epoch_labels(epoch, name)) is not None]
        if not found:
            raise _no_epoch(name, segment)
        chosen.append(found[0])
    names = tuple(np.unique(np.concatenate([labels for _, labels in chosen])).tolist())
    return Cut(
        kind=name,
        width_ms=None,
        names=names,
        labelled=tuple(_intervals(e, np.searchsorted(names, x)) for e, x in chosen),
    )


def _no_epoch(name: str, segment: list[Any]) -> WindowError:
    """Say what could be counted by instead."""
    columns = {key for epoch in segment for key in epoch.array_annotations}
    known = sorted({str(epoch.name) for epoch in segment if epoch.name} | columns)
    fact = f"a segment has no Epoch that gives {name!r} (names and columns: {', '.join(map(repr, known)) or 'none'})."
    if name == TRIAL:
        cure = (
            "In neo a trial is an interval of an Epoch: add one called 'trials' (neo.Epoch(times, durations, name='trials')), or use windows of a duration "
            "such as 500 * pq.ms. Segments are passes, not trials."
        )
    elif name[:1].isdigit():
        cure = "A duration is a quantity, not a string: 500 * pq.ms."
    else:
        cure = "Use windows of a duration such as 500 * pq.ms."
    return WindowError(fact + suggestion(name, known), "Spikes cannot be counted by it.", cure)


def duration_ms(duration: Any) -> float:
    """Give a duration in milliseconds.

    Raises
    ------
    WindowError
        If it is no duration.

    Examples
    --------
    >>> import quantities as pq
    >>> duration_ms(0.5 * pq.s)
    500.0
    """
    try:
        return float(duration.rescale("ms"))
    except (ValueError, TypeError) as error:
        raise WindowError(
            f"{duration} is no duration.", "Spikes cannot be counted in it.", "Give one such as 500 * pq.ms."
        ) from error


def epoch_labels(epoch: Any, name: str) -> np.ndarray | None:
    """Find labels: a column of that name, an Epoch of that name, for "label" the labels of the Epoch of trials, and for "trial" its intervals one by one."""
    if name in epoch.array_annotations:
        return np.asarray(epoch.array_annotations[name]).astype(str)
    if name == TRIAL and epoch.name == TRIALS and len(epoch):
        return np.arange(len(epoch)).astype(str)
    if epoch.name == name or (name == "label" and epoch.name in (TRIALS, None, "")):
        labels = np.asarray(epoch.labels).astype(str)
        return labels if labels.size and (labels != "").any() else None
    return None


def _intervals(epoch: Any, labels: np.ndarray) -> Labelled:
    start = np.asarray(epoch.times.rescale("ms").magnitude, np.float64)
    stop = start + np.asarray(epoch.durations.rescale("ms").magnitude, np.float64)
    order = np.argsort(start, kind="stable")
    # A stop that is computed may pass the next start by rounding; that is no overlap.
    later = np.append(start[order][1:], np.inf)
    if (stop[order] > later * (1 + 1e-9) + 1e-9).any():
        raise WindowError(
            f"intervals of Epoch {epoch.name!r} overlap.",
            "A spike would be counted twice.",
            "Give intervals that do not.",
        )
    return Labelled(start=start[order], stop=np.minimum(stop[order], later), labels=labels[order].astype(np.int64))
