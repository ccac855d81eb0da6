"""export: from a model to a file."""

from __future__ import annotations

from pathlib import Path

import click

from ann2neo.cli import options
from ann2neo.cli.choices import read_notes, read_thresholds, read_units
from ann2neo.cli.objects import load_object
from ann2neo.cli.terminal import say
from ann2neo.cli.weights import with_weights


@click.command(short_help="Record a model over inputs into a file.")
@click.argument("model")
@click.argument("inputs")
@click.option("-o", "--output", type=options.PATH, required=True, help="File to write: .nwb, .nix, .mat or .zarr.")
@options.layers
@options.threshold
@click.option(
    "--calibrate",
    metavar="INPUTS",
    help="Inputs on which quantile: and meansd: are computed, given as INPUTS are; default: INPUTS themselves.",
)
@options.units
@options.steps
@click.option("--passes", type=click.IntRange(1), help="Run through the inputs so often, with dropout active.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the passes.")
@click.option(
    "--weights",
    type=options.PATH,
    help="State dict to load into the model, alone or the only one of a dictionary, also of a data-parallel or compiled wrapper (never unpickled).",
)
@options.batch_size
@options.verify
@click.option("--bin-size-ms", type=float, default=1.0, show_default=True, help="Pseudo-time of an input.")
@options.notes
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace the file, or a store that holds another recording; an identical one that was interrupted is resumed.",
)
@options.quiet
def export(
    model: str,
    inputs: str,
    output: Path,
    layers: tuple[str, ...],
    thresholds: tuple[str, ...],
    calibrate: str | None,
    units: tuple[str, ...],
    steps: str | None,
    passes: int | None,
    seed: int,
    weights: Path | None,
    batch_size: int,
    verify: bool,
    bin_size_ms: float,
    notes: tuple[str, ...],
    overwrite: bool,
    quiet: bool,
) -> None:
    """Record MODEL over INPUTS: each is package.module:name or file.py:name, an object or a function that gives it.

    An interrupted export into a .zarr store goes on with the same command. Several processes share one store.

    \b
    Examples:
      ann2neo export nets.py:model nets.py:inputs -o rec.nwb --weights trained.pt
      ann2neo export nets.py:model nets.py:inputs -o rec.zarr --threshold quantile:0.9 --threshold 'fc*=0.5'
      ann2neo export nets.py:model nets.py:inputs -o rec.nwb --layers 'features.*' --units 'features.0=sample:0.01'
      ann2neo export nets.py:lstm nets.py:sentences -o rec.zarr --layers lstm --steps 1:attention_mask
      torchrun --nproc-per-node 2 -m ann2neo export nets.py:model nets.py:inputs -o rec.zarr
    """
    from ann2neo import capture
    from ann2neo.capture.distributed import world

    rank, _ = world()
    chosen, along, known = read_units(units), options.read_steps(steps), read_notes(notes)
    read_thresholds(thresholds, on=None)  # what is written wrongly is said before anything is loaded
    network = with_weights(load_object(model, "model"), weights)
    data = options.read_inputs(inputs, batch_size)
    on = data if calibrate is None else options.read_inputs(calibrate, batch_size)
    recording = capture.export(
        network,
        data,
        output,
        overwrite=overwrite,
        layers=list(layers) or None,
        threshold=read_thresholds(thresholds, on=on),
        units=chosen,
        steps=along,
        passes=None if passes is None else capture.Passes(passes, seed=seed),
        bin_size_ms=bin_size_ms,
        notes=known,
        verify=verify,
        progress=not quiet and rank == 0,
    )
    if rank == 0:
        say(f"{output}: {recording}")
