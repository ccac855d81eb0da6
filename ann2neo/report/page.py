"""Writing the page."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from ann2neo.atomic import complete_or_absent
from ann2neo.report.numbers import format_column, unit_of
from ann2neo.report.parts import MAX_ROWS, Fact, Picture, Section, Table
from ann2neo.report.template import SCRIPT, STYLE, TEMPLATE
from ann2neo.versions import software

PNG_WIDTH, PNG_HEIGHT = slice(16, 20), slice(20, 24)
PERCENTAGE = re.compile(r"\d+(\.\d+)?%")


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    sections: Sequence[Section],
    lead: Sequence[str] = (),
    facts: Sequence[Fact] = (),
    figure: Picture | None = None,
    limits: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a report as one HTML page that needs no other file and no network.

    It opens with what was recorded and found, a row of key numbers, one figure and its limits. The only script sorts tables; everything can be read without it.

    The page is complete or absent: it is written under another name and moved into place.

    Parameters
    ----------
    path
        Name of the page.
    title
        Heading of the page.
    sections
        Sections of the page, in order.
    lead
        Paragraphs above the first section: what was recorded and what was found.
    facts
        Key numbers below the lead.
    figure
        The figure that shows the result.
    limits
        What the result does not show, and how to read it.
    files
        Names of the files next to the page, and descriptions of them.
    provenance
        Provenance of the result; versions of the software and the time are added.
    overwrite
        Whether an existing file may be replaced.

    Raises
    ------
    OutputExists
        If the file exists and may not be replaced.
    FormatError
        If its folder does not exist or cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(f"{folder}/a.html", title="R & D", sections=[Section(heading="Result", paragraphs=["1 < 2"])])
    ...     text = page.read_text(encoding="utf-8")
    >>> "<h1>R &amp; D</h1>" in text, "<p>1 &lt; 2</p>" in text
    (True, True)
    """
    path = Path(path)
    page = _template().render(
        title=title,
        lead=lead,
        facts=facts,
        figure=figure,
        limits=limits,
        files=files or {},
        sections=sections,
        provenance=_provenance(provenance or {}),
        style=STYLE,
        script=SCRIPT,
        base64=lambda png: base64.b64encode(png).decode("ascii"),
        half_width=_half_width,
        half_height=_half_height,
        heads=_heads,
        rows=_rows,
    )
    with complete_or_absent(path, overwrite=overwrite) as part:
        part.write_text(page, encoding="utf-8", errors="backslashreplace")
    return path


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["prose"] = _prose
    return environment.from_string(TEMPLATE)


def _prose(text: str) -> Markup:
    """Escape text, and show parts between backticks as code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in enumerate(parts)
    )


def _heads(table: Table) -> list[tuple[str, bool, str]]:
    frame = table.frame
    units = frame.attrs.get("units", {})
    names = [f"{c} ({unit})" if (unit := unit_of(str(c), units)) else str(c) for c in frame.columns]
    return [
        (name.replace("_", " "), _is_number(frame.iloc[:, i]), table.definitions.get(str(frame.columns[i]), ""))
        for i, name in enumerate(names)
    ]


def _rows(table: Table) -> list[list[tuple[str, bool, str]]]:
    frame = table.frame.iloc[:MAX_ROWS]
    columns = [
        [
            (text, _is_number(frame.iloc[:, i]), value)
            for text, value in zip(format_column(frame.iloc[:, i]), _keys(frame.iloc[:, i]))
        ]
        for i in range(frame.shape[1])
    ]
    return [list(row) for row in zip(*columns)]


def _keys(column: pd.Series) -> list[str]:
    """Return the keys by which rows are sorted: the number itself, not its text."""
    if not _is_number(column):
        return [""] * len(column)
    return [repr(float(str(value).rstrip("%"))) if pd.notna(value) else "" for value in column]


def _is_number(column: pd.Series) -> bool:
    """Whether a column holds numbers, or percentages as text."""
    if pd.api.types.is_numeric_dtype(column):
        return not pd.api.types.is_bool_dtype(column)
    return len(column) > 0 and all(isinstance(value, str) and PERCENTAGE.fullmatch(value) for value in column)


def _half_width(png: bytes) -> int:
    """Return half the width of an image in pixels, the size at which it is sharp on high-resolution screens."""
    return int.from_bytes(png[PNG_WIDTH], "big") // 2


def _half_height(png: bytes) -> int:
    """Return half the height of an image in pixels; a high one is scrolled in a frame of its own, and on paper fits a page."""
    return int.from_bytes(png[PNG_HEIGHT], "big") // 2


def _provenance(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    own = {
        "report made by": software("numpy", "scipy", "pandas", "matplotlib"),
        "report made at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return [(name.replace("_", " "), _in_words(value)) for name, value in (dict(given) | own).items()]


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {one}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
