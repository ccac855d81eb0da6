"""Limits of the measures for a unit that spikes in each bin independently with probability p, in closed form.

A bin holds at most one spike, so the limits are Bernoulli's, not Poisson's (those are the limits p -> 0). Intervals are
in bins.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ann2neo.chance.axes import by_annotation
from ann2neo.chance.margins import ratio

Probabilities = Float[np.ndarray, "*shape"]


@by_annotation
def bernoulli_isi_mean(p: Probabilities) -> Probabilities:
    """Return the mean interval in bins, 1 / p; NaN at 0.

    Parameters
    ----------
    p
        Probability of a spike in a bin.

    See Also
    --------
    ann2neo.chance.expected_isi_mean, ann2neo.chance.bernoulli_isi_var

    Examples
    --------
    >>> bernoulli_isi_mean(np.array([0.2]))
    array([5.])
    """
    return ratio(np.ones_like(p), p)


@by_annotation
def bernoulli_isi_var(p: Probabilities) -> Probabilities:
    """Return the variance of the intervals in squared bins, (1 - p) / p^2; NaN at 0.

    Parameters
    ----------
    p
        Probability of a spike in a bin.

    See Also
    --------
    ann2neo.chance.expected_isi_var, ann2neo.chance.bernoulli_isi_mean

    Examples
    --------
    >>> bernoulli_isi_var(np.array([0.5]))
    array([2.])
    """
    return ratio(1 - p, p**2)


@by_annotation
def bernoulli_cv(p: Probabilities) -> Probabilities:
    """Return the coefficient of variation of the intervals, sqrt(1 - p).

    Parameters
    ----------
    p
        Probability of a spike in a bin.

    See Also
    --------
    ann2neo.chance.expected_cv, ann2neo.chance.bernoulli_fano

    Examples
    --------
    >>> bernoulli_cv(np.array([0.75]))
    array([0.5])
    """
    return np.sqrt(1 - p)


@by_annotation
def bernoulli_cv2(p: Probabilities) -> Probabilities:
    """Return CV2, with q = 1 - p equal to ``q + (p / q)^2 (artanh q - q)``.

    Parameters
    ----------
    p
        Probability of a spike in a bin.

    See Also
    --------
    ann2neo.chance.expected_cv2

    Examples
    --------
    >>> bernoulli_cv2(np.array([0.2, 0.5, 1.0])).round(3)
    array([0.819, 0.549, 0.   ])
    """
    q = 1 - p
    small = q < 1e-3
    safe = np.clip(q, 1e-3, np.nextafter(1.0, 0.0))
    # (artanh q - q) / q^2 = q / 3 + q^3 / 5 + ... where the difference would lose its digits
    return q + p**2 * np.where(small, q / 3 + q**3 / 5, (np.arctanh(safe) - safe) / safe**2)


@by_annotation
def bernoulli_lv(p: Probabilities) -> Probabilities:
    """Return Lv, with q = 1 - p equal to ``1 - 2 p + 2 (p / q)^2 (-ln p - q)``.

    Parameters
    ----------
    p
        Probability of a spike in a bin.

    See Also
    --------
    ann2neo.chance.expected_lv

    Examples
    --------
    >>> bernoulli_lv(np.array([0.2, 0.5, 1.0])).round(3)
    array([0.701, 0.386, 0.   ])
    """
    q = 1 - p
    small = q < 1e-3
    safe = np.clip(q, 1e-3, np.nextafter(1.0, 0.0))
    # (-ln p - q) / q^2 = 1 / 2 + q / 3 + q^2 / 4 + ... where the difference would lose its digits
    series = 0.5 + q / 3 + q**2 / 4 + q**3 / 5
    return 1 - 2 * p + 2 * p**2 * np.where(small, series, (-np.log1p(-safe) - safe) / safe**2)


@by_annotation
def bernoulli_fano(p: Probabilities) -> Probabilities:
    """Return the Fano factor of counts in equal windows, 1 - p.

    Parameters
    ----------
    p
        Probability of a spike in a bin.

    See Also
    --------
    ann2neo.chance.expected_fano, ann2neo.chance.bernoulli_cv

    Examples
    --------
    >>> bernoulli_fano(np.array([0.25]))
    array([0.75])
    """
    return 1 - p
