"""The infimum of an activation function: a threshold below it is always exceeded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float


@dataclass(frozen=True, slots=True)
class Floor:
    """Infimum of an activation function.

    Parameters
    ----------
    value
        Greatest lower bound of the function; minus infinity if the function is unbounded below, or the bound is unknown.
    attained
        Whether the function takes this value at a finite pre-activation.
    """

    value: float
    attained: bool

    def always_exceeds(self, thresholds: Float[np.ndarray, " unit"], *, eps: float = 0.0) -> Bool[np.ndarray, " unit"]:
        """Whether the function exceeds each threshold for every pre-activation, shape (unit,).

        Parameters
        ----------
        thresholds
            Thresholds, rounded to the activation's type, shape (unit,).
        eps
            Relative precision of that type: computed values may miss an attained infimum by this much.

        Examples
        --------
        >>> Floor(0.0, False).always_exceeds(np.array([0.0, -0.1])), Floor(0.0, True).always_exceeds(np.array([0.0, -0.1]))
        (array([ True,  True]), array([False,  True]))
        """
        if not self.attained:
            return thresholds <= self.value
        return thresholds < self.value - (4 * eps * abs(self.value) if math.isfinite(self.value) else 0.0)


NO_FLOOR = Floor(-math.inf, False)
