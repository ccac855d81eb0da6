"""Ids of bins as masks of words of 64 bits: spikes are then counted 64 bins at a time."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int32, Int64, UInt64

from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk.kernels import Ids

WORD_BITS = 64
# Below this number of bins for each mask, spikes are counted one by one.
_BINS_PER_MASK = 4
# Up to this number of ids, masks are made wherever bins lie; beyond it only for runs of bins.
_FEW_IDS = 16
# Place k of a word in memory, in the order of `numpy.packbits` and whatever the order of bytes: its first k bits.
_FIRST_BITS = np.packbits(np.tri(WORD_BITS + 1, WORD_BITS, -1, bool), axis=1).view(np.uint64).ravel()

_Masks = tuple[Int64[np.ndarray, " mask"], UInt64[np.ndarray, " mask"], Int64[np.ndarray, " mask"]]

NO_IDS = Ids(
    of_bin=np.zeros(0, np.int32),
    words=np.zeros(0, np.int64),
    masks=np.zeros(0, np.uint64),
    of_mask=np.zeros(0, np.int64),
)
"""Ids of no bins: a placeholder for None in compiled code, so that each kernel is compiled for one set of types."""


def as_ids(ids: Int[np.ndarray, " item"]) -> Int32[np.ndarray, " item"]:
    """Convert ids to the type for which kernels are compiled."""
    return np.ascontiguousarray(ids, np.int32)


def ids_of_bins(spikes: SpikeBits, ids: Int[np.ndarray, " bin"], n_ids: int) -> Ids:
    """Convert ids of bins to the types for which kernels are compiled, with masks where each covers several bins.

    Parameters
    ----------
    spikes
        Spikes of some units.
    ids
        Id of each bin over all passes, -1 for none, below ``n_ids``, shape (bin,).
    n_ids
        Number of ids.

    Examples
    --------
    >>> bits = np.zeros((1, 1, 2), np.uint8)
    >>> nothing = np.zeros(16, int)
    >>> spikes = SpikeBits(
    ...     bits=bits, pass_bins=16, bin_size_ms=1.0, stretch_edges=np.array([0, 16]), window=nothing, window_pass=np.zeros(1, int)
    ... )
    >>> found = ids_of_bins(spikes, np.repeat([0, 1, -1], [4, 4, 8]), 2)
    >>> found.words, found.of_mask, np.bitwise_count(found.masks)
    (array([0, 0]), array([0, 1]), array([4, 4], dtype=uint8))
    """
    by_pass = np.ascontiguousarray(ids).reshape(spikes.bits.shape[0], spikes.pass_bins)
    words, masks, of_mask = _masks_of_few(by_pass, n_ids) if n_ids <= _FEW_IDS else _masks_of_runs(by_pass)
    if words.size * _BINS_PER_MASK > ids.size:
        return NO_IDS._replace(of_bin=as_ids(ids))
    return Ids(of_bin=as_ids(ids), words=words, masks=masks, of_mask=of_mask)


def _masks_of_few(ids: Int[np.ndarray, "pass bin"], n_ids: int) -> _Masks:
    """Make a mask of every word for each id, and keep those that are not empty."""
    n_passes, n_bins = ids.shape
    chosen = np.zeros((n_ids, n_passes, -(-n_bins // WORD_BITS) * 8), np.uint8)
    for one in range(n_ids):
        chosen[one, :, : -(-n_bins // 8)] = np.packbits(ids == one, axis=1)
    masks = chosen.view(np.uint64).reshape(n_ids, chosen.shape[1] * chosen.shape[2] // 8)
    of_mask, words = np.nonzero(masks)
    return words, masks[of_mask, words], of_mask


def _masks_of_runs(ids: Int[np.ndarray, "pass bin"]) -> _Masks:
    """Make a mask of each run of bins with one id in one word."""
    n_passes, n_bins = ids.shape
    begins = np.ones((n_passes, n_bins), bool)
    begins[:, 1:] = ids[:, 1:] != ids[:, :-1]
    begins[:, ::WORD_BITS] = True
    flat = np.flatnonzero(begins)
    size = np.diff(flat, append=ids.size)
    known = ids.ravel()[flat] >= 0
    flat, size = flat[known], size[known]
    number, place = np.divmod(flat, n_bins)
    word, first = np.divmod(place, WORD_BITS)
    masks = _FIRST_BITS[first + size] ^ _FIRST_BITS[first]
    return number * -(-n_bins // WORD_BITS) + word, masks, ids.ravel()[flat].astype(np.int64)
