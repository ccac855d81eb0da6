"""neo objects of any laboratory as spike arrays: their own times, in their own unit, cut at segments and labelled by epochs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.analysis.lattice import window_facts
from ann2neo.analysis.source import IDENTITY, Chunk, Source
from ann2neo.errors import AnalysisError, Ann2NeoWarning, SpikeTrainError, WindowError, suggestion
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import milliseconds_per

# How the description of a recording begins in every file format.
OURS = "Activations above threshold of an artificial neural network"
NAME = re.compile(r"^(?P<layer>.*)\[(?P<place>\d+(?:,\d+)*)\]$")
DEFAULT_BINS, DEFAULT_MS = 100, 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Borders:
    """Where the trains of some units begin and end in each segment, and in which unit of time."""

    time_unit: str
    start: tuple[float, ...]
    stop: tuple[float, ...]


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


def neo_source(spikes: Any, windows: Any, bin_size_ms: float | None) -> Source:
    """Read a Block, a Segment or a list of SpikeTrains; the segments of a Block are stretches with clocks of their own.

    Raises
    ------
    AnalysisError
        If there are no trains, or segments differ in their number of trains.
    SpikeTrainError
        If a train is unsorted, leaves its borders, or its times are no times.
    WindowError
        If there are no labels to count by, or no complete window.
    """
    segments, epochs = trains_and_epochs(spikes)
    _warn_if_ours(spikes, bin_size_ms)
    n_units = len(segments[0])
    if n_units == 0 or any(len(segment) != n_units for segment in segments):
        raise AnalysisError(
            f"the segments hold {sorted({len(segment) for segment in segments})} spike trains.",
            "It is unclear which trains belong to the same unit.",
            "Give segments with one train for each unit in the same order, or analyze each segment by itself.",
        )
    cut = _cut(windows, epochs, bin_size_ms)
    groups: dict[Borders, list[int]] = {}
    for unit in range(n_units):
        groups.setdefault(_borders([segment[unit] for segment in segments]), []).append(unit)
    identities = unit_identities(segments[0])
    chunks = [
        Chunk(
            units=identities.iloc[units].reset_index(drop=True),
            spikes=_arrays([[segment[unit] for segment in segments] for unit in units], borders, cut, bin_size_ms),
        )
        for borders, units in groups.items()
    ]
    return Source(
        chunks=[partial(_same, chunk) for chunk in chunks],
        n_units=n_units,
        rows=np.argsort(np.concatenate(list(groups.values()))),
        facts=_facts(chunks, cut, len(segments), bin_size_ms),
    )


def _warn_if_ours(spikes: Any, bin_size_ms: float | None) -> None:
    """A file of ours that another reader opened has lost its bins, and would be held against the wrong reference."""
    if bin_size_ms is None and str(getattr(spikes, "description", "")).startswith(OURS):
        text = (
            "This Block comes from a recording of ann2neo, but its reader did not keep the bins.\n"
            "Its references are those of continuous time (Poisson), which at most one spike per bin does not follow.\n"
            "Give bin_size_ms (1.0 unless it was recorded otherwise), or open the file with ann2neo.load."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=4)


def _same(chunk: Chunk) -> Chunk:
    return chunk


def trains_and_epochs(spikes: Any) -> tuple[list[list[Any]], list[list[Any]]]:
    """Give the trains and the epochs of each segment."""
    import neo

    if isinstance(spikes, neo.Block):
        spikes = list(spikes.segments)
    elif isinstance(spikes, neo.Segment):
        spikes = [spikes]
    elif isinstance(spikes, neo.SpikeTrain):
        spikes = [[spikes]]
    elif isinstance(spikes, Sequence) and len(spikes) and all(isinstance(train, neo.SpikeTrain) for train in spikes):
        spikes = [list(spikes)]
    else:
        raise AnalysisError(
            f"a {type(spikes).__name__} holds no spike trains.",
            "There is nothing to analyze.",
            "Give a Recording, a neo.Block, a neo.Segment or a list of neo.SpikeTrain.",
        )
    if not spikes:
        raise AnalysisError(
            "the Block has no segments.", "There is nothing to analyze.", "Give a Block with spike trains."
        )
    trains = _same_order([list(getattr(segment, "spiketrains", segment)) for segment in spikes])
    return trains, [list(getattr(segment, "epochs", [])) for segment in spikes]


def _same_order(segments: list[list[Any]]) -> list[list[Any]]:
    """Put the trains of all segments into the order of the first where their names tell it; else they are taken as they come."""
    names = [[train.name for train in segment] for segment in segments]
    first = names[0]
    if None in first or len(set(first)) < len(first) or any(set(other) != set(first) for other in names):
        return segments
    return [
        [segment[own.index(name)] for name in first] if own != first else segment
        for segment, own in zip(segments, names)
    ]


def _borders(trains: list[Any]) -> Borders:
    unit = trains[0].units.dimensionality.string
    milliseconds_per(unit)
    return Borders(
        time_unit=unit,
        start=tuple(float(train.t_start.rescale(unit)) for train in trains),
        stop=tuple(float(train.t_stop.rescale(unit)) for train in trains),
    )


def unit_identities(trains: list[Any]) -> pd.DataFrame:
    """Say who the units are; units without a number of their own are numbered within their layer."""
    table = pd.DataFrame([_identity(train) for train in trains], columns=list(IDENTITY))
    return table.assign(unit=table["unit"].where(table["unit"] >= 0, table.groupby("layer").cumcount()))


def _identity(train: Any) -> tuple[str, int, int, int, int]:
    """Take layer and place from our annotations, else from a name such as ``fc[3,0,1]``; -1 is unknown."""
    found = NAME.match(train.name or "")
    layer = train.annotations.get("layer", found["layer"] if found else "units")
    place = [int(part) for part in found["place"].split(",")] if found else []
    place = ([*place, -1, -1, -1])[:3]
    axes = [int(train.annotations.get(axis, value)) for axis, value in zip(IDENTITY[2:], place)]
    return str(layer), int(train.annotations.get("source_index", -1)), axes[0], axes[1], axes[2]


def _times(train: Any, unit: str, start: float, stop: float) -> np.ndarray:
    times = np.asarray(
        train.magnitude if train.units.dimensionality.string == unit else train.rescale(unit).magnitude, np.float64
    )
    if times.size and not (np.isfinite(times).all() and times.min() >= start and times.max() <= stop):
        raise SpikeTrainError(
            f"train {train.name!r} has spikes from {times.min()} to {times.max()} {unit}, outside its borders {start} to {stop}.",
            "Rates and counts would be wrong.",
            "Set t_start and t_stop to what was observed.",
        )
    if (np.diff(times) < 0).any():
        raise SpikeTrainError(f"train {train.name!r} is not sorted.", "Intervals would be negative.", "Sort its times.")
    return times


def _arrays(trains: list[list[Any]], borders: Borders, cut: Cut, bin_size_ms: float | None) -> SpikeArrays:
    """Put the trains of units with common borders into flat arrays."""
    ms = milliseconds_per(borders.time_unit)
    start, stop = np.array(borders.start), np.array(borders.stop)
    times = [[_times(t, borders.time_unit, a, b) for t, a, b in zip(unit, start, stop)] for unit in trains]
    sizes = np.array([[part.size for part in unit] for unit in times], np.int64)
    stretch = np.repeat(np.tile(np.arange(start.size), len(trains)), sizes.ravel())
    flat = np.concatenate([part for unit in times for part in unit])
    durations = stop - start
    ids, window_ms, of_pass = _windows(flat, stretch, start, stop, ms, cut)
    bins = None if bin_size_ms is None else np.rint(durations * ms / bin_size_ms).astype(np.int64)
    window_bins = None if bin_size_ms is None else np.rint(window_ms / bin_size_ms).astype(np.int64)
    by_label = bool(cut.names)
    arrays = SpikeArrays(
        times=flat,
        offsets=np.concatenate([[0], np.cumsum(sizes.sum(axis=1))]).astype(np.int64),
        stretch=stretch,
        window=ids,
        label=np.where(ids >= 0, ids % max(len(cut.names), 1), -1) if by_label else None,
        stretch_durations=durations,
        stretch_bins=bins,
        window_durations=window_ms / ms,
        window_bins=window_bins,
        window_pass=of_pass,
        label_bins=window_bins.reshape(-1, len(cut.names)).sum(axis=0)
        if by_label and window_bins is not None
        else None,
        time_unit=borders.time_unit,
        stretch_starts=start,
    )
    if bin_size_ms is not None:
        _check_lattice(arrays, start, bin_size_ms)
    return arrays


def _windows(
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


def _cut(windows: Any, epochs: list[list[Any]], bin_size_ms: float | None) -> Cut:
    """Decide how to cut: by label where epochs have labels, else 100 bins, else 1 s, unless the caller said."""
    if windows is None:
        found = any(epoch_labels(epoch, "label") is not None for segment in epochs for epoch in segment)
        windows = "label" if found else None
    if isinstance(windows, str):
        return _labelled_cut(windows, epochs)
    if windows is None:
        width = DEFAULT_MS if bin_size_ms is None else DEFAULT_BINS * bin_size_ms
    elif hasattr(windows, "rescale"):
        width = float(windows.rescale("ms"))
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
            known = sorted(
                {str(epoch.name) for epoch in segment} | {key for epoch in segment for key in epoch.array_annotations}
            )
            raise WindowError(
                f"a segment has no Epoch that gives {name!r} (names and columns: {', '.join(map(repr, known)) or 'none'})."
                + suggestion(name, known),
                "Spikes cannot be counted by it.",
                "Use windows of a duration such as 500 * pq.ms.",
            )
        chosen.append(found[0])
    names = tuple(np.unique(np.concatenate([labels for _, labels in chosen])).tolist())
    return Cut(
        kind=name,
        width_ms=None,
        names=names,
        labelled=tuple(_intervals(e, np.searchsorted(names, x)) for e, x in chosen),
    )


def epoch_labels(epoch: Any, name: str) -> np.ndarray | None:
    """Find labels: a column of that name, an Epoch of that name, or, for "label", the labels of the Epoch of trials."""
    if name in epoch.array_annotations:
        return np.asarray(epoch.array_annotations[name]).astype(str)
    if epoch.name == name or (name == "label" and epoch.name in ("trials", None, "")):
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


def _check_lattice(arrays: SpikeArrays, start: np.ndarray, bin_size_ms: float) -> None:
    """Refuse a lattice on which two spikes of a unit share a bin."""
    ms = milliseconds_per(arrays.time_unit)
    bins = np.floor((arrays.times - start[arrays.stretch]) * ms / bin_size_ms + 1e-9)
    same = (np.diff(bins) == 0) & (np.diff(arrays.stretch) == 0) & (np.diff(arrays.unit_of_spike) == 0)
    if same.any():
        raise AnalysisError(
            f"{int(same.sum())} times two spikes of a unit lie in one bin of {bin_size_ms} ms.",
            "A lattice holds at most one spike per bin: the references for it would be wrong.",
            "Leave bin_size_ms out (continuous time), or give the size of the bins in which the spikes were made.",
        )


def _facts(chunks: list[Chunk], cut: Cut, n_passes: int, bin_size_ms: float | None) -> dict[str, Any]:
    first = chunks[0].spikes
    assert isinstance(first, SpikeArrays)  # noqa: S101
    ms = milliseconds_per(first.time_unit)
    on_lattice = first.stretch_bins is not None
    sizes = first.window_bins if first.window_bins is not None else first.window_durations * ms
    lattice = (
        {"n_bins": int(first.stretch_bins.sum()), "bin_size_ms": bin_size_ms} if first.stretch_bins is not None else {}
    )
    return {
        "source": "neo",
        "order": "as in the source",
        **window_facts(cut.kind, sizes, "bins" if on_lattice else "ms"),
        "label_share_by": cut.kind if cut.names and on_lattice else None,
        "n_passes": n_passes,
        **lattice,
        "duration_ms": float(first.stretch_durations.sum() * ms),
        "time_unit": first.time_unit,
    }
