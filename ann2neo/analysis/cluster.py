"""Chunks on several processes or machines, through Dask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ann2neo.errors import AnalysisError
from ann2neo.extras import require

T = TypeVar("T")


def map_on_cluster(
    function: Callable[..., T], items: Sequence[Any], scheduler: str, *arguments: Any
) -> Iterator[tuple[int, T]]:
    """Call ``function(item, *arguments)`` for each item on the workers of a running cluster, and give place and result as they come.

    A task whose worker dies is run again by another. Our own errors arrive as they are.

    Parameters
    ----------
    function
        What to call; its arguments and results must be picklable, and ann2neo must be installed where the workers run.
    items
        One for each call.
    scheduler
        Address of the scheduler, such as ``tcp://127.0.0.1:8786``.
    arguments
        Further arguments of every call.

    Raises
    ------
    AnalysisError
        If there is no scheduler at this address.
    MissingPackage
        If Dask is not installed.
    """
    distributed = require("dask.distributed", to="scheduler=")
    try:
        client = distributed.Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise AnalysisError(
            f"there is no Dask scheduler at {scheduler!r} ({type(error).__name__}).",
            "Nothing was computed.",
            "Start one with `dask scheduler` and workers with `dask worker`, or leave scheduler out.",
        ) from error
    with client:
        # pure=False: two chunks with equal bits are still two chunks.
        futures = client.map(function, items, *([argument] * len(items) for argument in arguments), pure=False)
        places = {future.key: place for place, future in enumerate(futures)}
        for future in distributed.as_completed(futures, loop=client.loop):
            yield places[future.key], future.result()
            future.release()
