"""How much memory of a device columns may take."""

from __future__ import annotations

import torch

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
