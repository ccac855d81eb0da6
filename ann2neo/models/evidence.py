"""Statistics that the models of rates need: counts by condition, their spread over inputs, and scores of left-out inputs.

Inputs, not bins, are exchangeable. An input has S spikes in m bins (or in the time m, in seconds). It is one bin, or several bins of a sequence or
of several passes. Condition c has ``n_c`` spikes in ``w_c`` bins of ``M_c`` inputs; n, L and M are the sums over conditions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.special import xlog1py, xlogy

from ann2neo import chance
from ann2neo.chance.inputs import has_repeats
from ann2neo.chance.margins import ratio

PRIOR = 0.5
"""Spikes, and empty bins, that are added to the counts before a left-out input is scored."""

ENOUGH_EXPECTED = 5.0
"""Smallest expected number of spikes, and of empty bins, in every condition or context for a chi-squared law to hold."""

PerUnit = Float[np.ndarray, " unit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Sufficient statistics of the models of one rate and of one rate per label.

    Parameters
    ----------
    counts
        Spikes of each unit in each condition, shape (unit, condition).
    size
        Bins, or seconds, of each condition, shape (condition,).
    lattice
        Whether sizes are bins, which hold at most one spike each.
    spread
        Estimated variance of each count over other inputs of its condition, shape (unit, condition).
    spread_of_all
        Estimated variance of the number of all spikes, over other inputs of any condition, shape (unit,).
    inflation
        Variance of the counts of conditions relative to independent bins if inputs are assigned to conditions at random (D), shape (unit,).
    permutation_p
        P value of more variation over conditions than if inputs were assigned at random, for units with few spikes (``enough`` is false), shape (unit,).
    enough
        Whether every condition expects 5 max(D, 1) spikes, and empty bins, so that chi-squared laws hold, shape (unit,).
    rate_cv, label_cv
        Log-likelihood of inputs left out of the estimate, shape (unit,).
    saturated
        Log-likelihood with a separate rate for every bin, or in time for every input, shape (unit,).
    """

    counts: Num[np.ndarray, "unit condition"]
    size: Num[np.ndarray, " condition"]
    lattice: bool
    spread: Float[np.ndarray, "unit condition"]
    spread_of_all: PerUnit
    inflation: PerUnit
    permutation_p: PerUnit
    enough: Bool[np.ndarray, " unit"]
    rate_cv: PerUnit
    label_cv: PerUnit
    saturated: PerUnit

    @property
    def n(self) -> Num[np.ndarray, " unit"]:
        """Number of spikes of each unit, shape (unit,)."""
        return self.counts.sum(axis=1)

    @property
    def total(self) -> float:
        """Number of bins, or seconds, of all inputs."""
        return float(self.size.sum())


def log_likelihood(n: np.ndarray, size: np.ndarray, *, lattice: bool) -> np.ndarray:
    r"""Return the log-likelihood of n spikes at the rate estimated from them: Bernoulli in bins, Poisson in time.

    In w bins, with p = n / w, it is :math:`n \ln p + (w - n) \ln(1 - p)`. In w seconds, with the rate n / w, it is the
    density of the spike times, :math:`n \ln(n / w) - n`. Where n is 0 or w, 0 ln 0 is 0.

    Parameters
    ----------
    n
        Numbers of spikes.
    size
        Bins or seconds, of the same shape or one that broadcasts to it.
    lattice
        Whether sizes are bins.

    Examples
    --------
    >>> log_likelihood(np.array([0, 2, 4]), np.array([4]), lattice=True).round(3) + 0.0
    array([ 0.   , -2.773,  0.   ])
    """
    rate = n / np.maximum(size, 1e-300)
    if lattice:
        return xlogy(n, rate) + xlog1py(size - n, -rate)
    return xlogy(n, rate) - n


def left_out(
    hits: np.ndarray,
    size: np.ndarray,
    kept: np.ndarray,
    kept_size: np.ndarray,
    *,
    lattice: bool,
) -> np.ndarray:
    r"""Return the log-likelihood of the left-out spikes at the rate of those that were kept.

    If s spikes in m bins were kept, the probability is :math:`q = (s + a) / (m + 2 a)` with a = 1/2 (Jeffreys), the estimate of Krichevsky and Trofimov.
    In m seconds the rate is :math:`(s + a) / m`, and NaN where nothing was kept.

    Parameters
    ----------
    hits, size
        Left-out spikes, and their bins or seconds.
    kept, kept_size
        Kept spikes, and their bins or seconds.
    lattice
        Whether sizes are bins.

    Examples
    --------
    >>> left_out(np.array([1.0]), np.array([1.0]), np.array([1.0]), np.array([1.0]), lattice=True).round(3)  # ln 0.75
    array([-0.288])
    """
    if lattice:
        q = (kept + PRIOR) / (kept_size + 2 * PRIOR)
        return xlogy(hits, q) + xlog1py(size - hits, -q)
    rate = ratio(kept + PRIOR, np.broadcast_to(np.where(kept_size > 1e-12, kept_size, 0.0), np.shape(kept)))
    return xlogy(hits, rate) - rate * size


def evidence_of_bins(counts: Int[np.ndarray, "unit condition"], size: Int[np.ndarray, " condition"]) -> Evidence:
    """Compute the statistics of inputs of one bin each, for which counts are sufficient.

    Parameters
    ----------
    counts
        Spikes of each unit in each condition, shape (unit, condition).
    size
        Bins of each condition, shape (condition,).
    """
    n, total = counts.sum(axis=1, keepdims=True), size.sum(keepdims=True)
    repeated = size.size > 1 and size.max() > 1
    inflation = np.full(len(counts), 1.0 if repeated else np.nan)
    enough = _expects_enough(n[:, 0], size, inflation, lattice=True)
    permutation_p = np.full(len(counts), np.nan)
    if repeated and not enough.all():
        permutation_p[~enough] = chance.overdispersion_test(counts[~enough], size)
    return Evidence(
        counts=counts,
        size=size,
        lattice=True,
        spread=counts * (1 - counts / size),
        spread_of_all=(n * (1 - n / total))[:, 0],
        inflation=inflation,
        permutation_p=permutation_p,
        enough=enough,
        rate_cv=bins_left_out(n, total).sum(axis=1),
        label_cv=bins_left_out(counts, size).sum(axis=1),
        saturated=np.zeros(len(counts)),
    )


def bins_left_out(counts: Int[np.ndarray, "unit group"], size: np.ndarray) -> np.ndarray:
    """Score every bin at the rate of the other bins of its group, in closed form, see `left_out`; shape (unit, group).

    Parameters
    ----------
    counts
        Spikes of each group.
    size
        Bins of each group, shape (group,) or (unit, group).
    """
    others = np.maximum(size - 1, 0) + 2 * PRIOR
    q_of_spike = np.where(counts > 0, (counts - 1 + PRIOR) / others, 1.0)
    q_of_gap = np.where(counts < size, (counts + PRIOR) / others, 0.0)
    return xlogy(counts, q_of_spike) + xlog1py(size - counts, -q_of_gap)


def evidence_of_inputs(
    spikes: Int[np.ndarray, "unit input"],
    size: Num[np.ndarray, " input"],
    condition: Int[np.ndarray, " input"],
    n_conditions: int,
    *,
    lattice: bool,
) -> Evidence:
    r"""Compute the statistics of inputs of several bins, or of trials in time.

    The variance of a count is :math:`M_c / (M_c - 1) \sum_i (S_i - n_c m_i / w_c)^2`; NaN with one input. The inflation
    is :math:`D = \frac{L - 1}{M - 1} \cdot \frac{M}{L} \sum_i e_i^2 / (L p (1 - p))` in bins and
    :math:`D = \frac{M}{M - 1} \sum_i e_i^2 / n` in time, with :math:`e_i = S_i - n m_i / L`.

    Parameters
    ----------
    spikes
        Spikes of each unit in each input, shape (unit, input).
    size
        Bins or seconds of each input, shape (input,).
    condition
        Condition of each input, shape (input,).
    n_conditions
        Number of conditions.
    lattice
        Whether sizes are bins.
    """
    counts = _sums(spikes, condition, n_conditions)
    sizes, inputs = (_sums(each[None], condition, n_conditions)[0] for each in (size, np.ones(size.size)))
    n, total, m = counts.sum(axis=1), float(size.sum()), size.size
    apart = (spikes - (counts / np.maximum(sizes, 1e-300))[:, condition] * size) ** 2
    deviation = ((spikes - (n / total)[:, None] * size) ** 2).sum(axis=1)
    alone = ratio(inputs, np.maximum(inputs - 1, 0))
    mean_square = deviation * m / (m - 1) if m > 1 else np.full(len(n), np.nan)
    independent = n * (1 - n / total) * total / (total - 1) if lattice else n
    inflation = ratio(mean_square, independent) if has_repeats(condition) else np.full(len(n), np.nan)
    enough = _expects_enough(n, sizes, inflation, lattice=lattice)
    options = {"lattice": lattice}
    permutation_p = np.full(len(n), np.nan)
    if not enough.all():
        permutation_p[~enough] = chance.input_dispersion_tests(spikes[~enough], size, condition, **options)[1]
    return Evidence(
        counts=counts,
        size=sizes,
        lattice=lattice,
        spread=alone * _sums(apart, condition, n_conditions),
        spread_of_all=mean_square,
        inflation=inflation,
        permutation_p=permutation_p,
        enough=enough,
        rate_cv=left_out(spikes, size, n[:, None] - spikes, total - size, **options).sum(axis=1),
        label_cv=left_out(spikes, size, counts[:, condition] - spikes, sizes[condition] - size, **options).sum(axis=1),
        saturated=np.zeros(len(n)) if lattice else log_likelihood(spikes, size, lattice=False).sum(axis=1),
    )


def _expects_enough(
    n: Num[np.ndarray, " unit"], size: Num[np.ndarray, " condition"], inflation: PerUnit, *, lattice: bool
) -> Bool[np.ndarray, " unit"]:
    """Return whether the expected spikes and empty bins of every condition suffice, each discounted for the others of its input."""
    smallest, total = np.where(size > 0, size, np.inf).min(initial=np.inf), max(float(size.sum()), 1e-300)
    rate = n / total
    fewer = np.minimum(rate, 1 - rate) if lattice else rate
    return smallest * fewer >= ENOUGH_EXPECTED * np.maximum(inflation, 1.0)


def _sums(
    values: Num[np.ndarray, "unit input"], code: Int[np.ndarray, " input"], n_codes: int
) -> Float[np.ndarray, "unit code"]:
    """Sum values by code; memory grows with inputs plus codes, not with their product."""
    sums = np.zeros((len(values), n_codes))
    order = np.argsort(code, kind="stable")
    begin = np.flatnonzero(np.diff(code[order], prepend=-1))
    sums[:, code[order][begin]] = np.add.reduceat(values[:, order], begin, axis=1)
    return sums
