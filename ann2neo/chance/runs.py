"""Do spikes cluster or avoid each other? The number of runs of spikes given the number of spikes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln

from ann2neo.chance.axes import by_annotation
from ann2neo.chance.margins import Bins, Spikes, check_spikes
from ann2neo.chance.p_values import normal_two_sided
from ann2neo.errors import AnalysisError

_WIDTH = 256
_EXACT_VARIANCE = 100.0
_FLOOR = 1e-14
_AT_ONCE = 4096


@by_annotation
def runs_test(n_runs: Int[np.ndarray, " unit"], n: Spikes, bins: Bins) -> Float[np.ndarray, " unit"]:
    """Test whether spikes form as many runs (unbroken series of bins with spikes) as by chance; two-sided, mid-p.

    Given n spikes on L bins, chance puts n - R of them directly after another spike with a hypergeometric law. Over
    several stretches the runs are summed and the law is the convolution: exact where its variance is at most 100, else
    normal with the exact mean, variance and skewness. No p-value is below 1e-14 in the exact branch. NaN where the
    number of runs is certain: below two spikes, and saturated, in every stretch.

    Parameters
    ----------
    n_runs
        Runs of spikes of each unit, summed over stretches (no run crosses a border), shape (unit,).
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, more runs than spikes, or spikes in a stretch without a run.

    See Also
    --------
    ann2neo.chance.stationarity_test, ann2neo.chance.isi_law_test

    References
    ----------
    Wald & Wolfowitz 1940, doi:10.1214/aoms/1177731909

    Examples
    --------
    >>> runs_test(np.array([1, 5, 7]), np.array([[10], [10], [10]]), np.array([20])).round(3)
    array([0.   , 0.685, 0.22 ])
    """
    check_spikes(n, bins)
    _check_runs(n_runs, n)
    joined = n.sum(axis=1) - n_runs
    mean, variance, third = (moment.sum(axis=1) for moment in _moments(n, bins))
    exact = (variance > 0) & (variance <= _EXACT_VARIANCE)
    normal = variance > _EXACT_VARIANCE
    p = np.full(n.shape[0], np.nan)
    for rows in np.array_split(np.flatnonzero(exact), exact.sum() // _AT_ONCE + 1):
        p[rows] = _convolved(joined[rows], n[rows], bins, mean[rows])
    sd = np.sqrt(variance[normal])
    p[normal] = normal_two_sided((joined[normal] - mean[normal]) / sd, skewness=third[normal] / sd**3)
    return p


def _check_runs(n_runs: Int[np.ndarray, " unit"], n: Spikes) -> None:
    """Refuse more runs than spikes, and spikes without a run."""
    low, high = (n > 0).sum(axis=1), n.sum(axis=1)
    wrong = (n_runs < low) | (n_runs > high)
    if wrong.any():
        raise AnalysisError(
            f"A unit with {high[wrong][0]} spikes in {low[wrong][0]} stretches cannot have {n_runs[wrong][0]} runs.",
            "Runs and spikes do not belong together.",
            "Count runs and spikes over the same stretches; no run crosses a border.",
        )


def _moments(n: Spikes, bins: Bins) -> tuple[Float[np.ndarray, "unit stretch"], ...]:
    """Mean, variance and third central moment of the number of spikes that follow a spike directly."""
    before, free = np.maximum(n - 1.0, 0), bins - n
    mean = n * before / bins
    variance = mean * (free + 1) * free / (bins * np.maximum(bins - 1.0, 1))
    third = variance * (bins - 2 * before) * (bins - 2.0 * n) / (bins * np.maximum(bins - 2.0, 1))
    return mean, variance, third


def _convolved(
    joined: Int[np.ndarray, " case"], n: Int[np.ndarray, "case stretch"], bins: Bins, mean: Float[np.ndarray, " case"]
) -> Float[np.ndarray, " case"]:
    """Two-sided mid-p from the convolution of the stretches' laws on a circle ten standard deviations wide."""
    spectrum = np.ones((n.shape[0], _WIDTH // 2 + 1), dtype=complex)
    for stretch in range(n.shape[1]):
        distinct, where = np.unique(n[:, stretch], return_inverse=True)
        spectrum *= np.fft.rfft(_folded_law(distinct, int(bins[stretch])), axis=1)[where]
    circle = np.maximum(np.fft.irfft(spectrum, _WIDTH, axis=1), 0)
    start = np.floor(mean).astype(int) - _WIDTH // 2
    law = np.take_along_axis(circle, (start[:, None] + np.arange(_WIDTH)) % _WIDTH, axis=1)
    place = np.clip(joined - start, 0, _WIDTH - 1)
    here = np.take_along_axis(law, place[:, None], axis=1)[:, 0]
    lower = np.take_along_axis(np.cumsum(law, axis=1), place[:, None], axis=1)[:, 0] - here / 2
    upper = np.take_along_axis(np.cumsum(law[:, ::-1], axis=1), _WIDTH - 1 - place[:, None], axis=1)[:, 0] - here / 2
    return np.clip(2 * np.minimum(lower, upper), _FLOOR, 1.0)


def _folded_law(n: Int[np.ndarray, " case"], bins: int) -> Float[np.ndarray, "case place"]:
    """Chances of each number of spikes that follow a spike, modulo the width, in one stretch."""
    start = np.floor(n * np.maximum(n - 1.0, 0) / bins).astype(int) - _WIDTH // 2
    joined = start[:, None] + np.arange(_WIDTH)
    runs, spikes = n[:, None] - joined, n[:, None]
    possible = (joined >= 0) & (joined <= np.maximum(spikes - 1, 0)) & (runs <= bins - spikes + 1)
    runs = np.where(possible, runs, 0)
    log = _log_choose(np.maximum(spikes - 1, 0), np.maximum(runs - 1, 0)) + _log_choose(bins - spikes + 1, runs)
    law = np.where(possible, np.exp(log - _log_choose(np.array(bins), spikes)), 0.0)
    folded = np.empty_like(law)
    np.put_along_axis(folded, joined % _WIDTH, law, axis=1)
    return folded


def _log_choose(n: Int[np.ndarray, "*n"], k: Int[np.ndarray, "*k"]) -> Float[np.ndarray, ...]:
    return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
