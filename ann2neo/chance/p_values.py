"""From a statistic and its distribution by chance to a p-value."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num
from scipy import special, stats

from ann2neo.arguments import check_choice
from ann2neo.chance.axes import by_annotation

_TAIL = 10


def normal_two_sided(
    z: Float[np.ndarray, " case"],
    *,
    skewness: Float[np.ndarray, " case"] | float = 0.0,
    excess: Float[np.ndarray, " case"] | float = 0.0,
) -> Float[np.ndarray, " case"]:
    """Return the two-sided p-value of a nearly normal statistic by its Edgeworth series.

    The correction multiplies each tail as an exponential: to first order the usual series, yet never negative far out.

    Parameters
    ----------
    z
        Statistic less its mean, in standard deviations, shape (case,).
    skewness
        Third standardized moment, shape (case,).
    excess
        Fourth standardized moment less 3, shape (case,).

    Examples
    --------
    >>> normal_two_sided(np.array([0.0, 1.959964])).round(4)
    array([1.  , 0.05])
    """
    shift = skewness * (z**2 - 1) / 6 + excess * (z**3 - 3 * z) / 24 + skewness**2 * (z**5 - 10 * z**3 + 15 * z) / 72
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    lower, upper = special.ndtr(z), special.ndtr(-z)
    far = np.maximum(np.minimum(lower, upper), 1e-300)
    step = np.where(z < 0, -1.0, 1.0) * density * shift / far
    near = far * np.exp(np.clip(step, -50, 50))
    return np.minimum(2 * np.minimum(near, np.maximum(1 - near, 0)), 1.0)


def both_sides(lower: Float[np.ndarray, " unit"], upper: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    """Double the smaller of two tails, at most to 1; NaN stays.

    Examples
    --------
    >>> both_sides(np.array([0.2, 0.9]), np.array([0.85, 0.6]))
    array([0.4, 1. ])
    """
    return np.minimum(2 * np.minimum(lower, upper), 1.0)


def gamma_tails(
    value: Float[np.ndarray, " case"], *, mean: float, variance: Float[np.ndarray, " case"]
) -> tuple[Float[np.ndarray, " case"], Float[np.ndarray, " case"]]:
    """Return the chances of a smaller and of a larger value under the gamma distribution of a mean and variance.

    With variance twice the mean this is the chi-squared distribution.

    Parameters
    ----------
    value
        Statistic, shape (case,).
    mean
        Its mean by chance.
    variance
        Its variance by chance, shape (case,).

    Examples
    --------
    >>> lower, upper = gamma_tails(np.array([2.7004]), mean=9.0, variance=np.array([18.0]))
    >>> lower.round(4), upper.round(4)
    (array([0.025]), array([0.975]))
    """
    law = stats.gamma(a=mean**2 / variance, scale=variance / mean)
    return law.cdf(value), law.sf(value)


def sampled_tails(
    sample: Float[np.ndarray, " draw"], value: Float[np.ndarray, " case"]
) -> tuple[Float[np.ndarray, " case"], Float[np.ndarray, " case"]]:
    """Return the chances of a value no larger and of a larger one (mid-p: ties count half) from a sorted sample.

    Beyond all but ten of the draws the upper tail continues as an exponential through the 10th and the 100th largest
    draw, so that p-values do not end at one over the number of draws. Where the logarithm of the tail is concave, as
    here, this is conservative.

    Parameters
    ----------
    sample
        Statistic under chance, ascending, shape (draw,).
    value
        Observed statistic, shape (case,).

    Examples
    --------
    >>> lower, upper = sampled_tails(np.arange(1000.0), np.array([499.5, 2000.0]))
    >>> lower.round(2), upper[0].round(2), bool(upper[1] < 1e-7)
    (array([0.5, 1. ]), np.float64(0.5), True)
    """
    slack = 1e-9 * np.abs(value)
    below = np.searchsorted(sample, value - slack, side="left")
    up_to = np.searchsorted(sample, value + slack, side="right")
    draws = sample.size
    ties = (up_to - below) / 2
    lower = (up_to + 1) / (draws + 1)
    upper = (draws - up_to + ties + 0.5) / (draws + 1)
    if draws > 10 * _TAIL and sample[-_TAIL] > sample[-10 * _TAIL]:
        rate = np.log(10) / (sample[-_TAIL] - sample[-10 * _TAIL])
        beyond = _TAIL / (draws + 1) * np.exp(-rate * np.maximum(value - sample[-_TAIL], 0))
        upper = np.where(value > sample[-_TAIL], beyond, upper)
    return lower, upper


@by_annotation
def false_discovery(p: Float[np.ndarray, " unit"], *, method: str = "bh") -> Float[np.ndarray, " unit"]:
    """Adjust the p-values of many units so that a threshold on them bounds the false discovery rate.

    Undefined p-values stay NaN and do not count as tests.

    Parameters
    ----------
    p
        One p-value per unit, NaN where the test is undefined or the unit masked, shape (unit,).
    method
        "bh" (Benjamini-Hochberg: independent or positively dependent tests) or "by" (Benjamini-Yekutieli: any).

    See Also
    --------
    ann2neo.chance.rejection_rates, ann2neo.analyze

    References
    ----------
    Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; Benjamini & Yekutieli 2001,
    doi:10.1214/aos/1013699998

    Examples
    --------
    >>> false_discovery(np.array([0.01, np.nan, 0.04]))
    array([0.02,  nan, 0.04])
    """
    check_choice(method, "method", ("bh", "by"))
    adjusted = np.full(p.shape, np.nan)
    known = ~np.isnan(p)
    if known.any():
        adjusted[known] = stats.false_discovery_control(p[known], method=method)
    return adjusted


def where_defined(
    defined: Num[np.ndarray, " unit"] | np.ndarray, p: Float[np.ndarray, " defined"]
) -> Float[np.ndarray, " unit"]:
    """Spread p-values over all units; NaN where the test is undefined.

    Parameters
    ----------
    defined
        Whether the test is defined for each unit, shape (unit,).
    p
        P-values of the units for which it is, shape (defined,).

    Examples
    --------
    >>> where_defined(np.array([True, False]), np.array([0.5]))
    array([0.5, nan])
    """
    spread = np.full(defined.shape, np.nan)
    spread[defined] = p
    return spread
