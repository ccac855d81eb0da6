"""The command line: the same functions as the library, one command each."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ann2neo.errors import Ann2NeoError, FormatError, InputsError, ModelError

if TYPE_CHECKING:
    from ann2neo.recording import Recording

OUTPUT = click.Path(path_type=Path)
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run a command; an error of ours is a message and exit code 2, never a traceback."""
    try:
        commands(standalone_mode=False)
    except Ann2NeoError as error:
        click.echo("\n".join(filter(None, [f"{type(error).__name__}: {error}", _notes(error)])), err=True)
        sys.exit(EXIT_BAD_INPUT)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_BAD_INPUT)
    except (KeyboardInterrupt, click.Abort) as interruption:
        kept = _notes(interruption.__cause__ or interruption) or "no unfinished file was left behind."
        click.echo(f"Interrupted: {kept}", err=True)
        sys.exit(EXIT_INTERRUPTED)


def _notes(error: BaseException) -> str:
    """What is said of an error beside its message, such as what a store keeps."""
    return "\n".join(getattr(error, "__notes__", []))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ann2neo")
def commands() -> None:
    """Export activations of neural networks as spike trains, analyze them with Elephant, share them."""


@commands.command()
@click.option("-o", "--output", type=OUTPUT, required=True, help="Folder to make.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of weights, labels and split.")
@click.option("--overwrite", is_flag=True, help="Replace the folder of an earlier demo.")
@click.option("--quiet", is_flag=True, help="Show no progress bars.")
def demo(output: Path, seed: int, overwrite: bool, quiet: bool) -> None:
    """Train small networks on real digits; export, analyze and share their activations; write one report."""
    from ann2neo.demo import run_demo

    run_demo(output, seed=seed, overwrite=overwrite, progress=not quiet, say=click.echo)


@commands.command()
@click.argument("model")
@click.argument("inputs")
@click.option("-o", "--output", type=OUTPUT, required=True, help="File to write: .nwb, .nix or .zarr.")
@click.option(
    "--layers", multiple=True, metavar="PATTERN", help="Layers to record; default: every activation function."
)
@click.option("--threshold", type=float, help="Threshold; default: the activation's value at pre-activation 0.")
@click.option("--weights", type=click.Path(path_type=Path), help="State dict to load into the model (never unpickled).")
@click.option(
    "--batch-size", type=int, default=64, show_default=True, help="Inputs per batch, where INPUTS are no batches."
)
@click.option("--bin-size-ms", type=float, default=1.0, show_default=True, help="Pseudo-time of an input.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@click.option("--quiet", is_flag=True, help="Show no progress bar.")
def export(
    model: str,
    inputs: str,
    output: Path,
    layers: tuple[str, ...],
    threshold: float | None,
    weights: Path | None,
    batch_size: int,
    bin_size_ms: float,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Record MODEL over INPUTS: each is package.module:name or file.py:name, an object or a function that gives it.

    An interrupted export into a .zarr store goes on with the same command. Several processes share one store: torchrun --nproc-per-node 2 -m ann2neo export ...
    """
    from ann2neo import capture
    from ann2neo.capture.distributed import world

    rank, _ = world()
    network = _with_weights(_load_object(model, "model"), weights)
    data = _load_object(inputs, "inputs")
    data = data if isinstance(data, capture.Inputs) else capture.Inputs(data, batch_size=batch_size)
    recording = capture.export(
        network,
        data,
        output,
        overwrite=overwrite,
        layers=list(layers) or None,
        threshold=threshold,
        bin_size_ms=bin_size_ms,
        progress=not quiet and rank == 0,
    )
    if rank == 0:
        click.echo(f"{output}: {recording}")


@commands.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OUTPUT, required=True, help="Folder to make, for tables, figures and a report.")
@click.option("--windows", help="'label', 'trial', any other column, a number of bins, or a duration such as 500ms.")
@click.option("--order", type=click.Choice(["presented", "label"]), help="Order of trials, for our recordings.")
@click.option("--engine", type=click.Choice(["auto", "elephant", "bulk"]), default="auto", show_default=True)
@click.option("--bin-size-ms", type=float, help="Bin size of foreign spike trains that lie on a lattice.")
@click.option(
    "--over",
    type=click.Choice(["windows", "passes"]),
    default="windows",
    show_default=True,
    help="Fano factor over what.",
)
@click.option("--min-spikes", type=int, default=10, show_default=True, help="Units with fewer are of quality too_few.")
@click.option("--tests", is_flag=True, help="Add p values of dispersion, runs, intervals and trend.")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers do the work, such as tcp://127.0.0.1:8786."
)
@click.option("--overwrite", is_flag=True, help="Replace the folder of an earlier analysis.")
@click.option("--quiet", is_flag=True, help="Show no progress bars.")
def analyze(
    files: tuple[Path, ...],
    output: Path,
    windows: str | None,
    order: str | None,
    engine: str,
    bin_size_ms: float | None,
    over: str,
    min_spikes: int,
    tests: bool,
    scheduler: str | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Measure every unit in FILES: ours, or any that neo can read, biological ones too."""
    from ann2neo.results import analyze_files

    analyze_files(
        files,
        output,
        windows=_windows(windows),
        order=order,
        engine=engine,
        bin_size_ms=bin_size_ms,
        over=over,
        min_spikes=min_spikes,
        tests=tests,
        scheduler=scheduler,
        overwrite=overwrite,
        progress=not quiet,
        say=click.echo,
    )


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OUTPUT, required=True, help="Folder to make.")
@click.option("--overwrite", is_flag=True, help="Replace the folder of an earlier bundle.")
def share(file: Path, output: Path, overwrite: bool) -> None:
    """Make a checked bundle of FILE: NWB, data card, checksums, the inspector's verdict."""
    from ann2neo.sharing import share as make_bundle

    click.echo(f"{make_bundle(file, output, overwrite=overwrite)} is ready to share.")


@commands.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--model", help="Instead of a file: a model whose layers are listed, as for `export`.")
@click.option("--inputs", help="Inputs for --model.")
@click.option("--columns", is_flag=True, help="Instead of a file: what each column of the tables is.")
def info(file: Path | None, model: str | None, inputs: str | None, columns: bool) -> None:
    """Say what is in FILE, what `export` would record of a model, or what a column of a table is."""
    if columns:
        from ann2neo.analysis.columns import handbook

        click.echo(handbook())
    elif file is not None:
        from ann2neo.formats.foreign import read_spikes

        click.echo(_describe(read_spikes(file)))
    elif model and inputs:
        from ann2neo.capture import plan

        table = plan(_load_object(model, "model"), _load_object(inputs, "inputs"))
        click.echo(table.to_string(index=False))
        size = "" if table["bytes"].isna().any() else f", {table['bytes'].sum():,.0f} bytes as bits"
        click.echo(f"{table['units'].sum()} units{size}")
    else:
        raise click.UsageError("Give a FILE, --model and --inputs, or --columns.")


def _describe(found: Recording | list[Any]) -> str:
    """List layers, trials and provenance of a recording, or segments and trains of foreign Blocks."""
    if isinstance(found, list):
        lines = [
            f"Block {number}, Segment {index}: {len(segment.spiketrains)} spike trains, {segment.t_start} to {segment.t_stop}, "
            f"epochs {[epoch.name for epoch in segment.epochs]}"
            for number, block in enumerate(found)
            for index, segment in enumerate(block.segments)
        ]
        return "\n".join(["not an ann2neo file; neo reads:", *lines])
    lines = [repr(found), "", "layers (units, shape, spikes per bin)"]
    for layer in found.layers:
        p_spike = layer.raster.n_spikes().sum() / max(layer.n_units * found.n_bins, 1)
        lines.append(f"  {layer.name}: {layer.n_units}, {layer.shape}, {p_spike:.3f}")
    lines += ["", f"trials: {len(found.trials)}, columns {', '.join(found.trials.columns)}", "", "provenance"]
    return "\n".join(lines + [f"  {key}: {value}" for key, value in found.provenance.items()])


def _windows(text: str | None) -> Any:
    """Read what stands for windows: a name, a number of bins, or a duration with its unit."""
    if text is None or text.isidentifier():
        return text
    if text.isdigit():
        return int(text)
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    try:
        import quantities as pq

        return float(number) * pq.Quantity(1.0, text[len(number) :].strip())
    except (ValueError, LookupError) as error:
        raise click.BadParameter(
            f"{text!r} is no name, number of bins or duration such as 500ms.", param_hint="--windows"
        ) from error


def _load_object(reference: str, what: str) -> Any:
    """Import ``package.module:name`` or ``file.py:name``; a function without arguments is called."""
    place, _, name = reference.rpartition(":")
    if not place or not name.isidentifier():
        raise InputsError(
            f"{what} {reference!r} is not of the form package.module:name or file.py:name.",
            "Nothing was loaded.",
            "Write it so.",
        )
    module = _import(place)
    if not hasattr(module, name):
        raise InputsError(
            f"{place} has no {name!r}.", "Nothing was loaded.", f"Define the {what} there under this name."
        )
    found = getattr(module, name)
    return found() if _is_factory(found) else found


def _is_factory(found: Any) -> bool:
    """Whether it is a function or class to be called, rather than the model or the data themselves."""
    import torch

    return isinstance(found, type) or (
        isinstance(found, Callable) and not isinstance(found, torch.nn.Module) and not hasattr(found, "__iter__")
    )


def _import(place: str) -> Any:
    if not place.endswith(".py"):
        sys.path.insert(0, str(Path.cwd()))
        try:
            return importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise InputsError(
                f"there is no module {place!r} ({error}).",
                "Nothing was loaded.",
                "Check the name, or give file.py:name.",
            ) from error
        finally:
            sys.path.pop(0)
    path = Path(place)
    if not path.is_file():
        raise FormatError(f"there is no file {path}.", "Nothing was loaded.", "Check the name and the folder.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InputsError(f"{path} cannot be imported.", "Nothing was loaded.", "Give a Python file.")
    module = importlib.util.module_from_spec(spec)
    # Workers of a DataLoader find the classes of the file under this name.
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _with_weights(model: Any, weights: Path | None) -> Any:
    """Load a state dict without unpickling anything else."""
    if weights is None:
        return model
    import torch

    if not weights.is_file():
        raise FormatError(f"there is no file {weights}.", "The model has no weights.", "Check the name and the folder.")
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    # A file of anything else fails in as many ways as there are files.
    except Exception as error:
        raise FormatError(
            f"{weights} is no file of weights alone ({type(error).__name__}).",
            "Whole models and other objects are never unpickled: that would run code of the file.",
            "Save the weights with torch.save(model.state_dict(), ...) and give that file.",
        ) from error
    try:
        model.load_state_dict(state.get("state_dict", state))
    # torch reports what does not fit with many kinds of exceptions.
    except Exception as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{weights} does not fit {type(model).__name__}: {first_line}",
            "The model has no weights.",
            "Give a state dict of this model.",
        ) from error
    return model
