"""Memory of a device: how much of it columns may take, and where the bits of a layer go."""

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


# Of the card's memory, and at most: bits, and the rows that are made of them before they leave.
SHARE, MOST_BYTES = 0.02, 1 << 30
# A few batches at a time, so that rows on the host are written in pieces that are not too short.
BATCHES, LEAST_PLANES = 8, 128


def planes_within(device: torch.device, n_units: int, n_bins: int) -> int:
    """Choose how many planes the columns of a device hold: 8 batches or 1,024 bins, if they fit into 1 GiB and 2 % of the card; at least one batch.

    Parameters
    ----------
    device
        The device.
    n_units
        Number of recorded units of all its layers.
    n_bins
        Number of bins of a batch.

    Examples
    --------
    >>> [planes_within(torch.device("cpu"), n, 256) for n in (1000, 4_000_000, 100_000_000)]
    [256, 134, 33]
    """
    # Seven bins may be left of the batch before.
    batch = -(-(n_bins + 7) // 8)
    # Twice: planes, and rows that are made of them.
    return max(batch, min(max(BATCHES * -(-n_bins // 8), LEAST_PLANES), bytes_of(device) // (2 * max(n_units, 1))))


def bytes_of(device: torch.device) -> int:
    """Number of bytes that columns may take on a device."""
    if device.type != "cuda":
        return MOST_BYTES
    return min(MOST_BYTES, int(SHARE * torch.cuda.get_device_properties(device).total_memory))
