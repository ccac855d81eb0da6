"""Tables and sentences as lines that fit a terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence

import pandas as pd

from ann2neo.report.numbers import LEAST


def table_lines(frame: pd.DataFrame, *, by: Sequence[str] = (), width: int | None = None) -> str:
    """Write a table as lines. Columns that do not fit side by side follow below, next to the columns of text that name the rows.

    Parameters
    ----------
    frame
        Table; numbers have four significant digits, undefined values are dashes.
    by
        Columns whose values are written on a line of their own above the rows that share them.
    width
        Number of letters in a line; None for that of the terminal, which is 80 where there is none.

    Examples
    --------
    >>> frame = pd.DataFrame({"layer": ["a", "b"], "fano": [0.123456, 2], "n_units": [1200, float("nan")]})
    >>> print(table_lines(frame, width=80))
    layer   fano n_units
        a 0.1235    1200
        b      2       -
    >>> print(table_lines(frame, width=15))
    layer   fano
        a 0.1235
        b      2
    <BLANKLINE>
    layer n_units
        a    1200
        b       -
    >>> print(table_lines(frame.iloc[:1], by=["layer"], width=80))
      fano n_units
    a
    0.1235    1200
    """
    width = shutil.get_terminal_size().columns if width is None else width
    heads = frame[list(by)].astype(str).agg(", ".join, axis=1).tolist() if by else [""] * len(frame)
    columns = [_column(frame[name]) for name in frame if name not in by]
    n_keys = next((i for i, name in enumerate(frame.drop(columns=list(by))) if _is_number(frame[name])), len(columns))
    return "\n\n".join(
        "\n".join(_rows(columns[:n_keys] + part, heads))
        for part in _parts(columns[n_keys:], width - sum(len(column[0]) + 1 for column in columns[:n_keys]))
    )


def sentence_lines(sentences: Sequence[str], *, width: int | None = None) -> str:
    """Wrap each sentence to the width of the terminal, which is 80 where there is none.

    Examples
    --------
    >>> print(sentence_lines(["one two three", "four"], width=8))
    one two
    three
    four
    """
    width = shutil.get_terminal_size().columns if width is None else width
    wrap = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(wrap.fill(sentence) for sentence in sentences)


def _column(values: pd.Series) -> list[str]:
    """Write a column with its head, all of one width."""
    cells = [str(values.name), *map(_cell, values.tolist())]
    width = max(map(len, cells))
    return [cell.rjust(width) for cell in cells]


def _cell(value: object) -> str:
    if value is None or value is pd.NA or value != value:
        return "-"
    if isinstance(value, float) and 0 < abs(value) < LEAST:
        return f"<{LEAST:g}" if value > 0 else f">-{LEAST:g}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values)


def _parts(columns: list[list[str]], width: int) -> list[list[list[str]]]:
    """Take columns from the left while they fit into a width; at least one each time."""
    parts: list[list[list[str]]] = [[]]
    for column in columns:
        if parts[-1] and sum(len(each[0]) + 1 for each in parts[-1]) + len(column[0]) > width:
            parts.append([])
        parts[-1].append(column)
    return parts


def _rows(columns: list[list[str]], heads: list[str]) -> list[str]:
    first, *rows = (" ".join(cells) for cells in zip(*columns))
    lines, head = [first], ""
    for above, row in zip(heads, rows):
        lines += [row] if above == head else [above, row]
        head = above
    return lines
