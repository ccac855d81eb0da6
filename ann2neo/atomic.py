"""Atomic writes: files and folders that appear under their name only when they are complete."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import re
import shutil
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from ann2neo.arguments import check_flag
from ann2neo.errors import Ann2NeoWarning, FormatError, OutputExists
from ann2neo.ownership import SIGNATURE, Marker, files_of

# On a full disk HDF5 raises a RuntimeError with these words.
HDF5_FAILED = "write failed"
OF_THE_DISK = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS))
AT_FDCWD, RENAME_NOREPLACE, RENAME_EXCHANGE = -100, 1, 2
MANY_FILES = 200


@contextmanager
def complete_or_absent(
    path: Path, *, overwrite: bool = False, marker: Marker | None = None, inputs: Sequence[Path] = ()
) -> Iterator[Path]:
    """Yield a temporary name next to ``path`` to write to, and rename it to ``path`` when everything is written and on the disk.

    If writing fails or is interrupted, the previous content of ``path`` is kept. Where the operating system can exchange two names, ``path`` always exists during a replacement.
    Files that killed calls left for the same name are removed. A link is followed, and the new file takes over the permissions of the one that it replaces.

    Parameters
    ----------
    path
        Final name of the file or folder.
    overwrite
        Whether an existing file or folder of this name may be replaced.
    marker
        For a folder: how to recognize one that may be replaced; a folder with other files is never replaced. None for a file.
    inputs
        Files that are read in the meantime, which must not lie in a folder that is replaced.

    Raises
    ------
    OutputExists
        If the file or folder exists and may not be replaced.
    FormatError
        If the parent folder does not exist, or the operating system refuses to write (a full disk, no permission).

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
        if overwrite:
            _put(part, final)
        else:
            _put_new(part, final)
        _sync_folder(final.parent)
        _keep_strangers(part, final, marker)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and HDF5_FAILED not in str(error):
            raise
        raise _refused(path, part, error) from error
    finally:
        remove(part)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait for other calls that write several files into a folder which belong together, where its disk can lock it.

    The operating system releases the lock however the process ends.

    Examples
    --------
    >>> import tempfile
    >>> with one_at_a_time(Path(tempfile.mkdtemp())):
    ...     pass
    """
    with ExitStack() as held:
        # A disk that cannot lock folders leaves things as they are: two files may then be those of two calls, which reading refuses.
        with suppress(OSError):
            opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            held.callback(os.close, opened)
            fcntl.flock(opened, fcntl.LOCK_EX)
            # Not left to closing: a process that is forked meanwhile has the folder open, too.
            held.callback(fcntl.flock, opened, fcntl.LOCK_UN)
        yield


def reserve(part: Path, n_bytes: int) -> None:
    """Reserve space on the disk before writing, where the operating system can, so that a full disk is detected at once.

    HDF5 crashes the whole process when it closes a file that it could not write completely.
    """
    with part.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, n_bytes)


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_target(path: Path, overwrite: bool, *, marker: Marker | None = None, inputs: Sequence[Path] = ()) -> None:
    """Check before any work that a name is free or may be replaced, and that its folder exists.

    Raises
    ------
    OutputExists
        If the file or folder exists and may not be replaced.
    FormatError
        If the parent folder does not exist.
    """
    check_flag(overwrite, "overwrite", error=OutputExists)
    try:
        _check_target(path, overwrite, marker, inputs)
    except OSError as error:
        raise FormatError(
            f"{path} could not be written ({error.strerror or error}).",
            "Nothing was written; a previous file is unchanged.",
            "Check its name, and the permissions of the folders in which it lies, or write somewhere else.",
        ) from error


def _check_target(path: Path, overwrite: bool, marker: Marker | None, inputs: Sequence[Path]) -> None:
    if path.exists() and not overwrite:
        raise OutputExists(
            f"{path} already exists.",
            "Nothing was written.",
            "Choose another name, or allow overwriting it (overwrite=True, --overwrite).",
        )
    if path.is_dir() and any(path.iterdir()):
        _check_folder(path, marker, inputs)
    elif path.is_file() and marker is not None:
        raise OutputExists(
            f"{path} is a file, and {marker.kind} is a folder.",
            "The file would be lost: nothing was written.",
            "Choose another name, or remove the file yourself.",
        )
    elif path.exists() and not path.is_dir() and not path.is_file():
        raise OutputExists(
            f"{path} is a pipe or a device.", "It would be lost: nothing was written.", "Choose another name."
        )
    # A link may point into a folder that does not exist, next to which it lies in one that does.
    parent = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
    if not parent.is_dir():
        raise FormatError(f"there is no folder {parent}.", "Nothing was written.", "Make the folder first.")


def _check_folder(path: Path, marker: Marker | None, inputs: Sequence[Path]) -> None:
    """Check that a folder to be replaced holds only files that ann2neo wrote, and none of the inputs."""
    strangers = ["it is a folder"] if marker is None else marker.strangers(path)
    if strangers:
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        unlisted = marker is not None and marker.sign is not None and not (path / SIGNATURE).exists()
        more += " (ann2neo 0.1.0 kept no list of its files, so that they cannot be recognized)" if unlisted else ""
        raise OutputExists(
            f"the folder {path} holds files that ann2neo did not write, or that were changed since: {', '.join(strangers[:3])}{more}.",
            "They would be lost: nothing was written.",
            "Choose another name, or remove the folder yourself.",
        )
    folder = Path(os.path.realpath(path))
    inside = [given for given in inputs if folder in (real := Path(os.path.realpath(given))).parents or real == folder]
    if inside:
        raise OutputExists(
            f"{inside[0]} lies in {path}, which would be replaced.",
            "It would be lost: nothing was written.",
            "Choose another name, or move the file elsewhere first.",
        )


def _refused(path: Path, part: Path, error: OSError | RuntimeError) -> FormatError:
    """Make the error that names the file that the operating system refused: the one being written, or another that it needs."""
    named = getattr(error, "filename", None)
    name = Path(named).absolute() if isinstance(named, str) else part.absolute()
    other = not name.is_relative_to(part.absolute()) and name not in (path.absolute(), path.parent.absolute())
    if other and getattr(error, "errno", None) not in OF_THE_DISK:
        return FormatError(
            f"{path} could not be made: {name} could not be used ({_reason(error)}).",
            "Nothing was left on the disk; a previous file is unchanged.",
            f"Check that {name} exists and may be read and written.",
        )
    return FormatError(
        f"{path} could not be written ({_reason(error)}).",
        "Nothing was left on the disk; a previous file is unchanged.",
        "Check free space and permissions, or write somewhere else.",
    )


def _reason(error: OSError | RuntimeError) -> str:
    known = getattr(error, "strerror", None)
    in_text = re.search(r"error message = '([^']*)'", str(error))
    return known or (in_text[1] if in_text else str(error).splitlines()[0])


def _put(part: Path, path: Path) -> None:
    """Rename ``part`` to ``path``; if ``path`` is a folder, exchange both names, so that ``part`` names the old folder."""
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


def _put_new(part: Path, path: Path) -> None:
    """Rename ``part`` to a name that is free, also where another call takes it at this moment."""
    try:
        _rename_new(part, path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR):
            raise
        raise OutputExists(
            f"{path} already exists: it was written while this call was at work.",
            "It is unchanged, and nothing was written here.",
            "Choose another name, or allow overwriting it (overwrite=True, --overwrite).",
        ) from error


def _rename_new(part: Path, path: Path) -> None:
    failed = _renamed(part, path, RENAME_NOREPLACE)
    if failed == errno.EEXIST:
        raise FileExistsError(failed, os.strerror(failed), os.fspath(path))
    if failed and part.is_dir():
        os.rename(part, path)  # fails if a folder is there that holds something
    elif failed:
        try:
            os.link(part, path)
        except FileExistsError:
            raise
        except OSError:  # a disk without links
            os.replace(part, path)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names atomically, if the operating system and the disk can."""
    return _renamed(one, other, RENAME_EXCHANGE) == 0


def _renamed(one: Path, other: Path, how: int) -> int:
    """Rename in a way that Linux offers; return 0, or the number of the error."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return errno.ENOSYS
    done = rename(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), how)
    return 0 if done == 0 else ctypes.get_errno() or errno.EINVAL


def _keep_strangers(old: Path, path: Path, marker: Marker | None) -> None:
    """Keep files that were added to a folder while it was being replaced."""
    if marker is None or not old.is_dir() or not marker.strangers(old):
        return
    kept = path.with_name(f"{path.name}.kept-{uuid4().hex[:6]}")
    os.replace(old, kept)
    warnings.warn(
        Ann2NeoWarning(
            f"{path} was replaced, but other files had been added to it in the meantime: all of them are in {kept}."
        ),
        stacklevel=5,
    )


def _take_over_mode(old: Path, part: Path) -> None:
    with suppress(OSError):
        os.chmod(part, old.stat().st_mode & 0o7777)


def _sync(part: Path) -> None:
    """Wait until everything is on the disk, so that after a loss of power the name refers to a complete file or to none."""
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
    # Some file systems cannot sync folders, which is not an error.
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def _beside(path: Path, end: str) -> Path:
    """Return a name next to a path that identifies the process that made it."""
    return path.with_name(f".{path.name[:80]}.{_place()}.{os.getpid()}.{uuid4().hex[:8]}.{end}")


def _place() -> str:
    """Return an identifier of the machine, or of the container, in which process ids are unique."""
    try:
        numbered_in = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbered_in = ""
    return hashlib.blake2s(f"{socket.gethostname()} {numbered_in}".encode()).hexdigest()[:8]


def _remove_left_behind(path: Path) -> None:
    """Remove the files that killed calls on this machine left for this name."""
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
