"""Columns that were begun: the bits of a column that is not yet full, in one file that is replaced as a whole."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from ann2neo.files import read_content
from ann2neo.store.chunked import compression, zstd_content_size
from ann2neo.store.growing import Growing
from ann2neo.store.log import BEGUN, LOG, Column, column_of, sealed_text, write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunColumn:
    """A column and the bits of each layer in it, each of shape (unit, byte), with zeros after the last bin."""

    column: Column
    rows: Sequence[UInt8[np.ndarray, "_ _"]]


def begun_file(path: Path, pass_number: int, number: int) -> Path:
    """Return the path of the file that holds the bits of a column so far."""
    return path / LOG / f"{pass_number}.{number}{BEGUN}"


def write_begun(growing: Growing, begun: BegunColumn) -> None:
    """Write a column so far: a line of text, then the compressed bits. The file is complete or absent."""
    content = compression().encode(np.concatenate([np.zeros(0, np.uint8), *(rows.reshape(-1) for rows in begun.rows)]))
    column = replace(begun.column, checksums=[zlib.crc32(content)])
    file = begun_file(growing.path, column.pass_number, column.number)
    write_whole(file, sealed_text(column).encode() + b"\n" + content)


def read_begun(growing: Growing, log: Mapping[tuple[int, int], Column]) -> dict[tuple[int, int], BegunColumn]:
    """Read the columns that were begun, by pass and number; those that are damaged, or full by now, are left out."""
    found = {}
    for file in (growing.path / LOG).glob(f"*{BEGUN}"):
        try:
            begun = _begun(growing, read_content(file))
        # A damaged file may raise many kinds of exception; all mean the same.
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RuntimeError):
            continue
        place = begun.column.pass_number, begun.column.number
        if place not in log and file == begun_file(growing.path, *place):
            found[place] = begun
    return found


def forget_begun(path: Path, pass_number: int, number: int) -> None:
    """Remove the file of a begun column that is now full."""
    with suppress(FileNotFoundError):
        os.unlink(begun_file(path, pass_number, number))


def _begun(growing: Growing, content: bytes) -> BegunColumn:
    text, _, compressed = content.partition(b"\n")
    column = column_of(json.loads(text))
    width = -(-column.n_bins // 8)
    sizes = [layer.n_units * width for layer in growing.layers]
    if column.checksums != (zlib.crc32(compressed),) or zstd_content_size(compressed) != sum(sizes):
        raise ValueError("the bits are damaged")
    bits = np.frombuffer(compression().decode(compressed), np.uint8)
    parts = np.split(bits, np.cumsum(sizes)[:-1])
    return BegunColumn(column=column, rows=[part.reshape(-1, width) for part in parts])
