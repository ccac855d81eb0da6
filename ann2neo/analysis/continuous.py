"""Spike trains of any laboratory as chunks of spike arrays: their own times, in their own unit, over the time in which each unit was observed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.analysis.columns import COLUMNS
from ann2neo.analysis.cutting import NO_WINDOWS, Counted, Cut, count_where, cut_time
from ann2neo.analysis.lattice import window_facts
from ann2neo.analysis.repeated import TrialWindows, count_of_windows, trial_windows
from ann2neo.analysis.source import Chunk, Source
from ann2neo.around import Around
from ann2neo.errors import AnalysisError, Ann2NeoWarning, WindowError
from ann2neo.exchange import Exchange
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import Over, milliseconds_per
from ann2neo.trains.cells import Cells, Pieces, cells_of
from ann2neo.trains.intervals import has_labels
from ann2neo.trains.matching import with_prefix


def neo_source(
    spikes: Any, windows: Any, bin_size_ms: float | None, within: str | None = None, over: Over = "windows"
) -> Source:
    """Read spike trains from any container; every piece of a unit's observed time is a stretch.

    Raises
    ------
    AnalysisError
        If there are no trains, or it is unclear which belong to the same unit.
    SpikeTrainError
        If a train is unsorted, has spikes outside observed time, or its times are not times.
    WindowError
        If there are no such events or conditions, or no window is wholly observed.
    """
    return cells_source(cells_of(spikes), windows, bin_size_ms, within, over)


def cells_source(
    cells: Cells, windows: Any, bin_size_ms: float | None, within: str | None = None, over: Over = "windows"
) -> Source:
    """Cut the observed time of units into windows; see `neo_source`."""
    of_trials = within is not None or isinstance(windows, Around)
    laid = trial_windows(windows, within, cells.segments) if of_trials else None
    cut = NO_WINDOWS if laid is not None else cut_time(windows, cells.segments, bin_size_ms, over)
    groups = cells.groups()
    read = [_read(cells, units, pieces, cut, bin_size_ms) for pieces, units in groups.items()]
    tables = with_prefix(cells.units, _taken())
    chunks = [
        _chunk(tables.iloc[units].reset_index(drop=True), arrays, pieces, laid, bin_size_ms)
        for (pieces, units), (arrays, _) in zip(groups.items(), read)
    ]
    shown = [_shown(chunk, counted, laid, pieces) for chunk, (_, counted), pieces in zip(chunks, read, groups)]
    span = _span_of(cut, laid)
    left_out = _left_out(span, shown, list(groups), [len(units) for units in groups.values()])
    return Source(
        chunks=[partial(_same, chunk) for chunk in chunks],
        n_units=cells.n_units,
        rows=np.argsort(np.concatenate(list(groups.values()))),
        facts=_facts([arrays for arrays, _ in read], shown, span, len(cells.segments), bin_size_ms)
        | {"within": within, "left_out": left_out, "segments_are": cut.segments_are if cut.names else None},
    )


def _chunk(
    units: pd.DataFrame, arrays: SpikeArrays, pieces: Pieces, laid: TrialWindows | None, bin_size_ms: float | None
) -> Chunk:
    if laid is None:
        return Chunk(units=units, spikes=arrays)
    observed = laid.observed(pieces)
    counted = count_of_windows(arrays, np.array(pieces.segment, np.int64), laid, observed, bin_size_ms)
    return Chunk(units=units, spikes=arrays, counted=counted, overlapping=laid.overlap(observed)[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What some units show of the windows: the duration of each that was observed, and how many were not."""

    durations_ms: np.ndarray
    n_left_out: int


def _shown(chunk: Chunk, counted: Counted, laid: TrialWindows | None, pieces: Pieces) -> Shown:
    if laid is None or chunk.counted is None:
        return Shown(durations_ms=counted.durations_ms, n_left_out=counted.n_left_out)
    durations = chunk.counted.window_durations * pieces.ms
    return Shown(durations_ms=durations, n_left_out=int(np.count_nonzero(durations == 0)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What is said of windows: what they are called, how many there are, and from when to when they lie."""

    kind: str
    what: str
    n_known: int
    width_ms: float | None
    by_condition: bool
    whole: bool
    times_ms: np.ndarray


def _span_of(cut: Cut, laid: TrialWindows | None) -> Span:
    if laid is not None:
        times = np.append(laid.trial_start, laid.trial_stop)
        return Span(
            kind=laid.kind,
            what="windows",
            n_known=laid.start.size,
            width_ms=None,
            by_condition=False,
            whole=False,
            times_ms=times,
        )
    return Span(
        kind=cut.kind,
        what="intervals",
        n_known=cut.n_known,
        width_ms=cut.width_ms,
        by_condition=bool(cut.names),
        whole=cut.segments_are == "trials",
        times_ms=np.concatenate([np.empty(0), *(np.append(each.start, each.stop) for each in cut.intervals)]),
    )


def lost_source(spikes: Any, windows: Any, bin_size_ms: float, within: str | None = None) -> Source:
    """Read trains of a recording of ours whose reader lost its passes, steps and trials: their lattice is known, and no more.

    Raises
    ------
    AnalysisError
        If windows are trials or labels, which cannot be trusted any more.
    """
    lost = "its reader lost where passes and trials of several steps begin, and which labels are unknown"
    from ann2neo.trains.external import segments_of

    segments = segments_of(spikes)
    if within is not None or isinstance(windows, (str, Around)) or (windows is None and has_labels(segments)):
        raise AnalysisError(
            f"these trains come from a recording of ann2neo (their names, and spikes at a quarter of bins of {bin_size_ms:g} ms), but {lost}.",
            "Counts by trial or label would be wrong, as would be intervals across borders.",
            "Open the file with `ann2neo.load(path)`, or give windows of a number of bins.",
        )
    text = f"These trains come from a recording of ann2neo with bins of {bin_size_ms:g} ms, but {lost}."
    text += "\nThey are taken as one stretch per segment, on bins.\nOpen the file with `ann2neo.load(path)` for exact results."
    warnings.warn(Ann2NeoWarning(text), stacklevel=4)
    return neo_source([list(segment.trains) for segment in segments], windows, bin_size_ms)


def _same(chunk: Chunk) -> Chunk:
    return chunk


def _taken() -> set[str]:
    """List the names of columns that are the table's own."""
    names = {name for name, measure in COLUMNS.items() if measure.has_expected}
    tests = {name for name in COLUMNS if name.endswith("_p")}
    return {
        *COLUMNS,
        *(f"{name}_expected" for name in (*names, "label_share")),
        *(f"{name}_corrected" for name in tests),
    }


def _read(
    cells: Cells, units: Sequence[int], pieces: Pieces, cut: Cut, bin_size_ms: float | None
) -> tuple[SpikeArrays, Counted]:
    """Collect the spikes of units that were observed at the same times in flat arrays."""
    segments = sorted(set(pieces.segment))
    parts = [[cells.times(unit, segment, pieces) for segment in segments] for unit in units]
    sizes = np.array([[part.size for part in unit] for unit in parts], np.int64)
    times = np.concatenate([part for unit in parts for part in unit])
    segment = np.repeat(np.tile(np.array(segments, np.int64), len(units)), sizes.ravel())
    piece = _piece_of(times, segment, pieces)
    counted = count_where(cut, times, piece, pieces)
    arrays = _arrays(times, sizes.sum(axis=1), piece, pieces, _at_least_one(counted, pieces), cut, bin_size_ms)
    if bin_size_ms is not None:
        check_lattice(arrays, bin_size_ms)
    return arrays, counted


def _piece_of(times: np.ndarray, segment: np.ndarray, pieces: Pieces) -> np.ndarray:
    """Find the piece of observed time in which each spike lies; it is known to lie in one."""
    own, start, stop = (np.array(each) for each in (pieces.segment, pieces.start, pieces.stop))
    found = np.zeros(times.size, np.int64)
    for number in np.unique(own):
        here, places = segment == number, np.flatnonzero(own == number)
        # A spike between two pieces is nearer than rounding to one of them.
        middle = (start[places][1:] + stop[places][:-1]) / 2
        found[here] = places[np.searchsorted(middle, times[here], side="right")]
    return found


def _at_least_one(counted: Counted, pieces: Pieces) -> Counted:
    """Add an empty window to units that no window observed, so that their counts are undefined as those of a silent unit."""
    if counted.durations_ms.sum() > 0:
        return counted
    whole = (pieces.stop[0] - pieces.start[0]) * pieces.ms
    return Counted(ids=np.full(counted.ids.size, -1), durations_ms=np.array([whole]), of_pass=np.zeros(1, np.int64))


def _arrays(
    times: np.ndarray,
    n_spikes: np.ndarray,
    piece: np.ndarray,
    pieces: Pieces,
    counted: Counted,
    cut: Cut,
    bin_size_ms: float | None,
) -> SpikeArrays:
    start, durations = np.array(pieces.start), np.array(pieces.stop) - np.array(pieces.start)
    by_label = bool(cut.names)
    stretch_bins = None if bin_size_ms is None else np.rint(durations * pieces.ms / bin_size_ms).astype(np.int64)
    window_bins = np.rint(counted.durations_ms / bin_size_ms).astype(np.int64) if bin_size_ms is not None else None
    whole = by_label and window_bins is not None and window_bins.size % len(cut.names) == 0
    return SpikeArrays(
        times=times,
        offsets=np.concatenate([[0], np.cumsum(n_spikes)]).astype(np.int64),
        stretch=piece,
        window=counted.ids,
        label=np.where(counted.ids >= 0, counted.ids % max(len(cut.names), 1), -1) if by_label else None,
        stretch_durations=durations,
        stretch_bins=stretch_bins,
        window_durations=counted.durations_ms / pieces.ms,
        window_bins=window_bins,
        window_pass=counted.of_pass,
        label_bins=window_bins.reshape(-1, len(cut.names)).sum(axis=0) if whole and window_bins is not None else None,
        time_unit=pieces.time_unit,
        stretch_starts=start,
        exchange=None if counted.trials is None else _in_units(counted.trials, pieces.ms, bin_size_ms),
    )


def _in_units(trials: Exchange, ms: float, bin_size_ms: float | None) -> Exchange:
    """Return the duration of trials in bins, or in the unit of time of the spikes."""
    size = trials.size / ms if bin_size_ms is None else np.rint(trials.size / bin_size_ms).astype(np.int64)
    return replace(trials, size=size)


def check_lattice(arrays: SpikeArrays, bin_size_ms: float) -> None:
    """Refuse a lattice on which two spikes of a unit share a bin."""
    assert arrays.stretch_starts is not None  # noqa: S101
    since = (arrays.times - arrays.stretch_starts[arrays.stretch]) * (milliseconds_per(arrays.time_unit) / bin_size_ms)
    bins = np.floor(since + 1e-9)
    same = (np.diff(bins) == 0) & (np.diff(arrays.stretch) == 0) & (np.diff(arrays.unit_of_spike) == 0)
    if same.any():
        raise AnalysisError(
            f"{int(same.sum())} times two spikes of a unit lie in one bin of {bin_size_ms} ms.",
            "A lattice holds at most one spike per bin: the references for it would be wrong.",
            "Leave bin_size_ms out (continuous time), or give the size of the bins in which the spikes were made.",
        )


def _left_out(span: Span, shown: Sequence[Shown], pieces: Sequence[Pieces], n_units: Sequence[int]) -> str | None:
    """Warn once of intervals that were not wholly observed, and refuse a table of which nothing was."""
    if all(each.durations_ms.sum() == 0 for each in shown):
        raise _nothing_observed(span, pieces)
    concerned = [(each.n_left_out, n) for each, n in zip(shown, n_units) if each.n_left_out]
    if not concerned:
        return None
    most, units = max(n for n, _ in concerned), sum(n for _, n in concerned)
    text = (
        f"up to {most} of {span.n_known} {span.what} of {span.kind!r} have no end or are not wholly inside the observed time of "
        f"{units} of {sum(n_units)} units; they are left out for these units"
    )
    warnings.warn(Ann2NeoWarning(f"{text}.\nWhat was not observed is not a silence."), stacklevel=6)
    return text


def _nothing_observed(span: Span, pieces: Sequence[Pieces]) -> WindowError:
    longest = max((b - a) * each.ms for each in pieces for a, b in zip(each.start, each.stop))
    if span.width_ms is not None:
        return WindowError(
            f"No segment (longest: {longest} ms) holds a window of {span.width_ms} ms.",
            "There would be nothing to count in.",
            "Use shorter windows.",
        )
    if span.n_known == 0:
        return WindowError(
            f"{span.kind!r} has no {span.what} (all values are unknown, or trials are shorter than a window).",
            "There is nothing to count in.",
            "Name another column, or use shorter windows.",
        )
    known = span.times_ms[np.isfinite(span.times_ms)]
    first, last = (known.min(), known.max()) if known.size else (np.nan, np.nan)
    start, stop = (
        min(min(each.start) * each.ms for each in pieces),
        max(max(each.stop) * each.ms for each in pieces),
    )
    return WindowError(
        f"none of {span.n_known} {span.what} of {span.kind!r} ({first:g} to {last:g} ms) is wholly inside the observed time of a unit "
        f"({start:g} to {stop:g} ms).",
        "They are on another clock, or nothing was recorded in them.",
        "Give trials and spikes in one unit of time, from one beginning.",
    )


def _facts(
    arrays: Sequence[SpikeArrays], shown: Sequence[Shown], span: Span, n_passes: int, bin_size_ms: float | None
) -> dict[str, Any]:
    """Describe what the table was computed from; where units differ, the largest number of windows and the longest observation, beside the smallest."""
    first = arrays[0]
    sizes = np.concatenate([each.durations_ms[each.durations_ms > 0] for each in shown])
    n_windows = [int(np.count_nonzero(each.durations_ms)) for each in shown]
    durations = [float(each.stretch_durations.sum() * milliseconds_per(each.time_unit)) for each in arrays]
    on_lattice = bin_size_ms is not None
    if bin_size_ms is not None:
        sizes = np.rint(sizes / bin_size_ms).astype(np.int64)
    lattice = (
        {"n_bins": int(first.stretch_bins.sum()), "bin_size_ms": bin_size_ms} if first.stretch_bins is not None else {}
    )
    return {
        "source": "neo",
        "order": "as in the source",
        **window_facts(span.kind, sizes, "bins" if on_lattice else "ms"),
        "n_windows": max(n_windows),
        "n_windows_min": min(n_windows) if min(n_windows) < max(n_windows) else None,
        "label_share_by": span.kind if span.by_condition else None,
        "n_labelled": max((each.exchange.size.size for each in arrays if each.exchange is not None), default=None),
        "n_passes": 1 if span.whole else n_passes,
        **lattice,
        "duration_ms": max(durations),
        "duration_min_ms": min(durations) if min(durations) < max(durations) else None,
        "time_unit": first.time_unit,
    }
