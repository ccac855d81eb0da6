"""Spikes of a batch as bits, and bits of many batches as rows of units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
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
    """

    bits: UInt8[np.ndarray, "plane unit"]
    n_bins: int


def pack_above(values: torch.Tensor, thresholds: torch.Tensor) -> Planes:
    """Pack which values are strictly above the thresholds, compared in their own type.

    Parameters
    ----------
    values
        Activations, shape (bin, unit).
    thresholds
        One for all units or one each, of the same type and on the same device, shape () or (unit,).

    Examples
    --------
    >>> pack_above(torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor(0.0)).bits
    array([[192,   0]], dtype=uint8)
    """
    return pack((values > thresholds).cpu().numpy())


def pack(spikes: Bool[np.ndarray, "bin unit"]) -> Planes:
    """Pack spikes that are given as truth values, shape (bin, unit)."""
    return Planes(bits=np.packbits(spikes, axis=0), n_bins=len(spikes))


class PlaneBuffer:
    """Planes of one layer that follow one another, of any number of bins each.

    Examples
    --------
    >>> buffer = PlaneBuffer(n_units=1)
    >>> buffer.add(pack(np.ones((3, 1), bool))); buffer.add(pack(np.ones((6, 1), bool)))
    >>> buffer.n_bins, np.unpackbits(buffer.pop(8)), buffer.n_bins, np.unpackbits(buffer.pop())
    (9, array([1, 1, 1, 1, 1, 1, 1, 1], dtype=uint8), 1, array([1, 0, 0, 0, 0, 0, 0, 0], dtype=uint8))
    """

    def __init__(self, n_units: int) -> None:
        self._whole: list[np.ndarray] = []
        self._rest = np.zeros((1, n_units), np.uint8)
        self._n_rest = 0

    @property
    def n_bins(self) -> int:
        """Number of bins that were added and not taken out."""
        return 8 * sum(map(len, self._whole)) + self._n_rest

    def add(self, planes: Planes) -> None:
        """Append planes, shifted to where the last bin ended."""
        n_bins = self._n_rest + planes.n_bins
        bits = planes.bits if self._n_rest == 0 else self._shifted(planes.bits)
        n_whole = n_bins // 8
        if n_whole:
            self._whole.append(bits[:n_whole])
        self._n_rest = n_bins % 8
        if self._n_rest:
            self._rest = bits[n_whole : n_whole + 1].copy()

    def pop(self, n_bins: int | None = None) -> UInt8[np.ndarray, "unit byte"]:
        """Take the first bins out, unit by unit, shape (unit, byte); a multiple of eight, or all of them with the last byte filled up with zeros."""
        planes = np.concatenate([*self._whole, self._rest] if self._n_rest else self._whole or [self._rest[:0]])
        n_planes = len(planes) if n_bins is None else n_bins // 8
        kept = planes[n_planes:]
        if n_bins is None:
            self._n_rest = 0
        self._whole = [kept[: len(kept) - (self._n_rest > 0)]] if n_bins is not None else []
        return np.ascontiguousarray(planes[:n_planes].T)

    def _shifted(self, bits: UInt8[np.ndarray, "plane unit"]) -> UInt8[np.ndarray, "plane_plus_one unit"]:
        """Put bits behind those of the unfinished plane."""
        shifted = np.zeros((len(bits) + 1, bits.shape[1]), np.uint8)
        shifted[:-1] = bits >> self._n_rest
        shifted[1:] |= bits << (8 - self._n_rest)
        shifted[0] |= self._rest[0]
        return shifted
