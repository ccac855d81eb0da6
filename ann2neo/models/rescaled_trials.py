"""Time rescaling of cells over trials: intervals between spikes under one rate, or one rate for each condition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ann2neo.analysis.cutting import Cut, cut_time, wholly_observed
from ann2neo.analysis.goodness import unit_keys
from ann2neo.errors import AnalysisError
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import milliseconds_per
from ann2neo.models.observed import given
from ann2neo.models.rescaled_time import PerSpike, PerUnit, check_units
from ann2neo.progress import progress_bar
from ann2neo.trains.cells import Pieces, cells_of

IN_TRIALS = ("rate", "label")
"""Models of rates of trials that can be rescaled."""
_SALT = 0x7121A1


def rescaled_trials(
    spikes: Any, fitted: pd.DataFrame, *, model: str, by: str, n_draws: int, seed: int, progress: bool
) -> tuple[pd.DataFrame, list[tuple[PerSpike, PerUnit]]]:
    """Return the rows of the units, and of each unit its rescaled intervals and the distances of draws; see `ann2neo.models.rescaled`.

    Raises
    ------
    AnalysisError
        If the table has other units, or lacks the rate of a condition.
    """
    cells = cells_of(spikes)
    cut = cut_time(by, cells.segments, None)
    found = given(spikes, by)
    chunks = [read() for read in found.source.chunks]
    units = pd.concat([chunk.units for chunk in chunks], ignore_index=True)
    order = np.arange(len(units)) if found.rows is None else np.asarray(found.rows)
    check_units(units.iloc[order], fitted)
    rates, keys, place = _rates(fitted, model, found.conditions), unit_keys(units.iloc[order], seed), np.argsort(order)
    parts: list[tuple[PerSpike, PerUnit]] = [(np.zeros(0), np.zeros(0))] * len(units)
    first = 0
    with progress_bar(shown=progress, desc="rescaling", unit="unit", total=len(units)) as bar:
        for chunk, pieces in zip(chunks, cells.groups()):
            start, duration, condition = _trials(cut, pieces)
            condition = condition if model == "label" else np.zeros_like(condition)
            arrays = chunk.spikes
            for unit in range(len(chunk.units)):
                row = int(place[first])
                trial, time = _in_trials(arrays, unit, start)
                stream = np.random.Generator(np.random.Philox(key=[int(keys[row]), _SALT]))
                parts[row] = _tested(trial, time, rates[row], condition, duration, stream, n_draws)
                first += 1
                bar.update()
    return fitted.reset_index(drop=True), parts


def _rates(fitted: pd.DataFrame, model: str, conditions: tuple[Any, ...]) -> Float[np.ndarray, "unit condition"]:
    each = [f"label_hz[{name}]" for name in conditions]
    names = ["rate_hz"] if model == "rate" else each
    # One rate of other trials would be tested if conditions were read from another column.
    of_conditions = any(str(name).startswith("label_hz[") for name in fitted)
    missing = [name for name in (*names, *(each if of_conditions else ())) if name not in fitted]
    if missing:
        raise AnalysisError(
            f"The table has no column {missing[0]!r}.",
            "The rate of this condition is unknown.",
            "Fit the model 'label' with the conditions of these spike trains (`ann2neo.models.fit`).",
        )
    return fitted[names].to_numpy(np.float64)


def _trials(
    cut: Cut, pieces: Pieces
) -> tuple[Float[np.ndarray, " trial"], Float[np.ndarray, " trial"], Int[np.ndarray, " trial"]]:
    """Return begin (ms, on the clock of its segment), duration (s) and condition of each trial that is counted, in the order of `SpikeArrays.exchange`."""
    starts, durations, conditions = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, np.int64)]
    for number, (each, codes) in enumerate(zip(cut.intervals, cut.codes)):
        kept = np.flatnonzero((codes >= 0) & wholly_observed(each.start, each.stop, pieces.borders_ms(number)))
        kept = kept[np.argsort(each.start[kept], kind="stable")]
        starts.append(each.start[kept])
        durations.append((each.stop[kept] - each.start[kept]) / 1000)
        conditions.append(codes[kept])
    return np.concatenate(starts), np.concatenate(durations), np.concatenate(conditions).astype(np.int64)


def _in_trials(
    spikes: Any, unit: int, start: Float[np.ndarray, " trial"]
) -> tuple[Int[np.ndarray, " spike"], PerSpike]:
    """Return the trial of each spike of a unit, and its time since the begin of the trial in seconds."""
    if not isinstance(spikes, SpikeArrays) or spikes.exchange is None:
        return np.zeros(0, np.int64), np.zeros(0)
    rows = slice(int(spikes.offsets[unit]), int(spikes.offsets[unit + 1]))
    trial = spikes.exchange.ids[rows]
    times = spikes.times[rows][trial >= 0] * milliseconds_per(spikes.time_unit)
    trial = trial[trial >= 0]
    return trial, np.maximum(times - start[trial], 0.0) / 1000


def _tested(
    trial: Int[np.ndarray, " spike"],
    time: PerSpike,
    rates: Float[np.ndarray, " condition"],
    condition: Int[np.ndarray, " trial"],
    duration: Float[np.ndarray, " trial"],
    stream: np.random.Generator,
    n_draws: int,
) -> tuple[PerSpike, PerUnit]:
    """Rescale the intervals of a unit, and those of draws of its model with the rates that are estimated from each draw."""
    # numba is loaded only where it is needed.
    from ann2neo.models.kernels import uniform_distance

    if not trial.size or not np.isfinite(rates[condition]).all():
        return np.zeros(0), np.zeros(0)
    observed = np.maximum(np.bincount(condition, weights=duration, minlength=rates.size), 1e-300)
    counts, found = stream.poisson(rates[condition] * duration, (n_draws, duration.size)), []
    for drawn in counts:
        if drawn.any():
            own = np.repeat(np.arange(drawn.size), drawn)
            at = np.sort(own + stream.random(own.size)) - own
            again = np.bincount(condition, weights=drawn, minlength=rates.size) / observed
            found.append(uniform_distance(rescaled_in_trials(own, at * duration[own], again[condition], duration)))
    return rescaled_in_trials(trial, time, rates[condition], duration), np.array(found)


def rescaled_in_trials(
    trial: Int[np.ndarray, " spike"],
    time: PerSpike,
    rate: Float[np.ndarray, " trial"],
    duration: Float[np.ndarray, " trial"],
) -> PerSpike:
    r"""Return :math:`1 - e^{-\xi}` of each interval, with the intensity between its spikes added up across borders of trials.

    Parameters
    ----------
    trial, time
        Trial of each spike, ascending, and its time since the begin of the trial in seconds, ascending within a trial, shape (spike,).
    rate, duration
        Rate of each trial in Hz and its duration in seconds, shape (trial,).

    Examples
    --------
    Trials of 2 s at 1 Hz and at 3 Hz: 0.5 s of the first, then the other 1.5 s and 3 times 0.5 s.

    >>> z = rescaled_in_trials(np.array([0, 1]), np.array([0.5, 0.5]), np.array([1.0, 3.0]), np.array([2.0, 2.0]))
    >>> (-np.log1p(-z)).round(6)
    array([0.5, 3. ])
    """
    before = np.append(0.0, np.cumsum(rate * duration))[:-1]
    passed = np.diff(before[trial] + rate[trial] * time, prepend=0.0)
    return -np.expm1(-np.maximum(passed, 0.0))
