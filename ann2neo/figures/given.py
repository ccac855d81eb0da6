"""What figures are given: a table of units, summaries, a recording; anything else is refused before matplotlib stumbles over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ann2neo.errors import AnalysisError, kind_of, suggestion
from ann2neo.recording import Recording

UNIT_TABLE = "the table of units that `ann2neo.analyze` gave"
SUMMARY = "what `ann2neo.summarize` made of such a table"
A_RECORDING = "a Recording (`ann2neo.record`, `ann2neo.load`, `ann2neo.from_array`)"


def unit_table(given: Any, *columns: str) -> pd.DataFrame:
    """Check that this is a table of units with these columns besides layer and quality.

    Raises
    ------
    AnalysisError
        If it is none.

    Examples
    --------
    >>> unit_table(pd.DataFrame({"population": ["all"], "layer": ["fc"]}), "fano")
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: the table of units lacks 'quality', 'fano': it is a summary.
    There is nothing to draw.
    Give the table of units that `ann2neo.analyze` gave.
    """
    table = _frame(given, "table of units", UNIT_TABLE)
    _check_columns(table, ("layer", "quality", *columns), "table of units", UNIT_TABLE)
    return table


def summary(given: Any, *columns: str) -> pd.DataFrame:
    """Check that this is a summary with these columns besides layer and population.

    Raises
    ------
    AnalysisError
        If it is none.
    """
    table = _frame(given, "summary", SUMMARY)
    _check_columns(table, ("layer", "population", *columns), "summary", SUMMARY)
    return table


def by_name(given: Any, what: str, example: str) -> dict[str, list[Any]]:
    """Check a mapping from names to one or several things each.

    Raises
    ------
    AnalysisError
        If it is not a mapping from names, or a name has nothing.
    """
    if not isinstance(given, Mapping) or not given:
        shown = kind_of(given) if not isinstance(given, Mapping) else "an empty mapping"
        raise AnalysisError(f"{what} were given as {shown}.", "They have no names to be told apart by.", example)
    many = {
        str(name): [each] if isinstance(each, pd.DataFrame) or not isinstance(each, Iterable) else list(each)
        for name, each in given.items()
    }
    empty = [name for name, each in many.items() if not each]
    if empty:
        raise AnalysisError(f"there is nothing for {', '.join(map(repr, empty))}.", "It cannot be drawn.", example)
    return many


def recording(given: Any) -> Recording:
    """Check that this is a recording.

    Raises
    ------
    AnalysisError
        If it is none.
    """
    if not isinstance(given, Recording):
        raise AnalysisError(
            f"a recording is to be drawn, and {kind_of(given)} was given.",
            "There are no bits and no trials to draw.",
            f"Give {A_RECORDING}{_cure_for_neo(given)}.",
        )
    return given


def kind(given: Any, wanted: type, made_by: str) -> Any:
    """Check that this is the result of one function of ours.

    Raises
    ------
    AnalysisError
        If it is something else.
    """
    if not isinstance(given, wanted):
        raise AnalysisError(
            f"{made_by} gives what is to be drawn, and {kind_of(given)} was given.",
            "There is nothing to draw.",
            f"Give what {made_by} returned.",
        )
    return given


def known_columns(table: pd.DataFrame, names: Sequence[str], what: str) -> None:
    """Raise for names that are not columns, and suggest the nearest.

    Raises
    ------
    AnalysisError
        If there is one.
    """
    columns = [str(column) for column in table.columns]
    if isinstance(names, str) or not names:
        raise AnalysisError(
            f"shown={names!r} names no columns of the {what}.", "There is nothing to draw.", "Give a list of columns."
        )
    for name in names:
        if name not in columns:
            raise AnalysisError(
                f"the {what} has no column {name!r}.{suggestion(name, columns)}",
                "There is nothing to draw.",
                f"Its columns are {', '.join(columns)}.",
            )


def _frame(given: Any, what: str, cure: str) -> pd.DataFrame:
    if not isinstance(given, pd.DataFrame):
        raise AnalysisError(
            f"a {what} is to be drawn, and {kind_of(given)} was given.",
            "There is nothing to draw.",
            f"Give {cure}.",
        )
    return given


def _check_columns(table: pd.DataFrame, names: Sequence[str], what: str, cure: str) -> None:
    missing = [name for name in names if name not in table]
    if not missing:
        return
    other = ": it is a summary" if "population" in table else ": it is a table of units" if "quality" in table else ""
    raise AnalysisError(
        f"the {what} lacks {', '.join(map(repr, missing))}{other}.", "There is nothing to draw.", f"Give {cure}."
    )


def _cure_for_neo(given: Any) -> str:
    return "; a Block that ann2neo made becomes one by `ann2neo.from_block`" if hasattr(given, "segments") else ""
