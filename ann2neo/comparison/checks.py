"""Checks that tables can be compared: groups hold tables, which were measured alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ann2neo.errors import AnalysisError, kind_of, suggestion

# Attributes that a comparison takes over where all tables agree in them.
SAID = (
    "order", "windows", "window_min_bins", "window_max_bins", "window_min_ms", "window_max_ms", "n_windows", "over", "reference",
    "n_passes", "n_bins", "bin_size_ms", "min_spikes", "label_share_by",
)  # fmt: skip


def tables_of(groups: Any) -> dict[str, list[pd.DataFrame]]:
    """Return the tables of each group as a list; raise if the groups are not a mapping from names to tables.

    Examples
    --------
    >>> tables_of([pd.DataFrame()])
    Traceback (most recent call last):
        ...
    ann2neo.errors.AnalysisError: the groups were given as a list.
    It is unclear which networks belong together.
    Name them: compare({"memorizing": [table, ...], "generalizing": [table, ...]}).
    """
    if not isinstance(groups, Mapping):
        raise AnalysisError(
            f"the groups were given as {kind_of(groups)}.",
            "It is unclear which networks belong together.",
            'Name them: compare({"memorizing": [table, ...], "generalizing": [table, ...]}).',
        )
    unnamed = [name for name in groups if not isinstance(name, str) or not name]
    if unnamed:
        raise AnalysisError(
            f"a group is called {unnamed[0]!r}.",
            "Columns and verdicts need a name for it.",
            'Give each group a name: compare({"memorizing": [table, ...], "generalizing": [table, ...]}).',
        )
    tables = {name: _of_group(name, given) for name, given in groups.items()}
    _check_groups(tables)
    return tables


def _of_group(name: str, given: Any) -> list[pd.DataFrame]:
    one = isinstance(given, (pd.DataFrame, str)) or not isinstance(given, Iterable)
    tables: list[Any] = [given] if one else list(given)
    for table in tables:
        if not isinstance(table, pd.DataFrame):
            raise AnalysisError(
                f"group {name!r} holds {kind_of(table)}, which is not a table of units.",
                "There is nothing to compare.",
                "Pass the table that `ann2neo.analyze` returned for each network; read it from a file with `ann2neo.read_table`.",
            )
    return tables


def _check_groups(tables: Mapping[str, list[pd.DataFrame]]) -> None:
    empty = [name for name, of_group in tables.items() if not of_group]
    if not tables or empty:
        raise AnalysisError(
            f"there is no table in {'group ' + ', '.join(map(repr, empty)) if empty else 'any group'}.",
            "There is nothing to compare.",
            "Pass at least one unit table (`ann2neo.analyze`) for each group.",
        )


def check_indicators(summaries: Mapping[str, list[pd.DataFrame]], indicators: Sequence[str]) -> None:
    """Check that summaries have the indicators."""
    if isinstance(indicators, str) or not isinstance(indicators, Iterable):
        raise AnalysisError(
            f"`indicators` must be a list, got {indicators!r}.",
            "Nothing was compared.",
            'Use a list, such as ["fano_mean"].',
        )
    twice = [indicator for indicator in indicators if list(indicators).count(indicator) > 1]
    if twice:
        raise AnalysisError(
            f"the indicator {twice[0]!r} was named twice.",
            "Its p values would be counted twice in the correction.",
            "Name each once.",
        )
    columns = [c for c in next(iter(summaries.values()))[0].columns if c not in ("layer", "population")]
    for indicator in indicators:
        if indicator not in columns:
            raise AnalysisError(
                f"there is no indicator {indicator!r} (indicators: {', '.join(columns)}).{suggestion(indicator, columns)}",
                "Nothing was compared.",
                "Use columns of `ann2neo.summarize(table)`.",
            )
    if not indicators:
        raise AnalysisError(
            "no indicator was named.", "There is nothing to compare.", "Leave `indicators` out for the usual ones."
        )


def shared_attrs(tables: Mapping[str, list[pd.DataFrame]]) -> dict[str, Any]:
    """Return the attributes that all tables share, and refuse tables of different schemas."""
    all_attrs = [(f"{name}[{i}]", table.attrs) for name, of_group in tables.items() for i, table in enumerate(of_group)]
    origin, first = all_attrs[0]
    for other, attrs in all_attrs[1:]:
        if attrs.get("schema") != first.get("schema"):
            raise AnalysisError(
                f"tables differ in 'schema': {first.get('schema')!r} in {origin}, {attrs.get('schema')!r} in {other}.",
                "Their columns have different meanings.",
                "Analyze all recordings with one version of ann2neo.",
            )
    return {key: first[key] for key in SAID if key in first and all(a.get(key) == first[key] for _, a in all_attrs)}


def check_comparable(reasons: Iterable[str]) -> None:
    """Raise if no indicator of the tables can be compared; the message gives the first reason."""
    known = list(reasons)
    if known and all(known):
        raise AnalysisError(
            f"{known[0]}.",
            "None of the indicators means the same in all tables, so that a difference would say nothing about the networks.",
            "Analyze all recordings with the same inputs, order and windows (`ann2neo.analyze(..., windows=...)`), or choose other `indicators`.",
        )
