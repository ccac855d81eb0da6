"""Latent correlations of a dichotomized Gaussian: the normal variables whose crossings of thresholds have given correlations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import ndtr, ndtri, owens_t

from ann2neo.threads import over_units

_NUMBERS_AT_ONCE = 1 << 18
_MOST_STEPS = 80
_EXACT = 1e-10
# Errors of latent correlations, by repair, stay below those of recorded ones.
_SETTLED, _MOST_PROJECTIONS = 1e-3, 100

Matrix = Float[np.ndarray, "unit unit"]
Pairs = Float[np.ndarray, "pair state"]
PerPair = Float[np.ndarray, " pair"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Correlations of the latent variables of some units.

    Parameters
    ----------
    matrix
        Correlation matrix of the latent variables, positive semidefinite, shape (unit, unit).
    expected
        Correlations of the spikes that are drawn with it, 0 for units without variance, shape (unit, unit).
    n_clipped
        Number of pairs whose correlation was out of range.
    """

    matrix: Matrix
    expected: Matrix
    n_clipped: int


def both_below(h: Pairs, k: Pairs, latent: Float[np.ndarray, "pair 1"]) -> Pairs:
    r"""Compute the probability that two standard normal variables are below h and k, by Owen's T function.

    Parameters
    ----------
    h, k
        Finite thresholds, shape (pair, state).
    latent
        Correlation of the variables, between -1 and 1, both excluded, shape (pair, 1).

    References
    ----------
    Owen 1956, doi:10.1214/aoms/1177728074.

    Examples
    --------
    Below 0 it is 1 / 4 + arcsin(correlation) / (2 pi).

    >>> both_below(np.zeros((2, 1)), np.zeros((2, 1)), np.array([[0.0], [0.5]])).ravel().round(6)
    array([0.25    , 0.333333])
    """
    h, k = (np.where(np.abs(each) < 1e-100, 1e-100, each) for each in (h, k))
    root = np.sqrt((1 - latent) * (1 + latent))
    with np.errstate(over="ignore"):
        own = owens_t(h, (k / h - latent) / root) + owens_t(k, (h / k - latent) / root)
    return (ndtr(h) + ndtr(k)) / 2 - own - np.where(np.signbit(h) == np.signbit(k), 0.0, 0.5)


@dataclass(frozen=True, slots=True)
class _Thresholds:
    """Thresholds of pairs in each state, the weight of each, 0 where a unit of the pair is constant, and the product of their probabilities."""

    h: Pairs
    k: Pairs
    weight: Pairs
    product: Pairs

    @classmethod
    def of(cls, p: np.ndarray, weight: np.ndarray, first: np.ndarray, second: np.ndarray) -> _Thresholds:
        one, other = p[first], p[second]
        inside = (one > 0) & (one < 1) & (other > 0) & (other < 1)
        one, other = np.where(inside, one, 0.5), np.where(inside, other, 0.5)
        return cls(ndtri(one), ndtri(other), np.where(inside, weight, 0.0), one * other)

    def take(self, pairs: np.ndarray) -> _Thresholds:
        return _Thresholds(self.h[pairs], self.k[pairs], self.weight[pairs], self.product[pairs])

    def range(self) -> tuple[PerPair, PerPair]:
        """Return the covariances at latent correlations of -1 and 1, the bounds of Frechet."""
        one, other = ndtr(self.h), ndtr(self.k)
        low = np.maximum(one + other - 1, 0) - self.product
        return (self.weight * low).sum(axis=1), (self.weight * (np.minimum(one, other) - self.product)).sum(axis=1)

    def covariance(self, latent: PerPair) -> PerPair:
        return (self.weight * (both_below(self.h, self.k, latent[:, None]) - self.product)).sum(axis=1)

    def slope(self, angle: PerPair) -> PerPair:
        """Return the derivative of the covariance by the arcsine of the latent correlation (Plackett 1954)."""
        sine, cosine = np.sin(angle)[:, None], np.cos(angle)[:, None]
        power = (self.h**2 + self.k**2 - 2 * self.h * self.k * sine) / (2 * cosine**2)
        return (self.weight * np.exp(-power)).sum(axis=1) / (2 * np.pi)


def latent_correlations(
    p: Float[np.ndarray, "unit state"], weight: Float[np.ndarray, " state"], target: Matrix, margin: float = 0.0
) -> Latent:
    r"""Find the latent correlations that give each pair of units its correlation, see `ann2neo.models.simulate`.

    Parameters
    ----------
    p
        Probability of a spike of each unit in each state, shape (unit, state).
    weight
        Share of bins of each state, shape (state,).
    target
        Correlations of spikes about the mean of their state, shape (unit, unit).
    margin
        Covariance by which a pair stays away from the ends of its range, at most up to 0: half a bin of those in which it was measured.

    Examples
    --------
    Of fair coins the latent correlation is sin(pi r / 2).

    >>> found = latent_correlations(np.full((2, 1), 0.5), np.ones(1), np.array([[1.0, 1 / 3], [1 / 3, 1.0]]))
    >>> found.matrix[0, 1].round(6), found.expected[0, 1].round(6)
    (np.float64(0.5), np.float64(0.333333))
    """
    first, second = np.triu_indices(len(p), 1)
    deviation = np.sqrt((weight * p * (1 - p)).sum(axis=1))
    scale = deviation[first] * deviation[second]
    wanted = np.where(scale > 0, target[first, second] * scale, 0.0)
    found, clipped = np.zeros(first.size), np.zeros(first.size, np.bool_)

    def solve(begin: int, end: int) -> None:
        own = slice(begin, end)
        pairs = _Thresholds.of(p, weight, first[own], second[own])
        found[own], clipped[own] = _solved(pairs, wanted[own], scale[own], margin)

    over_units(solve, first.size, units_per_task=max(1, _NUMBERS_AT_ONCE // weight.size))
    matrix = nearest_correlations(_matrix(found, first, second, len(p)))
    expected = _expected(p, weight, matrix[first, second], (first, second), scale)
    return Latent(
        matrix=matrix, expected=_matrix(expected, first, second, len(p)), n_clipped=int(np.count_nonzero(clipped))
    )


def _matrix(values: PerPair, first: Int[np.ndarray, " pair"], second: Int[np.ndarray, " pair"], n: int) -> Matrix:
    found = np.eye(n)
    found[first, second] = found[second, first] = values
    return found


def _expected(
    p: np.ndarray, weight: np.ndarray, latent: PerPair, pairs: tuple[np.ndarray, np.ndarray], scale: PerPair
) -> PerPair:
    """Return the correlations of spikes that latent correlations lead to."""
    found = np.zeros(latent.size)

    def compute(begin: int, end: int) -> None:
        own = slice(begin, end)
        each, at = _Thresholds.of(p, weight, pairs[0][own], pairs[1][own]), latent[own]
        low, high = each.range()
        inner = np.abs(at) < 1 - 1e-15
        value = np.where(at > 0, high, low)
        value[inner] = each.take(inner).covariance(at[inner])
        found[own] = np.where(scale[own] > 0, value / np.where(scale[own] > 0, scale[own], 1.0), 0.0)

    over_units(compute, latent.size, units_per_task=max(1, _NUMBERS_AT_ONCE // weight.size))
    return found


def _solved(
    pairs: _Thresholds, wanted: PerPair, scale: PerPair, margin: float
) -> tuple[PerPair, Bool[np.ndarray, " pair"]]:
    """Return the latent correlation of each pair, and whether the covariance that is wanted is out of its range."""
    low, high = pairs.range()
    clipped = (wanted < low - 1e-9 * scale) | (wanted > high + 1e-9 * scale)
    wanted = np.maximum(wanted, np.minimum(low + margin, 0.0))
    wanted = np.minimum(wanted, np.maximum(high - margin, 0.0))
    tolerance = _EXACT * np.maximum(scale, 1e-300)
    found = np.where(wanted >= high - tolerance, 1.0, np.where(wanted <= low + tolerance, -1.0, 0.0))
    varies = high - low > tolerance
    inner = (found == 0) & varies & (np.abs(wanted) > tolerance)
    found[~varies] = 0.0
    found[inner] = np.sin(_angle(pairs.take(inner), wanted[inner], tolerance[inner]))
    return found, clipped


def _angle(pairs: _Thresholds, wanted: PerPair, tolerance: PerPair) -> PerPair:
    """Find the arcsine of the latent correlation, in which the covariance rises, by Newton's method within a bracket."""
    low, high = np.where(wanted < 0, -np.pi / 2, 0.0), np.where(wanted < 0, 0.0, np.pi / 2)
    angle, value, left = np.zeros(wanted.size), np.zeros(wanted.size), np.arange(wanted.size)
    for _ in range(_MOST_STEPS):
        some = pairs.take(left)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = angle[left] + (wanted[left] - value[left]) / some.slope(angle[left])
        within = (new > low[left]) & (new < high[left])
        angle[left] = np.where(within, new, (low[left] + high[left]) / 2)
        value[left] = some.covariance(np.sin(angle[left]))
        below = value[left] < wanted[left]
        low[left], high[left] = np.where(below, angle[left], low[left]), np.where(below, high[left], angle[left])
        left = left[(np.abs(value[left] - wanted[left]) > tolerance[left]) & (high[left] - low[left] > 1e-12)]
        if not left.size:
            break
    return angle


def nearest_correlations(matrix: Matrix) -> Matrix:
    """Return a correlation matrix near a symmetric one: the nearest in the Frobenius norm, to within 0.001 of an entry, by alternating projections with Dykstra's correction.

    A positive semidefinite matrix is returned as it is.

    Parameters
    ----------
    matrix
        Symmetric matrix with a diagonal of ones, shape (unit, unit).

    References
    ----------
    Higham 2002, doi:10.1093/imanum/22.3.329.

    Examples
    --------
    Three variables cannot be opposites of each other.

    >>> nearest_correlations(np.where(np.eye(3) > 0, 1.0, -1.0)).round(6)[0]
    array([ 1. , -0.5, -0.5])
    """
    correction, now = np.zeros_like(matrix), matrix
    for _ in range(_MOST_PROJECTIONS):
        start = now - correction
        values, vectors = np.linalg.eigh(start)
        if not correction.any() and values[0] >= -1e-10:
            return matrix
        found = (vectors * np.maximum(values, 0)) @ vectors.T
        correction = found - start
        before, now = now, found.copy()
        np.fill_diagonal(now, 1.0)
        if np.abs(now - before).max() < _SETTLED:
            break
    root = np.sqrt(np.diag(found))
    found = found / root / root[:, None]
    np.fill_diagonal(found, 1.0)
    return np.clip((found + found.T) / 2, -1, 1)


def symmetric_root(matrix: Matrix) -> Matrix:
    """Return the symmetric root of a positive semidefinite matrix, which is unique: eigenvectors of another library lead to the same one.

    Examples
    --------
    >>> root = symmetric_root(np.array([[1.0, 0.6], [0.6, 1.0]]))
    >>> (root @ root).round(6).tolist()
    [[1.0, 0.6], [0.6, 1.0]]
    """
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
