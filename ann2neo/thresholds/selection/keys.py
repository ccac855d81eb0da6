"""The place of a quantile among sorted values, and a mapping of floating-point numbers to integers that keeps their order."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt


def place_of(q: float, n_values: int) -> int:
    """Find the place of a quantile among sorted values, counted from 0: NumPy's "inverted_cdf" in double precision.

    Examples
    --------
    >>> [place_of(q, 10) for q in (0.0, 0.1, 0.11, 0.5, 1.0)]
    [0, 0, 1, 4, 9]
    """
    return max(math.ceil(n_values * q - 1), 0)


def ordered_keys(values: Float[np.ndarray, "*shape"]) -> UInt[np.ndarray, "*shape"]:
    """Map floating-point numbers to unsigned integers of the same width and order; both zeros have the same key.

    Examples
    --------
    >>> keys = ordered_keys(np.array([-np.inf, -1.0, -0.0, 0.0, 1e-45, 2.0], np.float32))
    >>> np.diff(keys.astype(int)) > 0
    array([ True,  True, False,  True,  True])
    """
    bits = (values + values.dtype.type(0)).view(f"u{values.dtype.itemsize}")
    sign = bits.dtype.type(1 << (8 * bits.dtype.itemsize - 1))
    return np.where(bits & sign, ~bits, bits | sign)


def values_of(keys: UInt[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Map keys back to floating-point numbers.

    Examples
    --------
    >>> values_of(ordered_keys(np.array([-1.5, 0.25], np.float16)))
    array([-1.5 ,  0.25], dtype=float16)
    """
    sign = keys.dtype.type(1 << (8 * keys.dtype.itemsize - 1))
    return np.where(keys & sign, keys ^ sign, ~keys).view(f"f{keys.dtype.itemsize}")
