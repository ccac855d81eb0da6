"""Compilation of kernels with numba, cached on disk where possible."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
from numba.core import event


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function to machine code that releases the GIL and rounds as NumPy does.

    Fast-math is off: sums keep their order and products are not fused, so that results are bit-identical to NumPy's.
    Division by zero gives inf or NaN. The compiled code is cached on disk; if no cache folder can be written, each
    process compiles it again.

    Examples
    --------
    >>> @compiled
    ... def half(value):
    ...     return value / 2.0
    >>> half(3.0)
    1.5
    """
    _listen()
    # In tests, functions are wrapped by run-time type checks; numba needs the original function.
    plain = inspect.unwrap(function)
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(plain)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(plain)


class _Notice(event.Listener):
    """Log once per process that kernels of ann2neo are being compiled: a progress bar that does not move looks like a fault."""

    def on_start(self, event: Any) -> None:
        if (event.data["dispatcher"].py_func.__module__ or "").startswith("ann2neo."):
            _say()

    def on_end(self, event: Any) -> None:
        """Do nothing: the message is logged at the start."""


@cache
def _listen() -> None:
    event.register("numba:compile", _Notice())


@cache
def _say() -> None:
    logging.getLogger(__name__).warning(
        "Kernels are compiled, which takes a few seconds; if numba's cache can be written, later runs start at once."
    )
