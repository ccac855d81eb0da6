"""Compile a kernel once and keep it on disk, where there is a place to keep it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
from numba.core import event


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
    _listen()
    # Run-time type checks wrap functions in tests; numba needs the function itself.
    plain = inspect.unwrap(function)
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(plain)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(plain)


class _Notice(event.Listener):
    """Say once in a process that kernels of ours are being compiled: a bar that stands still looks like a fault."""

    def on_start(self, event: Any) -> None:
        if (event.data["dispatcher"].py_func.__module__ or "").startswith("ann2neo."):
            _say()

    def on_end(self, event: Any) -> None:
        """Nothing is left to say."""


@cache
def _listen() -> None:
    event.register("numba:compile", _Notice())


@cache
def _say() -> None:
    logging.getLogger(__name__).warning(
        "Kernels are compiled, which takes some seconds; where the cache of numba can be written, later runs start at once."
    )
