"""Distributions over units, a row for each layer."""

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
    CHANCE,
    FEW_UNITS,
    SKY,
    Population,
    canvas,
    legend_outside,
    pick,
    plain_log,
    say,
    tidy,
    window_words,
    with_words,
)
from ann2neo.figures.drawing import Drawing, styled
from ann2neo.figures.given import unit_table
from ann2neo.figures.reasons import no_unit
from ann2neo.figures.rows import height_of, name_rows, width_of

# Bins of a histogram: fewer for layers of a few hundred units, where fine ones would look like a comb.
# Multiples of it, modulo 1, fill an interval evenly in scattered order.
GOLDEN = (5**0.5 - 1) / 2
FEW_BINS, MANY_BINS, MANY_UNITS = 30, 60, 2000


@styled()
def firing_rate(table: pd.DataFrame, ax: Axes | None = None, *, population: Population = "all") -> Drawing:
    """Draw how the firing rates of each layer's units are distributed, silent units included: a row for each layer.

    The upper axis reads the same as spikes per bin, where there are bins.

    Parameters
    ----------
    table
        Unit table of `ann2neo.analyze`.
    ax
        Where to draw; None for a figure of its own.
    population
        All units, or those of good quality.

    See Also
    --------
    ann2neo.figures.p_spike, ann2neo.figures.fano

    Examples
    --------
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> firing_rate(table).ax.get_xlabel()
    'firing rate (Hz, in pseudo-time)'
    """
    table = unit_table(table, "firing_rate", "p_spike")
    names = list(dict.fromkeys(map(str, table["layer"])))
    ax = tidy(canvas(ax, width_of(names, 6.8), height_of(len(names), frame=1.9)))
    chosen = {name: pick(table, name, population) for name in names}
    values = {name: _finite(units["firing_rate"]) for name, units in chosen.items()}
    ax.set_xlabel("firing rate (Hz, in pseudo-time)" if _has_bins(table) else "firing rate (Hz)")
    beside = [_counts(units, values[name].size) for name, units in chosen.items()]
    name_rows(ax, names, beside, what=_rows_are(table))
    if not any(v.size for v in values.values()):
        return Drawing(axes=(say(ax, no_unit(table, population, "firing rate"), keep="y"),))
    top = max(v.max() for v in values.values() if v.size) or 1.0
    _bodies(ax, values, np.linspace(0, top, _n_bins(values) + 1))
    ax.set_xlim(-0.02 * top, 1.05 * top)
    per_bin = _bins_per_spike_rate(table)
    if np.isfinite(per_bin):
        upper = ax.secondary_xaxis("top", functions=(partial(np.multiply, per_bin), partial(np.multiply, 1 / per_bin)))
        upper.set_xlabel("spikes per bin")
    _legend(ax, chance=False)
    return Drawing(axes=(ax,))


@styled()
def fano(table: pd.DataFrame, ax: Axes | None = None, *, population: Population = "all") -> Drawing:
    """Draw how the Fano factors of each layer's units are distributed, on a logarithmic axis, with what chance predicts: a row for each layer.

    The chance mark is the mean of the units' expectations given their spike counts and the windows. Units without a Fano factor, and those at exactly 0, have
    no place on the axis; how many units are shown is written beside the layer.

    Parameters
    ----------
    table
        Unit table of `ann2neo.analyze`.
    ax
        Where to draw; None for a figure of its own.
    population
        All units, or those of good quality.

    See Also
    --------
    ann2neo.figures.fano_against_rate, ann2neo.figures.null_band, ann2neo.chance.expected_fano

    Examples
    --------
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> fano(table).ax.get_xlabel()
    'Fano factor\\n(windows: 5 bins)'
    """
    table = unit_table(table, "fano", "fano_expected")
    names = list(dict.fromkeys(map(str, table["layer"])))
    ax = tidy(canvas(ax, width_of(names, 6.8), height_of(len(names), frame=1.7)))
    chosen = {name: pick(table, name, population) for name in names}
    values = {name: _finite(units["fano"]) for name, units in chosen.items()}
    shown = {name: v[v > 0] for name, v in values.items()}
    chance = [float(np.mean(e)) if (e := _finite(units["fano_expected"])).size else np.nan for units in chosen.values()]
    every = np.concatenate([*shown.values(), np.array([c for c in chance if c > 0])]) if shown else np.zeros(0)
    ax.set_xlabel(with_words("Fano factor", window_words(table.attrs)))
    beside = [_counts(units, shown[name].size) for name, units in chosen.items()]
    name_rows(ax, names, beside, what=_rows_are(table))
    if every.size == 0:
        return Drawing(axes=(say(ax, no_unit(table, population, "Fano factor"), keep="y"),))
    low, high = every.min() / 1.15, every.max() * 1.15
    ax.set_xscale("log")
    means = [v.mean() if v.size else np.nan for v in values.values()]
    _bodies(ax, shown, np.geomspace(low, high, _n_bins(shown) + 1), means=means)
    places = np.arange(len(names))
    ax.vlines(chance, places - 0.42, places + 0.42, color=CHANCE, linewidth=2, zorder=3)
    ax.set_xlim(low, high)
    plain_log(ax.xaxis)
    _legend(ax, chance=True)
    return Drawing(axes=(ax,))


def _bodies(
    ax: Axes,
    values: dict[str, Float[np.ndarray, " unit"]],
    edges: Float[np.ndarray, " edge"],
    means: list[float] | None = None,
) -> None:
    """Draw a histogram that lies on both sides of each layer's row, scaled to its own tallest bin, with mean and median."""
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
        ax.fill_between(edge, place - half, place + half, where=some, facecolor=SKY, edgecolor=BLUE, linewidth=0.4)
        _summary_marks(ax, place, sample, mean)


def _dots(ax: Axes, place: int, sample: Float[np.ndarray, " unit"]) -> None:
    """Draw few units one by one, spread over the row such that neighbours lie apart and no line is seen in them, the same every time."""
    spread = 0.5 * (np.arange(sample.size) * GOLDEN % 1) - 0.25 if sample.size > 1 else np.zeros(1)
    ax.plot(np.sort(sample), place + spread, "o", color=SKY, markeredgecolor=BLUE, markersize=5, clip_on=False)


def _summary_marks(ax: Axes, place: int, sample: Float[np.ndarray, " unit"], mean: float) -> None:
    if sample.size > 1:
        ax.vlines(np.median(sample), place - 0.25, place + 0.25, color=BLACK, linewidth=1.5, zorder=4)
        ax.plot(mean, place, "D", color="white", markeredgecolor=BLACK, markersize=5, zorder=5)


def _n_bins(values: dict[str, Float[np.ndarray, " unit"]]) -> int:
    return MANY_BINS if max((v.size for v in values.values()), default=0) > MANY_UNITS else FEW_BINS


def _legend(ax: Axes, *, chance: bool) -> None:
    marks = [
        Line2D([], [], marker="D", color="white", markeredgecolor=BLACK, linestyle="", markersize=5, label="mean"),
        Line2D([], [], color=BLACK, marker="|", linestyle="", markersize=10, markeredgewidth=1.5, label="median"),
        *([chance_handle("mean expected by chance")] if chance else []),
    ]
    legend_outside(ax, marks, n_columns=3)


def chance_handle(words: str) -> Line2D:
    """Make the legend's entry for what chance predicts where it is an upright bar."""
    return Line2D([], [], color=CHANCE, marker="|", linestyle="", markersize=11, markeredgewidth=2, label=words)


def _counts(units: pd.DataFrame, n_shown: int) -> str:
    """Count units, silent ones, and those that are shown where these are fewer."""
    n_silent = int((units["quality"] == "silent").sum())
    words = [f"{len(units):,} unit{'s' * (len(units) != 1)}"]
    if n_silent:
        share = n_silent / len(units)
        words.append(f"{share:.0%} silent" if share >= 0.005 else "<1% silent")
    if (lacking := len(units) - n_shown) and lacking != n_silent:
        words.append(f"{n_shown:,} shown")
    return ", ".join(words)


def _rows_are(table: pd.DataFrame) -> str:
    """Name the rows: layers of a network, groups of cells."""
    return "layer" if _has_bins(table) else "group"


def _has_bins(table: pd.DataFrame) -> bool:
    return bool(table["p_spike"].notna().any())


def _bins_per_spike_rate(table: pd.DataFrame) -> float:
    """Spikes per bin for a rate of 1 Hz; NaN where there are no bins, or no spikes that would tell."""
    return float((table["p_spike"] / table["firing_rate"]).median())


def _finite(column: pd.Series) -> Float[np.ndarray, " unit"]:
    values = column.to_numpy(float)
    return values[np.isfinite(values)]
