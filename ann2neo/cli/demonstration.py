"""demo: all of it on small networks."""

from __future__ import annotations

from pathlib import Path

import click

from ann2neo.cli import options
from ann2neo.cli.terminal import say


@click.command(short_help="See all of it on small networks and real digits.")
@click.option("-o", "--output", type=options.PATH, required=True, help="Folder to make.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of weights, labels and split."
)
@options.figure_format
@click.option("--overwrite", is_flag=True, help="Replace the folder of an earlier demo.")
@options.quiet
def demo(output: Path, seed: int, figure_format: str, overwrite: bool, quiet: bool) -> None:
    """Train small networks on real digits; export, analyze and share their activations; write one report.

    \b
    Examples:
      ann2neo demo -o demo
    """
    from ann2neo.demo import run_demo

    run_demo(output, seed=seed, figure_format=figure_format, overwrite=overwrite, progress=not quiet, say=say)
