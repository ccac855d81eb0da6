"""What is said and drawn of a table, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ann2neo import figures
from ann2neo.recording import Recording
from ann2neo.report import Picture, Section, Table
from ann2neo.summary import summarize
from ann2neo.tables import write_table

REPORT = "report.html"
SHOWN = (
    "layer", "population", "n_units", "n_silent", "firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var", "fano_expected_mean",
    "label_share_mean", "label_share_expected_mean",
)  # fmt: skip

CHANCE = "Beside each measure stands what chance predicts: the mean over the same spike counts in uniformly random arrangement. "
HOW_TO_READ = (
    CHANCE
    + "A spike of an artificial unit is an activation above its threshold, no action potential, and pseudo-time is the order of inputs, no time."
)
OF_CELLS = (
    CHANCE
    + "Only time in which a unit was observed counts; trials that were not wholly observed are left out for that unit."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was found in one file.

    Parameters
    ----------
    name
        What the file is called, without its suffix.
    table
        Table of `ann2neo.analyze`.
    recording
        The recording, where the file is ours.
    origin
        Name of the file; another one than ``name`` where a file holds several sources.
    """

    name: str
    table: pd.DataFrame
    recording: Recording | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        if not self.origin:
            object.__setattr__(self, "origin", self.name)


def how_to_read(results: Sequence[Result]) -> list[str]:
    """Say what the numbers of networks, of cells, or of both mean."""
    networks = [result.recording is not None for result in results]
    return ([HOW_TO_READ] if any(networks) else []) + ([OF_CELLS] if not all(networks) else [])


def describe(table: pd.DataFrame) -> str:
    """Say in a line how a table came about: order, windows, reference, engine."""
    attrs = table.attrs
    unit = "bins" if "window_min_bins" in attrs else "ms"
    low, high = f"{attrs[f'window_min_{unit}']:g}", f"{attrs[f'window_max_{unit}']:g}"
    within = f" within {attrs['within']}" if "within" in attrs else ""
    sizes = f"{low if low == high else f'{low} to {high}'} {unit}"
    return (
        f"{len(table)} units; order: {attrs['order']}; {attrs['n_windows']} windows by {attrs['windows']} ({sizes}){within}; "
        f"reference: {attrs['reference']}; engine: {attrs['engine']}"
    )


def printed(summary: pd.DataFrame, columns: Sequence[str] = SHOWN) -> str:
    """Lay a summary out for a terminal."""
    known = [name for name in columns if summary[name].notna().any()]
    return summary[known].to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-")


def write_result(result: Result, folder: Path) -> Section:
    """Write the tables and figures of a result and give its part of the page."""
    write_table(result.table, folder / f"{result.name}.csv")
    write_table(summarize(result.table), folder / f"{result.name}-summary.csv")
    shown = [save_picture(ax, folder / f"{result.name}-{name}.png", words) for name, ax, words in drawings(result)]
    return section(result, shown)


def section(result: Result, shown: Sequence[Picture]) -> Section:
    """Give the part of the page that is about one result."""
    summary = summarize(result.table)
    known = [name for name in SHOWN if summary[name].notna().any()]
    return Section(
        heading=result.name,
        paragraphs=[describe(result.table)],
        figures=shown,
        tables=[Table(frame=summary[known], caption="Indicators by layer; variances over units, ddof 0.")],
    )


def drawings(result: Result) -> list[tuple[str, Any, str]]:
    """Draw what there is to see of one file: a name, axes and a caption for each figure."""
    table, words = result.table, describe(result.table)
    drawn = [
        ("rates", figures.firing_rate(table), "Firing rates of the units of each layer."),
        ("fano", figures.fano(table), f"Fano factors of the units of each layer ({words})."),
        ("fano-rate", figures.fano_against_rate(table), "Fano factors against firing, with what chance predicts."),
        (
            "cv",
            figures.cv_against_expected(table),
            "Coefficient of variation of the intervals against its expectation by chance.",
        ),
    ]
    if "dispersion_p" in table:
        words = "p values of each test against the uniform distribution that they have by chance."
        drawn.append(("p-values", figures.p_values(table), words))
    return [*_of_recording(result.recording), *drawn]


def _of_recording(recording: Recording | None) -> list[tuple[str, Any, str]]:
    if recording is None:
        return []
    by_label = "label" in recording.trials.columns
    words = f"Spikes of all layers, each at equal height; inputs {'sorted by label' if by_label else 'in their order'}."
    return [("raster", figures.raster(recording.arrange("label") if by_label else recording), words)]


def save_picture(drawn: Any, path: Path, caption: str) -> Picture:
    """Write a figure and give it for the page."""
    made = picture(drawn, caption)
    path.write_bytes(made.png)
    return made


def picture(drawn: Any, caption: str) -> Picture:
    """Give a figure for the page."""
    return Picture(png=figures.png(drawn), caption=caption, alt=caption)
