"""What a unit's measures would be if its inputs came in random order: expectations given its number of spikes.

A deterministic network whose inputs are shuffled puts each unit's n spikes on its L bins with equal chance for every
arrangement, so these are the values against which an observed measure must be held. Intervals are in bins: multiply by
the bin size, or its square for the variance.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float

from ann2neo.arguments import check_number
from ann2neo.chance.axes import by_annotation
from ann2neo.chance.margins import Bins, Spikes, check_spikes, look_up, weighted_mean
from ann2neo.chance.pairs import cv2_of_stretch, lvr_of_stretch
from ann2neo.chance.sampled_cv import few_intervals, sampled_cv, sampled_cv_of_stretches
from ann2neo.chance.spacings import cv_from_moments, isi_sums, mean_and_variance, pooled_variance

PerUnit = Float[np.ndarray, " unit"]


@by_annotation
def expected_isi_mean(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the mean inter-spike interval in bins, exactly.

    A stretch of L bins with n spikes has n - 1 intervals of expectation (L + 1) / (n + 1); stretches are pooled. NaN
    without intervals.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    Examples
    --------
    >>> expected_isi_mean(np.array([[2], [1]]), np.array([3]))
    array([1.33333333,        nan])
    """
    check_spikes(n, bins)
    return weighted_mean(mean_and_variance(n, bins, lattice=True)[0], np.maximum(n - 1, 0))


@by_annotation
def expected_isi_var(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the variance (ddof 0) of the pooled inter-spike intervals in squared bins, exactly.

    NaN without intervals, 0 for a single one.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    Examples
    --------
    >>> expected_isi_var(np.array([[3], [2], [1]]), np.array([4]))  # intervals (1,1), (1,2), (2,1), (1,1)
    array([0.125, 0.   ,   nan])
    """
    check_spikes(n, bins)
    return pooled_variance(n, bins, lattice=True)


@by_annotation
def expected_cv(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the coefficient of variation of the pooled inter-spike intervals.

    It is far below its limit sqrt(1 - n / L) where spikes are few. It is sampled with a fixed seed for units whose
    intervals lie in one stretch of at most 64 spikes (standard error below 0.0005; exact up to 3 spikes), and for those
    with at most 64 intervals in several stretches (below 0.002); all others use a closed approximation, see
    `cv_from_moments`. NaN without intervals, 0 for a single one.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    Examples
    --------
    >>> expected_cv(np.array([[900], [10]]), np.array([1797])).round(2)
    array([0.71, 0.86])
    """
    check_spikes(n, bins)
    cv = cv_from_moments(isi_sums(n, bins, lattice=True))
    single, several = few_intervals(n)
    only = np.where(n[single] > 1, n[single], 0)
    cv[single] = np.where(only > 1, look_up(partial(sampled_cv, lattice=True), only, bins), 0.0).sum(axis=1)
    cv[several] = sampled_cv_of_stretches(n[several], bins, lattice=True)
    return cv


@by_annotation
def expected_cv2(n: Spikes, bins: Bins) -> PerUnit:
    """Expect CV2, the mean of ``2 |I1 - I2| / (I1 + I2)`` over pairs of successive intervals, exactly.

    Given the sum s of two successive intervals the first is uniform on 1 ... s - 1, and s has the chance (s - 1) C(L -
    s, n - 2) / C(L, n). Stretches are weighted by their number of pairs, n - 2. NaN where no stretch has three spikes.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    References
    ----------
    Holt, Softky, Koch & Douglas 1996, doi:10.1152/jn.1996.75.5.1806

    Examples
    --------
    >>> expected_cv2(np.array([[3], [2]]), np.array([4]))  # intervals (1,1), (1,2), (2,1), (1,1)
    array([0.33333333,        nan])
    """
    check_spikes(n, bins)
    return weighted_mean(look_up(cv2_of_stretch, n, bins), np.maximum(n - 2, 0))


@by_annotation
def expected_lv(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the local variation Lv, exactly: the mean of ``3 (I1 - I2)^2 / (I1 + I2)^2`` over successive intervals.

    Weighted and undefined as `expected_cv2`.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    References
    ----------
    Shinomoto, Shima & Tanji 2003, doi:10.1162/089976603322518759

    Examples
    --------
    >>> expected_lv(np.array([[3], [2]]), np.array([4]))  # intervals (1,1), (1,2), (2,1), (1,1)
    array([0.16666667,        nan])
    """
    return expected_lvr(n, bins, refractoriness_bins=0.0)


@by_annotation
def expected_lvr(n: Spikes, bins: Bins, *, refractoriness_bins: float) -> PerUnit:
    """Expect the revised local variation LvR, exactly.

    LvR is the mean of ``3 (I1 - I2)^2 / (I1 + I2)^2 * (1 + 4 R / (I1 + I2))`` over pairs of successive intervals.

    Weighted and undefined as `expected_cv2`.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).
    refractoriness_bins
        The refractoriness constant R in bins.

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    References
    ----------
    Shinomoto et al. 2009, doi:10.1371/journal.pcbi.1000433

    Examples
    --------
    >>> expected_lvr(np.array([[3]]), np.array([4]), refractoriness_bins=0.75)
    array([0.33333333])
    """
    check_number(refractoriness_bins, "refractoriness_bins", low=0)
    check_spikes(n, bins)
    values = look_up(partial(lvr_of_stretch, refractoriness_bins=refractoriness_bins), n, bins)
    return weighted_mean(values, np.maximum(n - 2, 0))
