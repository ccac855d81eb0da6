"""Arrays that enter a public function: of its axes, sizes and kinds of number, as its annotations say."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar, get_args, get_type_hints

import numpy as np

from ann2neo.arguments import shown
from ann2neo.errors import AnalysisError

P = ParamSpec("P")
R = TypeVar("R")

# What an argument of this name holds in every function, for any axes.
COUNTS = frozenset(("n", "counts", "spikes", "hits", "n_runs", "bin_sums"))
SIZES = frozenset(("bins", "window_bins", "label_bins", "durations", "sizes", "size"))
INTERVALS = frozenset(("isis",))
PROBABILITIES = frozenset(("p",))
NUMBERS_OF_AXES = {1: "one axis", 2: "two axes"}


def by_annotation(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arrays of a function against its annotations before it runs, and take lists for arrays.

    An axis that two arguments share has one size. Counts and sizes are not negative, intervals are positive, probabilities are between 0 and 1 (or NaN:
    unknown). Whole numbers are taken where fractions may be, never the other way round.

    Raises
    ------
    AnalysisError
        Where an array does not fit.

    Examples
    --------
    >>> from jaxtyping import Int
    >>> @by_annotation
    ... def rest(n: Int[np.ndarray, "unit stretch"], bins: Int[np.ndarray, " stretch"]):
    ...     return bins - n
    >>> rest([[1, 2]], [5, 5])
    array([[4, 3]])
    >>> rest(np.array([1, 2]), np.array([5, 5]))
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: `n` must have the axes (unit, stretch), got shape (2,).
    Its numbers would be taken for others.
    Use n[:, None] where there is one stretch, or n[None] where there is one unit.
    """
    signature = inspect.signature(function)

    @cache
    def hints() -> dict[str, Any]:
        known = {name: _array_hint(hint) for name, hint in get_type_hints(function).items()}
        return {name: hint for name, hint in known.items() if hint is not None and name != "return"}

    @wraps(function)
    def checked(*given: P.args, **named: P.kwargs) -> R:
        bound = signature.bind(*given, **named)
        _check(bound.arguments, hints())
        return function(*bound.args, **bound.kwargs)

    return checked


def _array_hint(hint: Any) -> Any:
    """Find the array among what an argument may be."""
    return next((one for one in (hint, *get_args(hint)) if hasattr(one, "dim_str")), None)


def _check(arguments: dict[str, Any], hints: Mapping[str, Any]) -> None:
    """Turn arguments into arrays in place, and refuse what does not fit."""
    sizes: dict[str, tuple[int, str]] = {}
    for name, hint in hints.items():
        if arguments.get(name) is None and name not in arguments:
            continue
        if arguments[name] is None and name == "window_pass":
            continue
        arguments[name] = array = _of_kind(arguments[name], name, hint.dtypes)
        axes = hint.dim_str.split()
        if not any(axis.startswith("*") or axis == "..." for axis in axes):
            _check_axes(array, name, axes, sizes)
        _check_values(array, name)


def _of_kind(given: Any, name: str, dtypes: Sequence[str]) -> np.ndarray:
    try:
        array = np.asarray(given)
    except ValueError:
        array = np.asarray(None)
    kind = array.dtype.kind
    if array.dtype.name in dtypes:
        return array
    if kind in "iu" and "int64" in dtypes:
        return array.astype(np.int64)
    if kind in "iuf" and "float64" in dtypes:
        return array.astype(np.float64)
    if array.size == 0 and kind == "f":
        return array.astype(np.int64 if "int64" in dtypes else bool)
    wanted = "numbers" if "float64" in dtypes else "whole numbers" if "int64" in dtypes else "truth values"
    cure = {
        "numbers": "Give an array of numbers.",
        "whole numbers": f"Use {name}.astype(int) where they are whole.",
        "truth values": f"Use {name} > 0, for instance.",
    }[wanted]
    what = f"numbers of type {array.dtype}" if kind in "iufbc" else shown(given)
    raise AnalysisError(f"`{name}` must hold {wanted}, got {what}.", "Nothing was computed.", cure)


def _check_axes(array: np.ndarray, name: str, axes: list[str], sizes: dict[str, tuple[int, str]]) -> None:
    if array.ndim != len(axes):
        cure = f"Give an array with {NUMBERS_OF_AXES[len(axes)]}: {', '.join(axes)}."
        if (array.ndim, len(axes)) == (1, 2):
            cure = f"Use {name}[:, None] where there is one {axes[1]}, or {name}[None] where there is one {axes[0]}."
        elif (array.ndim, len(axes)) == (0, 1):
            cure = f"Use {name}=np.array([{array.item()}]) for one {axes[0]}."
        raise AnalysisError(
            f"`{name}` must have the {'axes' if len(axes) > 1 else 'axis'} ({', '.join(axes)}), got shape {array.shape}.",
            "Its numbers would be taken for others.",
            cure,
        )
    for axis, size in zip(axes, array.shape, strict=True):
        known, other = sizes.setdefault(axis, (size, name))
        if known != size:
            raise AnalysisError(
                f"`{other}` has {known} entries along the axis {axis!r}, `{name}` has {size}.",
                "They do not belong together.",
                f"Give `{name}` one entry for each {axis} of `{other}`.",
            )


def _check_values(array: np.ndarray, name: str) -> None:
    if not array.size or array.dtype == bool:
        return
    low, high = array.min(), array.max()
    if name in COUNTS and low < 0:
        raise AnalysisError(f"A unit has {low} spikes.", "Chance cannot be computed.", "Give counts of at least 0.")
    if name in SIZES and not (low >= 0 and np.isfinite(high)):
        raise AnalysisError(
            f"`{name}` reaches from {low} to {high}.", "No spike fits in there.", "Give finite sizes of at least 0."
        )
    if name in INTERVALS and not (low > 0 and np.isfinite(high)):
        raise AnalysisError(
            f"`{name}` reaches from {low} to {high}.",
            "The spikes of a unit ascend in time, so that no interval can be so.",
            "Take the differences of sorted spike times.",
        )
    if name in PROBABILITIES and not (np.nanmin(array, initial=0.5) >= 0 and np.nanmax(array, initial=0.5) <= 1):
        raise AnalysisError(
            f"`{name}` reaches from {np.nanmin(array)} to {np.nanmax(array)}.",
            "A probability is between 0 and 1.",
            f"Use np.clip({name}, 0, 1) where these are errors of rounding.",
        )
