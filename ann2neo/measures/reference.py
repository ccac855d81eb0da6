"""The reference engine: Elephant's functions on neo.SpikeTrains. It is slow, and defines every number."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import (
    Over,
    fano_is_fixed,
    groups_of_windows,
    label_share,
    milliseconds_per,
    per_second,
    spikes_per_bin,
)
from ann2neo.measures.registry import computed


def measure_reference(
    spikes: SpikeArrays, *, over: Over = "windows", refractory_period: float | None = None
) -> dict[str, Shaped[np.ndarray, " unit"]]:
    """Compute every measure of each unit with Elephant.

    Each measure, and where it is undefined (NaN), is described in `ann2neo.measures.registry.MEASURES`.
    `measure_bulk` computes bit-identical results many times faster.

    Parameters
    ----------
    spikes
        Spikes of some units.
    over
        Whether Fano factors are computed over the windows of each pass, or over the passes of each window.
    refractory_period
        Refractoriness R of LvR, in ``spikes.time_unit``; None leaves ``lvr`` out.

    Returns
    -------
    dict
        One array of shape (unit,) per measure, in the order of the table; with ``over="passes"`` also
        ``n_windows_empty``, the number of windows left out because the unit is silent there in every pass.

    Raises
    ------
    WindowError
        If ``over="passes"`` and the spikes do not have at least two passes with the same windows.

    Examples
    --------
    >>> spikes = SpikeArrays(
    ...     times=np.array([0.25, 2.25, 3.25]),
    ...     offsets=np.array([0, 3, 3]),
    ...     stretch=np.array([0, 0, 0]),
    ...     window=np.array([0, 1, 1]),
    ...     label=None,
    ...     stretch_durations=np.array([4.0]),
    ...     stretch_bins=np.array([4]),
    ...     window_durations=np.array([2.0, 2.0]),
    ...     window_bins=np.array([2, 2]),
    ...     window_pass=np.array([0, 0]),
    ...     label_bins=None,
    ...     time_unit="ms",
    ... )
    >>> measure_reference(spikes)["isi_mean"]
    array([1.5, nan])
    >>> measure_reference(spikes)["firing_rate"]
    array([750.,   0.])
    """
    n_spikes = spikes.n_spikes.astype(np.int64)
    with warnings.catch_warnings():
        # Elephant warns of NaN and of windows of unequal duration; both are documented results here.
        warnings.simplefilter("ignore")
        measured: dict[str, np.ndarray] = {
            "n_spikes": n_spikes,
            "p_spike": spikes_per_bin(n_spikes, spikes.stretch_bins),
            "firing_rate": _firing_rate(spikes),
            **_interval_measures(spikes, refractory_period),
            **_fano(spikes, over),
        }
    return {**measured, "label_share": _label_share(spikes)}


def weighted_mean(values: list[float], weights: list[int]) -> float:
    """Average the values of stretches, each weighted by its number of interval pairs; NaN without values.

    A single value is returned unchanged. Otherwise products are added in the order of the stretches and divided by the
    sum of weights. The bulk engine uses the same order of operations, so that results are bit-identical.

    Examples
    --------
    >>> weighted_mean([1.0, 2.0], [3, 1])
    1.25
    """
    if not values:
        return float("nan")
    if len(values) == 1:
        return values[0]
    total = 0.0
    for value, weight in zip(values, weights):
        total += value * weight
    return total / sum(weights)


def _elephant_statistics() -> ModuleType:
    """Import Elephant when it is needed: the import takes seconds and changes the process-wide filter of warnings."""
    with warnings.catch_warnings():
        import elephant.statistics
    return elephant.statistics


def _train(times: Float[np.ndarray, " spike"], start: float, stop: float, time_unit: str) -> Any:
    """Make a neo.SpikeTrain."""
    import neo
    import quantities as pq

    unit = pq.unit_registry[time_unit]
    # With quantities in the unit of the train, neo need not look up the name of the unit twice.
    edges = pq.Quantity(np.array([start, stop]), unit)
    return neo.SpikeTrain(pq.Quantity(times, unit), t_start=edges[0], t_stop=edges[1], units=unit)


def _train_on_own_clock(times: Float[np.ndarray, " spike"], duration: float, time_unit: str) -> Any:
    """Make a neo.SpikeTrain with the total duration of a window or recording, which need not be contiguous.

    Only its number of spikes and its duration are used: times are shifted to begin at 0 and clipped to the duration.
    """
    moved = np.clip(times - times.min(), 0.0, duration) if times.size else times
    return _train(moved, 0.0, duration, time_unit)


def _times(spikes: SpikeArrays, unit: int) -> Float[np.ndarray, " spike"]:
    return spikes.times[spikes.offsets[unit] : spikes.offsets[unit + 1]].astype(np.float64)


def _firing_rate(spikes: SpikeArrays) -> Float[np.ndarray, " unit"]:
    """Compute Elephant's mean firing rate over the total duration of all stretches, in Hz."""
    duration, to_hz = float(spikes.stretch_durations.sum()), per_second(spikes.time_unit)
    mean_firing_rate = _elephant_statistics().mean_firing_rate
    trains = (_train_on_own_clock(_times(spikes, unit), duration, spikes.time_unit) for unit in range(spikes.n_units))
    return np.array([float(mean_firing_rate(train).magnitude) * to_hz for train in trains], np.float64)


def _interval_measures(spikes: SpikeArrays, refractory_period: float | None) -> dict[str, Float[np.ndarray, " unit"]]:
    """Compute the interval measures of each unit."""
    rows = [_intervals_of_unit(spikes, unit, refractory_period) for unit in range(spikes.n_units)]
    known = (one.name for one in computed(refractoriness=refractory_period is not None) if one.of == "intervals")
    return {name: np.array([row[name] for row in rows], np.float64) for name in known}


def _intervals_of_unit(spikes: SpikeArrays, unit: int, refractory_period: float | None) -> dict[str, float]:
    """Compute mean, variance and CV from intervals pooled over stretches; average Elephant's values per stretch for the rest."""
    statistics, ms = _elephant_statistics(), milliseconds_per(spikes.time_unit)
    parts = [times.astype(np.float64) for _, times in spikes.stretches_of(unit)]
    trains = [_train(times, times[0], times[-1], spikes.time_unit) for times in parts]
    stretches = [statistics.isi(train) for train in trains]
    pooled = np.concatenate([intervals.magnitude for intervals in stretches]) if stretches else np.zeros(0)
    paired = [intervals for intervals in stretches if intervals.size >= 2]
    pairs = [intervals.size - 1 for intervals in paired]
    row = {
        "isi_mean": float(np.mean(pooled)) * ms if pooled.size else float("nan"),
        "isi_var": float(np.var(pooled)) * (ms * ms) if pooled.size else float("nan"),
        "cv": float(statistics.cv(pooled)) if pooled.size else float("nan"),
        "cv2": weighted_mean([float(statistics.cv2(intervals)) for intervals in paired], pairs),
        "lv": weighted_mean([float(statistics.lv(intervals)) for intervals in paired], pairs),
    }
    row["ir"] = weighted_mean([_log_variation(intervals.magnitude) for intervals in paired], pairs)
    if refractory_period is not None:
        import quantities as pq

        period = pq.Quantity(refractory_period, spikes.time_unit)
        row["lvr"] = weighted_mean([float(statistics.lvr(intervals, R=period)) for intervals in paired], pairs)
    return row


def _log_variation(intervals: Float[np.ndarray, " isi"]) -> float:
    """Average |log(I2 / I1)| over pairs of successive intervals; NaN where an interval is 0, which has no logarithm.

    One logarithm at a time, by the C library: NumPy's differ in the last bit from processor to processor.
    """
    logs = [math.log(interval) if interval > 0 else math.nan for interval in intervals.tolist()]
    return float(np.mean(np.abs(np.diff(logs))))


def _fano(spikes: SpikeArrays, over: Over) -> dict[str, Shaped[np.ndarray, " unit"]]:
    """Average Elephant's Fano factor over the groups of windows in which the unit spiked, then over sets of groups."""
    groups = groups_of_windows(spikes.window_pass, spikes.window_durations, over, spikes.repeats)
    edges = groups.set_edges
    factors = [_fano_of_groups(spikes, unit, groups.members) for unit in range(spikes.n_units)]
    means = [_mean_in_order([_mean_in_order(of_unit[a:b]) for a, b in pairwise(edges)]) for of_unit in factors]
    fixed = fano_is_fixed(spikes.window_bins, over, spikes.repeats)
    fano = np.full(len(means), np.nan) if fixed else np.array(means, np.float64)
    if over == "windows":
        return {"fano": fano}
    n_empty = [sum(np.isnan(value) for value in values) for values in factors]
    return {"fano": fano, "n_windows_empty": np.array(n_empty, np.int64)}


def _fano_of_groups(spikes: SpikeArrays, unit: int, groups: Sequence[Int[np.ndarray, " _"]]) -> list[float]:
    """Compute Elephant's Fano factor of each group of windows; NaN if the unit is silent in the whole group."""
    times, window = _times(spikes, unit), spikes.window[spikes.offsets[unit] : spikes.offsets[unit + 1]]
    fanofactor = _elephant_statistics().fanofactor
    trains = [
        _train_on_own_clock(times[window == number], float(duration), spikes.time_unit)
        for number, duration in enumerate(spikes.window_durations)
    ]
    return [float(fanofactor([trains[member] for member in members])) for members in groups]


def _mean_in_order(values: list[float]) -> float:
    """Average the values that are not NaN, added in order: the built-in sum may compensate for rounding."""
    total, n = 0.0, 0
    for value in values:
        if not np.isnan(value):
            total, n = total + value, n + 1
    return total / n if n else float("nan")


def _label_share(spikes: SpikeArrays) -> Float[np.ndarray, " unit"]:
    """Count each unit's spikes in each class, and compute the share of variance that the class explains."""
    if spikes.label is None or spikes.label_bins is None:
        return np.full(spikes.n_units, np.nan)
    counted = spikes.label >= 0
    counts = np.zeros((spikes.n_units, spikes.label_bins.size), np.int64)
    np.add.at(counts, (spikes.unit_of_spike[counted], spikes.label[counted]), 1)
    return label_share(counts, spikes.label_bins)
