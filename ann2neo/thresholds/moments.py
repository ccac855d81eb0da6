"""Mean and standard deviation of a stream, batch by batch, as exactly as from all values at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


class Moments:
    """Mean and standard deviation of every column of a stream, merged batch by batch in double precision.

    Values are shifted by the first row, so a constant column has a standard deviation of exactly 0 and a mean of exactly its value.

    References
    ----------
    Chan, Golub, LeVeque (1983), doi:10.1080/00031305.1983.10483115.

    Examples
    --------
    >>> moments = Moments()
    >>> moments.add(np.array([[1.0, 7.0], [2.0, 7.0]])); moments.add(np.array([[6.0, 7.0]]))
    >>> moments.mean, moments.sd ** 2
    (array([3., 7.]), array([4.66666667, 0.        ]))
    """

    def __init__(self) -> None:
        self._n = 0
        self._origin = self._mean = self._squares = np.zeros(0)

    def add(self, values: Float[np.ndarray, "value column"]) -> None:
        """Add the next rows."""
        block = values.astype(np.float64)
        if self._n == 0:
            self._origin, self._mean, self._squares = (
                block[0].copy(),
                np.zeros(block.shape[1]),
                np.zeros(block.shape[1]),
            )
        block -= self._origin
        n_both, mean = self._n + len(block), block.mean(axis=0)
        away = mean - self._mean
        self._squares += ((block - mean) ** 2).sum(axis=0) + away**2 * (self._n * len(block) / n_both)
        self._mean += away * (len(block) / n_both)
        self._n = n_both

    def end_reading(self) -> bool:
        """End a reading of the stream; returns True, because one reading is enough."""
        return True

    @property
    def n_values(self) -> int:
        """Number of rows."""
        return self._n

    @property
    def mean(self) -> Float[np.ndarray, " column"]:
        """Mean of each column, shape (column,)."""
        return self._origin + self._mean

    @property
    def sd(self) -> Float[np.ndarray, " column"]:
        """Standard deviation of each column with ddof 0, shape (column,)."""
        return np.sqrt(self._squares / self._n)
