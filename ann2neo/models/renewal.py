"""Renewal in bins: intervals from a negative binomial law, which may be more or less regular than those of one rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import chi2

from ann2neo.models.gap_kernels import list_gaps, renewal_likelihood
from ann2neo.models.maximum import maximize

PerUnit = Float[np.ndarray, " unit"]
# Where the likelihood rises up to these shapes, its limit is taken: Poisson intervals, or stretches that are one burst or empty.
REGULAR, BURSTY = 1e3, 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaps:
    """Intervals between spikes, and the observed parts of those that a border cuts, unit by unit.

    Parameters
    ----------
    kind
        0 for an interval between two spikes, 1 for the bins of a stretch up to and including its first spike, 2 for the empty bins after its last spike, 3 for the bins of a stretch without a spike, shape (gap,).
    bins
        Number of bins of each gap, shape (gap,).
    times
        Number of occurrences of each gap, shape (gap,).
    offsets
        Gaps of unit u are ``offsets[u]`` to ``offsets[u + 1]``, shape (unit + 1,).
    """

    kind: Int[np.ndarray, " gap"]
    bins: Int[np.ndarray, " gap"]
    times: Int[np.ndarray, " gap"]
    offsets: Int[np.ndarray, " unit_plus_one"]


def gaps_of(dense: Bool[np.ndarray, "unit bin"], stretch: Int[np.ndarray, " bin"]) -> Gaps:
    """List the gaps of each unit; equal gaps are listed once.

    Parameters
    ----------
    dense
        Whether each unit spiked in each bin, shape (unit, bin).
    stretch
        Stretch of each counted bin, ascending without missing numbers, -1 where a bin is not counted, shape (bin,).

    Examples
    --------
    >>> found = gaps_of(np.array([[0, 1, 0, 1, 0, 0, 0]], bool), np.array([0, 0, 0, 0, 0, 1, 1]))
    >>> list(zip(found.kind.tolist(), found.bins.tolist(), found.times.tolist()))
    [(0, 2, 1), (1, 2, 1), (2, 1, 1), (3, 2, 1)]
    """
    changes = np.flatnonzero(np.diff(stretch, prepend=-2, append=-2))
    begins, ends = changes[:-1][stretch[changes[:-1]] >= 0], changes[1:][stretch[changes[:-1]] >= 0]
    edges = np.stack([begins, ends], axis=1)
    number = np.zeros((4, int((ends - begins).max(initial=0)) + 2), np.int64)
    found = np.empty((3, min(number.size, stretch.size + edges.shape[0])), np.int64)
    parts = [found[:, :0]]
    for row in dense:
        parts.append(found[:, : list_gaps(row, edges, number, found)].copy())
    kind, bins, times = np.concatenate(parts, axis=1)
    sizes = [part.shape[1] for part in parts[1:]]
    return Gaps(kind=kind, bins=bins, times=times, offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def log_likelihood_of_renewal(gaps: Gaps, units: Int[np.ndarray, " unit"], r: PerUnit, mean: PerUnit) -> PerUnit:
    r"""Return the log-likelihood of all bins of a renewal process whose observation starts at an arbitrary moment, shape (unit,).

    An interval of I bins has :math:`P(I) = \binom{I - 2 + r}{I - 1} \pi^r (1 - \pi)^{I - 1}` with :math:`\pi = r / (r + m - 1)` and mean m; the first spike
    comes in bin f of a stretch with probability :math:`P(I \ge f) / m`; after the last spike g bins are empty with :math:`P(I > g)`; a stretch of l bins is
    empty with :math:`\sum_{f > l} P(I \ge f) / m`. For r = 1 this is :math:`n \ln p + (L - n) \ln(1 - p)`, p = 1 / m. An infinite r is Poisson's law of I - 1; with
    r = 0 all intervals that are seen are 1, and stretches are full (1 / m) or empty.

    Parameters
    ----------
    gaps
        Gaps of all units.
    units
        Units to compute.
    r, mean
        Shape and mean interval (above 1) of each unit, shape (unit,).

    Examples
    --------
    >>> gaps = gaps_of(np.array([[0, 1, 0, 1, 0, 0, 0]], bool), np.array([0, 0, 0, 0, 0, 1, 1]))
    >>> found = log_likelihood_of_renewal(gaps, np.array([0]), np.array([1.0]), np.array([4.0]))
    >>> found.round(6), np.round(2 * np.log(1 / 4) + 5 * np.log(3 / 4), 6)
    (array([-4.210999]), np.float64(-4.210999))
    """
    found = np.empty(units.size)
    renewal_likelihood(gaps.kind, gaps.bins, gaps.times, gaps.offsets, units, r, mean, found)
    return found


def renewal_columns(gaps: Gaps, n: Int[np.ndarray, " unit"], total: int) -> dict[str, Any]:
    """Fit shape and mean interval, see `ann2neo.models.fit`; NaN with fewer than 2 intervals, and for silent and saturated units.

    Parameters
    ----------
    gaps
        Gaps of all units.
    n
        Spikes of each unit, shape (unit,).
    total
        Number of counted bins.
    """
    names = ("r", "r_se", "cv", "mean", "mean_se", "loglik", "aic", "lr_p")
    columns: dict[str, Any] = {f"renewal_{name}": np.full(n.size, np.nan) for name in names}
    columns["renewal_k"] = np.full(n.size, 2)
    unit = np.repeat(np.arange(n.size), np.diff(gaps.offsets))
    intervals = np.bincount(unit, weights=gaps.times * (gaps.kind == 0), minlength=n.size)
    usable = np.flatnonzero((n < total) & (intervals >= 2))
    if not usable.size:
        return columns

    def likelihood(units: np.ndarray, at: np.ndarray) -> PerUnit:
        shape = np.exp(np.clip(at[:, 0], np.log(BURSTY), np.log(REGULAR)))
        return log_likelihood_of_renewal(gaps, usable[units], shape, 1 + np.exp(at[:, 1]))

    start = np.stack([np.zeros(usable.size), np.log(total / n[usable] - 1)], axis=1)
    single = likelihood(np.arange(usable.size), start)
    best = maximize(likelihood, start)
    r, m, value = np.exp(best.point[:, 0]), 1 + np.exp(best.point[:, 1]), best.value
    of_r, of_m = best.errors().T
    r_se, m_se = r * of_r, (m - 1) * of_m
    for limit, at in ((np.inf, r >= 0.9 * REGULAR), (0.0, r <= 1.1 * BURSTY)):
        own = np.flatnonzero(at)
        r[own], r_se[own] = limit, np.nan
        m[own], m_se[own], value[own] = _at_limit(gaps, usable[own], limit, best.point[own, 1])
    filled = {
        "r": r,
        "r_se": r_se,
        "cv": np.sqrt((m - 1) + np.divide((m - 1) ** 2, r, out=np.full(r.size, np.inf), where=r > 0)) / m,
        "mean": m,
        "mean_se": m_se,
        "loglik": value,
        "aic": 4 - 2 * value,
        "lr_p": chi2.sf(np.maximum(2 * (value - single), 0), 1),
    }
    for name, values in filled.items():
        columns[f"renewal_{name}"][usable] = values
    return columns


def _at_limit(
    gaps: Gaps, units: Int[np.ndarray, " unit"], r: float, start: PerUnit
) -> tuple[PerUnit, PerUnit, PerUnit]:
    """Return the mean interval, its standard error and the likelihood with a given shape, starting from log(mean - 1)."""

    def likelihood(chosen: np.ndarray, at: np.ndarray) -> PerUnit:
        found = log_likelihood_of_renewal(gaps, units[chosen], np.full(chosen.size, r), 1 + np.exp(at[:, 1]))
        # The first parameter has no meaning: its maximum is 0.
        return found - at[:, 0] ** 2 / 2

    best = maximize(likelihood, np.stack([np.zeros(units.size), start], axis=1))
    above = np.exp(best.point[:, 1])
    return 1 + above, above * best.errors()[:, 1], best.value
