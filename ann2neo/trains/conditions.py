"""Conditions: the typed values of a column of trials, known or unknown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ann2neo.errors import WindowError

UNKNOWN_TEXT = ("", "nan")


def known_conditions(parts: Sequence[Any], name: str) -> list[np.ndarray]:
    """Return the values of a column of every segment in one type, as arrays of objects with None where a value is unknown.

    Numbers stay numbers (45 and 45.0 are equal), text stays text, truth values stay truth values. NaN, None and empty text are unknown; a negative number
    is a value like any other.

    Raises
    ------
    WindowError
        If the column mixes text with numbers, or either with truth values, or holds values of other types.

    Examples
    --------
    >>> [values.tolist() for values in known_conditions([np.array([0.2, np.nan]), np.array([-1, 3])], "contrast")]
    [[0.2, None], [-1, 3]]
    """
    plain = [[_value(value) for value in _flat(part)] for part in parts]
    kinds = sorted({_kind(value, name) for of_part in plain for value in of_part if value is not None})
    if len(kinds) > 1:
        raise WindowError(
            f"column {name!r} holds {' and '.join(kinds)}.",
            "Conditions of different types cannot be ordered or distinguished: is '45' the number 45?",
            "Write all of its values in one type.",
        )
    return [_objects(of_part) for of_part in plain]


def condition_codes(parts: Sequence[np.ndarray]) -> tuple[tuple[Any, ...], list[np.ndarray]]:
    """Return the conditions in ascending order and the code of each value; -1 where a value is unknown.

    Examples
    --------
    >>> condition_codes([np.array([90, None, 45.0], object), np.array([-45], object)])
    ((-45, 45.0, 90), [array([ 2, -1,  1]), array([0])])
    """
    names = sorted({value for part in parts for value in part if value is not None})
    place = {value: number for number, value in enumerate(names)}
    codes = [np.array([-1 if value is None else place[value] for value in part], np.int64) for part in parts]
    return tuple(names), codes


def _objects(values: list[Any]) -> np.ndarray:
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _flat(part: Any) -> list[Any]:
    values = np.asarray(getattr(part, "magnitude", part))
    return values.tolist() if values.ndim == 1 else list(values)


def _value(value: Any) -> Any:
    """Convert a value to a Python object; None if it is unknown."""
    value = value.item() if isinstance(value, np.generic) else value
    value = value.decode(errors="replace") if isinstance(value, bytes) else value
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, str):
        value = value.strip()
        return None if value.lower() in UNKNOWN_TEXT else value
    return value


def _kind(value: Any, name: str) -> str:
    for types, words in ((bool, "truth values"), ((int, float), "numbers"), (str, "text")):
        if isinstance(value, types):
            return words
    raise WindowError(
        f"column {name!r} holds values of type {type(value).__name__}.",
        "Such values cannot be conditions.",
        "Use a column of numbers, text or truth values.",
    )
