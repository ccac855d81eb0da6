"""Bytes that are on the disk, and not only in the memory of the operating system."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

SECONDS_BETWEEN_SYNCS = 5.0


@dataclass(slots=True)
class Unsynced:
    """Files that were written and may still be lost when the power fails.

    They are synced together every few seconds, since to wait for the disk after each file would cost more than recording does. What a log says of a column that was lost
    after all is noticed by its check sums when the recording goes on.
    """

    files: list[str] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)

    def sync_if_due(self) -> None:
        """Sync all if the last time was some seconds ago."""
        if time.monotonic() - self.last > SECONDS_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Wait until all files, and their names, are on the disk."""
        files, self.files = self.files, []
        sync_files(files)
        self.last = time.monotonic()


def sync_files(files: Iterable[str]) -> None:
    """Wait until files, and their names in their folders, are on the disk; files that were replaced or removed since are left out."""
    known = list(dict.fromkeys(files))
    for file in known:
        with suppress(FileNotFoundError):
            _sync(file, os.O_RDONLY)
    for folder in dict.fromkeys(os.path.dirname(file) for file in known):
        # Not every file system syncs folders.
        with suppress(OSError):
            _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: str, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
