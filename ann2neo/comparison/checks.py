"""Whether tables can be compared at all: groups with tables in them, measured alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from ann2neo.errors import AnalysisError, suggestion
from ann2neo.integrity import values_crc32
from ann2neo.summary import is_summary, summary_of

# What a comparison says of its tables where they all agree in it.
SAID = (
    "order", "windows", "window_min_bins", "window_max_bins", "window_min_ms", "window_max_ms", "n_windows", "over", "reference",
    "n_passes", "n_bins", "bin_size_ms", "min_spikes", "label_share_by",
)  # fmt: skip


def tables_of(groups: Any) -> dict[str, list[pd.DataFrame]]:
    """Give the tables of each group as a list, and refuse what is no mapping from names to tables.

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
            f"the groups were given as a {type(groups).__name__}.",
            "It is unclear which networks belong together.",
            'Name them: compare({"memorizing": [table, ...], "generalizing": [table, ...]}).',
        )
    tables = {str(name): _of_group(str(name), given) for name, given in groups.items()}
    _check_groups(tables)
    return tables


def _of_group(name: str, given: Any) -> list[pd.DataFrame]:
    one = isinstance(given, (pd.DataFrame, str)) or not isinstance(given, Iterable)
    tables: list[Any] = [given] if one else list(given)
    for table in tables:
        if not isinstance(table, pd.DataFrame):
            raise AnalysisError(
                f"group {name!r} holds a {type(table).__name__}, which is no table of units.",
                "There is nothing to compare.",
                "Give what `ann2neo.analyze` made of each network; a file of it is read by `ann2neo.read_table`.",
            )
    return tables


def _check_groups(tables: Mapping[str, list[pd.DataFrame]]) -> None:
    empty = [name for name, of_group in tables.items() if not of_group]
    if not tables or empty:
        raise AnalysisError(
            f"there is no table in {'group ' + ', '.join(map(repr, empty)) if empty else 'any group'}.",
            "There is nothing to compare.",
            "Give at least one unit table (`ann2neo.analyze`) for each group.",
        )


def check_replicates(tables: Mapping[str, list[pd.DataFrame]]) -> None:
    """Refuse a network that is given twice: it is one replicate, however often it is counted.

    Two networks never have the same value of every measure of every unit, but where no unit says anything (silent, saturated). A summary is compared with
    all others and with those of tables of units.
    """
    any_summary = any(is_summary(table) for of_group in tables.values() for table in of_group)
    seen: dict[tuple[Any, ...], str] = {}
    for group, of_group in tables.items():
        for number, table in enumerate(of_group, start=1):
            if not _says_something(table):
                continue
            known = summary_of(table) if any_summary else table
            key = tuple((str(name), values_crc32(known[name])) for name in known.columns)
            here = f"number {number} of {group!r}"
            if key in seen:
                raise AnalysisError(
                    f"{here} is the same network as {seen[key]}: all values of all its units are the same.",
                    "Counted twice, one network would seem to be two, and p values would be too small.",
                    "Give each network once.",
                )
            seen[key] = here


def _says_something(table: pd.DataFrame) -> bool:
    """Whether a unit is neither silent nor saturated nor of too few spikes."""
    if is_summary(table):
        return bool((table.loc[table["population"] == "good", "n_units"] > 0).any())
    return "quality" in table and bool((table["quality"] == "good").any())


def check_indicators(summaries: Mapping[str, list[pd.DataFrame]], indicators: Sequence[str]) -> None:
    """Refuse indicators that a summary does not have."""
    if isinstance(indicators, str):
        raise AnalysisError(
            f"indicators={indicators!r} is one string.", "Nothing was compared.", f"Give a list: [{indicators!r}]."
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
    """Take what all tables have in common from their attrs, and refuse tables of another schema."""
    all_attrs = [(f"{name}[{i}]", table.attrs) for name, of_group in tables.items() for i, table in enumerate(of_group)]
    origin, first = all_attrs[0]
    for other, attrs in all_attrs[1:]:
        if attrs.get("schema") != first.get("schema"):
            raise AnalysisError(
                f"tables differ in 'schema': {first.get('schema')!r} in {origin}, {attrs.get('schema')!r} in {other}.",
                "Their columns do not mean the same.",
                "Analyze all recordings with one version of ann2neo.",
            )
    return {key: first[key] for key in SAID if key in first and all(a.get(key) == first[key] for _, a in all_attrs)}


def check_comparable(reasons: Iterable[str]) -> None:
    """Refuse tables of which no indicator can be compared; the message gives the first reason."""
    known = list(reasons)
    if known and all(known):
        raise AnalysisError(
            f"{known[0]}.",
            "No indicator that was asked for means the same in all tables, so that a difference would say nothing about the networks.",
            "Analyze all recordings with the same inputs, order and windows (`ann2neo.analyze(..., windows=...)`), or ask for other `indicators`.",
        )
