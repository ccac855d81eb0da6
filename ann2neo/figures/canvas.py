"""Axes, colours and words that the figures share."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from ann2neo.errors import AnalysisError, LayerNotFound, suggestion

Population = Literal["all", "good"]

# Okabe and Ito's palette, by what it stands for; yellow is left out because it is faint on white.
BLACK, GREY = "#000000", "#767676"
ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
COUNTS = "cividis"
# So many units are drawn one by one; a histogram of them would be a comb.
FEW_UNITS = 20
# Room for the ticks and the label of an axis.
BELOW_LABEL_INCHES = 0.48

NAMES = {
    "firing_rate_mean": "mean firing rate (Hz)",
    "firing_rate_var": "variance of firing rates (Hz²)",
    "p_spike_mean": "mean spikes per bin",
    "fano_mean": "mean Fano factor",
    "fano_var": "variance of Fano factors",
    "cv_mean": "mean CV",
    "cv2_mean": "mean CV2",
    "lv_mean": "mean Lv",
    "label_share_mean": "mean label share",
    "label_share_adjusted_mean": "mean adjusted label share",
}


def canvas(ax: Axes | None, width: float = 6.4, height: float = 4.4) -> Axes:
    """Take the axes given, or make a figure of its own, in inches.

    Raises
    ------
    AnalysisError
        If what was given is no axes.
    """
    if ax is None:
        return Figure(figsize=(width, height), layout="constrained").subplots()
    if not isinstance(ax, Axes):
        raise AnalysisError(
            f"ax is a {type(ax).__name__}.",
            "Nothing can be drawn on it.",
            "Give axes, such as `figure.subplots()`, or leave `ax` out for a figure of its own.",
        )
    return ax


def png(drawn: Axes | Figure | Sequence[Axes], *, dpi: int = 160) -> bytes:
    """Render a figure, or the figure that axes belong to, as PNG.

    Parameters
    ----------
    drawn
        What a function of this package gave.
    dpi
        Dots per inch.

    Raises
    ------
    AnalysisError
        If it is nothing that was drawn.

    Examples
    --------
    >>> png(canvas(None), dpi=20)[1:4]
    b'PNG'
    """
    first = drawn[0] if isinstance(drawn, Sequence) and drawn else drawn
    if not isinstance(first, (Axes, Figure)):
        raise AnalysisError(
            f"a {type(drawn).__name__} is no figure.",
            "There is nothing to render.",
            "Give what a function of `ann2neo.figures` returned.",
        )
    figure = first if isinstance(first, Figure) else figure_of(first)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


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


def tidy(ax: Axes) -> Axes:
    """Take away the frame where no axis is."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def say(ax: Axes, text: str, *, keep_x: bool = False) -> Axes:
    """Write why there is nothing to see, and leave out scales that would mean nothing."""
    ax.set_yticks([])
    if not keep_x:
        ax.set_xticks([])
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY, wrap=True)
    return ax


def pick(table: pd.DataFrame, layer: str | None, population: Population) -> pd.DataFrame:
    """Take the units of a layer and population.

    Raises
    ------
    LayerNotFound
        If the table has no such layer.
    AnalysisError
        If there is no such population.
    """
    if population not in ("all", "good"):
        raise AnalysisError(f"There is no population {population!r}.", "Nothing was drawn.", "Use 'all' or 'good'.")
    known = list(dict.fromkeys(map(str, table["layer"])))
    if layer is not None and layer not in known:
        raise LayerNotFound(
            f"no layer is called {layer!r} in this table (layers: {', '.join(map(repr, known))}).{suggestion(layer, known)}",
            "There is nothing to draw.",
            "Use one of these names, or leave `layer` out for all units.",
        )
    chosen = table if layer is None else table[table["layer"] == layer]
    return chosen[chosen["quality"] == "good"] if population == "good" else chosen


def window_words(attrs: Mapping[Any, Any]) -> str:
    """Say in which windows spikes were counted.

    Examples
    --------
    >>> window_words({"windows": "label", "window_min_bins": 48, "window_max_bins": 52})
    'windows: label, 48-52 bins each'
    >>> window_words({"windows": "100 bins"})
    'windows: 100 bins'
    """
    if "windows" not in attrs:
        return ""
    low, high = attrs.get("window_min_bins"), attrs.get("window_max_bins")
    if low is None or f"{low} bins" == attrs["windows"]:
        return f"windows: {attrs['windows']}"
    return f"windows: {attrs['windows']}, {low if low == high else f'{low}-{high}'} bins each"


def with_words(label: str, words: str) -> str:
    """Put an explanation in brackets below a label, where there is one."""
    return f"{label}\n({words})" if words else label


def legend_below(ax: Axes, *, n_columns: int = 1) -> None:
    """Name the marks below the axis, where they hide nothing; in a figure that does not make room by itself, inside, where there is most room."""
    figure = figure_of(ax)
    engine = figure.get_layout_engine()
    if engine is None or not isinstance(engine, ConstrainedLayoutEngine):
        ax.legend(fontsize="small", loc="best", edgecolor="none", facecolor="white", framealpha=0.85)
        return
    below_label = ax.transAxes + ScaledTranslation(0, -BELOW_LABEL_INCHES, figure.dpi_scale_trans)
    ax.legend(
        fontsize="small",
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        bbox_transform=below_label,
        ncols=n_columns,
        frameon=False,
    )


def plain_log(axis: Axis, *, counts: bool = False) -> None:
    """Write the ticks of a logarithmic axis as plain numbers: 1, 2 and 5 of every decade, or round steps where it spans less than one; counts are whole."""
    low, high = axis.get_view_interval()
    if high < 10 * low:
        axis.set_major_locator(
            FixedLocator([t for t in MaxNLocator(5, integer=counts).tick_values(low, high) if low <= t <= high])
        )
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}" if y >= 1 and y == round(y) else f"{y:g}"))
    axis.set_minor_formatter(NullFormatter())


def name_units(axis: Axis, n_units: int) -> None:
    """Number the units of an image: in the middle of each where they are few, else at round places."""
    if n_units <= FEW_UNITS:
        axis.set_ticks([unit + 0.5 for unit in range(n_units)], labels=[str(unit) for unit in range(n_units)])
    else:
        axis.set_major_locator(MaxNLocator(6, integer=True))


def name_layers(ax: Axes, names: list[str]) -> None:
    """Write the names of layers below an axis at 0, 1, 2, ..., slanted where they would not fit side by side."""
    at = range(len(names))
    if (
        sum(max(map(len, name.split("\n"))) for name in names) * 0.09
        > figure_of(ax).get_figwidth() * ax.get_position().width
    ):
        lines = [name.replace("\n", ", ") for name in names]
        ax.set_xticks(at, lines, rotation=40, ha="right", rotation_mode="anchor", fontsize="small")
    else:
        ax.set_xticks(at, names)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_xlabel("layer")
