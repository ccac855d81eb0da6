"""What is held fixed when chance is asked: how many spikes a unit has in how many bins."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
from jaxtyping import Float, Int, Num

from ann2neo.errors import AnalysisError

Spikes = Int[np.ndarray, "unit stretch"]
Bins = Int[np.ndarray, " stretch"]
Durations = Float[np.ndarray, " stretch"]


def check_spikes(n: Num[np.ndarray, ...], bins: Num[np.ndarray, ...] | int | None = None) -> None:
    """Refuse spike counts that no arrangement of at most one spike per bin can have.

    Parameters
    ----------
    n
        Numbers of spikes.
    bins
        Bins that hold them, broadcast against ``n``; None where the source has no bins.

    Raises
    ------
    AnalysisError
        If a count is negative or larger than its bins.

    Examples
    --------
    >>> check_spikes(np.array([0, 3]), 3)
    """
    if n.size and n.min() < 0:
        raise AnalysisError(f"A unit has {n.min()} spikes.", "Chance cannot be computed.", "Give counts of at least 0.")
    if bins is not None and np.any(n > np.asarray(bins)):
        raise AnalysisError(
            f"A unit has more spikes than bins: {int(np.max(n - np.asarray(bins)))} too many.",
            "A bin holds at most one spike, so chance cannot be computed.",
            "Count spikes and bins over the same stretches, windows and passes.",
        )


def look_up(
    function: Callable[[int, Hashable], float], n: Spikes, size: np.ndarray
) -> Float[np.ndarray, "unit stretch"]:
    """Evaluate ``function(n, size)`` once for each distinct pair and spread the values.

    Units share few distinct counts, so that a slow scalar function (kept in a cache) is fast over many units, and the
    value of a unit does not depend on the units beside it.

    Parameters
    ----------
    function
        Value for one count of spikes in one stretch.
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    size
        Bins or duration of each stretch, shape (stretch,).

    Examples
    --------
    >>> look_up(lambda n, bins: n / bins, np.array([[1, 2], [2, 2]]), np.array([4, 8]))
    array([[0.25, 0.25],
           [0.5 , 0.25]])
    """
    values = np.empty(n.shape)
    for one in np.unique(size):
        columns = size == one
        distinct, where = np.unique(n[:, columns], return_inverse=True)
        table = np.array([function(int(count), one.item()) for count in distinct], dtype=float)
        values[:, columns] = table[where.reshape(-1, columns.sum())] if distinct.size else 0.0
    return values


def weighted_mean(
    values: Float[np.ndarray, "unit stretch"], weights: Num[np.ndarray, "unit stretch"]
) -> Float[np.ndarray, " unit"]:
    """Average over stretches by weight; NaN where all weights are 0, and a value of weight 0 may be NaN.

    Parameters
    ----------
    values
        One value per unit and stretch, shape (unit, stretch).
    weights
        Non-negative weights, shape (unit, stretch).

    Examples
    --------
    >>> weighted_mean(np.array([[1.0, np.nan], [1.0, 4.0]]), np.array([[2, 0], [1, 2]]))
    array([1., 3.])
    """
    return ratio(np.where(weights > 0, values * weights, 0.0).sum(axis=1), weights.sum(axis=1))


def ratio(over: Num[np.ndarray, "*shape"], under: Num[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Divide, giving NaN where the divisor is 0.

    Parameters
    ----------
    over
        Dividend.
    under
        Divisor of the same shape.

    Examples
    --------
    >>> ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    array([0.5, nan])
    """
    return np.divide(over, under, out=np.full(np.shape(over), np.nan), where=np.asarray(under) != 0)
