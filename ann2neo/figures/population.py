"""Correlations between units, and trajectories of a population."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap

from ann2neo.errors import AnalysisError
from ann2neo.figures import given
from ann2neo.figures.canvas import BLACK, FEW_UNITS, GREY, canvas, name_units, say, tidy
from ann2neo.figures.drawing import Drawing, figure_of, styled
from ann2neo.figures.rows import short_names, spread, width_of
from ann2neo.population import Correlations

# More trials than this are drawn as the mean of their label alone.
MAX_TRIALS = 200
# Labels that a legend names one by one, in colours of their own; layers that are all named beside a matrix.
COLOURS = ("#0072B2", "#CC6677", "#009E73", "#AA4499", "#000000", "#56B4E9", "#7A6500", "#999999", "#882255", "#44AA99")
MAX_NAMES, MAX_LAYERS = len(COLOURS), 40
# Height of a name, as a share of the height of the matrix.
NAME_SHARE = 0.042


@styled()
def correlation_matrix(found: Correlations, ax: Axes | None = None) -> Drawing:
    """Draw signal correlations below and noise correlations above the diagonal.

    Units are in the order given, with borders and names of layers where there are several; grey marks undefined pairs (silent units, and units that do not differ between
    labels or within them). Values that chance alone would produce are told below: signal correlation over few labels is wide even without tuning. Over two labels it is 1 or -1
    by construction and is left blank.

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

    See Also
    --------
    ann2neo.population.correlations, ann2neo.figures.raster

    Examples
    --------
    >>> import ann2neo
    >>> from ann2neo.population import correlations
    >>> recording = ann2neo.from_array(np.random.default_rng(0).random((40, 5)) < 0.5, labels=[0, 1, 2, 3] * 10)
    >>> correlation_matrix(correlations(recording, n_permutations=5)).ax.images[0].get_array().shape
    (5, 5)
    """
    found = given.kind(found, Correlations, "`ann2neo.population.correlations`")
    if not found.rows.equals(found.columns):
        raise AnalysisError(
            "rows and columns are different units.",
            "There is no diagonal.",
            "Draw what `correlations` gave, or a block on the diagonal.",
        )
    ax = canvas(ax, width_of(list(dict.fromkeys(found.rows.get("layer", []))), 5.6), 5.0)
    below = np.tril(np.ones(found.signal.shape, bool), k=-1)
    two = len(found.labels) == 2
    values = np.where(below, np.nan if two else found.signal, found.noise)
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
    _name(ax, found.rows, n)
    below_words = "blank, ±1 by construction" if two else "signal"
    of_labels = f"{len(found.labels)} label{'s' * (len(found.labels) != 1)}"
    grey = _grey_words(np.where(below, np.nan_to_num(values), values) if two else values)
    words = f"below the diagonal: {below_words} ({of_labels}); above: noise{_chance_words(found)}{grey}"
    ax.set_xlabel(f"{ax.get_xlabel()}\n{words}")
    figure_of(ax).colorbar(drawn, ax=ax, label="correlation", pad=0.02, shrink=0.8)
    return Drawing(axes=(ax,))


@styled()
def trajectories(path: pd.DataFrame, ax: Axes | None = None, *, dims: tuple[int, int] = (1, 2)) -> Drawing:
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

    See Also
    --------
    ann2neo.population.gpfa_trajectories

    Examples
    --------
    >>> path = pd.DataFrame({"trial": 0, "label": "a", "start_ms": [0.0, 1.0], "dim_1": [0.0, 1.0], "dim_2": [0.0, 2.0]})
    >>> trajectories(path).ax.get_legend_handles_labels()[1]
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
        return Drawing(axes=(say(ax, "no trajectories"),))
    few = path["trial"].nunique() <= MAX_TRIALS
    labels = _in_order(path["label"])
    many = len(labels) > MAX_NAMES
    colours = (
        list(map(tuple, colormaps["viridis"](np.linspace(0, 0.95, len(labels))))) if many else COLOURS[: len(labels)]
    )
    for number, label in enumerate(labels):
        colour, of_label = colours[number], path[path["label"] == label]
        if few:
            for _, trial in of_label.groupby("trial"):
                ax.plot(trial[x], trial[y], color=colour, linewidth=0.7, alpha=0.35)
        mean = of_label.groupby("start_ms")[[x, y]].mean()
        ax.plot(mean[x], mean[y], color=colour, linewidth=2.2, label=str(label))
        ax.plot(mean[x].iloc[:1], mean[y].iloc[:1], "o", color=colour, markersize=6, markeredgecolor=GREY)
    if many:
        scale = ScalarMappable(BoundaryNorm(range(len(labels) + 1), len(labels)), ListedColormap(colours))
        ticks = np.unique(np.linspace(0, len(labels) - 1, 8).astype(int))
        bar = figure_of(ax).colorbar(scale, ax=ax, label="label", pad=0.02)
        bar.set_ticks((ticks + 0.5).tolist(), labels=[str(labels[tick]) for tick in ticks])
    else:
        ax.legend(title="label", loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)
    return Drawing(axes=(ax,))


def _name(ax: Axes, units: pd.DataFrame, n: int) -> None:
    """Number the units of one layer; of several, draw borders and write names in the middle of their units, where these are not too narrow."""
    names = units["layer"].astype(str).to_numpy() if "layer" in units else np.zeros(n, str)
    begins = np.flatnonzero(np.r_[True, names[1:] != names[:-1]]) if n else np.zeros(0, int)
    if begins.size < 2:
        name_units(ax.xaxis, n)
        name_units(ax.yaxis, n)
        ax.set_xlabel("unit")
        ax.set_ylabel("unit")
        return
    for border in begins[1:]:
        ax.axhline(border, color=BLACK, linewidth=0.6)
        ax.axvline(border, color=BLACK, linewidth=0.6)
    sizes = np.diff(np.r_[begins, n])
    middles, short = begins + sizes / 2, short_names(names[begins].tolist())[1]
    wide = [i for i in range(begins.size) if sizes[i] >= n / MAX_LAYERS or begins.size <= MAX_LAYERS]
    places = spread(middles[wide], NAME_SHARE * n, float(n))
    ax.set_yticks(places, [short[i] for i in wide], fontsize="small")
    if not np.array_equal(places, middles[wide]):
        ax.tick_params(axis="y", length=0, pad=9)
        for at, name in zip(middles[wide], places):
            ax.plot(
                [0, -0.022], [at, name], transform=ax.get_yaxis_transform(), clip_on=False, color=GREY, linewidth=0.5
            )
    ax.set_xticks([])
    ax.set_xlabel(f"{n:,} units, layer after layer")
    ax.set_ylabel("layer")


def _in_order(labels: pd.Series) -> list[Any]:
    """Sort labels, by their text where they cannot be compared."""
    found = list(dict.fromkeys(labels))
    try:
        return sorted(found)
    except TypeError:
        return sorted(found, key=str)


def _grey_words(values: Float[np.ndarray, "unit unit"]) -> str:
    """Explain grey cells, where any are visible."""
    without = np.isnan(values)
    n_undefined = int(without.sum()) - len(values)
    if n_undefined:
        return f"\ngrey: undefined ({n_undefined:,} of {values.size - len(values):,}: a unit that never changes)"
    return "\ngrey: a unit with itself" if len(values) <= FEW_UNITS else ""


def _chance_words(found: Correlations) -> str:
    """Describe how wide correlations spread by chance."""
    known = found.different & np.isfinite(found.noise_null_sd)
    parts = [f"noise ±{np.median(found.noise_null_sd[known]):.2f}"] if known.any() else []
    known = found.different & np.isfinite(found.signal_null_sd)
    if known.any():
        parts.insert(
            0,
            f"signal {round(np.median(found.signal_null_mean[known]), 2) + 0.0:.2f} ± {np.median(found.signal_null_sd[known]):.2f}",
        )
    return f"\nchance, median pair: {', '.join(parts)}" if parts else ""
