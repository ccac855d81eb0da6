"""References for sources without bins: a Poisson process given its count, spikes anywhere with equal chance."""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float

from ann2neo.arguments import check_number
from ann2neo.chance.axes import by_annotation
from ann2neo.chance.margins import Durations, Spikes, check_spikes, look_up, weighted_mean
from ann2neo.chance.sampled_cv import few_intervals, sampled_cv, sampled_cv_of_stretches
from ann2neo.chance.spacings import cv_from_moments, isi_sums, mean_and_variance, pooled_variance

PerUnit = Float[np.ndarray, " unit"]


@by_annotation
def poisson_expected_isi_mean(n: Spikes, durations: Durations) -> PerUnit:
    """Expect the mean inter-spike interval, exactly: T / (n + 1) in each stretch, pooled; NaN without intervals.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    durations
        Duration of each stretch; the result has the same unit of time, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a count is negative.

    Examples
    --------
    >>> poisson_expected_isi_mean(np.array([[4], [1]]), np.array([10.0]))
    array([ 2., nan])
    """
    check_spikes(n)
    return weighted_mean(mean_and_variance(n, durations, lattice=False)[0], np.maximum(n - 1, 0))


@by_annotation
def poisson_expected_isi_var(n: Spikes, durations: Durations) -> PerUnit:
    """Expect the variance (ddof 0) of the pooled inter-spike intervals, exactly.

    NaN without intervals, 0 for a single one.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    durations
        Duration of each stretch; the result has the square of its unit, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a count is negative.

    Examples
    --------
    >>> poisson_expected_isi_var(np.array([[3], [2]]), np.array([10.0]))
    array([2.5, 0. ])
    """
    check_spikes(n)
    return pooled_variance(n, durations, lattice=False)


@by_annotation
def poisson_expected_cv(n: Spikes, durations: Durations) -> PerUnit:
    """Expect the coefficient of variation of the pooled inter-spike intervals; it tends to 1.

    Computed as for bins, see `expected_cv`: sampled with a fixed seed up to 64 spikes in one stretch or 64 intervals in
    several, else by a closed approximation.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    durations
        Duration of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a count is negative.

    Examples
    --------
    >>> poisson_expected_cv(np.array([[2], [3], [100000]]), np.array([10.0])).round(3)
    array([0. , 0.5, 1. ])
    """
    check_spikes(n)
    cv = cv_from_moments(isi_sums(n, durations, lattice=False))
    single, several = few_intervals(n)
    sampled = look_up(partial(sampled_cv, lattice=False), n[single], np.ones(durations.size))
    cv[single] = np.where(n[single] > 1, sampled, 0.0).sum(axis=1)
    cv[several] = sampled_cv_of_stretches(n[several], durations, lattice=False)
    return cv


@by_annotation
def poisson_expected_cv2(n: Spikes) -> PerUnit:
    """Expect CV2, which is exactly 1 at any count.

    Given the sum of two successive intervals, the first is uniform. NaN where no stretch has three spikes.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).

    Raises
    ------
    AnalysisError
        If a count is negative.

    Examples
    --------
    >>> poisson_expected_cv2(np.array([[3], [2]]))
    array([ 1., nan])
    """
    check_spikes(n)
    return np.where((n > 2).any(axis=1), 1.0, np.nan)


@by_annotation
def poisson_expected_lv(n: Spikes) -> PerUnit:
    """Expect the local variation Lv, which is exactly 1 at any count. NaN where no stretch has three spikes.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).

    Raises
    ------
    AnalysisError
        If a count is negative.

    Examples
    --------
    >>> poisson_expected_lv(np.array([[3], [2]]))
    array([ 1., nan])
    """
    return poisson_expected_cv2(n)


@by_annotation
def poisson_expected_lvr(n: Spikes, durations: Durations, *, refractoriness: float) -> PerUnit:
    """Expect the revised local variation LvR, exactly: 1 + 4 R n / T in each stretch, weighted by n - 2.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    durations
        Duration of each stretch, shape (stretch,).
    refractoriness
        The refractoriness constant R in the same unit of time.

    Raises
    ------
    AnalysisError
        If a count is negative.

    Examples
    --------
    >>> poisson_expected_lvr(np.array([[5], [2]]), np.array([100.0]), refractoriness=5.0)
    array([ 2., nan])
    """
    check_number(refractoriness, "refractoriness", low=0)
    check_spikes(n)
    return weighted_mean(1 + 4 * refractoriness * n / durations, np.maximum(n - 2, 0))
