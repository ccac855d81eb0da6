"""Several processes that record into one store, as `torchrun` starts them."""

from __future__ import annotations

import os
import pickle
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

import torch.distributed as dist

from ann2neo.errors import Ann2NeoError, Ann2NeoWarning, InputsError, StoreError

Result = TypeVar("Result")
# Whoever has recorded its part waits for the others; a process that dies closes its connections, which is noticed at once.
PATIENCE = timedelta(days=14)
# Whoever begins waits for the others as long as this, and says after a while for whom.
SECONDS_TO_JOIN, SECONDS_OF_SILENCE, SECONDS_TO_CONFIRM = 40.0, 8.0, 10.0
VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
ALONE = "record(..., processes=1) lets a process record alone, into a store of its own"


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
        """Let the first process do some work and tell the others what came of it, also if that is an error."""
        if self.n == 1:
            return work()
        box: list[Any] = [_outcome(work)] if self.rank == 0 else [None]
        with _gone_is_told():
            dist.broadcast_object_list(box, src=0, group=self.group)
        result, error = box[0]
        if error is not None:
            raise error
        return result

    def together(self, work: Callable[[], Result]) -> list[Result]:
        """Let every process do some work and tell all others what came of it; an error in one is raised in all.

        Raises
        ------
        Exception
            The error of this process, or else that of the first one that has one.
        """
        if self.n == 1:
            return [work()]
        outcomes: list[Any] = [None] * self.n
        own = _outcome(work)
        with _gone_is_told():
            dist.all_gather_object(outcomes, own, group=self.group)
        for rank, (_, error) in [(self.rank, own), *enumerate(outcomes)]:
            if error is not None:
                if rank != self.rank:
                    error.add_note(f"This was raised by process {rank} of {self.n}.")
                raise error
        return [result for result, _ in outcomes]

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.n > 1:
            with _gone_is_told():
                dist.barrier(group=self.group)


@contextmanager
def _gone_is_told() -> Iterator[None]:
    """Raise an error of ours where a process that was waited for is gone."""
    try:
        yield
    except RuntimeError as error:
        raise StoreError(
            f"another of the processes that record together has failed or ended ({str(error).splitlines()[0][:200]}).",
            "What was recorded is kept, but the recording is not complete.",
            "Look at the message of that process; the same call goes on with the rest.",
        ) from error


def world() -> tuple[int, int]:
    """Find the number of this process and how many there are, as torch.distributed or the environment says.

    Whether those that the environment speaks of are there is not known before they have `joined`.

    Raises
    ------
    InputsError
        If the environment speaks of processes in a way that cannot be understood.

    Examples
    --------
    >>> world()
    (0, 1)
    """
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    if not all(name in os.environ for name in VARIABLES):
        return 0, 1
    given = ", ".join(f"{name}={os.environ[name]}" for name in VARIABLES if name != "MASTER_ADDR")
    try:
        rank, n, _ = (int(os.environ[name]) for name in VARIABLES if name != "MASTER_ADDR")
    except ValueError:
        _refuse_environment(given)
    if not 0 <= rank < n:
        _refuse_environment(given)
    return rank, n


def _refuse_environment(given: str) -> NoReturn:
    raise InputsError(
        f"the environment speaks of several processes, but in no way that can be understood ({given}).",
        "It is unclear with whom to record: nothing was recorded.",
        f"Unset these variables if there is but one process; {ALONE}.",
    )


def check_processes(processes: Any) -> None:
    """Refuse a number of processes that cannot be asked for.

    Raises
    ------
    InputsError
        If it is neither None nor 1.
    """
    if processes is not None and (isinstance(processes, bool) or processes != 1):
        raise InputsError(
            f"processes={processes!r} is not a number of processes that can be asked for.",
            "Nothing was recorded.",
            "Use processes=1 to record alone; without it all processes of torch.distributed record together.",
        )


@contextmanager
def joined(processes: int | None = None) -> Iterator[Processes]:
    """Join the other processes, in a group of their own that speaks gloo: what they tell each other is little and never lies on a GPU.

    Parameters
    ----------
    processes
        1 to record alone, against torch.distributed and the environment; None to record with all that these speak of.

    Raises
    ------
    StoreError
        If not all of them come within a minute.
    InputsError
        If the number is another one, or the environment cannot be understood.
    """
    check_processes(processes)
    rank, n = world() if processes is None else (0, 1)
    if n == 1:
        yield Processes()
        return
    with _gone_is_told():
        group = _group_of_all(rank, n)
    try:
        yield Processes(rank=rank, n=n, group=group)
    finally:
        dist.destroy_process_group(group)


def _group_of_all(rank: int, n: int) -> Any:
    """Meet the others, then make a group of all; None is the group that torch.distributed takes if none is named."""
    is_users = dist.is_initialized()
    # Not every build of torch has them.
    from torch.distributed import PrefixStore  # pyright: ignore[reportPrivateImportUsage]

    if is_users:
        # There is no public way to find out whether others are there but to wait for them without end.
        store = dist.distributed_c10d._get_default_store()
        _meet(store, rank, n)
        return dist.new_group(backend="gloo", timeout=PATIENCE)
    store = _store_of_environment(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), rank, n)
    call = _meet(store, rank, n)
    # Under the keys of an earlier group its addresses would be found. It is taken down again, so that the user still can make one.
    prefixed = PrefixStore(f"ann2neo/{call}", store)
    dist.init_process_group("gloo", store=prefixed, rank=rank, world_size=n, timeout=PATIENCE)
    return None


def _meet(store: Any, rank: int, n: int) -> int:
    """Wait until all processes have come to the same call, and number it.

    A process that does not wait any longer takes back that it was there. All confirm that they saw all, so that none counts on one that has just left.

    Raises
    ------
    StoreError
        If some do not come.
    """
    call = store.add(f"ann2neo/calls/{rank}", 1)
    here = [f"ann2neo/{call}/here/{one}" for one in range(n)]
    counts = f"ann2neo/{call}/here", f"ann2neo/{call}/sure"
    store.add(here[rank], 1)
    for count, seconds in zip(counts, (SECONDS_TO_JOIN, SECONDS_TO_CONFIRM)):
        store.add(count, 1)
        if not _all_counted(store, count, n, here, seconds):
            absent = _absent(store, here)
            for key in (here[rank], count, f"ann2neo/calls/{rank}"):
                store.add(key, -1)
            _refuse_to_wait(absent, n)
    return call


def _all_counted(store: Any, count: str, n: int, here: Sequence[str], seconds: float) -> bool:
    begin, told = time.monotonic(), False
    while store.add(count, 0) < n:
        waited = time.monotonic() - begin
        if waited > seconds:
            return False
        if waited > SECONDS_OF_SILENCE and not told:
            told = True
            warnings.warn(Ann2NeoWarning(f"waiting for {_named(_absent(store, here), n)} to record too."), stacklevel=6)
        time.sleep(min(0.1, 0.002 + waited / 10))
    return True


def _absent(store: Any, here: Sequence[str]) -> list[int]:
    return [rank for rank, key in enumerate(here) if store.add(key, 0) < 1]


def _named(ranks: Sequence[int], n: int) -> str:
    """Name processes.

    Examples
    --------
    >>> _named([1], 2), _named([1, 3], 4)
    ('process 1 of 2', 'processes 1, 3 of 4')
    """
    shown = ", ".join(map(str, ranks[:10])) + (", ..." if len(ranks) > 10 else "")
    return f"process{'es' if len(ranks) > 1 else ''} {shown} of {n}"


def _refuse_to_wait(absent: Sequence[int], n: int) -> NoReturn:
    by = "torch.distributed" if dist.is_initialized() else f"the environment (WORLD_SIZE={n})"
    raise StoreError(
        f"waited for {_named(absent or range(n), n)}, of which {by} speaks, but not all of them record.",
        "All processes record into one store together; nothing was recorded.",
        f"Let every process make the same call (not only `if rank == 0`), after torch.distributed.barrier() if some are late; {ALONE}; "
        "if there are no other processes, unset WORLD_SIZE and RANK.",
    )


@lru_cache(1)
def _store_of_environment(address: str, port: int, rank: int, n: int) -> Any:
    """Connect to the store of the processes that the environment speaks of; it stays open, since others may still speak through it when one is done."""
    from torch.distributed import PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage]

    hosted_by_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    is_host = rank == 0 and not hosted_by_agent
    begin = time.monotonic()
    for seconds in (SECONDS_OF_SILENCE, SECONDS_TO_JOIN - SECONDS_OF_SILENCE):
        try:
            store = TCPStore(
                address,
                port,
                is_master=is_host,
                timeout=timedelta(seconds=seconds),
                wait_for_workers=False,
                multi_tenant=True,
            )
        except RuntimeError as error:
            if is_host or time.monotonic() - begin >= SECONDS_TO_JOIN - 1:
                _refuse_address(address, port, n, error)
            warnings.warn(Ann2NeoWarning(f"waiting for process 0 of {n} at {address}:{port}."), stacklevel=7)
        else:
            attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
            return PrefixStore(f"ann2neo/attempt_{attempt}", store)
    _refuse_to_wait([0], n)


def _refuse_address(address: str, port: int, n: int, error: RuntimeError) -> NoReturn:
    raise StoreError(
        f"the environment speaks of {n} processes that meet at {address}:{port}, where none can be reached ({str(error).splitlines()[0][:200]}).",
        "All processes record into one store together; nothing was recorded.",
        f"Let every process make the same call, start them with torchrun, or unset WORLD_SIZE and RANK if there is but one; {ALONE}.",
    ) from error


def deal(spans: Sequence[Result], processes: Processes) -> list[Result]:
    """Pick every n-th span for each process.

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
            return None, Ann2NeoError(f"a process failed with {type(error).__name__}: {error}")
        return None, error
