"""Rates of units for each label, as a map."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.axes import Axes

from ann2neo.figures import given
from ann2neo.figures.canvas import COUNTS, FEW_UNITS, canvas, whole_ticks
from ann2neo.figures.drawing import Drawing, figure_of, styled
from ann2neo.figures.halves import by_tuning, sorting_half
from ann2neo.figures.rows import shortened, width_of
from ann2neo.raster import Raster
from ann2neo.recording import Recording
from ann2neo.windows import column_of, sums_by_code

MAX_COLUMNS = 1000
# Heights in inches: of a label's row, and of the lowest and highest map; a name needs so much.
LABEL_INCHES, LOWEST, HIGHEST, NAME_INCHES = 0.2, 3.0, 8.0, 0.17


@styled()
def label_rates(recording: Recording, layer: str, ax: Axes | None = None, *, minus_mean: bool = False) -> Drawing:
    """Draw how often each unit of a layer spikes for each label: a map of labels by units.

    Units are sorted by the label for which they spike most in one half of the inputs, and their rates in the other half are drawn: tuning shows as a staircase,
    and chance does not. Units that spike for all labels alike (silent ones, for instance) come last. Neighbours among more than 1,000 units are averaged.

    Parameters
    ----------
    recording
        Spikes and labels, in any arrangement.
    layer
        Name of the layer.
    ax
        Where to draw; None for a figure of its own.
    minus_mean
        Whether to draw each unit's rate minus its mean over labels: where rates differ widely between units, they hide what differs between labels.

    Raises
    ------
    WindowError
        If the trials have no labels.

    See Also
    --------
    ann2neo.population.tuning, ann2neo.figures.raster

    Examples
    --------
    >>> import ann2neo
    >>> spikes = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool)
    >>> label_rates(ann2neo.from_array(spikes, labels=[5, 5, 7, 7]), "array").ax.images[0].get_array().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    recording = given.recording(recording)
    codes, names = labels_of(recording)
    sorts = np.repeat(sorting_half(recording.trials), _lengths(recording.trials))
    raster = recording.layer(layer).raster
    known = np.bincount(codes[sorts & (codes >= 0)], minlength=len(names)) > 0
    order = by_tuning(rates_by_label(raster, np.where(sorts, codes, -1), len(names)), known)
    rates = rates_by_label(raster, np.where(sorts, -1, codes), len(names))
    height = min(max(LOWEST, 1.4 + LABEL_INCHES * len(names)), HIGHEST)
    short = shortened(names)
    ax = canvas(ax, width_of(names, 7.2), height)
    edges = np.linspace(0, order.size, min(order.size, MAX_COLUMNS) + 1).astype(np.int64)
    shown = rates - rates.mean(axis=0) if minus_mean else rates
    image = np.add.reduceat(shown[:, order], edges[:-1], axis=1) / np.diff(edges)
    top = float(np.abs(image).max(initial=0.0)) or 1.0
    drawn = ax.imshow(
        image, aspect="auto", interpolation="nearest", cmap="RdBu_r" if minus_mean else COUNTS, vmin=-top if minus_mean else 0, vmax=top,
        extent=(0, order.size, len(names), 0),
    )  # fmt: skip
    step = max(1, -(-len(names) // int((height - 1.0) / NAME_INCHES)))
    ax.set_yticks(np.arange(0, len(names), step) + 0.5, short[::step])
    whole_ticks(ax.xaxis)
    if order.size <= FEW_UNITS:
        ax.set_xticks(np.arange(order.size) + 0.5, [str(unit) for unit in order])
    ax.set_xlabel(_unit_words(order.size, bool(known.sum() > 1), edges.size - 1))
    ax.set_ylabel("label")
    ax.set_title(layer)
    words = "spikes per bin" + (",\nminus the unit's mean" if minus_mean else "")
    figure_of(ax).colorbar(drawn, ax=ax, label=words, pad=0.02)
    return Drawing(axes=(ax,))


def rates_by_label(raster: Raster, codes: Int[np.ndarray, " bin"], n_labels: int) -> Float[np.ndarray, "label unit"]:
    """Share of a label's bins in which each unit spikes; bins of code -1 have no label, shape (label, unit)."""
    known = np.flatnonzero(codes >= 0)
    parts = [
        sums_by_code(raster.dense(units)[:, known].view(np.uint8), codes[known], n_labels) for units in raster.chunks()
    ]
    counts = np.concatenate(parts) if parts else np.zeros((0, n_labels))
    return counts.T / np.maximum(np.bincount(codes[known], minlength=n_labels), 1)[:, None]


def labels_of(recording: Recording) -> tuple[Int[np.ndarray, " bin"], list[str]]:
    """Code of each bin's label, -1 for none, and the names of the labels.

    Raises
    ------
    WindowError
        If the trials have no labels.
    """
    trials = recording.trials
    values = column_of(trials, "label")
    known = np.unique(values[values >= 0])
    codes = np.where(values >= 0, np.searchsorted(known, values), -1)
    of_bin = np.repeat(codes, _lengths(trials))
    if "label_name" not in trials:
        return of_bin, [str(label) for label in known]
    first = [int(np.argmax(values == label)) for label in known]
    return of_bin, [str(name) for name in trials["label_name"].to_numpy()[first]]


def _lengths(trials: pd.DataFrame) -> Int[np.ndarray, " trial"]:
    return (trials["stop_bin"] - trials["start_bin"]).to_numpy()


def _unit_words(n_units: int, is_sorted: bool, n_columns: int) -> str:
    """Describe how units are sorted and what is drawn."""
    block = f"; about {n_units / n_columns:,.0f} neighbours averaged" if n_columns < n_units else ""
    if not is_sorted:
        return f"unit, not sorted: too few inputs to sort by one half and draw the other{block}"
    return (
        f"unit, sorted by the label for which it spikes most in one half of the inputs;\nthe other half is drawn{block}"
    )
