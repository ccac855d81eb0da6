"""Distributions over units, one per layer."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ann2neo.figures.canvas import (
    BLACK,
    BLUE,
    FEW_UNITS,
    ORANGE,
    SKY,
    Population,
    canvas,
    name_layers,
    pick,
    plain_log,
    say,
    tidy,
    window_words,
    with_words,
)
from ann2neo.figures.given import unit_table

MAX_WIDTH = 11.0
# Bins of a histogram: fewer for layers of a few hundred units, where fine ones would look like a comb.
FEW_BINS, MANY_BINS, MANY_UNITS = 30, 60, 2000


def firing_rate(table: pd.DataFrame, ax: Axes | None = None, *, population: Population = "all") -> Axes:
    """Draw how the firing rates of each layer's units are distributed, silent units included.

    The right axis reads the same as spikes per bin, where there are bins.

    Parameters
    ----------
    table
        Unit table of `ann2neo.analyze`.
    ax
        Where to draw; None for a figure of its own.
    population
        All units, or those of good quality.

    Examples
    --------
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> firing_rate(table).get_ylabel()
    'firing rate (Hz, in pseudo-time)'
    """
    table = unit_table(table, "firing_rate", "p_spike")
    names = list(dict.fromkeys(table["layer"]))
    ax = tidy(canvas(ax, min(max(5.0, 1.6 + 1.1 * len(names)), MAX_WIDTH)))
    chosen = {name: pick(table, name, population) for name in names}
    values = {name: _finite(units["firing_rate"]) for name, units in chosen.items()}
    top = max((v.max() for v in values.values() if v.size), default=0.0) or 1.0
    _bodies(ax, values, np.linspace(0, top, _n_bins(values) + 1))
    ax.set_ylim(-0.02 * top, 1.05 * top)
    ax.set_ylabel("firing rate (Hz, in pseudo-time)" if _has_bins(table) else "firing rate (Hz)")
    name_layers(ax, [_with_counts(name, units, values[name].size) for name, units in chosen.items()])
    per_bin = _bins_per_spike_rate(table)
    if np.isfinite(per_bin):
        right = ax.secondary_yaxis(
            "right", functions=(partial(np.multiply, per_bin), partial(np.multiply, 1 / per_bin))
        )
        right.set_ylabel("spikes per bin")
    _legend(ax, chance=False)
    return ax


def fano(table: pd.DataFrame, ax: Axes | None = None, *, population: Population = "all") -> Axes:
    """Draw how the Fano factors of each layer's units are distributed, on a logarithmic axis, with what chance predicts.

    The chance mark is the mean of the units' expectations given their spike counts and the windows. Units without a Fano factor, and those at exactly 0, have
    no place on the axis; their share is written below the layer.

    Parameters
    ----------
    table
        Unit table of `ann2neo.analyze`.
    ax
        Where to draw; None for a figure of its own.
    population
        All units, or those of good quality.

    Examples
    --------
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> fano(table).get_ylabel()
    'Fano factor\\n(windows: 5 bins)'
    """
    table = unit_table(table, "fano", "fano_expected")
    names = list(dict.fromkeys(table["layer"]))
    ax = tidy(canvas(ax, min(max(5.0, 1.6 + 1.1 * len(names)), MAX_WIDTH)))
    chosen = {name: pick(table, name, population) for name in names}
    values = {name: _finite(units["fano"]) for name, units in chosen.items()}
    shown = {name: v[v > 0] for name, v in values.items()}
    chance = [float(np.mean(e)) if (e := _finite(units["fano_expected"])).size else np.nan for units in chosen.values()]
    every = np.concatenate([*shown.values(), np.array([c for c in chance if c > 0])]) if shown else np.zeros(0)
    ax.set_ylabel(with_words("Fano factor", window_words(table.attrs)))
    name_layers(ax, [_with_counts(name, units, shown[name].size) for name, units in chosen.items()])
    if every.size == 0:
        return say(ax, "no unit has a Fano factor", keep_x=True)
    low, high = every.min() / 1.15, every.max() * 1.15
    ax.set_yscale("log")
    _bodies(
        ax,
        shown,
        np.geomspace(low, high, _n_bins(shown) + 1),
        means=[v.mean() if v.size else np.nan for v in values.values()],
    )
    ax.hlines(chance, np.arange(len(names)) - 0.42, np.arange(len(names)) + 0.42, color=ORANGE, linewidth=2, zorder=3)
    ax.set_ylim(low, high)
    plain_log(ax.yaxis)
    _legend(ax, chance=True)
    return ax


def _bodies(
    ax: Axes,
    values: dict[str, Float[np.ndarray, " unit"]],
    edges: Float[np.ndarray, " edge"],
    means: list[float] | None = None,
) -> None:
    """Draw a histogram standing on both sides of each layer's place, scaled to its own tallest bin, with mean and median."""
    for place, sample in enumerate(values.values()):
        if sample.size == 0:
            continue
        mean = sample.mean() if means is None else means[place]
        if sample.size <= FEW_UNITS:
            _dots(ax, place, sample)
            _summary_marks(ax, place, sample, mean)
            continue
        counts = np.histogram(sample, edges)[0]
        half = np.repeat(0.4 * counts / max(counts.max(), 1), 2)
        edge, some = np.repeat(edges, 2)[1:-1], half > 0
        ax.fill_betweenx(edge, place - half, place + half, where=some, facecolor=SKY, edgecolor=BLUE, linewidth=0.4)
        _summary_marks(ax, place, sample, mean)


def _dots(ax: Axes, place: int, sample: Float[np.ndarray, " unit"]) -> None:
    """Draw few units one by one, side by side in the order of their values, so that the figure is the same every time."""
    spread = np.linspace(-0.25, 0.25, sample.size) if sample.size > 1 else np.zeros(1)
    ax.plot(place + spread, np.sort(sample), "o", color=SKY, markeredgecolor=BLUE, markersize=5, clip_on=False)


def _summary_marks(ax: Axes, place: int, sample: Float[np.ndarray, " unit"], mean: float) -> None:
    if sample.size > 1:
        ax.hlines(np.median(sample), place - 0.2, place + 0.2, color=BLACK, linewidth=1.5, zorder=4)
        ax.plot(place, mean, "D", color="white", markeredgecolor=BLACK, markersize=6, zorder=5)


def _n_bins(values: dict[str, Float[np.ndarray, " unit"]]) -> int:
    return MANY_BINS if max((v.size for v in values.values()), default=0) > MANY_UNITS else FEW_BINS


def _legend(ax: Axes, *, chance: bool) -> None:
    marks = [
        Line2D([], [], marker="D", color="white", markeredgecolor=BLACK, linestyle="", label="mean"),
        Line2D([], [], color=BLACK, label="median"),
        *([Line2D([], [], color=ORANGE, linewidth=2, label="mean expected by chance")] if chance else []),
    ]
    ax.legend(handles=marks, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize="small")


def _with_counts(name: str, units: pd.DataFrame, n_shown: int) -> str:
    silent = (units["quality"] == "silent").mean() if len(units) else 0
    lacking = len(units) - n_shown
    lines = [name, f"{len(units):,} unit{'s' * (len(units) != 1)}"]
    if silent:
        lines.append(f"{silent:.0%} silent" if silent >= 0.005 else "<1% silent")
    if lacking and lacking != (units["quality"] == "silent").sum():
        lines.append(f"{n_shown:,} shown")
    return "\n".join(lines)


def _has_bins(table: pd.DataFrame) -> bool:
    return bool(table["p_spike"].notna().any())


def _bins_per_spike_rate(table: pd.DataFrame) -> float:
    """Spikes per bin for a rate of 1 Hz; NaN where there are no bins, or no spikes that would tell."""
    return float((table["p_spike"] / table["firing_rate"]).median())


def _finite(column: pd.Series) -> Float[np.ndarray, " unit"]:
    values = column.to_numpy(float)
    return values[np.isfinite(values)]
