"""Compile a kernel once and keep it on disk, where there is a place to keep it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function to machine code that releases Python's lock and rounds as NumPy does.

    No fast-math: sums keep their order and products are not fused, so that the bits are NumPy's. Division by zero
    gives inf or NaN. The compiled code is cached on disk; where no cache folder can be written, it is compiled anew in
    each process.

    Examples
    --------
    >>> @compiled
    ... def half(value):
    ...     return value / 2.0
    >>> half(3.0)
    1.5
    """
    # Run-time type checks wrap functions in tests; numba needs the function itself.
    plain = inspect.unwrap(function)
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(plain)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(plain)
