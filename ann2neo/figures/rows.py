"""Rows: layers one below another, with short names, what is to be known of each at the right, and a height that grows with their number."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

# Heights in inches: of a row by the number of rows, of what stands above and below them, and of the highest image that can be rendered.
ROW_INCHES = ((8, 0.5), (20, 0.34), (60, 0.25), (1 << 30, 0.19))
FRAME_INCHES, MOST_INCHES = 1.5, 300.0
# Rows from which on letters are small, and the longest name that is written whole.
MANY_ROWS, MAX_LETTERS = 20, 26
# Width of a letter of an axis label, and what of the height of a figure it must not take.
LETTER_INCHES, LABEL_INCHES = 0.1, 0.8
# Letters of a name for which every figure has room, and the width of each further one.
ROOM_LETTERS, NAME_INCHES = 8, 0.085


def height_of(n_rows: int, *, frame: float = FRAME_INCHES) -> float:
    """Compute the height in inches of a figure with a number of rows.

    Examples
    --------
    >>> [round(height_of(n), 1) for n in (2, 17, 150)]
    [2.5, 7.3, 30.0]
    """
    inches = next(inches for at_most, inches in ROW_INCHES if n_rows <= at_most)
    return min(frame + inches * max(n_rows, 2), MOST_INCHES)


def width_of(names: Sequence[str], inches: float) -> float:
    """Compute the width in inches of a figure whose rows have these names: long ones do not take from the axes.

    Examples
    --------
    >>> [round(width_of([name], 6.0), 1) for name in ("fc1", "module.with_a_long_name", "一二三四五六七八九十")]
    [6.0, 7.3, 7.0]
    """
    longest = max((_n_cells(name) for name in short_names(names)[1]), default=0)
    return inches + NAME_INCHES * max(0, longest - ROOM_LETTERS)


def _n_cells(name: str) -> int:
    """Count the letters of a name; those of East Asian scripts and emoji are two letters wide."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in name)


def short_names(names: Sequence[str]) -> tuple[str, list[str]]:
    """Cut off the modules that all names begin with, and the middle of what is still long, as long as names differ.

    Parameters
    ----------
    names
        Names of layers; "network", the row that pools them all, has no part in it.

    Returns
    -------
    tuple
        What all names begin with, and the short names.

    Examples
    --------
    >>> short_names(["encoder.layers.0.act", "encoder.layers.1.act:1", "network"])
    ('encoder.layers.', ['0.act', '1.act:1', 'network'])
    >>> short_names(["fc1", "fc2"]), short_names(["encoder.act"])
    (('', ['fc1', 'fc2']), ('', ['encoder.act']))
    """
    parts = [name.split(".")[:-1] for name in names if name != "network"]
    shared = 0
    if len(parts) > 1:
        while all(len(part) > shared for part in parts) and len({part[shared] for part in parts}) == 1:
            shared += 1
    prefix = "".join(f"{part}." for part in parts[0][:shared]) if shared else ""
    cut = [name if name == "network" else name[len(prefix) :] for name in names]
    return prefix, shortened(cut)


def shortened(names: Sequence[str], letters: int = MAX_LETTERS) -> list[str]:
    """Cut out of long names what tells the least, so that names that differ still do.

    A name keeps its beginning and its end; where these are shared, it keeps what is around its first difference, and if that does not tell names apart either, its
    number is written in front.

    Parameters
    ----------
    names
        Names of layers, units or labels; equal ones stay equal.
    letters
        Length up to which a name is kept whole.

    Examples
    --------
    >>> shortened(["fc", "a_name_of_sixteen", "another_long_name"], 10)
    ['fc', 'a_n…ixteen', 'ano…g_name']
    >>> shortened(["class number 1, a digit", "class number 2, a digit"], 10)
    ['…ber 1, a…', '…ber 2, a…']
    """
    names = [_on_one_line(name) for name in names]
    wanted = len(set(names))
    ends = [_ends(name, letters) for name in names]
    alike: dict[str, set[str]] = {}
    for name, short in zip(names, ends):
        alike.setdefault(short, set()).add(name)
    around = [
        short if len(alike[short]) == 1 else _around(name, _n_shared(alike[short]), letters)
        for name, short in zip(names, ends)
    ]
    if len(set(around)) == wanted:
        return around
    number = {name: i + 1 for i, name in enumerate(dict.fromkeys(names))}
    return [short if len(name) <= letters else f"{number[name]}: {short}" for name, short in zip(names, ends)]


def _on_one_line(name: str) -> str:
    """Show line breaks as signs, so that a name takes one line and differs from others as before."""
    return name.replace("\r\n", "↵").replace("\n", "↵").replace("\r", "↵").replace("\t", "⇥")


def _ends(name: str, letters: int) -> str:
    return name if len(name) <= letters else f"{name[: letters // 3]}…{name[-(2 * letters // 3) :]}"


def _n_shared(names: set[str]) -> int:
    """Count the letters that all of several names begin with."""
    first, last = min(names), max(names)
    return next((i for i, pair in enumerate(zip(first, last)) if len(set(pair)) > 1), len(first))


def _around(name: str, place: int, letters: int) -> str:
    """Keep the letters around a place."""
    if len(name) <= letters:
        return name
    begin = min(max(place - letters // 3 - 1, 0), len(name) - letters + 1)
    stop = begin + letters - 1 - (begin > 0)
    return f"{'…' if begin else ''}{name[begin:stop]}{'…' if stop < len(name) else ''}"


def _label(what: str, prefix: str, n_rows: int) -> str:
    """Name an axis of this many rows, with what all their names begin with: in a second line where one has no room, and as much of its end as there is room for."""
    label = f"{what} of {prefix}" if prefix else what
    room = int((height_of(n_rows) - LABEL_INCHES) / LETTER_INCHES)
    if len(label) <= room:
        return label
    return f"{what} of\n{prefix if len(prefix) <= room else '…' + prefix[1 - room :]}"


def name_rows(ax: Axes, names: Sequence[str], beside: Sequence[str] = (), *, what: str = "layer") -> None:
    """Write names at 0, 1, 2, ... of the vertical axis, the first on top, and at the right what is told of each.

    Parameters
    ----------
    ax
        Where to write.
    names
        A name for each row.
    beside
        A short text for each row; none if empty.
    what
        What the rows are.
    """
    prefix, short = short_names(names) if what == "layer" else ("", shortened(names))
    size = "small" if len(names) > MANY_ROWS else "medium"
    ax.set_yticks(range(len(names)), short, fontsize=size)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_ylabel(_label(what, prefix.removesuffix("."), len(names)), labelpad=8)
    ax.tick_params(axis="y", length=0)
    if any(beside):
        right = ax.secondary_yaxis("right")
        right.set_yticks(range(len(names)), list(beside), fontsize="small")
        right.tick_params(axis="y", length=0, labelcolor="#555555")
        right.spines["right"].set_visible(False)


def spread(places: Float[np.ndarray, " name"], apart: float, size: float) -> Float[np.ndarray, " name"]:
    """Move ascending places of names apart where they are closer than names are high, within 0 to ``size``; evenly spaced names if there is too little room.

    Examples
    --------
    >>> spread(np.array([1.0, 1.5, 8.0]), 2.0, 10.0).tolist()
    [1.0, 3.0, 8.0]
    >>> spread(np.array([7.0, 9.0, 9.5]), 2.0, 10.0).tolist()
    [5.0, 7.0, 9.0]
    >>> spread(np.array([1.0, 2.0]), 20.0, 10.0).tolist()
    [2.5, 7.5]
    """
    n = len(places)
    if n * apart > size:
        return (np.arange(n) + 0.5) * size / n
    steps = apart * np.arange(n)
    down = np.maximum.accumulate(np.maximum(places, apart / 2) - steps) + steps
    last = size - apart / 2 - steps[::-1]
    return np.minimum(down, last)
