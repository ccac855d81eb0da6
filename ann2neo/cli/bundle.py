"""share: a folder that a stranger can use."""

from __future__ import annotations

from pathlib import Path

import click

from ann2neo.cli import options
from ann2neo.cli.terminal import say


@click.command(short_help="Make a checked bundle of a file.")
@click.argument("file", type=options.PATH)
@click.option("-o", "--output", type=options.PATH, help="Folder to make.")
@click.option(
    "--metadata",
    type=options.PATH,
    metavar="YAML",
    help="What only you know: title, description, authors, license (SPDX), contact, experimenter, institution, lab, keywords, subject, session, doi.",
)
@click.option(
    "--seal", "again", is_flag=True, help="FILE is a bundle whose texts were edited: list its check sums again."
)
@click.option("--overwrite", is_flag=True, help="Replace the folder of an earlier bundle.")
@options.quiet
def share(file: Path, output: Path | None, metadata: Path | None, again: bool, overwrite: bool, quiet: bool) -> None:
    """Make a checked bundle of FILE: NWB, report, data card, citation, checksums, the inspector's verdict.

    Nothing is uploaded. The card, README.md, says where such data can be published.

    \b
    Examples:
      ann2neo share rec.nwb -o bundle
      ann2neo share rec.nwb -o bundle --metadata meta.yaml --overwrite
      ann2neo share bundle --seal
      cd bundle && sha256sum -c SHA256SUMS
    """
    from ann2neo import sharing

    if again == (output is not None):
        raise click.UsageError("Give -o FOLDER to make a bundle of FILE, or --seal where FILE is a bundle.")
    if output is None:
        changed = sharing.seal(file)
        say(f"{file} is sealed; changed since: {', '.join(changed) or 'nothing'}.")
        return
    made = sharing.share(file, output, metadata=metadata, overwrite=overwrite)
    if not quiet:
        say(f"{made} is ready to share.")
