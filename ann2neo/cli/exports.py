"""export: from a model to a file."""

from __future__ import annotations

from glob import glob
from pathlib import Path

import click

from ann2neo.cli import options
from ann2neo.cli.architectures import load_model
from ann2neo.cli.choices import read_layers, read_notes, read_thresholds, read_units
from ann2neo.cli.placement import moved, pictures_of
from ann2neo.cli.terminal import say
from ann2neo.cli.weights import with_weights
from ann2neo.errors import FormatError


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
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the passes.")
@click.option(
    "--weights",
    help="State dict to load into the model, alone or the only one of a dictionary, also of a data-parallel or compiled wrapper (never unpickled): a file of torch or "
    "Lightning, .safetensors, or a folder of these. A pattern in quotes, 'ck*.pt', makes a recording of each file, named after it, with the note weights=NAME.",
)
@click.option(
    "--prefix",
    default="",
    help="What stands before the model's names in the file, such as net. in a checkpoint of Lightning.",
)
@options.tokenizer
@click.option("--device", help="Where the model runs, such as cuda; default: where it is.")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64", "float16", "bfloat16"]),
    help="Type of weights and inputs; default: theirs.",
)
@click.option("--images", is_flag=True, help="Keep the inputs, which are pictures, in the NWB file.")
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
    weights: str | None,
    prefix: str,
    tokenizer: Path | None,
    device: str | None,
    dtype: str | None,
    images: bool,
    batch_size: int,
    verify: bool,
    bin_size_ms: float,
    notes: tuple[str, ...],
    overwrite: bool,
    quiet: bool,
) -> None:
    """Record MODEL over INPUTS: each is package.module:name or file.py:name, an object or a function that gives it.

    MODEL is also timm:NAME, torchvision:NAME or hf:FOLDER; INPUTS are also x.npy (or x.npy,y.npy), .npz, IDX files, a .csv with a column label, a folder of pictures, a data set of
    Hugging Face on the disk, or lines of text with --tokenizer. Nothing is downloaded.

    An interrupted export into a .zarr store goes on with the same command. Several processes share one store.

    \b
    Examples:
      ann2neo export nets.py:model nets.py:inputs -o rec.nwb --weights trained.pt
      ann2neo export nets.py:model nets.py:inputs -o rec.zarr --threshold quantile:0.9 --threshold 'fc*=0.5'
      ann2neo export nets.py:model nets.py:inputs -o rec.nwb --layers 'features.*' --units 'features.1=sample:0.01'
      ann2neo export nets.py:lstm nets.py:sentences -o rec.zarr --layers lstm --steps 1:attention_mask
      ann2neo export nets.py:model digits.npz -o sweep.zarr --weights 'ck*.pt'
      torchrun --nproc-per-node 2 -m ann2neo export nets.py:model nets.py:inputs -o rec.zarr
    """
    from ann2neo import capture
    from ann2neo.capture.distributed import world

    rank, _ = world()
    chosen, along, known = read_units(units), options.read_steps(steps), read_notes(notes)
    read_thresholds(thresholds, on=[])  # what is written wrongly is said before anything is loaded
    data = options.read_inputs(inputs, batch_size, tokenizer=tokenizer)
    on = data if calibrate is None else options.read_inputs(calibrate, batch_size, tokenizer=tokenizer)
    shown = pictures_of(data) if images else None
    for path, target, more in _runs(weights, output):
        network = with_weights(load_model(model, seed=seed, weighted=path is not None), path, prefix=prefix)
        network, placed = moved(network, data, device, dtype)
        recording = capture.export(
            network,
            placed,
            target,
            overwrite=overwrite,
            images=shown,
            layers=read_layers(layers),
            threshold=read_thresholds(thresholds, on=moved(network, on, device, dtype)[1]),
            units=chosen,
            steps=along,
            passes=None if passes is None else capture.Passes(passes, seed=seed),
            bin_size_ms=bin_size_ms,
            notes=known | more,
            verify=verify,
            progress=not quiet and rank == 0,
        )
        if rank == 0:
            say(f"{target}: {recording}")


def _runs(weights: str | None, output: Path) -> list[tuple[Path | None, Path, dict[str, str]]]:
    """List weights, file and notes of each recording: one, or one for each file that fits a pattern."""
    if weights is None or Path(weights).exists() or not set(weights) & set("*?["):
        return [(None if weights is None else Path(weights), output, {})]
    found = [Path(path) for path in sorted(glob(weights))]
    if not found:
        raise FormatError(f"no file fits {weights!r}.", "There are no weights.", "Check the pattern and the folder.")
    targets = [output.with_name(f"{output.stem}-{path.stem}{output.suffix}") for path in found]
    if len(set(targets)) < len(targets):
        raise FormatError(
            f"files that fit {weights!r} have one name.",
            "Their recordings would overwrite one another.",
            "Rename them, or export them one by one.",
        )
    return [(path, target, {"weights": path.stem}) for path, target in zip(found, targets)]
