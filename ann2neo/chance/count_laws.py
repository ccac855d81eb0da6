"""The law of the dispersion of counts over windows, given their sum: exact, sampled or continuous, whichever holds.

The dispersion is ``D = sum (c - w r)^2 / (w s)`` with ``r = n / N``, and ``s = r (N - n) / (N - 1)`` on bins, ``s = r``
in continuous time. Counts are whole numbers, so D has atoms: no continuous law may stand at one of them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Num
from scipy.special import gammaln

from ann2neo.chance.p_values import gamma_tails, sampled_tails

Tails = tuple[Float[np.ndarray, " case"], Float[np.ndarray, " case"]]
Sizes = tuple[float | int, ...]
_EXPECTED_COUNT = 5
_LARGEST_TABLE = 1024
_DRAWS = (8192, 65_536)
_DRAWN_SPIKES = 1 << 22
# Ways to deal the spikes to windows up to which all are counted, and number of those nearest to equal rates else.
_ALL_WAYS = 40_000
_NEAR_WAYS = 4_000
# Chance of the most even counts below which the smallest values of D count as continuous.
_NO_ATOM = 1e-7


def count_tails(counts: Int[np.ndarray, "case window"], sizes: Num[np.ndarray, " window"], *, lattice: bool) -> Tails:
    """Chance of a dispersion no larger than observed, and of a larger one (mid-p: an equal one counts half).

    Parameters
    ----------
    counts
        Spikes in each window, at least one of each case, at most half of the bins, shape (case, window).
    sizes
        Bins or duration of each window, shape (window,).
    lattice
        Whether counts are hypergeometric (spikes on bins) or multinomial (spikes anywhere in time).

    Examples
    --------
    >>> lower, upper = count_tails(np.array([[1, 1], [2, 0]]), np.array([2, 2]), lattice=True)
    >>> lower.round(3), upper.round(3)  # (1, 1) in 4 of 6 cases, (2, 0) or (0, 2) in 2
    (array([0.667, 1.   ]), array([0.667, 0.167]))
    """
    n, whole = counts.sum(axis=1), sizes.sum()
    if not n.size:
        return np.zeros(0), np.zeros(0)
    rates = (n / whole)[:, None]
    value = ((counts - sizes * rates) ** 2 / sizes).sum(axis=1)
    lower, upper = _continuous(n, value, sizes, lattice=lattice)
    few = n <= _table_end(sizes, lattice=lattice)
    own = tuple(sizes.tolist())
    for one in np.unique(n):
        here = np.flatnonzero(n == one)
        if _n_ways(int(one), own, lattice) <= _ALL_WAYS:
            # What lies beyond all ways that are counted keeps the continuous law, which is far below their chances.
            here = here[value[here] <= _all_ways(int(one), own, lattice)[0][-1] * (1 + 1e-9) + 1e-12]
            lower[here], upper[here] = _tails(_all_ways(int(one), own, lattice), value[here], rest=0.0)
        elif few[here[0]]:
            null = _sampled_squares(own, _table_end(sizes, lattice=lattice), lattice)[one - 1]
            lower[here], upper[here] = sampled_tails(null, value[here] + one**2 / whole)
        else:
            near = here[value[here] <= _nearest(int(one), own, lattice)]
            if near.size:
                law = _near_ways(int(one), own, lattice)
                lower[near], upper[near] = _tails(law, value[near], rest=max(1 - float(law[1].sum()), 0.0))
    return lower, upper


def tails_near_zero(
    counts: Int[np.ndarray, "case window"],
    sizes: Int[np.ndarray, " window"],
    variance: Float[np.ndarray, " case"],
    lower: Float[np.ndarray, " case"],
    upper: Float[np.ndarray, " case"],
) -> Tails:
    """Replace the tails of the smallest dispersions, where whole-numbered counts have atoms, by sums of a normal density.

    Parameters
    ----------
    counts
        Sum of the whole-numbered contributions of the members of each window, shape (case, window).
    sizes
        Members of each window, shape (window,).
    variance
        Variance (ddof 1) of the contribution of a member, shape (case,).
    lower, upper
        Tails of the continuous law, shape (case,).

    Examples
    --------
    >>> none = np.zeros(1)
    >>> lower, upper = tails_near_zero(np.array([[50, 50]]), np.array([50, 50]), np.array([0.25]), none, none)
    >>> (lower.round(3) == 2 * (1 - upper).round(3)).item(), lower.round(3)  # the most even counts
    (True, array([0.16]))
    """
    lower, upper, own = lower.copy(), upper.copy(), tuple(sizes.tolist())
    whole, axes = float(sizes.sum()), sizes.size - 1
    n = counts.sum(axis=1)
    value = ((counts - sizes * (n / whole)[:, None]) ** 2 / sizes).sum(axis=1)
    centre = (2 * math.pi * variance) ** (-axes / 2) / math.exp(_log_root(own))
    limit = _value_of_ways(own)
    for case in np.flatnonzero((value <= limit) & (centre > _NO_ATOM)):
        values = _values_near_zero(int(n[case]), own, limit)
        law = values, centre[case] * np.exp(-values / (2 * variance[case]))
        # Far out the density stands for the continuous law, which is used from the limit on.
        below, above = _tails(law, value[case : case + 1], rest=max(1 - float(law[1].sum()), 0.0))
        lower[case], upper[case] = below[0], above[0]
    return lower, upper


@lru_cache(maxsize=256)
def _values_near_zero(n: int, sizes: Sizes, limit: float) -> Float[np.ndarray, " way"]:
    w = np.asarray(sizes)
    ways = _ways(n, w, limit * (1 + 1e-6), lattice=False, bounded=False)
    return np.sort(((ways - w * (n / w.sum())) ** 2 / w).sum(axis=1))


def _value_of_ways(sizes: Sizes) -> float:
    """Value of the dispersion, times its scale, up to which about as many ways lie as are enumerated."""
    axes = len(sizes) - 1
    return math.exp((math.log(_NEAR_WAYS) + math.lgamma(axes / 2 + 1) - _log_root(sizes)) * 2 / axes) / math.pi


def _log_root(sizes: Sizes) -> float:
    """Logarithm of the root of the determinant of the counts' covariance, less that of its scale."""
    w = np.asarray(sizes, np.float64)
    return float(0.5 * (np.log(w).sum() - math.log(w.sum())))


def _table_end(sizes: Num[np.ndarray, " window"], *, lattice: bool) -> int:
    """Largest number of spikes for which some window expects too few for a continuous law."""
    end = min(math.ceil(_EXPECTED_COUNT * sizes.sum() / sizes.min()), _LARGEST_TABLE)
    return min(end, int(sizes.sum()) // 2) if lattice else end


def _scale(n: Any, whole: float, *, lattice: bool) -> Any:
    """The variance of a count per bin or time, from which D has mean W - 1; for one number of spikes or many."""
    rate = n / whole
    return rate * (whole - n) / (whole - 1) if lattice else rate


def _continuous(
    n: Int[np.ndarray, " case"],
    value: Float[np.ndarray, " case"],
    sizes: Num[np.ndarray, " window"],
    *,
    lattice: bool,
) -> Tails:
    """Tails of the gamma law of D's exact mean and variance."""
    scale = _scale(n, float(sizes.sum()), lattice=lattice)
    variance = _variance_of_squares(n, sizes, lattice=lattice) / scale**2
    return gamma_tails(value / scale, mean=sizes.size - 1.0, variance=variance)


def _tails(
    law: tuple[Float[np.ndarray, " way"], Float[np.ndarray, " way"]], value: Float[np.ndarray, " case"], *, rest: float
) -> Tails:
    """Tails of a law of known values and chances, where a rest of chance lies above all of these."""
    values, chances = law
    slack = 1e-9 * value + 1e-12
    below = np.searchsorted(values, value - slack, side="left")
    up_to = np.searchsorted(values, value + slack, side="right")
    rising = np.concatenate(([0.0], np.cumsum(chances)))
    falling = np.concatenate((np.cumsum(chances[::-1])[::-1], [0.0])) + rest
    return np.minimum(rising[up_to], 1.0), np.minimum((falling[up_to] + falling[below]) / 2, 1.0)


def _reach(n: int, w: Float[np.ndarray, " window"], *, lattice: bool) -> Float[np.ndarray, " window"]:
    """Distance of a count from its mean that it exceeds with a chance below 1e-15; far more with two windows."""
    variance = _scale(n, float(w.sum()), lattice=lattice) * w * (1 - w / w.sum())
    return (40.0 if w.size == 2 else 8.5) * np.sqrt(variance) + 12.0


@lru_cache(maxsize=1 << 14)
def _n_ways(n: int, sizes: Sizes, lattice: bool) -> float:
    """A bound on the number of ways that are not impossibly rare; infinite for many windows, 0 for two."""
    if len(sizes) == 2:
        return 0.0
    w = np.sort(np.asarray(sizes, np.float64))[:-1]
    own = _reach(n, np.asarray(sizes, np.float64), lattice=lattice)[np.argsort(sizes)][:-1]
    mean = n * w / float(np.sum(sizes))
    choices = np.minimum(mean + own, np.minimum(n, w) if lattice else n) - np.maximum(mean - own, 0) + 1
    # In logarithms: with some hundred windows neither number fits into a float.
    each, together = np.log(choices).sum(), gammaln(n + w.size + 1) - gammaln(w.size + 1) - gammaln(n + 1)
    return float(np.exp(min(each, together, 700.0)))


@lru_cache(maxsize=256)
def _all_ways(n: int, sizes: Sizes, lattice: bool) -> tuple[Float[np.ndarray, " way"], Float[np.ndarray, " way"]]:
    """Every value of the dispersion that is not impossibly rare, ascending, with its chance."""
    w = np.asarray(sizes)
    return _with_chances(_ways(n, w, math.inf, lattice=lattice), w, lattice=lattice)


@lru_cache(maxsize=256)
def _near_ways(n: int, sizes: Sizes, lattice: bool) -> tuple[Float[np.ndarray, " way"], Float[np.ndarray, " way"]]:
    """The smallest values of the dispersion, ascending, with their chances."""
    w = np.asarray(sizes)
    ways = _ways(n, w, _nearest(n, sizes, lattice) * (1 + 1e-6), lattice=lattice)
    return _with_chances(ways, w, lattice=lattice)


@lru_cache(maxsize=1 << 14)
def _nearest(n: int, sizes: Sizes, lattice: bool) -> float:
    """Value of the dispersion up to which about as many ways lie as are enumerated; -1 where there are no atoms.

    The ways are points of a lattice of W - 1 axes, and those up to a value fill an ellipsoid.
    """
    axes, whole = len(sizes) - 1, float(sum(sizes))
    scale = _scale(n, whole, lattice=lattice)
    if -0.5 * axes * math.log(2 * math.pi * scale) - _log_root(sizes) < math.log(_NO_ATOM):
        return -1.0
    return _value_of_ways(sizes)


def _ways(
    n: int, sizes: Num[np.ndarray, " window"], limit: float, *, lattice: bool, bounded: bool = True
) -> Int[np.ndarray, "way window"]:
    """List the ways to deal n spikes to windows that are not impossibly rare and have at most this dispersion.

    Counts are chosen window after window, the largest last, as its count follows from the others.
    """
    order = np.argsort(sizes, kind="stable")
    w, rate = sizes[order].astype(np.float64), n / float(sizes.sum())
    reach = _reach(n, w, lattice=lattice) if bounded else np.full(w.size, np.inf)
    ways, left, used = np.zeros((1, 0), np.int64), np.array([n]), np.zeros(1)
    for number, size in enumerate(w):
        room = w[number + 1 :].sum()
        most = np.minimum(left, int(size)) if lattice else left
        least = np.maximum(left - int(room), 0) if lattice else np.where(room > 0, 0, left)
        away = np.minimum(np.sqrt(np.maximum(limit - used, 0.0) * size), reach[number])
        first = np.maximum(least, np.ceil(size * rate - away - 1e-9)).astype(np.int64)
        last = np.minimum(most, np.floor(size * rate + away + 1e-9)).astype(np.int64)
        choices = np.maximum(last - first + 1, 0)
        row = np.repeat(np.arange(choices.size), choices)
        count = first[row] + np.arange(row.size) - np.repeat(np.cumsum(choices) - choices, choices)
        ways = np.column_stack([ways[row], count])
        left, used = left[row] - count, used[row] + (count - size * rate) ** 2 / size
    return ways[:, np.argsort(order)]


def _with_chances(
    ways: Int[np.ndarray, "way window"], w: Num[np.ndarray, " window"], *, lattice: bool
) -> tuple[Float[np.ndarray, " way"], Float[np.ndarray, " way"]]:
    n = int(ways[0].sum()) if len(ways) else 0
    value = ((ways - w * (n / w.sum())) ** 2 / w).sum(axis=1)
    if lattice:
        log = (gammaln(w + 1.0) - gammaln(ways + 1.0) - gammaln(w - ways + 1.0)).sum(axis=1)
        log -= gammaln(w.sum() + 1.0) - gammaln(n + 1.0) - gammaln(w.sum() - n + 1.0)
    else:
        log = gammaln(n + 1.0) + (ways * np.log(w / w.sum()) - gammaln(ways + 1.0)).sum(axis=1)
    order = np.argsort(value, kind="stable")
    return value[order], np.exp(log)[order]


def _variance_of_squares(
    n: Int[np.ndarray, " case"], sizes: Num[np.ndarray, " window"], *, lattice: bool
) -> Float[np.ndarray, " case"]:
    """Exact variance of ``sum c^2 / w`` given n, from the factorial moments of the counts."""
    steps = np.arange(4)
    falling = np.cumprod(n[:, None] - steps * 1.0, axis=1)
    left = sizes.sum() - steps * lattice * 1.0
    # So few bins hold no fourth spike: its moment is 0 for any divisor.
    falling = falling / np.cumprod(np.where(left > 0, left, 1.0))
    first, second, third, fourth = falling.T
    w = sizes.astype(float)
    pair, triple, quadruple = w - lattice, (w - lattice) * (w - 2 * lattice), 0.0
    quadruple = triple * (w - 3 * lattice)
    own = fourth * np.sum(quadruple / w) + 6 * third * np.sum(triple / w) + 7 * second * np.sum(pair / w)
    own = own + first * np.sum(1 / w)
    crossed = fourth * (pair.sum() ** 2 - np.sum(pair**2)) + 2 * third * (w.size - 1) * pair.sum()
    mean = second * pair.sum() + first * w.size
    return np.maximum(own + crossed + second * w.size * (w.size - 1) - mean**2, 1e-300)


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
    draws = int(np.clip(_DRAWN_SPIKES // n, *_DRAWS))
    if not lattice:
        return np.searchsorted(ends, rng.random((draws, n)) * ends[-1], side="right").clip(max=w.size - 1)
    bins = np.stack([rng.choice(int(ends[-1]), n, replace=False) for _ in range(draws)])
    return np.searchsorted(ends, bins, side="right")
