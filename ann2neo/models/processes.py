"""Processes that give no bin a probability of its own: gains that all bins of a window share, and intervals between spikes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ann2neo.errors import AnalysisError
from ann2neo.models.law import by_of, column_of
from ann2neo.models.observed import bins_by_column, gain_windows
from ann2neo.recording import Recording

Streams = Iterator[np.random.Generator]
PROCESSES = ("gain", "label_gain", "renewal")
"""Models that are processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """Probabilities of windows from beta laws.

    Parameters
    ----------
    p
        Mean probability of each unit in each condition, the last one outside all windows, shape (unit, condition).
    rho
        Correlation of the bins of a window, 0 for none, shape (unit,).
    window, condition
        Window of each bin, -1 for none, and the condition of each window, shapes (bin,) and (window,).
    follows_rate
        Whether each unit follows its rate because it has no fitted gain, shape (unit,).
    """

    p: Float[np.ndarray, "unit condition"]
    rho: Float[np.ndarray, " unit"]
    window: Int[np.ndarray, " bin"]
    condition: Int[np.ndarray, " window"]
    follows_rate: Bool[np.ndarray, " unit"]

    @property
    def parameters(self) -> Float[np.ndarray, "unit parameter"]:
        """All parameters of each unit."""
        return np.concatenate([self.p, self.rho[:, None]], axis=1)

    def draw(self, streams: Streams, others: Streams, units: slice, dense: Bool[np.ndarray, "unit bin"]) -> None:
        """Draw bins from the numbers of ``streams``, as of every model, and the probabilities of windows from ``others``."""
        for row, stream, other, p, rho in zip(dense, streams, others, self.p[units], self.rho[units]):
            mean = p[self.condition]
            if rho == 1:
                mean = (other.random(mean.size) < mean).astype(np.float64)
            elif rho > 0:
                free, spread = (mean > 0) & (mean < 1), 1 / rho - 1
                own = np.where(free, mean, 0.5)
                mean = np.where(free, other.beta(own * spread, (1 - own) * spread), mean)
            np.less(stream.random(self.window.size), np.append(mean, p[-1])[self.window], out=row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewals:
    """Intervals from negative binomial laws, in stretches that begin at an arbitrary moment.

    Parameters
    ----------
    r, mean
        Shape, from 0 to infinity, and mean interval of each unit, shape (unit,).
    edges
        Where stretches begin and the last one ends, shape (stretch + 1,).
    rate
        Probability of a spike of units that follow their rate, shape (unit,).
    follows_rate
        Whether each unit does, because it has no fitted intervals, shape (unit,).
    """

    r: Float[np.ndarray, " unit"]
    mean: Float[np.ndarray, " unit"]
    edges: Int[np.ndarray, " edge"]
    rate: Float[np.ndarray, " unit"]
    follows_rate: Bool[np.ndarray, " unit"]

    @property
    def parameters(self) -> Float[np.ndarray, "unit parameter"]:
        """All parameters of each unit."""
        return np.stack([self.r, self.mean, self.rate], axis=1)

    def draw(self, streams: Streams, others: Streams, units: slice, dense: Bool[np.ndarray, "unit bin"]) -> None:
        """Draw intervals from ``others``; units that follow their rate are compared with the numbers of ``streams``."""
        for row, stream, other, unit in zip(dense, streams, others, range(units.start, units.stop)):
            if self.follows_rate[unit]:
                np.less(stream.random(row.size), self.rate[unit], out=row)
            else:
                row[:] = False
                row[self._spikes(other, unit)] = True

    def _spikes(self, stream: np.random.Generator, unit: int) -> Int[np.ndarray, " spike"]:
        """Draw the bins of all spikes of a unit, for all stretches at once."""
        starts, lengths = self.edges[:-1], np.diff(self.edges)
        r, mean = float(self.r[unit]), float(self.mean[unit])
        if r == 0:
            return np.flatnonzero(np.repeat(stream.random(lengths.size) < 1 / mean, lengths))
        # The interval that covers an arbitrary moment is drawn by its length: an interval of law P times I / mean, I - 1 being size-biased with chance (mean - 1) / mean.
        longer = stream.random(lengths.size) < (mean - 1) / mean
        covering = np.where(
            longer,
            2 + _intervals(stream, r + 1, (mean - 1) * (1 + 1 / r), longer.shape),
            1 + _intervals(stream, r, mean - 1, longer.shape),
        )
        at = np.ceil(stream.random(lengths.size) * covering).astype(np.int64) - 1
        found = [(starts + at)[at < lengths]]
        alive = np.flatnonzero(at < lengths)
        while alive.size:
            many = int(np.ceil(1.2 * (lengths[alive] - at[alive]).max() / mean)) + 8
            after = at[alive, None] + np.cumsum(1 + _intervals(stream, r, mean - 1, (alive.size, many)), axis=1)
            inside = after < lengths[alive, None]
            found.append((starts[alive, None] + after)[inside])
            at[alive] = after[:, -1]
            alive = alive[inside[:, -1]]
        return np.concatenate(found)


def _intervals(stream: np.random.Generator, r: float, mean: float, shape: tuple[int, ...]) -> Int[np.ndarray, "*shape"]:
    """Draw the empty bins of intervals; an infinite shape is Poisson's."""
    return stream.poisson(mean, shape) if np.isinf(r) else stream.negative_binomial(r, r / (r + mean), shape)


def process_of(
    rows: pd.DataFrame, recording: Recording, model: str, by: str | None, fitted: pd.DataFrame
) -> Gains | Renewals:
    """Read the parameters of one of `PROCESSES`, with the windows that the table names.

    Raises
    ------
    AnalysisError
        If the table lacks a parameter or does not name the windows.
    """
    if model == "renewal":
        return renewals_of(rows, recording)
    if f"{model}_rho" not in rows:
        raise AnalysisError(
            f"The table has no column '{model}_rho'.",
            "There is no gain to draw.",
            f"Fit the model {model!r} first.",
        )
    windows = fitted.attrs.get("gain_windows", "inputs" if model == "label_gain" else None)
    if windows is None:
        raise AnalysisError(
            "the attributes of the table do not name the windows of the gain (`gain_windows`).",
            "It is unclear which bins share a gain.",
            "Pass the table that `ann2neo.models.fit` returned, or one that `ann2neo.read_table` read.",
        )
    return gains_of(
        rows, recording, model, by or by_of(fitted, recording.trials), None if windows == "inputs" else windows
    )


def gains_of(rows: pd.DataFrame, recording: Recording, model: str, by: str | None, windows: int | None) -> Gains:
    """Read the gains of ``gain`` or ``label_gain`` from the rows of the units of a recording.

    Raises
    ------
    AnalysisError
        If the table lacks a parameter, or one is not a probability.
    """
    bins, rate = bins_by_column(recording.trials, by), column_of(rows, "rate_p")
    rho = column_of(rows, f"{model}_rho", missing=True)
    follows = np.isnan(rho)
    if model == "label_gain":
        window, condition = bins.input, bins.condition_of_input
        means = [column_of(rows, f"label_p[{value}]") for value in bins.conditions]
    else:
        window = gain_windows(bins, recording.stretches, windows)
        condition = np.zeros(int(window.max(initial=-1)) + 1, np.int64)
        means = [np.where(follows, rate, column_of(rows, "gain_mu", missing=True))]
    p = np.stack([*means, rate], axis=1)
    p[follows] = rate[follows, None]
    return Gains(p=p, rho=np.where(follows, 0.0, rho), window=window, condition=condition, follows_rate=follows)


def renewals_of(rows: pd.DataFrame, recording: Recording) -> Renewals:
    """Read shapes and mean intervals from the rows of the units of a recording.

    Raises
    ------
    AnalysisError
        If the table lacks a parameter, or one is not possible.
    """
    missing = [name for name in ("renewal_r", "renewal_mean") if name not in rows]
    if missing:
        raise AnalysisError(
            f"The table has no column {missing[0]!r}.",
            "There are no intervals to draw from.",
            "Fit the model 'renewal' first.",
        )
    r, mean = (rows[name].to_numpy(np.float64) for name in ("renewal_r", "renewal_mean"))
    follows = np.atleast_1d(np.isnan(r) | np.isnan(mean))
    wrong = ~follows & ~((r >= 0) & (mean > 1) & np.isfinite(mean))
    if wrong.any():
        raise AnalysisError(
            f"{int(wrong.sum())} of {wrong.size} units have a shape below 0 or a mean interval below 1.",
            "No interval can be drawn from them.",
            "Pass the table that `ann2neo.models.fit` returned for a recording.",
        )
    return Renewals(r=r, mean=mean, edges=recording.stretches, rate=column_of(rows, "rate_p"), follows_rate=follows)
