"""Several sources side by side: networks and cells, each beside its own reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ann2neo.figures import given
from ann2neo.figures.canvas import BLACK, BLUE, CHANCE, FEW_UNITS, GREY, SKY, leftmost, panels, plain_log, tidy
from ann2neo.figures.distributions import chance_handle
from ann2neo.figures.drawing import Drawing, figure_of, styled
from ann2neo.figures.rows import height_of, name_rows
from ann2neo.measures.registry import MEASURES, shown_in

WORDS = {measure.name: measure.words for measure in MEASURES.values()}
SHOWN = tuple(measure.name for measure in shown_in("chance"))
# Values whose largest is this many times their smallest are drawn on a logarithmic axis.
LOG_RATIO = 20.0


@styled()
def beside_chance(
    tables: Mapping[str, pd.DataFrame], axes: Sequence[Axes] | None = None, *, shown: Sequence[str] = SHOWN
) -> Drawing:
    """Draw measures of several sources, a panel for each measure and a row for each source, beside the mean that chance predicts for the units of each source.

    A recording of a network is held against spikes in uniformly random bins, one of a cell against a Poisson process, both given the number of spikes: the
    bars of two sources differ where their references do. Up to 20 units are dots; of more, a box holds the middle half, a line the middle 90 %. An axis is logarithmic where
    values span more than a factor of 20.

    Parameters
    ----------
    tables
        Tables of `ann2neo.analyze` by name of the source.
    axes
        One axes for each measure; None for a figure of their own.
    shown
        Columns with an expectation.

    Raises
    ------
    AnalysisError
        If tables have no names, are none of units, or lack a column.

    See Also
    --------
    ann2neo.figures.fano, ann2neo.figures.cv_against_expected, ann2neo.figures.null_band
    """
    named = given.by_name(tables, "tables", 'Name them: beside_chance({"network": table, "cells": other}).')
    tables = {name: given.unit_table(each[0]) for name, each in named.items()}
    for measure in shown:
        for table in tables.values():
            given.known_columns(table, (measure, f"{measure}_expected"), "table of units")
    height = height_of(len(tables), frame=1.2)
    given.known_columns(next(iter(tables.values())), shown, "table of units")
    drawn = panels(axes, len(shown), width=2.5, height=height, across=4, shared=True)
    for ax, measure in zip(drawn, shown):
        _panel(tidy(ax), tables, measure)
        if axes is not None or leftmost(ax):
            name_rows(ax, list(tables), what="source")
    handles = [chance_handle("mean expected by chance"), *_marks(tables)]
    figure_of(drawn[0]).legend(handles=handles, loc="outside lower center", ncols=4)
    return Drawing(axes=tuple(drawn))


def _panel(ax: Axes, tables: Mapping[str, pd.DataFrame], measure: str) -> None:
    """Draw one measure of every source."""
    for place, table in enumerate(tables.values()):
        known = table[table[measure].notna()]
        _values(ax, place, known[measure].to_numpy(float))
        if known.empty:
            ax.text(0.03, place, "no value", transform=ax.get_yaxis_transform(), va="center", color=GREY)
        expected = known[f"{measure}_expected"].mean()
        ax.vlines(expected, place - 0.38, place + 0.38, color=CHANCE, linewidth=2.5, zorder=5)
    ax.set_xlabel(WORDS.get(measure) or measure)
    low, high = ax.dataLim.intervalx
    if low > 0 and LOG_RATIO * min(low, 1.0) < high < np.inf:
        ax.set_xscale("log")
        ax.set_xlim(low / 1.2, high * 1.2)
        plain_log(ax.xaxis)
    else:
        ax.set_xlim(0, 1.06 * high if 0 < high < np.inf else 1.0)


def _values(ax: Axes, place: int, values: Float[np.ndarray, " unit"]) -> None:
    if values.size <= FEW_UNITS:
        # Spread evenly by rank, so that the figure is the same every time.
        spread = np.linspace(-0.2, 0.2, values.size) if values.size > 1 else np.zeros(values.size)
        ax.plot(values, place + spread, "o", color=BLUE, markersize=5, alpha=0.8)
        return
    low, first, median, third, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    ax.hlines(place, low, high, color=BLUE, linewidth=1.2)
    ax.fill_between([first, third], place - 0.25, place + 0.25, facecolor=SKY, edgecolor=BLUE)
    ax.vlines(median, place - 0.25, place + 0.25, color=BLACK, linewidth=1.5)


def _marks(tables: Mapping[str, pd.DataFrame]) -> list[Line2D]:
    """Explain what is drawn, and nothing else."""
    dots = [Line2D([], [], color=BLUE, marker="o", linestyle="", label="a unit")]
    box = [
        Line2D([], [], color=SKY, linewidth=8, label="middle half of the units"),
        Line2D([], [], color=BLACK, marker="|", linestyle="", markersize=10, label="median"),
    ]
    few = [len(table) <= FEW_UNITS for table in tables.values()]
    return (dots if any(few) else []) + ([] if all(few) else box)
