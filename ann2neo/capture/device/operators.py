"""The kernel's twin in torch's own operators, for devices without Triton: the same bits from several launches."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64, UInt8

from ann2neo.capture.device.target import Target
from ann2neo.capture.packing.layouts import layout_of


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
