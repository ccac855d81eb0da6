"""Options that several commands have, and what is made of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ann2neo.cli.choices import read_time, read_windows
from ann2neo.cli.data_files import is_data, read_data
from ann2neo.cli.objects import load_object

Command = Callable[..., None]

PATH = click.Path(path_type=Path)

quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress bars.")
_time_unit = click.option("--time-unit", metavar="UNIT", help="Unit of the times in a text file: s, ms or us.")
_t_start = click.option(
    "--t-start", metavar="TIME", help="When observation began, such as 0s, where a file does not say it."
)
_t_stop = click.option(
    "--t-stop", metavar="TIME", help="When observation ended, such as 600s, where a file does not say it."
)
method = click.option(
    "--method",
    type=click.Choice(["bh", "by"]),
    default="bh",
    show_default=True,
    help="Correction of p values: Benjamini-Hochberg, or Benjamini-Yekutieli for any dependence.",
)
windows = click.option(
    "--windows",
    metavar="WINDOWS",
    help="In what spikes are counted: 'label', 'trial', another column or Epoch, a number of bins, a duration such as 500ms, or 'around(EVENT, -200ms, 500ms)'.",
)
within = click.option(
    "--within",
    metavar="COLUMN",
    help="Condition of trials over whose repeats the Fano factor is taken, such as orientation.",
)
order = click.option(
    "--order", type=click.Choice(["presented", "label"]), help="Order in which trials are read, for our recordings."
)
bin_size_ms = click.option("--bin-size-ms", type=float, help="Bin size of foreign spike trains that lie on a lattice.")
figure_format = click.option(
    "--format",
    "figure_format",
    type=click.Choice(["png", "pdf", "svg"]),
    default="png",
    show_default=True,
    help="Format of the files of figures.",
)
engine = click.option(
    "--engine",
    type=click.Choice(["auto", "elephant", "bulk"]),
    default="auto",
    show_default=True,
    help="What computes the measures: Elephant on spike trains, or compiled kernels (bulk) that give the same numbers sooner.",
)
layers = click.option(
    "--layers",
    multiple=True,
    metavar="PATTERN",
    help="Layers to record, or with '!' before it, to leave out; default: every activation function.",
)
threshold = click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="[PATTERN=]RULE",
    help="A number, quantile:0.9 or meansd:2, for layers that fit PATTERN (the first one that fits counts), or for all others; default: the activation's value "
    "at pre-activation 0.",
)
units = click.option(
    "--units",
    multiple=True,
    metavar="[PATTERN=]UNITS",
    help="Units to record: 0:100, ::10, 3,5,7, sample:0.01 (a share) or sample:500 (a number), with PATTERN as for --threshold; default: all.",
)
steps = click.option(
    "--steps",
    metavar="AXIS[:MASK]",
    help="Axis of the activations along which the steps of a sequence lie, or 'calls' for cells that are called step by step; each step is then a bin. "
    "MASK is the key of a mask in the batches, such as 1:attention_mask, whose ones say which steps count.",
)
verify = click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Run the first batch again to verify that each row of a layer is an input, depends on no other one, and comes out the same again.",
)
notes = click.option(
    "--note",
    "notes",
    multiple=True,
    metavar="KEY=VALUE",
    help="What you know of the recording, such as epoch=3: a number or a text, in its provenance and as a column of its table.",
)
tokenizer = click.option(
    "--tokenizer", type=PATH, metavar="FOLDER", help="Folder of the tokenizer of INPUTS that are lines of text (.txt)."
)
batch_size = click.option(
    "--batch-size", type=int, default=64, show_default=True, help="Inputs per batch, where INPUTS are not batches."
)


def measurement(command: Command) -> Command:
    """Add all that says how spikes in files are measured; the command gets it as the arguments that the library takes."""

    @functools.wraps(command)
    def called(*, windows: str | None, **others: Any) -> None:
        command(windows=read_windows(windows), **others)

    added = observation()(called)
    for option in (bin_size_ms, engine, order, within, windows):
        added = option(added)
    return added


def observation(columns: str = "--columns") -> Callable[[Command], Command]:
    """Add what is said of files that do not say it themselves; the command gets it as ``said``.

    Of several files it may be true of some only: those that say it themselves pass over it.
    """

    def add(command: Command) -> Command:
        @functools.wraps(command)
        def called(
            *, time_unit: str | None, t_start: str | None, t_stop: str | None, text_columns: str | None, **others: Any
        ) -> None:
            from ann2neo.formats.observation import Observation

            n_files = len(others.get("files", ())) + len(others.get("against", ()))
            said = Observation(
                time_unit=time_unit,
                t_start=read_time(t_start, "--t-start"),
                t_stop=read_time(t_stop, "--t-stop"),
                columns=text_columns,
                strict=n_files <= 1,
            )
            command(said=said, **others)

        of_text = click.option(
            columns,
            "text_columns",
            metavar="COLUMNS",
            help="What the columns of a text file are: trains (a line per unit), time, 'unit,time' or 'time,unit'.",
        )
        added = called
        for option in (of_text, _t_stop, _t_start, _time_unit):
            added = option(added)
        return added

    return add


def read_steps(given: str | None) -> Any:
    """Make steps of the number of an axis, or of "calls", with the mask that says which steps count."""
    from ann2neo.capture import Steps

    if given is None:
        return None
    axis, colon, mask = given.partition(":")
    if (axis != "calls" and not axis.removeprefix("-").isdecimal()) or (colon and not mask):
        raise click.BadParameter(
            f"{given!r} is not an axis: use a number such as 1, or calls; a mask comes after it, as in 1:attention_mask.",
            param_hint="--steps",
        )
    return Steps("calls" if axis == "calls" else int(axis), lengths=mask or None)


def read_inputs(reference: str, size: int, *, tokenizer: Path | None = None) -> Any:
    """Load inputs of a file of data or of Python, which are cut into batches of this size if they are not batches."""
    from ann2neo.capture import Inputs

    if is_data(reference):
        return read_data(reference, batch_size=size, tokenizer=tokenizer)
    data = load_object(reference, "inputs")
    return data if isinstance(data, Inputs) else Inputs(data, batch_size=size)
