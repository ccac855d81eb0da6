"""Nested batches: mappings, tuples, lists, dataclasses and objects that hold tensors, walked by one pair of functions."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch


def parts(x: Any) -> dict[Any, Any]:
    """Return the parts of a batch by name or position; none if it is a single thing.

    An object of another library counts as a mapping if it has ``keys`` and ``x[key]`` (graphs of PyTorch Geometric), and otherwise by those of its attributes that hold tensors or arrays.

    Examples
    --------
    >>> parts({"a": 1}), parts((1, 2)), parts(3)
    ({'a': 1}, {0: 1, 1: 2}, {})
    """
    # Most of what is asked about.
    if isinstance(x, (torch.Tensor, np.ndarray)):
        return {}
    if isinstance(x, Mapping):
        return dict(x)
    if isinstance(x, (tuple, list)):
        return dict(enumerate(x))
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return {field.name: getattr(x, field.name) for field in dataclasses.fields(x)}
    if _is_plain(x):
        return {}
    if _has_keys(x):
        return _keyed(x)
    return {name: value for name, value in vars(x).items() if any(True for _ in arrays(value))}


def with_parts(x: Any, change: Callable[[Any], Any]) -> Any:
    """Return a batch of the same form with every part changed.

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
    inner = parts(x)
    if not inner:
        return x
    other = copy.copy(x)
    for name, value in inner.items():
        if not dataclasses.is_dataclass(x) and _has_keys(x):
            other[name] = change(value)
        else:
            # Frozen ones too: this one is not in use yet.
            object.__setattr__(other, name, change(value))
    return other


def leaves(x: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield everything in a batch that has no parts, each with its path.

    Examples
    --------
    >>> list(leaves({"a": [1, 2], "b": 3}))
    [('/a/0', 1), ('/a/1', 2), ('/b', 3)]
    """
    inner = parts(x)
    if not inner:
        yield path, x
    for key, value in inner.items():
        yield from leaves(value, f"{path}/{key}")


def arrays(x: Any) -> Iterator[tuple[str, torch.Tensor | np.ndarray]]:
    """Yield the tensors and arrays in a batch, each with its path.

    Examples
    --------
    >>> [path for path, _ in arrays({"x": torch.zeros(2), "name": "a"})]
    ['/x']
    """
    return ((path, leaf) for path, leaf in leaves(x) if isinstance(leaf, (torch.Tensor, np.ndarray)))


def _keyed(x: Any) -> dict[Any, Any]:
    return {key: x[key] for key in (x.keys() if callable(x.keys) else x.keys)}  # pyright: ignore[reportGeneralTypeIssues]


def _has_keys(x: Any) -> bool:
    return hasattr(x, "keys") and hasattr(x, "__getitem__")


def _is_plain(x: Any) -> bool:
    """Whether a thing is taken as a whole: it has no attributes, or is a tensor, an array, a type, a function or a module."""
    whole = (torch.Tensor, np.ndarray, type, torch.nn.Module)
    return not hasattr(x, "__dict__") or isinstance(x, whole) or callable(x)
