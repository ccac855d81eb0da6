"""Does a unit's rate drift? Rank tests of where the spikes lie against where they do not."""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int, Num
from scipy.special import comb, factorial

from ann2neo.arguments import check_number, check_whole
from ann2neo.chance.axes import by_annotation
from ann2neo.chance.inputs import deviations
from ann2neo.chance.margins import check_spikes
from ann2neo.chance.p_values import normal_two_sided, where_defined
from ann2neo.errors import AnalysisError

_FEW = 20
_LONGEST_LAW = 1 << 18
_ALL_ORDERS = 7


@by_annotation
def stationarity_test(
    bin_sums: Int[np.ndarray, " unit"], n: Int[np.ndarray, " unit"], *, n_bins: int
) -> Float[np.ndarray, " unit"]:
    """Test by Wilcoxon's rank sum whether spikes lie earlier or later than empty bins; two-sided.

    Bins are numbered through all stretches, one after the other, so a change of rate from stretch to stretch counts as
    a drift (where stretches are inputs of several bins, use `ann2neo.chance.stationarity.stationarity_test_of_inputs`). Given n, the sum of the spikes' bins has an exact law: used up to 20 spikes, or empty bins, where the p value
    is the chance of a sum at least as far from its mean; from then on normal with exact variance and fourth moment. NaN
    for silent and saturated units.

    Parameters
    ----------
    bin_sums
        Sum of the numbers of the bins (from 0) that hold a spike, shape (unit,).
    n
        Spikes of each unit, shape (unit,).
    n_bins
        Bins of all stretches together.

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins.

    See Also
    --------
    ann2neo.chance.stationarity_test_poisson, ann2neo.chance.runs_test

    References
    ----------
    Mann & Whitney 1947, doi:10.1214/aoms/1177730491

    Examples
    --------
    >>> stationarity_test(np.array([0 + 1 + 2, 0 + 4 + 9, 0]), np.array([3, 3, 0]), n_bins=10).round(3)
    array([0.017, 1.   ,   nan])
    """
    check_whole(n_bins, "n_bins")
    check_spikes(n, n_bins)
    _check_sums(bin_sums, n.astype(np.int64) * (n_bins - 1), "bin_sums")
    defined = (n > 0) & (n < n_bins)
    # Twice the distance from the centre is an integer, and the same for spikes as for empty bins but for its sign.
    twice = np.abs(2 * bin_sums[defined].astype(np.int64) - n[defined].astype(np.int64) * (n_bins - 1))
    rarer = np.minimum(n[defined], n_bins - n[defined])
    p = np.empty(rarer.shape)
    for one in np.unique(rarer[rarer <= _FEW]):
        p[rarer == one] = _few_on_bins(twice[rarer == one], int(one), n_bins)
    many = rarer > _FEW
    a, b = n[defined][many].astype(float), n_bins - n[defined][many].astype(float)
    excess = -1.2 * (a * a + b * b + a * b + a + b) / (a * b * (a + b + 1))
    p[many] = normal_two_sided(twice[many] / np.sqrt(a * b * (n_bins + 1) / 3), excess=excess)
    return where_defined(defined, p)


@by_annotation
def stationarity_test_poisson(
    time_sums: Float[np.ndarray, " unit"], n: Int[np.ndarray, " unit"], *, duration: float
) -> Float[np.ndarray, " unit"]:
    """Test by Laplace's trend test whether spike times lie earlier or later than by chance; two-sided.

    Stretches follow one another on one clock. Given n, the sum of times is a sum of uniform numbers: exact up to 20
    spikes, then normal with exact variance and fourth moment. NaN for silent units.

    Parameters
    ----------
    time_sums
        Sum of each unit's spike times, from 0 at the beginning, shape (unit,).
    n
        Spikes of each unit, shape (unit,).
    duration
        Duration of all stretches together.

    Raises
    ------
    AnalysisError
        If the duration is not positive, or a sum is larger than that of spikes at the end.

    See Also
    --------
    ann2neo.chance.stationarity_test

    References
    ----------
    Cox & Lewis 1966, doi:10.1007/978-94-011-7801-3

    Examples
    --------
    >>> stationarity_test_poisson(np.array([9.9, 5.0]), np.array([1, 1]), duration=10.0).round(3)
    array([0.02, 1.  ])
    """
    check_number(duration, "duration", above=0)
    check_spikes(n)
    _check_sums(time_sums, n * duration, "time_sums")
    defined = n > 0
    count = n[defined]
    away = np.abs(time_sums[defined] / duration - count / 2)
    p = normal_two_sided(away / np.sqrt(count / 12), excess=-1.2 / count)
    for one in np.unique(count[count <= _FEW]):
        p[count == one] = _few_uniform(away[count == one], int(one))
    return where_defined(defined, p)


def _check_sums(sums: Num[np.ndarray, " unit"], largest: Num[np.ndarray, " unit"], name: str) -> None:
    """Refuse sums of times that the spikes of a unit cannot have."""
    wrong = (sums < 0) | (sums > largest * (1 + 1e-9)) | np.isnan(sums)
    if wrong.any():
        raise AnalysisError(
            f"`{name}` has {sums[wrong][0]} where the spikes of a unit sum up to {largest[wrong][0]} at most.",
            "A trend cannot be told.",
            "Count bins and times from 0 at the beginning, through all stretches.",
        )


def _few_on_bins(twice: Int[np.ndarray, " case"], n: int, n_bins: int) -> Float[np.ndarray, " case"]:
    span = n * (n_bins - n)
    if span > _LONGEST_LAW:
        return _few_uniform(twice / (2 * n_bins), n)
    return np.clip(2 * _rank_sum_tail(n, n_bins)[(span - twice) // 2], 0.0, 1.0)


@lru_cache(maxsize=32)
def _rank_sum_tail(n: int, n_bins: int) -> Float[np.ndarray, " sum"]:
    # The observed sum counts whole: a mid-p value of one spike on 20 bins would reject 10 % at a nominal 5 %.
    return np.cumsum(_rank_sum_law(n, n_bins))


def _rank_sum_law(n: int, n_bins: int) -> Float[np.ndarray, " sum"]:
    """Chance of each rank sum above its minimum: the coefficients of the Gaussian binomial."""
    law = np.zeros(n * (n_bins - n) + 1)
    law[0] = 1.0
    for one in range(1, n + 1):
        shift = n_bins - n + one
        if shift < law.size:
            law[shift:] -= law[:-shift].copy()
        padded = np.concatenate((law, np.zeros(-law.size % one))).reshape(-1, one)
        law = np.cumsum(padded, axis=0).ravel()[: law.size] * one / shift
    half = law[: (law.size + 1) // 2]
    return np.maximum(np.concatenate((half, half[: law.size // 2][::-1])), 0)


def _few_uniform(away: Float[np.ndarray, " case"], n: int) -> Float[np.ndarray, " case"]:
    """Two-sided p-value of a sum of n uniform numbers at a distance from its mean (Irwin-Hall)."""
    low = np.maximum(n / 2 - away, 0.0)
    k = np.arange(n // 2 + 1)
    terms = (-1.0) ** k * comb(n, k) * np.maximum(low[:, None] - k, 0.0) ** n
    return np.clip(2 * terms.sum(axis=1) / factorial(n), 0.0, 1.0)


@by_annotation
def stationarity_test_of_inputs(
    spikes: Int[np.ndarray, "unit input"], size: Num[np.ndarray, " input"], *, lattice: bool = True
) -> Float[np.ndarray, " unit"]:
    r"""Test whether inputs that come later have more spikes, or fewer, for what they last; two-sided.

    Inputs are exchangeable, their bins are not: a unit that answers inputs differently has no trend for that. The statistic is the sum of :math:`k e_k` over
    inputs, with :math:`e_k` the deviation of the k-th from the unit's rate (see `ann2neo.chance.inputs`), and its law is that of all orders of the inputs:
    enumerated up to seven inputs, else normal with exact variance and fourth moment. NaN where all inputs have one rate.

    Parameters
    ----------
    spikes
        Spikes of each unit in each input, in the order of time, shape (unit, input).
    size
        Bins or duration of each input, shape (input,).
    lattice
        Whether an input holds at most as many spikes as its size.

    References
    ----------
    Pitman 1937, doi:10.2307/2983647

    Examples
    --------
    >>> spikes = np.array([[0, 1, 1, 2, 2, 3, 3, 4, 4, 4], [4, 0, 4, 0, 4, 0, 0, 4, 0, 4], [2] * 10])
    >>> stationarity_test_of_inputs(spikes, np.full(10, 4)).round(3)
    array([0.001, 0.921,   nan])
    """
    check_spikes(spikes, size if lattice else None)
    m = size.size
    e = deviations(spikes, size)
    squares = (e**2).sum(axis=1)
    defined = (squares > 1e-9 * np.maximum(spikes.sum(axis=1), 1e-300)) & (m > 1)
    e, squares = e[defined] / np.sqrt(squares[defined])[:, None], squares[defined]
    place = np.arange(m) - (m - 1) / 2
    trend = np.abs(e @ place)
    if m <= _ALL_ORDERS:
        orders = np.array(list(permutations(place)))
        return where_defined(defined, (np.abs(e @ orders.T) >= trend[:, None] - 1e-9).mean(axis=1))
    z = trend * np.sqrt((m - 1) / (place**2).sum())
    both = _kurtosis(e) * _kurtosis(place[None])
    fourth = 3 * (m - 1) / (m + 1) + (m - 2) * (m - 3) / (m * (m + 1) * (m - 1)) * both
    return where_defined(defined, normal_two_sided(z, excess=fourth - 3))


def _kurtosis(e: Float[np.ndarray, "unit input"]) -> Float[np.ndarray, " unit"]:
    """Fourth k-statistic over the square of the second, of numbers that add up to 0."""
    m = e.shape[1]
    second, fourth = (e**2).sum(axis=1), (e**4).sum(axis=1)
    own = m * (m + 1) * fourth - 3 * (m - 1) * second**2
    return (m - 1) * own / ((m - 2) * (m - 3) * second**2)
