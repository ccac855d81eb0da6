"""Several sources side by side: networks and cells, each beside its own reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ann2neo.figures import given
from ann2neo.figures.canvas import BLACK, BLUE, GREY, ORANGE, SKY, figure_of, tidy

MEASURES = {"cv": "CV of ISIs", "cv2": "CV2", "lv": "Lv", "fano": "Fano factor"}
MAX_DOTS = 100
# Letters of names that fit below a panel.
MAX_LETTERS = 16


def beside_chance(
    tables: Mapping[str, pd.DataFrame], axes: Sequence[Axes] | None = None, *, shown: Sequence[str] = tuple(MEASURES)
) -> list[Axes]:
    """Draw measures of several sources, one panel each, beside the mean that chance predicts for the units of each source.

    A recording of a network is held against spikes in uniformly random bins, one of a cell against a Poisson process, both given the number of spikes: the
    orange bars of two sources differ where their references do. Few units are dots; of many, a box holds the middle half, a line the middle 90 %.

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
    """
    named = given.by_name(tables, "tables", 'Name them: beside_chance({"network": table, "cells": other}).')
    tables = {name: given.unit_table(each[0]) for name, each in named.items()}
    for measure in shown:
        for table in tables.values():
            given.known_columns(table, (measure, f"{measure}_expected"), "table of units")
    panels = list(axes) if axes is not None else _panels(len(shown), len(tables))
    for ax, measure in zip(panels, shown):
        for place, table in enumerate(tables.values()):
            known = table[table[measure].notna()]
            _values(ax, place, known[measure].to_numpy(float))
            if known.empty:
                ax.text(
                    place, 0.02, "no value", transform=ax.get_xaxis_transform(), rotation=90, ha="center", color=GREY
                )
            expected = known[f"{measure}_expected"].mean()
            ax.hlines(expected, place - 0.35, place + 0.35, color=ORANGE, linewidth=2.5, zorder=5)
        ax.set_title(MEASURES.get(measure, measure))
        _name_sources(ax, list(tables))
        ax.set_xlim(-0.6, len(tables) - 0.4)
        ax.set_ylim(0, 1.06 * ax.dataLim.y1 if ax.dataLim.y1 > 0 else 1.0)
        tidy(ax)
    handles = [Line2D([], [], color=ORANGE, linewidth=2.5, label="mean expected by chance"), *_marks(tables)]
    figure_of(panels[0]).legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    return panels


def _name_sources(ax: Axes, names: list[str]) -> None:
    """Write names side by side, or slanted where they would run into one another."""
    ax.set_xticks(range(len(names)), names)
    if len(names) > 2 or sum(map(len, names)) > MAX_LETTERS:
        ax.tick_params(axis="x", rotation=25)
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def _values(ax: Axes, place: int, values: Float[np.ndarray, " unit"]) -> None:
    if values.size <= MAX_DOTS:
        # Spread evenly by rank, so that the figure is the same every time.
        spread = np.linspace(-0.2, 0.2, values.size) if values.size > 1 else np.zeros(values.size)
        ax.plot(place + spread, values, "o", color=BLUE, markersize=5, alpha=0.8)
        return
    low, first, median, third, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    ax.vlines(place, low, high, color=BLUE, linewidth=1.2)
    ax.fill_between([place - 0.22, place + 0.22], first, third, color=SKY, edgecolor=BLUE)
    ax.hlines(median, place - 0.22, place + 0.22, color=BLACK, linewidth=1.5)


def _marks(tables: Mapping[str, pd.DataFrame]) -> list[Line2D]:
    """Explain what is drawn, and nothing else."""
    dots = [Line2D([], [], color=BLUE, marker="o", linestyle="", label="a unit")]
    box = [
        Line2D([], [], color=SKY, linewidth=8, label="middle half of the units"),
        Line2D([], [], color=BLACK, label="median"),
    ]
    few = [len(table) <= MAX_DOTS for table in tables.values()]
    return (dots if any(few) else []) + ([] if all(few) else box)


def _panels(n_panels: int, n_sources: int) -> list[Axes]:
    width = max(2.4, 1.1 + 0.6 * n_sources)
    figure = Figure(figsize=(width * n_panels, 3.6), layout="constrained")
    return list(np.atleast_1d(figure.subplots(1, n_panels)))
