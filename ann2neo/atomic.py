"""Files and folders that appear under their name only when they are complete."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from ann2neo.errors import FormatError, OutputExists

# On a full disk HDF5 raises a RuntimeError that says so.
HDF5_FAILED = "write failed"


@contextmanager
def complete_or_absent(path: Path, *, overwrite: bool = False, marker: str | None = None) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to, and give it its final name when everything went well.

    If writing fails or is interrupted, whatever was under ``path`` before is still there. A folder that is overwritten is missing for the moment
    between two renamings.

    Parameters
    ----------
    path
        Final name of the file or folder.
    overwrite
        Whether something that has this name may be replaced.
    marker
        Name of a file by which a folder that may be replaced is known; a folder that holds other things is never replaced.

    Raises
    ------
    OutputExists
        If there is something and it may not be replaced.
    FormatError
        If the folder around it does not exist, or the operating system refuses to write (a full disk, no permission).

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with complete_or_absent(target) as part:
    ...     _ = part.write_text("done")
    >>> target.read_text()
    'done'
    """
    check_target(path, overwrite, marker=marker)
    part = path.with_name(f".{uuid4().hex[:12]}.part{path.suffix}")
    try:
        yield part
        check_target(path, overwrite, marker=marker)
        _put(part, path)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and HDF5_FAILED not in str(error):
            raise
        raise FormatError(
            f"{path} could not be written ({_reason(error)}).",
            "No file was left behind; what was there before is unchanged.",
            "Check free space and permissions, or write somewhere else.",
        ) from error
    finally:
        remove(part)


def reserve(part: Path, n_bytes: int) -> None:
    """Take room on the disk before writing, as far as the operating system can, so that a full disk is noticed at once.

    HDF5 crashes the whole process when it closes a file that it could not write to the end.
    """
    with part.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)


def _reason(error: OSError | RuntimeError) -> str:
    known = getattr(error, "strerror", None)
    in_text = re.search(r"error message = '([^']*)'", str(error))
    return known or (in_text[1] if in_text else str(error).splitlines()[0])


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_target(path: Path, overwrite: bool, *, marker: str | None = None) -> None:
    """Refuse a name that is taken or whose folder does not exist, before any work is done.

    Raises
    ------
    OutputExists
        If something has this name and may not be replaced.
    FormatError
        If the folder around it does not exist.
    """
    if path.exists() and not overwrite:
        raise OutputExists(
            f"{path} exists already.", "Nothing was written.", "Choose another name, or allow overwriting it."
        )
    if path.is_dir() and any(path.iterdir()) and (marker is None or not (path / marker).exists()):
        raise OutputExists(
            f"the folder {path} holds other things than ann2neo writes under such a name.",
            "It would be lost: nothing was written.",
            "Choose another name, or remove the folder yourself.",
        )
    if not path.parent.is_dir():
        raise FormatError(f"there is no folder {path.parent}.", "Nothing was written.", "Make the folder first.")


def _put(part: Path, path: Path) -> None:
    """Rename; a folder in the way is first moved aside, because folders cannot be replaced in one step."""
    if not path.is_dir():
        os.replace(part, path)
        return
    aside = path.with_name(f".{uuid4().hex[:12]}.old")
    os.replace(path, aside)
    try:
        os.replace(part, path)
    except OSError:
        os.replace(aside, path)
        raise
    remove(aside)
