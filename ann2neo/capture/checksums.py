"""Check sums by which a batch of inputs is known again."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8, UInt64

from ann2neo.capture.inputs.parts import parts
from ann2neo.compiled import compiled

N_LANES = 64
# Odd, so that multiplying loses nothing; its bits look random (the golden ratio's).
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def batch_checksum(x: Any, labels: np.ndarray | None = None) -> int:
    """Check sum of all arrays of a batch, with their types and shapes, and of its labels where it holds some; 32 bits.

    A tensor and an array of the same numbers, type and shape have the same.

    Examples
    --------
    >>> batch_checksum(torch.zeros(2)) == batch_checksum(torch.zeros(2, 1)), batch_checksum(torch.ones(2)) == batch_checksum(np.ones(2, np.float32))
    (False, True)
    """
    if labels is not None:
        return zlib.crc32(np.ascontiguousarray(labels, "<i8").data, batch_checksum(x))
    if isinstance(x, torch.Tensor):
        content = x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        return zlib.crc32(f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}".encode(), checksum(content))
    if isinstance(x, np.ndarray):
        content = np.ascontiguousarray(x).reshape(-1).view(np.uint8)
        return zlib.crc32(f"{x.dtype} {x.shape}".encode(), checksum(content))
    if isinstance(x, Mapping):
        return batch_checksum([part for key, value in x.items() for part in (str(key), value)])
    if isinstance(x, (list, tuple)):
        return zlib.crc32(json.dumps([batch_checksum(part) for part in x]).encode())
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return batch_checksum(parts(x))
    written = str(x) if isinstance(x, (str, int, float, bool)) else type(x).__name__
    return zlib.crc32(written.encode())


def checksum(content: UInt8[np.ndarray, " byte"]) -> int:
    """Check sum of bytes, ten times faster than a CRC of all of them: only what 64 lanes make of the words, and the last bytes, go into a CRC.

    A change of a single word always changes it. It is no protection against forgery.

    Examples
    --------
    >>> checksum(np.zeros(1000, np.uint8)) == checksum(np.zeros(1001, np.uint8)), checksum(np.zeros(0, np.uint8))
    (False, 4022694632)
    """
    n_bytes = content.size // (8 * N_LANES) * (8 * N_LANES)
    words = content[:n_bytes]
    # Words that begin amid a word of memory are another kind of array to the compiler.
    words = words if words.ctypes.data % 8 == 0 else words.copy()
    lanes = np.full(N_LANES, MULTIPLIER, np.uint64)
    mix(words.view(np.uint64), MULTIPLIER, lanes)
    return zlib.crc32(content[n_bytes:].data, zlib.crc32(lanes.data))


@compiled
def mix(words: UInt64[np.ndarray, " word"], multiplier: np.uint64, lanes: UInt64[np.ndarray, " lane"]) -> None:
    """Mix words into lanes, one of each row of words into each."""
    for first in range(0, words.size, lanes.size):
        row = words[first : first + lanes.size]
        for lane in range(lanes.size):
            mixed = (lanes[lane] ^ row[lane]) * multiplier
            # The upper bits must reach the lower ones: products alone would let two changed signs cancel.
            lanes[lane] = mixed ^ (mixed >> np.uint64(29))
