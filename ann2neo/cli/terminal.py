"""What is written to a terminal: text of files, which may hold anything, without what steers the terminal."""

from __future__ import annotations

import sys

import click


def say(text: str, *, err: bool = False) -> None:
    """Write lines; a letter that cannot be shown, in this terminal or in any, is written as its code."""
    shown = printable(text)
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    click.echo(shown.encode(encoding, "backslashreplace").decode(encoding), err=err)


def silent(text: str) -> None:
    """Leave the output to what is printed at the end."""


def printable(text: str) -> str:
    """Write letters that steer a terminal, and halves of letters, as their codes; ends of lines and tabs stay.

    Names of layers and of files come from the author of the file: an escape in one of them could rename the window, or hide what stands beside it.

    Examples
    --------
    >>> print(printable("fc\\x1b]0;owned\\x07 \\udcff ☃"))
    fc\\x1b]0;owned\\x07 \\udcff ☃
    """
    return "".join(letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1] for letter in text)
