"""A store whose recording was interrupted, opened up to the first missing column."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ann2neo.errors import Ann2NeoWarning, StoreError
from ann2neo.raster import Raster
from ann2neo.recording import Recording
from ann2neo.store.begun import BegunColumn, read_begun
from ann2neo.store.chunked import ChunkedArray
from ann2neo.store.finishing import opened
from ann2neo.store.growing import Growing, open_growing
from ann2neo.store.layout import open_bits, open_group
from ann2neo.store.log import Column, is_whole, join_lengths, prefix, read_log

OF_0_1_0 = "It cannot be resumed, since ann2neo 0.1.0 made it."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FirstBins:
    """The first bins of packed bits on the disk, shape (pass, unit, byte); bits of later bins in the last byte are zero.

    Parameters
    ----------
    bits
        The array on the disk.
    n_passes, n_bins
        Number of passes, and of bins of each, that are shown.
    tail
        Bits of a begun column, shape (unit, byte), where one follows the columns on the disk.
    """

    bits: Any
    n_passes: int
    n_bins: int
    tail: UInt8[np.ndarray, "unit byte"] | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of passes, units and bytes that are shown."""
        return self.n_passes, self.bits.shape[1], -(-self.n_bins // 8)

    @property
    def oindex(self) -> FirstBins:
        """Return the array itself: an array of indices applies along its own axis in any case."""
        return self

    def __getitem__(self, where: tuple[Any, Any]) -> UInt8[np.ndarray, "pass unit byte"]:
        """Read some units of some passes."""
        passes, units = where
        found = np.array(self.bits.oindex[np.arange(self.n_passes)[passes], units, slice(0, self.shape[2])])
        if self.tail is not None:
            after = self.tail[units]
            found = np.concatenate([found, np.broadcast_to(after, (*found.shape[:-1], after.shape[-1]))], axis=-1)
            found = found[..., : self.shape[2]]
        if self.n_bins % 8 and found.size:
            found[..., -1] &= 0xFF << (8 - self.n_bins % 8) & 0xFF
        return found


def open_unfinished(path: Path) -> Recording:
    """Open the complete passes, or else the recorded part of the first pass; incomplete trials are left out.

    Raises
    ------
    StoreError
        If not even one column is complete.
    """
    growing = open_growing(path)
    log = read_log(path)
    passes = [prefix(log, number) for number in range(growing.n_passes)]
    whole = next((number for number, columns in enumerate(passes) if not is_whole(columns)), len(passes))
    shown = passes[: max(1, whole)]
    _check_chunks(growing, shown)
    begun = None if whole else read_begun(growing, log).get((0, len(shown[0])))
    n_inputs = _whole_inputs(shown[0] if begun is None else [*shown[0], begun.column])
    if not n_inputs:
        raise StoreError(
            f"the recording into {path} was interrupted before a whole column, or a whole input, was recorded.",
            "There is nothing to load.",
            f"{OF_0_1_0} Record again, into another store."
            if growing.store_id is None
            else "Resume it with the same call.",
        )
    text = f"the recording into {path} was interrupted: {n_inputs} inputs"
    text += f" of {max(1, whole)} of {growing.n_passes} passes" if growing.n_passes > 1 else ""
    unverified = "" if open_group(path).sums is not None else " It carries no check sums."
    resumed = OF_0_1_0 if growing.store_id is None else "The same call as before goes on with it."
    words = f"{text} are there. {resumed}{unverified}"
    warnings.warn(Ann2NeoWarning(words), stacklevel=3)
    return _shown(growing, [_cut(columns, n_inputs) for columns in shown], begun, n_inputs)


def _shown(growing: Growing, passes: list[list[Column]], begun: BegunColumn | None, n_inputs: int) -> Recording:
    root = open_group(growing.path)
    every = passes if begun is None else [_cut([*passes[0], begun.column], n_inputs)]
    n_bins = int(join_lengths(every[0]).sum())
    rasters = [
        Raster(
            packed=FirstBins(
                bits=_bits(growing, i, passes),
                n_passes=len(passes),
                n_bins=n_bins,
                tail=None if begun is None else begun.rows[i],
            ),
            n_bins=n_bins,
        )
        for i in range(len(growing.layers))
    ]
    return opened(root, every, growing, rasters)


def _bits(growing: Growing, layer: int, passes: list[list[Column]]) -> ChunkedArray:
    """Open the bits of these columns, equally many bins in each pass, with the check sums of their chunks from the log."""
    one, n_columns = growing.layers[layer], sum(1 for column in passes[0] if column.n_bins)
    units, width = growing.chunk_shape(one)
    known = [
        of_layer[chunk]
        for columns in passes
        for chunk in range(growing.chunks_of_column(one))
        for column in columns[:n_columns]
        if not isinstance(of_layer := column.checksums[layer], int)
    ]
    array = open_bits(growing.path, layer)
    shape, chunks = (len(passes), one.n_units, n_columns * width), (1, units, width)
    whole = len(known) == len(passes) * growing.chunks_of_column(one) * n_columns
    return replace(array, shape=shape, chunks=chunks, dtype=np.dtype(np.uint8), checksums=known if whole else None)


def _check_chunks(growing: Growing, passes: list[list[Column]]) -> None:
    """Check that no chunk of a store was lost: it would read as silence."""
    for number, layer in enumerate(growing.layers):
        folder = growing.path / f"layers/{number}/bits"
        found = {file.name for file in folder.iterdir() if file.is_file()}
        n_chunks = growing.chunks_of_column(layer)
        lost = [
            name
            for columns in passes
            for column in columns
            for chunk in range(n_chunks if column.n_bins else 0)
            if (name := f"{column.pass_number}.{chunk}.{column.number}") not in found
        ]
        if lost:
            raise StoreError(
                f"{growing.path} lacks {len(lost)} chunks of layer {layer.name!r}, such as {lost[0]}.",
                "The missing spikes would read as silence.",
                "Copy the whole folder again, or record again.",
            )


def _whole_inputs(columns: list[Column]) -> int:
    """Count the inputs whose bins are all recorded."""
    n_bins = sum(column.n_bins for column in columns)
    return int(np.searchsorted(np.cumsum(join_lengths(columns)), n_bins, side="right"))


def _cut(columns: list[Column], n_inputs: int) -> list[Column]:
    """Keep the facts about the first inputs."""
    cut, n_before = [], 0
    for column in columns:
        n_kept = max(0, min(column.lengths.size, n_inputs - n_before))
        n_before += column.lengths.size
        known = {name: values[:n_kept] for name, values in column.known.items()}
        cut.append(replace(column, lengths=column.lengths[:n_kept], known=known))
    return cut
