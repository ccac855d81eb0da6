"""Compiled loops over gaps between spikes: their list, and their likelihood as a renewal process."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Int

from ann2neo.compiled import compiled

_AT_ONCE = 16


@compiled
def list_gaps(
    spikes: Bool[np.ndarray, " bin"],
    edges: Int[np.ndarray, "stretch 2"],
    number: Int[np.ndarray, "4 length"],
    found: Int[np.ndarray, "3 place"],
) -> int:
    """Write kind, length and number of occurrences of the gaps of a unit into ``found``, see `ann2neo.models.renewal.Gaps`, and return how many differ.

    Parameters
    ----------
    spikes
        Whether there is a spike in each bin, shape (bin,).
    edges
        First bin and end of each stretch, ascending, shape (stretch, 2).
    number
        Zeros, which are restored; longer than the longest stretch, shape (4, length).
    found
        Output, with room for all gaps, shape (3, gap).

    Examples
    --------
    >>> found = np.empty((3, 8), np.int64)
    >>> n = list_gaps(np.array([0, 1, 0], bool), np.array([[0, 3]]), np.zeros((4, 4), np.int64), found)
    >>> found[:, :n].T
    array([[1, 2, 1],
           [2, 1, 1]])
    """
    places, n, longest = np.empty(spikes.size + 1, np.int64), 0, np.zeros(4, np.int64)
    for t in range(spikes.size):
        # Without a branch, which would be mispredicted at every second spike.
        places[n] = t
        n += spikes[t]
    k = 0
    for stretch in range(len(edges)):
        begin, end = edges[stretch, 0], edges[stretch, 1]
        while k < n and places[k] < begin:
            k += 1
        before, spiked = begin - 1, 0
        while k < n and places[k] < end:
            kind, length = 1 - spiked, places[k] - before
            number[kind, length] += 1
            longest[kind] = max(longest[kind], length)
            before, spiked = places[k], 1
            k += 1
        kind, length = 3 - spiked, end - 1 - before
        if length > 0:
            number[kind, length] += 1
            longest[kind] = max(longest[kind], length)
    n = 0
    for kind in range(4):
        for length in range(1, longest[kind] + 1):
            if number[kind, length]:
                found[0, n], found[1, n], found[2, n] = kind, length, number[kind, length]
                number[kind, length] = 0
                n += 1
    return n


@compiled
def log_ratio(r: float, m: float, x: int, y: int) -> float:
    """Return ln P(I = y) - ln P(I = x) of negative binomial intervals with shape r, which may be 0 or infinite, and mean m; y is at least x.

    Examples
    --------
    >>> round(log_ratio(1.0, 4.0, 1, 3), 6), round(2 * np.log(0.75), 6)
    (-0.575364, np.float64(-0.575364))
    """
    if y - x > 4 * _AT_ONCE:
        if np.isinf(r):
            return math.lgamma(float(x)) - math.lgamma(float(y)) + (y - x) * np.log(m - 1.0)
        ways = math.lgamma(y - 1.0 + r) - math.lgamma(x - 1.0 + r) if x > 1 or r > 0 else -np.inf
        return ways + math.lgamma(float(x)) - math.lgamma(float(y)) + (y - x) * np.log((m - 1.0) / (r + m - 1.0))
    total, product, k = 0.0, 1.0, 0
    each = m - 1.0 if np.isinf(r) else (m - 1.0) / (r + m - 1.0)
    for z in range(x, y):
        product *= each / z if np.isinf(r) else each * (r + z - 1.0) / z
        k += 1
        if k == _AT_ONCE:
            total, product, k = total + np.log(product), 1.0, 0
    return total + np.log(product) if k else total


@compiled
def log_tails(
    r: float, m: float, longest: int, at_least: Float[np.ndarray, " place"], further: Float[np.ndarray, " place"]
) -> None:
    """Write ln P(I >= x) and the logarithm of the sum of P(I >= y) over all y >= x for x from 1 to ``longest``.

    Upwards by subtraction; where that would lose more than three digits, downwards, by inverse hazards: no tail is too small.

    Examples
    --------
    >>> at_least, further = np.empty(3), np.empty(3)
    >>> log_tails(1.0, 4.0, 2, at_least, further)
    >>> np.exp(at_least[1:]).round(6), np.exp(further[1:]).round(6)
    (array([1.  , 0.75]), array([4., 3.]))
    """
    endless = np.isinf(r)
    none = 0.0 if r == 0.0 else (1.0 - m if endless else -r * np.log1p((m - 1.0) / r))
    each = m - 1.0 if endless else (m - 1.0) / (r + m - 1.0)
    at_least[1], further[1] = 0.0, np.log(m)
    s, g, p, x = -np.expm1(none), m - 1.0, np.exp(none), 2
    lowest_s, lowest_g = 1e-3 * s, 1e-3 * g
    while x <= longest and s >= lowest_s and g >= lowest_g:
        at_least[x], further[x] = np.log(s), np.log(g)
        p *= each / (x - 1.0) if endless else each * (r + x - 2.0) / (x - 1.0)
        s, g, x = s - p, g - s, x + 1
    if x > longest:
        return
    beyond = int(longest + (10.0 * m if endless else 40.0 * (r + m - 1.0) / r) + 60.0)
    log_p, inverse, rest = none + log_ratio(r, m, 1, longest), 1.0, 1.0
    for y in range(beyond, x - 1, -1):
        fall = each / y if endless else each * (r + y - 1.0) / y
        inverse = 1.0 / (1.0 - min(fall, 1.0 - 1e-12)) if y == beyond else 1.0 + fall * inverse
        rest = inverse if y == beyond else 1.0 + (1.0 - 1.0 / inverse) * rest
        if y <= longest:
            log_p -= np.log(fall) if y < longest else 0.0
            at_least[y] = log_p + np.log(inverse)
            further[y] = at_least[y] + np.log(rest)


@compiled
def renewal_likelihood(
    kind: Int[np.ndarray, " gap"],
    bins: Int[np.ndarray, " gap"],
    times: Int[np.ndarray, " gap"],
    offsets: Int[np.ndarray, " unit_plus_one"],
    units: Int[np.ndarray, " unit"],
    r: Float[np.ndarray, " unit"],
    mean: Float[np.ndarray, " unit"],
    found: Float[np.ndarray, " unit"],
) -> None:
    """Write the log-likelihood of gaps into ``found``, see `ann2neo.models.renewal.log_likelihood_of_renewal`.

    Parameters
    ----------
    kind, bins, times, offsets
        Gaps, see `ann2neo.models.renewal.Gaps`.
    units
        Units to compute, shape (unit,).
    r, mean
        Shape, from 0 to infinity, and mean interval of each unit, shape (unit,).
    found
        Output, shape (unit,).

    Examples
    --------
    >>> found, one = np.empty(1), np.ones(1, np.int64)
    >>> renewal_likelihood(0 * one, 2 * one, one, np.array([0, 1]), 0 * one, np.ones(1), np.full(1, 4.0), found)
    >>> found.round(4)  # ln(1/4 * 3/4)
    array([-1.674])
    """
    for place in range(units.size):
        first, last = offsets[units[place]], offsets[units[place] + 1]
        shape, m = r[place], mean[place]
        none = 0.0 if shape == 0.0 else (1.0 - m if np.isinf(shape) else -shape * np.log1p((m - 1.0) / shape))
        total, at, log_p, longest = 0.0, 1, none, 1
        for i in range(first, last):
            x = bins[i]
            if kind[i] == 0:
                log_p += log_ratio(shape, m, at, x)
                at = x
                total += times[i] * log_p
            elif x + 1 > longest:
                longest = x + 1
        at_least, further = np.empty(longest + 1), np.empty(longest + 1)
        log_tails(shape, m, longest, at_least, further)
        for i in range(first, last):
            x, log = bins[i], 0.0
            if kind[i] == 1:
                log = at_least[x] - np.log(m)
            elif kind[i] == 2:
                log = at_least[x + 1]
            elif kind[i] == 3:
                log = further[x + 1] - np.log(m)
            total += times[i] * log
        found[place] = total
