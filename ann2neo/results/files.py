"""analyze_files: a folder with tables, figures and a page on one or several files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ann2neo import figures
from ann2neo.analysis import analyze
from ann2neo.atomic import complete_or_absent
from ann2neo.errors import AnalysisError
from ann2neo.formats.laboratory import check_path, read_spikes
from ann2neo.formats.observation import Observation
from ann2neo.ownership import results
from ann2neo.recording import Recording
from ann2neo.report import Section, write_report
from ann2neo.results.opening import facts, provenance_of, recorded
from ann2neo.results.opening import found as measured
from ann2neo.results.pages import (
    REPORT,
    Result,
    describe,
    first_sentence,
    how_to_read,
    printed,
    save_picture,
    write_result,
)
from ann2neo.results.sources import joined
from ann2neo.summary import summarize
from ann2neo.tables import write_table

ALL = "all-sources"


def analyze_files(
    files: Sequence[Path],
    out: Path,
    *,
    windows: Any = None,
    within: str | None = None,
    order: str | None = None,
    engine: str = "auto",
    bin_size_ms: float | None = None,
    over: str = "windows",
    min_spikes: int = 10,
    tests: bool = False,
    method: str = "bh",
    seed: int = 0,
    scheduler: str | None = None,
    said: Observation | None = None,
    figure_format: str = "png",
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> Path:
    """Analyze files of ann2neo, or of any laboratory, and write tables, figures and one page into a folder.

    Parameters
    ----------
    files
        Each file becomes ``<name>.csv`` (a row per unit; order and windows are in a file next to it, and `ann2neo.read_table` reads both) and ``<name>-summary.csv`` (a row per layer);
        several files also become ``all-sources.csv`` and one figure.
    out
        Name of the folder; it appears when everything is done.
    windows, within, engine, bin_size_ms, over, min_spikes, tests, method, seed, scheduler
        As for `ann2neo.analyze`.
    order
        Order of the trials of ann2neo recordings; None for the stored order.
    said
        Facts that files leave out: unit of time, begin and end of observation, columns of a text file.
    figure_format
        Format of the files of figures: "png", "pdf" or "svg"; the page holds separate images.
    overwrite
        Whether the folder of an earlier analysis may be replaced.
    progress
        Whether to show progress bars.
    say
        Called with each line of output for the user.

    Raises
    ------
    FormatError
        If a file is missing or holds no spike trains.
    OutputExists
        If the folder exists and may not be replaced.
    AnalysisError
        If two files have the same name.
    """
    for path in files:
        check_path(path)
    options = {
        "windows": windows,
        "within": within,
        "engine": engine,
        "bin_size_ms": bin_size_ms,
        "over": over,
        "min_spikes": min_spikes,
        "tests": tests,
        "method": method,
        "seed": seed,
        "scheduler": scheduler,
    }
    _check_names(files)
    with complete_or_absent(out, overwrite=overwrite, marker=results("an analysis"), inputs=files) as part:
        found = []
        for path in files:
            say(f"analyzing {path}")
            found += analyze_file(path, order, said, progress=progress, **options)
        part.mkdir()
        sections = [write_result(result, part, figure_format=figure_format) for result in found]
        if len(found) > 1:
            sections.insert(0, _together(found, part, figure_format))
        for result in found:
            say(f"\n{result.name}: {describe(result.table)}\n{printed(summarize(result.table))}")
        captions = {picture.file: picture.caption for each in sections for picture in each.figures}
        write_report(
            part / REPORT,
            title="Spike trains of " + ", ".join(result.name for result in found),
            lead=[
                " ".join(recorded(each.name, each.table, each.recording) for each in found),
                " ".join(f"{f'{each.name}: ' if len(found) > 1 else ''}{measured(each.table)}" for each in found),
            ],
            facts=facts(found),
            figure=sections[0].figures[0],
            limits=how_to_read(found),
            sections=[replace(sections[0], figures=sections[0].figures[1:]), *sections[1:]],
            files={path.name: _words(path.name, captions) for path in sorted(part.iterdir())},
            provenance=provenance_of(found, {name_of(path): path for path in files}),
        )
    say(f"\n{out / REPORT} shows it all.")
    return out


def name_of(path: Path) -> str:
    """Return the name of results of a file; parts of its name that are not UTF-8 are written as codes.

    Examples
    --------
    >>> name_of(Path("rec.nwb")), name_of(Path("a\\udcff.nwb"))
    ('rec', 'a\\\\udcff')
    """
    return path.stem.encode("utf-8", "backslashreplace").decode("utf-8")


def _words(name: str, captions: Mapping[str | None, str]) -> str:
    """Describe a file of results; a figure by the first sentence of its caption."""
    if name.endswith("-metadata.json"):
        return "Definitions, order and windows of that table, which `ann2neo.read_table` reads with it."
    if name == f"{ALL}.csv":
        return "All units of all sources in one table."
    if name.endswith("-summary.csv"):
        return "A row for each layer, or group of units."
    return "A row for each unit." if name.endswith(".csv") else first_sentence(captions[name])


def _check_names(files: Sequence[Path]) -> None:
    """Check that results of files have different names, also where a disk ignores case."""
    taken: dict[str, Path] = {}
    for path in files:
        own = [
            name_of(path),
            f"{name_of(path)}-summary",
            *([ALL] if len(files) > 1 and name_of(path).casefold() == ALL else []),
        ]
        clash = [name.casefold() for name in own if name.casefold() in taken]
        if clash or ALL in own[2:]:
            other = taken.get(clash[0]) if clash else f"the table of all sources, {ALL}.csv"
            raise AnalysisError(
                f"the results of {path} and those of {other} would have the same names.",
                "They would overwrite one another.",
                "Rename one of the files, or analyze them into separate folders.",
            )
        taken |= {name.casefold(): path for name in own}


def _together(results: Sequence[Result], folder: Path, figure_format: str) -> Section:
    """Make one table and one figure of all units, each source with its own reference."""
    tables = {result.name: result.table for result in results}
    write_table(joined(tables), folder / f"{ALL}.csv")
    caption = "All sources side by side, each beside what chance predicts for its own units."
    return Section(
        heading="All sources",
        paragraphs=[f"{name}: {describe(table)}" for name, table in tables.items()],
        figures=[save_picture(figures.beside_chance(tables), folder / f"{ALL}.{figure_format}", caption)],
    )


def analyze_file(path: Path, order: Any, said: Observation | None = None, **options: Any) -> list[Result]:
    """Analyze a file of ann2neo, or each Block that neo reads from another file."""
    found = read_in_order(path, order, said)
    if len(found) == 1:
        names = [name_of(path)]
    else:
        names = [f"{name_of(path)}-block{number}" for number in range(len(found))]
    ours = [each if isinstance(each, Recording) else None for each in found]
    return [
        Result(name=name, table=analyze(each, **options), recording=mine, cells=each if mine is None else None)
        for name, each, mine in zip(names, found, ours)
    ]


def read_in_order(path: Path, order: Any, said: Observation | None = None) -> list[Any]:
    """Read a recording of ann2neo, arranged, or all Blocks of another file, whose only order is that of their spike times.

    Raises
    ------
    AnalysisError
        If an order is given for a file that ann2neo did not write.
    """
    found = read_spikes(path, said)
    if isinstance(found, Recording):
        return [found if order is None else found.arrange(order)]
    if order is not None:
        raise AnalysisError(
            f"{path} is not a recording of ann2neo: its trials cannot be arranged.",
            "Its order is that of its spike times.",
            "Leave --order out.",
        )
    return found
