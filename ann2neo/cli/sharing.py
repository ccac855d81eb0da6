"""share: a folder that a stranger can use."""

from __future__ import annotations

from pathlib import Path

import click

from ann2neo.cli import options
from ann2neo.cli.terminal import say


@click.command(short_help="Make a checked bundle of a file.")
@click.argument("file", type=options.PATH)
@click.option("-o", "--output", type=options.PATH, required=True, help="Folder to make.")
@click.option("--overwrite", is_flag=True, help="Replace the folder of an earlier bundle.")
@options.quiet
def share(file: Path, output: Path, overwrite: bool, quiet: bool) -> None:
    """Make a checked bundle of FILE: NWB, report, data card, citation, checksums, the inspector's verdict.

    Nothing is uploaded. The card, README.md, says where such data can be published.

    \b
    Examples:
      ann2neo share rec.nwb -o bundle
      cd bundle && sha256sum -c SHA256SUMS
    """
    from ann2neo.sharing import share as make_bundle

    made = make_bundle(file, output, overwrite=overwrite)
    if not quiet:
        say(f"{made} is ready to share.")
