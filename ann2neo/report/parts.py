"""What a page is made of: sections with figures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ann2neo.errors import InputsError

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
        What it shows, for a reader who cannot see it.
    file
        Name of the file beside the page that holds it, which the caption then links to; None if there is none.
    """

    png: bytes
    caption: str
    alt: str
    file: str | None = None

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
    """A table in a report: numbers of a column have the same decimals, and units of measure are taken from ``frame.attrs["units"]``.

    Parameters
    ----------
    frame
        The rows; only the first 500 are shown.
    caption
        What they are.
    definitions
        What a column is, by its name: shown at its head and listed below the table.
    """

    frame: pd.DataFrame
    caption: str
    definitions: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_left_out(self) -> int:
        """Number of rows that are not shown."""
        return max(0, len(self.frame) - MAX_ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A number at the head of a page.

    Parameters
    ----------
    value
        The number, as it is written.
    name
        What it counts or measures.
    """

    value: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report: what is said, then figures side by side, then tables.

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
    folded
        What the heading of further figures and tables is, which open at a click; None shows all.
    more_figures
        Figures that are folded.
    """

    heading: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    folded: str | None = None
    more_figures: Sequence[Picture] = ()
