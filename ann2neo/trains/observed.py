"""Observed time: when a spike of a unit could have been recorded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float

from ann2neo.errors import AnalysisError, SpikeTrainError

# Annotation of a train with the intervals in which its unit was observed, in seconds, shape (interval, 2): NWB's word and unit.
OBS_INTERVALS = "obs_intervals"
ROUNDING = 1e-9


def observed_of(train: Any, unit: str = "ms") -> Float[np.ndarray, "interval two"]:
    """Find the observed time of a unit: within its borders, and within its ``obs_intervals`` where it has them.

    Intervals that touch are joined.

    Raises
    ------
    AnalysisError
        If the train lacks a unit of time, or intervals overlap, are invalid, or lie outside its borders.

    Examples
    --------
    >>> import neo, quantities as pq
    >>> observed_of(neo.SpikeTrain([1] * pq.s, t_stop=9.0, obs_intervals=np.array([[0, 2], [2, 3], [5, 9]]))).tolist()
    [[0.0, 3000.0], [5000.0, 9000.0]]
    """
    start, stop = borders_of(train, unit)
    given = train.annotations.get(OBS_INTERVALS)
    if given is None:
        return np.array([[start, stop]])
    joined = join_intervals(_as_intervals(given, train, unit), f"unit {train.name!r}")
    inside = np.clip(joined, start, stop)
    inside = inside[inside[:, 1] > inside[:, 0]]
    if not len(inside):
        raise AnalysisError(
            f"unit {train.name!r} was observed at no time between its borders {start:g} and {stop:g} {unit}.",
            "Rates cannot be computed without a duration.",
            "Set t_start, t_stop and obs_intervals to what was observed.",
        )
    return inside


def _as_intervals(given: Any, train: Any, unit: str) -> Float[np.ndarray, "interval two"]:
    """Read intervals that are quantities, or plain numbers in seconds; a file may have flattened them."""
    try:
        values = (
            given.rescale(unit).magnitude
            if hasattr(given, "rescale")
            else np.asarray(given, np.float64) * _factor("s", unit)
        )
        return np.asarray(values, np.float64).reshape(-1, 2)
    except (ValueError, TypeError) as error:
        raise AnalysisError(
            f"obs_intervals of unit {train.name!r} are not intervals ({error}).",
            "Observed time is unclear.",
            "Use an array of shape (interval, 2), in seconds.",
        ) from error


@lru_cache(maxsize=64)
def _factor(own: str, unit: str) -> float:
    import quantities as pq

    return float(pq.Quantity(1.0, own).rescale(unit).magnitude)


def join_intervals(intervals: Float[np.ndarray, "interval two"], whose: str) -> Float[np.ndarray, "piece two"]:
    """Sort intervals, join those that touch, and raise if any overlap or end before they begin.

    Raises
    ------
    AnalysisError
        If intervals overlap, or are invalid.

    Examples
    --------
    >>> join_intervals(np.array([[5.0, 9.0], [0.0, 2.0], [2.0, 3.0]]), "unit 'a'").tolist()
    [[0.0, 3.0], [5.0, 9.0]]
    """
    cure = "Correct the obs_intervals of the file: each must end after it begins, and before the next begins."
    if not np.isfinite(intervals).all() or (intervals[:, 1] < intervals[:, 0]).any():
        raise AnalysisError(
            f"obs_intervals of {whose} have no end, or end before they begin.", "Observed time is unclear.", cure
        )
    ordered = intervals[np.argsort(intervals[:, 0], kind="stable")]
    ordered = ordered[ordered[:, 1] > ordered[:, 0]]
    if not len(ordered):
        return ordered
    slack = ROUNDING * np.abs(ordered).max()
    if (ordered[1:, 0] < ordered[:-1, 1] - slack).any():
        raise AnalysisError(f"obs_intervals of {whose} overlap.", "The same time would count twice.", cure)
    begins = np.append(True, ordered[1:, 0] > ordered[:-1, 1] + slack)
    last = np.append(np.flatnonzero(begins)[1:] - 1, len(ordered) - 1)
    return np.stack([ordered[begins, 0], ordered[last, 1]], axis=1)


def borders_of(train: Any, unit: str = "ms") -> tuple[float, float]:
    """Return begin and end of a train.

    Raises
    ------
    AnalysisError
        If it has no unit of time.
    """
    try:
        return _in_unit(train.t_start, unit), _in_unit(train.t_stop, unit)
    except (LookupError, ValueError) as error:
        raise AnalysisError(
            f"{train.dimensionality.string!r} is not a unit of time.",
            "Rates and intervals would have no unit.",
            "Use 'ms', 's' or 'us'.",
        ) from error


def _in_unit(time: Any, unit: str) -> float:
    """Rescale a time; quantities looks up both names at each call, which takes long for many trains."""
    own = time.dimensionality.string
    return float(time.magnitude) if own == unit else float(time.magnitude) * _factor(own, unit)


def common_time(
    observed: Sequence[Float[np.ndarray, "_ two"]],
) -> Float[np.ndarray, "piece two"]:
    """Return the intersection of all units' intervals.

    Examples
    --------
    >>> common_time([np.array([[0.0, 5.0], [7.0, 9.0]]), np.array([[1.0, 8.0]])]).tolist()
    [[1.0, 5.0], [7.0, 8.0]]
    """
    common = observed[0]
    seen: set[int] = set()
    for intervals in observed:
        if id(intervals) in seen:
            continue
        seen.add(id(intervals))
        starts = np.maximum(common[:, None, 0], intervals[None, :, 0])
        stops = np.minimum(common[:, None, 1], intervals[None, :, 1])
        kept = stops > starts
        common = np.stack([starts[kept], stops[kept]], axis=1)
    return common[np.argsort(common[:, 0], kind="stable")]


def check_spikes(times: Float[np.ndarray, " spike"], observed: Float[np.ndarray, "interval two"], train: Any) -> None:
    """Check that spike times are finite, sorted, and within observed time; all in one unit of time.

    Raises
    ------
    SpikeTrainError
        If they are not.
    """
    name, unit = train.name, train.dimensionality.string
    if not times.size:
        return
    if not np.isfinite(times).all():
        raise SpikeTrainError(
            f"train {name!r} has spike times that are NaN or infinite.", "Counts would be wrong.", "Remove them."
        )
    if (np.diff(times) < 0).any():
        raise SpikeTrainError(f"train {name!r} is not sorted.", "Intervals would be negative.", "Sort its times.")
    slack = ROUNDING * np.abs(observed).max()
    place = np.maximum(np.searchsorted(observed[:, 0], times + slack, side="right") - 1, 0)
    outside = (times < observed[place, 0] - slack) | (times > observed[place, 1] + slack)
    if outside.any():
        raise SpikeTrainError(
            f"train {name!r} has {int(outside.sum())} of {times.size} spikes outside its observed time "
            f"({observed[0, 0]:g} to {observed[-1, 1]:g} {unit}, {len(observed)} intervals).",
            "Rates and counts would be wrong.",
            "Set t_start, t_stop and obs_intervals to what was observed.",
        )
