"""Gain: counts in windows that vary more than those of independent bins, because each window has a separate probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit
from scipy.stats import gamma, norm

from ann2neo.models.kernels import beta_binomial
from ann2neo.models.maximum import maximize

PerUnit = Float[np.ndarray, " unit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tails:
    """Sufficient statistics of counts in windows: numbers of windows with more than j spikes, more than j empty bins, more than j bins.

    Parameters
    ----------
    spikes, gaps
        Number of windows of each unit with more than j of them, shape (unit, j).
    bins
        Number of windows with more than j bins, shape (j,).
    """

    spikes: Int[np.ndarray, "unit j"]
    gaps: Int[np.ndarray, "unit j"]
    bins: Int[np.ndarray, " j"]


def tails_of(counts: Int[np.ndarray, "unit window"], size: Int[np.ndarray, " window"]) -> Tails:
    """Count windows by their numbers of spikes, empty bins and bins.

    Parameters
    ----------
    counts
        Spikes in each window, shape (unit, window).
    size
        Bins of each window, shape (window,).

    Examples
    --------
    >>> tails_of(np.array([[0, 2, 1]]), np.array([1, 2, 2]))
    Tails(spikes=array([[2, 1]]), gaps=array([[2, 0]]), bins=array([3, 2]))
    """
    longest = int(size.max(initial=0))
    return Tails(
        spikes=_above(counts, longest),
        gaps=_above(size - counts, longest),
        bins=_above(size[None], longest)[0],
    )


def _above(counts: Int[np.ndarray, "unit window"], longest: int) -> Int[np.ndarray, "unit j"]:
    """Count the windows with a count above 0, 1, ..."""
    place = np.arange(len(counts))[:, None] * (longest + 1) + counts
    found = np.bincount(place.ravel(), minlength=len(counts) * (longest + 1)).reshape(len(counts), longest + 1)
    return found[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]


def gain_columns(counts: Int[np.ndarray, "unit window"], size: Int[np.ndarray, " window"]) -> dict[str, Any]:
    """Fit a beta-binomial law to counts in windows, see `ann2neo.models.fit`; NaN without windows of several bins, and for silent and saturated units.

    Parameters
    ----------
    counts
        Spikes in each window, shape (unit, window).
    size
        Bins of each window, at least one, shape (window,).

    Examples
    --------
    >>> found = gain_columns(np.array([[1, 7, 2, 6], [4, 4, 4, 4]]), np.array([10, 10, 10, 10]))
    >>> found["gain_mu"].round(2), found["gain_rho"].round(2), found["gain_p"].round(3)
    (array([0.4, 0.4]), array([0.17, 0.  ]), array([0.012, 1.   ]))
    """
    n, total, pairs = counts.sum(axis=1), int(size.sum()), float((size * (size - 1)).sum())
    names = ("mu", "mu_se", "rho", "rho_se", "var", "var_se", "p", "loglik", "aic")
    columns: dict[str, Any] = {f"gain_{name}": np.full(len(counts), np.nan) for name in names}
    columns["gain_k"] = np.full(len(counts), 2)
    usable = np.flatnonzero((n > 0) & (n < total)) if pairs and size.size > 1 else np.zeros(0, np.int64)
    if not usable.size:
        return columns
    own = tails_of(counts[usable], size)
    p = n[usable] / total
    mu, rho, errors, found = _estimates(own, p, counts[usable], size)
    deviation = np.sqrt(2 / pairs)
    at_zero = rho == 0
    mu_se = np.where(at_zero, np.sqrt(p * (1 - p) / total), mu * (1 - mu) * errors[:, 0])
    rho_se = np.where(at_zero, deviation, rho * (1 - rho) * errors[:, 1])
    filled = {
        "mu": mu,
        "mu_se": mu_se,
        "rho": rho,
        "rho_se": rho_se,
        "var": rho * (1 - mu) / mu,
        "var_se": np.where(at_zero, deviation * (1 - mu) / mu, errors[:, 2]),
        "p": tarone_p(counts[usable], size),
        "loglik": found,
        "aic": 4 - 2 * found,
    }
    for name, values in filled.items():
        columns[f"gain_{name}"][usable] = values
    return columns


def log_likelihood_of_gain(tails: Tails, mu: PerUnit, theta: PerUnit) -> PerUnit:
    r"""Return the log-likelihood of the bins of windows whose probabilities have a beta law, shape (unit,).

    :math:`\sum_j A_j \ln(\mu + j \theta) + B_j \ln(1 - \mu + j \theta) - M_j \ln(1 + j \theta)` with A, B and M the numbers of windows of `tails_of`
    and :math:`\theta = \rho / (1 - \rho)`. The number of ways to arrange spikes in a window is not included, so that theta = 0 gives the log-likelihood of `rate`.

    Parameters
    ----------
    tails
        Numbers of windows.
    mu, theta
        Parameters of each unit, shape (unit,).

    Examples
    --------
    >>> log_likelihood_of_gain(tails_of(np.array([[1, 0]]), np.array([2, 2])), np.array([0.5]), np.array([0.0])).round(3)  # 4 ln(1/2)
    array([-2.773])
    """
    found = np.empty(len(mu))
    beta_binomial(tails.spikes, tails.gaps, tails.bins, mu, theta, found)
    return found


def _estimates(
    tails: Tails, p: PerUnit, counts: Int[np.ndarray, "unit window"], size: Int[np.ndarray, " window"]
) -> tuple[PerUnit, PerUnit, Float[np.ndarray, "unit 3"], PerUnit]:
    """Estimate mu and rho, with the errors of logit mu, logit rho and the variance of the gain; rho is 0 where the likelihood falls as rho leaves 0."""
    j = np.arange(tails.bins.size)
    slope = (j * (tails.spikes / p[:, None] + tails.gaps / (1 - p)[:, None] - tails.bins)).sum(axis=1)
    mu, rho, errors = p.copy(), np.zeros(p.size), np.full((p.size, 3), np.nan)
    found = log_likelihood_of_gain(tails, p, np.zeros(p.size))
    more = np.flatnonzero(slope > 0)
    if not more.size:
        return mu, rho, errors, found
    own = Tails(spikes=tails.spikes[more], gaps=tails.gaps[more], bins=tails.bins)

    def likelihood(units: np.ndarray, at: np.ndarray) -> PerUnit:
        part = Tails(spikes=own.spikes[units], gaps=own.gaps[units], bins=own.bins)
        return log_likelihood_of_gain(part, expit(at[:, 0]), np.exp(at[:, 1]))

    excess = ((counts[more] - p[more, None] * size) ** 2).sum(axis=1) / (p * (1 - p))[more] - size.sum()
    first = np.clip(excess / (size * (size - 1)).sum(), 1e-4, 0.9)
    # From this starting point every window is possible, however large its share of spikes.
    best = maximize(likelihood, np.stack([logit(p[more]), logit(first)], axis=1))
    theta, better = np.exp(best.point[:, 1]), best.value >= found[more]
    kept = more[better]
    mu[kept], rho[kept] = expit(best.point[better, 0]), (theta / (1 + theta))[better]
    found[kept] = best.value[better]
    a, b, c = best.information[:, 0, 0], best.information[:, 1, 1], best.information[:, 0, 1]
    of_mu, of_rho = best.errors().T
    # ln var = ln rho + ln(1 - mu) - ln mu, whose slopes are 1 - rho and -1.
    share = theta / (1 + theta)
    with np.errstate(divide="ignore", invalid="ignore"):
        together = np.sqrt(of_mu**2 + (1 - share) ** 2 * of_rho**2 - 2 * (1 - share) * (-c / (a * b - c * c)))
    variance = share * np.exp(-best.point[:, 0])
    errors[kept] = np.stack([of_mu, of_rho, variance * together], axis=1)[better]
    return mu, rho, errors, found


def tarone_p(counts: Int[np.ndarray, "unit window"], size: Int[np.ndarray, " window"]) -> PerUnit:
    r"""Test whether counts in windows vary more than those of independent bins: Tarone's score test of rho = 0, one-sided.

    :math:`Z = (\sum_i (S_i - m_i p)^2 / (p q) - E) / \sqrt{V}` with p = n / L, q = 1 - p, :math:`E = \tfrac{L}{L - 1} \sum_i m_i (1 - m_i / L)` and
    :math:`V = 2 \sum_i m_i (m_i - 1) (1 - 1 / W)`. The null distribution is approximated by a gamma law, shifted and scaled to mean 0, variance 1 and the skewness of :math:`\sum_i 2 \sum_{s < t} e_s e_t`
    over standardized bins e: third cumulant :math:`\sum_i 8 m_i (m_i - 1) (m_i - 2) + 4 (q - p)^2 / (p q) \, m_i (m_i - 1)`. The normal law rejects 1.3 times
    too often at 5 % with 20 windows, and 5 times at 0.1 %; the gamma law is within 20 % of 5 % and 1 % from 6 windows and 10 spikes on.

    Parameters
    ----------
    counts
        Spikes in each window, shape (unit, window).
    size
        Bins of each window, shape (window,).

    References
    ----------
    Tarone 1979, doi:10.1093/biomet/66.3.585.

    Examples
    --------
    >>> tarone_p(np.array([[1, 7, 2, 6], [4, 4, 4, 4]]), np.full(4, 10)).round(3)
    array([0.012, 1.   ])
    """
    m, total, n = size.astype(np.float64), float(size.sum()), counts.sum(axis=1)
    p = n / total
    pairs, triples = (m * (m - 1)).sum(), (m * (m - 1) * (m - 2)).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        squares = ((counts - p[:, None] * m) ** 2).sum(axis=1) / (p * (1 - p))
        variance = 2 * pairs * (1 - 1 / m.size)
        z = (squares - total / (total - 1) * (m - m**2 / total).sum()) / np.sqrt(variance)
        third = 8 * triples + 4 * (1 - 2 * p) ** 2 / (p * (1 - p)) * pairs
        shape = 4 * variance**3 / third**2
        skewed = gamma.sf(np.maximum(shape + np.sqrt(shape) * z, 0), shape)
        return np.where(np.isfinite(shape), skewed, norm.sf(z))
