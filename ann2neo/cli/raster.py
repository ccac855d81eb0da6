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
@options.quiet
def browse(
    file: Path, output: Path | None, overwrite: bool, layers: tuple[str, ...], port: int, opened: bool, quiet: bool
) -> None:
    """Show the spikes of FILE, which `export` or `save` wrote, as a raster in which one zooms.

    With -o, one page that needs no other file and no network is written, for up to 32 MiB of packed bits. Without it FILE, of any size, is served to web browsers on this
    computer until Ctrl-C.

    \b
    Examples:
      ann2neo browse rec.nwb -o raster.html
      ann2neo browse rec.zarr
      ann2neo browse rec.zarr --layers 'features.*' --open
    """
    from ann2neo.formats import load
    from ann2neo.viewer import Browser

    recording = load(file)
    shown = Browser(recording=recording.select(layers=list(layers)) if layers else recording)
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
