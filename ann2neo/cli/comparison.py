"""compare: what tells two kinds of networks apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import click

from ann2neo.cli import options
from ann2neo.cli.records import as_json, of_table, to_json
from ann2neo.cli.terminal import say, silent

# Each takes all files that follow it, as shells expand patterns into them.
GROUPS = ("--against", "--mine", "--indicators")


class ManyFiles(click.Command):
    """A command in which an option of a group takes all files up to the next option, not just one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each of its files."""
        return super().parse_args(ctx, repeated(args))


def repeated(args: Sequence[str]) -> list[str]:
    """Write an option of a group before each file that follows it; a lone ``--`` ends the group.

    Examples
    --------
    >>> repeated(["a", "--against", "b", "c", "--seed", "1"])
    ['a', '--against', 'b', '--against', 'c', '--seed', '1']
    """
    result: list[str] = []
    group = ""
    for arg in args:
        if arg in GROUPS:
            group = arg
        elif arg.startswith("-"):
            group = ""
            result.append(arg)
        else:
            result += [group, arg] if group else [arg]
    return result


@click.command(cls=ManyFiles, short_help="Say what tells two kinds of networks apart.")
@click.argument("files", nargs=-1, required=True, type=options.PATH)
@click.option(
    "--against", multiple=True, required=True, type=options.PATH, metavar="FILES...", help="Networks of the other kind."
)
@click.option("--mine", multiple=True, type=options.PATH, metavar="FILES...", help="Networks to place between the two.")
@click.option(
    "--names",
    nargs=2,
    default=("first", "second"),
    show_default=True,
    metavar="NAME NAME",
    help="What the two kinds are called, such as memorizing generalizing.",
)
@click.option("-o", "--output", type=options.PATH, help="Folder to make, for table, figure and a report.")
@options.measurement
@options.method
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of permutations, where they are drawn.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="Corrected p up to which a difference counts.",
)
@click.option(
    "--indicators",
    multiple=True,
    metavar="NAMES...",
    help="Columns of a summary to compare, such as cv_mean lv_mean.  [default: the usual ones]",
)
@options.figure_format
@click.option("--overwrite", is_flag=True, help="Replace the folder of an earlier comparison.")
@as_json
@options.quiet
def compare(
    files: tuple[Path, ...],
    against: tuple[Path, ...],
    mine: tuple[Path, ...],
    names: tuple[str, str],
    output: Path | None,
    method: Literal["bh", "by"],
    seed: int,
    alpha: float,
    indicators: tuple[str, ...],
    figure_format: str,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    **how: Any,
) -> None:
    """Compare two kinds of networks: FILES against others, one file per network, which is the replicate.

    Files are tables that `ann2neo analyze` wrote (.csv, .parquet; of units, summaries, all-sources) or recordings, which are analyzed first. A network that
    several of these tables hold counts once.

    \b
    Examples:
      ann2neo compare mem*.nwb --against gen*.nwb --names memorizing generalizing -o contrast
      ann2neo compare mem/*.csv --against gen/*.csv --mine rec.csv --method by --seed 1
    """
    from ann2neo.results import compare_files

    if "mine" in names or names[0] == names[1] or not all(names) or any(name.startswith("-") for name in names):
        raise click.BadParameter(f"{names[0]!r} and {names[1]!r}: give two names, not 'mine'.", param_hint="--names")
    groups = {names[0]: files, names[1]: against} | ({"mine": mine} if mine else {})
    found = compare_files(
        groups,
        output,
        method=method,
        seed=seed,
        alpha=alpha,
        indicators=indicators or None,
        figure_format=figure_format,
        overwrite=overwrite,
        progress=not quiet,
        say=silent if as_json else say,
        **how,
    )
    if as_json:
        say(to_json(of_table(found)))
