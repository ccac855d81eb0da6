"""Compiled loops over the bins of a unit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from ann2neo.compiled import compiled


@compiled
def draw_chain(
    numbers: Float[np.ndarray, " bin"],
    p: Float[np.ndarray, " state"],
    has_context: Bool[np.ndarray, " bin"],
    order: int,
    spikes: Bool[np.ndarray, " bin"],
) -> None:
    """Put into ``spikes`` whether each number is below the probability of its bin, given the spikes that were put before it.

    Parameters
    ----------
    numbers
        A number in [0, 1) for each bin, shape (bin,).
    p
        Probability of a spike in a bin without a context, then after each context, shape (state,).
    has_context
        Whether each bin has ``order`` bins before it in its stretch, shape (bin,).
    order
        Number of bins of a context.
    spikes
        What is written, shape (bin,).

    Examples
    --------
    >>> spikes = np.empty(4, bool)
    >>> draw_chain(np.full(4, 0.5), np.array([0.9, 0.1, 0.9]), np.array([0, 1, 0, 1], bool), 1, spikes)
    >>> spikes.astype(int)
    array([1, 1, 1, 1])
    """
    # Both outcomes of the preceding bin are tried before it is known: waiting for it takes twice as long.
    mask, before, hit = 2**order - 1, 0, False
    for t in range(numbers.size):
        after_gap, after_spike = (before << 1) & mask, ((before << 1) | 1) & mask
        known = has_context[t]
        one = numbers[t] < p[(1 + after_spike) * known]
        other = numbers[t] < p[(1 + after_gap) * known]
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
    """Count the bins of units ``first`` to ``last`` - 1 by their input and by their context and themselves, in binary, the oldest bin first.

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
        To what is added, shape (unit, input, kind), of 2 ** (order + 1) kinds.

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
