"""Syncing of files, so that bytes are on the disk and not only in the memory of the operating system."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

SECONDS_BETWEEN_SYNCS = 5.0
# A file system writes its journal once for all threads that wait at the same time: eight threads take a sixth of the time of one.
N_THREADS = 8


@dataclass(slots=True)
class Unsynced:
    """Files that were written but may still be lost if the power fails.

    They are synced together every few seconds and at the end, because waiting for the disk after each file would cost more than recording does. When a sync has returned, all files
    written before it survive a loss of power. Entries of the log are synced after the chunks that they list, so that an interrupted sync never leaves a safe entry without its
    chunks. Between two syncs the operating system writes in any order: the check sums of an entry then show that its column was lost when
    the recording is resumed, and the column is recorded again.

    Parameters
    ----------
    files
        Chunks, and parts of columns.
    entries
        Entries of the log, which list chunks.
    last
        Time of the last sync, in seconds of a monotonic clock.
    """

    files: list[str] = field(default_factory=list)
    entries: list[str] = field(default_factory=list)
    last: float = field(default_factory=time.monotonic)

    def sync_if_due(self) -> None:
        """Sync all files if the last sync was some seconds ago."""
        if time.monotonic() - self.last > SECONDS_BETWEEN_SYNCS:
            self.sync()

    def sync(self) -> None:
        """Wait until all files, and their names, are on the disk: first the chunks, then the entries that list them."""
        files, self.files = self.files, []
        entries, self.entries = self.entries, []
        sync_files(files)
        sync_files(entries)
        self.last = time.monotonic()


def sync_files(files: Iterable[str]) -> None:
    """Wait until files, and their names in their folders, are on the disk; skip files that were replaced or removed since."""
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
    # Some file systems cannot sync folders.
    with suppress(OSError):
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: str, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
