"""Planes: the spikes of a batch, with eight bins of one unit in each byte."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, UInt8


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """Spikes of some units in some bins, with eight bins of one unit in each byte.

    A batch arrives as (bin, unit), but is later read as (unit, bin). Packing along the bins first leaves an eighth of the data to transpose.

    Parameters
    ----------
    bits
        Axis 0 of (bin, unit) as packed by `numpy.packbits`, shape (plane, unit), with one plane per eight bins or part of eight; bits beyond the last bin are zero.
    n_bins
        Number of bins.
    n_invalid
        Number of NaN or infinite values, if activations were packed.
    """

    bits: UInt8[np.ndarray, "plane unit"]
    n_bins: int
    n_invalid: int = 0

    def without_first(self, n_bins: int) -> Planes:
        """Return the spikes without the first bins.

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
    """Pack a boolean array of spikes, shape (bin, unit).

    Examples
    --------
    >>> pack(np.array([[True, False], [True, True]])).bits
    array([[192,  64]], dtype=uint8)
    """
    return Planes(bits=np.ascontiguousarray(np.packbits(spikes, axis=0)), n_bins=len(spikes))
