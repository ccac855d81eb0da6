"""Compiled loops over the bins of a unit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from ann2neo.compiled import compiled


@compiled
def draw(
    numbers: Float[np.ndarray, " bin"],
    p: Float[np.ndarray, " state"],
    state: Int[np.ndarray, " bin"],
    order: int,
    spikes: Bool[np.ndarray, " bin"],
) -> None:
    """Write into ``spikes`` whether each number is below the probability of its bin, given the spikes written before it.

    Parameters
    ----------
    numbers
        A number in [0, 1) for each bin, shape (bin,).
    p
        Probability of a spike in each state, shape (state,).
    state
        State of each bin, shape (bin,). With contexts it is 0 for bins without one; after context c, in binary, a 1 becomes 1 + c.
    order
        Number of bins of a context; 0 for none.
    spikes
        What is written, shape (bin,).

    Examples
    --------
    >>> spikes = np.empty(4, bool)
    >>> draw(np.full(4, 0.5), np.array([0.9, 0.1, 0.9]), np.array([0, 1, 0, 1]), 1, spikes)
    >>> spikes.astype(int)
    array([1, 1, 1, 1])
    """
    # Both outcomes of the preceding bin are computed before it is known, and one is taken without a branch, which would be foretold wrongly as often as spikes are drawn.
    if order == 1:
        hit = False
        for t in range(numbers.size):
            u, chained = numbers[t], state[t] == 1
            one = u < (p[2] if chained else p[0])
            other = u < (p[1] if chained else p[0])
            hit = other ^ (hit & (one ^ other))
            spikes[t] = hit
        return
    mask, before, hit = 2**order - 1, 0, False
    for t in range(numbers.size):
        after_gap, after_spike = (before << 1) & mask, ((before << 1) | 1) & mask
        one = numbers[t] < p[state[t] * (1 + after_spike)]
        other = numbers[t] < p[state[t] * (1 + after_gap)]
        before = after_spike if hit else after_gap
        hit = one if hit else other
        spikes[t] = hit


@compiled
def count_joint(
    dense: Bool[np.ndarray, "unit bin"],
    within: Bool[np.ndarray, " bin"],
    input_of_bin: Int[np.ndarray, " bin"],
    order: int,
    first: int,
    last: int,
    counts: Int[np.ndarray, "unit input kind"],
) -> None:
    """Count the bins of units ``first`` to ``last`` - 1 by input and by kind: the bits of the context and of the bin itself, the oldest first.

    Parameters
    ----------
    dense
        Whether each unit spiked in each bin, shape (unit, bin).
    within
        Whether each bin is counted, shape (bin,).
    input_of_bin
        Input of each bin, shape (bin,).
    order
        Number of bins of a context.
    first, last
        Units to count.
    counts
        Counts that are added to, shape (unit, input, kind), with 2 ** (order + 1) kinds.

    Examples
    --------
    >>> counts = np.zeros((1, 1, 4), np.int64)
    >>> count_joint(np.array([[1, 1, 0]], bool), np.array([0, 1, 1], bool), np.zeros(3, np.int64), 1, 0, 1, counts)
    >>> counts[0, 0]  # never 00 and 01; once 10 and 11
    array([0, 0, 1, 1])
    """
    mask = 2 ** (order + 1) - 1
    for unit in range(first, last):
        joint = 0
        for t in range(within.size):
            joint = ((joint << 1) | int(dense[unit, t])) & mask
            if within[t]:
                counts[unit, input_of_bin[t], joint] += 1


@compiled
def rescale(
    spikes: Bool[np.ndarray, " bin"],
    p: Float[np.ndarray, " state"],
    state: Int[np.ndarray, " bin"],
    order: int,
    counted: Bool[np.ndarray, " bin"],
    numbers: Float[np.ndarray, " bin"],
    below: Float[np.ndarray, " state"],
    rescaled: Float[np.ndarray, " bin"],
) -> int:
    """Write into ``rescaled`` the probability of an interval that is not longer, for each spike in a counted bin, and return their number.

    Parameters
    ----------
    spikes
        Whether there is a spike in each bin, shape (bin,).
    p
        Probability of a spike in each state, shape (state,).
    state
        State of each bin, as in `draw`, shape (bin,).
    order
        Number of bins of a context; 0 for none.
    counted
        Whether each bin is counted, shape (bin,).
    numbers
        A number for each bin, shape (bin,), which is uniform where there is a spike and places the spike within its bin.
    below
        Upper bound of the uniform number in each state, shape (state,).
    rescaled
        Output, shape (bin,).

    Examples
    --------
    >>> rescaled, every = np.empty(3), np.ones(3, bool)
    >>> rescale(np.array([0, 1, 1], bool), np.array([0.5]), np.zeros(3, np.int64), 0, every, np.full(3, 0.5), np.ones(1), rescaled)
    2
    >>> rescaled[:2]  # 1/2 + 1/2 * 1/2 * 1/2, and 1/2 * 1/2
    array([0.625, 0.25 ])
    """
    mask, context, left, n = 2**order - 1, 0, 1.0, 0
    for t in range(spikes.size):
        own = state[t] * (1 + context)
        q = p[own]
        if counted[t]:
            if spikes[t]:
                rescaled[n] = 1.0 - left * (1.0 - numbers[t] / below[own] * q)
                n += 1
                left = 1.0
            else:
                left *= 1.0 - q
        context = ((context << 1) | int(spikes[t])) & mask
    return n


@compiled
def shares(
    spikes: Bool[np.ndarray, " bin"],
    state: Int[np.ndarray, " bin"],
    order: int,
    counted: Bool[np.ndarray, " bin"],
    p: Float[np.ndarray, " state"],
) -> None:
    """Write into ``p`` the share of counted bins of each state that have a spike; bins without a context, where others have one, take the share of all bins.

    Parameters
    ----------
    spikes
        Whether there is a spike in each bin, shape (bin,).
    state
        State of each bin, as in `draw`, shape (bin,).
    order
        Number of bins of a context; 0 for none.
    counted
        Whether each bin is counted, shape (bin,).
    p
        Output, shape (state,); NaN where a state never occurred.

    Examples
    --------
    >>> p = np.empty(2)
    >>> shares(np.array([1, 0, 1, 1], bool), np.array([0, 0, 1, 1]), 0, np.ones(4, bool), p)
    >>> p
    array([0.5, 1. ])
    """
    mask, context = 2**order - 1, 0
    hits, size = np.zeros(p.size, np.int64), np.zeros(p.size, np.int64)
    for t in range(spikes.size):
        if counted[t]:
            own = state[t] * (1 + context)
            size[own] += 1
            hits[own] += spikes[t]
        context = ((context << 1) | int(spikes[t])) & mask
    for own in range(p.size):
        p[own] = hits[own] / size[own]
    if order > 0:
        p[0] = hits.sum() / size.sum()


@compiled
def uniform_distance(values: Float[np.ndarray, " value"]) -> float:
    """Return the Kolmogorov-Smirnov distance between the distribution of values and the uniform law; NaN without values.

    Parameters
    ----------
    values
        Numbers in [0, 1], shape (value,).

    Examples
    --------
    >>> uniform_distance(np.array([0.75, 0.5]))
    0.5
    """
    n, largest = values.size, 0.0
    ordered = np.sort(values)
    for i in range(n):
        largest = max(largest, (i + 1) / n - ordered[i], ordered[i] - i / n)
    return largest if n else np.nan


@compiled
def beta_binomial(
    spikes: Int[np.ndarray, "unit j"],
    gaps: Int[np.ndarray, "unit j"],
    bins: Int[np.ndarray, " j"],
    mu: Float[np.ndarray, " unit"],
    theta: Float[np.ndarray, " unit"],
    found: Float[np.ndarray, " unit"],
) -> None:
    """Write the log-likelihood of windows into ``found``, see `ann2neo.models.gain.log_likelihood_of_gain`.

    Parameters
    ----------
    spikes, gaps
        Number of windows of each unit with more than j of them, shape (unit, j).
    bins
        Number of windows with more than j bins, shape (j,).
    mu, theta
        Parameters, shape (unit,).
    found
        Output, shape (unit,).

    Examples
    --------
    >>> found = np.empty(1)
    >>> half, none = np.array([0.5]), np.zeros(1)
    >>> beta_binomial(np.array([[1, 0]]), np.array([[1, 1]]), np.array([2, 1]), half, none, found)
    >>> found.round(3)  # 3 ln(1/2)
    array([-2.079])
    """
    for unit in range(mu.size):
        total, p, t = 0.0, mu[unit], theta[unit]
        for j in range(bins.size):
            if spikes[unit, j]:
                total += spikes[unit, j] * np.log(p + j * t)
            if gaps[unit, j]:
                total += gaps[unit, j] * np.log(1 - p + j * t)
            total -= bins[j] * np.log1p(j * t)
        found[unit] = total
