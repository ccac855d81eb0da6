"""Safety of HDF5 files: they may not refer to other files, or claim more memory than their contents fill."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import h5py

from ann2neo.errors import FormatError

# The filters that ann2neo uses do not compress better: deflate reaches 1,032 at most.
MOST_COMPRESSION = 1100
SMALL_BYTES = 1 << 20


def check_storage(file: Any, place: str, path: Path) -> None:
    """Check that nothing in a group lies in another file, or claims to be much larger than it is.

    Raises
    ------
    FormatError
        If there is a link out of the file, external or virtual storage, or a declared size far beyond the stored bytes.
    """
    group = file[place]
    if not isinstance(group, h5py.Group):
        raise _refused(path, place, "is not a group")
    _check_group(group, place, path, {_address(group)})


def _check_group(group: Any, place: str, path: Path, seen: set[Any]) -> None:
    """Check what lies in a group; what has several names, as in NIX, is checked once."""
    for name in group:
        inside = f"{place.rstrip('/')}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise _refused(path, inside, "is a link to another place or file")
        found = group[name]
        if (address := _address(found)) in seen:
            continue
        seen.add(address)
        if isinstance(found, h5py.Group):
            _check_group(found, inside, path, seen)
        elif isinstance(found, h5py.Dataset):
            _check_dataset(found, inside, path)


def _address(found: Any) -> tuple[int, int]:
    about = h5py.h5o.get_info(found.id)  # pyright: ignore[reportAttributeAccessIssue]
    return about.fileno, about.addr


def check_memory(n_bytes: int, path: Path) -> None:
    """Check that data fit into the memory of this machine, before memory is allocated.

    Raises
    ------
    FormatError
        If they do not.
    """
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else n_bytes
    if n_bytes > there:
        raise FormatError(
            f"{path} names units and bins whose bits take {n_bytes / 1e9:.1f} GB; this machine has {there / 1e9:.1f} GB.",
            "They do not fit into memory, or the file is damaged.",
            "Save the recording as .zarr, which is read lazily, or use a machine with more memory.",
        )


def _check_dataset(dataset: Any, place: str, path: Path) -> None:
    if dataset.external or dataset.is_virtual:
        raise _refused(path, place, "lies in another file")
    n_bytes = dataset.size * dataset.dtype.itemsize if dataset.shape is not None else 0
    if n_bytes > SMALL_BYTES and n_bytes > MOST_COMPRESSION * dataset.id.get_storage_size():
        raise _refused(
            path, place, f"claims to hold {n_bytes} bytes, of which {dataset.id.get_storage_size()} are there"
        )


def _refused(path: Path, place: str, what: str) -> FormatError:
    return FormatError(
        f"{place} in {path} {what}.",
        "ann2neo does not write such files, and the contents cannot be trusted.",
        "Get the file again from a source that you trust, or record again.",
    )
