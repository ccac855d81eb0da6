"""A folder of results: what `ann2neo analyze` writes for each file, and a page that shows it all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ann2neo import figures
from ann2neo.analysis import analyze
from ann2neo.atomic import complete_or_absent
from ann2neo.errors import AnalysisError, FormatError
from ann2neo.formats.foreign import read_spikes
from ann2neo.recording import Recording
from ann2neo.report import Picture, Section, Table, write_report
from ann2neo.summary import summarize
from ann2neo.tables import write_table

REPORT = "report.html"
ALL = "all-sources"
SHOWN = (
    "layer", "population", "n_units", "n_silent", "firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var", "fano_expected_mean",
    "label_share_mean", "label_share_expected_mean",
)  # fmt: skip


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
    """

    name: str
    table: pd.DataFrame
    recording: Recording | None = None


def analyze_files(
    files: Sequence[Path],
    out: Path,
    *,
    windows: Any = None,
    order: str | None = None,
    engine: str = "auto",
    bin_size_ms: float | None = None,
    over: str = "windows",
    min_spikes: int = 10,
    tests: bool = False,
    scheduler: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Analyze files of ours, or any that neo can read, and write tables, figures and one page into a folder.

    Parameters
    ----------
    files
        Each becomes ``<name>.csv`` (a row per unit; with order and windows beside it, `ann2neo.read_table` reads both) and ``<name>-summary.csv`` (a row per layer);
        several become ``all-sources.csv`` and one figure besides.
    out
        Name of the folder; it appears when everything is done.
    windows, engine, bin_size_ms, over, min_spikes, tests, scheduler
        As for `ann2neo.analyze`.
    order
        In which order the trials of our recordings are read; None for as stored.
    overwrite
        Whether the folder of an earlier analysis may be replaced.
    progress
        Whether to show progress bars.
    say
        Called with each line that a person should read.

    Raises
    ------
    FormatError
        If a file is missing or holds no spike trains.
    OutputExists
        If there is such a folder and it may not be replaced.
    AnalysisError
        If two files have one name.
    """
    for path in files:
        if not path.exists():
            raise FormatError(f"there is no file {path}.", "Nothing was analyzed.", "Check the name and the folder.")
    options = {
        "windows": windows,
        "engine": engine,
        "bin_size_ms": bin_size_ms,
        "over": over,
        "min_spikes": min_spikes,
        "tests": tests,
        "scheduler": scheduler,
    }
    names = [path.stem for path in files]
    if len(set(names)) != len(names):
        raise AnalysisError(
            f"several files are called {sorted(names)}.", "Their results would overwrite one another.", "Rename them."
        )
    with complete_or_absent(out, overwrite=overwrite, marker=REPORT) as part:
        results = []
        for path in files:
            say(f"analyzing {path}")
            results += _analyze_file(path, order, progress=progress, **options)
        part.mkdir()
        sections = [write_result(result, part) for result in results]
        if len(results) > 1:
            sections.insert(0, _together(results, part))
        for result in results:
            say(f"\n{result.name}: {describe(result.table)}\n{printed(summarize(result.table))}")
        write_report(
            part / REPORT,
            title="Spike trains of " + ", ".join(result.name for result in results),
            lead=[HOW_TO_READ],
            sections=sections,
            provenance=dict(results[0].table.attrs) if len(results) == 1 else None,
        )
    say(f"\n{out / REPORT} shows it all.")
    return out


HOW_TO_READ = (
    "Beside each measure stands what chance predicts: the mean over the same spike counts in uniformly random arrangement. "
    "A spike of an artificial unit is an activation above its threshold, no action potential, and pseudo-time is the order of inputs, no time."
)


def describe(table: pd.DataFrame) -> str:
    """Say in a line how a table came about: order, windows, reference, engine."""
    attrs = table.attrs
    unit = "bins" if "window_min_bins" in attrs else "ms"
    low, high = f"{attrs[f'window_min_{unit}']:g}", f"{attrs[f'window_max_{unit}']:g}"
    sizes = f"{low if low == high else f'{low} to {high}'} {unit}"
    return (
        f"{len(table)} units; order: {attrs['order']}; {attrs['n_windows']} windows by {attrs['windows']} ({sizes}); "
        f"reference: {attrs['reference']}; engine: {attrs['engine']}"
    )


def printed(summary: pd.DataFrame, columns: Sequence[str] = SHOWN) -> str:
    """Lay a summary out for a terminal."""
    known = [name for name in columns if summary[name].notna().any()]
    return summary[known].to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-")


def write_result(result: Result, folder: Path) -> Section:
    """Write the tables and figures of a result and give its part of the page."""
    summary = summarize(result.table)
    write_table(result.table, folder / f"{result.name}.csv")
    summary.to_csv(folder / f"{result.name}-summary.csv", index=False)
    known = [name for name in SHOWN if summary[name].notna().any()]
    return Section(
        heading=result.name,
        paragraphs=[describe(result.table)],
        figures=pictures(result, folder),
        tables=[Table(frame=summary[known], caption="Indicators by layer; variances over units, ddof 0.")],
    )


def pictures(result: Result, folder: Path) -> list[Picture]:
    """Draw what there is to see of one file and write each figure as PNG."""
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
    if result.recording is not None:
        shown = result.recording.arrange("label") if "label" in result.recording.trials.columns else result.recording
        drawn.insert(
            0,
            (
                "raster",
                figures.raster(shown),
                "Spikes of all layers, each at equal height; inputs sorted by label where there are labels.",
            ),
        )
    return [save_picture(ax, folder / f"{result.name}-{name}.png", caption) for name, ax, caption in drawn]


def save_picture(drawn: Any, path: Path, caption: str) -> Picture:
    """Write a figure and give it for the page."""
    image = figures.png(drawn)
    path.write_bytes(image)
    return Picture(png=image, caption=caption, alt=caption)


def _together(results: Sequence[Result], folder: Path) -> Section:
    """Put all units in one table and one figure, each source beside its own reference."""
    tables = {result.name: result.table for result in results}
    everything = pd.concat(
        [
            table.assign(source=name, reference=table.attrs["reference"], windows=table.attrs["windows"])
            for name, table in tables.items()
        ],
        ignore_index=True,
    )
    everything.to_csv(folder / f"{ALL}.csv", index=False)
    caption = "All sources side by side, each beside what chance predicts for its own units."
    return Section(
        heading="All sources",
        paragraphs=[f"{name}: {describe(table)}" for name, table in tables.items()],
        figures=[save_picture(figures.beside_chance(tables)[0].figure, folder / f"{ALL}.png", caption)],
    )


def _analyze_file(path: Path, order: Any, **options: Any) -> list[Result]:
    found = read_spikes(path)
    if isinstance(found, Recording):
        recording = found if order is None else found.arrange(order)
        return [Result(name=path.stem, table=analyze(recording, **options), recording=recording)]
    if order is not None:
        raise AnalysisError(
            f"{path} is not ours: its trials cannot be arranged.",
            "Its order is that of its spike times.",
            "Leave --order out.",
        )
    names = [path.stem] if len(found) == 1 else [f"{path.stem}-block{number}" for number in range(len(found))]
    return [Result(name=name, table=analyze(block, **options)) for name, block in zip(names, found)]
