"""The head of a page: what was recorded, what was found, key numbers, and their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ann2neo.analysis.columns import define
from ann2neo.errors import AnalysisError
from ann2neo.figures.reasons import no_unit
from ann2neo.measures.indicators import INDICATORS, PAPER
from ann2neo.measures.registry import shown_in
from ann2neo.ownership import sha256
from ann2neo.recording import Recording
from ann2neo.report import Fact
from ann2neo.report.numbers import counted, format_number
from ann2neo.windows import order_words

STATISTICS = {"_mean": "Mean over units: ", "_var": "Variance over units (ddof 0): "}
OWN = {
    "population": "all: every unit; good: units that are neither silent nor saturated and have enough spikes.",
    "n_units": "Number of units.",
    "n_silent": "Units without a spike.",
}


def recorded(name: str, table: pd.DataFrame, recording: Recording | None) -> str:
    """Describe in a sentence what a file holds.

    Parameters
    ----------
    name
        Name of the file.
    table
        Table of `ann2neo.analyze`.
    recording
        The recording, where ann2neo wrote the file.
    """
    n_layers = table["layer"].nunique()
    layers, units = counted(n_layers, "layer"), counted(len(table), "unit")
    if recording is None:
        return f"{name}: {units} in {layers if n_layers > 1 else 'one group'}, from {table.attrs['source']}."
    n_inputs = len(recording.trials) // recording.n_passes
    model, data = recording.provenance.get("model_class"), recording.provenance.get("dataset")
    passes = f" in {recording.n_passes} passes" if recording.n_passes > 1 else ""
    return (
        f"{name}: {units} in {layers}{f' of {model}' if model else ''} over {counted(n_inputs, 'input')}{f' of {data}' if data else ''}{passes}, "
        f"in {order_words(recording.trials, recording.provenance)} order."
    )


def found(table: pd.DataFrame) -> str:
    """Describe in a sentence what the units do, compared with what chance predicts; where none has intervals or a Fano factor, why."""
    parts, missing = [f"{_silent_share(table)} of the units are silent"], []
    for measure in shown_in("sentence"):
        column, words = measure.name, measure.words
        known = (
            table[table[column].notna() & table[f"{column}_expected"].notna()] if column in table else table.iloc[:0]
        )
        if len(known):
            value, chance = known[column].mean(), known[f"{column}_expected"].mean()
            parts.append(f"the mean {words} is {format_number(value)} where chance predicts {format_number(chance)}")
        elif measure.of != "labels":
            missing.append(words)
    if missing:
        parts.append(no_unit(table, "all", " or a ".join(missing)))
    return f"{'; '.join(parts)}."


def _silent_share(units: pd.DataFrame) -> str:
    """Write the share of silent units in whole per cent; few are not none, and most are not all."""
    share = float((units["quality"] == "silent").mean()) if len(units) else 0.0
    written = f"{share:.0%}"
    return {"0%": "<1%", "100%": ">99%"}.get(written, written) if 0 < share < 1 else written


def facts(results: Sequence[Any]) -> list[Fact]:
    """Count the sources, units, and inputs or windows that were analyzed, and average the measures over all units."""
    tables = [result.table for result in results]
    told = [one.measure for name, one in INDICATORS.items() if name in PAPER and one.statistic == "mean"]
    columns = [(measure.name, INDICATORS[f"{measure.name}_mean"].label) for measure in told]
    columns += [(f"{measure.name}_expected", "expected by chance") for measure in told if measure.has_expected]
    units = pd.concat([table[["quality", *(name for name, _ in columns)]] for table in tables], ignore_index=True)
    made = [Fact(value=f"{len(results):,}", name="sources")] if len(results) > 1 else []
    made.append(Fact(value=f"{len(units):,}", name="units"))
    recordings = [result.recording for result in results if result.recording is not None]
    if len(recordings) == len(results) == 1:
        made.append(Fact(value=f"{len(recordings[0].trials) // recordings[0].n_passes:,}", name="inputs"))
    if len(units):
        made.append(Fact(value=_silent_share(units), name="silent units"))
    for column, name in columns:
        if units[column].notna().any():
            made.append(Fact(value=format_number(float(units[column].mean())), name=name))
    return made


def definitions(columns: Sequence[Any]) -> dict[str, str]:
    """Return the definition of each column of a summary: that of its measure, as a mean or variance over units.

    Examples
    --------
    >>> definitions(["n_units", "layer"])["n_units"]
    'Number of units.'
    >>> definitions(["fano_mean"])["fano_mean"].startswith("Mean over units: ")
    True
    """
    known = {str(column): _definition(str(column)) for column in columns}
    return {name: words for name, words in known.items() if words}


def _definition(column: str) -> str:
    if column in OWN:
        return OWN[column]
    base, before = column, ""
    for suffix, words in STATISTICS.items():
        if column.endswith(suffix):
            base, before = column.removesuffix(suffix), words
    try:
        return f"{before}{define(base).definition}"
    except AnalysisError:
        return ""


def provenance_of(results: Sequence[Any], paths: Mapping[str, Path]) -> dict[str, Any]:
    """Collect the provenance of every source: file and check sum, options of the analysis, and the provenance of its recording."""
    rows: dict[str, Any] = {}
    for result in results:
        before = f"{result.name}: " if len(results) > 1 else ""
        path = paths.get(result.name)
        if path is not None:
            rows[f"{before}file"] = path.name
            if path.is_file():
                rows[f"{before}sha256 of the file"] = sha256(path)
        own = {} if result.recording is None else dict(result.recording.provenance)
        rows |= {f"{before}{key}": value for key, value in {**own, **result.table.attrs}.items()}
    return rows
