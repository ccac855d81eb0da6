"""Differences between two small groups of numbers: effect sizes with confidence intervals and a permutation test."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import optimize, special, stats

# 10 against 10 networks are 184,756 arrangements: still enumerated.
MAX_ARRANGEMENTS = 200_000
N_DRAWN = 99_999
# Of the largest value: what rounding leaves of a mean is far below, and what networks differ by far above.
ROUNDING = 1e-12


class Estimate(NamedTuple):
    """A number and the confidence interval around it."""

    value: float
    low: float
    high: float


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def is_beyond_rounding(difference: float, *values: Float[np.ndarray, " _"]) -> bool:
    """Tell whether a difference or a spread of values is more than what rounding of their means leaves: equal values have none.

    Examples
    --------
    >>> equal = np.full(10, 0.3)
    >>> float(equal.std()) > 0, is_beyond_rounding(float(equal.std()), equal)
    (True, False)
    """
    return bool(difference > ROUNDING * max(float(np.abs(each).max()) for each in values))


def hedges_g(
    first: Float[np.ndarray, " network"], second: Float[np.ndarray, " other"], *, confidence: float = 0.95
) -> Estimate:
    r"""Compute the difference of two means in units of their pooled standard deviation, corrected for small samples.

    With pooled variance :math:`s^2` (ddof 1) on :math:`m = n_1 + n_2 - 2` degrees of freedom

    .. math:: g = J(m)\,\frac{\bar x_1 - \bar x_2}{s}, \qquad J(m) = \frac{\Gamma(m/2)}{\sqrt{m/2}\;\Gamma((m-1)/2)}.

    The interval inverts the noncentral t distribution. Its coverage of the true difference is exact for normal groups of equal variance, and only for these: for 3 against 9
    networks with a fourth of the spread it covers 73 % instead of 95 (`mean_difference` does not assume this). It is not multiplied by J,
    which would make it too short (it would cover 93.7 % instead of 95 % for 4 against 5). NaN where a group has fewer than 2 values or neither group has any spread.

    Parameters
    ----------
    first, second
        One value per network, shapes (network,) and (other,).
    confidence
        Probability that the interval covers.

    References
    ----------
    Hedges (1981), doi:10.3102/10769986006002107. Cumming and Finch (2001), doi:10.1177/0013164401614002.

    Examples
    --------
    >>> g = hedges_g(np.array([1.0, 2.0, 3.0]), np.array([3.0, 4.0, 5.0]))
    >>> [round(x, 3) for x in g]
    [-1.596, -4.019, 0.15]
    """
    n1, n2 = first.size, second.size
    if min(n1, n2) < 2:
        return UNKNOWN
    m = n1 + n2 - 2
    spread = math.sqrt((first.var(ddof=1) * (n1 - 1) + second.var(ddof=1) * (n2 - 1)) / m)
    if not is_beyond_rounding(spread, first, second):
        return UNKNOWN
    j = math.exp(special.gammaln(m / 2) - special.gammaln((m - 1) / 2) - 0.5 * math.log(m / 2))
    per_t = math.sqrt(1 / n1 + 1 / n2)
    t = float(first.mean() - second.mean()) / spread / per_t
    low, high = _noncentrality(t, m, 0.5 + confidence / 2), _noncentrality(t, m, 0.5 - confidence / 2)
    return Estimate(j * t * per_t, low * per_t, high * per_t)


def auc(
    first: Float[np.ndarray, " network"], second: Float[np.ndarray, " other"], *, confidence: float = 0.95
) -> Estimate:
    r"""Compute the probability that a network of the first group has a larger value than one of the second; ties count half.

    It is the Mann-Whitney U over :math:`n_1 n_2`, the area under the ROC curve. The interval contains all :math:`\theta` with
    :math:`(\hat\theta - \theta)^2 \le z^2 V(\theta)`, where

    .. math::
        V(\theta) = \frac{\theta(1-\theta)}{n_1 n_2}\left[1 + \left(\frac{n_1+n_2}{2} - 1\right)
        \left(\frac{1-\theta}{2-\theta} + \frac{\theta}{1+\theta}\right)\right],

    so that it keeps a nonzero width where the groups do not overlap. NaN where a group is empty.

    Parameters
    ----------
    first, second
        One value per network, shapes (network,) and (other,).
    confidence
        Probability that the interval covers, approximately.

    References
    ----------
    Newcombe (2006), method 5, doi:10.1002/sim.2324.

    Examples
    --------
    >>> area = auc(np.array([4.0, 5.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    >>> [round(x, 3) for x in area]
    [1.0, 0.501, 1.0]
    """
    if min(first.size, second.size) == 0:
        return UNKNOWN
    gap = first[:, None] - second[None, :]
    value = float(((gap > 0) + 0.5 * (gap == 0)).mean())
    z = float(stats.norm.isf(0.5 - confidence / 2))

    def outside(theta: float) -> float:
        return (value - theta) ** 2 - z * z * _auc_variance(theta, first.size, second.size)

    low = 0.0 if value == 0 else _root(outside, 0.0, value - 1e-12)
    high = 1.0 if value == 1 else _root(outside, value + 1e-12, 1.0)
    return Estimate(value, low, high)


def mean_difference(
    first: Float[np.ndarray, " network"], second: Float[np.ndarray, " other"], *, confidence: float = 0.95
) -> Estimate:
    """Compute the difference of two means with Welch's interval, which does not assume equal variances.

    The degrees of freedom are Satterthwaite's. NaN where a group has fewer than 2 values; an interval of width 0 where
    neither group has any spread.

    Parameters
    ----------
    first, second
        One value per network, shapes (network,) and (other,).
    confidence
        Probability that the interval covers, approximately; exact for normal groups of equal size and variance.

    References
    ----------
    Welch (1947), doi:10.1093/biomet/34.1-2.28.

    Examples
    --------
    >>> [round(x, 3) for x in mean_difference(np.array([1.0, 2.0, 3.0]), np.array([3.0, 4.0, 5.0]))]
    [-2.0, -4.267, 0.267]
    """
    if min(first.size, second.size) < 2:
        return UNKNOWN
    gap = float(first.mean() - second.mean())
    own = first.var(ddof=1) / first.size, second.var(ddof=1) / second.size
    if not sum(own) > 0:
        return Estimate(gap, gap, gap)
    freedom = sum(own) ** 2 / (own[0] ** 2 / (first.size - 1) + own[1] ** 2 / (second.size - 1))
    reach = float(stats.t.isf(0.5 - confidence / 2, freedom)) * math.sqrt(sum(own))
    return Estimate(gap, gap - reach, gap + reach)


def permutation_p(first: Float[np.ndarray, " network"], second: Float[np.ndarray, " other"], *, seed: int = 0) -> float:
    r"""Compute the probability that networks assigned to the two groups at random have means at least as far apart as observed.

    The distance is measured in units of Welch's standard error, :math:`|\bar x_1 - \bar x_2| / \sqrt{s_1^2 / n_1 + s_2^2 / n_2}`, so that
    the test is one of equal means also where groups differ in size and spread. It is exact for groups of one distribution and nearly so for many networks. Where
    the smaller group has the larger spread it still rejects equal means too often (3 against 9 networks of five times the spread: 15 % at a nominal 5 %, where the
    bare difference of means would reject 33 %; 2 against 20: 18 %, and 11 % at 1 %); use the interval of `mean_difference` there. The test is two-sided: it counts arrangements whose statistic is at least the observed one. All arrangements are
    counted where there are at most 200,000 (10 against 10 networks); else 99,999 are drawn and the observed one is counted with
    them. NaN where a group has fewer than 2 values.

    Parameters
    ----------
    first, second
        One value per network, shapes (network,) and (other,).
    seed
        Seed of the drawn arrangements; without effect where all are counted.

    References
    ----------
    Janssen (1997), doi:10.1016/S0167-7152(97)00043-6. Chung and Romano (2013), doi:10.1214/13-AOS1090. Phipson and Smyth (2010),
    doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> permutation_p(np.arange(5.0), np.arange(5.0) + 9)  # 2 of the 252 arrangements
    0.007936507936507936
    """
    if min(first.size, second.size) < 2:
        return math.nan
    pooled = np.concatenate([first, second])
    largest = np.abs(pooled).max()
    pooled = pooled - pooled.mean()
    spread = np.abs(pooled).max()
    if not spread > 1e-15 * largest:
        return 1.0
    pooled = pooled / spread
    dealt = arrangements(first.size, second.size, seed)
    observed = _welch(np.arange(pooled.size)[None] < first.size, pooled, first.size)[0]
    # The rounding error of values follows their size, even where it is far above their spread.
    rounding = 1e-9 + 64 * np.finfo(float).eps * largest / spread
    extreme = int((_welch(dealt, pooled, first.size) >= observed * (1 - rounding)).sum())
    exact = is_exact(first.size, second.size)
    return extreme / len(dealt) if exact else (extreme + 1) / (len(dealt) + 1)


def _welch(
    dealt: Bool[np.ndarray, "arrangement network"], pooled: Float[np.ndarray, " network"], n_first: int
) -> Float[np.ndarray, " arrangement"]:
    """Compute the absolute difference of means in Welch's standard errors, for values that add up to 0; infinite without spread."""
    n_second = pooled.size - n_first
    total, squares = dealt @ pooled, dealt @ pooled**2
    first = squares - total**2 / n_first
    second = np.sum(pooled**2) - squares - total**2 / n_second
    error = np.maximum(first, 0) / (n_first * (n_first - 1)) + np.maximum(second, 0) / (n_second * (n_second - 1))
    gap = np.abs(total) * (1 / n_first + 1 / n_second)
    # A spread that is only rounding counts as none.
    error = np.where(error < 1e-24, 0.0, error)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap < 1e-12, 0.0, gap / np.sqrt(error))


def smallest_p(n_first: int, n_second: int) -> float:
    """Return the smallest p that `permutation_p` can return for groups of these sizes.

    Examples
    --------
    >>> smallest_p(5, 5)
    0.007936507936507936
    >>> smallest_p(3, 3)
    0.1
    """
    if not is_exact(n_first, n_second):
        return 1 / (N_DRAWN + 1)
    return min(1.0, (1 + (n_first == n_second)) / math.comb(n_first + n_second, n_first))


def is_exact(n_first: int, n_second: int) -> bool:
    """Return whether all arrangements of groups of these sizes are counted."""
    return math.comb(n_first + n_second, n_first) <= MAX_ARRANGEMENTS


@lru_cache(maxsize=4)
def arrangements(n_first: int, n_second: int, seed: int) -> Bool[np.ndarray, "arrangement network"]:
    """Return which networks are assigned to the first group, in all arrangements or in those drawn, shape (arrangement, network)."""
    n = n_first + n_second
    if is_exact(n_first, n_second):
        chosen = np.array(list(combinations(range(n), n_first)), np.int64).reshape(-1, n_first)
    else:
        places = np.tile(np.arange(n), (N_DRAWN, 1))
        chosen = np.random.default_rng(seed).permuted(places, axis=1)[:, :n_first]
    dealt = np.zeros((len(chosen), n), bool)
    np.put_along_axis(dealt, chosen, True, axis=1)
    dealt.flags.writeable = False
    return dealt


def _noncentrality(t: float, m: int, level: float) -> float:
    """Find the noncentrality at which t is the quantile of this level."""
    if t < 0:
        return -_noncentrality(-t, m, 1 - level)
    if t > 1000:  # only the spread of the standard deviation is left, and the distribution function of SciPy fails
        return t * math.sqrt(float(stats.chi2.isf(level, m)) / m)

    def above(shift: float) -> float:
        below_t = float(stats.nct.cdf(t, m, shift))  # NaN from SciPy far in the tails
        return (float(shift < t) if math.isnan(below_t) else below_t) - level

    return _root(above, float(stats.norm.ppf(1 - level)) - 1e-3, 10 + 6 * t)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.root_scalar(function, bracket=(low, high), method="brentq", xtol=1e-10).root)


def _auc_variance(theta: float, n_first: int, n_second: int) -> float:
    pairs = (n_first + n_second) / 2 - 1
    tails = (1 - theta) / (2 - theta) + theta / (1 + theta)
    return theta * (1 - theta) * (1 + pairs * tails) / (n_first * n_second)
