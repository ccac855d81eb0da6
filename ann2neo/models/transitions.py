"""Transitions: counts of each unit's spikes after each context of preceding bins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import xlog1py, xlogy

from ann2neo.models.evidence import PRIOR, bins_left_out, left_out, log_likelihood
from ann2neo.models.kernels import count_joint
from ann2neo.threads import over_units
from ann2neo.windows import sums_by_code

_NUMBERS_AT_ONCE = 1 << 23


@dataclass(frozen=True, slots=True, kw_only=True)
class Transitions:
    """Sufficient statistics of a Markov chain.

    Parameters
    ----------
    spikes
        Spikes after each context, shape (unit, context). The index of a context reads its bins as a binary number, the oldest first.
    size
        Bins after each context, shape (unit, context).
    first_spikes
        Spikes in bins that have too few bins before them in their stretch, shape (unit,).
    first_size
        Number of these bins.
    cv
        Log-likelihood of inputs left out of the estimate, shape (unit,).
    """

    spikes: Int[np.ndarray, "unit context"]
    size: Int[np.ndarray, "unit context"]
    first_spikes: Int[np.ndarray, " unit"]
    first_size: int
    cv: Float[np.ndarray, " unit"]


def bins_with_context(
    stretch_edges: Int[np.ndarray, " edge"], counted: Bool[np.ndarray, " bin"], order: int
) -> Bool[np.ndarray, " bin"]:
    """Return whether each bin is counted and has ``order`` bins before it in its stretch, shape (bin,).

    Examples
    --------
    >>> bins_with_context(np.array([0, 3, 5]), np.ones(5, bool), 1).astype(int)
    array([0, 1, 1, 0, 1])
    """
    lengths = np.diff(stretch_edges)
    place = np.arange(counted.size) - np.repeat(stretch_edges[:-1], lengths)
    return counted & (place >= order)


def count_transitions(
    dense: Bool[np.ndarray, "unit bin"],
    within: Bool[np.ndarray, " bin"],
    counted: Bool[np.ndarray, " bin"],
    input_of_bin: Int[np.ndarray, " bin"] | None,
    order: int,
) -> Transitions:
    """Count spikes and bins after each context, and score inputs that were left out.

    If an input is left out, the transitions into its bins are removed; the contexts of other inputs stay as observed. Its first bins,
    which have no context, are scored at the rate of the other inputs.

    Parameters
    ----------
    dense
        Whether each unit spiked in each bin, shape (unit, bin).
    within
        Whether each bin is counted and has a context, shape (bin,).
    counted
        Whether each bin is counted, shape (bin,).
    input_of_bin
        Input of each bin, shape (bin,); None where every counted bin is an input.
    order
        Number of bins of a context.

    Examples
    --------
    >>> dense = np.array([[1, 1, 0, 1, 0]], bool)
    >>> every = np.ones(5, bool)
    >>> found = count_transitions(dense, bins_with_context(np.array([0, 5]), every, 1), every, None, 1)
    >>> found.spikes, found.size, found.first_spikes
    (array([[1, 1]]), array([[1, 3]]), array([1]))
    """
    first = counted & ~within
    one_each = input_of_bin is None
    inputs = np.zeros(counted.size, np.int64) if input_of_bin is None else input_of_bin
    n_inputs = 1 if one_each else int(inputs[counted].max(initial=-1)) + 1
    early_size = np.bincount(inputs[first], minlength=n_inputs)
    parts = []
    for units in _blocks(len(dense), n_inputs * 2 ** (order + 1)):
        by_input = _by_input(dense[units], within, inputs, n_inputs, order)
        early = sums_by_code(dense[units][:, first], inputs[first], n_inputs)
        parts.append(_of_block(by_input, early, early_size, one_each=one_each))
    spikes, size, first_spikes, cv = (np.concatenate(each) for each in zip(*parts))
    return Transitions(spikes=spikes, size=size, first_spikes=first_spikes, first_size=int(first.sum()), cv=cv)


def _blocks(n_units: int, numbers_each: int) -> Iterator[slice]:
    """Split units into blocks whose counts take bounded memory; at least one block."""
    step = max(1, _NUMBERS_AT_ONCE // numbers_each)
    for first in range(0, max(n_units, 1), step):
        yield slice(first, first + step)


def _by_input(
    dense: Bool[np.ndarray, "unit bin"],
    within: Bool[np.ndarray, " bin"],
    inputs: Int[np.ndarray, " bin"],
    n_inputs: int,
    order: int,
) -> Int[np.ndarray, "unit input kind"]:
    """Count bins by input, and by their context and their own bit."""
    counts = np.zeros((len(dense), n_inputs, 2 ** (order + 1)), np.int64)
    over_units(lambda first, last: count_joint(dense, within, inputs, order, first, last, counts), len(dense))
    return counts


def _of_block(
    by_input: Int[np.ndarray, "unit input kind"],
    early: Int[np.ndarray, "unit input"],
    early_size: Int[np.ndarray, " input"],
    *,
    one_each: bool,
) -> tuple[np.ndarray, ...]:
    """Sum spikes and bins after each context, and score each left-out input, or each bin where an input is one bin."""
    found = by_input.sum(axis=1)
    spikes, size = found[:, 1::2], found[:, ::2] + found[:, 1::2]
    first_spikes, n_first = early.sum(axis=1), int(early_size.sum())
    if not one_each:
        return spikes, size, first_spikes, _inputs_left_out(by_input, early, early_size)
    n, total = spikes.sum(axis=1) + first_spikes, size.sum(axis=1) + n_first
    after = bins_left_out(spikes, size).sum(axis=1)
    return spikes, size, first_spikes, after + _first_left_out(first_spikes, n_first, n, total)


def _first_left_out(
    spikes: Int[np.ndarray, " unit"], size: int, n: Int[np.ndarray, " unit"], total: Int[np.ndarray, " unit"]
) -> Float[np.ndarray, " unit"]:
    """Score bins that have no context, each at the rate of all other bins."""
    of_spike = np.where(n > 0, (n - 1 + PRIOR) / (total - 1 + 2 * PRIOR), 1.0)
    of_gap = np.where(n < total, (n + PRIOR) / (total - 1 + 2 * PRIOR), 0.0)
    return xlogy(spikes, of_spike) + xlog1py(size - spikes, -of_gap)


def _inputs_left_out(
    by_input: Int[np.ndarray, "unit input kind"],
    early: Int[np.ndarray, "unit input"],
    early_size: Int[np.ndarray, " input"],
) -> Float[np.ndarray, " unit"]:
    hits, size = by_input[:, :, 1::2], by_input[:, :, ::2] + by_input[:, :, 1::2]
    after = left_out(
        hits,
        size,
        hits.sum(axis=1, keepdims=True) - hits,
        size.sum(axis=1, keepdims=True) - size,
        lattice=True,
    )
    own, own_size = hits.sum(axis=2) + early, size.sum(axis=2) + early_size
    kept, kept_size = own.sum(axis=1, keepdims=True) - own, own_size.sum(axis=1, keepdims=True) - own_size
    before = left_out(early, early_size, kept, kept_size, lattice=True)
    return after.sum(axis=(1, 2)) + before.sum(axis=1)


def log_likelihood_of(transitions: Transitions, n: np.ndarray, total: float) -> Float[np.ndarray, " unit"]:
    """Return the log-likelihood of a chain whose bins without a context have the rate of all bins, shape (unit,).

    Parameters
    ----------
    transitions
        Counts after each context.
    n
        Spikes of each unit in all counted bins, shape (unit,).
    total
        Number of counted bins.
    """
    rate = n / total
    early = xlogy(transitions.first_spikes, rate) + xlog1py(transitions.first_size - transitions.first_spikes, -rate)
    return log_likelihood(transitions.spikes, transitions.size, lattice=True).sum(axis=1) + early
