"""Windows of trials whose counts are compared over the repeats of a condition, and windows about events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from ann2neo.analysis.cutting import BIN_TOLERANCE, duration_ms, whole_bins, wholly_observed
from ann2neo.around import Around
from ann2neo.errors import WindowError
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import milliseconds_per
from ann2neo.trains.cells import Pieces
from ann2neo.trains.conditions import condition_codes
from ann2neo.trains.intervals import TRIAL, Intervals, intervals_by
from ann2neo.trains.moments import windows_around
from ann2neo.trains.segment import ExternalSegment
from ann2neo.windows import Repeats

# Trials whose durations differ by less are of one length: their borders were computed.
SAME_LENGTH = 1e-6
CURE = 'Use windows of equal length: windows=Around("start_time", 0 * pq.ms, 500 * pq.ms), or windows=500 * pq.ms to cut each trial from its start.'


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialWindows:
    """Windows of trials, one after another over all segments.

    Parameters
    ----------
    kind
        What they are called.
    within
        The column of conditions; None where windows are compared with all others of their segment.
    names
        The conditions, ascending.
    start, stop
        Milliseconds on the clock of the segment, shape (window,).
    trial_start, trial_stop
        What has to be observed for the window to count, shape (window,): the window, or its whole trial.
    segment
        Segment of each window, shape (window,).
    width_ms
        Duration of all windows, free of rounding; None where it is that of each trial.
    condition, position
        Condition of each window, and its place within its trial, shape (window,).
    """

    kind: str
    within: str | None
    names: tuple[Any, ...]
    start: Float[np.ndarray, " window"]
    stop: Float[np.ndarray, " window"]
    trial_start: Float[np.ndarray, " window"]
    trial_stop: Float[np.ndarray, " window"]
    segment: Int[np.ndarray, " window"]
    width_ms: float | None
    condition: Int[np.ndarray, " window"]
    position: Int[np.ndarray, " window"]

    @property
    def repeats(self) -> Repeats | None:
        """Which windows repeat each other."""
        return None if self.within is None else Repeats(condition=self.condition, position=self.position)

    def observed(self, pieces: Pieces) -> Bool[np.ndarray, " window"]:
        """Whether units that were observed in these pieces of time were observed in each window."""
        seen = np.zeros(self.start.size, np.bool_)
        for number in np.unique(self.segment):
            here = self.segment == number
            borders = pieces.borders_ms(int(number))
            seen[here] = wholly_observed(self.trial_start[here], self.trial_stop[here], borders)
        return seen

    def overlap(self, observed: Bool[np.ndarray, " window"]) -> tuple[bool, bool]:
        """Whether any of the observed windows overlap, and whether any do that are compared with one another."""
        kept = np.flatnonzero(observed)
        group = (
            self.position[kept] * (len(self.names) + 1) + self.condition[kept]
            if self.within
            else np.zeros(kept.size, np.int64)
        )
        return self._overlap(kept, np.zeros(kept.size, np.int64)), self._overlap(kept, group)

    def _overlap(self, kept: Int[np.ndarray, " kept"], group: Int[np.ndarray, " kept"]) -> bool:
        order = np.lexsort((self.start[kept], self.segment[kept], group))
        segment, start, stop = self.segment[kept][order], self.start[kept][order], self.stop[kept][order]
        same = (np.diff(segment) == 0) & (np.diff(group[order]) == 0)
        slack = BIN_TOLERANCE * (stop - start)[1:]
        return bool((same & (start[1:] < stop[:-1] - slack)).any())


def trial_windows(windows: Any, within: str | None, segments: Sequence[ExternalSegment]) -> TrialWindows:
    """Place windows around events, or within the trials that have a condition.

    Raises
    ------
    WindowError
        If there is no such event or column, windows are of another kind, trials are of unequal length, or no condition has two trials.
    """
    if isinstance(windows, Around):
        found = windows_around(segments, windows, within)
        before, after = windows.offsets_ms
        return replace(_laid(str(windows), within, found, None), width_ms=after - before)
    if within is None or not (windows is None or windows == TRIAL or hasattr(windows, "rescale")):
        raise _no_windows_within(windows, within)
    width = duration_ms(windows) if hasattr(windows, "rescale") else None
    if width is not None and not width > 0:
        raise WindowError(
            f"Windows of {width} ms have no duration.", "Nothing can be counted.", "Use a positive duration."
        )
    kind = "trial" if width is None else f"{width:g} ms of a trial"
    return _laid(kind, within, intervals_by(segments, within), width)


def _laid(kind: str, within: str | None, found: Sequence[Intervals], width: float | None) -> TrialWindows:
    names, codes = (
        condition_codes([each.values for each in found])
        if within
        else ((), [np.zeros(each.start.size, np.int64) for each in found])
    )
    start, stop = (np.concatenate([getattr(each, name) for each in found]) for name in ("start", "stop"))
    segment = np.repeat(np.arange(len(found)), [each.start.size for each in found])
    condition = np.concatenate(codes)
    kept = (condition >= 0) & np.isfinite(start)
    start, stop, segment, condition = start[kept], stop[kept], segment[kept], condition[kept]
    _check_repeats(names, condition, within)
    if width is None:
        if within is not None:
            _check_equal_lengths(start, stop)
        n_windows = np.ones(start.size, np.int64)
    else:
        n_windows = np.where(stop > start, whole_bins(np.nan_to_num(stop - start) / width), 0)
    trial = np.repeat(np.arange(start.size), n_windows)
    position = np.arange(trial.size) - np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
    begin = start[trial] + position * (0.0 if width is None else width)
    return TrialWindows(
        kind=kind,
        within=within,
        names=names,
        start=begin,
        stop=stop[trial] if width is None else begin + width,
        trial_start=start[trial],
        trial_stop=stop[trial],
        segment=segment[trial],
        width_ms=width,
        condition=condition[trial],
        position=position,
    )


def _no_windows_within(windows: Any, within: str | None) -> WindowError:
    if within is None:
        return WindowError(f"windows={windows!r} are not trials.", "Nothing can be compared over repeats.", CURE)
    same = (
        "its windows are all of the trials of a condition, which leaves nothing to compare"
        if windows == within
        else "it is not a window within a trial"
    )
    return WindowError(
        f"windows={windows!r} cannot be counted within {within!r}: {same}.",
        "A Fano factor over repeats needs one count of each trial.",
        f'Use windows="trial", a duration, or Around(event, start, stop), with within={within!r}.',
    )


def _check_repeats(names: Sequence[Any], condition: Int[np.ndarray, " trial"], within: str | None) -> None:
    if within is None:
        return
    n_trials = np.bincount(condition, minlength=len(names))
    if n_trials.max(initial=0) < 2:
        raise WindowError(
            f"no value of {within!r} has two trials ({condition.size} trials, {len(names)} values).",
            "A variance over repeats needs at least two.",
            "Name another column with `within`, or count in windows without it.",
        )


def _check_equal_lengths(start: Float[np.ndarray, " trial"], stop: Float[np.ndarray, " trial"]) -> None:
    lasting = (stop - start)[stop > start]
    if lasting.size and lasting.max() - lasting.min() > SAME_LENGTH * lasting.max():
        raise WindowError(
            f"trials last from {lasting.min():g} to {lasting.max():g} ms.",
            "Their counts would differ for that reason alone.",
            CURE,
        )


def count_of_windows(
    arrays: SpikeArrays,
    piece_segment: Int[np.ndarray, " piece"],
    windows: TrialWindows,
    observed: Bool[np.ndarray, " window"],
    bin_size_ms: float | None,
) -> SpikeArrays:
    """Collect the spikes of each window; where windows overlap, a spike is in several.

    Parameters
    ----------
    arrays
        Spikes of some units.
    piece_segment
        Segment of each of their stretches.
    windows
        The windows of all trials.
    observed
        Which of them these units were observed in; others have no duration.
    bin_size_ms
        Size of a bin; None in continuous time.

    Returns
    -------
    SpikeArrays
        A stretch is a window, and holds its spikes.
    """
    ms = milliseconds_per(arrays.time_unit)
    seen = np.flatnonzero(observed)
    slack = BIN_TOLERANCE * (windows.stop - windows.start)
    times, owners, window = [], [], []
    for unit in range(arrays.n_units):
        rows = slice(arrays.offsets[unit], arrays.offsets[unit + 1])
        own, segment = arrays.times[rows] * ms, piece_segment[arrays.stretch[rows]]
        for number in np.unique(windows.segment[seen]):
            mine, here = own[segment == number], seen[windows.segment[seen] == number]
            first, last = (np.searchsorted(mine, (edge - slack)[here]) for edge in (windows.start, windows.stop))
            sizes = last - first
            chosen = np.repeat(first - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
            times.append(mine[chosen])
            window.append(np.repeat(here, sizes))
            owners.append(np.full(chosen.size, unit))
    flat_times, flat_window, owner = (np.concatenate([np.empty(0), *parts]) for parts in (times, window, owners))
    ids = flat_window.astype(np.int64)
    lasting = windows.stop - windows.start if windows.width_ms is None else windows.width_ms
    durations = np.where(observed, lasting, 0.0)
    bins = np.rint(durations / bin_size_ms).astype(np.int64) if bin_size_ms is not None else None
    return SpikeArrays(
        times=flat_times / ms,
        offsets=np.searchsorted(owner, np.arange(arrays.n_units + 1)).astype(np.int64),
        stretch=ids,
        window=ids,
        label=None,
        stretch_durations=durations / ms,
        stretch_bins=bins,
        window_durations=durations / ms,
        window_bins=bins,
        window_pass=windows.segment.astype(np.int64),
        label_bins=None,
        time_unit=arrays.time_unit,
        stretch_starts=windows.start / ms,
        repeats=windows.repeats,
    )
