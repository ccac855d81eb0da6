"""Spikes of cells over time, as an image of rates; what was not observed is left blank."""

from __future__ import annotations

import matplotlib
import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes

from ann2neo.figures.canvas import COUNTS, FEW_UNITS, canvas, name_units
from ann2neo.figures.drawing import Drawing, figure_of
from ann2neo.figures.halves import sample
from ann2neo.population.observed import ObservedUnits

MAX_ROWS, MAX_COLUMNS = 400, 1000
UNOBSERVED = "#DDDDDD"


def draw_cells(cells: ObservedUnits, ax: Axes | None = None, *, units: int | None = None) -> Drawing:
    """Draw the rate of every unit over time, segment after segment; time in which a unit was not observed is light grey.

    Parameters
    ----------
    cells
        Whose spikes are drawn.
    ax
        Where to draw; None for a figure of its own.
    units
        Largest number of units; None for 400.
    """
    ax = canvas(ax, 7.4, 4.4)
    chosen = sample(cells.n_units, units or MAX_ROWS)
    parts = [_rates(cells, number, edges, chosen) for number, edges in _edges(cells)]
    lengths = [float(edges[-1] - edges[0]) / 1000 for _, edges in _edges(cells)]
    top = max((float(np.nanmax(part)) for part in parts if np.isfinite(part).any()), default=1.0)
    colours = matplotlib.colormaps[COUNTS].with_extremes(bad=UNOBSERVED)
    begin, drawn = 0.0, None
    for part, length in zip(parts, lengths):
        drawn = ax.imshow(
            np.ma.masked_invalid(part), aspect="auto", interpolation="nearest", cmap=colours, vmin=0, vmax=top or 1.0,
            extent=(begin, begin + length, cells.n_units, 0),
        )  # fmt: skip
        begin += length
        ax.axvline(begin, color="white", linewidth=1.5)
    ax.lines[-1].remove()
    ax.set_xlim(0, begin)
    ax.set_ylim(cells.n_units, 0)
    ax.set_xlabel("time (s)" if len(parts) == 1 else f"time (s), {len(parts)} segments one after another")
    some = chosen.size < cells.n_units
    ax.set_ylabel(f"{chosen.size:,} of {cells.n_units:,} units" if some else "unit")
    if not some:
        _name(ax, cells)
    else:
        name_units(ax.yaxis, cells.n_units)
    if drawn is not None:
        figure_of(ax).colorbar(drawn, ax=ax, label="rate (Hz)", pad=0.02)
    return Drawing(axes=(ax,))


def _name(ax: Axes, cells: ObservedUnits) -> None:
    if cells.n_units <= FEW_UNITS and "name" in cells.units:
        ax.set_yticks(np.arange(cells.n_units) + 0.5, cells.units["name"].tolist())
    else:
        name_units(ax.yaxis, cells.n_units)


def _edges(cells: ObservedUnits) -> list[tuple[int, Float[np.ndarray, " edge"]]]:
    """Cut the time that any unit was observed in into blocks, segment by segment."""
    spans = cells.spans_ms()
    whole = sum(stop - start for start, stop in spans.values())
    return [
        (number, np.linspace(start, stop, max(1, round(MAX_COLUMNS * (stop - start) / whole)) + 1))
        for number, (start, stop) in spans.items()
    ]


def _rates(
    cells: ObservedUnits, segment: int, edges: Float[np.ndarray, " edge"], units: Int[np.ndarray, " row"]
) -> Float[np.ndarray, "row column"]:
    """Divide spikes by observed time, in Hz; NaN where nothing was observed."""
    sums, time = np.zeros((2, units.size, edges.size - 1))
    for row, unit in enumerate(units.tolist()):
        pieces = cells.pieces[unit]
        times = cells.cells.times(unit, segment, pieces) * pieces.ms
        sums[row] = np.histogram(times, edges)[0]
        for start, stop in pieces.borders_ms(segment):
            time[row] += np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0, None)
    return np.where(time > 0, sums / np.where(time > 0, time, 1.0) * 1000, np.nan)
