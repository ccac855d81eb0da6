r"""Mean of squared sums over sizes where inputs of unequal size are dealt to labels: a label's size changes with what is dealt to it.

A label that gets m of M inputs gets the set S, uniformly at random, of size :math:`w = \sum_{i \in S} z_i`. For numbers :math:`e_i` of the inputs

.. math:: \mathrm{E}\,\frac{(\sum_{i \in S} e_i)^2}{w} = \sum_i A_i e_i^2 + \sum_{i \ne j} B_{ij} e_i e_j

with A and B the means of 1 / w over the sets that hold i, or i and j, times their chance. With :math:`1 / w = \int_0^\infty e^{-w s} ds` they are
coefficients of :math:`\prod_i (1 + x e^{-s z_i})`, each a sum over a circle through the saddle point: no set is listed, and none is drawn.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from jaxtyping import Complex, Float, Int, Num
from scipy.special import expit, gammaln

# Distinct sizes that are told apart; beyond, those that are nearest in ratio count as one of their mean size.
MOST_SIZES = 128
# Distance of the points of the integral over log s; its error falls as exp(-pi^2 / distance).
_STEP = 0.4
_SMALL = 1e-11
# Points on a circle in standard deviations of the number of inputs there, beyond which chances are below 1e-12.
_AROUND = 16.0


def mean_squares_over_size(
    numbers: Float[np.ndarray, "unit input"], size: Num[np.ndarray, " input"], inputs: Int[np.ndarray, " label"]
) -> Float[np.ndarray, " unit"]:
    """Expect the sum over labels of the squared sum of the numbers of a label's inputs over its size, inputs being dealt at random.

    Exact to 1e-8 where there are at most 128 different sizes. Where there are more, sizes that are nearest in ratio count as one:
    then within 0.1 % of what all of them give.

    Parameters
    ----------
    numbers
        A number of each input, shape (unit, input).
    size
        Bins or duration of each input, positive, shape (input,).
    inputs
        Inputs of each label, shape (label,).

    Examples
    --------
    >>> mean_squares_over_size(np.array([[1.0, 2.0, 3.0]]), np.array([1, 2, 4]), np.array([1, 2])).round(6)
    array([5.205556])
    >>> by_hand = (1 / 1 + 25 / 6) + (4 / 2 + 16 / 5) + (9 / 4 + 9 / 3)  # the three ways to deal
    >>> round(by_hand / 3, 6)
    5.205556
    """
    code, sizes, n_inputs = _classes(size.astype(np.float64))
    own, pairs = _weights(tuple(sizes.tolist()), tuple(n_inputs.tolist()), tuple(np.sort(inputs).tolist()))
    # Row by row, and not by BLAS, whose last bits depend on the rows beside: the numbers of a unit are its own.
    by_size = np.argsort(code, kind="stable")
    sums = np.add.reduceat(
        np.ascontiguousarray(numbers[:, by_size]), np.searchsorted(code[by_size], np.arange(sizes.size)), axis=1
    )
    found = (np.ascontiguousarray(numbers) ** 2 * (own - np.diag(pairs))[code]).sum(axis=1)
    for k in range(sizes.size):
        found += sums[:, k] * (sums * pairs[k]).sum(axis=1)
    return found


def _classes(
    size: Float[np.ndarray, " input"],
) -> tuple[Int[np.ndarray, " input"], Float[np.ndarray, " size"], Int[np.ndarray, " size"]]:
    """Number the sizes; what differs by rounding is one, as are neighbours where there are too many."""
    fine = np.rint(np.log(size / size.mean()) * 1e9).astype(np.int64)
    code = np.unique(fine, return_inverse=True)[1]
    if code.max() >= MOST_SIZES:
        share = np.log(size / size.min()) / np.log(size.max() / size.min())
        code = np.unique(np.minimum((share * MOST_SIZES).astype(np.int64), MOST_SIZES - 1), return_inverse=True)[1]
    n_inputs = np.bincount(code)
    return code, np.bincount(code, weights=size) / n_inputs, n_inputs


@lru_cache(maxsize=16)
def _weights(
    sizes: tuple[float, ...], n_inputs: tuple[int, ...], inputs: tuple[int, ...]
) -> tuple[Float[np.ndarray, " size"], Float[np.ndarray, "size other"]]:
    """A and B, summed over labels, of inputs of each size."""
    z, n = np.array(sizes), np.array(n_inputs)
    own, pairs = np.zeros(z.size), np.zeros((z.size, z.size))
    for m, labels in zip(*np.unique(inputs, return_counts=True)):
        one, two = _weights_of_label(z, n, int(m))
        own += labels * one
        pairs += labels * two
    return own, pairs


def _weights_of_label(
    z: Float[np.ndarray, " size"], n: Int[np.ndarray, " size"], m: int
) -> tuple[Float[np.ndarray, " size"], Float[np.ndarray, "size other"]]:
    ascending = np.repeat(z, n)[np.argsort(np.repeat(z, n), kind="stable")]
    least, most = ascending[:m].sum(), ascending[-m:].sum()
    points = np.exp(np.arange(math.log(_SMALL / most), math.log(-math.log(_SMALL) * 1.4 / least), _STEP))
    own, pairs = np.zeros(z.size), np.zeros((z.size, z.size))
    for s in points:
        weight, share = _on_circle(-s * z, n, m)
        weight = weight * (_STEP * s)
        own += (weight @ share).real
        pairs += ((share * weight[:, None]).T @ share).real
    return own, pairs


def _on_circle(
    log_y: Float[np.ndarray, " size"], n: Int[np.ndarray, " size"], m: int
) -> tuple[Complex[np.ndarray, " point"], Complex[np.ndarray, "point size"]]:
    """Contribution of each point of the circle to the mean of ``prod y`` over sets, and ``x y / (1 + x y)`` there."""
    whole = int(n.sum())
    radius = _saddle(log_y, n, m)
    share = expit(log_y + radius)
    spread = math.sqrt(float((n * share * (1 - share)).sum()))
    # An odd number of points leaves out the negative ones, at which a factor may be 0.
    number = min(whole + 1, math.ceil(_AROUND * spread) + 24) | 1
    angle = 2 * np.pi * np.arange((number + 1) // 2) / number
    xy = np.exp(log_y + radius + 1j * angle[:, None])
    log_mean = n @ np.log1p(xy).T - m * (radius + 1j * angle)
    log_mean -= gammaln(whole + 1.0) - gammaln(m + 1.0) - gammaln(whole - m + 1.0)
    # Points below the real axis are the conjugates of those above.
    return np.exp(log_mean) * np.where(angle > 0, 2.0, 1.0) / number, xy / (1 + xy)


def _saddle(log_y: Float[np.ndarray, " size"], n: Int[np.ndarray, " size"], m: int) -> float:
    """Logarithm of the radius at which m inputs are expected."""
    odds = math.log(m / (float(n.sum()) - m))
    low, high = odds - float(log_y.max()), odds - float(log_y.min())
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if float(n @ expit(log_y + middle)) < m else (low, middle)
    return low
