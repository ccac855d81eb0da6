"""Raster: which unit spiked in which bin, as one bit each, in memory or in an array on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

from ann2neo.cards import card
from ann2neo.errors import RecordingError
from ann2neo.threads import over_units

CHUNK_BYTES = 1 << 25
# Units that are arranged together: their unpacked bins stay in a processor's cache.
_UNITS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Raster:
    """Whether each unit spiked in each bin, packed to bits.

    Every pass begins on a byte, so that passes can be written and read separately; the unused bits of its last byte are zero. A selection of units
    and an arrangement of bins are views: they are stored next to the packed bits and applied when these are read.

    Parameters
    ----------
    packed
        The bits in the layout of `numpy.packbits`, shape (pass, unit, byte): a NumPy array, or an array on disk.
    n_bins
        Number of bins of one pass.
    rows
        Rows of ``packed`` that are the units of this raster, shape (unit,); None for all rows.
    bin_order
        Stored bin that is shown at each position of a pass, shape (bin,); None for the stored order.

    Examples
    --------
    >>> raster = Raster.from_dense(np.array([[1, 0, 1, 1], [0, 0, 0, 0]], bool))
    >>> raster.n_spikes()
    array([3, 0])
    >>> raster.arrange(np.array([3, 2, 1, 0])).dense()[0].astype(int)
    array([1, 1, 0, 1])
    >>> raster.spike_bins()
    (array([0, 2, 3]), array([0, 3, 3]))
    """

    packed: Any
    n_bins: int
    rows: Int[np.ndarray, " unit"] | None = field(default=None)
    bin_order: Int[np.ndarray, " bin"] | None = field(default=None)

    def __repr__(self) -> str:
        passes = f", {self.n_passes} passes" if self.n_passes > 1 else ""
        return (
            f"Raster({self.n_units} units, {self.n_bins} bins{passes}{'' if self.bin_order is None else ', arranged'})"
        )

    def _repr_html_(self) -> str:
        facts = {"units": self.n_units, "bins of a pass": self.n_bins, "passes": self.n_passes}
        where = "memory" if isinstance(self.packed, np.ndarray) else "a file"
        return card("Raster", facts | {"arranged": None if self.bin_order is None else "yes", "bits lie in": where})

    def __post_init__(self) -> None:
        n_bytes = -(-self.n_bins // 8)
        if len(self.packed.shape) != 3 or self.packed.shape[2] != n_bytes:
            raise RecordingError(
                f"{self.n_bins} bins need {n_bytes} bytes per unit, but the packed array has shape {tuple(self.packed.shape)}.",
                "Bits would be lost or invented.",
                "Give an array of shape (pass, unit, byte).",
            )

    @classmethod
    def from_dense(cls, dense: Bool[np.ndarray, "unit total_bin"], *, n_passes: int = 1) -> Raster:
        """Pack a boolean array of shape (unit, pass * bin), in which the passes follow one another."""
        by_pass = dense.reshape(dense.shape[0], n_passes, -1).transpose(1, 0, 2)
        return cls(packed=np.packbits(by_pass, axis=2), n_bins=by_pass.shape[2])

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self.packed.shape[1] if self.rows is None else self.rows.size

    @property
    def n_passes(self) -> int:
        """Number of passes."""
        return self.packed.shape[0]

    @property
    def total_bins(self) -> int:
        """Number of bins over all passes."""
        return self.n_passes * self.n_bins

    def take(self, units: Int[np.ndarray, " unit"]) -> Raster:
        """View some units, in the given order."""
        return replace(self, rows=units if self.rows is None else self.rows[units])

    def arrange(self, bin_order: Int[np.ndarray, " bin"]) -> Raster:
        """View the bins of every pass in another order: position ``i`` shows what is now at ``bin_order[i]``."""
        return replace(self, bin_order=bin_order if self.bin_order is None else self.bin_order[bin_order])

    def bits(self, units: slice = slice(None)) -> UInt8[np.ndarray, "pass unit byte"]:
        """Read the packed bits of some units in the arranged order, shape (pass, unit, byte)."""
        stored, order = self._stored(units), self.bin_order
        if order is None:
            return stored
        arranged = np.empty_like(stored, order="C")

        def arrange(first: int, last: int) -> None:
            dense = np.unpackbits(stored[:, first:last], axis=2, count=self.n_bins)
            # An index array would lay the bins of all units side by side in memory, which takes six times as long.
            arranged[:, first:last] = np.packbits(np.take(dense, order, axis=2), axis=2)

        over_units(arrange, stored.shape[1], units_per_task=_UNITS_AT_ONCE)
        return arranged

    def dense(self, units: slice = slice(None)) -> Bool[np.ndarray, "unit total_bin"]:
        """Read some units as a boolean array of shape (unit, pass * bin), in which the passes follow one another."""
        dense = np.unpackbits(self._stored(units), axis=2, count=self.n_bins).view(np.bool_)
        if self.bin_order is not None:
            dense = np.take(dense, self.bin_order, axis=2)
        return np.ascontiguousarray(dense.transpose(1, 0, 2)).reshape(dense.shape[1], self.total_bins)

    def n_spikes(self) -> Int[np.ndarray, " unit"]:
        """Count the spikes of each unit over all passes, shape (unit,)."""
        parts = [np.bitwise_count(self._stored(units)).sum(axis=(0, 2), dtype=np.int64) for units in self.chunks()]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def spike_bins(
        self, units: slice = slice(None)
    ) -> tuple[Int[np.ndarray, " spike"], Int[np.ndarray, " unit_plus_one"]]:
        """Return the bins of all spikes, unit by unit, and the index at which each unit begins, shapes (spike,) and (unit + 1,)."""
        dense = self.dense(units)
        flat = np.flatnonzero(dense)
        offsets = np.searchsorted(flat, np.arange(dense.shape[0] + 1) * self.total_bins)
        return flat % max(self.total_bins, 1), offsets.astype(np.int64)

    def chunks(self, n_bytes: int | None = None) -> Iterator[slice]:
        """Divide the units into slices whose unpacked bins fit into ``n_bytes`` (32 MiB if not given)."""
        step = max(1, (CHUNK_BYTES if n_bytes is None else n_bytes) // max(self.total_bins, 1))
        for first in range(0, self.n_units, step):
            yield slice(first, min(first + step, self.n_units))

    def identical(self, other: Raster) -> bool:
        """Whether both rasters show the same bits, however these are stored."""
        if (self.n_units, self.n_passes, self.n_bins) != (other.n_units, other.n_passes, other.n_bins):
            return False
        return all(np.array_equal(self.bits(units), other.bits(units)) for units in self.chunks())

    def _stored(self, units: slice) -> UInt8[np.ndarray, "pass unit byte"]:
        """Read units in the stored order of bins."""
        if self.rows is None:
            return np.asarray(self.packed[:, units])
        rows = self.rows[units]
        if isinstance(self.packed, np.ndarray):
            return self.packed[:, rows]
        return np.asarray(self.packed.oindex[:, rows])
