"""Checks of the arguments of public functions: a number, seed, truth value or name is returned, anything else raises with an example."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

from ann2neo.errors import AnalysisError, Ann2NeoError, suggestion

NOTHING = "Nothing was done."


def check_whole(
    value: Any, name: str, *, low: int = 1, such_as: int | None = None, error: type[Ann2NeoError] = AnalysisError
) -> int:
    """Check that an argument is a whole number of at least ``low``; truth values are refused.

    Parameters
    ----------
    value
        Value of the argument.
    name
        Name of the argument.
    low
        Smallest allowed number.
    such_as
        Number that the message suggests; None for the smallest.
    error
        Class of the error that is raised.

    Raises
    ------
    Ann2NeoError
        If the value is not a whole number, or too small.

    Examples
    --------
    >>> check_whole(np.int64(3), "n_groups")
    3
    >>> check_whole(-1, "min_spikes", low=0, such_as=10)
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: `min_spikes` must be a whole number of at least 0, got -1.
    Nothing was done.
    Use min_spikes=10, for instance.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral) or int(value) < low:
        use = low if such_as is None else such_as
        raise error(
            f"`{name}` must be a whole number of at least {low}, got {shown(value)}.",
            NOTHING,
            f"Use {name}={use}, for instance.",
        )
    return int(value)


def check_seed(value: Any, name: str = "seed", *, error: type[Ann2NeoError] = AnalysisError) -> int:
    """Check that an argument is a seed: a whole number of at least 0, so that the same call gives the same numbers.

    Raises
    ------
    Ann2NeoError
        If it is anything else, such as None, with which results could not be reproduced.

    Examples
    --------
    >>> check_seed(7)
    7
    >>> check_seed(None)
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: `seed` must be a whole number of at least 0, got None.
    Nothing was done.
    Use seed=0, for instance.
    """
    return check_whole(value, name, low=0, error=error)


def check_number(
    value: Any,
    name: str,
    *,
    low: float | int = -math.inf,
    above: float | int = -math.inf,
    below: float | int = math.inf,
    such_as: float | int = 1.0,
    error: type[Ann2NeoError] = AnalysisError,
) -> float:
    """Check that an argument is a number of at least ``low`` and strictly between the other bounds; NaN, infinity and truth values are refused.

    Examples
    --------
    >>> check_number(0.95, "confidence", above=0, below=1, such_as=0.95)
    0.95
    >>> check_number("a", "confidence", above=0, below=1, such_as=0.95)
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: `confidence` must be a number between 0 and 1, got 'a'.
    Nothing was done.
    Use confidence=0.95, for instance.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not is_number or not math.isfinite(value) or not (above < float(value) < below and low <= float(value)):
        bounds = f" between {above} and {below}" if math.isfinite(below) else ""
        bounds = f" above {above}" if math.isfinite(above) and not bounds else bounds
        bounds = f" of at least {low}" if math.isfinite(low) and not bounds else bounds
        raise error(
            f"`{name}` must be a number{bounds}, got {shown(value)}.", NOTHING, f"Use {name}={such_as}, for instance."
        )
    return float(value)


def check_flag(value: Any, name: str, *, error: type[Ann2NeoError] = AnalysisError) -> bool:
    """Check that an argument is a truth value; a text such as "no", which Python would count as true, is refused.

    Examples
    --------
    >>> check_flag(np.True_, "tests")
    True
    >>> check_flag("no", "tests")
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: `tests` must be True or False, got 'no'.
    Nothing was done.
    Use tests=True or tests=False.
    """
    if not isinstance(value, bool | np.bool_):
        raise error(
            f"`{name}` must be True or False, got {shown(value)}.", NOTHING, f"Use {name}=True or {name}=False."
        )
    return bool(value)


def check_choice(value: Any, name: str, known: Iterable[str], *, error: type[Ann2NeoError] = AnalysisError) -> str:
    """Check that an argument is one of the known names.

    Examples
    --------
    >>> check_choice("bh", "method", ("bh", "by"))
    'bh'
    >>> check_choice("elephnat", "engine", ("auto", "elephant"))
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: `engine` must be 'auto' or 'elephant', got 'elephnat'. Did you mean 'elephant'?
    Nothing was done.
    Use engine='auto', for instance.
    """
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise error(
            f"`{name}` must be {' or '.join(map(repr, names))}, got {shown(value)}.{suggestion(str(value), names)}",
            NOTHING,
            f"Use {name}={names[0]!r}, for instance.",
        )
    return value


def check_text(value: Any, name: str, *, such_as: str, error: type[Ann2NeoError] = AnalysisError) -> str:
    """Check that an argument is a text that is not empty.

    Examples
    --------
    >>> check_text("", "layer", such_as="fc1")
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: `layer` must be a text that is not empty, got ''.
    Nothing was done.
    Use layer='fc1', for instance.
    """
    if not isinstance(value, str) or not value:
        raise error(
            f"`{name}` must be a text that is not empty, got {shown(value)}.",
            NOTHING,
            f"Use {name}={such_as!r}, for instance.",
        )
    return value


def shown(value: Any) -> str:
    """Format a value for a message; of arrays, tables and long texts only the type is shown.

    Examples
    --------
    >>> shown(1.5), shown(np.zeros(3)), shown("x" * 99)
    ('1.5', 'an object of type ndarray', 'an object of type str')
    """
    if value is None or (isinstance(value, str | int | float | np.generic) and len(repr(value)) <= 60):
        return repr(value.item() if isinstance(value, np.generic) else value)
    return f"an object of type {type(value).__name__}"
