"""Cards: the display of an object in a notebook, as a heading and a small table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

# Largest number of rows in a table of parts; the rest is counted.
MAX_ROWS = 20


def card(title: str, facts: Mapping[str, Any], parts: Sequence[Mapping[Any, Any]] = ()) -> str:
    """Write an object as HTML: a heading, facts by name, and a table with a row for each of its parts (at most 20).

    Parameters
    ----------
    title
        Kind of object.
    facts
        Facts about the object by name; those that are None are left out.
    parts
        Facts about each of its parts, with the same names for every part.

    Examples
    --------
    >>> card("Layer", {"name": "<fc>", "units": 1200, "seed": None})
    '<div><strong>Layer</strong><table><tbody><tr><th scope="row" style="text-align:left">name</th><td style="text-align:left">&lt;fc&gt;</td></tr><tr><th scope="row" style="text-align:left">units</th><td style="text-align:left">1,200</td></tr></tbody></table></div>'
    """
    left = ' style="text-align:left"'
    rows = "".join(
        f'<tr><th scope="row"{left}>{escape(name)}</th><td{left}>{_text(value)}</td></tr>'
        for name, value in facts.items()
        if value is not None
    )
    table = f"<table><tbody>{rows}</tbody></table>"
    return f"<div><strong>{escape(title)}</strong>{table}{_parts(parts)}</div>"


def _parts(parts: Sequence[Mapping[Any, Any]]) -> str:
    if not parts:
        return ""
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in parts[0])
    rows = "".join(
        f"<tr>{''.join(f'<td>{_text(value)}</td>' for value in part.values())}</tr>" for part in parts[:MAX_ROWS]
    )
    more = f"<p>{len(parts) - MAX_ROWS:,} more</p>" if len(parts) > MAX_ROWS else ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _text(value: Any) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "–"
    whole = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if whole else escape(str(value))
