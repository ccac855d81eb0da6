"""Estimates over settings, a test that flips signs of paired differences, rank correlation given a third variable, and correction of few p values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float

N_BOOTSTRAP = 2000
MAX_ENUMERATED = 16
N_DRAWN = 99_999


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over settings that are drawn from a population of settings.

    Parameters
    ----------
    mean, low, high
        Estimate and 95 % interval.
    new_low, new_high
        Interval that covers the effect of a new setting with 95 % probability.
    p
        Two-sided p of no effect on average.
    tau
        Standard deviation of effects between settings.
    i_squared
        Share of the variance of the observed effects that is between settings.
    n
        Number of settings.
    """

    mean: float
    low: float
    high: float
    new_low: float
    new_high: float
    p: float
    tau: float
    i_squared: float
    n: int


def random_effects(effects: Float[np.ndarray, " setting"], errors: Float[np.ndarray, " setting"]) -> Estimate:
    """Estimate the mean of effects over a population of settings.

    The variance between settings solves Paule and Mandel's equation, or is 0. With weights :math:`w_i = 1 / (s_i^2 + \\tau^2)` and mean :math:`m = \\sum w_i y_i / \\sum w_i` the variance of m is
    :math:`q / \\sum w_i`, :math:`q = \\sum w_i (y_i - m)^2 / (k - 1)`, but not less than 1 (Hartung and Knapp, as modified), which with this tau is always 1; intervals take Student's t with k - 1 degrees of freedom, the one for a new setting
    adds tau^2 and takes k - 2. Settings whose effect or error is not finite, or whose error is 0, are left out; NaN with fewer than two, the interval for a new setting with fewer than three.

    Parameters
    ----------
    effects
        Effect in each setting.
    errors
        Its standard error.

    References
    ----------
    Paule and Mandel (1982), doi:10.6028/jres.087.022. Hartung and Knapp (2001), doi:10.1002/sim.791. Röver, Knapp and Friede (2015), doi:10.1186/s12874-015-0091-1 (factor not below 1).
    Higgins, Thompson and Spiegelhalter (2009), doi:10.1111/j.1467-985X.2008.00552.x (new setting).

    Examples
    --------
    >>> found = random_effects(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.1, 0.1]))
    >>> round(found.mean, 3), round(found.low, 3), round(found.tau, 3), round(found.i_squared, 2)
    (2.0, -0.484, 0.995, 0.99)
    """
    from scipy.stats import t

    known = np.isfinite(effects) & np.isfinite(errors) & (errors > 0)
    y, v = effects[known], np.square(errors[known])
    k = len(y)
    if k < 2:
        nan = math.nan
        mean = float(y[0]) if k else nan
        return Estimate(mean=mean, low=nan, high=nan, new_low=nan, new_high=nan, p=nan, tau=nan, i_squared=nan, n=k)
    between = _between(y, v)
    weights = 1 / (v + between)
    mean = float((weights * y).sum() / weights.sum())
    # Hartung and Knapp's factor is 1 at Paule and Mandel's solution, and below 1 only where tau is 0 and it is set to 1: so it is 1 throughout.
    error = math.sqrt(1 / weights.sum())
    reach = float(t.ppf(0.975, k - 1)) * error
    new = float(t.ppf(0.975, k - 2)) * math.sqrt(between + error**2) if k > 2 else math.nan
    typical = (k - 1) * (1 / v).sum() / ((1 / v).sum() ** 2 - np.square(1 / v).sum())
    return Estimate(
        mean=mean,
        low=mean - reach,
        high=mean + reach,
        new_low=mean - new,
        new_high=mean + new,
        p=float(2 * t.sf(abs(mean) / error, k - 1)),
        tau=math.sqrt(between),
        i_squared=float(between / (between + typical)),
        n=k,
    )


def _between(y: Float[np.ndarray, " setting"], v: Float[np.ndarray, " setting"]) -> float:
    """Solve for the variance between settings at which the weighted sum of squares is its expectation."""
    from scipy.optimize import brentq

    def excess(between: float) -> float:
        weights = 1 / (v + between)
        mean = (weights * y).sum() / weights.sum()
        return float((weights * np.square(y - mean)).sum() - (len(y) - 1))

    if excess(0.0) <= 0:
        return 0.0
    upper = float(np.square(y - y.mean()).sum())
    return float(brentq(excess, 0.0, upper, xtol=1e-14 * max(upper, 1e-300), rtol=1e-12))


def mean_and_error(values: Float[np.ndarray, " seed"]) -> tuple[float, float]:
    """Mean of paired differences over seeds and its standard error (ddof 1); NaN are left out.

    Examples
    --------
    >>> mean_and_error(np.array([1.0, 3.0, np.nan]))
    (2.0, 1.0)
    """
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return (float(known[0]) if len(known) else math.nan), math.nan
    return float(known.mean()), float(known.std(ddof=1) / math.sqrt(len(known)))


def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """Correct p values so that the probability of any false rejection is at most the level, whatever their dependence; NaN stays NaN and is not counted.

    References
    ----------
    Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 65-70.

    Examples
    --------
    >>> holm(np.array([0.01, 0.04, np.nan, 0.03]))
    array([0.03, 0.06,  nan, 0.06])
    """
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def partial_tau(
    x: Float[np.ndarray, " network"], y: Float[np.ndarray, " network"], given: Float[np.ndarray, " network"]
) -> float:
    """Kendall's tau-b of x and y, that of either with a third variable taken into account.

    :math:`(\\tau_{xy} - \\tau_{xz} \\tau_{yz}) / \\sqrt{(1 - \\tau_{xz}^2)(1 - \\tau_{yz}^2)}`. NaN where one of the three is constant, or x or y follows the third exactly.

    References
    ----------
    Kendall (1942), doi:10.1093/biomet/32.3-4.277.

    Examples
    --------
    >>> round(partial_tau(np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4]), np.array([2.0, 1, 4, 3])), 3)
    0.707
    """
    return float(_partial(*_signs(x, y, given), np.ones((1, len(x))))[0])


def partial_tau_interval(
    x: Float[np.ndarray, " network"],
    y: Float[np.ndarray, " network"],
    given: Float[np.ndarray, " network"],
    *,
    seed: int = 0,
    n_samples: int = N_BOOTSTRAP,
) -> tuple[float, float]:
    """Percentile interval (95 %) of `partial_tau` over bootstrap samples of networks; pairs of a network with itself count as ties."""
    n = len(x)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=n_samples)
    values = _partial(*_signs(x, y, given), drawn.astype(np.float64))
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def _signs(*variables: Float[np.ndarray, " network"]) -> tuple[Float[np.ndarray, "network network"], ...]:
    return tuple(np.sign(values[:, None] - values[None, :]).astype(np.float64) for values in variables)


def _partial(
    x: Float[np.ndarray, "network network"],
    y: Float[np.ndarray, "network network"],
    z: Float[np.ndarray, "network network"],
    times: Float[np.ndarray, "sample network"],
) -> Float[np.ndarray, " sample"]:
    """Partial tau-b of samples in which each network occurs some times."""

    def total(product: Float[np.ndarray, "network network"]) -> Float[np.ndarray, " sample"]:
        return ((times @ product) * times).sum(axis=1)

    size = {name: total(np.square(signs)) for name, signs in (("x", x), ("y", y), ("z", z))}
    with np.errstate(divide="ignore", invalid="ignore"):
        xy = total(x * y) / np.sqrt(size["x"] * size["y"])
        xz = total(x * z) / np.sqrt(size["x"] * size["z"])
        yz = total(y * z) / np.sqrt(size["y"] * size["z"])
        found = (xy - xz * yz) / np.sqrt((1 - np.square(xz)) * (1 - np.square(yz)))
    return np.where(np.isfinite(found), found, np.nan)


def area_under_curve(scores: Float[np.ndarray, " image"], positive: np.ndarray) -> float:
    """Probability that a positive has the larger score than another, ties counted half; NaN where either is missing. NaN scores are left out.

    Examples
    --------
    >>> area_under_curve(np.array([0.1, 0.9, 0.5, 0.5]), np.array([False, True, True, False]))
    0.875
    """
    from scipy.stats import rankdata

    known = np.isfinite(scores) | np.isinf(scores)
    scores, positive = scores[known], np.asarray(positive, bool)[known]
    n_positive, n_other = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_other:
        return math.nan
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_other))


def sign_flip_p(differences: Float[np.ndarray, " network"], *, seed: int = 0) -> float:
    """Probability that differences, each as likely to have the other sign, have a mean at least as far from 0 as they have.

    All signs are enumerated for at most 16 networks; else 99,999 are drawn and the observed ones are counted with them. 1 where all differences are 0, NaN where
    there are none or one is NaN.

    Parameters
    ----------
    differences
        One paired difference per network, shape (network,).
    seed
        Seed of the signs that are drawn; without effect where all are enumerated.

    References
    ----------
    Fisher (1935), The Design of Experiments, section 21. Phipson and Smyth (2010), doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> sign_flip_p(np.array([1.0, 2.0, 3.0, 1.5, 2.5]))  # 2 of the 32 arrangements
    0.0625
    """
    n = differences.size
    if n == 0 or np.isnan(differences).any():
        return math.nan
    if n <= MAX_ENUMERATED:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
    else:
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), (N_DRAWN, n))
    extreme = int((np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9 * np.abs(differences).sum()).sum())
    return extreme / len(signs) if n <= MAX_ENUMERATED else (extreme + 1) / (len(signs) + 1)
