"""How far the rate of a label strays from that of all trials if trials are dealt to labels at random."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Float, Int, Num
from scipy import sparse

_ENUMERATED = 8192
_DRAWS = 2048
# With more trials than this in a label, and outside it, its duration hardly differs from draw to draw.
_MANY = 128


def sd_of_dealt_rates(
    counts: Int[np.ndarray, "unit trial"], sizes: Num[np.ndarray, " trial"], n_trials: Int[np.ndarray, " label"]
) -> Float[np.ndarray, "unit label"]:
    r"""Compute the standard deviation of the rate of each label when trials, with their durations, are dealt to labels.

    Of M trials with counts S and durations d a label gets m, and has the rate :math:`\sum S_i / \sum d_i` over these. Trials of
    equal duration give it the variance :math:`\mathrm{var}(S) (M - m) / (m (M - 1)) / d^2` exactly. Else the duration of the
    label differs with its trials: all ways to choose them are counted where there are at most 8,192; otherwise the
    linear term, with :math:`S_i - r d_i` in place of S and the mean duration for d, has a known variance, and what the
    rate adds to it is estimated from 2,048 draws (fixed seed) that both share. That last step is left out where the
    label has, and lacks, more than 128 trials. NaN for labels without trials.

    Parameters
    ----------
    counts
        Spikes of each unit in each trial, shape (unit, trial).
    sizes
        Duration of each trial, shape (trial,).
    n_trials
        Trials of each label, shape (label,).

    See Also
    --------
    ann2neo.population.tuning, ann2neo.population.psth

    References
    ----------
    Cochran (1977), Sampling Techniques, 3rd ed., ch. 6 (ratio estimators), ISBN 978-0-471-16240-7.

    Examples
    --------
    >>> sd_of_dealt_rates(np.array([[2, 0, 1]]), np.array([1.0, 1.0, 2.0]), np.array([1, 2])).round(3)
    array([[0.85 , 0.314]])
    """
    whole = counts.shape[1]
    spread = np.full((len(counts), n_trials.size), np.nan)
    if not whole or not sizes.sum() > 0:
        return spread
    mean_size, rate = sizes.mean(), counts.sum(axis=1) / sizes.sum()
    deviations = counts - rate[:, None] * sizes
    variance = deviations.var(axis=1)
    # Durations that others compute from borders are equal but for rounding.
    equal = bool(sizes.max() - sizes.min() <= 1e-9 * sizes.max())
    for m in np.unique(n_trials[n_trials > 0]):
        sd = np.sqrt(variance * (whole - m) / (m * max(whole - 1, 1))) / mean_size
        fewer = min(int(m), whole - int(m))
        if not equal and 0 < fewer <= _MANY:
            # The sums of the trials that are chosen follow from those of the others; deviations add up to 0.
            chosen = _choices(whole, fewer)
            away, time = deviations @ chosen, sizes @ chosen
            if fewer < m:
                away, time = -away, sizes.sum() - time
            # The rate less that of all trials, and its linear term; both are 0 where a unit has one rate.
            seen, linear = (away / time).std(axis=1), (away / (m * mean_size)).std(axis=1)
            exact = comb(whole, int(m)) <= _ENUMERATED
            sd = seen if exact else sd * np.divide(seen, linear, out=np.ones_like(seen), where=linear > 0)
        spread[:, n_trials == m] = sd[:, None]
    return spread


@lru_cache(maxsize=64)
def _choices(whole: int, m: int) -> sparse.csc_array:
    """Mark m chosen trials of the whole, shape (trial, draw): all ways to choose them, or as many as are drawn."""
    if comb(whole, m) <= _ENUMERATED:
        chosen = np.array(list(combinations(range(whole), m)))
    else:
        rng = np.random.default_rng((whole, m))
        chosen = np.stack([rng.choice(whole, m, replace=False) for _ in range(_DRAWS)])
    borders = np.arange(len(chosen) + 1) * m
    return sparse.csc_array((np.ones(chosen.size), chosen.ravel(), borders), shape=(whole, len(chosen)))
