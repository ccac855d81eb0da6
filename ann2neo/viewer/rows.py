"""Rows of bits: the units of all layers in sequence, in any order of the inputs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, UInt8, UInt64

from ann2neo.compiled import compiled
from ann2neo.recording import Recording
from ann2neo.windows import trial_order

# Number of units that are arranged together, one byte of each in a word.
EIGHT = 8


def packed_rows(recording: Recording, first: int, stop: int) -> UInt8[np.ndarray, "unit byte"]:
    """Read the spikes of some units, numbered over all layers, as one bit for each bin of all passes.

    Parameters
    ----------
    recording
        Recording to read.
    first, stop
        Half-open range of units; the units of the first layer come first.

    Returns
    -------
    numpy.ndarray
        Bits in the layout of `numpy.packbits`, shape (unit, byte), with the bins of all passes in sequence; unused bits of the last byte are zero.

    Examples
    --------
    >>> import ann2neo
    >>> packed_rows(ann2neo.from_array(np.eye(3, dtype=bool)), 1, 3)
    array([[64],
           [32]], dtype=uint8)
    """
    parts, begin = [], 0
    for layer in recording.layers:
        here = slice(max(first - begin, 0), min(stop - begin, layer.n_units))
        if here.start < here.stop:
            raster = layer.raster
            parts.append(raster.bits(here)[0] if raster.n_passes == 1 else np.packbits(raster.dense(here), axis=1))
        begin += layer.n_units
    return np.concatenate(parts) if parts else np.zeros((0, -(-recording.n_bins // 8)), np.uint8)


def rows_by_label(recording: Recording) -> Int[np.ndarray, " row"] | None:
    """List the rows of the trials by label within each pass, and in presented order within a label. None if inputs have no labels.

    Examples
    --------
    >>> import ann2neo
    >>> rows_by_label(ann2neo.from_array(np.eye(4, dtype=bool), labels=[1, 0, 1, 0])).tolist()
    [1, 3, 0, 2]
    """
    if "label" not in recording.trials.columns:
        return None
    one_pass = recording.trials[recording.trials["pass"] == 0]
    order = trial_order(one_pass, "label")
    return np.concatenate([order + p * order.size for p in range(recording.n_passes)])


def bins_of(recording: Recording, rows: Int[np.ndarray, " row"]) -> Int[np.ndarray, " bin"]:
    """List the bins of the trials in the given rows, trial by trial.

    Examples
    --------
    >>> import ann2neo
    >>> bins_of(ann2neo.from_array(np.eye(3, dtype=bool)), np.array([2, 0, 1])).tolist()
    [2, 0, 1]
    """
    start = recording.trials["start_bin"].to_numpy(np.int64)[rows]
    length = recording.trials["stop_bin"].to_numpy(np.int64)[rows] - start
    places = np.cumsum(length) - length
    return np.repeat(start - places, length) + np.arange(recording.n_bins)


def gather(bits: UInt8[np.ndarray, "unit byte"], bins: Int[np.ndarray, " bin"]) -> UInt8[np.ndarray, "unit byte"]:
    """Arrange packed bits: position ``i`` of the result shows bin ``bins[i]``.

    Examples
    --------
    >>> gather(np.array([[0b10100000]], np.uint8), np.array([1, 0, 2]))
    array([[96]], dtype=uint8)
    """
    out = np.empty_like(bits)
    byte, shift = (bins >> 3).astype(np.int64), (7 - (bins & 7)).astype(np.uint64)
    for first in range(0, len(bits), EIGHT):
        part = bits[first : first + EIGHT]
        eight = np.zeros((bits.shape[1], EIGHT), np.uint8)
        eight[:, : len(part)] = part.T
        arranged = _gather_words(eight.view(np.uint64)[:, 0], byte, shift)
        out[first : first + EIGHT] = arranged[:, None].view(np.uint8).T[: len(part)]
    return out


@compiled
def _gather_words(
    words: UInt64[np.ndarray, " byte"], byte: Int[np.ndarray, " bin"], shift: UInt64[np.ndarray, " bin"]
) -> UInt64[np.ndarray, " byte"]:
    """Move the bits of eight units at once: byte ``k`` of each word belongs to unit ``k``."""
    out, lowest = np.zeros_like(words), np.uint64(0x0101010101010101)
    for place in range(byte.size):
        bit = (words[byte[place]] >> shift[place]) & lowest
        out[place >> 3] |= bit << np.uint64(7 - (place & 7))
    return out
