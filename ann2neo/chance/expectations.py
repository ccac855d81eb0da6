r"""What the measures of a unit's intervals would be by chance: expectations given its number of spikes, on bins and in time.

A deterministic network whose inputs are shuffled puts each unit's n spikes on its L bins with equal chance for every arrangement (``expected_...``).
Sources without bins are held against a Poisson process given its count, whose spikes lie anywhere with equal chance (``poisson_expected_...``). Both are one
family: each measure is computed in one function, in which ``lattice`` says which of the two is meant. On bins intervals are in bins: multiply by the bin size,
or its square for the variance. In time they have the unit of the durations.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import numpy as np
from jaxtyping import Float, Num

from ann2neo.arguments import check_number
from ann2neo.chance.axes import by_annotation
from ann2neo.chance.margins import Bins, Durations, Spikes, check_spikes, look_up, weighted_mean
from ann2neo.chance.pairs import cv2_of_stretch, ir_of_stretch, lvr_of_stretch
from ann2neo.chance.sampled_cv import few_intervals, sampled_cv, sampled_cv_of_stretches
from ann2neo.chance.spacings import cv_from_moments, isi_sums, mean_and_variance, pooled_variance

P = ParamSpec("P")
R = TypeVar("R")
PerUnit = Float[np.ndarray, " unit"]
PerStretch = Float[np.ndarray, "unit stretch"]
Sizes = Num[np.ndarray, " stretch"]

ARGUMENTS = {
    "n": "Spikes of each unit in each stretch, shape (unit, stretch).",
    "bins": "Bins of each stretch, shape (stretch,).",
    "durations": "Duration of each stretch, in the unit of time of the result, shape (stretch,).",
    "refractoriness_bins": "The refractoriness constant R in bins.",
    "refractoriness": "The refractoriness constant R in the unit of time of the durations.",
}
"""What an expectation may ask for, by the name of its argument."""


def given_counts(function: Callable[P, R]) -> Callable[P, R]:
    """Complete an expectation: check its arrays and counts, and write the sections "Parameters" and "Raises" of its docstring.

    Its arguments are some of `ARGUMENTS`. Counts are held against ``bins`` where these are among them.
    """
    signature = inspect.signature(function)
    text, mark, examples = inspect.cleandoc(function.__doc__ or "").partition("Examples\n--------\n")
    said, cited, references = text.partition("References\n----------\n")
    parameters = "".join(f"{name}\n    {ARGUMENTS[name]}\n" for name in signature.parameters)
    wrong = (
        "If a unit has more spikes than bins, or a negative number."
        if "bins" in signature.parameters
        else "If a count is negative."
    )
    raised = f"Parameters\n----------\n{parameters}\nRaises\n------\nAnalysisError\n    {wrong}\n\n"
    function.__doc__ = said + raised + cited + references + mark + examples

    @wraps(function)
    def checked(*given: P.args, **named: P.kwargs) -> R:
        known = signature.bind(*given, **named).arguments
        check_spikes(known["n"], known.get("bins"))
        return function(*given, **named)

    return by_annotation(checked)


def _isi_mean(n: Spikes, size: Sizes, *, lattice: bool) -> PerUnit:
    return weighted_mean(mean_and_variance(n, size, lattice=lattice)[0], np.maximum(n - 1, 0))


def _cv(n: Spikes, size: Sizes, *, lattice: bool) -> PerUnit:
    cv = cv_from_moments(isi_sums(n, size, lattice=lattice))
    single, several = few_intervals(n)
    only = np.where(n[single] > 1, n[single], 0)
    # In time the size of the only stretch does not matter.
    sampled = look_up(partial(sampled_cv, lattice=lattice), only, size if lattice else np.ones(size.size))
    cv[single] = np.where(only > 1, sampled, 0.0).sum(axis=1)
    cv[several] = sampled_cv_of_stretches(n[several], size, lattice=lattice)
    return cv


def _over_pairs(of_stretch: PerStretch, n: Spikes) -> PerUnit:
    """Weight the expectation of each stretch by its pairs of successive intervals; NaN where no stretch has three spikes."""
    return weighted_mean(of_stretch, np.maximum(n - 2, 0))


def _cv2(n: Spikes, size: Sizes | None) -> PerUnit:
    return _over_pairs(np.ones(n.shape) if size is None else look_up(cv2_of_stretch, n, size), n)


def _lvr(n: Spikes, size: Sizes, refractoriness: float, *, lattice: bool) -> PerUnit:
    if not lattice:
        return _over_pairs(1 + 4 * refractoriness * n / size, n)
    return _over_pairs(look_up(partial(lvr_of_stretch, refractoriness_bins=refractoriness), n, size), n)


@given_counts
def expected_isi_mean(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the mean inter-spike interval in bins, exactly.

    A stretch of L bins with n spikes has n - 1 intervals of expectation (L + 1) / (n + 1); stretches are pooled. NaN
    without intervals.

    See Also
    --------
    ann2neo.chance.poisson_expected_isi_mean, ann2neo.chance.bernoulli_isi_mean

    Examples
    --------
    >>> expected_isi_mean(np.array([[2], [1]]), np.array([3]))
    array([1.33333333,        nan])
    """
    return _isi_mean(n, bins, lattice=True)


@given_counts
def poisson_expected_isi_mean(n: Spikes, durations: Durations) -> PerUnit:
    """Expect the mean inter-spike interval in time, exactly: T / (n + 1) in each stretch, pooled; NaN without intervals.

    See Also
    --------
    ann2neo.chance.expected_isi_mean

    Examples
    --------
    >>> poisson_expected_isi_mean(np.array([[4], [1]]), np.array([10.0]))
    array([ 2., nan])
    """
    return _isi_mean(n, durations, lattice=False)


@given_counts
def expected_isi_var(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the variance (ddof 0) of the pooled inter-spike intervals in squared bins, exactly.

    NaN without intervals, 0 for a single one.

    See Also
    --------
    ann2neo.chance.poisson_expected_isi_var, ann2neo.chance.bernoulli_isi_var

    Examples
    --------
    >>> expected_isi_var(np.array([[3], [2], [1]]), np.array([4]))  # intervals (1,1), (1,2), (2,1), (1,1)
    array([0.125, 0.   ,   nan])
    """
    return pooled_variance(n, bins, lattice=True)


@given_counts
def poisson_expected_isi_var(n: Spikes, durations: Durations) -> PerUnit:
    """Expect the variance (ddof 0) of the pooled inter-spike intervals in time, exactly; defined as `expected_isi_var`.

    See Also
    --------
    ann2neo.chance.expected_isi_var

    Examples
    --------
    >>> poisson_expected_isi_var(np.array([[3], [2]]), np.array([10.0]))
    array([2.5, 0. ])
    """
    return pooled_variance(n, durations, lattice=False)


@given_counts
def expected_cv(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the coefficient of variation of the pooled inter-spike intervals.

    It is far below its limit sqrt(1 - n / L) where spikes are few. It is sampled with a fixed seed for units whose
    intervals lie in one stretch of at most 64 spikes (standard error below 0.0005; exact up to 3 spikes), and for those
    with at most 64 intervals in several stretches (below 0.002); all others use a closed approximation, see
    `cv_from_moments`. NaN without intervals, 0 for a single one.

    See Also
    --------
    ann2neo.chance.poisson_expected_cv, ann2neo.chance.bernoulli_cv

    Examples
    --------
    >>> expected_cv(np.array([[900], [10]]), np.array([1797])).round(2)
    array([0.71, 0.86])
    """
    return _cv(n, bins, lattice=True)


@given_counts
def poisson_expected_cv(n: Spikes, durations: Durations) -> PerUnit:
    """Expect the coefficient of variation of the pooled inter-spike intervals in time; it tends to 1.

    Computed and defined as `expected_cv`.

    See Also
    --------
    ann2neo.chance.expected_cv

    Examples
    --------
    >>> poisson_expected_cv(np.array([[2], [3], [100000]]), np.array([10.0])).round(3)
    array([0. , 0.5, 1. ])
    """
    return _cv(n, durations, lattice=False)


@given_counts
def expected_cv2(n: Spikes, bins: Bins) -> PerUnit:
    """Expect CV2, the mean of ``2 |I1 - I2| / (I1 + I2)`` over pairs of successive intervals, exactly.

    Given the sum s of two successive intervals the first is uniform on 1 ... s - 1, and s has the chance (s - 1) C(L -
    s, n - 2) / C(L, n). Stretches are weighted by their number of pairs, n - 2. NaN where no stretch has three spikes.

    See Also
    --------
    ann2neo.chance.poisson_expected_cv2, ann2neo.chance.bernoulli_cv2

    References
    ----------
    Holt, Softky, Koch & Douglas 1996, doi:10.1152/jn.1996.75.5.1806

    Examples
    --------
    >>> expected_cv2(np.array([[3], [2]]), np.array([4]))  # intervals (1,1), (1,2), (2,1), (1,1)
    array([0.33333333,        nan])
    """
    return _cv2(n, bins)


@given_counts
def poisson_expected_cv2(n: Spikes) -> PerUnit:
    """Expect CV2 in time, which is exactly 1 at any count: given the sum of two successive intervals, the first is uniform.

    Undefined as `expected_cv2`.

    See Also
    --------
    ann2neo.chance.expected_cv2

    Examples
    --------
    >>> poisson_expected_cv2(np.array([[3], [2]]))
    array([ 1., nan])
    """
    return _cv2(n, None)


@given_counts
def expected_lv(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the local variation Lv, exactly: the mean of ``3 (I1 - I2)^2 / (I1 + I2)^2`` over successive intervals.

    Weighted and undefined as `expected_cv2`.

    See Also
    --------
    ann2neo.chance.poisson_expected_lv, ann2neo.chance.expected_lvr, ann2neo.chance.bernoulli_lv

    References
    ----------
    Shinomoto, Shima & Tanji 2003, doi:10.1162/089976603322518759

    Examples
    --------
    >>> expected_lv(np.array([[3], [2]]), np.array([4]))  # intervals (1,1), (1,2), (2,1), (1,1)
    array([0.16666667,        nan])
    """
    return _lvr(n, bins, 0.0, lattice=True)


@given_counts
def poisson_expected_lv(n: Spikes) -> PerUnit:
    """Expect the local variation Lv in time, which is exactly 1 at any count. Undefined as `expected_cv2`.

    See Also
    --------
    ann2neo.chance.expected_lv

    Examples
    --------
    >>> poisson_expected_lv(np.array([[3], [2]]))
    array([ 1., nan])
    """
    return _over_pairs(np.ones(n.shape), n)


@given_counts
def expected_lvr(n: Spikes, bins: Bins, *, refractoriness_bins: float) -> PerUnit:
    """Expect the revised local variation LvR, exactly.

    LvR is the mean of ``3 (I1 - I2)^2 / (I1 + I2)^2 * (1 + 4 R / (I1 + I2))`` over pairs of successive intervals.

    Weighted and undefined as `expected_cv2`.

    See Also
    --------
    ann2neo.chance.poisson_expected_lvr, ann2neo.chance.expected_lv

    References
    ----------
    Shinomoto et al. 2009, doi:10.1371/journal.pcbi.1000433

    Examples
    --------
    >>> expected_lvr(np.array([[3]]), np.array([4]), refractoriness_bins=0.75)
    array([0.33333333])
    """
    check_number(refractoriness_bins, "refractoriness_bins", low=0)
    return _lvr(n, bins, refractoriness_bins, lattice=True)


@given_counts
def poisson_expected_lvr(n: Spikes, durations: Durations, *, refractoriness: float) -> PerUnit:
    """Expect the revised local variation LvR in time, exactly: 1 + 4 R n / T in each stretch, weighted by n - 2.

    See Also
    --------
    ann2neo.chance.expected_lvr

    Examples
    --------
    >>> poisson_expected_lvr(np.array([[5], [2]]), np.array([100.0]), refractoriness=5.0)
    array([ 2., nan])
    """
    check_number(refractoriness, "refractoriness", low=0)
    return _lvr(n, durations, refractoriness, lattice=False)


@given_counts
def expected_ir(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the log-ISI variation IR, exactly: the mean of ``|log(I2 / I1)|`` over pairs of successive intervals.

    Weighted and undefined as `expected_cv2`; it tends to 2 log 2 where spikes are rare and many.

    See Also
    --------
    ann2neo.chance.poisson_expected_ir, ann2neo.chance.expected_lv

    References
    ----------
    Davies, Gerstein & Baker 2006, doi:10.1152/jn.01030.2005

    Examples
    --------
    >>> expected_ir(np.array([[3], [2]]), np.array([4]))  # intervals (1,1), (1,2), (2,1), (1,1)
    array([0.34657359,        nan])
    """
    return _over_pairs(look_up(ir_of_stretch, n, bins), n)


@given_counts
def poisson_expected_ir(n: Spikes) -> PerUnit:
    """Expect the log-ISI variation IR in time, which is exactly 2 log 2 at any count. Undefined as `expected_cv2`.

    Given the sum of two successive intervals the share u of the first is uniform, and the mean of ``|log(u / (1 - u))|`` is 2 log 2.

    See Also
    --------
    ann2neo.chance.expected_ir

    Examples
    --------
    >>> poisson_expected_ir(np.array([[3], [2]]))
    array([1.38629436,        nan])
    """
    return 2 * np.log(2) * _over_pairs(np.ones(n.shape), n)
