"""How much the spikes of a unit can tell: silent, saturated, too few, or good."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Shaped

MIN_SPIKES = 10
"""Spikes, and empty bins, that a good unit has at least, where nothing else is asked for."""
WANTING = ("silent", "saturated", "too_few")
"""Qualities of units that are not good."""


def quality(
    n_spikes: Int[np.ndarray, " unit"], n_bins: int | None, *, min_spikes: int = MIN_SPIKES
) -> Shaped[np.ndarray, " unit"]:
    """Call a unit silent without spikes, saturated with one in every bin, too_few below ``min_spikes`` spikes or empty bins, else good.

    A unit with few empty bins has no more information than one with few spikes: spikes and gaps change places.

    Parameters
    ----------
    n_spikes
        Spikes of each unit, shape (unit,).
    n_bins
        Bins in which they were counted; None where the source has no bins.
    min_spikes
        Spikes, and empty bins, that a good unit has at least.

    Examples
    --------
    >>> quality(np.array([0, 3, 20, 12, 10]), 20).tolist()
    ['silent', 'too_few', 'saturated', 'too_few', 'good']
    >>> quality(np.array([0, 20]), None).tolist()
    ['silent', 'good']
    """
    empty = np.full(n_spikes.size, np.iinfo(np.int64).max) if n_bins is None else n_bins - n_spikes
    few = np.minimum(n_spikes, empty) < min_spikes
    return np.select([n_spikes == 0, empty == 0, few], WANTING, "good")
