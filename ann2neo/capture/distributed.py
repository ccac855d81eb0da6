"""Several processes that record into one store, as `torchrun` starts them."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

from ann2neo.errors import Ann2NeoError

Result = TypeVar("Result")
# Whoever is done waits for the others; a process that dies closes its connections, which is noticed at once.
PATIENCE = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """All processes that record together.

    Parameters
    ----------
    rank
        Number of this process.
    n
        How many there are.
    group
        Through which they speak to each other.
    """

    rank: int = 0
    n: int = 1
    group: Any = None

    def from_first(self, work: Callable[[], Result]) -> Result:
        """Let the first process do some work and tell the others what came of it, be it an error."""
        if self.n == 1:
            return work()
        box: list[Any] = [_outcome(work)] if self.rank == 0 else [None]
        dist.broadcast_object_list(box, src=0, group=self.group)
        result, error = box[0]
        if error is not None:
            raise error
        return result

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.n > 1:
            dist.barrier(group=self.group)


def world() -> tuple[int, int]:
    """Give the number of this process and how many there are, as torch.distributed or the environment says.

    Examples
    --------
    >>> world()
    (0, 1)
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    if all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")):
        return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return 0, 1


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the other processes, in a group of their own that speaks gloo: what they tell each other is little and never lies on a GPU."""
    rank, n = world()
    if n == 1:
        yield Processes()
        return
    group: Any = dist.new_group(backend="gloo", timeout=PATIENCE) if dist.is_initialized() else _first_group(rank, n)
    try:
        yield Processes(rank=rank, n=n, group=group)
    finally:
        dist.destroy_process_group(group)


def _first_group(rank: int, n: int) -> Any:
    """Make the group of all processes where the user made none; it is taken down again, so that the user still can."""
    # Not every build of torch has it.
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(iter(rendezvous("env://", rank, n)))
    # Under the keys of an earlier group its addresses would be found. All have joined that one, so that they count alike.
    call = (store.add("ann2neo/joined", 1) - 1) // n
    dist.init_process_group(
        "gloo", store=PrefixStore(f"ann2neo/{call}", store), rank=rank, world_size=n, timeout=PATIENCE
    )
    return None


def deal(spans: Sequence[Result], processes: Processes) -> list[Result]:
    """Give each process every n-th span.

    Examples
    --------
    >>> deal("abcde", Processes(rank=1, n=2))
    ['b', 'd']
    """
    return list(spans[processes.rank :: processes.n])


def _outcome(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    # Whatever it is, it is raised again in every process.
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return None, Ann2NeoError(f"the first process failed with {type(error).__name__}: {error}")
        return None, error
