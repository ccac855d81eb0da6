"""What was measured against what a reference predicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import MaxNLocator
from scipy import special, stats

from ann2neo.figures.canvas import (
    BLACK,
    BLUE,
    COUNTS,
    CYCLE,
    GREY,
    ORANGE,
    VERMILLION,
    Population,
    canvas,
    pick,
    say,
    tidy,
    window_words,
    with_words,
)
from ann2neo.figures.distributions import plain_log
from ann2neo.recording import Recording

TESTS = {
    "dispersion_p": "dispersion over windows",
    "runs_p": "runs",
    "isi_law_p": "ISI law",
    "stationarity_p": "stationarity",
}
MAX_POINTS = 400
# A unit with more bins than this between spikes is an outlier that would squeeze the rest of the axis.
QUANTILE_SHOWN = 0.999


def fano_against_rate(
    table: pd.DataFrame, ax: Axes | None = None, *, layer: str | None = None, population: Population = "all"
) -> Axes:
    """Draw Fano factors against spikes per bin, as counts of units, with the line 1 - p and what chance predicts.

    A unit that ignores the windows lies about the chance line; 1 - p is its limit for many equal windows. Without bins the axis is the firing rate, and there
    is no line 1 - p.

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
    """
    ax = tidy(canvas(ax))
    units = pick(table, layer, population)
    rate = "p_spike" if units["p_spike"].notna().any() else "firing_rate"
    units = units[np.isfinite(units["fano"]) & (units["fano"] > 0) & np.isfinite(units[rate])].sort_values(rate)
    ax.set_xlabel("spikes per bin, p" if rate == "p_spike" else "firing rate (Hz)")
    ax.set_ylabel(with_words("Fano factor", window_words(table.attrs)))
    ax.set_title(layer or "all layers")
    if units.empty:
        return say(ax, "no unit has a Fano factor")
    x, y = units[rate].to_numpy(float), units["fano"].to_numpy(float)
    right = 1.0 if rate == "p_spike" else x.max() * 1.05
    expected = units[np.isfinite(units["fano_expected"]) & (units["fano_expected"] > 0)]
    low, high = min(y.min(), 0.1) / 1.2, max(y.max(), 1.0) * 1.2
    ax.set_yscale("log")
    _counts(ax, x, y, (0, right), (low, high), log_y=True)
    if rate == "p_spike":
        p = np.linspace(0, 0.999, 200)
        ax.plot(p, 1 - p, color=BLACK, linewidth=1.6, label="1 - p (Bernoulli, many windows)")
    if len(expected):
        chance = _thinned(expected.groupby(rate)["fano_expected"].mean())
        ax.plot(chance.index, chance, color=ORANGE, linewidth=2, linestyle="--", label="expected by chance, given counts and windows")
    ax.set_xlim(0, right)
    ax.set_ylim(low, high)
    plain_log(ax)
    _legend(ax, "lower left")
    return ax


def cv_against_expected(
    table: pd.DataFrame, ax: Axes | None = None, *, layer: str | None = None, population: Population = "good"
) -> Axes:
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
    """
    ax = tidy(canvas(ax, 5.4, 4.4))
    units = pick(table, layer, population)
    units = units[np.isfinite(units["cv"]) & np.isfinite(units["cv_expected"])]
    ax.set_xlabel("CV expected by chance, given the spike count")
    ax.set_ylabel("CV of ISIs")
    ax.set_title(layer or "all layers")
    if units.empty:
        return say(ax, "no unit has a CV")
    x, y = units["cv_expected"].to_numpy(float), units["cv"].to_numpy(float)
    span = (0.9 * min(x.min(), y.min()), 1.05 * max(x.max(), y.max(), 1.0))
    _counts(ax, x, y, span, span, log_y=False)
    ax.plot(span, span, color=BLACK, linewidth=1.4, label="as expected")
    ax.set_xlim(span)
    ax.set_ylim(span)
    _legend(ax, "upper left")
    return ax


def isi_law(recording: Recording, layer: str, ax: Axes | None = None, *, unit: int | None = None) -> Axes:
    r"""Draw how often each inter-spike interval occurs, with the geometric law and the exponential that is often taken in its place.

    The reference is exact given the spike counts: of a unit with n spikes on L bins, :math:`(n-1)\binom{L-s}{n-1} / \binom{L}{n}` intervals of s bins are
    expected where spikes fall anywhere with equal chance; for many bins this is geometric, :math:`p\,(1-p)^{s-1}`. The exponential
    :math:`p\,e^{-ps}` forgets that a bin holds one spike at most. Intervals do not cross the border of a stretch.

    Parameters
    ----------
    recording
        Spikes, in the order of bins in which intervals are to be read.
    layer
        Name of the layer.
    ax
        Where to draw; None for a figure of its own.
    unit
        Position of a unit among those recorded of the layer; None pools all of them, each with a reference of its own.
    """
    ax = tidy(canvas(ax))
    intervals, per_stretch = interval_counts(recording, layer, unit)
    lengths = np.diff(recording.stretches)
    step = "input" if (recording.trials["stop_bin"] - recording.trials["start_bin"] == 1).all() else "step"
    ax.set_xlabel(f"inter-spike interval (bins; pseudo-time: 1 bin = 1 {step})")
    ax.set_ylabel("share of intervals")
    ax.set_title(layer if unit is None else recording.layer(layer).unit_names[unit])
    total = int(intervals.sum())
    if total == 0:
        return say(ax, "no interval: fewer than two spikes")
    shown = max(2, int(np.searchsorted(np.cumsum(intervals), QUANTILE_SHOWN * total)) + 1)
    s = np.arange(1, shown + 1)
    observed = intervals[: shown + 1][1:] / total
    ax.plot(s[: observed.size], np.where(observed > 0, observed, np.nan), "o", color=BLUE, markersize=4, label=f"observed ({total:,} intervals)")
    expected = expected_intervals(per_stretch, lengths, shown) / total
    ax.plot(s, expected, color=ORANGE, linewidth=2, label="geometric, given the spike counts")
    ax.plot(s, _exponential(per_stretch, lengths, s) / total, color=VERMILLION, linestyle="--", label="exponential (continuous time)")
    ax.set_yscale("log")
    ax.set_ylim(max(0.3 / total, 0.3 * observed[observed > 0].min()), 2 * max(observed.max(), 0.5))
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    _legend(ax, "upper right")
    return ax


def p_values(table: pd.DataFrame, ax: Axes | None = None, *, layer: str | None = None) -> Axes:
    """Draw the sorted p values of each test of fit against the uniform distribution they have by chance.

    A curve below the diagonal has too many small p. The band holds 95 % of each order statistic for independent units; units that saw the same inputs
    are not independent, so that curves leave it more often than it says.

    Parameters
    ----------
    table
        Unit table of `ann2neo.analyze`.
    ax
        Where to draw; None for a figure of its own.
    layer
        Name of a layer; None for all units.
    """
    ax = tidy(canvas(ax, 5.4, 4.6))
    units = pick(table, layer, "all")
    tests = {c: p for c in TESTS if c in units and (p := np.sort(units[c].dropna().to_numpy(float))).size}
    ax.set_xlabel("p expected by chance (uniform)")
    ax.set_ylabel("p")
    ax.set_title(layer or "all layers")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    if not tests:
        return say(ax, "no unit has a p value")
    n = min(p.size for p in tests.values())
    rank = _places(n)
    below, above = stats.beta.ppf([[0.025], [0.975]], rank, n + 1 - rank)
    ax.fill_between(rank / (n + 1), below, above, color=GREY, alpha=0.3, linewidth=0, label="95 % (independent units)")
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    for (test, p), colour in zip(tests.items(), CYCLE):
        rank = _places(p.size)
        over = " (label: tests tuning)" if test == "dispersion_p" and table.attrs.get("windows") == "label" else ""
        ax.plot(rank / (p.size + 1), p[rank - 1], color=colour, linewidth=1.8, label=f"{TESTS[test]}{over}, {p.size:,} units")
    _legend(ax, "upper left")
    return ax


def interval_counts(
    recording: Recording, layer: str, unit: int | None = None
) -> tuple[Int[np.ndarray, " interval"], Int[np.ndarray, "unit stretch"]]:
    """Count the intervals of each length in bins, 0 included and empty, and the spikes of each unit in each stretch."""
    chosen = recording.layer(layer) if unit is None else recording.layer(layer).take(np.array([unit]))
    edges = recording.stretches
    counts = np.zeros(int(np.diff(edges).max()) + 1, np.int64)
    n_spikes = []
    for units in chosen.raster.chunks():
        dense = chosen.raster.dense(units)
        n = np.add.reduceat(dense.view(np.uint8), edges[:-1], axis=1, dtype=np.int64)
        flat = np.flatnonzero(dense)
        gaps, last = np.diff(flat), np.cumsum(n) - 1
        gaps[last[(last >= 0) & (last < gaps.size)]] = 0  # to the first spike of the next stretch or unit: no interval
        found = np.bincount(gaps, minlength=1)
        found[0] = 0
        n_spikes.append(n)
        counts[: found.size] += found
    return counts, np.concatenate(n_spikes)


def expected_intervals(
    n_spikes: Int[np.ndarray, "unit stretch"], lengths: Int[np.ndarray, " stretch"], longest: int
) -> Float[np.ndarray, " interval"]:
    """Number of intervals of 1, 2, ..., longest bins that are expected in all units together, given their spike counts, shape (interval,).

    Examples
    --------
    >>> expected_intervals(np.array([[2]]), np.array([3]), 2)  # of the 3 arrangements 110, 011, 101
    array([0.66666667, 0.33333333])
    """
    s = np.arange(1, longest + 1)
    total = np.zeros(longest)
    pairs, times = np.unique(np.stack([n_spikes, np.broadcast_to(lengths, n_spikes.shape)], axis=-1).reshape(-1, 2), axis=0, return_counts=True)
    for (n, length), m in zip(pairs.tolist(), times.tolist()):
        if n >= 2:
            fits = s[s <= length - n + 1]
            log = _log_binomial(length - fits, n - 1) - _log_binomial(length, n)
            total[: fits.size] += m * (n - 1) * np.exp(log)
    return total


def _exponential(n_spikes: Int[np.ndarray, "unit stretch"], lengths: Int[np.ndarray, " stretch"], s: Int[np.ndarray, " interval"]) -> Float[np.ndarray, " interval"]:
    counts, times = np.unique(n_spikes.sum(axis=1), return_counts=True)
    total = np.zeros(s.size)
    for n, m in zip(counts, times):
        p = n / lengths.sum()
        total += m * max(n - 1, 0) * p * np.exp(-p * s)
    return total


def _log_binomial(n: Int[np.ndarray, " interval"] | int, k: int) -> Float[np.ndarray, " interval"] | np.floating:
    return special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)


def _counts(
    ax: Axes, x: Float[np.ndarray, " unit"], y: Float[np.ndarray, " unit"], x_span: tuple[float, float], y_span: tuple[float, float], *, log_y: bool
) -> None:
    """Draw units as a map of counts, on a logarithmic scale of colours; cells without a unit stay white."""
    cells = 40 if x.size < 5000 else 90
    edges = np.geomspace(*y_span, cells + 1) if log_y else np.linspace(*y_span, cells + 1)
    counts, x_edges, y_edges = np.histogram2d(x, y, (np.linspace(*x_span, cells + 1), edges))
    top = max(counts.max(), 2)
    shown = ax.pcolormesh(x_edges, y_edges, np.ma.masked_equal(counts.T, 0), cmap=COUNTS, norm=LogNorm(1, top))
    ax.get_figure(root=True).colorbar(shown, ax=ax, label="units", pad=0.02)


def _legend(ax: Axes, place: str) -> None:
    """Name the marks, on white so that data below do not disturb."""
    ax.legend(fontsize="small", loc=place, edgecolor="none", facecolor="white", framealpha=0.85)


def _thinned(curve: pd.Series) -> pd.Series:
    return curve.iloc[np.unique(np.linspace(0, len(curve) - 1, min(len(curve), MAX_POINTS)).astype(int))]


def _places(n: int) -> Int[np.ndarray, " place"]:
    """Ranks at which a curve of n sorted values is drawn: all, or so many that no bend is lost."""
    return np.unique(np.linspace(1, n, min(n, MAX_POINTS)).astype(np.int64))
