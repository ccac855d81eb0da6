"""A store while it grows: created as a whole, filled column by column by one or several processes, and finished."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from jaxtyping import Float, Int, UInt8

from ann2neo.atomic import complete_or_absent
from ann2neo.errors import FormatError, StoreError
from ann2neo.files import read_content
from ann2neo.outline import outline_before_trials
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Provenance
from ann2neo.store.chunked import chunk_checksum, encoded_chunks
from ann2neo.store.disk import Unsynced
from ann2neo.store.layout import (
    GROWING_CHUNK_BYTES,
    MARKER,
    Group,
    file_sums,
    new_group,
    new_layer,
    open_bits,
    open_group,
    resize,
    units_per_chunk,
)
from ann2neo.store.log import (
    HEAD,
    LOG,
    ORDER,
    Column,
    write_whole,
)
from ann2neo.store.sums import Sums, read_verified, write_sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Inputs that were drawn, shape (input,), and the number of inputs in each batch, shape (batch,)."""

    stimulus_ids: Int[np.ndarray, " input"]
    batch_sizes: Int[np.ndarray, " batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing:
    """Facts that are fixed when a store is created.

    Parameters
    ----------
    path
        Its folder.
    identity
        Named facts about what is recorded; a recording with other facts cannot be resumed in this store.
    column_bins
        Bins of a column.
    n_bins
        Bins of one pass; None where it is known only at the end.
    n_passes
        Number of passes.
    layers
        The layers, without their bits.
    order
        Order of the inputs, where it was drawn before the recording.
    store_id
        Identifier that distinguishes this store from any other of the same name; None for a store made by 0.1.0.
    """

    path: Path
    identity: Mapping[str, Any]
    column_bins: int
    n_bins: int | None
    n_passes: int
    layers: tuple[Layer, ...]
    order: Order | None
    store_id: str | None = field(default_factory=lambda: uuid4().hex)

    @property
    def n_columns(self) -> int | None:
        """Number of columns of one pass, if known."""
        return None if self.n_bins is None else -(-self.n_bins // self.column_bins)

    def chunk_shape(self, layer: Layer) -> tuple[int, int]:
        """Units and bytes of the chunks of a layer."""
        n_bins = self.column_bins if self.n_bins is None else min(self.n_bins, self.column_bins)
        width = -(-n_bins // 8)
        return units_per_chunk(layer.n_units, width, GROWING_CHUNK_BYTES), width

    def chunks_of_column(self, layer: Layer) -> int:
        """Number of chunks of a layer in one column."""
        return -(-layer.n_units // self.chunk_shape(layer)[0])


def bare(
    *,
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    units: Int[np.ndarray, " unit"],
    thresholds: Float[np.ndarray, " unit"],
) -> Layer:
    """Make the description of a layer without its bits."""
    raster = Raster(packed=np.zeros((1, units.size, 0), np.uint8), n_bins=0)
    return Layer(name=name, shape=shape, dtype=dtype, units=units, thresholds=thresholds, raster=raster)


def create(growing: Growing, *, bin_size_ms: float, provenance: Provenance, overwrite: bool = False) -> None:
    """Create a store without columns; it appears as a whole.

    Raises
    ------
    OutputExists
        If its name is taken by something else.
    StoreError
        If the operating system refuses to write.
    AnnotationError
        If the provenance cannot be stored.
    """
    known = outline_before_trials(
        growing.layers, bin_size_ms=bin_size_ms, n_passes=growing.n_passes, provenance=provenance
    )
    # Where the number of bins is unknown, the arrays grow with the columns.
    n_bytes = -(-(growing.column_bins if growing.n_bins is None else growing.n_bins) // 8)
    with _making(growing.path), complete_or_absent(growing.path, overwrite=overwrite, marker=MARKER) as part:
        new_group(part)
        checksums: dict[str, list[int]] = {}
        for number, layer in enumerate(growing.layers):
            chunks = (1, *growing.chunk_shape(layer))
            made = new_layer(part, f"layers/{number}", layer, n_passes=growing.n_passes, n_bytes=n_bytes, chunks=chunks)
            checksums |= made[1]
        (part / LOG).mkdir()
        if growing.order is not None:
            content = io.BytesIO()
            np.savez(content, ids=growing.order.stimulus_ids, sizes=growing.order.batch_sizes)
            write_whole(part / LOG / ORDER, content.getvalue())
        head = {"identity": growing.identity, "column_bins": growing.column_bins, "n_bins": growing.n_bins}
        head["store_id"] = growing.store_id
        write_whole(part / LOG / HEAD, json.dumps(head).encode())
        write_sealed(part, known | {"complete": False}, file_sums(part, checksums), growing=True)


def update_provenance(growing: Growing, facts: Provenance, *, instead_of: Collection[str]) -> None:
    """Put facts into the provenance of a store that grows, in the place of others.

    Raises
    ------
    StoreError
        If the store was replaced, or the operating system refuses to write.
    """
    check_unreplaced(growing)
    root = open_group(growing.path)
    if root.sums is None:
        return
    provenance = {key: value for key, value in root.attrs["provenance"].items() if key not in instead_of} | dict(facts)
    with writing(growing.path):
        write_sealed(growing.path, dict(root.attrs) | {"provenance": provenance}, root.sums, growing=True)


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """Convert errors of creating a store to those of a failed recording."""
    try:
        yield
    except FormatError as error:
        raise StoreError(str(error)) from error


def open_growing(path: Path) -> Growing:
    """Open a store that grows, or that grew until it was complete.

    Raises
    ------
    StoreError
        If it was saved as a whole instead of column by column.
    FormatError
        If it is not a store, or is damaged.
    """
    if not (path / LOG / HEAD).is_file():
        raise StoreError(
            f"{path} was not recorded column by column, so that its contents are unknown.",
            "It may be another recording: nothing was recorded.",
            "Record into another store, or allow overwriting (export(..., overwrite=True)).",
        )
    try:
        root = open_group(path)
        head = json.loads(read_verified(path, f"{LOG}/{HEAD}", root.sums))
        return Growing(
            path=path,
            identity=head["identity"],
            column_bins=head["column_bins"],
            n_bins=head["n_bins"],
            n_passes=int(root.attrs["n_passes"]),
            layers=tuple(_bare_layer(root, i, entry) for i, entry in enumerate(root.attrs["layers"])),
            order=_read_order(path, root.sums),
            store_id=head.get("store_id"),
        )
    except FormatError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FormatError(
            f"{path} cannot be read as a store ({type(error).__name__}: {error}).",
            "It is damaged: nothing was recorded.",
            "Remove it, or record into another one.",
        ) from error


def check_unreplaced(growing: Growing) -> None:
    """Check before writing that a store is still the one that was opened.

    Raises
    ------
    StoreError
        If the store was replaced or removed.
    """
    if growing.store_id is None:
        return
    try:
        found = json.loads(read_content(growing.path / LOG / HEAD)).get("store_id")
    except (OSError, ValueError):
        found = None
    if found != growing.store_id:
        raise StoreError(
            f"{growing.path} was {'removed' if found is None else 'replaced by another recording'} while it was recorded into.",
            "This recording would be mixed with it: nothing more was written.",
            "Record into a separate store.",
        )


def is_complete(path: Path) -> bool:
    """Return whether a store was finished."""
    return bool(open_group(path).attrs.get("complete", True))


def write_bits(
    growing: Growing,
    layer: int,
    pass_number: int,
    column: int,
    bits: UInt8[np.ndarray, "unit byte"],
    unsynced: Unsynced | None = None,
) -> list[int]:
    """Write the bits of a layer in one column, and return the check sum of each chunk."""
    if growing.n_bins is None:
        _make_room(growing, layer, column * growing.column_bins // 8 + bits.shape[1])
    folder = growing.path / f"layers/{layer}/bits"
    n_units, width = growing.chunk_shape(growing.layers[layer])
    checksums = []
    if bits.shape[1]:
        for number, content in encoded_chunks(bits, n_units=n_units, width=width):
            file = folder / f"{pass_number}.{number}.{column}"
            write_whole(file, content)
            checksums.append(chunk_checksum(content))
            if unsynced is not None:
                unsynced.files.append(os.fspath(file))
    return checksums


def _make_room(growing: Growing, layer: int, n_bytes: int) -> None:
    """Enlarge an array whose final size is unknown."""
    array = open_bits(growing.path, layer)
    if n_bytes > array.shape[2]:
        resize(array, _grown(n_bytes, growing.column_bins // 8))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert errors of a failed write to a StoreError.

    Raises
    ------
    StoreError
        If the operating system refuses to write, for instance on a full disk.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} could not be written ({error.strerror or error}).",
            "The bins recorded before are kept.",
            "Check free space and permissions; the same call resumes where it stopped.",
        ) from error


def missing_columns(growing: Growing, columns: Mapping[tuple[int, int], Column]) -> list[tuple[int, int]] | None:
    """List the columns that are not recorded, by pass and number; None if their total number is unknown."""
    if growing.n_columns is None:
        return None
    every = [(p, number) for p in range(growing.n_passes) for number in range(growing.n_columns)]
    return [place for place in every if place not in columns]


def _bare_layer(root: Group, number: int, entry: Mapping[str, Any]) -> Layer:
    return bare(
        name=entry["name"],
        shape=tuple(entry["shape"]),
        dtype=entry["dtype"],
        units=root[f"layers/{number}/units"].values().astype(entry["units_dtype"]),
        thresholds=root[f"layers/{number}/thresholds"].values().astype(entry["thresholds_dtype"]),
    )


def _read_order(path: Path, sums: Sums | None = None) -> Order | None:
    name = f"{LOG}/{ORDER}"
    if not (path / name).is_file() and (sums is None or name not in sums.files):
        return None
    with np.load(io.BytesIO(read_verified(path, name, sums)), allow_pickle=False) as found:
        return Order(stimulus_ids=found["ids"], batch_sizes=found["sizes"])


def _grown(n_bytes: int, step: int) -> int:
    """Return a size of twice the number of columns, so that arrays are rarely enlarged."""
    return step << (-(-n_bytes // step) - 1).bit_length()
