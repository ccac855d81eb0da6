"""Packing the activations of one layer on its device, batch by batch."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64

from ann2neo.capture.device.column import DeviceColumn, LayerColumn, Part
from ann2neo.capture.device.operators import pack_into
from ann2neo.capture.device.routes import Pack, route_for
from ann2neo.capture.packing.layouts import Layout, layout_of, places_of

DISPATCH = "__torch_dispatch__"
OF_KERNEL = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class DevicePacker:
    """Packs activations of one layer into its column on the device; see `ann2neo.capture.packing.Packer`, whose twin it is.

    Parameters
    ----------
    column
        Columns of the device.
    name
        Name of the layer.
    thresholds
        One for all units or one each, on the device, shape () or (unit,).
    units
        Places of the units in a flattened bin; None for all of them, shape (unit,).
    """

    def __init__(
        self, column: DeviceColumn, name: str, thresholds: torch.Tensor, units: Int[np.ndarray, " unit"] | None
    ) -> None:
        self._owner, self._name, self._units = column, name, units
        self._thresholds = thresholds.detach().contiguous()
        self._pack: Pack = route_for(column.device) if self._thresholds.dtype in OF_KERNEL else pack_into
        self._column: LayerColumn | None = None
        self._shape: torch.Size | None = None
        self._strides: tuple[int, ...] = ()
        self._known: dict[tuple[int, ...], Int64[torch.Tensor, " unit"] | None] = {}
        self._places: torch.Tensor | None = None
        self._n_bins = 0
        self._packed = False

    def __call__(self, values: Float[torch.Tensor, "bin ..."]) -> Part:
        """Pack values of any kind, and be ready for others like them."""
        values = values.detach()
        if values.device != self._owner.device or values.dtype != self._thresholds.dtype:
            values = values.to(device=self._owner.device, dtype=self._thresholds.dtype)
        # The kernel reads memory as it is.
        values = (values if values.layout == torch.strided else values.to_dense()).resolve_neg()
        column = self._column if self._column is not None else self._first(values)
        self._shape, self._strides, self._n_bins = values.shape, values.stride(), len(values)
        self._places = self._places_of(values, column)
        column.make_room(self._n_bins)
        # Of a tensor that wraps others, memory holds something else than its values: only torch's operators see them.
        wraps = getattr(type(values), DISPATCH) is not getattr(torch.Tensor, DISPATCH)
        self._run(values, column, pack_into if wraps else self._pack)
        self._packed = False
        return column.open(self._n_bins)

    def again(self, values: Any) -> bool:
        """Pack values that are like the last ones, in as few steps as can be; False if they are not."""
        column = self._column
        if (
            column is None
            or type(values) is not torch.Tensor
            or values.shape != self._shape
            or values.stride() != self._strides
            or values.dtype is not self._thresholds.dtype
            or values.device != self._owner.device
            or values.is_neg()
            or column.room < self._n_bins
        ):
            return False
        self._run(values, column, self._pack)
        self._packed = True
        return True

    def forget(self) -> None:
        """Forget what was packed again."""
        self._packed = False

    def take(self) -> Part | None:
        """Return what was packed again, or None if nothing was."""
        if not self._packed or self._column is None:
            return None
        self._packed = False
        return self._column.open(self._n_bins)

    def _run(self, values: torch.Tensor, column: LayerColumn, pack: Pack) -> None:
        self._owner.transfer.enter()
        pack(values, column.target, self._thresholds, places=self._places, first_bin=column.n_bins)

    def _first(self, values: torch.Tensor) -> LayerColumn:
        """Make the column, whose units are in the order in which memory holds them now."""
        layout = None if self._units is not None else layout_of(values)
        n_units = prod(values.shape[1:]) if self._units is None else self._units.size
        if layout is not None and layout.is_logical:
            layout = None
        self._column = self._owner.add_layer(self._name, n_units, layout)
        if layout is not None and self._thresholds.ndim:
            self._thresholds = self._thresholds[self._on_device(layout.to_memory(np.arange(n_units)))]
        return self._column

    def _places_of(self, values: torch.Tensor, column: LayerColumn) -> Int64[torch.Tensor, " unit"] | None:
        """Find where the units of the column lie after the beginning of a bin; None where they follow one another."""
        strides = values.stride()[1:]
        if not values.numel():
            # Torch calls any layout of no values contiguous: of those to come it says nothing.
            return None
        if strides not in self._known:
            logical = Layout(shape=tuple(values.shape[1:]), order=tuple(range(values.ndim - 1)))
            follows = self._units is None and layout_of(values) == (column.layout or logical)
            self._known[strides] = None if follows else self._on_device(places_of(values, self._in_order(column)))
        return self._known[strides]

    def _in_order(self, column: LayerColumn) -> Int[np.ndarray, " unit"]:
        if self._units is not None:
            return self._units
        every = np.arange(column.n_units)
        return every if column.layout is None else column.layout.to_memory(every)

    def _on_device(self, places: Int[np.ndarray, " unit"]) -> Int64[torch.Tensor, " unit"]:
        return torch.from_numpy(np.ascontiguousarray(places, np.int64)).to(self._owner.device)
