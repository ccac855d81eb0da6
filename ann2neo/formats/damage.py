"""Damage: checks that a recording, a table or a bundle is as it was written."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from ann2neo import store
from ann2neo.errors import FormatError
from ann2neo.files import check_readable
from ann2neo.formats import SUFFIXES, load, path_of
from ann2neo.integrity import check_seal, content_of, damaged
from ann2neo.ownership import SIGNATURE, files_of, sha256, signed_files
from ann2neo.tables import SUFFIXES as TABLE_SUFFIXES
from ann2neo.tables import read_table

SUMS = "SHA256SUMS"
# File names that are not UTF-8 keep their bytes, by which sha256sum finds them.
AS_NAMED: Any = {"encoding": "utf-8", "errors": "surrogateescape"}


def check(path: str | PathLike[str]) -> list[str]:
    """Compare every byte that ann2neo wrote with its check sums, and return the names of the parts that were compared.

    Reading compares the parts that it reads. This function reads everything, and names all damaged parts instead of the first one.

    Parameters
    ----------
    path
        A recording (``.zarr``, also while it grows, ``.nwb``, ``.nix``, ``.mat``), a table (``.csv`` with the file next to it, ``.parquet``), or a folder that
        `ann2neo.share`, `ann2neo analyze`, `compare` or `demo` made.

    Returns
    -------
    list of str
        Parts that are as they were written. Empty, with a warning, for a file without check sums.

    Raises
    ------
    FormatError
        If something is damaged, missing, or was changed after it was written, or if ann2neo did not write the file.

    See Also
    --------
    ann2neo.load, ann2neo.share

    Examples
    --------
    >>> from pathlib import Path
    >>> import tempfile, numpy as np, ann2neo
    >>> path = Path(tempfile.mkdtemp()) / "rec.mat"
    >>> ann2neo.save(ann2neo.from_array(np.eye(3, dtype=bool), layer="relu"), path)
    >>> check(path)[-3:]
    ["spikes of layer 'relu'", "units of layer 'relu'", "thresholds of layer 'relu'"]
    """
    path = path_of(path)
    check_readable(path, folder=True)
    try:
        return _checked(path)
    except OSError as error:
        raise FormatError(
            f"{error.filename or path} cannot be read ({error.strerror or error}).",
            f"{path} was not checked to the end.",
            "Check that the disk is mounted, and the permissions of the file and its folders.",
        ) from error


def _checked(path: Path) -> list[str]:
    if path.suffix == ".zarr":
        return store.check(path)
    if path.suffix in SUFFIXES and path.is_file():
        return _check_recording(path)
    if path.suffix in TABLE_SUFFIXES:
        return [str(name) for name in read_table(path).columns]
    if (path / SUMS).is_file():
        return _check_bundle(path)
    if listed := signed_files(path):
        return _compared(path, listed, SIGNATURE)
    raise FormatError(
        f"{path} is not a recording, table or bundle of ann2neo.",
        "It has no check sums.",
        f"Pass a file that ends in {', '.join((*SUFFIXES, *TABLE_SUFFIXES))}, or a folder that ann2neo made.",
    )


def _check_recording(path: Path) -> list[str]:
    sealed = path.suffix != ".mat" and check_seal(path)
    # Loading compares the content.
    return (["all bytes"] if sealed else []) + list(content_of(load(path)))


def _check_bundle(folder: Path) -> list[str]:
    """Compare the files of a folder with its list of SHA-256, and find files that are not in the list."""
    try:
        lines = (folder / SUMS).read_text(**AS_NAMED).splitlines()
        listed = {name: known for known, _, name in (line.partition("  ") for line in lines)}
    except ValueError as error:
        raise damaged(folder / SUMS, ["it is not a list of check sums"]) from error
    return _compared(folder, listed, SUMS)


def _compared(folder: Path, listed: dict[str, str], where: str) -> list[str]:
    found = [name for name in files_of(folder) if name not in (where, SIGNATURE)]
    wrong = [name for name in listed if not (folder / name).is_file() or sha256(folder / name) != listed[name]]
    wrong += [f"{name} (not in {where})" for name in found if name not in listed]
    if wrong:
        raise damaged(folder, wrong)
    return list(listed)
