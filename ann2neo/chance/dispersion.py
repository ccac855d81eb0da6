"""Does a unit's number of spikes vary over windows as by chance? Tests given the unit's number of spikes.

The windows must be of one pass, and their bins exchangeable: inputs of one bin. Where inputs have several bins, or
return in several passes, `input_dispersion_tests` is the one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num
from scipy import stats

from ann2neo.chance.axes import by_annotation
from ann2neo.chance.count_laws import count_tails
from ann2neo.chance.margins import check_spikes
from ann2neo.chance.p_values import both_sides, where_defined

PValues = Float[np.ndarray, " unit"]


@by_annotation
def dispersion_tests(
    counts: Int[np.ndarray, "unit window"], sizes: Num[np.ndarray, " window"], *, lattice: bool = True
) -> tuple[PValues, PValues]:
    """Test whether spike counts vary over windows as by chance, and whether they vary more.

    Chance puts the unit's n spikes anywhere on its N bins: ``D = sum (c - w r)^2 / (w r (N - n) / (N - 1))`` with ``r =
    n / N``; or anywhere in its time: ``D = sum (c - w r)^2 / (w r)``. Either has mean W - 1. The p value of an excess is
    P(D > d) + P(D = d) / 2; the two-sided one is twice the smaller of that and of P(D <= d), the observed value
    included. NaN for silent and saturated units and below two windows.

    The law of D is exact for two windows and wherever there are at most 40,000 ways to deal the spikes to windows that
    are not impossibly rare. Where a window expects fewer than 5 spikes, or fewer than 5 empty bins, it is sampled given n
    and the windows (8,192 to 65,536 draws, fixed seed, an exponential tail beyond the ten largest draws), as long as
    there are at most 1,024 spikes, or empty bins. Else it is gamma with D's exact variance given n, which is nearly
    chi-squared with W - 1 degrees of freedom; but about the smallest values, where counts are whole numbers and D has
    atoms, the counts nearest to equal rates are enumerated.

    Parameters
    ----------
    counts
        Spikes in each window, shape (unit, window).
    sizes
        Bins or duration of each window; windows of size 0 do not count, shape (window,).
    lattice
        Whether spikes lie on bins, at most one in each, or anywhere in continuous time.

    Returns
    -------
    tuple
        Two-sided p values, and those of an excess, each of shape (unit,).

    Raises
    ------
    AnalysisError
        If a window holds more spikes than bins, or a count is negative.

    See Also
    --------
    ann2neo.chance.dispersion_test, ann2neo.chance.input_dispersion_tests, ann2neo.chance.sequence_dispersion_tests

    References
    ----------
    Cochran 1954, doi:10.2307/3001616; Lancaster 1961, doi:10.1080/01621459.1961.10482105

    Examples
    --------
    >>> both, excess = dispersion_tests(np.array([[25, 25, 24, 26], [50, 25, 25, 0]]), np.full(4, 100))
    >>> both.round(3), excess.round(3)
    (array([0.038, 0.   ]), array([0.99, 0.  ]))
    >>> dispersion_tests(np.array([[50, 50]]), np.array([1.0, 1.0]), lattice=False)[1].round(2)
    array([0.96])
    """
    check_spikes(counts, sizes if lattice else None)
    counts, sizes = counts[:, sizes > 0], sizes[sizes > 0]
    n = counts.sum(axis=1)
    defined = (n > 0) & (sizes.size > 1)
    if lattice:
        whole = int(sizes.sum())
        defined &= n < whole
        # D does not change when spikes and empty bins change places; the rarer of the two needs the smaller table.
        counts = np.where((2 * n > whole)[:, None], sizes - counts, counts)
    lower, upper = count_tails(counts[defined], sizes, lattice=lattice)
    return where_defined(defined, both_sides(lower, upper)), where_defined(defined, upper)


@by_annotation
def dispersion_test(
    counts: Int[np.ndarray, "unit window"], sizes: Num[np.ndarray, " window"], *, lattice: bool = True
) -> PValues:
    """Test whether spike counts vary over windows as by chance: the two-sided p values of `dispersion_tests`.

    See Also
    --------
    ann2neo.chance.dispersion_tests, ann2neo.chance.overdispersion_test, ann2neo.chance.dispersion_test_naive

    References
    ----------
    Cochran 1954, doi:10.2307/3001616; Lancaster 1961, doi:10.1080/01621459.1961.10482105

    Examples
    --------
    >>> dispersion_test(np.array([[50, 50]]), np.array([500, 500])).round(2)  # as balanced as it can be
    array([0.17])
    """
    return dispersion_tests(counts, sizes, lattice=lattice)[0]


@by_annotation
def overdispersion_test(
    counts: Int[np.ndarray, "unit window"], sizes: Num[np.ndarray, " window"], *, lattice: bool = True
) -> PValues:
    """Test whether spike counts vary more over windows than by chance: the p values of an excess of `dispersion_tests`.

    This is what "tuned" means where windows are labels.

    See Also
    --------
    ann2neo.chance.dispersion_test, ann2neo.chance.input_dispersion_tests

    References
    ----------
    Cochran 1954, doi:10.2307/3001616; Lancaster 1961, doi:10.1080/01621459.1961.10482105

    Examples
    --------
    >>> overdispersion_test(np.array([[50, 50], [65, 35]]), np.array([500, 500])).round(3)
    array([0.958, 0.002])
    """
    return dispersion_tests(counts, sizes, lattice=lattice)[1]


@by_annotation
def dispersion_test_naive(counts: Int[np.ndarray, "unit window"], window_bins: Num[np.ndarray, " window"]) -> PValues:
    """Test dispersion as the literature does, against Poisson's; two-sided. Wrong for bins, for comparison.

    The statistic is ``sum (c - n f)^2 / (n f)`` with f the window's share of the bins, held against chi-squared with W
    - 1 degrees of freedom.

    At most one spike per bin makes counts less variable than Poisson's: at nominal 5 % and ten windows this rejects 6,
    21 and 87 % of true chance units at 0.2, 0.5 and 0.8 spikes per bin. Use `dispersion_test`. NaN for silent units and
    below two windows.

    Parameters
    ----------
    counts
        Spikes in each window, shape (unit, window).
    window_bins
        Bins or duration of each window, shape (window,).

    See Also
    --------
    ann2neo.chance.dispersion_test

    References
    ----------
    Eden & Kramer 2010, doi:10.1016/j.jneumeth.2010.04.012

    Examples
    --------
    >>> dispersion_test_naive(np.array([[25, 25, 25, 25]]), np.array([100, 100, 100, 100]))
    array([0.])
    """
    check_spikes(counts)
    counts, sizes = counts[:, window_bins > 0], window_bins[window_bins > 0]
    n = counts.sum(axis=1)
    defined = (n > 0) & (sizes.size > 1)
    expected = n[defined, None] * (sizes / sizes.sum())
    law = stats.chi2(max(sizes.size - 1, 1))
    statistic = ((counts[defined] - expected) ** 2 / expected).sum(axis=1)
    return where_defined(defined, 2 * np.minimum(law.cdf(statistic), law.sf(statistic)))
