"""How unequally units fire, and how unequally they would if they were all alike: the same spikes dealt to units and bins at random.

A share of bins with a spike is known from a finite number of bins, so that units of one probability differ, too. The reference deals all spikes of the units
to all their bins at random, each arrangement being as likely as any other: every unit then has the same probability, and what is left is what few bins do.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from ann2neo.arguments import check_number, check_whole
from ann2neo.chance.axes import by_annotation
from ann2neo.chance.margins import check_spikes

# Sums over a hypergeometric law leave out what is further from its mean than this many standard deviations.
REACH = 14


@by_annotation
def gini(p: Float[np.ndarray, " unit"]) -> float:
    r"""Gini coefficient of activation probabilities: half their mean absolute difference over all pairs, divided by their mean.

    .. math:: G = \frac{\sum_i \sum_j |p_i - p_j|}{2 N^2 \bar p}

    over all N units, silent ones (p = 0) included: 0 where all units are alike, 1 - 1/N where one of them has all spikes. A probability is bounded by 1, so that
    G is at most :math:`1 - \bar p`, which is reached where every unit is silent or saturated. The units are the population: no correction for small N is made; of a random sample
    of units of a larger layer it is expected to be (N - 1) / N times as large as the Gini of the layer, to first order. NaN without units, and where all of them are silent.

    Parameters
    ----------
    p
        Activation probability of each unit, shape (unit,); NaN ones are left out.

    See Also
    --------
    ann2neo.chance.expected_gini

    References
    ----------
    Gini 1921, doi:10.2307/2223319. Hurley & Rickard 2009, arXiv:0811.4706 (as a measure of sparseness).

    Examples
    --------
    >>> gini(np.array([0.2, 0.2])), gini(np.array([0.0, 0.4])), gini(np.array([0.0, 0.0, 1.0, 1.0]))
    (0.0, 0.5, 0.5)
    """
    known = np.sort(p[~np.isnan(p)])
    total = known.sum()
    if not total > 0:
        return float("nan")
    places = 2 * np.arange(1, known.size + 1) - known.size - 1
    return max(0.0, float(places @ known / (known.size * total)))


@by_annotation
def expected_gini(n: Int[np.ndarray, " unit"], *, n_bins: int) -> float:
    r"""Expect the Gini coefficient of units that are all alike, given their spikes in all and the number of bins of each: what a finite number of bins does.

    With S spikes of N units in L bins each, the counts of two units together are hypergeometric (S of N L), and the first one's share of these T is again
    (T of 2 L): :math:`E[G] = (N - 1)\, E|n_1 - n_2| / (2 S)`, exact, with the mean absolute deviation of the inner law in closed form. It falls as
    :math:`1 / \sqrt{L}`: with p = 0.1 it is 0.17 over 100 bins and 0.017 over 10,000. Where units answer the same inputs, or steps of one input go together, probabilities
    scatter more without any unit differing in its true one; the reference does not know this. NaN where the coefficient is.

    Parameters
    ----------
    n
        Number of spikes of each unit, shape (unit,).
    n_bins
        Number of bins of each unit.

    See Also
    --------
    ann2neo.chance.gini, ann2neo.chance.expected_rare_share

    References
    ----------
    Diaconis & Zabell 1991, Statistical Science 6:284-302, doi:10.1214/ss/1177011699 (mean absolute deviations in closed form).

    Examples
    --------
    >>> round(expected_gini(np.array([1, 0]), n_bins=2), 3), round(expected_gini(np.full(500, 10), n_bins=100), 3)
    (0.5, 0.168)
    """
    n_bins = _checked(n, n_bins)
    spikes = int(n.sum())
    if not spikes:
        return float("nan")
    if n.size == 1:
        return 0.0
    together, chance = _law(n.size * n_bins, spikes, 2 * n_bins)
    return float((n.size - 1) * (chance @ _absolute_difference(together, n_bins)) / (2 * spikes))


@by_annotation
def expected_rare_share(n: Int[np.ndarray, " unit"], *, n_bins: int, below: float = 0.05) -> float:
    """Expect the share of units whose activation probability is below a border, if all units were alike: given their spikes in all.

    It is the probability that a hypergeometric count (of S spikes of all units in N L bins, L of which are the unit's) divided by L is strictly below the border: near 0 or
    1 unless the mean probability is near the border or the bins are few. NaN without units.

    Parameters
    ----------
    n
        Number of spikes of each unit, shape (unit,).
    n_bins
        Number of bins of each unit.
    below
        Border; a unit at it is not rare.

    See Also
    --------
    ann2neo.chance.expected_gini

    Examples
    --------
    >>> expected_rare_share(np.array([1, 0]), n_bins=2)
    0.5
    >>> round(expected_rare_share(np.full(500, 10), n_bins=100), 3)
    0.024
    """
    n_bins = _checked(n, n_bins)
    check_number(below, "below", above=0, below=1, such_as=0.05)
    if not n.size:
        return float("nan")
    count, chance = _law(n.size * n_bins, int(n.sum()), n_bins)
    return float(min(1.0, chance[count / n_bins < below].sum()))


def _checked(n: Int[np.ndarray, " unit"], n_bins: int) -> int:
    n_bins = check_whole(n_bins, "n_bins", such_as=1000)
    check_spikes(n, n_bins)
    return n_bins


def _law(whole: int, spikes: int, bins: int) -> tuple[Int[np.ndarray, " count"], Float[np.ndarray, " count"]]:
    """List the counts in some of all bins that spikes dealt at random can make, and their probabilities, which sum to 1."""
    mean = bins * spikes / whole
    sd = np.sqrt(mean * (1 - spikes / whole) * (whole - bins) / max(whole - 1, 1))
    low = max(0, bins + spikes - whole, int(mean - REACH * sd - 30))
    high = min(bins, spikes, int(mean + REACH * sd + 30))
    count = np.arange(low, high + 1)
    # From one count to the next: logarithms of factorials of so large numbers would cancel to nothing.
    k = count[:-1].astype(np.float64)
    steps = np.log(spikes - k) + np.log(bins - k) - np.log(k + 1) - np.log(whole - spikes - bins + k + 1)
    log = np.concatenate([np.zeros(1), np.cumsum(steps)])
    chance = np.exp(log - log.max())
    return count, chance / chance.sum()


def _absolute_difference(together: Int[np.ndarray, " count"], n_bins: int) -> Float[np.ndarray, " count"]:
    """Expect the absolute difference of the counts of two units that share this many spikes: a telescoping sum."""
    middle = together // 2 + 1
    inside = middle <= np.minimum(together, n_bins)
    at = np.where(inside, middle, 0)
    log = (
        _log_choose(together, at)
        + _log_choose(2 * n_bins - together, n_bins - at)
        - _log_choose(np.full(at.shape, 2 * n_bins), np.full(at.shape, n_bins))
    )
    value = 4 * at * (n_bins - together + at) / (2 * n_bins) * np.exp(np.where(inside, log, 0.0))
    return np.where(inside, value, 0.0)


def _log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
