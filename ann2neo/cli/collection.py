"""collect: one table over the files of a sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ann2neo.cli import options
from ann2neo.cli.choices import read_windows
from ann2neo.cli.records import as_json, of_table, to_json
from ann2neo.cli.terminal import say


@click.command(short_help="Put the indicators of many files into one tidy table.")
@click.argument("files", nargs=-1, required=True, type=options.PATH)
@click.option("-o", "--output", type=options.PATH, help="Table to write: .csv or .parquet; without it, it is printed.")
@click.option(
    "--level",
    type=click.Choice(["layer", "unit"]),
    default="layer",
    show_default=True,
    help="A row per file and layer (indicators), or per file and unit.",
)
@options.windows
@options.order
@click.option("--overwrite", is_flag=True, help="Replace the table.")
@as_json
@options.quiet
def collect(
    files: tuple[Path, ...],
    output: Path | None,
    level: Any,
    windows: str | None,
    order: Any,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Collect FILES, recordings or tables that `ann2neo analyze` wrote, with the notes of each recording as columns.

    \b
    Examples:
      ann2neo collect sweep/*.zarr --windows label -o sweep.csv
      ann2neo collect results/*.csv --level unit -o units.csv
    """
    from ann2neo.results.collection import collect as collect_files
    from ann2neo.tables import write_table

    table = collect_files(files, level=level, windows=read_windows(windows), order=order, progress=not quiet)
    if output is not None:
        write_table(table, output, overwrite=overwrite)
    if as_json:
        say(to_json(of_table(table)))
    elif output is None:
        say(table.to_string(index=False, float_format=lambda value: f"{value:.4g}", na_rep="-"))
    else:
        say(f"{output}: {len(table)} rows of {table['source'].nunique()} sources")
