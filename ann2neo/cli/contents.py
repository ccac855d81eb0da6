"""info: what is in a file, a model or a table."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ann2neo.cli import options
from ann2neo.cli.architectures import load_model
from ann2neo.cli.choices import read_layers, read_thresholds, read_units
from ann2neo.cli.records import as_json, of_blocks, of_recording, of_table, to_json
from ann2neo.cli.terminal import say

if TYPE_CHECKING:
    import pandas as pd

    from ann2neo.formats.observation import Observation
    from ann2neo.recording import Recording

READ_BY = """read by
  ann2neo analyze, fit, compare, browse
  ann2neo.read_block("{file}"), whose Block ann2neo.analyze, ann2neo.browse and ann2neo.population take"""


@click.command(short_help="Say what is in a file, a model or a table.")
@click.argument("file", required=False, type=options.PATH)
@click.option("--model", help="Instead of a file: a model whose layers are listed, as for `export`.")
@click.option("--inputs", help="Inputs for --model.")
@options.layers
@options.threshold
@options.units
@options.steps
@options.batch_size
@options.verify
@click.option(
    "--check", is_flag=True, help="Compare every byte of FILE with its check sums; exit code 2 if something is damaged."
)
@as_json
@click.option("--columns", is_flag=True, help="Instead of a file: what each column of the tables is.")
@options.observation("--text-columns")
def info(
    file: Path | None,
    model: str | None,
    inputs: str | None,
    layers: tuple[str, ...],
    thresholds: tuple[str, ...],
    units: tuple[str, ...],
    steps: str | None,
    batch_size: int,
    verify: bool,
    check: bool,
    as_json: bool,
    columns: bool,
    said: Observation,
) -> None:
    """Show what is in FILE, what `export` would record of a model, or what a column of a table is.

    \b
    Examples:
      ann2neo info rec.nwb
      ann2neo info results/rec.csv
      ann2neo info rec.nwb --json
      ann2neo info --check rec.zarr
      ann2neo info --model nets.py:model --inputs nets.py:inputs --units 'features.1=sample:0.01'
      ann2neo info --columns
    """
    of_model = {
        "--model": model,
        "--inputs": inputs,
        "--layers": layers,
        "--threshold": thresholds,
        "--units": units,
        "--steps": steps,
    }
    of_file = {"FILE": file, "--check": check or None}
    _refuse_together(of_file, of_model, columns=columns)
    if columns:
        from ann2neo.analysis.columns import handbook

        say(handbook(min(shutil.get_terminal_size((88, 24)).columns, 110)))
    elif file is not None and check:
        from ann2neo.formats.damage import check as check_file

        right = check_file(file)
        say(f"{file}: {len(right)} parts are as they were written." if right else f"{file}: nothing to compare.")
    elif file is not None:
        say(_of_file(file, said, as_json))
    elif model and inputs:
        from ann2neo.capture import plan

        chosen, along, rules = read_units(units), options.read_steps(steps), read_thresholds(thresholds, on=[])
        table = plan(
            load_model(model, weighted=True),
            options.read_inputs(inputs, batch_size),
            layers=read_layers(layers),
            threshold=rules,
            units=chosen,
            steps=along,
            verify=verify,
        )
        say(to_json(of_table(table)) if as_json else _planned(table))
    else:
        raise click.UsageError("Give a FILE, --model and --inputs, or --columns.")


def _of_file(file: Path, said: Any, as_json: bool) -> str:
    """Describe what a table, a recording or a file of another laboratory holds."""
    from ann2neo.formats.laboratory import read_spikes
    from ann2neo.tables import SUFFIXES, is_ours, read_table

    if file.suffix in SUFFIXES and is_ours(file):
        table = read_table(file)
        return to_json({"kind": "table"} | of_table(table)) if as_json else _of_table(table)
    found = read_spikes(file, said)
    if as_json:
        return to_json(of_blocks(found) if isinstance(found, list) else of_recording(found))
    return _of_cells(file, found) if isinstance(found, list) else _describe(found)


def _of_table(table: pd.DataFrame) -> str:
    """Describe what a table holds: its indicators by layer where it is of units, else its rows."""
    from ann2neo.results import describe, printed
    from ann2neo.summary import is_summary, summarize

    if is_summary(table) and "source" in table:
        return "\n\n".join(f"{_of_source(own)}\n{printed(own)}" for _, own in table.groupby("source", sort=False))
    if is_summary(table):
        return printed(table)
    if "quality" in table and "n_windows" in table.attrs:
        return f"{describe(table)}\n{printed(summarize(table))}"
    return table.to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-", max_rows=60)


def _of_source(rows: pd.DataFrame) -> str:
    """Name the file of some rows of a collected table, and what was noted of it."""
    from ann2neo.recording import NOTES

    notes = [f"{str(name).removeprefix(NOTES)}={rows[name].iloc[0]}" for name in rows if str(name).startswith(NOTES)]
    return ", ".join([str(rows["source"].iloc[0]), *notes])


def _refuse_together(of_file: dict[str, Any], of_model: dict[str, Any], *, columns: bool) -> None:
    """Refuse what asks for two things at once, of which one would silently not be done."""
    file, model = ([name for name, value in asked.items() if value] for asked in (of_file, of_model))
    asked = [*file[:1], *model[:1], *(["--columns"] if columns else [])]
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked)} ask for different things: give one of them.")


def _planned(table: pd.DataFrame) -> str:
    """List what would be recorded with its totals, then what would not be and why."""
    is_left_out = table["not_recorded"].notna()
    # A column that holds a missing value turns whole numbers into others.
    whole = dict.fromkeys(["units", "bins", "bytes"], "Int64")
    recorded = table[~is_left_out].drop(columns="not_recorded").astype(whole)
    size = "" if recorded["bytes"].isna().any() else f", {recorded['bytes'].sum():,} bytes as bits"
    lines = [recorded.to_string(index=False, na_rep="-"), f"{recorded['units'].sum()} units{size}"]
    if is_left_out.any():
        kinds = [f" ({kind})" if kind else "" for kind in table.loc[is_left_out, "kind"]]
        found = zip(table.loc[is_left_out, "layer"], kinds, table.loc[is_left_out, "not_recorded"])
        lines += ["", "not recorded", *(f"  {layer}{kind}: {why}" for layer, kind, why in found)]
    return "\n".join(lines)


def _of_cells(file: Path, blocks: list[Any]) -> str:
    """List the Segments of a file that another program wrote, and what reads it."""
    from ann2neo.report.numbers import counted

    n_units = sum(max((len(segment.spiketrains) for segment in block.segments), default=0) for block in blocks)
    n_segments = sum(len(block.segments) for block in blocks)
    lines = [
        line
        for number, block in enumerate(blocks)
        for index, segment in enumerate(block.segments)
        for line in _describe_segment(f"Block {number}, Segment {index}", segment)
    ]
    head = f"{file}: spike trains in time, written by another program; {counted(n_units, 'unit')}, {counted(n_segments, 'segment')}"
    return "\n".join([head, "", *lines, "", READ_BY.format(file=file)])


def _describe(found: Recording) -> str:
    """List layers, trials and provenance of a recording."""
    lines = [repr(found), "", "layers (units, shape, spikes per bin)"]
    for layer in found.layers:
        p_spike = layer.raster.n_spikes().sum() / max(layer.n_units * found.n_bins, 1)
        lines.append(f"  {layer.name}: {layer.n_units}, {layer.shape}, {p_spike:.3f}")
    lines += ["", f"trials: {len(found.trials)}, columns {', '.join(found.trials.columns)}", "", "provenance"]
    return "\n".join(lines + [f"  {key}: {value}" for key, value in found.provenance.items()])


def _describe_segment(name: str, segment: Any) -> list[str]:
    """List the units of a Segment, when they were observed, and its tables of intervals."""
    from ann2neo.report.numbers import counted

    trains = list(segment.spiketrains)
    lines = [f"{name}: {counted(len(trains), 'spike train')}, {segment.t_start} to {segment.t_stop}"]
    if trains:
        known = dict.fromkeys(key for train in trains for key in train.annotations)
        lines.append(
            f"  known of units: {', '.join(['name' if trains[0].name else '', *known]).strip(', ') or 'nothing'}"
        )
    for epoch in segment.epochs:
        columns = ", ".join(
            [*map(str, epoch.array_annotations), *(f"{key} (several values)" for key in epoch.annotations)]
        )
        lines.append(f"  Epoch {epoch.name!r}: {len(epoch)} intervals, columns {columns or 'none'}")
    lines += [f"  Event {event.name!r}: {len(event)} moments" for event in segment.events]
    return lines
