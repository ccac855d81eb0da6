"""The lowest value that an activation function takes: below it, a threshold means nothing."""

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
        Largest number that no value of the function lies below; minus infinity if there is none, or if it is not known.
    attained
        Whether the function takes this value at some finite pre-activation.
    """

    value: float
    attained: bool

    def always_exceeds(self, thresholds: Float[np.ndarray, " unit"], *, eps: float = 0.0) -> Bool[np.ndarray, " unit"]:
        """Whether every value of the function lies above each threshold, whatever the pre-activation, shape (unit,).

        Parameters
        ----------
        thresholds
            Thresholds, rounded to the activation's type, shape (unit,).
        eps
            Relative precision of that type: an attained infimum may be missed by as much.

        Examples
        --------
        >>> Floor(0.0, False).always_exceeds(np.array([0.0, -0.1])), Floor(0.0, True).always_exceeds(np.array([0.0, -0.1]))
        (array([ True,  True]), array([False,  True]))
        """
        if not self.attained:
            return thresholds <= self.value
        return thresholds < self.value - (4 * eps * abs(self.value) if math.isfinite(self.value) else 0.0)


NO_FLOOR = Floor(-math.inf, False)
