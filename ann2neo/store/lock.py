"""One writer at a time: a lock next to the store that names its holder and since when."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ann2neo.errors import StoreError

# Some file systems cannot lock files, or cannot be written: writing is then refused, or guarded by the store's id alone.
UNLOCKABLE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC)
TAKEN = (errno.EAGAIN, errno.EACCES)
# The operating system's lock distinguishes processes, but not the threads of one.
_held_here: set[str] = set()
_guard = threading.Lock()


def lock_path(path: Path) -> Path:
    """Return the path of the lock of a store: next to the store, because the store itself may be replaced.

    Examples
    --------
    >>> lock_path(Path("a.zarr")).name
    '.a.zarr.lock'
    """
    whole = path.resolve()
    return whole.with_name(f".{whole.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a store for as long as the context lasts.

    The operating system releases it however the process ends, so that a leftover lock file blocks no one. Forked processes do not
    inherit it.

    Raises
    ------
    StoreError
        If another process, or another thread, holds it.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.zarr"
    >>> with locked(path):
    ...     lock_path(path).exists()
    True
    >>> lock_path(path).exists()
    False
    """
    file = lock_path(path)
    _claim(path, file)
    try:
        descriptor = _acquired(path, file)
        try:
            yield
        finally:
            if descriptor is not None:
                # Removed before it is released: a process that opened it in between finds that its name is gone, and tries again.
                with suppress(OSError):
                    file.unlink()
                os.close(descriptor)
    finally:
        with _guard:
            _held_here.discard(str(file))


def _claim(path: Path, file: Path) -> None:
    with _guard:
        if str(file) in _held_here:
            raise _taken(path, "another thread of this process")
        _held_here.add(str(file))


def _acquired(path: Path, file: Path) -> int | None:
    """Lock the file and write its holder into it; None where files cannot be locked."""
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            # A missing folder is reported by the code that writes into it.
            if error.errno in (*UNLOCKABLE, errno.ENOENT, errno.ENOTDIR):
                return None
            raise
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = _owner(descriptor)
            os.close(descriptor)
            if error.errno in TAKEN:
                raise _taken(path, owner) from None
            if error.errno in UNLOCKABLE:
                return None
            raise
        if _is_named(descriptor, file):
            # Naming the holder is optional: a full disk has no room for it.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, _signed(), 0)
            return descriptor
        os.close(descriptor)


def _is_named(descriptor: int, file: Path) -> bool:
    """Return whether the locked file still has its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False


def _signed() -> bytes:
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}).encode()


def _owner(descriptor: int) -> str:
    """Describe the holder of a lock, and for how long it has held it."""
    try:
        found = json.loads(os.pread(descriptor, 1 << 12, 0))
        age = max(0, round(time.time() - found["since"]))
        return f"process {int(found['pid'])} on {found['host']}, for {age} s"
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return "another process"


def _taken(path: Path, owner: str) -> StoreError:
    return StoreError(
        f"{path} is being recorded into by {owner}.",
        "Two recordings into one store would mix: nothing was recorded here, and the other recording continues.",
        "Wait until it is done (the same call then opens the store), end it, or record into another store.",
    )
