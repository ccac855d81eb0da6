"""Bits of one layer, collected while the model runs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt8


class BytePlanes:
    """Collect the spikes of a layer batch by batch, eight inputs to a byte.

    A batch arrives as (input, unit), but is read later as (unit, bin). Packing along the inputs first leaves an eighth of the data to transpose.

    Examples
    --------
    >>> planes = BytePlanes(n_units=1)
    >>> planes.add(np.ones((3, 1), bool)); planes.add(np.ones((6, 1), bool))
    >>> np.unpackbits(planes.packed(), axis=2)
    array([[[1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]]], dtype=uint8)
    """

    def __init__(self, n_units: int) -> None:
        self.n_bins = 0
        self._planes: list[np.ndarray] = []
        self._rest = np.zeros((0, n_units), bool)

    def add(self, spikes: Bool[np.ndarray, "input unit"]) -> None:
        """Add the spikes of a batch."""
        self.n_bins += len(spikes)
        dense = np.concatenate([self._rest, spikes]) if len(self._rest) else spikes
        whole = len(dense) // 8 * 8
        if whole:
            self._planes.append(np.packbits(dense[:whole], axis=0))
        self._rest = dense[whole:].copy()

    def packed(self) -> UInt8[np.ndarray, "pass unit byte"]:
        """Give the bits of all batches, unit by unit, the last byte filled up with zeros; shape (1, unit, byte)."""
        planes = [*self._planes, np.packbits(self._rest, axis=0)] if len(self._rest) else self._planes
        return np.ascontiguousarray(np.concatenate(planes).T)[np.newaxis]
