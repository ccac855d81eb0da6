"""analyze: from files to tables, figures and a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ann2neo.cli import options
from ann2neo.cli.records import as_json, of_analysis, to_json
from ann2neo.cli.terminal import say, silent


@click.command(short_help="Measure every unit in files, beside what chance predicts.")
@click.argument("files", nargs=-1, required=True, type=options.PATH)
@click.option("-o", "--output", type=options.PATH, required=True, help="Folder to make, for tables, figures, a report.")
@options.measurement
@click.option(
    "--over",
    type=click.Choice(["windows", "passes"]),
    default="windows",
    show_default=True,
    help="Fano factor over what.",
)
@click.option(
    "--min-spikes",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Units with fewer are of quality too_few.",
)
@click.option("--tests", is_flag=True, help="Add p values of dispersion, runs, intervals and trend.")
@options.method
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the randomized test of intervals."
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers do the work, such as tcp://127.0.0.1:8786."
)
@options.figure_format
@click.option("--overwrite", is_flag=True, help="Replace the folder of an earlier analysis.")
@as_json
@options.quiet
def analyze(
    files: tuple[Path, ...],
    output: Path,
    over: str,
    min_spikes: int,
    tests: bool,
    method: str,
    seed: int,
    scheduler: str | None,
    figure_format: str,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **how: Any,
) -> None:
    """Measure every unit in FILES: ours, or those of any laboratory (NWB, text, all that neo reads).

    \b
    Examples:
      ann2neo analyze rec.nwb -o results --tests
      ann2neo analyze rec.nwb cells.nix -o together --windows 500ms
      ann2neo analyze cells.nwb -o evoked --windows 'around(stimulus_onset, 0ms, 500ms)' --within orientation
      ann2neo analyze spikes.txt -o text --time-unit ms --t-stop 600s --columns unit,time
    """
    from ann2neo.results import analyze_files

    analyze_files(
        files,
        output,
        over=over,
        min_spikes=min_spikes,
        tests=tests,
        method=method,
        seed=seed,
        scheduler=scheduler,
        figure_format=figure_format,
        overwrite=overwrite,
        progress=not quiet,
        say=silent if as_json else say,
        **how,
    )
    if as_json:
        say(to_json(of_analysis(output)))
