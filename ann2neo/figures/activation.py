"""How activation probabilities are distributed over the units of each layer, groups of networks laid over one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ann2neo.errors import AnalysisError
from ann2neo.figures import given
from ann2neo.figures.canvas import CYCLE, GREY, MARKERS, Population, canvas, legend_outside, pick, say, tidy
from ann2neo.figures.drawing import Drawing, styled
from ann2neo.figures.reasons import no_unit
from ann2neo.figures.rows import height_of, name_rows, width_of
from ann2neo.measures.indicators import RARE
from ann2neo.summary import NETWORK

TICKS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
FEWEST_BINS, MOST_BINS = 8, 60
# Height of the highest ridge, in rows, and where it stands below the middle of its row.
HIGH, FLOOR = 0.84, 0.42

Tables = Mapping[str, Sequence[pd.DataFrame]]


@styled()
def p_spike(
    groups: pd.DataFrame | Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    ax: Axes | None = None,
    *,
    population: Population = "all",
) -> Drawing:
    r"""Draw how activation probabilities (spikes per bin) are distributed over units: a row for each layer and one for the network, groups laid over one another.

    The axis is :math:`\arcsin\sqrt p`, on which a finite number of bins blurs every probability alike, and rare units have room; a bin of the histogram is not narrower than two values of p can
    be apart. A ridge is the mean of the shares of units over the networks of a group, each of weight 1; its height is the square root of the share, so that the tails are seen beside the silent
    units at 0. Marks are medians over units, the mean of those of the networks. The dashed line is at 0.05, below which units are rare; their share is written beside the row.

    Parameters
    ----------
    groups
        Table of units of `ann2neo.analyze`, or one or several of them, a network each, by name of the group.
    ax
        Where to draw; None for a figure of its own.
    population
        All units, or those of good quality.

    Raises
    ------
    AnalysisError
        If this is not a table of units.

    See Also
    --------
    ann2neo.compare_distributions, ann2neo.figures.firing_rate

    References
    ----------
    Activation probabilities over whole networks: doi:10.1007/978-3-032-21477-5_27. The axis: Anscombe (1948), doi:10.1093/biomet/35.3-4.246.

    Examples
    --------
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> p_spike({"mine": table}).ax.get_xlabel()
    'spikes per bin (height: square root of the share of units)'
    """
    tables = _tables(groups)
    layers = list(
        dict.fromkeys(str(layer) for each in tables.values() for table in each for layer in table["layer"].unique())
    )
    layers += [NETWORK] if len(layers) > 1 else []
    ax = tidy(canvas(ax, width_of(layers, 6.8), height_of(len(layers), frame=1.9)))
    known = {name: _by_layer(each, population) for name, each in tables.items()}
    values = [{name: of_group.get(layer, []) for name, of_group in known.items()} for layer in layers]
    edges = np.linspace(0, 1, 1 + _n_bins(tables))
    for place, of_group in enumerate(values):
        _ridges(ax, place, of_group, edges)
    beside = [_rare(of_group) for of_group in values]
    name_rows(ax, layers, beside)
    _axis(ax)
    if not any(beside):
        say(ax, _nothing(tables, population), keep="y")
    _legend(ax, tables)
    return Drawing(axes=(ax,))


def _tables(groups: object) -> dict[str, list[pd.DataFrame]]:
    if isinstance(groups, pd.DataFrame):
        return {"": [given.unit_table(groups, "p_spike")]}
    named = given.by_name(groups, "groups", 'Name them: p_spike({"memorizing": [table, ...], "mine": table}).')
    tables = {name: [given.unit_table(table, "p_spike") for table in each] for name, each in named.items()}
    if len(tables) > len(CYCLE):
        raise AnalysisError(
            f"{len(tables)} groups are to be laid over one another.",
            "They could not be told apart.",
            f"Draw at most {len(CYCLE)} at once.",
        )
    return tables


def _by_layer(tables: Sequence[pd.DataFrame], population: Population) -> dict[str, list[np.ndarray]]:
    """Take the probabilities of each network by layer and of all layers; one without such units is left out."""
    found: dict[str, list[np.ndarray]] = {}
    for table in tables:
        chosen = pick(table, None, population)
        chosen = chosen[np.isfinite(chosen["p_spike"].to_numpy(float))]
        parts = {str(layer): values for layer, values in chosen.groupby("layer", sort=False)["p_spike"]}
        for layer, values in (*parts.items(), (NETWORK, chosen["p_spike"])):
            if len(values):
                found.setdefault(layer, []).append(values.to_numpy(float))
    return found


def _nothing(tables: Tables, population: Population) -> str:
    """Return why no unit is drawn."""
    return no_unit(
        pd.concat([table for each in tables.values() for table in each]), population, "number of spikes per bin"
    )


def _n_bins(tables: Tables) -> int:
    """Choose the number of bins of the histograms: two probabilities next to each other, 0 and 1 / n, lie in bins of their own at the finest."""
    known = [int(table.attrs.get("n_bins", 0)) for each in tables.values() for table in each]
    finest = int(np.pi / 2 * np.sqrt(min(known, default=0)))
    return int(np.clip(finest, FEWEST_BINS, MOST_BINS))


def _stretched(p: np.ndarray | float) -> np.ndarray:
    """Place probabilities from 0 to 1 so that a binomial error is of the same size everywhere."""
    return np.asarray(np.arcsin(np.sqrt(np.clip(p, 0, 1))) * 2 / np.pi)


def _probability(place: float) -> float:
    return math.sin(min(max(place, 0.0), 1.0) * math.pi / 2) ** 2


def _ridges(ax: Axes, place: int, of_group: Mapping[str, list[np.ndarray]], edges: Float[np.ndarray, " edge"]) -> None:
    shares = {
        name: np.mean([np.histogram(_stretched(values), edges)[0] / values.size for values in networks], axis=0)
        for name, networks in of_group.items()
        if networks
    }
    tallest = max((share.max() for share in shares.values()), default=1.0)
    x, floor = np.repeat(edges, 2), place + FLOOR
    for number, name in enumerate(of_group):
        if name not in shares:
            continue
        colour = CYCLE[number % len(CYCLE)]
        height = HIGH * np.sqrt(np.concatenate([[0], np.repeat(shares[name], 2), [0]]) / tallest)
        ax.fill_between(x, floor, floor - height, facecolor=colour, alpha=0.22, linewidth=0, zorder=2)
        ax.plot(x, floor - height, color=colour, linewidth=0.9, zorder=3)
        median = np.mean([np.median(values) for values in of_group[name]])
        at = float(_stretched(float(median)))
        ax.plot(at, floor, MARKERS[number % len(MARKERS)], color=colour, markersize=4, markeredgecolor="white",
                markeredgewidth=0.4, clip_on=False, zorder=4)  # fmt: skip


def _rare(of_group: Mapping[str, list[np.ndarray]]) -> str:
    """Write the share of rare units of each group, the mean over its networks."""
    shares = [
        float(np.mean([np.mean(v < RARE) for v in networks])) if networks else math.nan
        for networks in of_group.values()
    ]
    if all(math.isnan(share) for share in shares):
        return ""
    return "rare: " + " / ".join("–" if math.isnan(share) else f"{share:.0%}" for share in shares)


def _axis(ax: Axes) -> None:
    at = {float(_stretched(tick)): tick for tick in TICKS}
    ax.set_xlim(-0.01, 1.01)
    ax.xaxis.set_major_locator(FixedLocator(list(at)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{_probability(x):.2g}"))
    ax.axvline(float(_stretched(RARE)), color=GREY, linestyle="--", linewidth=0.8, zorder=1)
    ax.set_xlabel("spikes per bin (height: square root of the share of units)")


def _legend(ax: Axes, tables: Tables) -> None:
    marks = [
        Line2D([], [], color=CYCLE[i], marker=MARKERS[i], markersize=5, label=f"{name} (n = {len(each)}), median" if name else "median over units")
        for i, (name, each) in enumerate(tables.items())
    ]  # fmt: skip
    marks.append(Line2D([], [], color=GREY, linestyle="--", linewidth=0.8, label=f"{RARE:g}: rare below"))
    legend_outside(ax, marks, n_columns=min(len(marks), 3))
