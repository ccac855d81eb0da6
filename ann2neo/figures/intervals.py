"""Inter-spike intervals against the law that chance gives them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from scipy import special

from ann2neo.arguments import check_whole
from ann2neo.errors import AnalysisError
from ann2neo.figures import given
from ann2neo.figures.canvas import BLACK, BLUE, CHANCE, canvas, legend_outside, plain_log, say, tidy
from ann2neo.figures.drawing import Drawing, styled
from ann2neo.recording import Recording

# The few longest intervals would squeeze the rest of the axis; a saturated layer has intervals of one bin alone.
QUANTILE_SHOWN, LEAST_SHOWN = 0.999, 5


@styled()
def isi_law(recording: Recording, layer: str, ax: Axes | None = None, *, unit: int | None = None) -> Drawing:
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

    Raises
    ------
    AnalysisError
        If it is not a recording, or has no such unit.

    See Also
    --------
    ann2neo.chance.isi_law_test, ann2neo.figures.cv_against_expected

    Examples
    --------
    >>> import ann2neo
    >>> isi_law(ann2neo.from_array(np.ones((9, 1), bool)), "array").ax.get_xlabel()
    'inter-spike interval (bins; pseudo-time: 1 bin = 1 input)'
    """
    recording = given.recording(recording)
    _check_unit(recording, layer, unit)
    ax = tidy(canvas(ax, 6.4, 5.0))
    intervals, per_stretch = interval_counts(recording, layer, unit)
    lengths = np.diff(recording.stretches)
    step = "input" if (recording.trials["stop_bin"] - recording.trials["start_bin"] == 1).all() else "step"
    ax.set_xlabel(f"inter-spike interval (bins; pseudo-time: 1 bin = 1 {step})")
    ax.set_ylabel("share of intervals")
    ax.set_title(layer if unit is None else recording.layer(layer).unit_names[unit])
    total = int(intervals.sum())
    if total == 0:
        return Drawing(axes=(say(ax, "no interval: fewer than two spikes"),))
    shown = max(2, int(np.searchsorted(np.cumsum(intervals), QUANTILE_SHOWN * total)) + 1)
    s = np.arange(1, shown + 1)
    observed = intervals[: shown + 1][1:] / total
    ax.plot(
        s[: observed.size],
        np.where(observed > 0, observed, np.nan),
        "o",
        color=BLUE,
        markersize=4,
        label=f"observed ({total:,} intervals)",
    )
    expected = expected_intervals(per_stretch, lengths, shown) / total
    ax.plot(s, expected, color=CHANCE, linewidth=2, label="geometric, given the spike counts")
    ax.plot(
        s,
        _exponential(per_stretch, lengths, s) / total,
        color=BLACK,
        linewidth=1.2,
        linestyle="--",
        label="exponential (continuous time)",
    )
    ax.set_yscale("log")
    ax.set_ylim(max(0.3 / total, 0.3 * observed[observed > 0].min()), min(2 * max(observed.max(), 0.5), 1.2))
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.set_xlim(0.5, max(shown, LEAST_SHOWN) + 0.5)
    plain_log(ax.yaxis)
    legend_outside(ax)
    return Drawing(axes=(ax,))


def _check_unit(recording: Recording, layer: str, unit: int | None) -> None:
    if unit is not None:
        check_whole(unit, "unit", low=0)
    n_units = recording.layer(layer).n_units
    if unit is not None and not 0 <= unit < n_units:
        raise AnalysisError(
            f"layer {layer!r} has {n_units} recorded unit{'s' * (n_units != 1)}, and none at position {unit}.",
            "There is nothing to draw.",
            f"Give a position from 0 to {n_units - 1}, or leave `unit` out to pool them all.",
        )


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
    pairs, times = np.unique(
        np.stack([n_spikes, np.broadcast_to(lengths, n_spikes.shape)], axis=-1).reshape(-1, 2),
        axis=0,
        return_counts=True,
    )
    for (n, length), m in zip(pairs.tolist(), times.tolist()):
        if n >= 2:
            fits = s[s <= length - n + 1]
            log = _log_binomial(length - fits, n - 1) - _log_binomial(length, n)
            total[: fits.size] += m * (n - 1) * np.exp(log)
    return total


def _exponential(
    n_spikes: Int[np.ndarray, "unit stretch"], lengths: Int[np.ndarray, " stretch"], s: Int[np.ndarray, " interval"]
) -> Float[np.ndarray, " interval"]:
    counts, times = np.unique(n_spikes.sum(axis=1), return_counts=True)
    total = np.zeros(s.size)
    for n, m in zip(counts, times):
        p = n / lengths.sum()
        total += m * max(n - 1, 0) * p * np.exp(-p * s)
    return total


def _log_binomial(n: Int[np.ndarray, " interval"] | int, k: int) -> Float[np.ndarray, " interval"] | np.floating:
    return special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)
