"""Halves and samples: which inputs sort the units and which are drawn, and which units of many are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.cluster.hierarchy import leaves_list, linkage

SEED = 0


def sorting_half(trials: pd.DataFrame) -> Bool[np.ndarray, " trial"]:
    """Choose every other input of each label to sort by; the remaining ones are drawn, so that an order that chance made is not seen in them.

    An input has the same half in all passes, and in every arrangement of the trials. A label with one input has it drawn.

    Examples
    --------
    >>> sorting_half(pd.DataFrame({"trial": [0, 1, 2, 3, 4], "label": [5, 5, 7, 5, 5]})).tolist()
    [False, True, False, False, True]
    """
    inputs = trials.drop_duplicates("trial").sort_values("trial")
    place = inputs.groupby("label").cumcount() if "label" in inputs else pd.Series(np.arange(len(inputs)), inputs.index)
    half = dict(zip(inputs["trial"], place % 2 == 1))
    return trials["trial"].map(half).to_numpy(bool)


def sample(n: int, at_most: int | None) -> Int[np.ndarray, " place"]:
    """Choose at most ``at_most`` of n places, one from each stretch of equal length, ascending and the same every time.

    Drawn by chance within its stretch, a sample does not take the same row and column of every channel.

    Examples
    --------
    >>> sample(3, 5), sample(1000, 4)
    (array([0, 1, 2]), array([159, 317, 510, 754]))
    """
    if at_most is None or n <= at_most:
        return np.arange(n)
    edges = np.linspace(0, n, at_most + 1).astype(np.int64)
    return edges[:-1] + np.floor(np.random.default_rng(SEED).random(at_most) * np.diff(edges)).astype(np.int64)


def by_tuning(rates: Float[np.ndarray, "label unit"], known: Bool[np.ndarray, " label"]) -> Int[np.ndarray, " unit"]:
    """Sort units by the label for which they spike most, the most active first; those that spike for all labels alike come last.

    Parameters
    ----------
    rates
        Rate of each unit for each label, in the inputs that sort, shape (label, unit).
    known
        Whether any of these inputs has the label.
    """
    if known.sum() < 2:
        return np.arange(rates.shape[1])
    of_known = np.where(known[:, None], rates, -np.inf)
    untuned = rates[known].max(axis=0) == rates[known].min(axis=0)
    return np.lexsort((-of_known.max(axis=0), of_known.argmax(axis=0), untuned))


def by_similarity(rates: Float[np.ndarray, "unit column"]) -> Int[np.ndarray, " unit"]:
    """Sort units such that neighbours are alike: leaves of an average-linkage tree of 1 - Pearson's correlation, turned for the shortest way.

    Units that never change come last.

    References
    ----------
    .. [1] Bar-Joseph, Gifford & Jaakkola, Fast optimal leaf ordering for hierarchical clustering, Bioinformatics 2001, doi:10.1093/bioinformatics/17.suppl_1.S22.
    """
    changing = np.ptp(rates, axis=1) > 0 if rates.shape[1] else np.zeros(len(rates), bool)
    some, rest = np.flatnonzero(changing), np.flatnonzero(~changing)
    if some.size < 3:
        return np.concatenate([some, rest])
    tree = linkage(rates[some], "average", metric="correlation", optimal_ordering=True)
    return np.concatenate([some[leaves_list(tree)], rest])
