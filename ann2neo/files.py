"""Files: the content of regular files; pipes and devices, whose reading may never end, are refused."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from ann2neo.errors import FormatError, suggestion

# A pipe without a writer would otherwise be waited for when it is opened.
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
NO_FILE = "it is neither a file nor a link to one"


def read_content(path: str | os.PathLike[str], *, most: int | None = None) -> bytes:
    """Read a whole regular file.

    Parameters
    ----------
    path
        Name of the file.
    most
        Bytes that it may hold; None for any number.

    Raises
    ------
    OSError
        If it cannot be read, is a folder, a pipe or a device, or is larger than ``most`` bytes or than memory.

    Examples
    --------
    >>> read_content(os.devnull)
    Traceback (most recent call last):
        ...
    OSError: [Errno 22] it is neither a file nor a link to one: '/dev/null'
    """
    descriptor, size = opened(path)
    try:
        if most is not None and size > most:
            raise OSError(errno.EFBIG, f"it has {size} bytes, and {most} at most were written", os.fspath(path))
        return _all_bytes(descriptor, size)
    except MemoryError as error:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM), os.fspath(path)) from error
    finally:
        os.close(descriptor)


def opened(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Open a regular file for reading, and return its descriptor and its size in bytes.

    Raises
    ------
    OSError
        If it cannot be read, or is a folder, a pipe or a device.
    """
    descriptor = os.open(path, FLAGS)
    about = os.fstat(descriptor)
    if stat.S_ISREG(about.st_mode):
        return descriptor, about.st_size
    os.close(descriptor)
    if stat.S_ISDIR(about.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    raise OSError(errno.EINVAL, NO_FILE, os.fspath(path))


def check_readable(path: Path, *, folder: bool = False) -> None:
    """Check that a name is a file, or perhaps a folder, that may be read, before a library opens it.

    Raises
    ------
    FormatError
        If it is missing, a pipe or a device, or may not be read; the message names the reason.

    Examples
    --------
    >>> check_readable(Path(os.devnull))
    Traceback (most recent call last):
        ...
    ann2neo.errors.FormatError: /dev/null is a pipe or a device, not a file.
    Nothing was read.
    Check the name; write what a pipe or a device gives to a file first.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            os.close(os.open(path, FLAGS))
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # no name holds a NUL byte
        near = suggestion(path.name, (other.name for other in path.absolute().parent.glob("*")))
        raise FormatError(
            f"there is no file {path}.{near}", "Nothing was read.", "Check the name and the folder."
        ) from error
    except OSError as error:
        raise FormatError(
            f"{path} cannot be read ({error.strerror or error}).",
            "Nothing was read.",
            "Check that the disk is mounted, and the permissions of the file and its folders.",
        ) from error
    if not (stat.S_ISREG(mode) or (folder and stat.S_ISDIR(mode))):
        raise FormatError(
            f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'a pipe or a device'}, not a file.",
            "Nothing was read.",
            "Check the name; write what a pipe or a device gives to a file first.",
        )


def _all_bytes(descriptor: int, size: int) -> bytes:
    """Read to the end; a file that grows meanwhile is read as far as it goes."""
    content = os.read(descriptor, size + 1)
    if len(content) == size:
        return content
    parts = [content]
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)
