"""compare_files: groups of networks, one file each, and the indicators in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ann2neo import figures
from ann2neo.atomic import complete_or_absent
from ann2neo.comparison import compare, compare_distributions
from ann2neo.comparison.verdicts import not_compared
from ann2neo.errors import AnalysisError
from ann2neo.files import check_readable
from ann2neo.formats.observation import Observation
from ann2neo.measures.indicators import PAPER
from ann2neo.ownership import results, sha256
from ann2neo.report import Fact, Section, Table, write_report
from ann2neo.results.files import analyze_file, name_of
from ann2neo.results.lines import sentence_lines, table_lines
from ann2neo.results.pages import HOW_TO_READ, REPORT, Result, save_picture
from ann2neo.results.sources import SOURCE, counted_once, taken_apart
from ann2neo.summary import NETWORK, is_summary, summary_of
from ann2neo.tables import SUFFIXES, read_table, write_table

KEYS = ["layer", "population"]
# Number of layers that a sentence lists.
MOST_LISTED = 6
SHOWN = ("layer", "population", "indicator", "mean_", "hedges_g", "auc", "p", "p_corrected", "fits_")
CAPTION = (
    "Each indicator in each layer: means over networks, effect sizes (first minus second kind), p of a permutation test over networks and p corrected for the "
    "number of rows."
)


def compare_files(
    groups: Mapping[str, Sequence[Path]],
    out: Path | None = None,
    *,
    windows: Any = None,
    within: str | None = None,
    order: str | None = None,
    engine: str = "auto",
    bin_size_ms: float | None = None,
    said: Observation | None = None,
    method: Literal["bh", "by"] = "bh",
    seed: int = 0,
    alpha: float = 0.05,
    indicators: Sequence[str] | None = None,
    figure_format: str = "png",
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> pd.DataFrame:
    """Compare groups of networks, one file each, and report what the comparison supports; on request, write table, figure and page into a folder.

    Parameters
    ----------
    groups
        Files by name of the group: tables of `ann2neo.write_table` (of units, summaries, of all sources), or recordings, which are analyzed first. Other tables of a
        network whose table of units is also given are not counted again.
    out
        Name of the folder, which appears when everything is done; None to write nothing.
    windows, within, order, engine, bin_size_ms, said
        Options for the analysis of recordings; refused for tables, which are already measured.
    method, seed, alpha, indicators
        As for `ann2neo.compare`.
    figure_format
        Format of the file of the figure: "png", "pdf" or "svg"; the page holds a separate image.
    overwrite
        Whether the folder of an earlier comparison may be replaced.
    progress
        Whether to show progress bars.
    say
        Called with each line of output for the user.

    Raises
    ------
    FormatError
        If a file is missing, or is neither a table nor a recording.
    AnalysisError
        If the tables cannot be compared, or options of the analysis are given for a table.
    OutputExists
        If the folder exists and may not be replaced.
    """
    how = {"windows": windows, "within": within, "engine": engine, "bin_size_ms": bin_size_ms}
    files = [path for each in groups.values() for path in each]
    marker = results("a comparison")
    folder = nullcontext() if out is None else complete_or_absent(out, overwrite=overwrite, marker=marker, inputs=files)
    with folder as part:
        tables = {}
        for name, of_group in groups.items():
            read = [one for path in of_group for one in read_results(path, order, said, progress=progress, **how)]
            kept, again = counted_once(read)
            if again:
                say(f"{', '.join(again)}: of networks whose tables are also given, not counted again")
            tables[name] = [one.table for one in kept]
        found = compare(tables, indicators=indicators, method=method, seed=seed, alpha=alpha)
        say(sentence_lines(sentences(found)))
        say("\n" + table_lines(brief(found), by=KEYS))
        if refused := not_compared(found):
            say("\n" + sentence_lines(refused))
        apart = _distances(tables, found.attrs["contrast"], method=method, seed=seed)
        if apart is not None:
            say("\n" + sentence_lines([DISTRIBUTIONS]))
            say(table_lines(_distances_shown(apart), by=KEYS))
        if part is not None:
            _write(found, apart, tables, groups, part, figure_format)
    if out is not None:
        say(f"\n{out / REPORT} shows it all.")
    return found


def _distances(
    tables: Mapping[str, list[pd.DataFrame]], contrast: Sequence[str], *, method: Literal["bh", "by"], seed: int
) -> pd.DataFrame | None:
    """Compare the distributions of activation probabilities where tables of units with bins are there to compare; None elsewhere."""
    known = {name: tables[name] for name in contrast}
    units = [table for each in known.values() for table in each]
    if len(known) < 2 or any("p_spike" not in table or table["p_spike"].isna().all() for table in units):
        return None
    if len({table.attrs.get("n_bins") for table in units}) > 1:
        return None
    return compare_distributions(known, method=method, seed=seed)


def _distances_shown(apart: pd.DataFrame) -> pd.DataFrame:
    shown = apart[["layer", "population", "distance", "value", "expected", "p", "p_corrected"]]
    shown.attrs = {}  # units of measure differ from row to row, and are defined with the distances
    return shown


def brief(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a comparison that a first look needs.

    Examples
    --------
    >>> brief(pd.DataFrame({"layer": ["fc"], "n_a": [3], "mean_a": [0.5], "p": [0.1]})).columns.tolist()
    ['layer', 'mean_a', 'p']
    """
    known = [
        column
        for column in comparison
        if any(column == name or (name[-1] == "_" and str(column).startswith(name)) for name in SHOWN)
    ]
    return comparison[known]


def read_results(path: Path, order: str | None, said: Observation | None = None, **how: Any) -> list[Result]:
    """Read a table of units, a summary, or a table of several sources; analyze a recording.

    Raises
    ------
    FormatError
        If the file is missing or damaged.
    AnalysisError
        If options of the analysis are given for a table, a recording holds several Blocks, or a table does not describe networks.
    """
    check_readable(path, folder=True)
    if path.suffix not in SUFFIXES:
        found = analyze_file(path, order, said, **how)
        if len(found) != 1:
            raise AnalysisError(
                f"{path} holds {len(found)} Blocks.", "A file stands for one network.", "Use one file for each."
            )
        return found
    asked = [name for name, value in {"order": order, **how}.items() if name in _MEASURED and value is not None]
    if asked:
        raise AnalysisError(
            f"{path} is a table, which is already measured; {', '.join(asked)} can no longer be chosen.",
            "Nothing was compared.",
            "Leave it out, or pass the recording instead of its table.",
        )
    table, name = read_table(path), name_of(path)
    if SOURCE in table:
        return [Result(name=one, table=part, origin=name) for one, part in taken_apart(table).items()]
    if "indicator" in table:
        raise AnalysisError(
            f"{path} is already a comparison.",
            "It does not hold the values of single networks.",
            "Pass the tables that were compared.",
        )
    return [Result(name=name.removesuffix("-summary") if is_summary(table) else name, table=table, origin=name)]


_MEASURED = ("windows", "within", "order", "bin_size_ms")


def _write(
    found: pd.DataFrame,
    apart: pd.DataFrame | None,
    tables: Mapping[str, list[pd.DataFrame]],
    groups: Mapping[str, Sequence[Path]],
    folder: Path,
    figure_format: str,
) -> None:
    folder.mkdir()
    write_table(found, folder / "comparison.csv")
    summaries = {name: [summary_of(table) for table in each] for name, each in tables.items()}
    caption = "Indicators by layer: a mark for each network, lines through the means of each kind; all units."
    compared = found[(found["population"] == "all") & (found["reason"] == "")]["indicator"].tolist()
    drawn = [name for name in PAPER if name in compared] or list(dict.fromkeys(compared))
    shown = save_picture(
        figures.indicators(summaries, shown=drawn or PAPER),
        folder / f"indicators.{figure_format}",
        caption,
        " ".join(found.attrs["verdicts"]),
    )
    more = [] if apart is None else [_distributions(apart, tables, folder, figure_format)]
    networks = pd.DataFrame([(name, str(path)) for name, each in groups.items() for path in each])
    sections = [
        Section(
            heading="All numbers", tables=[Table(frame=brief(found), caption=CAPTION, definitions=_meanings(found))]
        ),
        *more,
        Section(
            heading="Networks",
            tables=[Table(frame=networks.set_axis(["kind", "file"], axis=1), caption="What was compared.")],
        ),
    ]
    write_report(
        folder / REPORT,
        title="Networks: " + " against ".join(found.attrs["contrast"] or groups),
        lead=[_sentence(verdict) for verdict in sentences(found)] + not_compared(found),
        facts=_facts(found, tables),
        figure=shown,
        limits=[LIMITS, HOW_TO_READ],
        sections=sections,
        files={
            "comparison.csv": "All numbers of the comparison, a row for each layer, population and indicator.",
            shown.file or "": "The figure.",
            **(
                {}
                if apart is None
                else {"distributions.csv": "Distances of the distributions of activation probabilities."}
            ),
            **{
                picture.file or "": "The figure of the distributions."
                for section in more
                for picture in section.figures
            },
        },
        provenance=_provenance(found, groups),
    )


def _distributions(
    apart: pd.DataFrame, tables: Mapping[str, list[pd.DataFrame]], folder: Path, figure_format: str
) -> Section:
    """Write and show how activation probabilities are distributed in the two groups."""
    write_table(apart, folder / "distributions.csv")
    drawn = figures.p_spike({name: tables[name] for name in apart.attrs["contrast"]})
    words = "Activation probabilities of the units of each layer: mean of the networks of each kind; left of the dashed line units are rare."
    shown = save_picture(drawn, folder / f"p-spike.{figure_format}", words)
    return Section(
        heading="Distributions of activation probabilities",
        figures=[shown],
        tables=[Table(frame=_distances_shown(apart), caption=DISTRIBUTIONS, definitions=OF_DISTANCES)],
    )


DISTRIBUTIONS = "Distances of the distributions of activation probabilities over units, networks being permuted between the two kinds."
OF_DISTANCES = {
    "distance": "wasserstein: mean difference of the quantiles, in spikes per bin; ks: largest difference of the shares of units below a border.",
    "value": "The distance of the mean distributions of the two kinds.",
    "expected": "Its mean over the ways to deal the networks to the two kinds: a distance is above 0 by chance, too.",
    "p": "Share of the ways to deal networks to the two kinds with a distance at least as large.",
    "p_corrected": "p, corrected for all rows of this table.",
}
LIMITS = "The network is the replicate: what is said of kinds of networks rests on how many were compared, not on how many units they have. A difference that is not found is not shown to be absent."
MEANINGS = {
    "hedges_g": "Difference of the means over networks (first minus second kind) in pooled standard deviations, corrected for small numbers (Hedges' g).",
    "auc": "Probability that a network of the first kind has a larger value than one of the second; 0.5 means no difference.",
    "p": "p value of a permutation test over networks, two-sided.",
    "p_corrected": "p, corrected for all rows of this table.",
}


def _meanings(found: pd.DataFrame) -> dict[str, str]:
    """Return the definitions of the columns of a comparison."""
    known = {name: words for name, words in MEANINGS.items() if name in found}
    means = {
        name: f"Mean over the networks of {name.removeprefix('mean_')}."
        for name in map(str, brief(found))
        if name.startswith("mean_")
    }
    return means | known


def sentences(found: pd.DataFrame) -> list[str]:
    """Return the verdicts of a comparison; layers in which no indicator differs share a sentence, which states the smallest p of them all."""
    verdicts, layers = found.attrs["verdicts"], list(map(str, dict.fromkeys(found["layer"])))
    alike = [
        (layer, verdict)
        for layer, verdict in zip(layers, verdicts)
        if verdict.startswith(f"{layer}: no indicator tells ")
    ]
    if len(verdicts) != len(layers) or len(alike) < 2:
        return verdicts
    names = [layer for layer, _ in alike]
    least = found[found["layer"].astype(str).isin(names)].set_index("layer")["p_corrected"].idxmin()
    ((_, verdict),) = [each for each in alike if each[0] == str(least)]
    more = f" and {len(names) - MOST_LISTED} more layers" if len(names) > MOST_LISTED else ""
    who = "in every layer" if len(names) == len(layers) else ", ".join(names[:MOST_LISTED]) + more
    rest = [one for one in verdicts if one not in {verdict for _, verdict in alike}]
    return [*rest, who + verdict.removeprefix(str(least))]


def _sentence(verdict: str) -> str:
    """Return a verdict as a sentence that begins with its layer."""
    layer, colon, rest = verdict.partition(": ")
    if not colon or layer == "No verdict is possible":
        return verdict
    if layer == "in every layer":
        return f"In every layer, {rest}"
    if ", " in layer:
        return f"Layers {layer}: {rest}"
    return f"{'All layers together' if layer == NETWORK else f'Layer {layer}'}: {rest}"


def _facts(found: pd.DataFrame, tables: Mapping[str, list[pd.DataFrame]]) -> list[Fact]:
    """Count the networks of each kind, the rows, and the differences that the comparison supports."""
    counts = [Fact(value=f"{len(each):,}", name=f"{name} networks") for name, each in tables.items()]
    clear = int((found["p_corrected"] <= found.attrs["alpha"]).sum()) if "p_corrected" in found else 0
    least = found.attrs.get("smallest_p")
    return [
        *counts,
        Fact(value=f"{clear:,} of {len(found):,}", name="differences supported"),
        *([] if least is None else [Fact(value=f"{least:.2g}", name="smallest p possible")]),
    ]


def _provenance(found: pd.DataFrame, groups: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """List the files with their check sums, and the options of the comparison; numbers are rounded, empty entries are left out."""
    files = {
        f"{name}: {path.name}": sha256(path) if path.is_file() else "a folder"
        for name, each in groups.items()
        for path in each
    }
    how = {str(key): value for key, value in found.attrs.items() if key != "verdicts" and value not in ({}, [], "")}
    return files | {key: f"{value:.3g}" if isinstance(value, float) else value for key, value in how.items()}
