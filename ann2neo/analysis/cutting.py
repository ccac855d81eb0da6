"""How observed time is cut into windows: pieces of a duration, or intervals that have a condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from ann2neo.errors import WindowError
from ann2neo.exchange import Exchange
from ann2neo.measures.definitions import Over
from ann2neo.trains.cells import Pieces
from ann2neo.trains.conditions import condition_codes
from ann2neo.trains.intervals import LABEL, Intervals, has_labels, intervals_by
from ann2neo.trains.segment import ExternalSegment

DEFAULT_BINS, DEFAULT_MS = 100, 1000.0
# Elephant's BinnedSpikeTrain puts a spike that is nearer than this to the end of its bin, in bins, into the next one.
BIN_TOLERANCE = 1e-8
# Above it, neighbouring whole numbers are the same double.
MOST_BINS = 2.0**53
MOST_WINDOWS = 2**30
OBSERVED_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cut:
    """How time is cut: windows of a duration, or intervals of each segment that have a condition.

    Parameters
    ----------
    kind
        What the windows are called.
    width_ms
        Duration of the windows; None where intervals are given.
    names
        The conditions, ascending.
    intervals
        Intervals of each segment.
    codes
        Condition of each, -1 where it is unknown.
    segments_are
        "trials" where each segment is one, so that windows are those of all segments together; else "passes", each with windows of its own.
    """

    kind: str
    width_ms: float | None
    names: tuple[Any, ...] = ()
    intervals: tuple[Intervals, ...] = ()
    codes: tuple[Int[np.ndarray, " interval"], ...] = ()
    segments_are: Literal["trials", "passes"] = "passes"

    @property
    def n_known(self) -> int:
        """How many intervals have a condition."""
        return int(sum(np.count_nonzero(codes >= 0) for codes in self.codes))


NO_WINDOWS = Cut(kind="none", width_ms=None)
"""No windows: spikes are counted elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """Where the spikes of some units are counted.

    Parameters
    ----------
    ids
        Window of each spike, -1 for none, shape (spike,).
    durations_ms
        Duration of each window, shape (window,).
    of_pass
        Pass of each window, shape (window,).
    n_left_out
        How many intervals with a condition were not wholly observed, or have no end.
    trials
        The interval of each spike, and condition and duration (milliseconds) of each interval, in the order of time; None where windows are not intervals.
    """

    ids: Int[np.ndarray, " spike"]
    durations_ms: Float[np.ndarray, " window"]
    of_pass: Int[np.ndarray, " window"]
    n_left_out: int = 0
    trials: Exchange | None = None


def count_where(cut: Cut, times: np.ndarray, piece: np.ndarray, pieces: Pieces) -> Counted:
    """Find the window of each spike of units that were observed in these pieces of time.

    Parameters
    ----------
    cut
        How time is cut.
    times
        Spikes in the unit of time of the pieces, shape (spike,).
    piece
        Piece in which each lies, shape (spike,).
    pieces
        When the units were observed.
    """
    if cut is NO_WINDOWS:
        nothing = np.zeros(0, np.int64)
        return Counted(ids=np.full(times.size, -1, np.int64), durations_ms=np.zeros(0), of_pass=nothing)
    if cut.width_ms is not None:
        return _equal_windows(cut.width_ms, times, piece, pieces)
    return _intervals(cut, times, piece, pieces)


def whole_bins(values: Float[np.ndarray, " value"]) -> Int[np.ndarray, " value"]:
    """Round down to whole bins as Elephant's `BinnedSpikeTrain` does: what is nearer than 1e-8 to the next whole number is that number.

    Raises
    ------
    WindowError
        If there are more bins than an integer counts.

    Examples
    --------
    >>> whole_bins(np.array([1.5, 2.999999999, -0.000000001, -0.5]))
    array([ 1,  3,  0, -1])
    """
    if values.size and np.abs(values).max() >= MOST_BINS:
        raise WindowError(
            f"time holds {np.abs(values).max():.3g} bins or windows of this length.",
            "So many cannot be counted.",
            "Use longer ones; check the unit.",
        )
    return np.floor(values + BIN_TOLERANCE).astype(np.int64)


def _equal_windows(width_ms: float, times: np.ndarray, piece: np.ndarray, pieces: Pieces) -> Counted:
    """Cut each piece from its beginning; an incomplete last window is dropped."""
    start, stop, ms = np.array(pieces.start), np.array(pieces.stop), pieces.ms
    per_piece = whole_bins((stop - start) * (ms / width_ms))
    if per_piece.sum() > MOST_WINDOWS:
        raise WindowError(
            f"time holds {per_piece.sum():,} windows of {width_ms:g} ms.",
            "So many take more memory than computers have.",
            "Use longer windows or bins; check the unit.",
        )
    number = whole_bins((times - start[piece]) * (ms / width_ms))
    first = np.cumsum(per_piece) - per_piece
    inside = (number >= 0) & (number < per_piece[piece])
    return Counted(
        ids=np.where(inside, number + first[piece], -1),
        durations_ms=np.full(per_piece.sum(), width_ms),
        of_pass=np.repeat(np.array(pieces.segment, np.int64), per_piece),
    )


def _intervals(cut: Cut, times: np.ndarray, piece: np.ndarray, pieces: Pieces) -> Counted:
    """Assign every interval to the window of its condition, within its segment where segments are passes."""
    segment = np.array(pieces.segment, np.int64)[piece]
    ids, durations = np.full(times.size, -1, np.int64), []
    trial_of, labels, lasted, passes = np.full(times.size, -1, np.int64), [], [], []
    one_pass, n_observed = cut.segments_are == "trials", 0
    for number, (each, codes) in enumerate(zip(cut.intervals, cut.codes)):
        kept = np.flatnonzero((codes >= 0) & wholly_observed(each.start, each.stop, pieces.borders_ms(number)))
        kept = kept[np.argsort(each.start[kept], kind="stable")]
        here = segment == number
        found = _interval_of(times[here] * pieces.ms, each.start[kept], each.stop[kept], cut.kind)
        offset = 0 if one_pass else number * len(cut.names)
        ids[here] = np.where(found >= 0, np.append(codes[kept], -1)[found] + offset, -1)
        lasting = (each.stop - each.start)[kept]
        trial_of[here] = np.where(found >= 0, found + n_observed, -1)
        n_observed += kept.size
        labels.append(codes[kept])
        lasted.append(lasting)
        passes.append(np.full(kept.size, 0 if one_pass else number))
        # NumPy counts in integers where there is nothing to weigh.
        durations.append(np.bincount(codes[kept], weights=lasting, minlength=len(cut.names)).astype(np.float64))
    return Counted(
        ids=ids,
        durations_ms=np.sum(durations, axis=0) if one_pass else np.concatenate(durations),
        of_pass=np.repeat(np.arange(1 if one_pass else len(durations)), len(cut.names)),
        n_left_out=cut.n_known - n_observed,
        trials=Exchange(
            ids=trial_of,
            label=np.concatenate(labels),
            size=np.concatenate(lasted),
            labels_are_windows=True,
            of_pass=np.concatenate(passes),
        ),
    )


def wholly_observed(
    start: Float[np.ndarray, " interval"], stop: Float[np.ndarray, " interval"], borders: Float[np.ndarray, "piece two"]
) -> Bool[np.ndarray, " interval"]:
    """Whether each interval lasts, and lies within one piece of observed time.

    Examples
    --------
    >>> wholly_observed(np.array([0.0, 4.0, 6.0]), np.array([1.0, 6.0, np.nan]), np.array([[0.0, 5.0], [6.0, 9.0]]))
    array([ True, False, False])
    """
    if not len(borders):
        return np.zeros(start.size, np.bool_)
    slack = OBSERVED_TOLERANCE * max(float(np.abs(borders).max()), 1.0)
    place = np.maximum(np.searchsorted(borders[:, 0], start + slack, side="right") - 1, 0)
    return (stop > start) & (start >= borders[place, 0] - slack) & (stop <= borders[place, 1] + slack)


def _interval_of(times: np.ndarray, start: np.ndarray, stop: np.ndarray, kind: str) -> Int[np.ndarray, " spike"]:
    """Find the interval in which each spike lies, -1 for none; borders are taken as Elephant's bins of that width take them."""
    order = np.argsort(start, kind="stable")
    first, last = start[order], stop[order]
    slack = BIN_TOLERANCE * (last - first)
    later = np.append(first[1:], np.inf)
    # A computed stop may pass the next start by rounding; that does not count as an overlap.
    if (last > later * (1 + OBSERVED_TOLERANCE) + OBSERVED_TOLERANCE).any():
        raise WindowError(
            f"intervals of {kind!r} overlap.",
            "A spike would be counted twice.",
            'Give intervals that do not, or count each by itself: windows="trial" with within= a column, or Around(...).',
        )
    if not first.size:
        return np.full(times.size, -1, np.int64)
    place = np.searchsorted(first - slack, times, side="right") - 1
    inside = (place >= 0) & (times < np.minimum(last, later)[place] - slack[place])
    return np.where(inside, order[place], -1)


def cut_time(
    windows: Any, segments: Sequence[ExternalSegment], bin_size_ms: float | None, over: Over = "windows"
) -> Cut:
    """Decide how to cut: by label where the Epoch called trials has labels, else 100 bins, else 1 s, unless the caller said.

    Segments are trials if each holds intervals of exactly one known condition, unless counts are compared over passes: a segment without the other
    conditions was no pass through all of them.

    Raises
    ------
    WindowError
        If nothing has the name that was given, or windows have no duration.
    """
    if windows is None and has_labels(segments):
        windows = LABEL
    if isinstance(windows, str):
        found = intervals_by(segments, windows)
        names, codes = condition_codes([each.values for each in found])
        single = all(np.unique(each[each >= 0]).size == 1 for each in codes)
        return Cut(
            kind=windows,
            width_ms=None,
            names=names,
            intervals=tuple(found),
            codes=tuple(codes),
            segments_are="trials" if single and over == "windows" else "passes",
        )
    width = _width_ms(windows, bin_size_ms)
    if not (width > 0 and math.isfinite(width)):
        raise WindowError(
            f"Windows of {width} ms have no duration.", "Nothing can be counted.", "Use a positive duration."
        )
    return Cut(kind=f"{width:g} ms" if bin_size_ms is None else f"{width / bin_size_ms:g} bins", width_ms=width)


def _width_ms(windows: Any, bin_size_ms: float | None) -> float:
    if windows is None:
        return DEFAULT_MS if bin_size_ms is None else DEFAULT_BINS * bin_size_ms
    if hasattr(windows, "rescale"):
        return duration_ms(windows)
    if isinstance(windows, bool) or not isinstance(windows, (int, float, np.number)):
        raise WindowError(
            f"windows={windows!r} is neither a name nor a duration nor a number of bins.",
            "Time cannot be cut.",
            "Give the name of an Epoch, a duration such as 500 * pq.ms, or, with bin_size_ms, a number of bins.",
        )
    if bin_size_ms is None:
        raise WindowError(
            f"windows={windows} is a number of bins, but these spike trains have no bins.",
            "Time cannot be cut.",
            "Give a duration such as 500 * pq.ms, or bin_size_ms if the spikes lie on a lattice.",
        )
    return float(windows * bin_size_ms)


def duration_ms(duration: Any) -> float:
    """Return a duration in milliseconds.

    Raises
    ------
    WindowError
        If it is not a duration.

    Examples
    --------
    >>> import quantities as pq
    >>> duration_ms(0.5 * pq.s)
    500.0
    """
    try:
        ms = float(duration.rescale("ms"))
    except (ValueError, TypeError):
        ms = math.nan
    if not math.isfinite(ms):
        raise WindowError(
            f"{duration} is not a duration.", "Spikes cannot be counted in it.", "Give one such as 500 * pq.ms."
        )
    return ms
