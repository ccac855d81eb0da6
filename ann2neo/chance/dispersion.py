"""Does a unit's number of spikes vary over windows as by chance? Tests given the unit's number of spikes.

Over windows that are labels this is a test of tuning to the label. The windows must be of one pass: across passes the
same inputs return.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, Num
from scipy import stats

from ann2neo.chance.margins import check_spikes
from ann2neo.chance.p_values import gamma_two_sided, sampled_tails, where_defined

PValues = Float[np.ndarray, " unit"]
_EXPECTED_COUNT = 5
_LARGEST_TABLE = 1024
_DRAWS = 8192


def dispersion_test(counts: Int[np.ndarray, "unit window"], window_bins: Int[np.ndarray, " window"]) -> PValues:
    """Test whether spike counts vary over windows of bins as by chance; two-sided.

    Chance puts the unit's n spikes anywhere on its N bins. The statistic ``D = sum (c - w r)^2 / (w r (N - n) / (N -
    1))`` with ``r = n / N`` has mean W - 1. Its law is taken to be gamma with D's exact variance given n, which is
    nearly chi-squared with W - 1 degrees of freedom. Where a window expects fewer than 5 spikes, or fewer than 5 empty
    bins, the law is sampled instead given n and the windows (8,192 draws, fixed seed, mid-p, an exponential tail beyond
    the ten largest draws), as long as there are at most 1,024 spikes, or empty bins. NaN for silent and saturated units
    and below two windows.

    Parameters
    ----------
    counts
        Spikes in each window, shape (unit, window).
    window_bins
        Bins of each window, shape (window,).

    Raises
    ------
    AnalysisError
        If a window holds more spikes than bins.

    References
    ----------
    Cochran 1954, doi:10.2307/3001616

    Examples
    --------
    >>> dispersion_test(np.array([[25, 25, 24, 26], [50, 25, 25, 0]]), np.array([100, 100, 100, 100])).round(3)
    array([0.017, 0.   ])
    """
    check_spikes(counts, window_bins)
    counts, sizes = counts[:, window_bins > 0], window_bins[window_bins > 0]
    n, bins = counts.sum(axis=1), int(sizes.sum())
    defined = (n > 0) & (n < bins) & (sizes.size > 1)
    counts = counts[defined]
    # D does not change when spikes and empty bins change places; the rarer of the two needs the smaller table.
    counts = np.where((2 * n[defined] > bins)[:, None], sizes - counts, counts)
    return where_defined(defined, _dispersion_p(counts, sizes, lattice=True))


def dispersion_test_poisson(
    counts: Int[np.ndarray, "unit window"], window_durations: Float[np.ndarray, " window"]
) -> PValues:
    """Test whether spike counts vary over windows of time as a Poisson process given its n spikes; two-sided.

    The statistic is ``D = sum (c - n f)^2 / (n f)`` with f the window's share of the time; its law as for
    `dispersion_test`, with the multinomial in place of the hypergeometric distribution. NaN for silent units and below
    two windows.

    Parameters
    ----------
    counts
        Spikes in each window, shape (unit, window).
    window_durations
        Duration of each window, shape (window,).

    Raises
    ------
    AnalysisError
        If a count is negative.

    References
    ----------
    Cochran 1954, doi:10.2307/3001616

    Examples
    --------
    >>> dispersion_test_poisson(np.array([[20, 31, 24, 25], [50, 25, 25, 0]]), np.array([1.0, 1.0, 1.0, 1.0])).round(3)
    array([0.96, 0.  ])
    """
    check_spikes(counts)
    counts, sizes = counts[:, window_durations > 0], window_durations[window_durations > 0]
    defined = (counts.sum(axis=1) > 0) & (sizes.size > 1)
    return where_defined(defined, _dispersion_p(counts[defined], sizes, lattice=False))


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


def _dispersion_p(
    counts: Int[np.ndarray, "case window"], sizes: Num[np.ndarray, " window"], *, lattice: bool
) -> Float[np.ndarray, " case"]:
    """Two-sided p-values of `D`, which for given n is a growing function of ``T = sum c^2 / w``."""
    n, whole = counts.sum(axis=1), sizes.sum()
    squares = (counts.astype(float) ** 2 / sizes).sum(axis=1)
    p = np.full(n.shape, np.nan)
    table_end = min(int(np.ceil(_EXPECTED_COUNT * whole / sizes.min())) if sizes.size else 0, _LARGEST_TABLE)
    if lattice:
        table_end = min(table_end, int(whole) // 2)
    few = n <= table_end
    for one in np.unique(n[few]):
        null = _sampled_squares(tuple(sizes.tolist()), table_end, lattice)[one - 1]
        lower, upper = sampled_tails(null, squares[n == one])
        p[n == one] = np.minimum(2 * np.minimum(lower, upper), 1.0)
    mean, variance = _moments_of_squares(n[~few], sizes, lattice=lattice)
    # From T to D: both have the same shape, and D's mean is W - 1.
    share = n[~few] / whole
    scale = share * (whole - n[~few]) / (whole - 1) if lattice else share
    value = np.maximum((squares[~few] - mean) / scale + sizes.size - 1, 0)
    p[~few] = gamma_two_sided(value, mean=sizes.size - 1.0, variance=variance / scale**2)
    return p


def _moments_of_squares(
    n: Int[np.ndarray, " case"], sizes: Num[np.ndarray, " window"], *, lattice: bool
) -> tuple[Float[np.ndarray, " case"], Float[np.ndarray, " case"]]:
    """Exact mean and variance of ``sum c^2 / w`` given n, from the factorial moments of the counts."""
    steps = np.arange(4)
    falling = np.cumprod(n[:, None] - steps * 1.0, axis=1)
    falling = falling / np.cumprod(sizes.sum() - steps * lattice * 1.0)
    first, second, third, fourth = falling.T
    w = sizes.astype(float)
    pair, triple, quadruple = w - lattice, (w - lattice) * (w - 2 * lattice), 0.0
    quadruple = triple * (w - 3 * lattice)
    own = fourth * np.sum(quadruple / w) + 6 * third * np.sum(triple / w) + 7 * second * np.sum(pair / w)
    own = own + first * np.sum(1 / w)
    crossed = fourth * (pair.sum() ** 2 - np.sum(pair**2)) + 2 * third * (w.size - 1) * pair.sum()
    mean = second * pair.sum() + first * w.size
    return mean, np.maximum(own + crossed + second * w.size * (w.size - 1) - mean**2, 1e-300)


@lru_cache(maxsize=4)
def _sampled_squares(sizes: tuple[float | int, ...], n: int, lattice: bool) -> Float[np.ndarray, "n draw"]:
    """Sorted draws of ``sum c^2 / w`` for 1 ... n spikes, which are added one by one to the same arrangements."""
    rng = np.random.default_rng((n, len(sizes), lattice))
    w = np.asarray(sizes)
    window = _random_windows(w, n, rng, lattice=lattice)
    order = np.argsort(window, axis=1, kind="stable")
    ordered = np.take_along_axis(window, order, axis=1)
    position = np.arange(n)
    first = np.where(np.diff(ordered, axis=1, prepend=-1) != 0, position, 0)
    earlier = np.empty_like(order)
    np.put_along_axis(earlier, order, position - np.maximum.accumulate(first, axis=1), axis=1)
    return np.sort(np.cumsum((2 * earlier + 1) / w[window], axis=1).T, axis=1)


def _random_windows(
    w: Num[np.ndarray, " window"], n: int, rng: np.random.Generator, *, lattice: bool
) -> Int[np.ndarray, "draw spike"]:
    """Windows of n spikes in random succession, on different bins of a lattice or anywhere in continuous time."""
    ends = np.cumsum(w)
    if not lattice:
        return np.searchsorted(ends, rng.random((_DRAWS, n)) * ends[-1], side="right").clip(max=w.size - 1)
    bins = np.stack([rng.choice(int(ends[-1]), n, replace=False) for _ in range(_DRAWS)])
    return np.searchsorted(ends, bins, side="right")
