"""Axes, colours and words that the figures share."""

from __future__ import annotations

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
from ann2neo.figures.drawing import figure_of
from ann2neo.measures.indicators import INDICATORS

Population = Literal["all", "good"]

# Okabe and Ito's palette; what is fainter on white than 3 to 1 (yellow, orange, purple) is left out or darkened. Sky fills areas that have a blue edge.
BLACK, GREY = "#000000", "#767676"
SKY, GREEN, BLUE, PURPLE, OLIVE = "#56B4E9", "#009E73", "#0072B2", "#AA4499", "#7A6500"
# What chance predicts has one colour in every figure, and nothing else has it.
CHANCE = "#D55E00"
CYCLE = (BLUE, GREEN, PURPLE, BLACK, OLIVE, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
COUNTS = "cividis"
# So many units are drawn one by one; a histogram of them would be a comb.
FEW_UNITS = 20
# Up to such a ratio of its ends a logarithmic axis has room for three numbers a decade.
MOST_LABELLED = 500
# Heights of the ticks of an axis and of a line of its label, below which the legend of one of several panels stands.
LABEL_INCHES, LINE_INCHES = 0.3, 0.19

NAMES = {name: indicator.label for name, indicator in INDICATORS.items()} | {
    "p_spike_q50": "median spikes per bin",
    "p_spike_rare_share": "share of rare units",
    "p_spike_gini": "Gini coefficient of spikes per bin",
}


def canvas(ax: Axes | None, width: float = 6.4, height: float = 4.4) -> Axes:
    """Return the given axes, or those of a new figure, in inches.

    Raises
    ------
    AnalysisError
        If ``ax`` is not a matplotlib axes.
    """
    if ax is None:
        return Figure(figsize=(width, height), layout="constrained").subplots()
    if not isinstance(ax, Axes):
        raise AnalysisError(
            f"`ax` must be matplotlib axes, got {type(ax).__name__}.",
            "Nothing can be drawn on it.",
            "Give axes, such as `figure.subplots()`, or leave `ax` out for a figure of its own.",
        )
    return ax


def panels(
    axes: Sequence[Axes] | None, n: int, *, width: float, height: float, across: int, shared: bool = False
) -> list[Axes]:
    """Return the given axes, or new panels of this size in inches, a number of them per row, whose vertical axis may be shared.

    Raises
    ------
    AnalysisError
        If there are fewer axes than panels.
    """
    if axes is None:
        across = min(across, n)
        figure = Figure(figsize=(width * across + 1.2, height * -(-n // across)), layout="constrained")
        grid = figure.subplots(-(-n // across), across, squeeze=False, sharey="row" if shared else "none").ravel()
        for spare in grid[n:]:
            spare.remove()
        return list(grid[:n])
    if len(axes) < n:
        raise AnalysisError(
            f"{n} indicators were to be drawn on {len(axes)} axes.", "Some would have no place.", "Give one axes each."
        )
    return list(axes)[:n]


def leftmost(ax: Axes) -> bool:
    """Whether axes lie in the first column of their figure, or in no grid at all."""
    spec = ax.get_subplotspec()
    return spec is None or spec.is_first_col()


def tidy(ax: Axes) -> Axes:
    """Remove the frame on sides without an axis."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def say(ax: Axes, text: str, *, keep: Literal["", "x", "y"] = "") -> Axes:
    """Write why there is nothing to see, and leave out scales that would mean nothing."""
    if keep != "y":
        ax.set_yticks([])
    if keep != "x":
        ax.set_xticks([])
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY, wrap=True)
    return ax


def pick(table: pd.DataFrame, layer: str | None, population: Population) -> pd.DataFrame:
    """Select the units of a layer and population.

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
    """Describe the windows in which spikes were counted.

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
    """Add an explanation in brackets below a label, where there is one."""
    return f"{label}\n({words})" if words else label


def legend_outside(ax: Axes, handles: Sequence[Any] | None = None, *, n_columns: int = 1) -> None:
    """Name the marks outside of all axes, where they hide nothing; on one of several axes, or where no layout makes room, inside where there is most room."""
    figure = figure_of(ax)
    of_ax, words = ax.get_legend_handles_labels()
    shown = list(of_ax if handles is None else handles)
    names = words if handles is None else [str(handle.get_label()) for handle in shown]
    if not isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        ax.legend(shown, names, loc="best", frameon=True, edgecolor="none", facecolor="white", framealpha=0.85)
    elif _other_panels(figure, ax):
        inches = LABEL_INCHES + LINE_INCHES * (1 + ax.get_xlabel().count("\n"))
        below = ax.transAxes + ScaledTranslation(0, -inches, figure.dpi_scale_trans)
        ax.legend(shown, names, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, ncols=n_columns)
    else:
        figure.legend(shown, names, loc="outside lower center", ncols=n_columns)


def _other_panels(figure: Figure, ax: Axes) -> bool:
    return any(other is not ax and other.get_label() != "<colorbar>" for other in figure.axes)


def plain_log(axis: Axis, *, counts: bool = False) -> None:
    """Write the ticks of a logarithmic axis as plain numbers: 1, 2 and 5 of every decade, round steps where it spans less than one, powers of ten where it spans many; counts are whole."""
    low, high = axis.get_view_interval()
    if high < 10 * low:
        axis.set_major_locator(
            FixedLocator([t for t in MaxNLocator(5, integer=counts).tick_values(low, high) if low <= t <= high])
        )
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < MOST_LABELLED * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}" if y >= 1 and y == round(y) else f"{y:g}"))
    axis.set_minor_formatter(NullFormatter())


def name_units(axis: Axis, n_units: int) -> None:
    """Number the units of an image: in the middle of each where they are few, else at round places."""
    if n_units <= FEW_UNITS:
        axis.set_ticks([unit + 0.5 for unit in range(n_units)], labels=[str(unit) for unit in range(n_units)])
    else:
        whole_ticks(axis)


def whole_ticks(axis: Axis) -> None:
    """Write the ticks of an axis of units or bins as whole numbers: 100,000."""
    axis.set_major_locator(MaxNLocator(6, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
