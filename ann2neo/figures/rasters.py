"""Spikes over pseudo-time and over classes, as images of counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from ann2neo.figures import given
from ann2neo.figures.canvas import COUNTS, FEW_UNITS, VERMILLION, canvas, figure_of, name_units
from ann2neo.figures.cells import cells_or_recording, draw_cells
from ann2neo.population.observed import ObservedUnits
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording
from ann2neo.windows import column_of, order_words, sums_by_code

MAX_ROWS, MAX_COLUMNS = 400, 1000
# More borders than this would hide the image, more names would overlap.
MAX_BORDERS, MAX_NAMES = 60, 20


def raster(recording: Any, ax: Axes | None = None, *, layer: str | None = None) -> Axes:
    """Draw spikes over pseudo-time as an image: the share of bins with a spike in blocks of units and bins.

    Bins lie as the recording is arranged: give ``recording.arrange("label")`` to sort them by class, whose borders are then marked. Where units and bins are
    few, a block is one unit in one bin. One layer has an axis of units; several are stacked at equal height. Of cells, the rate over time is drawn; time in which
    a unit was not observed is grey.

    Parameters
    ----------
    recording
        What to draw, as it is arranged and selected: a `Recording`, or spike trains in any container that `analyze` takes.
    ax
        Where to draw; None for a figure of its own.
    layer
        Name of a layer; None for all.

    Examples
    --------
    >>> import ann2neo
    >>> ax = raster(ann2neo.from_array(np.eye(4, dtype=bool)))
    >>> ax.get_xlabel()
    'pseudo-time: 1 bin = 1 input (bin, presented order)'
    """
    found = cells_or_recording(recording)
    if isinstance(found, ObservedUnits):
        return draw_cells(found, ax)
    recording = given.recording(found)
    ax = canvas(ax, 7.2, 4.4)
    layers = recording.layers if layer is None else (recording.layer(layer),)
    rows = MAX_ROWS if len(layers) == 1 else max(40, MAX_ROWS // len(layers))
    images = [block_means(each.raster, rows, MAX_COLUMNS) for each in layers]
    top = max((float(image.max()) for image in images if image.size), default=0.0)
    block = _block_words([each.n_units for each in layers], images, recording.n_bins)
    drawn = _stack(ax, layers, images, recording.n_bins, (top or 1.0) if block else 1.0)
    if block:
        figure_of(ax).colorbar(drawn, ax=ax, label=f"spikes per bin{block}", pad=0.02)
    else:
        _two_colours(ax, drawn)
    ax.set_xlabel(_pseudotime_label(recording))
    _mark_borders(ax, recording)
    return ax


def label_rates(recording: Recording, layer: str, ax: Axes | None = None) -> Axes:
    """Draw how often each unit of a layer spikes for each label: a map of classes by units.

    Units are sorted by the label for which they spike most, so that tuning shows as a staircase even where there is none: compare with shuffled labels before
    it is believed; units with the same rate for all labels (silent ones, for instance) come last. More than 1,000 units are averaged in blocks of neighbours.

    Parameters
    ----------
    recording
        Spikes and labels, in any arrangement.
    layer
        Name of the layer.
    ax
        Where to draw; None for a figure of its own.

    Raises
    ------
    WindowError
        If the trials have no labels.

    Examples
    --------
    >>> import ann2neo
    >>> spikes = np.array([[1, 0], [1, 0], [0, 1]], bool)
    >>> ax = label_rates(ann2neo.from_array(spikes, labels=[5, 5, 7]), "array")
    >>> ax.images[0].get_array().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    recording = given.recording(recording)
    ax = canvas(ax, 7.2, 3.6)
    codes, names = _labels(recording)
    rates = rates_by_label(recording.layer(layer).raster, codes, len(names))
    untuned = rates.max(axis=0) == rates.min(axis=0)
    order = np.lexsort((-rates.max(axis=0), rates.argmax(axis=0), untuned))
    edges = _edges(order.size, MAX_COLUMNS)
    image = np.add.reduceat(rates[:, order], edges[:-1], axis=1) / np.diff(edges)
    drawn = ax.imshow(
        image,
        aspect="auto",
        interpolation="nearest",
        cmap=COUNTS,
        vmin=0,
        vmax=float(image.max(initial=0.0)) or 1.0,
        extent=(0, order.size, len(names), 0),
    )
    step = max(1, -(-len(names) // 25))
    ax.set_yticks(np.arange(0, len(names), step) + 0.5, names[::step])
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if order.size <= FEW_UNITS:
        ax.set_xticks(np.arange(order.size) + 0.5, [str(unit) for unit in order])
    ax.set_xlabel("unit, sorted by the label for which it spikes most")
    ax.set_ylabel("label")
    ax.set_title(layer)
    figure_of(ax).colorbar(drawn, ax=ax, label="spikes per bin", pad=0.02)
    return ax


def block_means(raster: Raster, max_rows: int, max_columns: int) -> Float[np.ndarray, "row column"]:
    """Average spikes over blocks of neighbouring units and bins, at most so many, as equal in size as they can be, shape (row, column).

    Examples
    --------
    >>> block_means(Raster.from_dense(np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)), 1, 2)
    array([[0.75, 0.  ]])
    """
    rows, columns = _edges(raster.n_units, max_rows), _edges(raster.total_bins, max_columns)
    sums = np.zeros((rows.size - 1, columns.size - 1), np.int64)
    for units in raster.chunks():
        spikes = raster.dense(units).view(np.uint8)
        of_row = np.searchsorted(rows, np.arange(units.start, units.stop), side="right") - 1
        starts = np.flatnonzero(np.diff(of_row, prepend=-1))
        counts = np.add.reduceat(spikes, starts, axis=0, dtype=np.int32)
        sums[of_row[starts]] += np.add.reduceat(counts, columns[:-1], axis=1, dtype=np.int64)
    return sums / (np.diff(rows)[:, None] * np.diff(columns)[None, :])


def rates_by_label(raster: Raster, codes: Int[np.ndarray, " bin"], n_labels: int) -> Float[np.ndarray, "label unit"]:
    """Share of a label's bins in which each unit spikes; bins of code -1 have no label, shape (label, unit)."""
    known = np.flatnonzero(codes >= 0)
    parts = [
        sums_by_code(raster.dense(units)[:, known].view(np.uint8), codes[known], n_labels) for units in raster.chunks()
    ]
    counts = np.concatenate(parts) if parts else np.zeros((0, n_labels))
    return counts.T / np.maximum(np.bincount(codes[known], minlength=n_labels), 1)[:, None]


def _edges(n: int, at_most: int) -> Int[np.ndarray, " edge"]:
    return np.linspace(0, n, min(n, at_most) + 1).astype(np.int64)


def _stack(ax: Axes, layers: tuple[Layer, ...], images: list[np.ndarray], n_bins: int, top: float) -> AxesImage:
    """Draw the layers one above another, the first on top; a single one on an axis of its units."""
    height = layers[0].n_units if len(layers) == 1 else 1
    drawn = [
        ax.imshow(
            image, aspect="auto", interpolation="nearest", cmap=COUNTS, vmin=0, vmax=top,
            extent=(0, n_bins, (i + 1) * height, i * height),
        )
        for i, image in enumerate(images)
    ]  # fmt: skip
    ax.set_xlim(0, n_bins)
    ax.set_ylim(len(images) * height, 0)
    if len(layers) == 1:
        name_units(ax.yaxis, layers[0].n_units)
        ax.set_ylabel(f"unit of {layers[0].name}")
    else:
        ax.set_yticks(np.arange(len(layers)) + 0.5, [f"{each.name}\n{each.n_units:,} units" for each in layers])
        ax.tick_params(axis="y", length=0)
        for i in range(1, len(layers)):
            ax.axhline(i, color="white", linewidth=2)
    return drawn[0]


def _two_colours(ax: Axes, drawn: AxesImage) -> None:
    """Name the two colours where a block is one unit in one bin: there is nothing between a spike and none."""
    bar = figure_of(ax).colorbar(drawn, ax=ax, pad=0.02, boundaries=[0, 0.5, 1], values=[0, 1], shrink=0.4, aspect=8)
    bar.set_ticks([0.25, 0.75], labels=["no spike", "spike"])
    bar.ax.tick_params(length=0)


def _pseudotime_label(recording: Recording) -> str:
    one_bin = (recording.trials["stop_bin"] - recording.trials["start_bin"] == 1).all()
    order = order_words(recording.trials, recording.provenance)
    return f"pseudo-time: 1 bin = 1 {'input' if one_bin else 'step'} (bin, {order} order)"


def _block_words(n_units: list[int], images: list[np.ndarray], n_bins: int) -> str:
    """Say how large the blocks are, unless each is one unit in one bin."""
    if all(image.shape == (n, n_bins) for n, image in zip(n_units, images)):
        return ""
    tall = sorted({f"{n / max(len(image), 1):.2g}" for n, image in zip(n_units, images)}, key=float)
    wide = f"{n_bins / max(images[0].shape[1], 1):.2g}"
    units = tall[0] if len(tall) == 1 else f"{tall[0]}-{tall[-1]}"
    return f"\n(mean over about {units} unit{'s' * (units != '1')} × {wide} bin{'s' * (wide != '1')})"


def _mark_borders(ax: Axes, recording: Recording) -> None:
    """Mark passes, and labels where each lies in one piece."""
    trials = recording.trials
    starts = trials["start_bin"].to_numpy()
    new_pass = np.diff(trials["pass"].to_numpy(), prepend=0) != 0
    runs = _label_runs(trials)
    if runs is not None and len(runs) <= MAX_BORDERS:
        for row in runs[1:]:
            ax.axvline(float(starts[row]), color="white", linewidth=0.8)
        if len(runs) <= MAX_NAMES:
            _name_runs(ax, trials, runs, recording.n_bins)
    for start in starts[new_pass]:
        ax.axvline(start, color=VERMILLION, linewidth=1.5)


def _label_runs(trials: pd.DataFrame) -> Int[np.ndarray, " run"] | None:
    """Rows at which a label begins, or None if trials are not sorted by label."""
    if "label" not in trials:
        return None
    key = trials["pass"].to_numpy() * (trials["label"].max() + 2) + trials["label"].to_numpy()
    begins = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    return begins if begins.size == np.unique(key).size else None


def _name_runs(ax: Axes, trials: pd.DataFrame, runs: Int[np.ndarray, " run"], n_bins: int) -> None:
    names = trials["label_name" if "label_name" in trials else "label"].to_numpy()[runs]
    starts = np.append(trials["start_bin"].to_numpy()[runs], n_bins)
    for name, left, right in zip(names, starts, starts[1:]):
        ax.annotate(
            str(name), ((left + right) / 2, 1), (0, 3), xycoords=ax.get_xaxis_transform(), textcoords="offset points",
            ha="center", va="bottom", fontsize="small", annotation_clip=False,
        )  # fmt: skip
    ax.annotate(
        "label", (0, 1), (-4, 3), xycoords="axes fraction", textcoords="offset points", ha="right", va="bottom", fontsize="small",
    )  # fmt: skip


def _labels(recording: Recording) -> tuple[Int[np.ndarray, " bin"], list[str]]:
    """Code of each bin's label, -1 for none, and the names of the labels."""
    trials = recording.trials
    values = column_of(trials, "label")
    known = np.unique(values[values >= 0])
    codes = np.where(values >= 0, np.searchsorted(known, values), -1)
    of_bin = np.repeat(codes, (trials["stop_bin"] - trials["start_bin"]).to_numpy())
    if "label_name" not in trials:
        return of_bin, [str(label) for label in known]
    first = [int(np.argmax(values == label)) for label in known]
    return of_bin, [str(name) for name in trials["label_name"].to_numpy()[first]]
