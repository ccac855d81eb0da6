"""What the code of a module's forward names, for what cannot be seen when it runs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

from torch import nn


def forward_of(module: nn.Module) -> FunctionType | None:
    """Find the function that a module's forward is written as, beneath what decorates it; None if that is not written in Python."""
    method = getattr(module, "forward", None)
    function = inspect.unwrap(getattr(method, "__func__", method)) if callable(method) else None
    return function if isinstance(function, FunctionType) else None


def names_in(function: FunctionType) -> set[str]:
    """Names that a function reads, of variables, attributes and keywords, also in the functions within it.

    Examples
    --------
    >>> sorted(names_in(lambda x: x.relu(min=zero)))
    ['min', 'relu', 'zero']
    """
    return set(_names(function.__code__))


def variables_of(function: FunctionType) -> Mapping[str, Any]:
    """Variables from outside that a function may read, by name: of its module, and of the functions around it."""
    around = inspect.getclosurevars(function).nonlocals if function.__closure__ else {}
    return {**function.__globals__, **around}


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from code.co_freevars
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, tuple):
            # How the compiler keeps the names of keywords.
            yield from (name for name in constant if isinstance(name, str))
