"""neo objects of any laboratory as spike arrays: their own times, in their own unit, cut at segments and labelled by epochs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.analysis.cutting import Cut, cut_time, windows_of_spikes
from ann2neo.analysis.lattice import window_facts
from ann2neo.analysis.source import IDENTITY, Chunk, Source
from ann2neo.errors import AnalysisError, Ann2NeoWarning, SpikeTrainError
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import milliseconds_per
from ann2neo.recording import Recording

USUAL = "Give a Recording, a neo.Block, a neo.Segment or a list of neo.SpikeTrain."
# How the description of a recording begins in every file format.
OURS = "Activations above threshold of an artificial neural network"
NAME = re.compile(r"^(?P<layer>.*)\[(?P<place>\d+(?:,\d+)*)\]$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Borders:
    """Where the trains of some units begin and end in each segment, and in which unit of time."""

    time_unit: str
    start: tuple[float, ...]
    stop: tuple[float, ...]


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
    cut = cut_time(windows, epochs, bin_size_ms)
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
    from neo.core.spiketrainlist import SpikeTrainList

    if isinstance(spikes, neo.Block):
        spikes = list(spikes.segments)
    elif isinstance(spikes, neo.Segment):
        spikes = [spikes]
    elif isinstance(spikes, neo.SpikeTrain):
        spikes = [[spikes]]
    elif isinstance(spikes, (Sequence, SpikeTrainList)) and _are(neo.SpikeTrain, spikes):
        spikes = [list(spikes)]
    else:
        raise _no_spikes(spikes)
    if not spikes:
        raise AnalysisError(
            "the Block has no segments.", "There is nothing to analyze.", "Give a Block with spike trains."
        )
    trains = _same_order([list(getattr(segment, "spiketrains", segment)) for segment in spikes])
    return trains, [list(getattr(segment, "epochs", [])) for segment in spikes]


def _are(kind: type, many: Any) -> bool:
    return not isinstance(many, str) and len(many) > 0 and all(isinstance(one, kind) for one in many)


def _no_spikes(given: Any) -> AnalysisError:
    """Say what was given instead of spikes, and how spikes are made of it."""
    import neo

    cures = {
        str: "Open it: ann2neo.load(path), or neo's reader for a file of another laboratory.",
        Path: "Open it: ann2neo.load(path), or neo's reader for a file of another laboratory.",
        np.ndarray: "Make a recording of it: ann2neo.from_array(spikes), shape (bin, unit).",
        pd.DataFrame: "A table is what `analyze` gives: `ann2neo.summarize` and `ann2neo.compare` take it.",
    }
    cure = next((text for kind, text in cures.items() if isinstance(given, kind)), USUAL)
    if isinstance(given, Sequence) and (_are(neo.Block, given) or _are(Recording, given)):
        cure = "Analyze each by itself: `ann2neo.compare` and `ann2neo.figures.beside_chance` take several tables."
    what = "an empty list" if isinstance(given, Sequence) and not given else f"a {type(given).__name__}"
    return AnalysisError(f"{what} holds no spike trains.", "There is nothing to analyze.", cure)


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
    ids, window_ms, of_pass = windows_of_spikes(flat, stretch, start, stop, ms, cut)
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
