"""Parts of a page: sections with figures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from markupsafe import Markup

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
        Description of the figure and how to read it, below the figure.
    alt
        Alternative text for a reader who cannot see the figure.
    file
        Name of the file of the figure next to the page, to which the caption then links; None if there is none.
    """

    png: bytes
    caption: str
    alt: str
    file: str | None = None

    def __post_init__(self) -> None:
        if not self.png.startswith(b"\x89PNG"):
            raise InputsError(
                "a picture is not a PNG image.", "Nothing was written.", "Render it with `ann2neo.figures.png(ax)`."
            )
        if not self.alt.strip():
            raise InputsError(
                f"the picture {self.caption!r} has no alternative text.",
                "A reader who cannot see it would miss it.",
                "Describe in a sentence what it shows (`alt=`).",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table in a report: numbers of a column have the same decimals, and units of measure are taken from ``frame.attrs["units"]``.

    Parameters
    ----------
    frame
        The rows; only the first 500 are shown.
    caption
        Description of the table.
    definitions
        Definition of each column by its name, shown at its head and listed below the table.
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
        The number as text.
    name
        Name of the count or measure.
    """

    value: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Zoomable:
    """A raster that can be zoomed, folded until a reader opens it.

    Parameters
    ----------
    heading
        Heading of the fold.
    words
        Paragraph above the raster: which part of the recording is shown, or where to see it if none is.
    fragment
        Markup of `ann2neo.viewer.fragment`, with style, data and script inside; None if the raster does not fit into a page.
    """

    heading: str
    words: str
    fragment: Markup | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report: text, then figures side by side, then a raster that can be zoomed, then tables.

    Parameters
    ----------
    heading
        Title of the section.
    paragraphs
        Plain text; markup is shown literally.
    figures
        Pictures, below the text.
    zoomable
        Raster that can be zoomed, below the pictures; None for none.
    tables
        Tables, below the pictures.
    folded
        Heading of the folded figures and tables, which open at a click; None shows all.
    more_figures
        Figures that are folded.
    """

    heading: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[Picture] = ()
    zoomable: Zoomable | None = None
    tables: Sequence[Table] = ()
    folded: str | None = None
    more_figures: Sequence[Picture] = ()
