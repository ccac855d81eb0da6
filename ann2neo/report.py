"""One HTML page for a result: figures and tables inside the file, nothing loaded from elsewhere, no scripts."""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from ann2neo.atomic import complete_or_absent
from ann2neo.errors import InputsError
from ann2neo.versions import software

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light; --ink: #1b1b1b; --soft: #555; --line: #d0d0d0; --blue: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem 1.2rem 3rem; color: var(--ink); background: #fff;
       font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .6rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
p, li { max-width: 44rem; }
nav { margin: 1rem 0; } nav ol { margin: 0; padding-left: 1.3rem; } a { color: var(--blue); }
figure { margin: 1.4rem 0; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption, caption { color: var(--soft); font-size: .9rem; text-align: left; max-width: 44rem; }
figcaption { margin-top: .4rem; } caption { padding-bottom: .4rem; }
.wide { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .6rem; text-align: left; white-space: nowrap; }
th.number, td.number { text-align: right; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; }
tbody tr + tr td { border-top: 1px solid #ececec; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .85rem; }
footer dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: .15rem 1rem; }
footer dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 30rem) { footer dl { display: block; } footer dt { margin-top: .4rem; font-weight: 600; } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } nav { display: none; } .wide { overflow: visible; }
  table { font-size: 7.5pt; } table.many { font-size: 5pt; } th, td { padding: .15rem .3rem; white-space: normal; } table.many th, table.many td { padding: .1rem .12rem; }
  table.many th { overflow-wrap: anywhere; } table.many td { white-space: nowrap; } figure, tr { break-inside: avoid; } h2 { break-after: avoid; } }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for paragraph in lead %}<p>{{ paragraph }}</p>
{% endfor %}
{% if sections|length > 2 %}<nav aria-label="Contents"><ol>
{% for section in sections %}<li><a href="#section-{{ loop.index }}">{{ section.heading }}</a></li>
{% endfor %}</ol></nav>{% endif %}
{% for section in sections %}
<section id="section-{{ loop.index }}">
<h2>{{ section.heading }}</h2>
{% for paragraph in section.paragraphs %}<p>{{ paragraph }}</p>
{% endfor %}
{% for picture in section.figures %}
<figure>
<img src="data:image/png;base64,{{ base64(picture.png) }}" alt="{{ picture.alt }}" width="{{ half_width(picture.png) }}">
<figcaption>{{ picture.caption }}</figcaption>
</figure>
{% endfor %}
{% for table in section.tables %}
<div class="wide" role="region" tabindex="0" aria-label="{{ table.caption }}">
<table{% if table.frame.columns|length > 14 %} class="many"{% endif %}>
<caption>{{ table.caption }}</caption>
<thead><tr>{% for name, numeric in heads(table) %}<th scope="col"{% if numeric %} class="number"{% endif %}>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows(table) %}<tr>{% for cell, numeric in row %}<td{% if numeric %} class="number"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody>
</table>
</div>
{% if table.n_left_out %}<p>{{ "{:,}".format(table.n_left_out) }} more rows are not shown.</p>{% endif %}
{% endfor %}
</section>
{% endfor %}
<footer>
<p>Provenance</p>
<dl>
{% for name, value in provenance %}<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl>
</footer>
</body>
</html>
"""

PNG_WIDTH = slice(16, 20)
MAX_ROWS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure in a report.

    Parameters
    ----------
    png
        The image; `ann2neo.figures.png` renders one.
    caption
        What is to be seen and how it is to be read, below the figure.
    alt
        The same for a reader who cannot see it.
    """

    png: bytes
    caption: str
    alt: str

    def __post_init__(self) -> None:
        if not self.png.startswith(b"\x89PNG"):
            raise InputsError(
                "a picture is no PNG image.", "Nothing was written.", "Render it with `ann2neo.figures.png(ax)`."
            )
        if not self.alt.strip():
            raise InputsError(
                f"the picture {self.caption!r} has no alternative text.",
                "A reader who cannot see it would miss it.",
                "Say in a sentence what it shows (`alt=`).",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table in a report: numbers are rounded to three digits, and units of measure are taken from ``frame.attrs["units"]``.

    Parameters
    ----------
    frame
        The rows; only the first 500 are shown.
    caption
        What they are.
    """

    frame: pd.DataFrame
    caption: str

    @property
    def n_left_out(self) -> int:
        """Number of rows that are not shown."""
        return max(0, len(self.frame) - MAX_ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report: what is said, then figures, then tables.

    Parameters
    ----------
    heading
        Its title.
    paragraphs
        Plain text; markup is shown as it is written.
    figures
        Pictures, below the text.
    tables
        Tables, below the pictures.
    """

    heading: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    sections: Sequence[Section],
    lead: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a report as one HTML page that needs no other file, no network and no scripts.

    The page is complete or not there: it is written under another name and moved into place.

    Parameters
    ----------
    path
        Where to write.
    title
        Heading of the page.
    sections
        Its parts, in order.
    lead
        Paragraphs above the first section: the result in short.
    provenance
        What made the result; versions of the software and the time are added.
    overwrite
        Whether to replace a file that is there.

    Raises
    ------
    OutputExists
        If the path exists and is not to be overwritten.
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
        sections=sections,
        provenance=_provenance(provenance or {}),
        base64=lambda png: base64.b64encode(png).decode("ascii"),
        half_width=_half_width,
        heads=_heads,
        rows=_rows,
    )
    with complete_or_absent(path, overwrite=overwrite) as part:
        part.write_text(page, encoding="utf-8")
    return path


def format_number(value: object) -> str:
    """Write a cell of a table: three significant digits, whole numbers whole, nothing that is undefined as a number.

    Examples
    --------
    >>> [format_number(x) for x in (1234, 0.123456, 12345.6, 2.5e-7, float("nan"), True, "fc1", 3.0)]
    ['1,234', '0.123', '12,346', '2.5e-07', '–', 'yes', 'fc1', '3']
    """
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    if isinstance(value, (float, np.floating)):
        return _format_float(float(value))
    return "–" if value is None or value is pd.NA else str(value)


def _format_float(value: float) -> str:
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if abs(value) >= 1000 or (value == int(value) and abs(value) < 1e6):
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{value:.3g}"


def unit_of(column: str, units: Mapping[str, str]) -> str:
    """Give the unit of measure of a column, also of the mean or variance of one; empty where it has none.

    Examples
    --------
    >>> units = {"firing_rate": "Hz", "fano": "1"}
    >>> [unit_of(c, units) for c in ("firing_rate", "firing_rate_mean", "firing_rate_var", "fano_mean", "n")]
    ['Hz', 'Hz', 'Hz²', '', '']
    """
    base, _, statistic = column.rpartition("_")
    own, of_base = units.get(column, ""), units.get(base, "") if statistic in ("mean", "var") else ""
    unit = own if own else of_base
    if unit in ("", "1"):
        return ""
    return f"{unit}²" if statistic == "var" and not own else unit.replace("^2", "²")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(TEMPLATE)


def _heads(table: Table) -> list[tuple[str, bool]]:
    frame = table.frame
    units = frame.attrs.get("units", {})
    names = [f"{c} ({unit})" if (unit := unit_of(str(c), units)) else str(c) for c in frame.columns]
    return [(name.replace("_", " "), _is_number(frame.iloc[:, i])) for i, name in enumerate(names)]


def _rows(table: Table) -> list[list[tuple[str, bool]]]:
    frame = table.frame.iloc[:MAX_ROWS]
    columns = [
        [(format_number(value), _is_number(frame.iloc[:, i])) for value in frame.iloc[:, i].tolist()]
        for i in range(frame.shape[1])
    ]
    return [list(row) for row in zip(*columns)]


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _half_width(png: bytes) -> int:
    """Give half the width of an image in pixels: shown at that size it is sharp on fine screens."""
    return int.from_bytes(png[PNG_WIDTH], "big") // 2


def _provenance(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    own = {
        "report made by": software("numpy", "scipy", "pandas", "matplotlib"),
        "report made at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return [(name.replace("_", " "), _in_words(value)) for name, value in (dict(given) | own).items()]


def _in_words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
