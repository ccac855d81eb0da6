"""How many units are active at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import quantities as pq
from jaxtyping import Float, Int

from ann2neo.arguments import check_number
from ann2neo.population.ensemble import Choice, bin_size_of, check_bins, choose, facts
from ann2neo.population.quiet import quiet_elephant
from ann2neo.population.sizes import MAX_BYTES, say_size


def complexity(
    spikes: Any,
    *,
    bin_size: pq.Quantity | None = None,
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> pd.DataFrame:
    """Count in how many bins exactly 0, 1, 2, ... units are active.

    Elephant's `Complexity` of binary trains: a unit is active in a bin if it has at least one spike there. ``expected`` is exact for units that are
    independent of each other, each active in as many bins of a segment as it was, at random places: the distribution of a sum of Bernoulli variables
    with unequal probabilities, times the number of bins. More bins with many active units than expected, and more with few, mean that units are
    driven together. The order of inputs plays no part.

    Parameters
    ----------
    spikes
        A `Recording`, a neo.Block, a neo.Segment or a list of neo.SpikeTrain.
    bin_size
        Width of a bin; on a recording its own bin if not given, else a whole multiple of it. An incomplete last bin is dropped.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all.
    seed
        Seed of the draw.
    max_bytes
        Memory that may be used.

    Returns
    -------
    pandas.DataFrame
        A row for each ``complexity`` from 0 to the number of units: ``n_bins``, ``share`` of all bins, ``expected`` number of bins.

    Raises
    ------
    AnalysisError
        If spikes in continuous time come without a bin size, or more memory is needed than allowed.

    See Also
    --------
    ann2neo.population.time_histogram

    References
    ----------
    Grün, Abeles, Diesmann (2008), doi:10.1007/978-3-540-88853-6_8.

    Examples
    --------
    >>> import ann2neo
    >>> complexity(ann2neo.from_array(np.array([[1, 1], [0, 0], [1, 1], [0, 0]], bool)))[["complexity", "n_bins", "expected"]]
       complexity  n_bins  expected
    0           0       2       1.0
    1           1       0       2.0
    2           2       2       1.0
    """
    chosen = choose(spikes, layer, units, seed, together=True)
    width = bin_size_of(chosen, bin_size)
    check_number(max_bytes, "max_bytes", above=0, such_as=MAX_BYTES)
    cure = f"Use units={max(1, int(max_bytes / chosen.train_bytes))} for a random subset that fits, or allow more with max_bytes."
    say_size(chosen.train_bytes * chosen.n_units, max_bytes, f"the spike trains of {chosen.n_units:,} units", cure)
    n_bins, expected = np.zeros(chosen.n_units + 1, np.int64), np.zeros(chosen.n_units + 1)
    for trains in chosen.segments():
        found, active, length = _complexity(trains, width)
        n_bins[: found.size] += found
        expected += length * _sum_of_bernoulli(active / length)
    table = pd.DataFrame(
        {"complexity": np.arange(n_bins.size), "n_bins": n_bins, "share": n_bins / n_bins.sum(), "expected": expected}
    )
    table.attrs = facts(
        chosen, bin_size_ms=float(width), units={"n_bins": "bins", "expected": "bins"}, engine="elephant"
    )
    return table


def _complexity(
    trains: list[Any], width: pq.Quantity
) -> tuple[Int[np.ndarray, " complexity"], Int[np.ndarray, " unit"], int]:
    """Return Elephant's histogram, in how many bins each unit is active, and the number of bins."""
    check_bins(trains, width)
    with quiet_elephant():
        from elephant.conversion import BinnedSpikeTrain
        from elephant.statistics import Complexity

        found = np.asarray(Complexity(trains, bin_size=width, binary=True).complexity_histogram, np.int64)
        binned: Any = BinnedSpikeTrain(trains, bin_size=width).binarize()
        return found, np.asarray(binned.get_num_of_spikes(axis=1), np.int64), int(binned.n_bins)


def _sum_of_bernoulli(p: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " complexity"]:
    """Compute the distribution of the number of successes in independent trials of unequal probability, by adding one trial at a time."""
    distribution = np.zeros(p.size + 1)
    distribution[0] = 1.0
    for n, probability in enumerate(p, start=1):
        distribution[1 : n + 1] = distribution[1 : n + 1] * (1 - probability) + distribution[:n] * probability
        distribution[0] *= 1 - probability
    return distribution
