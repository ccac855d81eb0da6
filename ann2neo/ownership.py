"""Ownership: folders whose files were all written by ann2neo, so that overwriting never removes other files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ann2neo.files import opened, read_content

SIGNATURE = ".ann2neo.json"
# Files that viewers leave in any folder.
LEFT_BY_VIEWERS = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """How to recognize a folder that may be replaced.

    Parameters
    ----------
    kind
        Description of the folder.
    strangers
        Function that lists the files in a folder that ann2neo did not write, or that were changed since.
    sign
        Called with a complete folder, to list what was written; None where the folder identifies itself.
    """

    kind: str
    strangers: Callable[[Path], list[str]]
    sign: Callable[[Path], None] | None = None


def results(kind: str) -> Marker:
    """Mark a folder of results by a list of its files and their check sums.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "report.html").write_text("ours")
    >>> marker = results("an analysis")
    >>> marker.strangers(folder)
    ['report.html']
    >>> marker.sign(folder)
    >>> marker.strangers(folder)
    []
    >>> _ = (folder / "notes.txt").write_text("mine")
    >>> marker.strangers(folder)
    ['notes.txt']
    """
    return Marker(kind=kind, strangers=lambda path: _unknown(path, kind), sign=lambda path: _sign(path, kind))


def signed_files(folder: Path) -> dict[str, str]:
    """Read the SHA-256 of each file that was written into a folder, by its path in it; empty if the folder has no signature."""
    return _read(folder)[1]


def files_of(folder: Path) -> Iterator[str]:
    """List all files in a folder and its subfolders, except those that viewers leave."""
    for found in sorted(folder.rglob("*")):
        if (found.is_symlink() or not found.is_dir()) and found.name not in LEFT_BY_VIEWERS:
            yield found.relative_to(folder).as_posix()


def sha256(file: Path) -> str:
    """Compute the SHA-256 of a file; raise an OSError if it is none, as a pipe."""
    with os.fdopen(opened(file)[0], "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sign(folder: Path, kind: str) -> None:
    known = {name: sha256(folder / name) for name in files_of(folder)}
    text = json.dumps({"written_by": "ann2neo", "kind": kind, "files": known}, indent=1)
    (folder / SIGNATURE).write_text(text, encoding="utf-8")


def _unknown(folder: Path, kind: str) -> list[str]:
    signed_kind, known = _read(folder)
    if signed_kind not in ("", kind):
        return [f"it is {signed_kind}, not {kind}"]
    return [
        name
        for name in files_of(folder)
        if name != SIGNATURE
        and (
            (folder / name).is_symlink()
            or not (folder / name).is_file()
            or name not in known
            or known[name] != sha256(folder / name)
        )
    ]


def _read(folder: Path) -> tuple[str, dict[str, str]]:
    try:
        found = json.loads(read_content(folder / SIGNATURE))
        return str(found["kind"]), dict(found["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "", {}
