"""Progress bars: one look in terminals and notebooks, and none in logs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import Any

with warnings.catch_warnings():
    # A notebook without ipywidgets shows no bar; tqdm would write a path of the machine into the page to say so.
    warnings.filterwarnings("ignore", message="IProgress not found")
    from tqdm.auto import tqdm


def progress_bar(
    iterable: Iterable[Any] | None = None,
    *,
    shown: bool,
    desc: str,
    unit: str,
    total: int | None = None,
    initial: int = 0,
) -> tqdm:
    """Make a progress bar that disappears when it is full, so that a sweep of many calls shows one bar at a time.

    In a notebook it is a widget where ipywidgets is installed, and nothing otherwise. Where standard error is neither a terminal nor a notebook, such as a file or a log, nothing is written,
    nor where tqdm is disabled by its variable of the environment, ``TQDM_DISABLE=1``.

    Parameters
    ----------
    iterable
        What is counted as it is read; None to count by `update`.
    shown
        Whether there is to be a bar at all.
    desc
        What is done.
    unit
        What is counted.
    total
        How many there are; None if unknown.
    initial
        How many are done already.

    Examples
    --------
    >>> with progress_bar(range(3), shown=False, desc="reading", unit="file") as bar:
    ...     list(bar)
    [0, 1, 2]
    """
    hidden = None if shown and not os.environ.get("TQDM_DISABLE") else True
    return tqdm(iterable, desc=desc, unit=unit, total=total, initial=initial, disable=hidden, leave=False)
