"""Texts and figures of a table, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ann2neo import figures
from ann2neo.errors import WindowError
from ann2neo.measures.indicators import LEVELS, USUAL_BESIDE_CHANCE
from ann2neo.recording import Recording
from ann2neo.report import Picture, Section, Table, Zoomable
from ann2neo.report.numbers import counted
from ann2neo.results.lines import table_lines
from ann2neo.results.opening import definitions
from ann2neo.results.zoom import zoomable, zoomable_cells
from ann2neo.summary import NETWORK, summarize
from ann2neo.tables import write_table

REPORT = "report.html"
SHOWN = ("layer", "population", "n_units", "n_silent", *USUAL_BESIDE_CHANCE)

# Longer tables are folded and open at a click.
MANY_ROWS = 24
# Layers up to which each has rows in a terminal.
MOST_PRINTED = 30
OF_PROBABILITIES = (
    "layer", "population", "n_units", *(f"p_spike_q{level}" for level in LEVELS),
    "p_spike_rare_share", "p_spike_rare_share_expected", "p_spike_gini", "p_spike_gini_expected",
)  # fmt: skip

PROBABILITIES = "Distribution of the activation probability over units; beside share and Gini coefficient stands what few bins alone make of units that are alike."
INDICATORS = "Indicators by {part}, next to what chance predicts; click a column head to sort."
CHANCE = "Next to each measure is what chance predicts: the mean over the same spike counts in uniformly random arrangement. "
HOW_TO_READ = (
    CHANCE
    + "A spike of an artificial unit is an activation above its threshold, not an action potential, and pseudo-time is the order of inputs, not time."
)
OF_CELLS = (
    CHANCE
    + "Only time in which a unit was observed counts; trials that were not wholly observed are left out for that unit."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Result of the analysis of one file.

    Parameters
    ----------
    name
        Name of the file, without its suffix.
    table
        Table of `ann2neo.analyze`.
    recording
        The recording, where ann2neo wrote the file.
    cells
        Spike trains in time, where another laboratory wrote the file.
    origin
        Name of the file; differs from ``name`` where a file holds several sources.
    """

    name: str
    table: pd.DataFrame
    recording: Recording | None = None
    cells: Any = None
    origin: str = ""

    def __post_init__(self) -> None:
        if not self.origin:
            object.__setattr__(self, "origin", self.name)


def how_to_read(results: Sequence[Result]) -> list[str]:
    """Explain how to read the numbers of networks, of cells, or of both."""
    networks = [result.recording is not None for result in results]
    return ([HOW_TO_READ] if any(networks) else []) + ([OF_CELLS] if not all(networks) else [])


def describe(table: pd.DataFrame) -> str:
    """Describe in a line how a table was made: order, windows, reference, engine."""
    attrs = table.attrs
    unit = "bins" if "window_min_bins" in attrs else "ms"
    low, high = f"{attrs[f'window_min_{unit}']:g}", f"{attrs[f'window_max_{unit}']:g}"
    within = f" within {attrs['within']}" if "within" in attrs else ""
    sizes = f"{low if low == high else f'{low} to {high}'} {unit.removesuffix('s') if high == '1' else unit}"
    return (
        f"{counted(len(table), 'unit')}; order: {attrs['order']}; {counted(attrs['n_windows'], 'window')} by {attrs['windows']} ({sizes}){within}; "
        f"reference: {attrs['reference']}; engine: {attrs['engine']}"
    )


def printed(summary: pd.DataFrame, columns: Sequence[str] = SHOWN) -> str:
    """Lay a summary out for a terminal; of very many layers only all of them together."""
    layers = summary["layer"].nunique() - 1
    if layers > MOST_PRINTED:
        whole = summary[summary["layer"] == NETWORK]
        return (
            f"{printed(whole, columns)}\n\n{layers} layers are not printed one by one: the tables and --json have them."
        )
    known = _known(summary, columns)
    text = table_lines(summary[known])
    if columns is SHOWN and has_probabilities(summary):
        return f"{text}\n\nactivation probabilities over units\n{printed(summary, OF_PROBABILITIES)}"
    return text


def has_probabilities(summary: pd.DataFrame) -> bool:
    """Whether a summary tells how activation probabilities are distributed; those of cells and of earlier versions do not."""
    return "p_spike_q50" in summary and bool(summary["p_spike_q50"].notna().any())


def _known(summary: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    return [name for name in columns if name in summary and summary[name].notna().any()]


def write_result(result: Result, folder: Path, *, figure_format: str = "png") -> Section:
    """Write the tables and figures of a result, and return its section of the page."""
    write_table(result.table, folder / f"{result.name}.csv")
    write_table(summarize(result.table), folder / f"{result.name}-summary.csv")
    shown = [
        save_picture(drawn, folder / f"{result.name}-{name}.{figure_format}", words, alt)
        for name, drawn, words, alt in drawings(result)
    ]
    return section(result, shown)


def section(result: Result, shown: Sequence[Picture]) -> Section:
    """Make the section of the page about one result: figures side by side, then the indicators of its layers."""
    summary = summarize(result.table)
    if summary["layer"].nunique() == 2:  # all layers together are the only one
        summary = summary[summary["layer"] != NETWORK]
    part = _part(result)
    tables = [_table(result, summary, SHOWN, INDICATORS.format(part=part))]
    if has_probabilities(summary):
        tables.append(_table(result, summary, OF_PROBABILITIES, PROBABILITIES))
    return Section(
        heading=result.name,
        paragraphs=[f"{describe(result.table)}."],
        figures=shown,
        zoomable=_zoomable(result),
        tables=tables,
        folded=f"Indicators by {part}, {len(summary)} rows" if len(summary) > MANY_ROWS else None,
    )


def _zoomable(result: Result) -> Zoomable | None:
    """Make the raster of a network, or of cells with the trials by which they were measured."""
    if result.recording is not None:
        return zoomable(result.recording, result.name)
    if result.cells is None:
        return None
    try:
        return zoomable_cells(result.cells, result.name, result.table.attrs.get("windows"))
    except WindowError:  # windows are durations or moments, not trials
        return zoomable_cells(result.cells, result.name)


def _part(result: Result) -> str:
    """Name what units are parts of: layers of a network, groups of cells."""
    return "layer" if result.cells is None else "group"


def _table(result: Result, summary: pd.DataFrame, columns: Sequence[str], caption: str) -> Table:
    known = _known(summary, columns)
    frame = summary[known]
    frame.attrs = dict(result.table.attrs)
    return Table(frame=frame, caption=caption, definitions=definitions(known))


def population_of(table: pd.DataFrame, column: str) -> tuple[Literal["all", "good"], str]:
    """Return the units of which a figure shows a column, those of good quality, or all if it is NaN in all of these; and what the caption says of that."""
    good = table["quality"] == "good"
    if column not in table or bool(table.loc[good, column].notna().any()):
        return "good", ""
    few = " With few spikes it scatters widely." if (table["quality"] == "too_few").any() else ""
    return "all", f" No unit of good quality has it, so that all units are shown.{few}"


def drawings(result: Result) -> list[tuple[str, Any, str, str]]:
    """Draw the figures of one file: a name, a drawing, a caption, and an alternative text. Measures that no unit has, such as a Fano factor over one window, are left out."""
    table, part = result.table, _part(result)
    population, of_all = population_of(table, "cv")
    drawn = [
        (
            "rates",
            figures.firing_rate(table),
            f"How the firing rates of the units of each {part} are distributed. A wide place holds many units; those at 0 are silent.",
            _ranges(table, "firing_rate", "firing rates in Hz"),
        ),
        (
            "fano",
            figures.fano(table),
            f"Fano factors by {part}. Right of the orange bar counts vary more over windows than those of a unit that ignores the windows.",
            _ranges(table, "fano", "Fano factors"),
        ),
        (
            "fano-rate",
            figures.fano_against_rate(table),
            "Fano factor against firing: each dot is a unit, or where there are many, brighter cells hold more of them. Units that ignore the windows lie about the orange marks.",
            _ranges(table, "fano", "Fano factors against rates"),
        ),
        (
            "cv",
            figures.cv_against_expected(table, population=population),
            "Coefficient of variation of the intervals against what chance predicts for as many spikes; above the line intervals are more irregular."
            + of_all,
            _ranges(table, "cv", "coefficients of variation"),
        ),
    ]
    if table["p_spike"].notna().any():
        words = "How activation probabilities are distributed over the units of each layer, on an axis on which few bins blur every unit alike; left of the dashed line units are rare."
        drawn.insert(
            1, ("p-spike", figures.p_spike(table), words, _ranges(table, "p_spike", "activation probabilities"))
        )
    if "dispersion_p" in table:
        words = (
            "p values of each test against those of chance: above the line there are more small ones than chance makes."
        )
        alt = f"Curves of sorted p values of {len(table):,} units."
        drawn.append(("p-values", figures.p_values(table), words, alt))
    kept = [each for each in drawn if not _is_undefined(table, each[0].removesuffix("-rate"))]
    return [*_of_recording(result.recording), *_of_cells(result), *kept]


def _is_undefined(table: pd.DataFrame, column: str) -> bool:
    """Whether a figure has nothing to show: its column is NaN in all units."""
    return column in table and bool(table[column].isna().all())


def _ranges(table: pd.DataFrame, column: str, words: str) -> str:
    """Describe the middle 90 % of a column, for a reader who cannot see the figure."""
    values = table[column].dropna()
    if values.empty:
        return f"No unit has {words}."
    low, middle, high = values.quantile([0.05, 0.5, 0.95])
    return f"{len(values):,} units: {words} have a median of {middle:.3g}; 90 % lie between {low:.3g} and {high:.3g}."


def _of_recording(recording: Recording | None) -> list[tuple[str, Any, str, str]]:
    if recording is None:
        return []
    by_label = "label" in recording.trials.columns
    share = sum(int(layer.raster.n_spikes().sum()) for layer in recording.layers) / (
        recording.n_units * recording.n_bins
    )
    alt = f"Raster of {recording.n_units:,} units and {recording.n_bins:,} bins, {share:.1%} of which hold a spike."
    drawn = figures.raster(recording.arrange("label") if by_label else recording)
    return [("raster", drawn, _of_raster(recording, drawn, by_label=by_label), alt)]


def _of_raster(recording: Recording, drawn: figures.Drawing, *, by_label: bool) -> str:
    """Describe what the rows and columns of a raster are: units or a sample of them, bins or the means of neighbours."""
    shapes = [np.shape(np.asarray(image.get_array())) for image in drawn.ax.images]
    n_rows, n_columns = sum(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    rows = (
        "a row for each unit"
        if n_rows == recording.n_units
        else f"a row for each of {n_rows:,} units, taken evenly from all"
    )
    one_bin = (recording.trials["stop_bin"] - recording.trials["start_bin"] == 1).all()
    of_bin = "input" if one_bin else "step of an input"
    columns = (
        f"a column for each {of_bin}"
        if n_columns == recording.n_bins
        else f"columns are means over neighbouring {'inputs' if one_bin else 'steps of inputs'}"
    )
    order = "sorted by label, which is named above" if by_label else "in their order"
    return f"Spikes: {rows}, {columns}; inputs are {order}."


def _of_cells(result: Result) -> list[tuple[str, Any, str, str]]:
    if result.cells is None:
        return []
    words = "Spikes of every unit over time, as rates in short stretches; time in which a unit was not observed is light grey."
    alt = f"Rates of {len(result.table):,} units over time."
    return [("raster", figures.raster(result.cells), words, alt)]


def first_sentence(caption: str) -> str:
    """Return the first sentence of a caption, which says what the figure is.

    Examples
    --------
    >>> first_sentence("Rates by layer. A wide place holds many units.")
    'Rates by layer.'
    """
    return f"{caption.split('. ')[0].rstrip('.')}."


def save_picture(drawn: Any, path: Path, caption: str, alt: str | None = None) -> Picture:
    """Write a figure in the format of its suffix, and return it as a picture of the page."""
    made = picture(drawn, caption, alt, file=path.name)
    if path.suffix == ".png":  # the image of the page, which is not drawn twice
        path.write_bytes(made.png)
    else:
        drawn.savefig(path)
    return made


def picture(drawn: Any, caption: str, alt: str | None = None, *, file: str | None = None) -> Picture:
    """Return a figure as a picture of the page."""
    return Picture(png=figures.png(drawn), caption=caption, alt=caption if alt is None else alt, file=file)
