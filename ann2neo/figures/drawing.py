"""Drawing: what every figure function returns, and what a notebook shows."""

from __future__ import annotations

import functools
import io
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ann2neo.arguments import check_number
from ann2neo.errors import AnalysisError, kind_of
from ann2neo.figures.fonts import letters_told, other_fonts

STYLE = Path(__file__).with_name("ann2neo.mplstyle")
# Dots per inch of an image; a page and a notebook show it at half its size, so that it is sharp on fine screens.
DPI = 160
# Below, letters have no size; above, a page does not fit into memory.
LEAST_DPI, MOST_DPI = 10, 2_400
PNG_SIZE = slice(16, 24)


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of the package; the user's settings are the same afterwards."""
    fonts = {"font.family": [*matplotlib.rcParams["font.family"], *other_fonts()]}
    with matplotlib.rc_context(_style() | fonts):
        yield


@functools.cache
def _style() -> Any:
    return dict(matplotlib.rc_params_from_file(STYLE, use_default_template=False))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Drawing:
    """A figure that shows itself in a notebook and can be written to a file.

    Parameters
    ----------
    axes
        The axes that were drawn on, the first panel first.

    See Also
    --------
    ann2neo.figures.png

    Examples
    --------
    >>> drawn = Drawing(axes=(Figure(figsize=(3, 2)).subplots(),))
    >>> drawn
    Drawing(1 panel, 3 x 2 inches)
    >>> drawn.ax is drawn.figure.axes[0]
    True
    """

    axes: tuple[Axes, ...]

    @property
    def ax(self) -> Axes:
        """The axes that were drawn on; of several panels, the first."""
        return self.axes[0]

    @property
    def figure(self) -> Figure:
        """The figure that the axes lie in."""
        return figure_of(self.ax)

    def savefig(self, path: str | os.PathLike[str] | Any, **options: Any) -> None:
        """Write the figure to a file, in the format that its name ends in: fonts are embedded in PDF and stay text in SVG.

        Parameters
        ----------
        path
            Name of the file (.png, .pdf, .svg), or a file object.
        options
            Options of `matplotlib.figure.Figure.savefig`.
        """
        with styled(), letters_told():
            self.figure.savefig(path, **options)

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"Drawing({len(self.axes)} panel{'s' * (len(self.axes) != 1)}, {width:g} x {height:g} inches)"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]] | None:
        """Show an image in a notebook, at half of its size in pixels; figures of pyplot are shown by pyplot."""
        if self._shown_elsewhere() or _formats() == {"svg"}:
            return None
        image = rendered(self, "png")
        width, height = size_of(image)
        return image, {"width": width // 2, "height": height // 2}

    def _repr_svg_(self) -> str | None:
        """Show SVG where the notebook asks for it: ``%config InlineBackend.figure_formats = ['svg']``."""
        if self._shown_elsewhere() or "svg" not in _formats():
            return None
        return rendered(self, "svg").decode("utf-8")

    def _shown_elsewhere(self) -> bool:
        return self.figure.canvas.manager is not None


def rendered(drawn: Drawing | Axes | Figure | Sequence[Axes], kind: str, *, dpi: int = DPI) -> bytes:
    """Render a figure, or the figure that axes belong to, as "png", "svg" or "pdf".

    Raises
    ------
    AnalysisError
        If nothing was drawn on it.
    """
    check_number(dpi, "dpi", low=LEAST_DPI, below=MOST_DPI, such_as=DPI)
    buffer = io.BytesIO()
    with styled(), letters_told():
        _figure(drawn).savefig(buffer, format=kind, dpi=dpi)
    return buffer.getvalue()


def png(drawn: Drawing | Axes | Figure | Sequence[Axes], *, dpi: int = DPI) -> bytes:
    """Render a figure, or the figure that axes belong to, as PNG.

    Parameters
    ----------
    drawn
        What a function of this package returned, or axes, or a figure.
    dpi
        Dots per inch.

    Raises
    ------
    AnalysisError
        If nothing was drawn on it.

    See Also
    --------
    ann2neo.figures.Drawing

    Examples
    --------
    >>> png(Figure(), dpi=20)[1:4]
    b'PNG'
    """
    return rendered(drawn, "png", dpi=dpi)


def size_of(png: bytes) -> tuple[int, int]:
    """Read the width and height of a PNG image in pixels."""
    width, height = struct.unpack(">II", png[PNG_SIZE])
    return width, height


def figure_of(ax: Axes) -> Figure:
    """Find the figure that axes lie in.

    Raises
    ------
    AnalysisError
        If they were removed from theirs.
    """
    figure = ax.get_figure(root=True)
    if figure is None:
        raise AnalysisError(
            "the axes belong to no figure.", "Nothing can be drawn on them.", "Leave `ax` out for a figure of its own."
        )
    return figure


def _figure(drawn: Any) -> Figure:
    if isinstance(drawn, Drawing):
        return drawn.figure
    first = drawn[0] if isinstance(drawn, Sequence) and drawn else drawn
    if not isinstance(first, (Axes, Figure)):
        raise AnalysisError(
            f"{kind_of(drawn)} is not a figure.",
            "There is nothing to render.",
            "Use what a function of `ann2neo.figures` returned.",
        )
    return first if isinstance(first, Figure) else figure_of(first)


def _formats() -> set[str]:
    """Formats in which the notebook shows figures, as its user set them."""
    shown = sys.modules.get("matplotlib_inline.config")
    return set(shown.InlineBackend.instance().figure_formats) if shown is not None else {"png"}
