"""Bytes that are on the disk, and not only in the memory of the operating system."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

SECONDS_BETWEEN_SYNCS = 5.0
# A file system writes its journal once for all who wait at the same time: eight threads take a sixth of the time of one.
N_THREADS = 8


@dataclass(slots=True)
class Unsynced:
    """Files that were written and may still be lost when the power fails.

    They are synced together every few seconds and at the end, since to wait for the disk after each file would cost more than recording does. When a sync has returned, all that
    was written before it survives a loss of power. What speaks of other files is synced after them, so that a sync that is cut short never leaves an entry of the log that is
    safe and chunks that are not. Between two syncs the operating system writes in any order: what a log says of a column that was lost is then noticed by its check sums when
    the recording goes on, and the column is recorded again.

    Parameters
    ----------
    files
        Chunks, and parts of columns.
    entries
        Entries of the log, which speak of chunks.
    last
        When all was synced for the last time, in seconds of a monotonic clock.
    """

    files: list[str] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)

    def sync_if_due(self) -> None:
        """Sync all if the last time was some seconds ago."""
        if time.monotonic() - self.last > SECONDS_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Wait until all files, and their names, are on the disk: first the chunks, then the entries that speak of them."""
        files, self.files = self.files, []
        entries, self.entries = self.entries, []
        sync_files(files)
        sync_files(entries)
        self.last = time.monotonic()


def sync_files(files: Iterable[str]) -> None:
    """Wait until files, and their names in their folders, are on the disk; files that were replaced or removed since are left out."""
    known = list(dict.fromkeys(files))
    if not known:
        return
    with ThreadPoolExecutor(min(N_THREADS, len(known)), thread_name_prefix="ann2neo-syncing") as threads:
        list(threads.map(_sync_file, known))
        list(threads.map(_sync_folder, dict.fromkeys(os.path.dirname(file) for file in known)))


def _sync_file(file: str) -> None:
    with suppress(FileNotFoundError):
        _sync(file, os.O_RDONLY)


def _sync_folder(folder: str) -> None:
    # Not every file system syncs folders.
    with suppress(OSError):
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: str, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
