"""Indicators of whole networks: by layer, by state, over training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ann2neo.arguments import check_choice
from ann2neo.errors import AnalysisError
from ann2neo.figures import given
from ann2neo.figures.canvas import (
    BLACK,
    CHANCE,
    COUNTS,
    CYCLE,
    MARKERS,
    NAMES,
    Population,
    canvas,
    leftmost,
    panels,
    say,
    tidy,
)
from ann2neo.figures.distributions import chance_handle
from ann2neo.figures.drawing import Drawing, figure_of, styled
from ann2neo.figures.rows import height_of, name_rows, short_names, width_of
from ann2neo.measures.indicators import INDICATORS, PAPER

COLUMNS = (
    "n_units",
    *(
        name
        for name, one in INDICATORS.items()
        if "layers" in one.measure.shown and (one.statistic == "mean" or name in PAPER)
    ),
)
LINES = ("-", "--", ":", "-.")
# Panels side by side; layers that a legend names one by one.
MAX_ACROSS, MAX_LAYERS = 4, 10


@styled()
def indicators(
    states: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    axes: Sequence[Axes] | None = None,
    *,
    shown: Sequence[str] = PAPER,
    population: Population = "all",
) -> Drawing:
    """Draw indicators by layer for networks in several states: a panel for each indicator, a row for each layer.

    Every network is a mark; a line joins the means over the networks of a state (not the network row, which pools all layers). Upright bars are the values that chance predicts for indicators that
    have such a value (a mean rate has none: it does not depend on the order of inputs).

    Parameters
    ----------
    states
        One or more tables of `ann2neo.summarize` by name of the state.
    axes
        One axes for each indicator; None for a figure of their own.
    shown
        Columns of `ann2neo.summarize`.
    population
        All units, or those of good quality.

    Raises
    ------
    AnalysisError
        If this is not a summary, or has no such column.

    See Also
    --------
    ann2neo.summarize, ann2neo.figures.layer_table, ann2neo.figures.learning

    Examples
    --------
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> indicators({"mine": ann2neo.summarize(table)}, shown=["fano_mean"]).ax.get_xlabel()
    'mean Fano factor'
    """
    named = given.by_name(states, "states", 'Name them: indicators({"memorizing": [summary, ...], "mine": summary}).')
    tables = {name: [given.summary(each) for each in of_state] for name, of_state in named.items()}
    given.known_columns(next(iter(tables.values()))[0], shown, "summary")
    layers = list(dict.fromkeys(layer for each in tables.values() for table in each for layer in table["layer"]))
    height = height_of(len(layers), frame=1.2)
    drawn = [tidy(ax) for ax in panels(axes, len(shown), width=2.5, height=height, across=MAX_ACROSS, shared=True)]
    spread = np.linspace(-0.2, 0.2, len(tables)) if len(tables) > 1 else np.zeros(1)
    some_chance = False
    for ax, indicator in zip(drawn, shown):
        for i, each in enumerate(tables.values()):
            rows = [_by_layer(table, layers, indicator, population) for table in each]
            values = np.array(rows).reshape(-1, len(layers))
            _marks(ax, values, spread[i], i, joined=len(layers) - ("network" in layers))
            expected = INDICATORS[indicator].chance if indicator in INDICATORS else f"{indicator}_expected"
            if expected and all(expected in table for table in each):
                chance = [_by_layer(table, layers, expected, population) for table in each]
                some_chance |= _chance_bars(ax, np.array(chance).reshape(-1, len(layers)), spread[i])
        ax.set_xlabel(NAMES.get(indicator, indicator).replace(" (", "\n("))
        _from_zero(ax)
        if not np.isfinite(ax.dataLim.intervalx).all():
            say(ax, "no layer has\nthis indicator", keep="y")
        if axes is not None or leftmost(ax):
            name_rows(ax, list(map(str, layers)))
    _state_legend(drawn, tables, some_chance)
    return Drawing(axes=tuple(drawn))


@styled()
def learning(history: pd.DataFrame, axes: Sequence[Axes] | None = None, *, shown: Sequence[str] = PAPER) -> Drawing:
    """Draw indicators over training epochs, one panel each: a colour for each layer, dark to light with depth (the whole network black), a style of line for each state.

    Parameters
    ----------
    history
        Columns ``epoch``, ``layer``, the indicators and, where there are several, ``state``. Rows that share epoch, layer and state (networks trained from
        different seeds) are averaged, and their range is shaded.
    axes
        One axes for each indicator; None for a figure of their own.
    shown
        Names of the indicators.

    Raises
    ------
    AnalysisError
        If a column is missing.

    See Also
    --------
    ann2neo.figures.indicators, ann2neo.collect

    Examples
    --------
    >>> history = pd.DataFrame({"epoch": [0, 1], "layer": "fc1", "fano_mean": [0.8, 1.4]})
    >>> learning(history, shown=["fano_mean"]).ax.lines[0].get_ydata().tolist()
    [0.8, 1.4]
    """
    history = given.kind(history, pd.DataFrame, "a concatenation of `ann2neo.summarize`")
    missing = [c for c in ("epoch", "layer", *shown) if c not in history]
    if missing:
        raise AnalysisError(
            f"the history lacks {', '.join(map(repr, missing))}.",
            "Nothing was drawn.",
            "Concatenate the summaries of the epochs, with a column 'epoch'.",
        )
    layers, states = (
        list(dict.fromkeys(history["layer"])),
        list(dict.fromkeys(history["state"])) if "state" in history else [""],
    )
    colours = dict(zip(layers, colormaps["viridis"](np.linspace(0.1, 0.9, len(layers))))) | {"network": BLACK}
    drawn = [tidy(ax) for ax in panels(axes, len(shown), width=4.0, height=3.0, across=2)]
    for ax, indicator in zip(drawn, shown):
        ax.set_title(NAMES.get(indicator, indicator))
        if history[indicator].isna().all():
            say(ax, "no layer has this indicator")
            continue
        for i, state in enumerate(states):
            of_state = history[history["state"] == state] if "state" in history else history
            for layer, rows in of_state.groupby("layer", sort=False):
                by_epoch = rows.groupby("epoch")[indicator]
                mean, low, high = by_epoch.mean(), by_epoch.min(), by_epoch.max()
                ax.plot(
                    mean.index,
                    mean,
                    LINES[i % len(LINES)],
                    color=colours[layer],
                    linewidth=1.6,
                    marker="." if len(mean) < 30 else "",
                )
                ax.fill_between(mean.index, low, high, color=colours[layer], alpha=0.2, linewidth=0)
        ax.set_xlabel("training epoch")
        low, high = ax.dataLim.intervaly
        if 0 <= low <= high < np.inf:
            ax.set_ylim(0, 1.06 * high or 1.0)
    _learning_legend(drawn, layers, states, colours)
    return Drawing(axes=tuple(drawn))


@styled()
def layer_table(
    summary: pd.DataFrame, ax: Axes | None = None, *, shown: Sequence[str] = COLUMNS, population: Population = "all"
) -> Drawing:
    """Draw a summary as a heat map of layers by indicators, every number written in its cell.

    Colours compare layers within one indicator, from 0 to its largest value over layers (from its smallest where some are negative), so that small differences
    look small. The network row pools all units and is not coloured.

    Parameters
    ----------
    summary
        Table of `ann2neo.summarize`.
    ax
        Where to draw; None for a figure of its own.
    shown
        Columns to draw.
    population
        All units, or those of good quality.

    See Also
    --------
    ann2neo.summarize, ann2neo.figures.indicators

    Examples
    --------
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> layer_table(ann2neo.summarize(table), shown=["n_units"]).ax.texts[0].get_text()
    '20'
    """
    summary = given.summary(summary)
    check_choice(population, "population", get_args(Population))
    if shown is not COLUMNS:
        given.known_columns(summary, shown, "summary")
    rows = summary[summary["population"] == population].set_index("layer")
    columns = [c for c in shown if c in rows and rows[c].notna().any()]
    values = rows[columns].to_numpy(float)
    pitch = 0.36 if len(rows) <= 20 else 0.24
    width = width_of(list(map(str, rows.index)), max(4.6, 2.2 + 0.95 * len(columns)))
    ax = canvas(ax, width, 1.5 + pitch * max(len(rows), 1))
    scaled = _scaled(values, np.array([layer != "network" for layer in rows.index], bool))
    scaled[:, [c == "n_units" for c in columns]] = np.nan
    ax.imshow(np.ma.masked_invalid(scaled), aspect="auto", cmap=COUNTS, vmin=0, vmax=1)
    for (i, j), value in np.ndenumerate(values):
        dark = np.isfinite(scaled[i, j]) and scaled[i, j] < 0.5
        ax.text(j, i, _short(value), ha="center", va="center", fontsize="small", color="white" if dark else BLACK)
    ax.set_xticks(range(len(columns)), [_wrapped(c) for c in columns], fontsize="small")
    ax.xaxis.tick_top()
    name_rows(ax, list(map(str, rows.index)))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xlabel(f"{population} units; colour: from 0 to the largest layer of each column", fontsize="small")
    return Drawing(axes=(ax,))


def _by_layer(table: pd.DataFrame, layers: list[str], indicator: str, population: str) -> Float[np.ndarray, " layer"]:
    rows = table[table["population"] == population].set_index("layer")[indicator]
    return rows.reindex(layers).to_numpy(float)


def _marks(ax: Axes, values: Float[np.ndarray, "network layer"], shift: float, i: int, joined: int) -> None:
    places = np.arange(values.shape[1]) + shift
    colour, marker = CYCLE[i % len(CYCLE)], MARKERS[i % len(MARKERS)]
    with np.errstate(invalid="ignore"):
        known = np.isfinite(values)
        mean = np.where(
            known.any(axis=0), np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan
        )
    ax.plot(mean[:joined], places[:joined], color=colour, linewidth=1.2, alpha=0.7)
    if len(values) > 1:
        ax.vlines(mean[joined:], places[joined:] - 0.09, places[joined:] + 0.09, color=colour, linewidth=1.2)
    alpha = 0.9 if len(values) == 1 else 0.55
    for row in values:
        ax.plot(row, places, marker, color=colour, markersize=5, markeredgewidth=0, alpha=alpha, clip_on=False)


def _chance_bars(ax: Axes, chance: Float[np.ndarray, "network layer"], shift: float) -> bool:
    """Draw what chance predicts on average, where it predicts anything."""
    places = np.arange(chance.shape[1]) + shift
    known = np.isfinite(chance).any(axis=0)
    if known.any():
        mean = np.nanmean(chance[:, known], axis=0)
        ax.vlines(mean, places[known] - 0.12, places[known] + 0.12, color=CHANCE, linewidth=2, zorder=4)
    return bool(known.any())


def _from_zero(ax: Axes) -> None:
    """Begin the axis at 0 where nothing is below, so that small differences do not look large."""
    low, high = ax.dataLim.intervalx
    if 0 <= low <= high < np.inf:
        ax.set_xlim(0, 1.06 * high or 1.0)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))


def _state_legend(drawn: Sequence[Axes], tables: Mapping[str, list[pd.DataFrame]], chance: bool) -> None:
    handles = [
        Line2D([], [], color=CYCLE[i % len(CYCLE)], marker=MARKERS[i % len(MARKERS)], label=f"{name} (n = {len(each)})")
        for i, (name, each) in enumerate(tables.items())
    ]
    if chance:
        handles.append(chance_handle("expected by chance"))
    _legend_below(drawn, handles)


def _learning_legend(
    drawn: Sequence[Axes], layers: Sequence[str], states: Sequence[str], colours: Mapping[str, Any]
) -> None:
    """Name layers and states; of many layers, a scale from the first to the last."""
    own = [layer for layer in layers if layer != "network"]
    few = len(own) <= MAX_LAYERS
    named = [*own, "network"] if "network" in layers else own
    handles = [
        Line2D([], [], color=colours[layer], linewidth=2, label=short)
        for layer, short in zip(named, short_names(list(map(str, named)))[1])
        if few or layer == "network"
    ]
    handles += [
        Line2D([], [], color=BLACK, linestyle=LINES[i % len(LINES)], label=str(state))
        for i, state in enumerate(states)
        if len(states) > 1
    ]
    if not few:
        colour_map = ListedColormap([colours[layer] for layer in own])
        scale = ScalarMappable(norm=BoundaryNorm(range(len(own) + 1), len(own)), cmap=colour_map)
        ticks = np.unique(np.linspace(0, len(own) - 1, 8).astype(int))
        bar = figure_of(drawn[0]).colorbar(scale, ax=list(drawn), label="layer, in the order of the network")
        bar.set_ticks((ticks + 0.5).tolist(), labels=[short_names(list(map(str, own)))[1][tick] for tick in ticks])
        bar.ax.tick_params(length=0)
    if handles:
        _legend_below(drawn, handles)


def _legend_below(drawn: Sequence[Axes], handles: list[Line2D]) -> None:
    figure_of(drawn[0]).legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))


def _scaled(values: Float[np.ndarray, "layer indicator"], coloured: np.ndarray) -> Float[np.ndarray, "layer indicator"]:
    """Scale each column to 1 at its largest value and to 0 at 0, or at its smallest where that is negative; NaN has no colour."""
    scaled = np.full(values.shape, np.nan)
    for j, column in enumerate(values.T):
        known = np.isfinite(column) & coloured
        if known.any():
            low, high = min(column[known].min(), 0.0), column[known].max()
            scaled[known, j] = (column[known] - low) / (high - low) if high > low else np.nan
    return scaled


def _short(value: float) -> str:
    if not np.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:#.3g}".rstrip(".")


def _wrapped(column: str) -> str:
    words = NAMES.get(column, "units" if column == "n_units" else column).split(" ")
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < 12:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "\n".join(lines)
