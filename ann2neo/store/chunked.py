"""Arrays in chunks, in the layout of Zarr format 2: a chunk that is absent or changed raises an error and never reads as zeros."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
from jaxtyping import Int, Shaped, UInt8

from ann2neo.errors import StoreError
from ann2neo.files import read_content

DESCRIPTION = ".zarray"
CHUNK_NAME = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*", re.ASCII)
# Chunks of ann2neo hold a megabyte at most, except for very long strings.
MOST_CHUNK_BYTES = 1 << 28
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
FILLS = {"b": False, "i": 0, "u": 0, "f": 0.0, "U": ""}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkedArray:
    """An array on the disk whose chunks are read only when they are used.

    Parameters
    ----------
    path
        Its folder.
    shape, chunks
        Sizes of the array and of its chunks; chunks at the end are padded.
    dtype
        Type of its values.
    compressed
        Whether chunks are compressed with Zstandard.
    checksums
        Check sum of each chunk, in the order of the grid, with which its file must agree; None where unknown.
    stamp
        Identity of the folder when it was opened, used where there are no check sums; None where there are.
    """

    path: Path
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype
    compressed: bool = True
    checksums: Sequence[int] | None = field(default=None, repr=False)
    stamp: tuple[int, ...] | None = None

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of chunks along each axis."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks))

    @property
    def chunk_bytes(self) -> int:
        """Bytes of the values of a chunk in memory."""
        return math.prod(self.chunks) * self.dtype.itemsize

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all values in memory; less lies on the disk, where chunks are compressed."""
        return self.size * self.dtype.itemsize

    @property
    def oindex(self) -> ChunkedArray:
        """Return the array itself: arrays of indices apply along their own axes in any case."""
        return self

    def names(self) -> Iterator[str]:
        """Iterate over the names of the chunk files."""
        return (".".join(map(str, place)) for place in np.ndindex(self.grid))

    def n_missing(self) -> int:
        """Count the missing chunks, without looking for each chunk that the shape claims."""
        try:
            there = {file.name for file in self.path.iterdir() if CHUNK_NAME.fullmatch(file.name) and file.is_file()}
        except OSError as error:
            raise _unreadable(self.path, error) from error
        places = (tuple(map(int, name.split("."))) for name in there)
        inside = sum(len(p) == len(self.grid) and all(i < n for i, n in zip(p, self.grid)) for p in places)
        return math.prod(self.grid) - inside

    def values(self) -> Shaped[np.ndarray, " value"]:
        """Read all values of an array of one axis."""
        # Checked before memory is allocated for values that may be missing.
        if lost := self.n_missing():
            raise StoreError(
                f"{self.path} lacks {lost} of {math.prod(self.grid)} chunks.",
                "The missing values would read as zeros.",
                "Copy the whole folder again, or record again.",
            )
        parts = [self.chunk((number,)) for number in range(self.grid[0])]
        return np.concatenate([np.zeros(0, self.dtype), *parts])[: self.shape[0]]

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Shaped[np.ndarray, "*axis"]:
        """Read the whole array, for `numpy.asarray`.

        Raises
        ------
        ValueError
            If no copy is allowed: data on a disk cannot be shared.
        """
        if copy is False:
            raise ValueError("an array on the disk cannot be read without a copy")
        found = self.values() if self.ndim == 1 else self[:, :, :]
        return found if dtype is None else found.astype(dtype)

    def __getitem__(self, where: tuple[Any, ...]) -> UInt8[np.ndarray, "*axis"]:
        """Read some passes, units and bytes of packed bits, given as slices or arrays of indices; the pass may also be a number."""
        passes, units, some_bytes = (*where, slice(None))[:3]
        found = self._read(*(_places(part, size) for part, size in zip((passes, units, some_bytes), self.shape)))
        return found if isinstance(passes, slice | np.ndarray) else found[0]

    def _read(
        self, passes: Int[np.ndarray, " pass"], units: Int[np.ndarray, " unit"], places: Int[np.ndarray, " byte"]
    ) -> UInt8[np.ndarray, "pass unit byte"]:
        out = np.empty((passes.size, units.size, places.size), self.dtype)
        along = [list(_by_chunk(part, chunk)) for part, chunk in zip((passes, units, places), self.chunks)]
        for pass_chunk, of_pass, pass_rows in along[0]:
            for unit_chunk, of_unit, unit_rows in along[1]:
                for byte_chunk, of_byte, byte_rows in along[2]:
                    place, here = (pass_chunk, unit_chunk, byte_chunk), _at(of_pass, of_unit, of_byte)
                    # A whole chunk is decoded directly into the result.
                    into = out[here] if all(isinstance(part, slice) for part in here) else np.empty(0)
                    if into.shape == self.chunks and into.flags.c_contiguous:
                        self.chunk(place, into)
                    else:
                        out[here] = self.chunk(place)[_at(pass_rows, unit_rows, byte_rows)]
        return out

    def chunk(
        self, place: tuple[int, ...], into: Shaped[np.ndarray, "*axis"] | None = None
    ) -> Shaped[np.ndarray, "*axis"]:
        """Read a chunk, padded as on the disk, into an array of its shape or a new one.

        Raises
        ------
        StoreError
            If it cannot be read, or differs from what was written.
        """
        file = self.path / ".".join(map(str, place))
        try:
            self._check_stamp()
            # A chunk that is not compressed well is at most slightly longer than its values.
            content = read_content(file, most=2 * self.chunk_bytes + 1024)
        except OSError as error:
            raise _unreadable(file, error) from error
        if self.checksums is not None:
            known = self.checksums[int(np.ravel_multi_index(place, self.grid))]
            if not self.compressed or frame_checksum(content) != known:
                raise changed(file)
        return self._decoded(content, file, np.empty(self.chunks, self.dtype) if into is None else into)

    def _decoded(self, content: bytes, file: Path, out: Shaped[np.ndarray, "*axis"]) -> Shaped[np.ndarray, "*axis"]:
        size = zstd_content_size(content) if self.compressed else len(content)
        if size != out.nbytes:
            raise changed(file)
        if not self.compressed:
            out[...] = np.frombuffer(content, self.dtype).reshape(self.chunks)
            return out
        try:
            compression().decode(content, out)
        # The decoder has no specific exception for damaged content.
        except (RuntimeError, ValueError) as error:
            raise changed(file) from error
        return out

    def _check_stamp(self) -> None:
        if self.stamp is not None and stamp_of(self.path) != self.stamp:
            raise changed(self.path)


def compression() -> numcodecs.Zstd:
    """Return the compressor of all chunks; it adds a check sum that every reader of Zstandard verifies."""
    return numcodecs.Zstd(level=1, checksum=True)


def described(shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Return the description of an array in Zarr format 2.

    Examples
    --------
    >>> json.loads(described((3,), (2,), np.dtype("<i8")))["dtype"]
    '<i8'
    """
    known = {
        "zarr_format": 2,
        "shape": list(map(int, shape)),
        "chunks": list(map(int, chunks)),
        "dtype": dtype.str,
        "compressor": compression().get_config(),
        "fill_value": FILLS[dtype.kind],
        "order": "C",
        "filters": None,
    }
    return json.dumps(known, indent=4).encode()


def read_description(content: bytes, folder: Path) -> ChunkedArray:
    """Read the Zarr format 2 description of an array, and refuse any that ann2neo does not write.

    Raises
    ------
    StoreError
        If ann2neo does not write such sizes, types or codecs: a codec may run code, and a size may claim any amount of memory.
    """
    try:
        known = json.loads(content)
        shape, chunks = tuple(map(int, known["shape"])), tuple(map(int, known["chunks"]))
        compressor = known["compressor"]
        array = ChunkedArray(
            path=folder, shape=shape, chunks=chunks, dtype=np.dtype(known["dtype"]), compressed=compressor is not None
        )
        ours = known["zarr_format"] == 2 and known["order"] == "C" and not known["filters"]
        ours = ours and (compressor is None or compressor["id"] == "zstd") and array.dtype.kind in FILLS
        ours = ours and len(shape) == len(chunks) and min(shape) >= 0 and min(chunks) > 0
        if not ours or math.prod(chunks) * array.dtype.itemsize > MOST_CHUNK_BYTES:
            raise ValueError(f"shape {shape}, chunks {chunks}, type {array.dtype}, compressor {compressor}")
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise StoreError(
            f"{folder} is not an array that ann2neo wrote ({type(error).__name__}: {str(error)[:200]}).",
            "It is damaged, or was written by another program.",
            "Get the store again, or record again.",
        ) from error
    return array


def encoded_chunks(bits: UInt8[np.ndarray, "unit byte"], *, n_units: int, width: int) -> Iterator[tuple[int, bytes]]:
    """Encode the bits of a column of chunks; yield the number and content of each, padded with zeros to its size.

    Parameters
    ----------
    bits
        Bits of all units, at most as wide as a chunk.
    n_units, width
        Units and bytes of a chunk.

    Examples
    --------
    >>> chunks = dict(encoded_chunks(np.ones((5, 2), np.uint8), n_units=3, width=4))
    >>> list(chunks), np.frombuffer(compression().decode(chunks[1]), np.uint8).reshape(3, 4).sum(axis=1).tolist()
    ([0, 1], [2, 2, 0])
    """
    codec = compression()
    for number, first in enumerate(range(0, len(bits), n_units)):
        part = bits[first : first + n_units]
        if part.shape != (n_units, width):
            part = np.pad(part, ((0, n_units - part.shape[0]), (0, width - part.shape[1])))
        yield number, codec.encode(np.ascontiguousarray(part))


def chunk_checksum(content: bytes) -> int:
    """Read the check sum of an encoded chunk."""
    found = frame_checksum(content)
    if found is None:
        raise StoreError(
            "chunks are compressed without a check sum here.",
            "Damage to the store could not be detected.",
            "Install numcodecs 0.15.2 or newer.",
        )
    return found


def frame_checksum(frame: bytes) -> int | None:
    """Read the check sum of the content at the end of a Zstandard frame, which decoders verify; None if it has none.

    References
    ----------
    RFC 8878, section 3.1.1 (Content_Checksum: the low four bytes of XXH64).

    Examples
    --------
    >>> frame_checksum(compression().encode(np.zeros(8, np.uint8))) == frame_checksum(compression().encode(np.ones(8, np.uint8)))
    False
    >>> frame_checksum(numcodecs.Zstd().encode(np.zeros(8, np.uint8))) is None
    True
    """
    if frame[:4] != ZSTD_MAGIC or len(frame) < 9 or not frame[4] & 4:
        return None
    return int.from_bytes(frame[-4:], "little")


def zstd_content_size(frame: bytes) -> int | None:
    """Read the size of the content that a Zstandard frame states, before memory is allocated; None if this is not a frame or states no size.

    References
    ----------
    RFC 8878, section 3.1.1.1 (Frame_Header).

    Examples
    --------
    >>> zstd_content_size(compression().encode(np.zeros(70_000, np.uint8)))
    70000
    """
    if frame[:4] != ZSTD_MAGIC or len(frame) < 6:
        return None
    flags = frame[4]
    single_segment, size_flag = flags >> 5 & 1, flags >> 6
    n_bytes = (single_segment, 2, 4, 8)[size_flag]
    first = 5 + (1 - single_segment) + (0, 1, 2, 4)[flags & 3]
    if not n_bytes or len(frame) < first + n_bytes:
        return None
    return int.from_bytes(frame[first : first + n_bytes], "little") + 256 * (n_bytes == 2)


def stamp_of(folder: Path) -> tuple[int, ...]:
    """Return a stamp that distinguishes the array of a folder from one that replaced it."""
    found = (folder / DESCRIPTION).stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns


def changed(file: Path) -> StoreError:
    """Make the error of content that differs from what was written."""
    return StoreError(
        f"{file} differs from what was written when its recording was opened: it was replaced since, or is damaged.",
        "Other spikes than the recorded ones would be read.",
        "If it was replaced, load the recording again; if not, copy the whole store again. `ann2neo.check` lists what is damaged.",
    )


def _unreadable(file: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{file} cannot be read ({error.strerror or error}).",
        "Missing spikes would read as silence.",
        "Mount the disk, or move the store back to where it was; or load it from where it is now.",
    )


def _places(part: Any, size: int) -> Int[np.ndarray, " place"]:
    if isinstance(part, slice):
        return np.arange(size)[part]
    return np.arange(size)[np.atleast_1d(np.asarray(part, np.int64))]


def _by_chunk(places: Int[np.ndarray, " place"], chunk: int) -> Iterator[tuple[int, Any, Any]]:
    """Group indices by chunk; yield its number, the indices in the result, and the indices in the chunk."""
    numbers = places // chunk
    for number in np.unique(numbers):
        found = np.flatnonzero(numbers == number)
        rows = places[found] - number * chunk
        yield int(number), _as_slice(found), _as_slice(rows)


def _as_slice(places: Int[np.ndarray, " place"]) -> Any:
    """Return consecutive indices as a slice, which is copied as a whole."""
    first, last = int(places[0]), int(places[-1])
    in_row = last - first + 1 == places.size and (places.size < 2 or bool((np.diff(places) == 1).all()))
    return slice(first, last + 1) if in_row else places


def _at(*parts: Any) -> Any:
    """Return an index that applies along each axis independently."""
    if all(isinstance(part, slice) for part in parts):
        return parts
    spread = [np.arange(part.start, part.stop) if isinstance(part, slice) else part for part in parts]
    return np.ix_(*spread)
