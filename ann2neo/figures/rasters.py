"""Spikes over pseudo-time, as an image: a row for each unit, or for each of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from ann2neo.errors import AnalysisError, suggestion
from ann2neo.figures import given
from ann2neo.figures.borders import mark_borders
from ann2neo.figures.canvas import COUNTS, FEW_UNITS, canvas, name_units, whole_ticks
from ann2neo.figures.cells import draw_cells
from ann2neo.figures.drawing import Drawing, figure_of, styled
from ann2neo.figures.halves import by_similarity, by_tuning, sample, sorting_half
from ann2neo.figures.rows import height_of, name_rows, width_of
from ann2neo.figures.tuning import labels_of, rates_by_label
from ann2neo.population.ensemble import cells_or_recording
from ann2neo.population.observed import ObservedUnits
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording
from ann2neo.recording.trials import with_bins
from ann2neo.windows import order_words

Sort = Literal["rate", "tuning", "similarity"]
# Letters that the label of the units has room for.
MAX_LETTERS = 36
# Rows of one layer, of all layers together, of one among many; columns of an image.
MAX_ROWS, ALL_ROWS, FEW_ROWS, MAX_COLUMNS = 400, 800, 24, 1000
# Up to this many times as many bins are drawn one by one, since a mean over one bin and a half is hard to read.
SLIGHTLY_MORE = 1.5
SORTED_BY = {"rate": "by rate", "tuning": "by preferred label", "similarity": "by similarity"}


@styled()
def raster(
    recording: Any,
    ax: Axes | None = None,
    *,
    layer: str | None = None,
    sort: Sort | None = None,
    units: int | None = None,
    inputs: int | None = None,
) -> Drawing:
    """Draw spikes over pseudo-time as an image: a row for each unit, a column for each bin.

    Bins lie as the recording is arranged: ``recording.arrange("label")`` sorts them by class, whose borders are then marked. Of many units a sample is drawn, which is not
    averaged, so that what units do stays visible; of more than 1,000 bins a column is the mean over neighbouring ones. One layer has an axis of units; several
    are stacked at equal height. Of cells, the rate over time is drawn; time in which a unit was not observed is grey.

    Parameters
    ----------
    recording
        What to draw, as it is arranged and selected: a `Recording`, or spike trains in any container that `analyze` takes.
    ax
        Where to draw; None for a figure of its own.
    layer
        Name of a layer; None for all.
    sort
        How units of a layer are sorted, after they were sampled: "rate" (most active first), "tuning" (by the label for which they spike most), "similarity"
        (neighbours are alike). The last two sort by one half of the inputs and draw the other, in which chance makes no pattern; None for their own order.
    units
        Largest number of units of each layer; None for 400, or fewer where there are many layers.
    inputs
        Largest number of inputs, taken evenly from those of the recording, every bin a column of its own; None for all.

    Raises
    ------
    AnalysisError
        If there is no such order, or a number is not positive.
    WindowError
        If units are to be sorted by tuning and the trials have no labels.

    See Also
    --------
    ann2neo.browse, ann2neo.figures.label_rates, ann2neo.figures.correlation_matrix

    References
    ----------
    .. [1] Stringer et al., Rastermap: a discovery method for neural population recordings, Nature Neuroscience 2025, doi:10.1038/s41593-024-01783-4
       (sorting by similarity, to the same end by other means).

    Examples
    --------
    >>> import ann2neo
    >>> raster(ann2neo.from_array(np.eye(4, dtype=bool))).ax.get_xlabel()
    'pseudo-time: 1 bin = 1 input (bin, presented order)'
    """
    _check(sort, units, inputs)
    found = cells_or_recording(recording)
    if isinstance(found, ObservedUnits):
        _check_cells(sort, inputs)
        return draw_cells(found, ax, units=units)
    recording = given.recording(found)
    layers = recording.layers if layer is None else (recording.layer(layer),)
    drawn = _drawn_trials(recording, sort, inputs)
    at_most = units or (MAX_ROWS if len(layers) == 1 else max(FEW_ROWS, ALL_ROWS // len(layers)))
    columns = drawn.n_bins if inputs is not None or drawn.n_bins < SLIGHTLY_MORE * MAX_COLUMNS else MAX_COLUMNS
    bands = [_band(recording, each, drawn, sort, at_most, columns) for each in layers]
    alone = len(layers) == 1
    width = 7.4 if alone else width_of([each.name for each in layers], 7.4)
    ax = canvas(ax, width, 4.4 if alone else max(4.0, height_of(len(layers), frame=1.6)))
    single = all(band.image.shape[1] == drawn.n_bins for band in bands)
    top = max((float(band.image.max()) for band in bands if band.image.size), default=0.0)
    image = _stack(ax, bands, drawn.n_bins, 1.0 if single else top or 1.0)
    (_name_units if alone else _name_layers)(ax, bands, sort)
    if single:
        _two_colours(ax, image)
    else:
        n = drawn.n_bins / max(bands[0].image.shape[1], 1)
        wide = f"{n:,.0f}" if n >= 10 else f"{n:.2g}"
        share = min(1.0, 4.0 / figure_of(ax).get_figheight())
        words = f"spikes per bin\n(mean over about {wide} bins)"
        figure_of(ax).colorbar(image, ax=ax, label=words, pad=0.02, shrink=share)
    whole_ticks(ax.xaxis)
    ax.set_xlabel(_pseudotime_label(recording, drawn))
    mark_borders(ax, drawn.trials, drawn.n_bins)
    return Drawing(axes=(ax,))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Drawn:
    """The trials that are drawn, with bins of their own, and the bins of the recording that these are; None for all in their order."""

    trials: pd.DataFrame
    bins: Int[np.ndarray, " bin"] | None

    @property
    def n_bins(self) -> int:
        return int(self.trials["stop_bin"].iloc[-1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Band:
    """The image of one layer and the positions of the units that are its rows."""

    layer: Layer
    units: Int[np.ndarray, " row"]
    image: Float[np.ndarray, "row column"]


def column_means(
    raster: Raster, bins: Int[np.ndarray, " bin"] | None, max_columns: int
) -> Float[np.ndarray, "unit column"]:
    """Average each unit's spikes over a limited number of blocks of neighbouring bins, as equal in size as they can be, shape (unit, column).

    Parameters
    ----------
    raster
        The spikes.
    bins
        Which bins, in which order; None for all.
    max_columns
        Number of blocks at most.

    Examples
    --------
    >>> column_means(Raster.from_dense(np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)), None, 2)
    array([[1. , 0. ],
           [0.5, 0. ]])
    """
    n_bins = raster.total_bins if bins is None else bins.size
    edges = np.linspace(0, n_bins, min(n_bins, max_columns) + 1).astype(np.int64)
    image = np.zeros((raster.n_units, edges.size - 1))
    for units in raster.chunks():
        dense = raster.dense(units)
        spikes = (dense if bins is None else dense[:, bins]).view(np.uint8)
        image[units] = np.add.reduceat(spikes, edges[:-1], axis=1, dtype=np.int64)
    return image / np.diff(edges)


def _check(sort: Any, units: Any, inputs: Any) -> None:
    if sort is not None and sort not in SORTED_BY:
        raise AnalysisError(
            f"units cannot be sorted by {sort!r}.{suggestion(str(sort), list(SORTED_BY))}",
            "Nothing was drawn.",
            "Use 'rate', 'tuning', 'similarity', or None for their own order.",
        )
    for name, value in (("units", units), ("inputs", inputs)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1):
            raise AnalysisError(
                f"{name} must be a positive integer, got {value!r}.",
                "Nothing was drawn.",
                f"Use how many {name} to draw at most; `recording.select` chooses units by position.",
            )


def _check_cells(sort: Any, inputs: Any) -> None:
    if sort is not None or inputs is not None:
        raise AnalysisError(
            "cells are drawn over time, in their own order.",
            "`sort` and `inputs` have no meaning for them.",
            "Leave both out; `units` draws a sample.",
        )


def _drawn_trials(recording: Recording, sort: Sort | None, inputs: int | None) -> _Drawn:
    """Choose the half that does not sort, and of it as many inputs as are wanted, each in all passes."""
    trials = recording.trials
    kept = np.ones(len(trials), bool) if sort in (None, "rate") else ~sorting_half(trials)
    first = trials[kept & (trials["pass"].to_numpy() == 0)]
    chosen = first["trial"].to_numpy()[sample(len(first), inputs)]
    if chosen.size == recording.trials["trial"].nunique():
        return _Drawn(trials=trials, bins=None)
    kept &= trials["trial"].isin(chosen).to_numpy()
    return _Drawn(trials=with_bins(trials[kept].reset_index(drop=True)), bins=_bins(trials[kept]))


def _bins(trials: pd.DataFrame) -> Int[np.ndarray, " bin"]:
    pairs = zip(trials["start_bin"].tolist(), trials["stop_bin"].tolist())
    return np.concatenate([np.arange(start, stop) for start, stop in pairs] or [np.zeros(0, np.int64)])


def _band(
    recording: Recording, layer: Layer, drawn: _Drawn, sort: Sort | None, at_most: int, max_columns: int
) -> _Band:
    units = sample(layer.n_units, at_most)
    chosen = layer.raster if units.size == layer.n_units else layer.raster.take(units)
    order = _order(recording, chosen, sort)
    image = column_means(chosen, drawn.bins, max_columns)
    return _Band(layer=layer, units=units[order], image=image[order])


def _order(recording: Recording, chosen: Raster, sort: Sort | None) -> Int[np.ndarray, " row"]:
    if sort is None:
        return np.arange(chosen.n_units)
    if sort == "rate":
        return np.argsort(-chosen.n_spikes(), kind="stable")
    sorts = sorting_half(recording.trials)
    if sort == "similarity":
        return by_similarity(column_means(chosen, _bins(recording.trials[sorts]), MAX_COLUMNS))
    codes, names = labels_of(recording)
    of_bin = np.repeat(sorts, (recording.trials["stop_bin"] - recording.trials["start_bin"]).to_numpy())
    codes = np.where(of_bin, codes, -1)
    known = np.bincount(codes[codes >= 0], minlength=len(names)) > 0
    return by_tuning(rates_by_label(chosen, codes, len(names)), known)


def _stack(ax: Axes, bands: list[_Band], n_bins: int, top: float) -> AxesImage:
    """Draw the layers one above another, the first on top; a single one on an axis of its units."""
    height = bands[0].layer.n_units if len(bands) == 1 else 1
    drawn = [
        ax.imshow(
            band.image, aspect="auto", interpolation="nearest", cmap=COUNTS, vmin=0, vmax=top,
            extent=(0, n_bins, i + height - 0.5, i - 0.5) if height == 1 else (0, n_bins, height, 0),
        )
        for i, band in enumerate(bands)
    ]  # fmt: skip
    ax.set_xlim(0, n_bins)
    return drawn[0]


def _name_units(ax: Axes, bands: list[_Band], sort: Sort | None) -> None:
    """Number the units of a layer, and tell which are drawn and how they are sorted."""
    (band,) = bands
    n, shown = band.layer.n_units, band.units.size
    offset = -0.5 if n == 1 else 0.0
    ax.set_ylim(n + offset, offset)
    if n <= FEW_UNITS:
        places = (np.arange(shown) + 0.5) * n / shown + offset
        ax.set_yticks(places, [str(unit) for unit in band.units])
    elif sort is None:
        name_units(ax.yaxis, n)
    else:
        ax.set_yticks([])
    of_all = f"{shown:,} of {n:,} units of" if shown < n else "unit of"
    name = band.layer.name if len(band.layer.name) <= MAX_LETTERS else f"…{band.layer.name[1 - MAX_LETTERS :]}"
    apart = " " if len(of_all) + len(name) < MAX_LETTERS else "\n"
    ax.set_ylabel(f"{of_all}{apart}{name}" + (f",\nsorted {SORTED_BY[sort]}" if sort else ""))


def _name_layers(ax: Axes, bands: list[_Band], sort: Sort | None) -> None:
    """Name the layers with their numbers of units; white lines part them."""
    name_rows(ax, [band.layer.name for band in bands])
    labels = [text.get_text() for text in ax.get_yticklabels()]
    ax.set_yticklabels([f"{name} ({band.layer.n_units:,})" for name, band in zip(labels, bands)])
    ax.set_ylim(len(bands) - 0.5, -0.5)
    for i in range(1, len(bands)):
        ax.axhline(i - 0.5, color="white", linewidth=2 if len(bands) < 20 else 1)
    most = max(band.units.size for band in bands)
    some = any(band.units.size < band.layer.n_units for band in bands)
    words = [f"at most {most:,} units are drawn"] if some else []
    words += [f"units sorted {SORTED_BY[sort]}"] if sort else []
    ax.set_ylabel("\n".join([f"{ax.get_ylabel()} (units)", *words]))


def _two_colours(ax: Axes, drawn: AxesImage) -> None:
    """Name the two colours where a pixel is one unit in one bin: there is nothing between a spike and none."""
    share = min(0.5, 1.6 / figure_of(ax).get_figheight())
    bar = figure_of(ax).colorbar(drawn, ax=ax, pad=0.02, boundaries=[0, 0.5, 1], values=[0, 1], shrink=share, aspect=8)
    bar.set_ticks([0.25, 0.75], labels=["no spike", "spike"])
    bar.ax.tick_params(length=0)


def _pseudotime_label(recording: Recording, drawn: _Drawn) -> str:
    one_bin = (recording.trials["stop_bin"] - recording.trials["start_bin"] == 1).all()
    order = order_words(recording.trials, recording.provenance)
    n, n_all = drawn.trials["trial"].nunique(), recording.trials["trial"].nunique()
    some = "" if n == n_all else f"; {n:,} of {n_all:,} inputs"
    return f"pseudo-time: 1 bin = 1 {'input' if one_bin else 'step'} (bin, {order} order{some})"
