"""Threads over units: kernels release the GIL, and the results of a unit do not depend on other units."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

UNITS_PER_TASK = 512


def over_units(
    task: Callable[[int, int], object],
    n_units: int,
    *,
    n_threads: int | None = None,
    units_per_task: int = UNITS_PER_TASK,
) -> None:
    """Call a task for consecutive ranges of units in several threads; an error in any of them is raised.

    Parameters
    ----------
    task
        Function that is called with the first unit of a range and the unit after its last.
    n_units
        Number of units.
    n_threads
        Number of threads; None for one per processor that this process may use.
    units_per_task
        Number of units per range.

    Examples
    --------
    >>> seen = []
    >>> over_units(lambda first, last: seen.append((first, last)), 5, n_threads=1, units_per_task=2)
    >>> seen
    [(0, 2), (2, 4), (4, 5)]
    """
    ranges = [(first, min(first + units_per_task, n_units)) for first in range(0, n_units, units_per_task)]
    workers = min(available_processors() if n_threads is None else n_threads, len(ranges))
    if workers <= 1:
        for first, last in ranges:
            task(first, last)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(task, first, last) for first, last in ranges]:
            done.result()


def available_processors() -> int:
    """Count the processors that this process may use; a scheduler may have limited them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
