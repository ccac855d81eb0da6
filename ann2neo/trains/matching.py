"""Identity of units: their names decide which trains of several segments belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.errors import AnalysisError
from ann2neo.recording import AXES
from ann2neo.trains.observed import OBS_INTERVALS
from ann2neo.trains.segment import ExternalSegment

IDENTITY = ("layer", "unit", *AXES)
"""Columns that say who a unit is, in tables of units and in trains."""
NAME = re.compile(r"^(?P<layer>.*)\[(?P<place>\d+(?:,\d+)*)\]$")
# Annotations by which other programs number their units, where trains have no names.
NUMBERS = ("unit_id", "id", "source_id", "cluster_id", "source_index")
# Annotations that neo's file formats add for their own use.
INTERNAL = ("nix_name", "neo_name", OBS_INTERVALS)
CURE = "Give each unit a unique name, the same in every segment (train.name), or analyze each segment separately."

Matched = tuple[tuple[Any, ...], ...]


def match_units(segments: Sequence[ExternalSegment]) -> Matched:
    """Sort the trains of every segment into one order, that of the units' first appearance; None where a segment lacks a unit.

    Trains are matched by name, or where no train has a name, by the numbers of other programs (``id``, ``source_id``, ...). Only trains without either are matched by
    position, and then every segment must hold the same number of trains.

    Raises
    ------
    AnalysisError
        If there are no trains, if names recur within one of several segments, or if numbers of trains differ and nothing identifies the units.

    Examples
    --------
    >>> import neo, quantities as pq
    >>> a, b, c = (neo.SpikeTrain([1] * pq.s, t_stop=2.0, name=name) for name in "abc")
    >>> [[t and t.name for t in s] for s in match_units([ExternalSegment(trains=(a, b)), ExternalSegment(trains=(c, b))])]
    [['a', 'b', None], [None, 'b', 'c']]
    """
    trains = [segment.trains for segment in segments]
    if not any(trains):
        raise AnalysisError(
            f"the {len(trains)} segments hold no spike trains.", "There is nothing to analyze.", "Pass spike trains."
        )
    if len(trains) == 1:
        return (trains[0],)
    keys = _keys(trains)
    if keys is None:
        return _by_position(trains)
    order = list(dict.fromkeys(key for of_segment in keys for key in of_segment))
    place = {key: number for number, key in enumerate(order)}
    rows: list[list[Any]] = [[None] * len(order) for _ in trains]
    for row, of_segment, own in zip(rows, keys, trains):
        for key, train in zip(of_segment, own):
            row[place[key]] = train
    return tuple(map(tuple, rows))


def _keys(trains: Sequence[tuple[Any, ...]]) -> list[list[Any]] | None:
    """Return the keys that identify the units in every segment; None if there are none."""
    names = [[_name(train) for train in segment] for segment in trains]
    if all(name for of_segment in names for name in of_segment):
        _check_unique(names, "name")
        return names
    if any(name for of_segment in names for name in of_segment):
        _check_positions(names)
        return None
    for key in NUMBERS:
        numbers = [[_plain(train.annotations.get(key)) for train in segment] for segment in trains]
        known = all(number is not None for of_segment in numbers for number in of_segment)
        if known and all(len(set(of_segment)) == len(of_segment) for of_segment in numbers):
            return numbers
    return None


def _name(train: Any) -> str:
    return str(train.name or "").strip()


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value
    return value if isinstance(value, (int, str)) else None


def _check_unique(names: list[list[str]], what: str) -> None:
    for number, of_segment in enumerate(names):
        twice = (
            sorted({name for name in of_segment if of_segment.count(name) > 1})
            if len(set(of_segment)) < len(of_segment)
            else []
        )
        if twice:
            raise AnalysisError(
                f"segment {number} holds {len(twice)} {what}s more than once, such as {twice[0]!r}.",
                "It is unclear which trains of the segments belong to the same unit.",
                CURE,
            )


def _by_position(trains: Sequence[tuple[Any, ...]]) -> Matched:
    counts = sorted({len(segment) for segment in trains})
    if len(counts) > 1:
        raise AnalysisError(
            f"the segments hold {counts} spike trains without names.",
            "It is unclear which trains belong to the same unit.",
            CURE,
        )
    return tuple(trains)


def _check_positions(names: list[list[str]]) -> None:
    """Check that names do not contradict a matching by position where some trains have none."""
    for place in range(min(map(len, names))):
        known = {of_segment[place] for of_segment in names} - {""}
        if len(known) > 1:
            raise AnalysisError(
                f"train {place} is called {', '.join(map(repr, sorted(known)))} in different segments, and some trains have no name.",
                "It is unclear which trains belong to the same unit.",
                CURE,
            )


def identify_units(matched: Matched) -> pd.DataFrame:
    """Return a table of the identities of units, one row each: layer, unit, channel, row, col, then ``name`` and scalar annotations where there are any.

    Layer and place are read from ann2neo's annotations, or from a name such as ``fc[3,0,1]``; else the layer is ``units``, and units are numbered within it. An
    unknown coordinate is -1. An annotation that differs between segments is not a property of the unit and is left out.
    """
    firsts = [next(row[unit] for row in matched if row[unit] is not None) for unit in range(len(matched[0]))]
    table = pd.DataFrame([_identity(train) for train in firsts], columns=list(IDENTITY))
    table = table.assign(unit=table["unit"].where(table["unit"] >= 0, table.groupby("layer").cumcount()))
    if all(NAME.match(_name(train)) for train in firsts):
        return table
    more = _described(matched)
    return pd.concat([table, more], axis=1) if len(more.columns) else table


def _identity(train: Any) -> tuple[str, int, int, int, int]:
    found = NAME.match(_name(train))
    layer = train.annotations.get("layer", found["layer"] if found else "units")
    place = ([*(int(part) for part in found["place"].split(","))] if found else []) + [-1, -1, -1]
    axes = [_integer(train.annotations.get(axis), value) for axis, value in zip(IDENTITY[2:], place)]
    return str(layer), _integer(train.annotations.get("source_index"), -1), axes[0], axes[1], axes[2]


def _integer(value: Any, otherwise: int) -> int:
    """Return a whole number, or ``otherwise``: a channel of another laboratory may be called 'A-012', which is an annotation and not a coordinate."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return int(value) if whole else otherwise


def _described(matched: Matched) -> pd.DataFrame:
    """Collect names and scalar annotations; a missing value is NaN among numbers, and empty among text."""
    trains = [[row[unit] for row in matched if row[unit] is not None] for unit in range(len(matched[0]))]
    names = {"name": [_name(of_unit[0]) for of_unit in trains]} if any(_name(own[0]) for own in trains) else {}
    keys = dict.fromkeys(key for of_unit in trains for key in of_unit[0].annotations if key not in INTERNAL)
    shared = {str(key): [_shared(of_unit, key) for of_unit in trains] for key in keys}
    columns = {key: _column(values) for key, values in shared.items() if not _is_identity(key, values)}
    return pd.DataFrame({**names, **{key: column for key, column in columns.items() if column is not None}})


def _is_identity(key: str, values: list[Any]) -> bool:
    """Return whether an annotation is already in the first columns of the table."""
    whole = all(isinstance(value, int) and not isinstance(value, bool) for value in values)
    return key == "layer" or (key in (*IDENTITY[2:], "source_index") and whole)


def _shared(trains: Sequence[Any], key: str) -> Any:
    values = [_scalar(train.annotations.get(key)) for train in trains]
    same = all(value == values[0] or (value != value and values[0] != values[0]) for value in values)
    return values[0] if same else None


def _scalar(value: Any) -> Any:
    """Return text, numbers and truth values, which fit into a cell of a table; other values are left out."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = f"{value}" if hasattr(value, "units") else value.item()
    value = value.item() if isinstance(value, np.generic) else value
    value = value.decode(errors="replace") if isinstance(value, bytes) else value
    return value if isinstance(value, (str, bool, int, float)) else None


def _column(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    if not known:
        return None
    kinds = {type(value) for value in known}
    if kinds <= {int, float} and (float in kinds or len(known) < len(values)):
        return [float("nan") if value is None else float(value) for value in values]
    if len(kinds) == 1 and len(known) == len(values):
        return values
    return ["" if value is None else str(value) for value in values]


def with_prefix(units: pd.DataFrame, taken: Mapping[str, Any] | set[str]) -> pd.DataFrame:
    """Prefix with ``unit_`` the names and annotations that are named like a column of the table.

    Examples
    --------
    >>> units = pd.DataFrame({"layer": ["units"], "unit": [0], "channel": [-1], "row": [-1], "col": [-1], "quality": ["mua"]})
    >>> with_prefix(units, {"quality"}).columns.tolist()[-1]
    'unit_quality'
    """
    columns, used = [], {*taken, *IDENTITY}
    for number, column in enumerate(units.columns):
        name = str(column)
        while number >= len(IDENTITY) and name in used:
            name = f"unit_{name}"
        columns.append(name)
        used.add(name)
    return units.set_axis(columns, axis=1)
