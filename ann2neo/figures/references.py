"""What was measured against what a reference predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from scipy import stats

from ann2neo.analysis.goodness import TESTS
from ann2neo.figures.canvas import (
    BLACK,
    BLUE,
    CHANCE,
    COUNTS,
    CYCLE,
    FEW_UNITS,
    GREY,
    MARKERS,
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
from ann2neo.figures.drawing import Drawing, figure_of, styled
from ann2neo.figures.given import unit_table
from ann2neo.figures.reasons import no_unit

MAX_POINTS = 400
# Units that are drawn one by one, and the smallest p that is told apart.
MANY_UNITS, LEAST_P = 500, 1e-16
# Room beyond the largest rate, so that the mark of a saturated unit is whole.
ROOM = 0.03


@styled()
def fano_against_rate(
    table: pd.DataFrame, ax: Axes | None = None, *, layer: str | None = None, population: Population = "all"
) -> Drawing:
    """Draw Fano factors against spikes per bin, as counts of units, with the line 1 - p and what chance predicts.

    A unit that ignores the windows lies about the chance line; 1 - p is its limit for many equal windows. Without bins the axis is the firing rate, and there
    there is no line 1 - p.

    Parameters
    ----------
    table
        Unit table of `ann2neo.analyze`.
    ax
        Where to draw; None for a figure of its own.
    layer
        Name of a layer; None for all units.
    population
        All units, or those of good quality.

    See Also
    --------
    ann2neo.figures.fano, ann2neo.figures.cv_against_expected

    Examples
    --------
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> fano_against_rate(table).ax.get_xlabel()
    'spikes per bin, p'
    """
    table = unit_table(table, "p_spike", "firing_rate", "fano", "fano_expected")
    ax = tidy(canvas(ax, 6.4, 4.8))
    units = pick(table, layer, population)
    rate = "p_spike" if table["p_spike"].notna().any() else "firing_rate"
    units = units[np.isfinite(units["fano"]) & (units["fano"] > 0) & np.isfinite(units[rate])].sort_values(rate)
    ax.set_xlabel("spikes per bin, p" if rate == "p_spike" else "firing rate (Hz)")
    ax.set_ylabel(with_words("Fano factor", window_words(table.attrs)))
    ax.set_title(_whose(layer, population))
    if units.empty:
        return Drawing(axes=(say(ax, no_unit(pick(table, layer, "all"), population, "Fano factor")),))
    x, y = units[rate].to_numpy(float), units["fano"].to_numpy(float)
    right = (1.0 if rate == "p_spike" else x.max()) * (1 + ROOM)
    expected = units[np.isfinite(units["fano_expected"]) & (units["fano_expected"] > 0)]
    least = min(expected["fano_expected"].min(), 1.0) if len(expected) else 1.0
    low, high = min(y.min(), least) / 1.2, max(y.max(), 1.0) * 1.2
    ax.set_yscale("log")
    _counts(ax, x, y, (0.0, right), (low, high), log_y=True)
    if rate == "p_spike":
        p = np.linspace(0, 0.999, 200)
        ax.plot(p, 1 - p, color=BLACK, linewidth=1.2, label="1 - p (Bernoulli, many windows)")
    if len(expected):
        few = len(expected) <= FEW_UNITS
        chance = _thinned(expected.groupby(rate)["fano_expected"].mean())
        marks = few or _is_rough(chance)
        ax.plot(
            chance.index,
            chance,
            linestyle="" if marks else "--",
            marker="_" if marks else "",
            markersize=14 if few else 7,
            color=CHANCE,
            linewidth=2,
            markeredgewidth=2 if few else 1.3,
            label="expected by chance, given counts and windows",
        )
    ax.set_xlim(0, right)
    ax.set_ylim(low, high)
    plain_log(ax.yaxis)
    legend_outside(ax)
    return Drawing(axes=(ax,))


@styled()
def cv_against_expected(
    table: pd.DataFrame, ax: Axes | None = None, *, layer: str | None = None, population: Population = "good"
) -> Drawing:
    """Draw the CV of ISIs against its expectation given the spike count, as counts of units, with the line of equality.

    Parameters
    ----------
    table
        Unit table of `ann2neo.analyze`.
    ax
        Where to draw; None for a figure of its own.
    layer
        Name of a layer; None for all units.
    population
        All units, or those of good quality: the CV of a unit with a handful of spikes scatters widely.

    See Also
    --------
    ann2neo.figures.fano_against_rate, ann2neo.chance.expected_cv

    Examples
    --------
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> cv_against_expected(table, population="all").ax.get_ylabel()
    'CV of ISIs'
    """
    table = unit_table(table, "cv", "cv_expected")
    ax = tidy(canvas(ax, 5.4, 4.6))
    units = pick(table, layer, population)
    units = units[np.isfinite(units["cv"]) & np.isfinite(units["cv_expected"])]
    ax.set_xlabel("CV expected by chance, given the spike count")
    ax.set_ylabel("CV of ISIs")
    ax.set_title(_whose(layer, population))
    if units.empty:
        return Drawing(axes=(say(ax, no_unit(pick(table, layer, "all"), population, "CV")),))
    x, y = units["cv_expected"].to_numpy(float), units["cv"].to_numpy(float)
    across, upright = _span(x), _span(np.concatenate([x, y]))
    _counts(ax, x, y, across, upright, log_y=False)
    ax.axline((1.0, 1.0), slope=1.0, color=CHANCE, linewidth=2, label="as expected by chance")
    ax.set_xlim(across)
    ax.set_ylim(upright)
    legend_outside(ax)
    return Drawing(axes=(ax,))


@styled()
def p_values(table: pd.DataFrame, ax: Axes | None = None, *, layer: str | None = None) -> Drawing:
    """Draw the sorted p values of each test of fit against the uniform distribution they have by chance, both as -log10, so that the small ones are told apart.

    A curve above the diagonal has too many small p. The band holds 95 % of each order statistic for independent units; units that saw the same inputs
    are not independent, so that curves leave it more often than it says. What is below 1e-16 is drawn at the upper edge.

    Parameters
    ----------
    table
        Unit table of `ann2neo.analyze`.
    ax
        Where to draw; None for a figure of its own.
    layer
        Name of a layer; None for all units.

    See Also
    --------
    ann2neo.analyze, ann2neo.chance.false_discovery

    Examples
    --------
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> p_values(table).ax.get_xlabel()
    'p expected by chance (uniform), -log10'
    """
    table = unit_table(table)
    ax = tidy(canvas(ax, 6.0, 5.4))
    units = pick(table, layer, "all")
    tests = {c: p for c in TESTS if c in units and (p := np.sort(units[c].dropna().to_numpy(float))).size}
    ax.set_xlabel("p expected by chance (uniform), -log10")
    ax.set_ylabel("p, -log10")
    ax.set_title(layer or "all units")
    if not tests:
        measured = any(test in table for test in TESTS)
        words = no_unit(units, "all", "p value") if measured else "no p values:\nanalyze(..., tests=True) adds them"
        return Drawing(axes=(say(ax, words),))
    # Windows are classes where they are labels, or the label share is that of the column which makes them.
    windows = table.attrs.get("windows")
    tuning = f" ({windows}: tests tuning)" if windows in ("label", table.attrs.get("label_share_by", "label")) else ""
    n = min(p.size for p in tests.values())
    rank = _places(n)
    below, above = stats.beta.ppf([[0.025], [0.975]], rank, n + 1 - rank)
    band = "95 % (independent units)"
    ax.fill_between(
        _minus_log(rank / (n + 1)), _minus_log(above), _minus_log(below), color=GREY, alpha=0.3, linewidth=0, label=band
    )
    most = _minus_log(1 / (max(p.size for p in tests.values()) + 1))
    ax.plot([0, most], [0, most], color=CHANCE, linewidth=1.5, label="as expected by chance")
    for (test, p), colour, marker in zip(tests.items(), CYCLE, MARKERS):
        rank = _places(p.size)
        over = tuning if test == "overdispersion_p" else ""
        ax.plot(
            _minus_log(rank / (p.size + 1)),
            _minus_log(p[rank - 1]),
            color=colour,
            linewidth=1.5,
            marker=marker if p.size <= FEW_UNITS else "",
            markersize=4,
            clip_on=False,
            label=f"{TESTS[test]}{over}, {p.size:,} units",
        )
    if min(p[0] for p in tests.values()) < LEAST_P:
        ax.set_ylabel(f"p, -log10 ({-np.log10(LEAST_P):.0f}: {LEAST_P:g} or smaller)")
    ax.set_xlim(0, None)
    ax.set_ylim(0, None)
    legend_outside(ax)
    return Drawing(axes=(ax,))


def _whose(layer: str | None, population: Population) -> str:
    """Name the units that are drawn, for the title."""
    which = "units of good quality" if population == "good" else "all units"
    return which if layer is None else f"{layer}, {which}"


def _minus_log(p: Any) -> Any:
    """Compute -log10 of p values; those below 1e-16 are drawn at 1e-16."""
    return -np.log10(np.maximum(p, LEAST_P))


def _span(values: Float[np.ndarray, " unit"]) -> tuple[float, float]:
    """Limits of an axis with a twentieth of room at each side, and some where all values are one."""
    low, high = float(values.min()), float(values.max())
    room = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    return low - room, high + room


def _counts(
    ax: Axes,
    x: Float[np.ndarray, " unit"],
    y: Float[np.ndarray, " unit"],
    x_span: tuple[float, float],
    y_span: tuple[float, float],
    *,
    log_y: bool,
) -> None:
    """Draw units as a map of counts, on a logarithmic scale of colours; cells without a unit stay white. Up to 500 units are dots."""
    if x.size <= MANY_UNITS:
        few = x.size <= FEW_UNITS
        ax.plot(x, y, "o", color=BLUE, markersize=6 if few else 3.5, alpha=1 if few else 0.6, label="a unit")
        return
    cells = 40 if x.size < 5000 else 90
    edges = np.geomspace(*y_span, cells + 1) if log_y else np.linspace(*y_span, cells + 1)
    counts, x_edges, y_edges = np.histogram2d(x, y, (np.linspace(*x_span, cells + 1), edges))
    top = max(counts.max(), 2)
    shown = ax.pcolormesh(x_edges, y_edges, np.ma.masked_equal(counts.T, 0), cmap=COUNTS, norm=LogNorm(1, top))
    bar = figure_of(ax).colorbar(shown, ax=ax, label="units", pad=0.02)
    plain_log(bar.ax.yaxis, counts=True)


def _thinned(curve: pd.Series) -> pd.Series:
    return curve.iloc[np.unique(np.linspace(0, len(curve) - 1, min(len(curve), MAX_POINTS)).astype(int))]


def _is_rough(curve: pd.Series) -> bool:
    """Whether units of nearly one rate differ in what chance predicts, so that a line through them would only go up and down."""
    return bool(curve.diff().abs().sum() > 3 * (curve.max() - curve.min()))


def _places(n: int) -> Int[np.ndarray, " place"]:
    """Ranks at which a curve of n sorted values is drawn: all, or many, closer to one another among the small p."""
    even, dense = np.linspace(1, n, min(n, MAX_POINTS)), np.geomspace(1, n, min(n, MAX_POINTS))
    return np.unique(np.concatenate([even, dense]).round().astype(np.int64))
