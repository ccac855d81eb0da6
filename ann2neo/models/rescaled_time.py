"""Time rescaling of cells: intervals between spikes in units of the intensity that a model predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ann2neo.analysis.goodness import unit_keys
from ann2neo.errors import AnalysisError
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import milliseconds_per
from ann2neo.models.intervals import LAWS, interval_columns, intervals_of
from ann2neo.models.observed import given
from ann2neo.progress import progress_bar

IN_TIME = ("rate", "gamma", "inverse_gaussian")
"""Models of spike times that can be rescaled."""
_SALT = 0x5CA1ED

PerSpike = Float[np.ndarray, " spike"]
PerUnit = Float[np.ndarray, " unit"]


def check_cells(fitted: pd.DataFrame, model: Any, by: str | None) -> str | None:
    """Check that a model of cells was fitted, and return the conditions of its trials; None for all observed time.

    Raises
    ------
    AnalysisError
        If it was not.
    """
    # A table that lost its attributes has rates of conditions if it was fitted with them: its one rate is then that of trials.
    of_trials = model == "label" or any(str(name).startswith("label_hz[") for name in fitted)
    known = fitted.attrs.get("by", by or ("label" if of_trials else None))
    if by not in (None, known) or model not in (IN_TIME if known is None else ("rate", "label")):
        raise AnalysisError(
            f"model={model!r} with by={by or known!r} was asked for, and the table of cells was fitted with by={known!r}.",
            "Over all observed time (by=None) 'rate', 'gamma' or 'inverse_gaussian' are rescaled, over trials with conditions 'rate' or 'label'.",
            "Fit one of these (`ann2neo.models.fit(spikes, ['rate'], by=None)`, `ann2neo.models.fit(spikes, ['label'])`).",
        )
    if known is not None:
        return known
    missing = [name for name in _names(model) if name not in fitted]
    if missing:
        raise AnalysisError(
            f"The table has no column {missing[0]!r}.",
            "The parameters of this model are unknown.",
            f"Fit the model {model!r} first, with by=None.",
        )
    return None


def rescaled_cells(
    spikes: Any, fitted: pd.DataFrame, *, model: str, n_draws: int, seed: int, progress: bool
) -> tuple[pd.DataFrame, list[tuple[PerSpike, PerUnit]]]:
    """Return the rows of the units, and of each unit its rescaled intervals and the distances of draws; see `ann2neo.models.rescaled`.

    Raises
    ------
    AnalysisError
        If the table has other units.
    """
    found = given(spikes, None)
    if found.bins is not None:
        raise AnalysisError(
            "the table is of cells, and a recording in bins was given.",
            "Rates in Hz give no probability of a bin.",
            "Fit the recording, or pass the spike trains that were fitted.",
        )
    chunks = [read() for read in found.source.chunks]
    units = pd.concat([chunk.units for chunk in chunks], ignore_index=True)
    order = np.arange(len(units)) if found.rows is None else np.asarray(found.rows)
    check_units(units.iloc[order], fitted)
    keys = unit_keys(units.iloc[order], seed)
    place = np.argsort(order)
    values = fitted[list(_names(model))].to_numpy(np.float64)
    parts: list[tuple[PerSpike, PerUnit]] = [(np.zeros(0), np.zeros(0))] * len(units)
    first = 0
    with progress_bar(shown=progress, desc="rescaling", unit="unit", total=len(units)) as bar:
        for chunk in chunks:
            arrays = chunk.spikes if isinstance(chunk.spikes, SpikeArrays) else chunk.spikes.arrays()
            for unit in range(len(chunk.units)):
                row = int(place[first])
                own = _one(arrays, unit)
                stream = np.random.Generator(np.random.Philox(key=[int(keys[row]), _SALT]))
                parts[row] = _tested(own, model, values[row], stream, n_draws)
                first += 1
                bar.update()
    return fitted.reset_index(drop=True), parts


def check_units(units: pd.DataFrame, fitted: pd.DataFrame) -> None:
    """Check that the table has these units, in this order.

    Raises
    ------
    AnalysisError
        If it has others.
    """
    names = [table[["layer", "unit"]].astype(str).to_numpy() for table in (units, fitted)]
    if names[0].shape != names[1].shape or (names[0] != names[1]).any():
        raise AnalysisError(
            f"{len(units)} units have spikes, and the table has {len(fitted)} rows, or rows of other units.",
            "It is unclear which parameters belong to which unit.",
            "Pass the table that `ann2neo.models.fit` returned for these spike trains.",
        )


def _names(model: Any) -> tuple[str, ...]:
    return ("rate_hz",) if model == "rate" else (f"{model}_shape", f"{model}_mean_ms")


def _one(spikes: SpikeArrays, unit: int) -> SpikeArrays:
    """Select a unit; times in seconds since the begin of their stretch."""
    rows = slice(int(spikes.offsets[unit]), int(spikes.offsets[unit + 1]))
    seconds = milliseconds_per(spikes.time_unit) / 1000
    stretch = spikes.stretch[rows]
    starts = 0.0 if spikes.stretch_starts is None else spikes.stretch_starts[stretch]
    times = np.maximum((spikes.times[rows] - starts) * seconds, 0.0)
    return _arrays(times, stretch, np.array([0, times.size]), spikes.stretch_durations * seconds)


def _arrays(times: np.ndarray, stretch: np.ndarray, offsets: np.ndarray, durations: np.ndarray) -> SpikeArrays:
    return SpikeArrays(
        times=times,
        offsets=offsets.astype(np.int64),
        stretch=stretch.astype(np.int64),
        window=np.full(times.size, -1, np.int64),
        label=None,
        stretch_durations=durations,
        stretch_bins=None,
        window_durations=np.zeros(0),
        window_bins=None,
        window_pass=np.zeros(0, np.int64),
        label_bins=None,
        time_unit="s",
    )


def _tested(
    spikes: SpikeArrays, model: str, values: np.ndarray, stream: np.random.Generator, n_draws: int
) -> tuple[PerSpike, PerUnit]:
    """Rescale the intervals of a unit, and those of draws of its model with the parameters that are estimated from each draw."""
    # numba is loaded only where it is needed.
    from ann2neo.models.kernels import uniform_distance

    law, shape, mean = _law(model, values[None])
    if not spikes.times.size or not (np.isfinite(shape) & np.isfinite(mean) & (mean > 0)).all():
        return np.zeros(0), np.zeros(0)
    draws = _drawn(stream, law, float(shape[0]), float(mean[0]), spikes.stretch_durations, n_draws)
    shapes, means = _law(model, _estimates(draws, model))[1:]
    z, found = rescaled_intervals(draws, law, shapes, means), []
    for draw, usable in enumerate(np.isfinite(shapes) & np.isfinite(means)):
        if usable:
            found.append(uniform_distance(z[draws.offsets[draw] : draws.offsets[draw + 1]]))
    distances = np.array(found)
    return rescaled_intervals(spikes, law, shape, mean), distances[~np.isnan(distances)]


def _law(model: str, values: np.ndarray) -> tuple[str, PerUnit, PerUnit]:
    """Return law, shape and mean interval in seconds; one rate has gamma intervals of shape 1."""
    if model == "rate":
        with np.errstate(divide="ignore"):
            return "gamma", np.ones(len(values)), 1 / values[:, 0]
    return model, values[:, 0], values[:, 1] / 1000


def _estimates(draws: SpikeArrays, model: str) -> np.ndarray:
    """Estimate the parameters from each draw, by the estimators of `fit`."""
    n, total = np.diff(draws.offsets).astype(np.float64), float(draws.stretch_durations.sum())
    if model == "rate":
        return np.where(n > 0, n / total, np.nan)[:, None]
    found = interval_columns(intervals_of(draws, 1.0), n, total, model)
    return np.stack([found[name] for name in _names(model)], axis=1)


def rescaled_intervals(spikes: SpikeArrays, law: str, shape: PerUnit, mean: PerUnit) -> PerSpike:
    r"""Return z of each spike: the probability of no later spike, given those before it.

    Stretches are concatenated. In a stretch, x after its last spike, the integrated intensity is :math:`-\ln S(x)`; x after its begin and before its first spike it is
    :math:`-\ln \int_x^\infty S / m`.

    Parameters
    ----------
    spikes
        Units, in seconds since the begin of their stretch.
    law
        "gamma" or "inverse_gaussian".
    shape, mean
        Parameters of each unit, shape (unit,).

    Examples
    --------
    A rate of 1 Hz, in two stretches of 2 s: intervals of 0.5, 1 and 0.5 + 1 s.

    >>> spikes = _arrays(np.array([0.5, 1.5, 1.0]), np.array([0, 0, 1]), np.array([0, 3]), np.array([2.0, 2.0]))
    >>> -np.log1p(-rescaled_intervals(spikes, "gamma", np.ones(1), np.ones(1))).round(6)
    array([0.5, 1. , 1.5])
    """
    survival, beyond = LAWS[law]
    owner, stretch, times = spikes.unit_of_spike, spikes.stretch, spikes.times
    n_stretches = spikes.stretch_durations.size
    place = owner * n_stretches + stretch
    follows = np.diff(place, prepend=-1) == 0
    waited = np.where(follows, times - np.append(0.0, times[:-1]), times) / mean[owner]
    k = shape[owner]
    passed = -np.where(follows, survival(waited, k), beyond(waited, k))
    # What is left of a stretch after its last spike belongs to the next interval.
    last = np.full(spikes.n_units * n_stretches, np.nan)
    last[place] = times
    left = np.tile(spikes.stretch_durations, spikes.n_units) - np.where(np.isnan(last), 0.0, last)
    unit = np.repeat(np.arange(spikes.n_units), n_stretches)
    x, k = np.maximum(left, 0.0) / mean[unit], shape[unit]
    rest = -np.where(np.isnan(last), beyond(x, k), survival(x, k)).reshape(spikes.n_units, n_stretches)
    before = np.concatenate([np.zeros((spikes.n_units, 1)), rest.cumsum(axis=1)], axis=1)[:, :-1]
    since = np.where(np.diff(owner, prepend=-1) == 0, np.append(0, stretch[:-1]), 0)
    passed = passed + before[owner, stretch] - before[owner, since]
    return -np.expm1(-np.maximum(passed, 0.0))


def _drawn(
    stream: np.random.Generator, law: str, shape: float, mean: float, durations: np.ndarray, n_draws: int
) -> SpikeArrays:
    """Draw stretches that begin at an arbitrary moment: the interval that covers it is drawn by its length."""

    # Shorter intervals, of which gamma laws of small shape have many, would vanish when they are added.
    least = 4 * float(np.spacing(durations.max()))

    def intervals(size: tuple[int, ...]) -> np.ndarray:
        if law == "gamma":
            return np.maximum(stream.gamma(shape, mean / shape, size), least)
        return np.maximum(stream.wald(mean, shape * mean, size), least)

    covering = stream.gamma(shape + 1, mean / shape, (n_draws, durations.size))
    if law == "inverse_gaussian":
        covering = mean**2 / intervals(covering.shape)
    at, owner, stretch, times = stream.random(covering.shape) * covering, [], [], []
    for place, duration in enumerate(durations.tolist()):
        now = at[:, place]
        alive = np.flatnonzero(now < duration)
        now = now[alive]
        while alive.size:
            after = np.cumsum(intervals((alive.size, int(1.2 * duration / mean) + 8)), axis=1) + now[:, None]
            run = np.concatenate([now[:, None], after[:, :-1]], axis=1)
            inside = run < duration
            owner.append(np.repeat(alive, inside.sum(axis=1)))
            times.append(run[inside])
            stretch.append(np.full(times[-1].size, place))
            alive, now = alive[after[:, -1] < duration], after[after[:, -1] < duration, -1]
    flat = [np.concatenate([np.zeros(0), *each]) for each in (owner, stretch, times)]
    order = np.lexsort((flat[2], flat[1], flat[0]))
    sizes = np.bincount(flat[0].astype(np.int64), minlength=n_draws)
    return _arrays(flat[2][order], flat[1][order], np.append(0, np.cumsum(sizes)), durations)
