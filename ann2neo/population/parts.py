"""The parts of rates over trials: means of labels, deviations from them, and Pearson's correlation of either."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from ann2neo.population.trials import LabelledTrials


def sorted_by_label(trials: LabelledTrials) -> tuple[Int[np.ndarray, " trial"], Int[np.ndarray, " label"]]:
    """Order trials by label, and say where each label begins."""
    return np.argsort(trials.codes, kind="stable"), np.cumsum(trials.n_trials) - trials.n_trials


def label_means(
    ordered: Float[np.ndarray, "unit trial"], first: Int[np.ndarray, " label"], trials: LabelledTrials
) -> Float[np.ndarray, "unit label"]:
    """Average trials that are ordered by label over each label."""
    return np.add.reduceat(ordered, first, axis=1) / trials.n_trials


def deviations(rates: Float[np.ndarray, "unit trial"], trials: LabelledTrials) -> Float[np.ndarray, "unit trial"]:
    """Subtract the mean of its label from each trial."""
    order, first = sorted_by_label(trials)
    return rates - label_means(rates[:, order], first, trials)[:, trials.codes]


def noise_null_sd(
    residuals: Float[np.ndarray, "row_unit trial"],
    others: Float[np.ndarray, "column_unit trial"],
    first: Int[np.ndarray, " label"],
    trials: LabelledTrials,
) -> Float[np.ndarray, "row_unit column_unit"]:
    """Return the root of sum_g S_g T_g / (m_g - 1) / (S T), where S_g and T_g are the two units' sums of squares within label g."""
    s, t = (np.add.reduceat(each**2, first, axis=1) for each in (residuals, others))
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (s / np.maximum(trials.n_trials - 1, 1)) @ t.T / np.outer(s.sum(axis=1), t.sum(axis=1))
    return np.sqrt(variance)


def pearson(
    a: Float[np.ndarray, "row_unit sample"], b: Float[np.ndarray, "column_unit sample"], *, centred: bool = False
) -> Float[np.ndarray, "row_unit column_unit"]:
    """Correlate every row of one array with every row of the other; NaN where a row is constant.

    Examples
    --------
    >>> pearson(np.array([[0.0, 1.0, 2.0]]), np.array([[2.0, 1.0, 0.0], [5.0, 5.0, 5.0]])).round(2)
    array([[-1., nan]])
    """
    first = _standardized(a, centred)
    second = first if a is b else _standardized(b, centred)
    return np.clip(first @ second.T, -1, 1)


def _standardized(values: Float[np.ndarray, "unit sample"], centred: bool) -> Float[np.ndarray, "unit sample"]:
    """Scale each row to mean 0 and length 1; a row that is constant up to rounding becomes NaN."""
    deviations = values if centred else values - values.mean(axis=1, keepdims=True)
    length = np.sqrt((deviations**2).sum(axis=1, keepdims=True))
    rounding = 1e-12 * np.abs(values).max(axis=1, keepdims=True, initial=0.0) * np.sqrt(values.shape[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(length > rounding, deviations / length, np.nan)
