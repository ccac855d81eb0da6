"""Files and folders that appear under their name only when they are complete."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import shutil
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from ann2neo.arguments import check_flag
from ann2neo.errors import Ann2NeoWarning, FormatError, OutputExists
from ann2neo.ownership import Marker, files_of

# On a full disk HDF5 raises a RuntimeError that says so.
HDF5_FAILED = "write failed"
OF_THE_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS))
AT_FDCWD, RENAME_EXCHANGE = -100, 2
MANY_FILES = 200


@contextmanager
def complete_or_absent(
    path: Path, *, overwrite: bool = False, marker: Marker | None = None, inputs: Sequence[Path] = ()
) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write to, and give it its final name when everything went well and is on the disk.

    If writing fails or is interrupted, whatever was under ``path`` before is still there. The name never is without a thing, where the operating system can
    exchange two names. What killed calls left behind for the same name is removed. A link is followed, and what is replaced hands on its permissions.

    Parameters
    ----------
    path
        Final name of the file or folder.
    overwrite
        Whether something that has this name may be replaced.
    marker
        For a folder: how one is known that may be replaced; a folder that holds other things never is. None for a file.
    inputs
        Files that are read meanwhile, which must not lie in what is replaced.

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
    check_target(path, overwrite, marker=marker, inputs=inputs)
    final = Path(os.path.realpath(path)) if path.is_symlink() else path
    _remove_left_behind(final)
    part = _beside(final, f"part{path.suffix}")
    try:
        yield part
        check_target(path, overwrite, marker=marker, inputs=inputs)
        if marker is not None and marker.sign is not None:
            marker.sign(part)
        _take_over_mode(final, part)
        _sync(part)
        _put(part, final)
        _sync_folder(final.parent)
        _keep_strangers(part, final, marker)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and HDF5_FAILED not in str(error):
            raise
        raise _refused(path, part, error) from error
    finally:
        remove(part)


def reserve(part: Path, n_bytes: int) -> None:
    """Take room on the disk before writing, as far as the operating system can, so that a full disk is noticed at once.

    HDF5 crashes the whole process when it closes a file that it could not write to the end.
    """
    with part.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_target(path: Path, overwrite: bool, *, marker: Marker | None = None, inputs: Sequence[Path] = ()) -> None:
    """Refuse a name that is taken or whose folder does not exist, before any work is done.

    Raises
    ------
    OutputExists
        If something has this name and may not be replaced.
    FormatError
        If the folder around it does not exist.
    """
    check_flag(overwrite, "overwrite", error=OutputExists)
    if path.exists() and not overwrite:
        raise OutputExists(
            f"{path} exists already.", "Nothing was written.", "Choose another name, or allow overwriting it."
        )
    if path.is_dir() and any(path.iterdir()):
        _check_folder(path, marker, inputs)
    elif path.exists() and marker is not None and not path.is_dir():
        raise OutputExists(
            f"{path} is a file, and {marker.kind} is a folder.",
            "The file would be lost: nothing was written.",
            "Choose another name, or remove the file yourself.",
        )
    if not Path(os.path.realpath(path)).parent.is_dir():
        raise FormatError(f"there is no folder {path.parent}.", "Nothing was written.", "Make the folder first.")


def _check_folder(path: Path, marker: Marker | None, inputs: Sequence[Path]) -> None:
    """Refuse to replace a folder in which there is anything that was not written by us, or that is read just now."""
    strangers = ["it is a folder"] if marker is None else marker.strangers(path)
    if strangers:
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        raise OutputExists(
            f"the folder {path} holds other things than ann2neo wrote there, or they were changed since: {', '.join(strangers[:3])}{more}.",
            "They would be lost: nothing was written.",
            "Choose another name, or remove the folder yourself.",
        )
    folder = Path(os.path.realpath(path))
    inside = [given for given in inputs if folder in (real := Path(os.path.realpath(given))).parents or real == folder]
    if inside:
        raise OutputExists(
            f"{inside[0]} lies in {path}, which would be replaced.",
            "It would be lost: nothing was written.",
            "Choose another name, or move it elsewhere first.",
        )


def _refused(path: Path, part: Path, error: OSError | RuntimeError) -> FormatError:
    """Say which file the operating system refused: the one that was written, or another that was needed for it."""
    named = getattr(error, "filename", None)
    name = Path(named).absolute() if isinstance(named, str) else part.absolute()
    other = not name.is_relative_to(part.absolute()) and name not in (path.absolute(), path.parent.absolute())
    if other and getattr(error, "errno", None) not in OF_THE_DISK:
        return FormatError(
            f"{path} could not be made: {name} could not be used ({_reason(error)}).",
            "No file was left behind; what was there before is unchanged.",
            f"Check that {name} is there and may be read and written.",
        )
    return FormatError(
        f"{path} could not be written ({_reason(error)}).",
        "No file was left behind; what was there before is unchanged.",
        "Check free space and permissions, or write somewhere else.",
    )


def _reason(error: OSError | RuntimeError) -> str:
    known = getattr(error, "strerror", None)
    in_text = re.search(r"error message = '([^']*)'", str(error))
    return known or (in_text[1] if in_text else str(error).splitlines()[0])


def _put(part: Path, path: Path) -> None:
    """Rename; where a folder is in the way both names are exchanged, so that ``part`` names what was there."""
    if not path.is_dir():
        os.replace(part, path)
        return
    if _exchange(part, path):
        return
    aside = _beside(path, "old")
    os.replace(path, aside)
    try:
        os.replace(part, path)
    except OSError:
        os.replace(aside, path)
        raise
    os.replace(aside, part)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step, if the operating system and the disk can."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


def _keep_strangers(old: Path, path: Path, marker: Marker | None) -> None:
    """Keep what came into a folder while it was being replaced."""
    if marker is None or not old.is_dir() or not marker.strangers(old):
        return
    kept = path.with_name(f"{path.name}.kept-{uuid4().hex[:6]}")
    os.replace(old, kept)
    warnings.warn(
        Ann2NeoWarning(
            f"{path} was replaced, but something else had come into it meanwhile: all of it lies in {kept}."
        ),
        stacklevel=5,
    )


def _take_over_mode(old: Path, part: Path) -> None:
    with suppress(OSError):
        os.chmod(part, old.stat().st_mode & 0o7777)


def _sync(part: Path) -> None:
    """Wait until all of it is on the disk, so that a host without power has either all of it or nothing under its name."""
    if not part.is_dir():
        _sync_file(part)
        return
    names = list(files_of(part))
    if len(names) > MANY_FILES:
        os.sync()
        return
    for name in names:
        _sync_file(part / name)
    for folder in {(part / name).parent for name in names}:
        _sync_folder(folder)


def _sync_file(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    # Not every file system can, and what it cannot is no reason to refuse.
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _beside(path: Path, end: str) -> Path:
    """Name something beside a path, in which the process that made it is known again."""
    return path.with_name(f".{path.name[:80]}.{_place()}.{os.getpid()}.{uuid4().hex[:8]}.{end}")


def _place() -> str:
    """Tell apart machines, and containers in one, whose processes have numbers of their own."""
    try:
        numbered_in = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbered_in = ""
    return hashlib.blake2s(f"{socket.gethostname()} {numbered_in}".encode()).hexdigest()[:8]


def _remove_left_behind(path: Path) -> None:
    """Remove what calls that were killed on this machine left behind for this name."""
    begin = f".{path.name[:80]}.{_place()}."
    with suppress(OSError):
        for found in path.parent.iterdir():
            if found.name.startswith(begin):
                number = found.name[len(begin) :].split(".")[0]
                if number.isdecimal() and not _is_alive(int(number)):
                    remove(found)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
