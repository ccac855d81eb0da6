"""Where the bits of a layer go on a device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64, UInt8


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Memory of a layer's bits on a device, eight bins of one unit to a byte.

    Parameters
    ----------
    bits
        Planes, units in the order of the column, shape (plane, unit); units of a plane follow one another in memory.
    invalid
        Counts of values that were NaN or infinite, one for each layer on the device, shape (layer,).
    slot
        Which of the counts is this layer's.
    """

    bits: UInt8[torch.Tensor, "plane unit"]
    invalid: Int64[torch.Tensor, " layer"]
    slot: int
