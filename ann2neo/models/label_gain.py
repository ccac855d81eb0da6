"""Gain around labels: inputs of one condition whose counts vary more than those of one rate, because each has a gain of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from scipy.special import expit, logit
from scipy.stats import chi2

from ann2neo.models.evidence import log_likelihood
from ann2neo.models.gain import tails_of

PerUnit = Float[np.ndarray, " unit"]
Rates = Float[np.ndarray, "unit condition"]
# Limits of log theta. The lower one, below which there is no gain, is that of an input of one bin, or one spike.
LEAST, MOST = -9.0, 30.0
_ROUNDS, _NEWTON, _STEP = 60, 40, 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts of inputs with a known condition, and numbers of inputs with more than j of them.

    Parameters
    ----------
    n
        Spikes of each unit in each condition, shape (unit, condition).
    total
        Bins, or seconds, of each condition, shape (condition,).
    spikes
        Number of inputs with more than j spikes, by condition, shape (unit, condition, j); in time of all conditions together, shape (unit, 1, j).
    gaps, bins
        Number of inputs with more than j empty bins, and with more than j bins; without any j in time, shapes (unit, condition, j) and (condition, j).
    inputs, size, condition
        In time, spikes of each unit in each input, its seconds and its condition; without any input on bins, shapes (unit, input), (input,) and (input,).
    """

    n: Rates
    total: Float[np.ndarray, " condition"]
    spikes: Int[np.ndarray, "unit _ j"]
    gaps: Int[np.ndarray, "unit condition k"]
    bins: Int[np.ndarray, "condition k"]
    inputs: Int[np.ndarray, "unit input"]
    size: Float[np.ndarray, " input"]
    condition: Int[np.ndarray, " input"]

    @property
    def lattice(self) -> bool:
        """Whether sizes are bins."""
        return self.bins.shape[1] > 0

    @property
    def free(self) -> Bool[np.ndarray, "unit condition"]:
        """Conditions whose rate is to be found: those with a spike, and not one in every bin; the others add nothing to any likelihood."""
        return (self.n > 0) & ((self.n < self.total) | ~np.array(self.lattice))

    def of(self, units: np.ndarray) -> Counts:
        """Select units."""
        chosen = {name: getattr(self, name)[units] for name in ("n", "spikes", "gaps", "inputs")}
        return replace(self, **chosen)

    @property
    def least(self) -> float:
        """Log theta below which there is no gain, shared by all bins or spikes of the largest input."""
        return LEAST - float(np.log(max(self.bins.shape[1], self.spikes.shape[2], 1)))


def counts_of(
    inputs: Int[np.ndarray, "unit input"],
    size: Num[np.ndarray, " input"],
    condition: Int[np.ndarray, " input"],
    *,
    lattice: bool,
) -> Counts:
    """Count inputs by condition and by their numbers of spikes.

    Parameters
    ----------
    inputs
        Spikes of each unit in each input, shape (unit, input).
    size
        Bins, or seconds, of each input, shape (input,).
    condition
        Condition of each input, shape (input,).
    lattice
        Whether sizes are bins.
    """
    code = np.unique(condition, return_inverse=True)[1]
    kinds = np.eye(int(code.max(initial=-1)) + 1)[code]
    units, longest = len(inputs), int(size.max(initial=0)) if lattice else 0
    if lattice:
        tails = [tails_of(inputs[:, code == one], size[code == one]) for one in range(kinds.shape[1])]
        spikes, gaps = (np.zeros((units, len(tails), longest), np.int64) for _ in range(2))
        bins = np.zeros((len(tails), longest), np.int64)
        for place, one in enumerate(tails):
            spikes[:, place, : one.bins.size], gaps[:, place, : one.bins.size] = one.spikes, one.gaps
            bins[place, : one.bins.size] = one.bins
    else:
        highest = np.full(inputs.shape[1], inputs.max(initial=0))
        spikes = tails_of(inputs, highest).spikes[:, None]
        gaps, bins = np.zeros((units, kinds.shape[1], 0), np.int64), np.zeros((kinds.shape[1], 0), np.int64)
    return Counts(
        n=inputs @ kinds,
        total=size @ kinds,
        spikes=spikes,
        gaps=gaps,
        bins=bins,
        inputs=np.zeros((units, 0), np.int64) if lattice else inputs,
        size=np.zeros(0) if lattice else size.astype(np.float64),
        condition=np.zeros(0, np.int64) if lattice else code.astype(np.int64),
    )


def label_gain_columns(
    inputs: Int[np.ndarray, "unit input"],
    size: Num[np.ndarray, " input"],
    condition: Int[np.ndarray, " input"],
    *,
    lattice: bool,
) -> dict[str, Any]:
    """Fit a rate of each condition and one gain, see `ann2neo.models.fit`; NaN where no condition has two inputs, inputs are single bins, and for silent and saturated units.

    Parameters
    ----------
    inputs, size, condition, lattice
        As for `counts_of`.

    Examples
    --------
    >>> inputs = np.array([[1, 9, 2, 8, 15, 30, 4, 26], [5, 6, 5, 4, 19, 21, 20, 18]])
    >>> found = label_gain_columns(inputs, np.ones(8), np.repeat([0, 1], 4), lattice=False)
    >>> found["label_gain_var"].round(2), found["label_gain_lr_p"].round(3)
    (array([0.38, 0.  ]), array([0. , 0.5]))
    """
    name, repeats = "rho" if lattice else "var", np.unique(condition, return_counts=True)[1]
    columns: dict[str, Any] = {
        f"label_gain_{each}": np.full(len(inputs), np.nan) for each in (name, f"{name}_se", "lr_p", "loglik", "aic")
    }
    k = repeats.size + 1
    columns["label_gain_k"] = np.full(len(inputs), k)
    n = inputs.sum(axis=1)
    several = repeats.max(initial=0) > 1 and (not lattice or size.max(initial=0) > 1)
    usable = np.flatnonzero((n > 0) & (n < size.sum() if lattice else True) & several)
    if not usable.size:
        return columns
    own = counts_of(inputs[usable], size, condition, lattice=lattice)
    without = log_likelihood(own.n, own.total, lattice=lattice).sum(axis=1)
    theta, error, found = _estimates(own, without)
    if lattice:
        whole, limit = _all_or_none(inputs[usable], size, condition)
        whole &= limit > without
        found, error = np.where(whole, limit, found), np.where(whole, np.nan, error)
        estimate = np.where(whole, 1.0, theta / (1 + theta))
    else:
        estimate = theta
    filled = {
        name: estimate,
        f"{name}_se": error * (estimate * (1 - estimate) if lattice else estimate),
        "lr_p": np.where(theta > 0, chi2.sf(2 * (found - without), 1) / 2, 0.5),
        "loglik": found,
        "aic": 2 * k - 2 * found,
    }
    for each, values in filled.items():
        columns[f"label_gain_{each}"][usable] = values
    return columns


def _all_or_none(
    inputs: Int[np.ndarray, "unit input"], size: Num[np.ndarray, " input"], condition: Int[np.ndarray, " input"]
) -> tuple[Bool[np.ndarray, " unit"], PerUnit]:
    """Return which units spike in all bins of an input or in none, and the likelihood of rho = 1, where an input is one draw."""
    kinds = np.eye(int(condition.max()) + 1)[condition]
    found = log_likelihood((inputs == size) @ kinds, kinds.sum(axis=0), lattice=True).sum(axis=1)
    return ((inputs == 0) | (inputs == size)).all(axis=1), found


def _estimates(own: Counts, without: PerUnit) -> tuple[PerUnit, PerUnit, PerUnit]:
    """Maximize the likelihood over log theta, with the rates that are best for it; return theta, the error of its logarithm, and the likelihood.

    Theta is 0 where no theta above ``own.least`` has a larger likelihood than none.
    """
    at, damping = np.full(len(without), -2.0), np.full(len(without), 1e-3)
    value, rates = _profile(own, at, _start(own))
    active = np.ones(at.size, np.bool_)
    for _ in range(_ROUNDS):
        units = np.flatnonzero(active)
        if not units.size:
            break
        slope, curvature = _along(own.of(units), at[units], value[units], rates[units])
        step = slope / (np.where(curvature > 0, curvature, np.abs(curvature) + 1) + damping[units])
        there = np.clip(at[units] + np.clip(step, -1.5, 1.5), own.least, MOST)
        reached, better = _profile(own.of(units), there, rates[units])
        up, moved = reached >= value[units], np.abs(there - at[units])
        at[units[up]], value[units[up]], rates[units[up]] = there[up], reached[up], better[up]
        damping[units] = np.where(up, damping[units] / 10, damping[units] * 10)
        active[units] = (moved > 1e-7) & (damping[units] < 1e12)
    curvature = _along(own, at, value, rates)[1]
    none = (at <= own.least + 0.01) | (value <= without)
    inside = ~none & (at < MOST) & (curvature > 0)
    error = np.where(inside, 1 / np.sqrt(np.where(inside, curvature, 1.0)), np.nan)
    return np.where(none, 0.0, np.exp(at)), error, np.maximum(value, without)


def _start(own: Counts) -> Rates:
    """Rates without a gain, as logits or logarithms."""
    share = np.where(own.free, own.n / own.total, 0.5)
    return logit(share) if own.lattice else np.log(share)


def _along(own: Counts, at: PerUnit, value: PerUnit, rates: Rates) -> tuple[PerUnit, PerUnit]:
    """Slope and negative curvature of the likelihood along log theta, by central differences."""
    above, below = (_profile(own, at + step, rates)[0] for step in (_STEP, -_STEP))
    return (above - below) / (2 * _STEP), (2 * value - above - below) / _STEP**2


def _profile(own: Counts, at: PerUnit, rates: Rates) -> tuple[PerUnit, Rates]:
    """Likelihood at log theta with the best rates, and these, by Newton's method from the given ones."""
    theta, law = np.exp(at), _on_bins if own.lattice else _in_time
    value, slope, curvature = law(own, theta, rates)
    for _ in range(_NEWTON):
        step = np.where(own.free, np.clip(slope / np.maximum(curvature, 1e-300), -1.0, 1.0), 0.0)
        rates = rates + step
        value, slope, curvature = law(own, theta, rates)
        if np.abs(step).max(initial=0.0) < 1e-8:
            break
    return value, rates


def _on_bins(own: Counts, theta: PerUnit, rates: Rates) -> tuple[PerUnit, Rates, Rates]:
    """Beta-binomial likelihood, with slope and negative curvature along logits (the latter where the slope is 0)."""
    mu, added = expit(rates)[..., None], theta[:, None, None] * np.arange(own.bins.shape[1])
    free = own.free
    each = own.spikes * np.log(mu + added) + own.gaps * np.log1p(added - mu) - own.bins * np.log1p(added)
    slope = (own.spikes / (mu + added) - own.gaps / (1 - mu + added)).sum(axis=2)
    curved = (own.spikes / (mu + added) ** 2 + own.gaps / (1 - mu + added) ** 2).sum(axis=2)
    scale = (mu * (1 - mu))[..., 0]
    return np.where(free, each.sum(axis=2), 0.0).sum(axis=1), np.where(free, scale * slope, 0.0), scale**2 * curved


def _in_time(own: Counts, theta: PerUnit, rates: Rates) -> tuple[PerUnit, Rates, Rates]:
    """Gamma-Poisson likelihood of spike times, with slope and negative curvature along log rates."""
    free, kinds = own.free, np.eye(own.total.size)[own.condition]
    rate = np.where(free, np.exp(np.where(free, rates, 0.0)), 0.0)
    mean, added = rate[:, own.condition] * own.size, theta[:, None] * np.arange(own.spikes.shape[2])
    over = 1 + theta[:, None] * mean
    value = (own.spikes[:, 0] * np.log1p(added)).sum(axis=1) + np.where(free, own.n * rates, 0.0).sum(axis=1)
    value -= ((own.inputs + 1 / theta[:, None]) * np.log(over)).sum(axis=1)
    slope = ((own.inputs - mean) / over) @ kinds
    return value, slope, (mean * (1 + theta[:, None] * own.inputs) / over**2) @ kinds
