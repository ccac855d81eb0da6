"""browse: a raster in which one zooms, as a page or served on this computer."""

from __future__ import annotations

import time
import webbrowser
from pathlib import Path

import click

from ann2neo.cli import options
from ann2neo.cli.terminal import say


@click.command(short_help="Zoom into the spikes of a file, in a web browser.")
@click.argument("file", type=options.PATH)
@click.option("-o", "--output", type=options.PATH, help="Page to write, with all spikes inside; default: serve FILE.")
@click.option("--overwrite", is_flag=True, help="Replace a page that is there.")
@click.option("--layers", multiple=True, metavar="PATTERN", help="Layers to show; default: all.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to serve at; default: any that is free.")
@click.option("--open", "opened", is_flag=True, help="Open the page in the web browser of this computer.")
@click.option("--by", metavar="COLUMN", help="Condition of the trials of cells; default: the first Epoch.")
@options.quiet
def browse(
    file: Path,
    output: Path | None,
    overwrite: bool,
    layers: tuple[str, ...],
    port: int,
    opened: bool,
    by: str | None,
    quiet: bool,
) -> None:
    """Show the spikes of FILE, of a network or of cells, as a raster in which one zooms.

    With -o, one page that needs no other file and no network is written, for up to 32 MiB of packed bits. Without it FILE, of any size, is served to web browsers on this
    computer until Ctrl-C. A page of cells holds up to 8 million spikes.

    \b
    Examples:
      ann2neo browse rec.nwb -o raster.html
      ann2neo browse rec.zarr
      ann2neo browse rec.zarr --layers 'features.*' --open
      ann2neo browse cells.nwb --by orientation -o cells.html
    """
    from ann2neo.formats.laboratory import read_block, read_spikes
    from ann2neo.recording import Recording
    from ann2neo.viewer import browse as browse_spikes

    found = read_spikes(file)
    if not isinstance(found, Recording):
        if layers:
            raise click.BadParameter("cells have no layers: leave it out.", param_hint="--layers")
        shown = browse_spikes(found[0] if len(found) == 1 else read_block(file), by=by)
    else:
        shown = browse_spikes(found.select(layers=list(layers)) if layers else found, by=by)
    if output is not None:
        address = shown.save(output, overwrite=overwrite).absolute().as_uri()
        say(f"{output} is ready.")
    else:
        address = shown.serve(port=port, progress=not quiet)
        say(f"{file} is served at {address} until Ctrl-C.")
    if opened:
        webbrowser.open(address)
    try:
        while output is None:
            time.sleep(3600)
    finally:
        shown.close()
