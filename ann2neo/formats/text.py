"""Spike times in plain text: a line per unit, or a line per spike. The unit of time and the end of observation are never guessed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import neo
import numpy as np
import quantities as pq

from ann2neo.errors import FormatError
from ann2neo.formats.observation import Observation

SUFFIXES = (".txt", ".csv", ".tsv", ".dat", ".gdf", ".asc")
LAYOUTS = ("trains", "time", "unit,time", "time,unit")
COMMENTS = ("#", "%", "//")
UNIT_WORDS = {
    "sender",
    "senders",
    "unit",
    "unit_id",
    "neuron",
    "neuron_id",
    "cell",
    "cell_id",
    "cluster",
    "cluster_id",
    "gid",
    "id",
    "i",
    "index",
}
TIME_WORD = re.compile(r"^(?:spike_?)?(?:times?|t)(?:[ _(\[]*(?P<unit>s|ms|us)[)\]]?)?$")


def read_text(path: Path, observation: Observation) -> neo.Block:
    """Read spike times from a text file.

    ``columns="trains"`` is one line per unit with its times; ``"time"`` is one unit with one time per line; ``"unit,time"`` and ``"time,unit"`` are one spike per line,
    with the number of its unit. A first line that names the columns is read as a header (``sender time_ms``, as NEST writes).

    Raises
    ------
    FormatError
        If the unit of time, the end of observation or the meaning of columns is unknown, or the text holds anything but numbers.
    """
    header, rows = _rows(path)
    layout, unit = _layout(path, header, rows, observation)
    if unit is None or observation.t_stop is None:
        lacking = [name for name, value in (("time_unit", unit), ("t_stop", observation.t_stop)) if value is None]
        raise FormatError(
            f"{path} is text, and {' and '.join(lacking)} {'was' if len(lacking) == 1 else 'were'} not given.",
            "A text file states neither the unit of its times nor how long was observed: rates would be guesses.",
            'Set both: time_unit="ms", t_stop=100 * pq.s (on the command line --time-unit ms --t-stop 100s).',
        )
    said = Observation(time_unit=unit, t_start=observation.t_start, t_stop=observation.t_stop)
    start, stop = said.borders_s(path)
    scale = said.seconds_per_unit()
    spikes = _by_unit(rows, layout)
    block = neo.Block(name=path.stem, file_origin=str(path))
    segment = neo.Segment(name=path.stem)
    begin = 0.0 if start is None else start
    trains = [
        _train(np.sort(np.array(times, np.float64)) * scale, begin, stop, number, path) for number, times in spikes
    ]
    segment.spiketrains.extend(trains)
    block.segments.append(segment)
    return block


def _rows(path: Path) -> tuple[list[str], list[list[float]]]:
    """Read the numbers of each line, and the words of a header."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path} is not a text file.", "There are no spike times to read.", "Name its format by its suffix."
        ) from error
    while lines and not lines[-1]:
        lines.pop()
    header: list[str] = []
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        if line.startswith(COMMENTS):
            continue
        words = [word for word in re.split(r"[\s,;]+", line) if word]
        try:
            rows.append(numbers := [float(word) for word in words])
            if not all(map(math.isfinite, numbers)):
                raise ValueError(line)
        except ValueError as error:
            # A line with a number in it is not a header, whose unit or spike would be lost.
            if rows or header or any(map(_is_number, words)):
                raise FormatError(
                    f"line {number} of {path} holds something else than finite numbers: {line[:60]!r}.",
                    "Its spike times cannot be read.",
                    "Use a text file of finite numbers; lines that begin with # are ignored.",
                ) from error
            header = [word.lower() for word in re.split(r"[\t,;]+|\s+", line) if word]
    if not any(rows):
        raise FormatError(
            f"{path} holds no numbers.", "There are no spike trains in it.", "Use a text file of spike times."
        )
    return header, rows


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _layout(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[float]], observation: Observation
) -> tuple[str, str | None]:
    """Find the meaning of the columns and the unit of time from the caller or the header."""
    named = ["unit" if word in UNIT_WORDS else "time" if TIME_WORD.match(word) else "" for word in header]
    written = next((found["unit"] for word in header if (found := TIME_WORD.match(word)) and found["unit"]), None)
    if written and observation.time_unit not in (None, written):
        raise FormatError(
            f"{path} says that its times are in {written}, and time_unit={observation.time_unit!r} was given.",
            "One of them is wrong.",
            "Leave time_unit out.",
        )
    layout = (observation.columns or ",".join(named)).replace(" ", "")
    widths = {len(row) for row in rows}
    if not layout and widths - {1, 2}:
        layout = "trains"
    if layout not in LAYOUTS:
        raise FormatError(
            f"it is unclear what the columns of {path} are ({sorted(widths)[:5]} numbers a line, header {' '.join(header) or 'none'!r}).",
            "A line may be a unit with all of its times, or a single spike.",
            f"Set columns= to one of {', '.join(map(repr, LAYOUTS))} (--columns unit,time).",
        )
    expected = {"trains": None, "time": {1}}.get(layout, {2})
    if expected is not None and widths != expected:
        raise FormatError(
            f"{path} has lines of {sorted(widths)[:5]} numbers, which are not columns {layout!r}.",
            "Spikes would be lost.",
            "Set columns= to another layout.",
        )
    if layout == "trains" and 0 in widths:
        raise FormatError(
            f"{path} has an empty line between others.",
            "It is unclear whether it is a silent unit.",
            "Remove it, or write a line per spike (columns='unit,time').",
        )
    return layout, observation.time_unit or written


def _by_unit(rows: Sequence[Sequence[float]], layout: str) -> list[tuple[Any, list[float]]]:
    if layout == "trains":
        return list(enumerate(map(list, rows)))
    if layout == "time":
        return [(0, [row[0] for row in rows])]
    unit, time = (0, 1) if layout == "unit,time" else (1, 0)
    numbers = [row[unit] for row in rows]
    found: dict[Any, list[float]] = {number: [] for number in sorted(set(numbers))}
    for number, row in zip(numbers, rows):
        found[number].append(row[time])
    return [(int(number) if number == int(number) else number, times) for number, times in found.items()]


def _train(times: np.ndarray, start: float, stop: float | None, number: Any, path: Path) -> neo.SpikeTrain:
    try:
        return neo.SpikeTrain(
            pq.Quantity(times, pq.s), t_start=start * pq.s, t_stop=stop * pq.s, name=f"unit {number}", id=number
        )
    except ValueError as error:
        raise FormatError(
            f"unit {number} of {path} has spikes from {times.min():g} to {times.max():g} s, outside {start:g} to {stop:g} s.",
            "Unit of time, begin or end is wrong.",
            "Correct time_unit, t_start and t_stop.",
        ) from error
