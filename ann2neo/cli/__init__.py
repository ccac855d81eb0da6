"""The command line: the same functions as the library, one command each."""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ann2neo import __version__
from ann2neo.cli.analysis import analyze
from ann2neo.cli.bundle import share
from ann2neo.cli.collection import collect
from ann2neo.cli.comparison import compare
from ann2neo.cli.contents import info
from ann2neo.cli.demonstration import demo
from ann2neo.cli.exports import export
from ann2neo.cli.frames import user_frames
from ann2neo.cli.models import fit, simulate
from ann2neo.cli.raster import browse
from ann2neo.cli.terminal import say
from ann2neo.errors import Ann2NeoError, Ann2NeoWarning

__all__ = ["commands", "main"]

EXIT_USER_CODE = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_ENDED = 143


def main() -> None:
    """Run a command; an error of ours is a message and exit code 2, one of the user's code ends in its last lines, never a long traceback."""
    signal.signal(signal.SIGTERM, _end)
    try:
        commands(standalone_mode=False)
    except Ann2NeoError as error:
        say("\n".join(filter(None, [f"{type(error).__name__}: {error}", _notes(error)])), err=True)
        sys.exit(EXIT_BAD_INPUT)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_BAD_INPUT)
    except (KeyboardInterrupt, click.Abort) as interruption:
        cause = interruption.__cause__ or interruption
        kept = _notes(cause) or "no unfinished file was left."
        ended = any(isinstance(one, Terminated) for one in (interruption, cause, interruption.__context__))
        say(f"{'Ended' if ended else 'Interrupted'}: {kept}", err=True)
        sys.exit(EXIT_ENDED if ended else EXIT_INTERRUPTED)
    except Exception as error:
        frames = user_frames(error)
        if not frames:
            raise
        say(
            "\n".join(
                [f"{type(error).__name__}: {error}", "Your own code or model raised it, or called what did:", *frames]
            ),
            err=True,
        )
        sys.exit(EXIT_USER_CODE)


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), as a scheduler does: it cleans up as after Ctrl-C."""


def _end(number: int, frame: object) -> None:
    raise Terminated


def _notes(error: BaseException) -> str:
    """What is said of an error beside its message, such as what a store keeps."""
    return "\n".join(getattr(error, "__notes__", []))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="ann2neo")
@click.pass_context
def commands(context: click.Context) -> None:
    """Export activations of neural networks as spike trains, analyze them with Elephant, share them.

    \b
    Examples:
      ann2neo demo -o demo                                   see it all on small networks
      ann2neo export nets.py:model nets.py:inputs -o rec.nwb
      ann2neo analyze rec.nwb -o results
      ann2neo compare mem*.nwb --against gen*.nwb -o contrast
      ann2neo collect sweep/*.zarr -o sweep.csv
      ann2neo fit rec.nwb -o models
      ann2neo share rec.nwb -o bundle
      ann2neo browse rec.nwb                                 zoom into the spikes, in a web browser
    """
    context.with_resource(_plain_warnings())


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Write a warning of ours as its message, once, without the line of the program that raised it."""
    usual = warnings.showwarning
    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, Ann2NeoWarning):
            if str(message) not in told:
                say(f"{category.__name__}: {message}", err=True)
            told.add(str(message))
        else:
            usual(message, category, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual


for command in (demo, export, analyze, collect, compare, fit, simulate, share, browse, info):
    commands.add_command(command)
