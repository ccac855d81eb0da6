"""Differences between two ways of treating the same network: their mean over settings, its interval, and a test that flips signs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

import numpy as np
from jaxtyping import Float

MAX_ENUMERATED = 16
N_DRAWN = 99_999


def sign_flip_p(differences: Float[np.ndarray, " network"], *, seed: int = 0) -> float:
    """Probability that differences, each as likely to have the other sign, have a mean at least as far from 0 as they have.

    All signs are enumerated for at most 16 networks; else 99,999 are drawn and the observed ones are counted with them. 1 where all differences are 0, NaN where
    there are none or one is NaN.

    Parameters
    ----------
    differences
        One paired difference per network, shape (network,).
    seed
        Seed of the signs that are drawn; without effect where all are enumerated.

    References
    ----------
    Fisher (1935), The Design of Experiments, section 21. Phipson and Smyth (2010), doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> sign_flip_p(np.array([1.0, 2.0, 3.0, 1.5, 2.5]))  # 2 of the 32 arrangements
    0.0625
    """
    n = differences.size
    if n == 0 or np.isnan(differences).any():
        return math.nan
    if n <= MAX_ENUMERATED:
        signs = np.array(list(product((-1.0, 1.0), repeat=n)))
    else:
        signs = np.random.default_rng(seed).choice((-1.0, 1.0), (N_DRAWN, n))
    extreme = int((np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9 * np.abs(differences).sum()).sum())
    return extreme / len(signs) if n <= MAX_ENUMERATED else (extreme + 1) / (len(signs) + 1)


def mean_within(
    differences: Mapping[str, Float[np.ndarray, " network"]], *, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Mean over settings of their mean difference, and the interval that the spread within settings gives it.

    Settings are fixed and weigh the same; networks are drawn within them. With s_i^2 and n_i of setting i (ddof 1) the variance is the mean of s_i^2 / n_i over
    settings, over their number; Student's t with sum(n_i - 1) degrees of freedom. The interval is NaN where a setting has one network.

    Parameters
    ----------
    differences
        One paired difference per network, for each setting.
    confidence
        Probability that the interval covers.

    Examples
    --------
    >>> mean, low, high = mean_within({"a": np.array([1.0, 3.0]), "b": np.array([5.0, 7.0])})
    >>> round(mean, 3), round(low, 3), round(high, 3)
    (4.0, 0.958, 7.042)
    """
    from scipy.stats import t

    groups = list(differences.values())
    mean = float(np.mean([group.mean() for group in groups]))
    freedom = sum(group.size - 1 for group in groups)
    if min(group.size for group in groups) < 2:
        return mean, math.nan, math.nan
    error = math.sqrt(sum(group.var(ddof=1) / group.size for group in groups)) / len(groups)
    reach = float(t.isf(0.5 - confidence / 2, freedom)) * error
    return mean, mean - reach, mean + reach
