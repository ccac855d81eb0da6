"""Renewal in time: intervals of cells from a gamma or an inverse Gaussian law, with those that borders cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaincc, gammaln, log_ndtr, xlogy
from scipy.stats import chi2

from ann2neo.measures.csr import SpikeArrays
from ann2neo.models.maximum import maximize

PerUnit = Float[np.ndarray, " unit"]
# Where the likelihood rises up to the upper limit, all intervals are equal, and the density of spike times is infinite.
REGULAR, BURSTY = 1e6, 1e-6
_TERMS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Intervals between spikes, and the observed parts of those that the borders of stretches cut, in seconds.

    Parameters
    ----------
    number, total, logarithms, inverses
        Number of intervals of each unit, their sum, the sum of their natural logarithms and that of their inverses, shape (unit,).
    first, last
        Time to the first spike of each stretch, and from the last spike to its end; NaN in stretches without a spike, shape (unit, stretch).
    empty
        Duration of stretches without a spike, NaN for other stretches, shape (unit, stretch).
    """

    number: PerUnit
    total: PerUnit
    logarithms: PerUnit
    inverses: PerUnit
    first: Float[np.ndarray, "unit stretch"]
    last: Float[np.ndarray, "unit stretch"]
    empty: Float[np.ndarray, "unit stretch"]


def intervals_of(spikes: SpikeArrays, seconds: float) -> Intervals:
    """List the intervals and gaps of each unit in all observed time.

    Parameters
    ----------
    spikes
        Spikes of some units.
    seconds
        Duration of the unit of time, in seconds.
    """
    n_units, n_stretches = spikes.offsets.size - 1, spikes.stretch_durations.size
    unit = np.repeat(np.arange(n_units), np.diff(spikes.offsets))
    starts = np.zeros(n_stretches) if spikes.stretch_starts is None else spikes.stretch_starts
    place, times = unit * n_stretches + spikes.stretch, (spikes.times - starts[spikes.stretch]) * seconds
    within = place[1:] == place[:-1]
    length, owner = np.diff(times)[within], unit[1:][within]
    ends = np.concatenate([~within, np.ones(min(times.size, 1), np.bool_)])
    begins = np.concatenate([np.ones(min(times.size, 1), np.bool_), ~within])
    first, last = np.full(n_units * n_stretches, np.nan), np.full(n_units * n_stretches, np.nan)
    durations = np.tile(spikes.stretch_durations * seconds, n_units)
    first[place[begins]] = times[begins]
    last[place[ends]] = durations[place[ends]] - times[ends]
    empty = np.where(np.isnan(first), durations, np.nan)
    shape = n_units, n_stretches
    with np.errstate(divide="ignore"):
        sums = [np.bincount(owner, each, n_units) for each in (None, length, np.log(length), 1 / length)]
    return Intervals(
        number=sums[0].astype(np.float64),
        total=sums[1],
        logarithms=sums[2],
        inverses=sums[3],
        first=np.maximum(first, 0).reshape(shape),
        last=np.maximum(last, 0).reshape(shape),
        empty=empty.reshape(shape),
    )


def log_likelihood_of_intervals(
    intervals: Intervals, units: Int[np.ndarray, " unit"], law: str, shape: PerUnit, mean: PerUnit
) -> PerUnit:
    r"""Return the log-likelihood of all spike times of a renewal process whose observation starts at an arbitrary moment, shape (unit,).

    Intervals have density f, survival function S, mean m and shape k = 1 / CV^2. A stretch of duration T contributes :math:`S(t_1) / m` for its first spike at
    :math:`t_1`, f for each interval, S of the time after its last spike, and :math:`\int_T^\infty S / m` if it is empty.

    Parameters
    ----------
    intervals
        Intervals of all units.
    units
        Units to compute.
    law
        "gamma" or "inverse_gaussian".
    shape, mean
        Shape and mean interval of each unit, the mean in seconds, shape (unit,).

    Examples
    --------
    With shape 1 the gamma law is a Poisson process: n ln(rate) - rate T.

    >>> seen = Intervals(
    ...     number=np.ones(1), total=np.array([0.5]), logarithms=np.log([0.5]), inverses=np.array([2.0]),
    ...     first=np.array([[0.25, np.nan]]), last=np.array([[1.25, np.nan]]), empty=np.array([[np.nan, 3.0]]),
    ... )
    >>> found = log_likelihood_of_intervals(seen, np.array([0]), "gamma", np.ones(1), np.array([0.5]))
    >>> found.round(6), np.round(2 * np.log(2) - 2 * 5, 6)
    (array([-8.613706]), np.float64(-8.613706))
    """
    number, total = intervals.number[units], intervals.total[units]
    k, m = shape, mean
    if law == "gamma":
        own = number * (xlogy(k, k / m) - gammaln(k)) + (k - 1) * intervals.logarithms[units] - k * total / m
        survival, beyond = _gamma_survival, _gamma_beyond
    else:
        squares = total / m - 2 * number + m * intervals.inverses[units]
        own = number * np.log(k * m / (2 * np.pi)) / 2 - 1.5 * intervals.logarithms[units] - k * squares / 2
        survival, beyond = _inverse_gaussian_survival, _inverse_gaussian_beyond
    scale, k = m[:, None], k[:, None]
    first = np.nansum(survival(intervals.first[units] / scale, k) - np.log(scale), axis=1)
    last = np.nansum(survival(intervals.last[units] / scale, k), axis=1)
    return own + first + last + np.nansum(beyond(intervals.empty[units] / scale, k), axis=1)


def _gamma_survival(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return the logarithm of the share of intervals longer than x means."""
    x, k = np.broadcast_arrays(x, k)
    a = k * x
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(gammaincc(k, a))
        far = ~(found > -500) & ~np.isnan(x)
        a, k = a[far], k[far]
        found[far] = xlogy(k, a) - a - gammaln(k) + np.log(_fraction(a, k))
    return found


def _gamma_beyond(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Return the logarithm of the integral of the survival function from x means on, in means."""
    x, k = np.broadcast_arrays(x, k)
    a = k * x
    with np.errstate(divide="ignore", invalid="ignore"):
        peak = xlogy(k, a) - a - gammaln(k + 1)
        found = np.log(gammaincc(k, a) * (1 - x) + np.exp(peak))
        far = x > 1 + 2 / np.sqrt(k)
        found[far] = peak[far] + np.log1p(k[far] * _fraction(a[far], k[far]) * (1 - x[far]))
    return found


def _fraction(a: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Compute Legendre's continued fraction of the upper incomplete gamma function over a^k e^-a, for a above k."""
    found = a + 2 * _TERMS + 1 - k
    for n in range(_TERMS, 0, -1):
        found = a + 2 * n - 1 - k - n * (n - k) / found
    return 1 / found


def _inverse_gaussian_survival(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    right, left = _inverse_gaussian_tails(x, k)
    with np.errstate(divide="ignore", invalid="ignore"):
        return right + np.log1p(-np.exp(left - right))


def _inverse_gaussian_beyond(x: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Add (1 - x) Phi(-a) and (1 + x) e^2k Phi(b); where they cancel, the tail is exponential with rate k / 2."""
    right, left = _inverse_gaussian_tails(x, k)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = (1 - x) + (1 + x) * np.exp(left - right)
        tail = _inverse_gaussian_survival(x, k) + np.log(2 / k)
        return np.where(inside > 1e-9, right + np.log(np.maximum(inside, 1e-300)), tail)


def _inverse_gaussian_tails(x: np.ndarray, k: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(divide="ignore"):
        root = np.sqrt(k / x)
    return log_ndtr(-root * (x - 1)), 2 * k + log_ndtr(-root * (x + 1))


LAWS = {
    "gamma": (_gamma_survival, _gamma_beyond),
    "inverse_gaussian": (_inverse_gaussian_survival, _inverse_gaussian_beyond),
}
"""Logarithms of the survival function of each law, and of its integral from a time on; times in means."""


def interval_columns(intervals: Intervals, n: PerUnit, seconds: float, law: str) -> dict[str, Any]:
    """Fit shape and mean interval, see `ann2neo.models.fit`; NaN with fewer than 2 intervals, or with two spikes at one time.

    Parameters
    ----------
    intervals
        Intervals of all units.
    n
        Spikes of each unit, shape (unit,).
    seconds
        Observed time, in seconds.
    law
        "gamma" or "inverse_gaussian".
    """
    names = ("shape", "shape_se", "cv", "mean_ms", "mean_ms_se", "loglik", "aic")
    columns: dict[str, Any] = {f"{law}_{name}": np.full(n.size, np.nan) for name in names}
    columns[f"{law}_k"] = np.full(n.size, 2)
    usable = np.flatnonzero((intervals.number >= 2) & np.isfinite(intervals.inverses))
    single = np.full(n.size, np.nan)

    def likelihood(units: np.ndarray, at: np.ndarray) -> PerUnit:
        shape = np.exp(np.clip(at[:, 0], np.log(BURSTY), np.log(REGULAR)))
        return log_likelihood_of_intervals(intervals, usable[units], law, shape, np.exp(at[:, 1]))

    if usable.size:
        single[usable] = xlogy(n[usable], n[usable] / seconds) - n[usable]
        best = maximize(likelihood, np.stack([np.zeros(usable.size), np.log(seconds / n[usable])], axis=1))
        shape, mean = np.exp(np.clip(best.point[:, 0], np.log(BURSTY), np.log(REGULAR))), np.exp(best.point[:, 1])
        equal = shape >= 0.9 * REGULAR
        of_shape, of_mean = np.where(~equal & (shape > 1.1 * BURSTY), best.errors().T, np.nan)
        shape, value = np.where(equal, np.inf, shape), np.where(equal, np.inf, best.value)
        filled = (
            shape,
            shape * of_shape,
            shape**-0.5,
            mean * 1e3,
            mean * of_mean * 1e3,
            value,
            4 - 2 * value,
        )
        for name, values in zip(names, filled):
            columns[f"{law}_{name}"][usable] = values
    gain = columns[f"{law}_loglik"] - single
    columns |= {f"{law}_bits": gain / seconds / np.log(2), f"{law}_bits_per_spike": gain / np.maximum(n, 1) / np.log(2)}
    if law == "gamma":
        columns[f"{law}_lr_p"] = chi2.sf(np.maximum(2 * gain, 0), 1)
    return columns
