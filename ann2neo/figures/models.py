"""Fitted models: which describes units best, how much each explains, and whether it says when spikes come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from ann2neo.errors import AnalysisError
from ann2neo.figures import given
from ann2neo.figures.canvas import CHANCE, CYCLE, GREY, MARKERS, Population, canvas, legend_outside, pick, say, tidy
from ann2neo.figures.drawing import Drawing, styled
from ann2neo.figures.reasons import no_unit
from ann2neo.figures.rows import height_of, name_rows, width_of

FITTED = "the table that `ann2neo.models.fit` gave"
# Chance has one colour in every figure: one rate is what the other models are compared with.
# Laws of intervals in time share the colours of models of bins, which no cell has.
COLOURS = {
    "rate": "#BBBBBB",
    "label": CYCLE[0],
    "markov": CYCLE[1],
    "gain": CYCLE[2],
    "label_gain": CYCLE[3],
    "renewal": CYCLE[4],
    "gamma": CYCLE[1],
    "inverse_gaussian": CYCLE[2],
}
QUARTILES = (0.25, 0.5, 0.75)
CRITERIA = {"aic": "AIC", "bic": "BIC", "cv": "left-out likelihood"}


@styled()
def best_models(
    fitted: pd.DataFrame,
    ax: Axes | None = None,
    *,
    criterion: Literal["aic", "bic", "cv"] = "bic",
    population: Population = "good",
) -> Drawing:
    """Draw the share of units that each model describes best, a row for each layer; at the right stands of how many.

    Units whose best model is "undefined" are left out: no model is defined for them, or one lacks the criterion, as ``gain``, ``renewal``, ``gamma`` and ``inverse_gaussian`` lack
    the likelihood of inputs that were left out.

    Parameters
    ----------
    fitted
        Table of `ann2neo.models.fit`.
    ax
        Axes; None for a figure of its own.
    criterion
        By which the best model is found: "aic", "bic", or "cv" (the likelihood of inputs that were left out).
    population
        All units of which a model is defined, or those of good quality.

    Raises
    ------
    AnalysisError
        If this is not a table of fitted models, or there is no such criterion.

    See Also
    --------
    ann2neo.figures.bits_per_spike, ann2neo.models.fit

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.random.default_rng(0).random((200, 5)) < 0.4, labels=np.arange(200) % 2)
    >>> best_models(ann2neo.models.fit(recording, progress=False)).ax.get_xlabel()
    'share of good units that a model describes best (BIC)'
    """
    if criterion not in CRITERIA:
        raise AnalysisError(f"There is no criterion {criterion!r}.", "Nothing was drawn.", "Use 'aic', 'bic' or 'cv'.")
    table, layers, ax = _by_layer(fitted, population, ax)
    models, best = _models(fitted), table[f"best_{criterion}"].astype(str)
    known = best.isin(models)
    counts = {
        model: np.array([int((best[of_layer] == model).sum()) for of_layer in layers.values()]) for model in models
    }
    total = np.sum(list(counts.values()), axis=0)
    of = "good units" if population == "good" else "units"
    name_rows(ax, list(layers), [f"{n:,}" for n in total])
    ax.set_xlabel(f"share of {of} that a model describes best ({CRITERIA[criterion]})")
    if not known.any():
        said = f"no unit of which all models have a {CRITERIA[criterion]}" if len(best) else no_unit(fitted, population)
        return Drawing(axes=(say(ax, said, keep="y"),))
    left = np.zeros(len(layers))
    for model in models:
        share = counts[model] / np.maximum(total, 1)
        ax.barh(range(len(layers)), share, left=left, height=0.68, color=COLOURS.get(model, GREY), label=model)
        left += share
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    legend_outside(ax, [Patch(color=COLOURS.get(model, GREY), label=model) for model in models], n_columns=len(models))
    return Drawing(axes=(ax,))


@styled()
def bits_per_spike(
    fitted: pd.DataFrame, ax: Axes | None = None, *, cross_validated: bool = True, population: Population = "good"
) -> Drawing:
    """Draw how many bits each model tells of a spike beyond one rate: medians over units with quartiles, a row for each layer.

    Parameters
    ----------
    fitted
        Table of `ann2neo.models.fit`.
    ax
        Axes; None for a figure of its own.
    cross_validated
        Whether of inputs that were left out, which may be negative; models without them (``gain``) are then not drawn.
    population
        All units of which a model is defined, or those of good quality.

    Raises
    ------
    AnalysisError
        If this is not a table of fitted models.

    See Also
    --------
    ann2neo.figures.best_models, ann2neo.models.fit

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.random.default_rng(0).random((200, 5)) < 0.4, labels=np.arange(200) % 2)
    >>> bits_per_spike(ann2neo.models.fit(recording, progress=False)).ax.get_xlabel()
    'bits per spike beyond one rate, of inputs that were left out'
    """
    table, layers, ax = _by_layer(fitted, population, ax)
    suffix = "_bits_per_spike" + ("_cv" if cross_validated else "")
    models = [name for name in _models(fitted) if name != "rate" and f"{name}{suffix}" in table]
    name_rows(ax, list(layers))
    ax.set_xlabel("bits per spike beyond one rate" + (", of inputs that were left out" if cross_validated else ""))
    if not models or table[[f"{name}{suffix}" for name in models]].isna().all(axis=None):
        said = no_unit(fitted, population) if table.empty else "no unit of which a model beyond one rate is defined"
        return Drawing(axes=(say(ax, said, keep="y"),))
    places = np.linspace(-0.2, 0.2, len(models)) if len(models) > 1 else np.zeros(1)
    for place, model, marker in zip(places, models, MARKERS):
        by_layer = [table[f"{model}{suffix}"][of_layer].dropna().to_numpy() for of_layer in layers.values()]
        low, middle, high = np.array([np.quantile(x, QUARTILES) if x.size else [np.nan] * 3 for x in by_layer]).T
        rows, colour = np.arange(len(layers)) + place, COLOURS.get(model, GREY)
        ax.hlines(rows, low, high, color=colour, lw=2)
        ax.plot(middle, rows, marker, color=colour, ms=6, label=model)
    ax.axvline(0, color=CHANCE, lw=1.2, zorder=0)
    legend_outside(ax, n_columns=len(models))
    return Drawing(axes=(ax,))


@styled()
def qq(rescaled: Mapping[str, pd.DataFrame] | pd.DataFrame, ax: Axes | None = None) -> Drawing:
    """Draw quantiles of rescaled intervals against those of the model: medians over units, with the middle 80 % of units shaded.

    On the diagonal spikes come when the model says. Dashed lines are as far from it as the median of ``ks_bound``: where one unit may lie by chance.

    Parameters
    ----------
    rescaled
        Table of `ann2neo.models.rescaled`, or several of them by name.
    ax
        Axes; None for a figure of its own.

    Raises
    ------
    AnalysisError
        If this is not such a table.

    See Also
    --------
    ann2neo.models.rescaled

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.random.default_rng(0).random((200, 5)) < 0.4)
    >>> fitted = ann2neo.models.fit(recording, by=None, progress=False)
    >>> qq(ann2neo.models.rescaled(recording, fitted, model="rate", n_draws=19, progress=False)).ax.get_ylabel()
    'share of rescaled intervals'
    """
    tables = (
        rescaled if isinstance(rescaled, Mapping) else {str(getattr(rescaled, "attrs", {}).get("model", "")): rescaled}
    )
    for table in tables.values():
        given.unit_table(table, "ks_bound", "rescaled[0.5]")
    ax = tidy(canvas(ax, 4.8, 5.2))
    names = [name for name in next(iter(tables.values())).columns if str(name).startswith("rescaled[")]
    levels = np.array([float(name[len("rescaled[") : -1]) for name in names])
    if all(table["rescaled[0.5]"].isna().all() for table in tables.values()):
        return Drawing(axes=(say(ax, "no unit has intervals"),))
    for number, (name, table) in enumerate(tables.items()):
        low, middle, high = np.nanquantile(table[names].to_numpy(np.float64), [0.1, 0.5, 0.9], axis=0)
        colour = GREY if name == "rate" else COLOURS.get(name, CYCLE[number % len(CYCLE)])
        ax.fill_betweenx(levels, low, high, color=colour, alpha=0.18, lw=0)
        ax.plot(middle, levels, color=colour, marker=MARKERS[number % len(MARKERS)], ms=4, label=name)
    bound = float(np.nanmedian(np.concatenate([table["ks_bound"].to_numpy(np.float64) for table in tables.values()])))
    ax.plot([0, 1], [0, 1], color=CHANCE, lw=1.2, label="model holds")
    for side in (-bound, bound):
        ax.plot([0, 1], [side, 1 + side], color=CHANCE, lw=1, ls="--")
    ax.set(
        xlim=(0, 1),
        ylim=(0, 1),
        aspect="equal",
        xlabel="share that the model expects",
        ylabel="share of rescaled intervals",
    )
    legend_outside(ax, n_columns=len(tables) + 1)
    return Drawing(axes=(ax,))


def _by_layer(
    fitted: pd.DataFrame, population: Population, ax: Axes | None
) -> tuple[pd.DataFrame, dict[str, pd.Series], Axes]:
    """Pick the units that are drawn, tell which are of each layer, and make axes with a row for each."""
    table = pick(_fitted(fitted), None, population)
    names = dict.fromkeys(map(str, fitted["layer"]))
    layers = {name: table["layer"].astype(str) == name for name in names}
    return table, layers, tidy(canvas(ax, width_of(list(layers), 6.4), height_of(len(layers), frame=1.9)))


def _fitted(table: Any) -> pd.DataFrame:
    """Check that this is a table of fitted models."""
    found = given.unit_table(table)
    if "best_bic" not in found:
        raise AnalysisError("the table of units has no fitted models.", "There is nothing to draw.", f"Give {FITTED}.")
    return found


def _models(table: pd.DataFrame) -> Sequence[str]:
    return [str(name).removesuffix("_loglik") for name in table.columns if str(name).endswith("_loglik")]
