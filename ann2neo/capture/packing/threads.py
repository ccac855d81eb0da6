"""Packing large activations by as many threads as torch uses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, UInt8

from ann2neo.capture.packing.kernels import pack_rows

# From this many values on another thread saves more time than it takes to wake it.
LARGE = 1 << 19


def pack_by_threads(
    values: Float[np.ndarray, " place"],
    row_stride: int,
    n_bins: int,
    limits: Float[np.ndarray, " limit"],
    bits: UInt8[np.ndarray, "plane unit"],
) -> bool:
    """Pack as the kernel `pack_rows` does; of large activations each thread packs some planes.

    The kernel releases Python's lock. Its own threads would be numba's, which reset torch's number of threads.
    """
    n_threads = min(torch.get_num_threads(), len(bits)) if values.size >= LARGE else 1
    if n_threads == 1:
        return pack_rows(values, row_stride, n_bins, limits, bits)
    edges = np.linspace(0, len(bits), n_threads + 1).astype(int).tolist()
    parts = [
        (values[8 * first * row_stride :], row_stride, min(8 * stop, n_bins) - 8 * first, limits, bits[first:stop])
        for first, stop in pairwise(edges)
    ]
    others = [_threads(n_threads - 1).submit(pack_rows, *part) for part in parts[1:]]
    finite = [pack_rows(*parts[0]), *(other.result() for other in others)]
    return all(finite)


@cache
def _threads(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, thread_name_prefix="ann2neo-packing")
