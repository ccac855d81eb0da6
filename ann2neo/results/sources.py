"""Tables of several sources: joined into one, split again, and each network counted once however many tables hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.errors import AnalysisError
from ann2neo.integrity import values_crc32
from ann2neo.results.pages import Result
from ann2neo.summary import is_summary, summarize

SCHEMA = "ann2neo-sources/1"
SOURCE = "source"


def joined(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Concatenate tables of units, or summaries, with a column ``source``; columns that a table lacks are NaN or empty.

    `taken_apart` returns each table as it was.

    Examples
    --------
    >>> first, second = pd.DataFrame({"unit": [0]}), pd.DataFrame({"unit": [0, 1], "name": ["a", "b"]})
    >>> joined({"net": first, "cells": second})
      source  unit name
    0    net     0
    1  cells     0    a
    2  cells     1    b
    """
    parts = []
    for name, table in tables.items():
        said = {key: str(table.attrs[key]) for key in ("reference", "windows") if key in table.attrs}
        parts.append(table.assign(**said, **{SOURCE: name}))
    together = pd.concat(parts, ignore_index=True)
    for column in together:
        if not pd.api.types.is_numeric_dtype(together[column]):
            kinds = {type(value) for value in together[column].dropna()}
            numbers = kinds and kinds <= {bool, int, float, np.bool_}
            together[column] = together[column].astype(float) if numbers else _texts(together[column])
    together = together[[SOURCE, *(name for name in together if name != SOURCE)]]
    together.attrs = {
        "schema": SCHEMA,
        "units": {key: unit for table in tables.values() for key, unit in table.attrs.get("units", {}).items()},
        "sources": {
            name: {"attrs": dict(table.attrs), "dtypes": {str(c): str(d) for c, d in table.dtypes.items()}}
            for name, table in tables.items()
        },
    }
    return together


def taken_apart(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables that were joined, by name, with their columns, types and attributes.

    Raises
    ------
    AnalysisError
        If the table does not hold the attributes of the tables that were joined.
    """
    if table.attrs.get("schema") != SCHEMA:
        raise AnalysisError(
            "the table holds several sources, but not the attributes of each.",
            "It is unclear how they were measured.",
            "Analyze the files again with this version, or pass their tables one by one.",
        )
    found = {}
    for name, known in table.attrs["sources"].items():
        part = table[table[SOURCE] == name].reset_index(drop=True)
        own = pd.DataFrame({column: part[column].astype(dtype) for column, dtype in known["dtypes"].items()})
        own.attrs = dict(known["attrs"])
        found[name] = own
    return found


def counted_once(results: Sequence[Result]) -> tuple[list[Result], list[str]]:
    """Leave out summaries and parts of joined tables of networks whose tables of units are also given, and name them.

    A folder of ``ann2neo analyze`` holds each network up to three times, and a pattern such as ``folder/*.csv`` matches all of them. They are recognized by their
    values, not by their names. Two tables of units with equal values are kept: the comparison refuses a network that was given twice.

    Returns
    -------
    tuple
        The remaining results, and the names of those left out.
    """
    whole = [one for one in results if not is_summary(one.table) and one.origin == one.name]
    of_units = {fingerprint(one.table) for one in whole}
    of_summaries = {fingerprint(summarize(one.table)) for one in whole}
    kept, left_out = [], []
    for one in results:
        derived = is_summary(one.table) or one.origin != one.name
        known = of_summaries if is_summary(one.table) else of_units
        key = fingerprint(one.table)
        if derived and key in known:
            left_out.append(one.origin)
            continue
        if derived:
            (of_summaries if is_summary(one.table) else of_units).add(key)
            if not is_summary(one.table):
                of_summaries.add(fingerprint(summarize(one.table)))
        kept.append(one)
    return kept, list(dict.fromkeys(left_out))


def fingerprint(table: pd.DataFrame) -> tuple[Any, ...]:
    """Compute a key that distinguishes the values of a table from those of any other."""
    return tuple((str(name), values_crc32(table[name])) for name in table.columns)


def _texts(column: pd.Series) -> pd.Series:
    return column.where(column.notna(), "").map(str)
