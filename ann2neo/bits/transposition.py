"""Transposition of planes to rows of units: blocks of eight by eight bytes in registers."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8, UInt64

from ann2neo.compiled import compiled

TILE = 64


def transpose(planes: UInt8[np.ndarray, "plane unit"], first: int, rows: UInt8[np.ndarray, "unit byte"]) -> None:
    """Write plane k into byte ``first + k`` of each unit's row.

    Examples
    --------
    >>> rows = np.zeros((2, 4), np.uint8)
    >>> transpose(np.array([[1, 2], [3, 4], [5, 6]], np.uint8), 1, rows)
    >>> rows
    array([[0, 1, 3, 5],
           [0, 2, 4, 6]], dtype=uint8)
    """
    n_planes, n_units = (size // 8 * 8 for size in planes.shape)
    if n_planes and n_units:
        words = planes[:n_planes, :n_units].view(np.uint64)
        _transpose_words(words, rows[:n_units, first : first + n_planes].view(np.uint64))
    if n_units < planes.shape[1]:
        _transpose_bytes(planes[:, n_units:], first, rows[n_units:])
    if n_planes < planes.shape[0]:
        _transpose_bytes(planes[n_planes:, :n_units], first + n_planes, rows[:n_units])


@compiled
def _transpose_words(planes: UInt64[np.ndarray, "plane word"], rows: UInt64[np.ndarray, "unit word"]) -> None:
    """Transpose eight words of eight bytes at a time: single bytes are exchanged first, then pairs, then halves of words."""
    ones, twos, fours = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00000000FFFFFFFF)
    by1, by2, by4 = np.uint64(8), np.uint64(16), np.uint64(32)
    # Written to a tile first: rows whose length is a power of two evict one another from the cache.
    tile = np.empty((TILE, TILE // 8), np.uint64)
    n_planes, n_words = planes.shape[0] // 8, planes.shape[1]
    for word in range(0, n_words, TILE // 8):
        width = min(TILE // 8, n_words - word)
        for eight in range(0, n_planes, TILE // 8):
            height = min(TILE // 8, n_planes - eight)
            for e in range(height):
                p = 8 * (eight + e)
                for j in range(width):
                    k, u = word + j, 8 * j
                    a0, a1, a2, a3 = planes[p, k], planes[p + 1, k], planes[p + 2, k], planes[p + 3, k]
                    a4, a5, a6, a7 = planes[p + 4, k], planes[p + 5, k], planes[p + 6, k], planes[p + 7, k]
                    b0, b1 = (a0 & ones) | ((a1 & ones) << by1), ((a0 >> by1) & ones) | (a1 & ~ones)
                    b2, b3 = (a2 & ones) | ((a3 & ones) << by1), ((a2 >> by1) & ones) | (a3 & ~ones)
                    b4, b5 = (a4 & ones) | ((a5 & ones) << by1), ((a4 >> by1) & ones) | (a5 & ~ones)
                    b6, b7 = (a6 & ones) | ((a7 & ones) << by1), ((a6 >> by1) & ones) | (a7 & ~ones)
                    c0, c2 = (b0 & twos) | ((b2 & twos) << by2), ((b0 >> by2) & twos) | (b2 & ~twos)
                    c1, c3 = (b1 & twos) | ((b3 & twos) << by2), ((b1 >> by2) & twos) | (b3 & ~twos)
                    c4, c6 = (b4 & twos) | ((b6 & twos) << by2), ((b4 >> by2) & twos) | (b6 & ~twos)
                    c5, c7 = (b5 & twos) | ((b7 & twos) << by2), ((b5 >> by2) & twos) | (b7 & ~twos)
                    tile[u, e], tile[u + 4, e] = (c0 & fours) | (c4 << by4), (c0 >> by4) | (c4 & ~fours)
                    tile[u + 1, e], tile[u + 5, e] = (c1 & fours) | (c5 << by4), (c1 >> by4) | (c5 & ~fours)
                    tile[u + 2, e], tile[u + 6, e] = (c2 & fours) | (c6 << by4), (c2 >> by4) | (c6 & ~fours)
                    tile[u + 3, e], tile[u + 7, e] = (c3 & fours) | (c7 << by4), (c3 >> by4) | (c7 & ~fours)
            for u in range(8 * width):
                for e in range(height):
                    rows[8 * word + u, eight + e] = tile[u, e]


@compiled
def _transpose_bytes(planes: UInt8[np.ndarray, "plane unit"], first: int, rows: UInt8[np.ndarray, "unit byte"]) -> None:
    """Transpose the bytes that do not fill a word."""
    n_planes, n_units = planes.shape
    for unit in range(n_units):
        for plane in range(n_planes):
            rows[unit, first + plane] = planes[plane, unit]
