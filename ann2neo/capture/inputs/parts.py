"""Batches of any form: mappings, tuples, lists and dataclasses of tensors, however deep."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


def parts(x: Any) -> dict[Any, Any]:
    """Give the parts of a batch by name or place; none if it is a single thing.

    Examples
    --------
    >>> parts({"a": 1}), parts((1, 2)), parts(3)
    ({'a': 1}, {0: 1, 1: 2}, {})
    """
    if isinstance(x, Mapping):
        return dict(x)
    if isinstance(x, (tuple, list)):
        return dict(enumerate(x))
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
    return {}


def with_parts(x: Any, change: Callable[[Any], Any]) -> Any:
    """Make a batch of the same form, each part of which is changed.

    Examples
    --------
    >>> with_parts({"a": 1, "b": 2}, lambda part: 10 * part), with_parts([1, 2], str), with_parts(3, str)
    ({'a': 10, 'b': 20}, ['1', '2'], 3)
    """
    if isinstance(x, Mapping):
        return {key: change(value) for key, value in x.items()}
    if isinstance(x, (tuple, list)):
        changed = [change(value) for value in x]
        return type(x)(*changed) if hasattr(x, "_fields") else type(x)(changed)
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        other = copy.copy(x)
        for name, value in parts(x).items():
            # Frozen ones too: nobody else has seen this one yet.
            object.__setattr__(other, name, change(value))
        return other
    return x
