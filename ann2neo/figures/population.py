"""Correlations between units, and trajectories of a population."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes

from ann2neo.errors import AnalysisError
from ann2neo.figures import given
from ann2neo.figures.canvas import BLACK, CYCLE, FEW_UNITS, GREY, canvas, figure_of, name_units, say, tidy
from ann2neo.population import Correlations

# More trials than this are drawn as the mean of their label alone.
MAX_TRIALS, MAX_NAMES = 200, 14


def correlation_matrix(found: Correlations, ax: Axes | None = None) -> Axes:
    """Draw signal correlations below and noise correlations above the diagonal.

    Units are in the order given; grey marks undefined pairs (silent units, and units that do not differ between labels or within them). Values that
    chance alone would give are told below: signal correlation over few labels is wide even without tuning.

    Parameters
    ----------
    found
        What `ann2neo.population.correlations` gave.
    ax
        Where to draw; None for a figure of its own.

    Raises
    ------
    AnalysisError
        If rows and columns are not the same units.

    Examples
    --------
    >>> import ann2neo
    >>> from ann2neo.population import correlations
    >>> recording = ann2neo.from_array(np.random.default_rng(0).random((40, 5)) < 0.5, labels=[0, 1, 2, 3] * 10)
    >>> correlation_matrix(correlations(recording, n_permutations=5)).images[0].get_array().shape
    (5, 5)
    """
    found = given.kind(found, Correlations, "`ann2neo.population.correlations`")
    if not found.rows.equals(found.columns):
        raise AnalysisError(
            "rows and columns are different units.",
            "There is no diagonal.",
            "Draw what `correlations` gave, or a block on the diagonal.",
        )
    ax = canvas(ax, 5.6, 5.0)
    below = np.tril(np.ones(found.signal.shape, bool), k=-1)
    values = np.where(below, found.signal, found.noise)
    np.fill_diagonal(values, np.nan)
    ax.set_facecolor("#dddddd")
    n = len(values)
    drawn = ax.imshow(
        np.ma.masked_invalid(values),
        cmap="RdBu_r",
        vmin=-1,
        vmax=1,
        interpolation="nearest" if n < 500 else "auto",
        extent=(0, n, n, 0),
    )
    ax.plot([0, n], [0, n], color=BLACK, linewidth=0.8)
    name_units(ax.xaxis, n)
    name_units(ax.yaxis, n)
    ax.set_xlabel(
        f"unit\nbelow the diagonal: signal ({len(found.labels)} labels); above: noise{_chance_words(found)}{_grey_words(values)}"
    )
    ax.set_ylabel("unit")
    figure_of(ax).colorbar(drawn, ax=ax, label="correlation", pad=0.02)
    return ax


def trajectories(path: pd.DataFrame, ax: Axes | None = None, *, dims: tuple[int, int] = (1, 2)) -> Axes:
    """Draw two dimensions of a population's trajectories: thin lines for trials, a thick one for the mean of each label, a dot where it begins.

    The mean at each bin is over the trials that last so long. Of more than 200 trials the means alone are drawn.

    Parameters
    ----------
    path
        What `ann2neo.population.gpfa_trajectories` gave.
    ax
        Where to draw; None for a figure of its own.
    dims
        Numbers of the dimensions along x and y.

    Raises
    ------
    AnalysisError
        If there are no such dimensions.

    Examples
    --------
    >>> path = pd.DataFrame({"trial": 0, "label": "a", "start_ms": [0.0, 1.0], "dim_1": [0.0, 1.0], "dim_2": [0.0, 2.0]})
    >>> trajectories(path).get_legend_handles_labels()[1]
    ['a']
    """
    path = given.kind(path, pd.DataFrame, "`ann2neo.population.gpfa_trajectories`")
    x, y = (f"dim_{dim}" for dim in dims)
    missing = [name for name in ("trial", "label", "start_ms", x, y) if name not in path]
    if missing:
        raise AnalysisError(
            f"the trajectories lack {', '.join(missing)}.",
            "They cannot be drawn.",
            "Fit more dimensions (n_dims), or choose others (dims).",
        )
    ax = tidy(canvas(ax, 5.6, 4.8))
    ax.set_xlabel(f"dimension {dims[0]}")
    ax.set_ylabel(f"dimension {dims[1]}")
    if path.empty:
        return say(ax, "no trajectories")
    few = path["trial"].nunique() <= MAX_TRIALS
    labels = list(dict.fromkeys(path["label"]))
    for number, label in enumerate(labels):
        colour, of_label = CYCLE[number % len(CYCLE)], path[path["label"] == label]
        if few:
            for _, trial in of_label.groupby("trial"):
                ax.plot(trial[x], trial[y], color=colour, linewidth=0.7, alpha=0.35)
        mean = of_label.groupby("start_ms")[[x, y]].mean()
        style = ("-", "--", ":")[number // len(CYCLE) % 3]
        ax.plot(mean[x], mean[y], style, color=colour, linewidth=2.2, label=str(label))
        ax.plot(mean[x].iloc[:1], mean[y].iloc[:1], "o", color=colour, markersize=6, markeredgecolor=GREY)
    if len(labels) <= MAX_NAMES:
        ax.legend(frameon=False, fontsize="small", title="label")
    return ax


def _grey_words(values: Float[np.ndarray, "unit unit"]) -> str:
    """Say what grey cells are, where there are any that are seen."""
    without = np.isnan(values)
    n_undefined = int(without.sum()) - len(values)
    if n_undefined:
        return f"\ngrey: undefined ({n_undefined:,} of {values.size - len(values):,}: a unit that never changes)"
    return "\ngrey: a unit with itself" if len(values) <= FEW_UNITS else ""


def _chance_words(found: Correlations) -> str:
    """Say how wide correlations are by chance."""
    known = found.different & np.isfinite(found.noise_null_sd)
    parts = [f"noise ±{np.median(found.noise_null_sd[known]):.2f}"] if known.any() else []
    known = found.different & np.isfinite(found.signal_null_sd)
    if known.any():
        parts.insert(
            0, f"signal {np.median(found.signal_null_mean[known]):.2f} ± {np.median(found.signal_null_sd[known]):.2f}"
        )
    return f"\nchance, median pair: {', '.join(parts)}" if parts else ""
