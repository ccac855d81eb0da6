"""Where the units of an activation lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Int64, Shaped, UInt8


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Axes of one bin's units in the order in which memory holds them, without gaps.

    Parameters
    ----------
    shape
        Sizes of the axes in logical order.
    order
        Axes from the slowest to the fastest in memory.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def is_logical(self) -> bool:
        """Whether memory holds the units in their logical order."""
        return self.order == tuple(range(len(self.shape)))

    def to_memory(self, of_units: Shaped[np.ndarray, " unit"]) -> Shaped[np.ndarray, " unit"]:
        """Bring one value per unit from the logical order into that of memory."""
        return of_units if self.is_logical else of_units.reshape(self.shape).transpose(self.order).ravel()

    def to_logical(self, bits: UInt8[np.ndarray, "plane unit"]) -> UInt8[np.ndarray, "plane unit"]:
        """Bring planes from the order of memory into the logical one."""
        if self.is_logical:
            return bits
        in_memory = bits.reshape(-1, *(self.shape[axis] for axis in self.order))
        axes = [0, *(1 + axis for axis in np.argsort(self.order))]
        return in_memory.transpose(axes).reshape(bits.shape)


def layout_of(values: torch.Tensor) -> Layout | None:
    """Find the order in which memory holds the units of a bin, or None if there are gaps or overlaps between them.

    Examples
    --------
    >>> layout_of(torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last))
    Layout(shape=(3, 4, 5), order=(1, 2, 0))
    """
    shape, strides = tuple(values.shape[1:]), values.stride()[1:]
    # The sort is stable and an axis of size 1 has no place in memory: in a logical layout it must not change the order.
    long_axes = sorted((axis for axis in range(len(shape)) if shape[axis] > 1), key=lambda axis: -strides[axis])
    expected = 1
    for axis in reversed(long_axes):
        if strides[axis] != expected:
            return None
        expected *= shape[axis]
    if long_axes == sorted(long_axes):
        return Layout(shape=shape, order=tuple(range(len(shape))))
    return Layout(shape=shape, order=(*(axis for axis in range(len(shape)) if shape[axis] == 1), *long_axes))


def dense_layout(values: torch.Tensor) -> tuple[torch.Tensor, Layout]:
    """Return values and their layout; values with gaps between units are copied first."""
    layout = layout_of(values)
    if layout is not None:
        return values, layout
    logical = tuple(range(values.ndim - 1))
    return values.contiguous(), Layout(shape=tuple(values.shape[1:]), order=logical)


def memory_of(values: torch.Tensor) -> tuple[Float[np.ndarray, " place"], int]:
    """View the memory from the first to the last value, and the distance between bins in it."""
    last = sum((size - 1) * stride for size, stride in zip(values.shape, values.stride(), strict=True))
    return values.as_strided((last + 1,), (1,)).numpy(), values.stride()[0]


def places_of(values: torch.Tensor, units: Int[np.ndarray, " unit"]) -> Int64[np.ndarray, " unit"]:
    """Return where the values of some units, given in the logical order, lie relative to the beginning of their bin."""
    if values[:1].is_contiguous():
        return np.ascontiguousarray(units, np.int64)
    axes = np.unravel_index(units, tuple(values.shape[1:]))
    return sum((axis * stride for axis, stride in zip(axes, values.stride()[1:], strict=True)), np.zeros_like(units))
