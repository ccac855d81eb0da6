"""fit and simulate: from a file to fitted models, and from these to a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ann2neo.cli import options
from ann2neo.cli.terminal import say

if TYPE_CHECKING:
    from ann2neo.formats.observation import Observation


@click.command(short_help="Fit models of arrival processes to every unit of a file.")
@click.argument("file", type=options.PATH)
@click.option("-o", "--output", type=options.PATH, required=True, help="Folder to make, for tables, figures, a report.")
@click.option(
    "--model",
    "chosen",
    multiple=True,
    type=click.Choice(["rate", "label", "markov", "gain", "label_gain", "renewal", "gamma", "inverse_gaussian"]),
    help="Model to fit, may be repeated; default: rate, label and markov. Intervals in time (gamma, inverse_gaussian) are of cells, with --by none.",
)
@click.option(
    "--by",
    metavar="COLUMN",
    default="label",
    show_default=True,
    help="Conditions of trials, or 'none' for one condition.",
)
@options.order
@click.option(
    "--markov-order",
    type=click.IntRange(1, 8),
    default=1,
    show_default=True,
    help="Preceding bins on which a spike depends.",
)
@click.option("--windows", type=int, metavar="BINS", help="Windows of the model gain; default: all bins of an input.")
@click.option("--min-spikes", type=int, default=10, show_default=True, help="Units with fewer are of quality too_few.")
@options.observation()
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers do the work.")
@options.figure_format
@click.option("--overwrite", is_flag=True, help="Replace the folder of earlier models.")
@options.quiet
def fit(
    file: Path,
    output: Path,
    chosen: tuple[str, ...],
    by: str,
    order: str | None,
    markov_order: int,
    windows: int | None,
    min_spikes: int,
    said: Observation,
    scheduler: str | None,
    figure_format: str,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Fit models to every unit of FILE and compare them: one rate, a rate for each label, a chain, a gain, laws of intervals.

    \b
    Examples:
      ann2neo fit rec.nwb -o models
      ann2neo fit rec.nwb -o chains --model markov --markov-order 2 --by none
      ann2neo fit cells.nwb -o tuned --by orientation
      ann2neo fit cells.nwb -o intervals --model gamma --model inverse_gaussian --by none
    """
    from ann2neo.results import fit_file

    fit_file(
        file,
        output,
        chosen=chosen or None,
        by=None if by == "none" else by,
        order=order,
        markov_order=markov_order,
        windows=windows,
        min_spikes=min_spikes,
        scheduler=scheduler,
        said=said,
        figure_format=figure_format,
        overwrite=overwrite,
        progress=not quiet,
        say=say,
    )


@click.command(short_help="Make a recording of units that are nothing but a fitted model.")
@click.argument("folder", type=options.PATH)
@click.option("-o", "--output", type=options.PATH, required=True, help="File to write: .nwb, .zarr, .nix or .mat.")
@click.option(
    "--model",
    type=click.Choice(["rate", "label", "markov", "gain", "label_gain", "renewal"]),
    default="label",
    show_default=True,
    help="What the units are.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all units.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
def simulate(folder: Path, output: Path, model: str, seed: int, overwrite: bool) -> None:
    """Draw spikes from the models in FOLDER, which `ann2neo fit` wrote: same layers, same trials, and no more than the model.

    \b
    Examples:
      ann2neo simulate models -o sim.nwb
      ann2neo simulate models -o sim-markov.nwb --model markov --seed 1
    """
    from ann2neo.results import simulate_folder

    simulate_folder(folder, output, model=model, seed=seed, overwrite=overwrite, say=say)
