"""Packing the activations of one layer on its device, batch by batch: by the kernel on cards that Triton knows, by its twin in torch's operators elsewhere."""

from __future__ import annotations

import os
import warnings
from functools import cache
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, UInt8

from ann2neo.device.column import DeviceColumn, LayerColumn
from ann2neo.device.failures import check_not_captured
from ann2neo.device.memory import Target
from ann2neo.device.rows import Part, open_part
from ann2neo.errors import Ann2NeoWarning
from ann2neo.packing.layouts import Layout, layout_of, places_of


def pack_into(
    values: Float[torch.Tensor, "bin ..."],
    target: Target,
    thresholds: Float[torch.Tensor, "*unit"],
    *,
    places: Int64[torch.Tensor, " unit"] | None,
    first_bin: int,
) -> None:
    """Pack which values are strictly above the thresholds into the column of a layer, without waiting for the device.

    Bits of bins before the first one are kept; those after the last one, up to the end of its byte, become zero. Values that are NaN or infinite are above nothing,
    and are added to the layer's count.

    Parameters
    ----------
    values
        Activations, shape (bin, ...).
    target
        Where bits and counts go.
    thresholds
        One for all units or one each in the order of the column, of the values' own type, shape () or (unit,).
    places
        Where each unit's value lies after the beginning of its bin, in the order of the column, shape (unit,); None where units follow one another in memory.
    first_bin
        Place of the first bin in the column.

    Examples
    --------
    >>> target = Target(bits=torch.full((2, 1), 255, dtype=torch.uint8), invalid=torch.zeros(1, dtype=torch.int64), slot=0)
    >>> values = torch.tensor([[1.0], [0.0], [float("nan")], [2.0]])
    >>> pack_into(values, target, torch.tensor(0.5), places=None, first_bin=6)
    >>> [f"{int(byte):08b}" for byte in target.bits[:, 0]], target.invalid.tolist()
    (['11111110', '01000000'], [1])
    """
    n_bins, n_before = len(values), first_bin % 8
    if not n_bins or not target.bits.shape[1]:
        return
    in_order = _in_order(values, places, target.bits.shape[1])
    target.invalid[target.slot] += torch.isfinite(in_order).logical_not_().sum()
    above = torch.nn.functional.pad(in_order > thresholds, (0, 0, n_before, -(n_before + n_bins) % 8))
    packed = _eights(above)
    first = first_bin // 8
    if n_before:
        packed[0] |= target.bits[first] & ((0xFF00 >> n_before) & 0xFF)
    target.bits[first : first + len(packed)] = packed


def _in_order(values: torch.Tensor, places: torch.Tensor | None, n_units: int) -> torch.Tensor:
    """Arrange values in the order of the column, shape (bin, unit)."""
    if places is None:
        layout = layout_of(values)
        order = range(values.ndim - 1) if layout is None else layout.order
        return values.permute(0, *(1 + axis for axis in order)).reshape(len(values), n_units)
    span = 1 + sum((size - 1) * stride for size, stride in zip(values.shape[1:], values.stride()[1:]))
    return values.as_strided((len(values), span), (values.stride(0), 1)).index_select(1, places)


def _eights(above: torch.Tensor) -> UInt8[torch.Tensor, "plane unit"]:
    """Shift and add eight rows of truth values at a time."""
    eights = above.reshape(-1, 8, above.shape[1])
    bits = eights[:, 0].to(torch.uint8)
    for place in range(1, 8):
        bits = torch.add(eights[:, place], bits, alpha=2)
    return bits


@runtime_checkable
class Pack(Protocol):
    """Packs values into a column; see `ann2neo.device.packer.pack_into`."""

    def __call__(
        self,
        values: torch.Tensor,
        target: Target,
        thresholds: torch.Tensor,
        *,
        places: torch.Tensor | None,
        first_bin: int,
    ) -> None:
        """Pack values."""
        ...


def route_for(device: torch.device) -> Pack:
    """Find what packs on a device: the kernel if the device is a card and there is Triton, or where Triton interprets; torch's operators if not.

    Examples
    --------
    >>> import torch
    >>> route_for(torch.device("mps")).__name__
    'pack_into'
    """
    interpreted = device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    return (_kernel() or pack_into) if device.type == "cuda" or interpreted else pack_into


@cache
def _kernel() -> Pack | None:
    """Load the kernel, and compile it for a few values; None if that fails."""
    try:
        from ann2neo.device.kernel import launch
    except ImportError:
        return None
    if torch.cuda.is_available():
        try:
            _try_out(launch)
        # Triton needs a C compiler, a folder for its cache, a card that it knows: if any of these is missing, there is another way.
        except Exception as error:
            text = (
                f"Triton's kernel cannot be used ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}): spikes are packed by torch's operators, which takes several times as long.\n"
                "Triton compiles with a C compiler (gcc) and keeps what it compiled in TRITON_CACHE_DIR."
            )
            warnings.warn(Ann2NeoWarning(text), stacklevel=2)
            return None
        return _on_card(launch)
    return launch


def _on_card(launch: Pack) -> Pack:
    """Launch on the device of the values, and refuse to become part of a graph that is being captured."""

    def pack(
        values: torch.Tensor,
        target: Target,
        thresholds: torch.Tensor,
        *,
        places: torch.Tensor | None,
        first_bin: int,
    ) -> None:
        device = values.get_device()
        if device == torch.cuda.current_device():
            check_not_captured(values)
            launch(values, target, thresholds, places=places, first_bin=first_bin)
        else:
            with torch.cuda.device(device):
                check_not_captured(values)
                launch(values, target, thresholds, places=places, first_bin=first_bin)

    return pack


def _try_out(launch: Pack) -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    target = Target(
        bits=torch.zeros((1, 16), dtype=torch.uint8, device=device),
        invalid=torch.zeros(1, dtype=torch.int64, device=device),
        slot=0,
    )
    values = torch.ones((8, 16), device=device)
    launch(values, target, torch.zeros((), device=device), places=None, first_bin=0)
    if not bool((target.bits == 255).all()):
        raise ValueError("it does not give the bits of eight ones")


DISPATCH = "__torch_dispatch__"
OF_KERNEL = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


class DevicePacker:
    """Packs activations of one layer into its column on the device; see `ann2neo.packing.Packer`, whose twin it is.

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
        return open_part(column, self._n_bins)

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
        return open_part(self._column, self._n_bins)

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
