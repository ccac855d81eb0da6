"""Planes: spikes of a batch, eight bins of one unit to a byte."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """Spikes of some units in some bins, eight bins of one unit to a byte.

    A batch arrives as (bin, unit), but is read later as (unit, bin). Packing along the bins first leaves an eighth of the data to transpose.

    Parameters
    ----------
    bits
        As `numpy.packbits` packs axis 0 of (bin, unit), shape (plane, unit) with a plane for each eight bins begun; bits beyond the last bin are zero.
    n_bins
        Number of bins.
    n_invalid
        Number of values that were NaN or infinite, where values were packed.
    """

    bits: UInt8[np.ndarray, "plane unit"]
    n_bins: int
    n_invalid: int = 0

    def without_first(self, n_bins: int) -> Planes:
        """Leave out the first bins.

        Examples
        --------
        >>> pack(np.array([[True], [False], [True]])).without_first(2).bits
        array([[128]], dtype=uint8)
        """
        if n_bins == 0:
            return self
        dense = np.unpackbits(self.bits, axis=0, count=self.n_bins)
        return pack(dense[n_bins:].view(np.bool_))


def pack(spikes: Bool[np.ndarray, "bin unit"]) -> Planes:
    """Pack spikes that are given as truth values, shape (bin, unit).

    Examples
    --------
    >>> pack(np.array([[True, False], [True, True]])).bits
    array([[192,  64]], dtype=uint8)
    """
    return Planes(bits=np.ascontiguousarray(np.packbits(spikes, axis=0)), n_bins=len(spikes))
