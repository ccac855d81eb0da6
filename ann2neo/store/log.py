"""The log of a store that grows: one small file per column of chunks, written when the column is on the disk."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from jaxtyping import Int

from ann2neo.files import read_content
from ann2neo.recording import is_of_steps, per_input

LOG = "log"
HEAD = "recording.json"
ORDER = "order.npz"
BEGUN = ".begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A batch, and the input and the bin of its pass at which it begins."""

    batch: int = 0
    first_input: int = 0
    first_bin: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of chunks: some bins of one pass, for all units of all layers.

    Parameters
    ----------
    pass_number, number
        Number of the pass, and of the column in it.
    n_bins
        Number of bins in it.
    last
        Whether it is the last column of the pass.
    lengths
        Bins of each input that begins in it, shape (input,).
    known
        Facts about each of these inputs: ``label``, ``predicted_label`` and so on, each of shape (input,); for steps an array of objects that holds an array per input.
    batches
        Number and check sum of the batches from which it was recorded.
    after
        The batch at which the next column begins.
    checksums
        For each layer the check sum of each chunk, in the order of the units; in stores of ann2neo 0.1.0 a CRC-32 of its bits.
    """

    pass_number: int
    number: int
    n_bins: int
    last: bool
    lengths: Int[np.ndarray, " input"]
    known: Mapping[str, np.ndarray]
    batches: Mapping[int, int]
    after: Start
    checksums: Sequence[int | Sequence[int]]


def write_column(path: Path, column: Column) -> None:
    """Write a column to the log of a store; from then on it counts as recorded."""
    write_whole(log_file(path, column.pass_number, column.number), sealed_text(column).encode())


def log_file(path: Path, pass_number: int, number: int) -> Path:
    """Return the path of the log entry of a column."""
    return path / LOG / f"{pass_number}.{number}.json"


def sealed_text(column: Column) -> str:
    """Return the facts about a column as one line of text with a check sum."""
    lengths = column.lengths
    known = {
        "pass": column.pass_number,
        "column": column.number,
        "n_bins": column.n_bins,
        "last": column.last,
        "n_inputs": int(lengths.size),
        "lengths": None if (lengths == 1).all() else lengths.tolist(),
        "known": {name: _written(values) for name, values in column.known.items()},
        "batches": [[int(number), int(crc)] for number, crc in column.batches.items()],
        "after": [column.after.batch, column.after.first_input, column.after.first_bin],
        "checksums": [list(known) if isinstance(known, Sequence) else known for known in column.checksums],
    }
    return json.dumps(known | {"seal": _crc32(known)})


def read_log(path: Path) -> dict[tuple[int, int], Column]:
    """Read the recorded columns, by pass and number; a column whose entry cannot be read counts as not recorded."""
    columns = {}
    for file in (path / LOG).glob("*.*.json"):
        try:
            column = column_of(json.loads(read_content(file)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
        if file.name == f"{column.pass_number}.{column.number}.json":
            columns[column.pass_number, column.number] = column
    return columns


def prefix(columns: Mapping[tuple[int, int], Column], pass_number: int) -> list[Column]:
    """List the columns of a pass from the first one up to the first gap, or to the end of the pass."""
    found = []
    while (column := columns.get((pass_number, len(found)))) is not None:
        found.append(column)
        if column.last:
            break
    return found


def is_whole(columns: Sequence[Column]) -> bool:
    """Return whether consecutive columns reach the end of their pass."""
    return bool(columns) and columns[-1].last


def join_known(columns: Sequence[Column]) -> dict[str, np.ndarray]:
    """Join the facts about the inputs of several columns that all of them have."""
    with_inputs = [column for column in columns if column.lengths.size]
    names = [name for name in with_inputs[0].known if all(name in column.known for column in with_inputs)]
    return {name: np.concatenate([column.known[name] for column in with_inputs]) for name in names}


def join_lengths(columns: Sequence[Column]) -> Int[np.ndarray, " input"]:
    """Join the lengths of the inputs of several columns, shape (input,)."""
    return np.concatenate([np.zeros(0, np.int64), *(column.lengths for column in columns)])


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: it is complete or absent."""
    # Strings instead of paths, because several of these files are written per second while a model runs.
    final = os.fspath(path)
    part = f"{final}.{uuid4().hex[:12]}.partial"
    try:
        with open(part, "xb") as file:
            file.write(content)
        os.replace(part, final)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise


def _crc32(known: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(known, sort_keys=True, separators=(",", ":")).encode())


def _written(values: np.ndarray) -> dict[str, Any]:
    """Convert one value per input, or one array of integers per input, to JSON."""
    of_steps = is_of_steps(values)
    listed = [one.tolist() for one in values] if of_steps else values.tolist()
    return {"dtype": "steps" if of_steps else str(values.dtype), "values": listed}


def _read(known: Mapping[str, Any]) -> np.ndarray:
    if known["dtype"] == "steps":
        return per_input([np.array(one, np.int64) for one in known["values"]])
    return np.array(known["values"], known["dtype"])


def column_of(found: dict[str, Any]) -> Column:
    """Convert what `sealed_text` wrote back to a column.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it is damaged.
    """
    # Entries of ann2neo 0.1.0 have no seal, and have check sums of bits instead of chunks.
    if "crc32" not in found or "seal" in found:
        seal = found.pop("seal")
        if seal != _crc32(found):
            raise ValueError("the entry is damaged")
    lengths = np.ones(found["n_inputs"]) if found["lengths"] is None else found["lengths"]
    known = {name: _read(known) for name, known in found["known"].items()}
    if any(values.shape != (found["n_inputs"],) for values in known.values()):
        raise ValueError("the facts are not one value per input: they cannot be made into a table of trials")
    batch, first_input, first_bin = found["after"]
    return Column(
        pass_number=found["pass"],
        number=found["column"],
        n_bins=found["n_bins"],
        last=found["last"],
        lengths=np.asarray(lengths, np.int64),
        known=known,
        batches=dict(found["batches"]),
        after=Start(batch=batch, first_input=first_input, first_bin=first_bin),
        checksums=tuple(found["crc32"] if "crc32" in found else found["checksums"]),
    )
