"""Maximization of a likelihood of two parameters, for many units at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Points = Float[np.ndarray, "unit 2"]
Values = Float[np.ndarray, " unit"]
Likelihood = Callable[[Int[np.ndarray, " unit"], Points], Values]

_STEP, _WIDE_STEP = 1e-4, 1e-3
_ROUNDS = 100
_LONGEST = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Maximum:
    """Maxima of the likelihoods of units.

    Parameters
    ----------
    point
        Parameters of each unit, shape (unit, 2).
    value
        Log-likelihood, shape (unit,).
    information
        Observed information, the negative second derivatives, shape (unit, 2, 2).
    found
        Whether the point of each unit is a maximum: the slope is 0 and the information positive definite, shape (unit,).
    """

    point: Points
    value: Values
    information: Float[np.ndarray, "unit 2 2"]
    found: Bool[np.ndarray, " unit"]

    def errors(self) -> Points:
        """Standard errors of both parameters; NaN where there is no maximum, shape (unit, 2)."""
        a, b, c = self.information[:, 0, 0], self.information[:, 1, 1], self.information[:, 0, 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.stack([b, a], axis=1) / (a * b - c * c)[:, None]
            return np.where(self.found[:, None], np.sqrt(variance), np.nan)


def maximize(likelihood: Likelihood, start: Points) -> Maximum:
    """Maximize a likelihood by Newton's method, damped where a step would lower it (Levenberg and Marquardt).

    Derivatives are central differences (steps of 1e-4 for the slope and 1e-3 for the curvature). Parameters should therefore be of the order of 1 and unbounded, such as
    logarithms. A unit has converged when a step promises less than 1e-10 and is shorter than 1e-5.

    Parameters
    ----------
    likelihood
        Function of the indices of units and a point for each; returns the log-likelihood of each.
    start
        Starting point of each unit, shape (unit, 2).

    References
    ----------
    Marquardt 1963, doi:10.1137/0111030.

    Examples
    --------
    >>> peak = np.array([[1.0, 2.0], [0.0, -1.0]])
    >>> found = maximize(lambda units, at: -((at - peak[units]) ** 2).sum(axis=1), np.zeros((2, 2)))
    >>> found.point.round(6) + 0.0, found.errors().round(3)
    (array([[ 1.,  2.],
           [ 0., -1.]]), array([[0.707, 0.707],
           [0.707, 0.707]]))
    """
    point, damping = start.astype(np.float64), np.full(len(start), 1e-3)
    every = np.arange(len(start))
    value, active = likelihood(every, point), np.ones(len(start), np.bool_)
    for _ in range(_ROUNDS):
        units = every[active]
        if not units.size:
            break
        slope, information = _derivatives(likelihood, units, point[units], value[units])
        step = _step(slope, information, damping[units])
        there = point[units] + step
        reached = likelihood(units, there)
        up = reached >= value[units]
        gain = np.abs(np.einsum("ui,ui->u", slope, step))
        active[units] = ~((gain < 1e-10) & (np.abs(step).max(axis=1) < 1e-5)) & (damping[units] < 1e12)
        point[units[up]], value[units[up]] = there[up], reached[up]
        damping[units] = np.where(up, damping[units] / 10, damping[units] * 10)
    slope, information = _derivatives(likelihood, every, point, value)
    return Maximum(point=point, value=value, information=information, found=_is_maximum(slope, information))


def _is_maximum(slope: Points, information: Float[np.ndarray, "unit 2 2"]) -> Bool[np.ndarray, " unit"]:
    """Return whether a Newton step would be short and stay here: an endless slope is not a maximum."""
    a, b, c = information[:, 0, 0], information[:, 1, 1], information[:, 0, 1]
    curved = (a > 1e-9) & (a * b - c * c > 1e-12 * a * b)
    return curved & (np.abs(_step(slope, information, np.zeros(len(slope)))).max(axis=1, initial=0.0) < 1e-2)


def _step(slope: Points, information: Float[np.ndarray, "unit 2 2"], damping: Values) -> Points:
    """Solve (information + damping * its scale) step = slope, and shorten steps that are too long."""
    scale = np.maximum(np.abs(np.einsum("uii->ui", information)), 1e-6)
    a = information[:, 0, 0] + damping * scale[:, 0]
    b = information[:, 1, 1] + damping * scale[:, 1]
    c = information[:, 0, 1]
    # Where the likelihood is not concave, the step follows the slope.
    concave = (a > 0) & (a * b > c * c)
    a, b, c = (np.where(concave, new, old) for new, old in ((a, scale[:, 0]), (b, scale[:, 1]), (c, 0.0)))
    step = np.stack([b * slope[:, 0] - c * slope[:, 1], a * slope[:, 1] - c * slope[:, 0]], axis=1)
    step /= (a * b - c * c)[:, None]
    shortened = np.where(concave, _LONGEST, _LONGEST / (1 + damping))
    return step * np.minimum(1.0, shortened / np.maximum(np.abs(step).max(axis=1, initial=0.0), 1e-300))[:, None]


def _derivatives(
    likelihood: Likelihood, units: Int[np.ndarray, " unit"], point: Points, value: Values
) -> tuple[Points, Float[np.ndarray, "unit 2 2"]]:
    """Compute the slope and the negative curvature, by central differences."""

    def at(x: float, y: float) -> Values:
        return likelihood(units, point + np.array([x, y]))

    near, wide = _STEP, _WIDE_STEP
    slope = np.stack([at(near, 0.0) - at(-near, 0.0), at(0.0, near) - at(0.0, -near)], axis=1) / (2 * near)
    information = np.empty((len(units), 2, 2))
    information[:, 0, 0] = 2 * value - at(wide, 0.0) - at(-wide, 0.0)
    information[:, 1, 1] = 2 * value - at(0.0, wide) - at(0.0, -wide)
    mixed = at(wide, wide) + at(-wide, -wide) - at(wide, -wide) - at(-wide, wide)
    information[:, 0, 1] = information[:, 1, 0] = -mixed / 4
    return slope, information / wide**2
