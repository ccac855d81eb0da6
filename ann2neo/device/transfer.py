"""The way from a device into the host's memory: rows are made on the device, copied while the next batch runs, and put down by threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

# So much is put down by one thread at a time.
BYTES_AT_ONCE = 1 << 23


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A copy that is under way, and functions that say whether it has come, and wait for it."""

    values: torch.Tensor
    ready: Callable[[], bool]
    wait: Callable[[], None]


@dataclass(slots=True)
class Landing:
    """Memory of the host, pinned where the device is a card, and who still reads it."""

    memory: torch.Tensor
    readers: list[Future[None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of a layer on their way, shape (unit, plane)."""

    values: UInt8[np.ndarray, "unit plane"]
    wait: Callable[[], None]
    landing: Landing
    threads: ThreadPoolExecutor

    def put(self, into: UInt8[np.ndarray, "unit plane"], first: int, *, last_bits: int = 0xFF) -> list[Future[None]]:
        """Let threads copy planes from the first one on, once they have come; of the last one only these bits."""
        step = max(1, BYTES_AT_ONCE // max(into.shape[1], 1))
        jobs = [
            self.threads.submit(self._put, into[start : start + step], slice(start, start + step), first, last_bits)
            for start in range(0, len(into), step)
        ]
        self.landing.readers += jobs
        return jobs

    def _put(self, into: np.ndarray, units: slice, first: int, last_bits: int) -> None:
        self.wait()
        np.copyto(into, self.values[units, first : first + into.shape[1]])
        if last_bits != 0xFF:
            into[:, -1] &= np.uint8(last_bits)


class Transfer:
    """Copies from one device, in the order in which they are asked for, while the device goes on.

    A card has a stream of its own for them, which waits for the one on which the model runs, and is waited for before the memory from which it copies is used again. Rows come
    into one of two places of the host, so that one can be read while the other is filled; before a third flush its readers are waited for, which bounds the host's memory.

    Parameters
    ----------
    device
        The device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_card = device.type == "cuda"
        # The stream of the recording. A layer that runs on another one waits for it, and is waited for.
        self._home = torch.cuda.current_stream(device) if self._is_card else None
        self._side = torch.cuda.Stream(device) if self._is_card else None
        self._others: list[Any] = []
        self._staging = torch.empty(0, dtype=torch.uint8, device=device)
        self._left: Any = None
        self._landings = [Landing(torch.empty(0, dtype=torch.uint8)), Landing(torch.empty(0, dtype=torch.uint8))]
        self._threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="ann2neo-landing")

    def enter(self) -> None:
        """Before something is written into a column: if it is done on another stream, let that wait for what was done here."""
        if self._home is not None:
            now = torch.cuda.current_stream(self._device)
            if now != self._home:
                now.wait_stream(self._home)
                self._others.append(now)

    def at_home(self) -> AbstractContextManager[Any]:
        """Do what follows on the stream of the recording."""
        return nullcontext() if self._home is None else torch.cuda.stream(self._home)

    def join(self) -> None:
        """Let the stream of the recording wait for all others that wrote into columns."""
        if self._home is not None:
            for other in self._others:
                self._home.wait_stream(other)
            self._others = []

    def counts(self, values: torch.Tensor) -> Copied:
        """Copy a few numbers."""
        if self._home is None:
            here = values.cpu() if self._device.type != "cpu" else values.clone()
            return Copied(values=here, ready=lambda: True, wait=lambda: None)
        with self.at_home():
            here = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            here.copy_(values, non_blocking=True)
            event = self._home.record_event()
        return Copied(values=here, ready=event.query, wait=event.synchronize)

    def send(self, views: Sequence[torch.Tensor]) -> list[Rows]:
        """Make rows of views of shape (*unit axes, plane), and copy them together; to be called `at_home`. The memory of the views may be written to afterwards."""
        sizes = [view.numel() for view in views]
        if not views:
            return []
        landing, n_bytes = self._next_landing(sum(sizes)), sum(sizes)
        self._stage(views, n_bytes)
        wait_for = self._copy(landing, n_bytes)
        sent, first = [], 0
        for view, size in zip(views, sizes):
            shape = (prod(view.shape[:-1]), view.shape[-1])
            values = landing.memory[first : first + size].view(shape).numpy()
            sent.append(Rows(values=values, wait=wait_for, landing=landing, threads=self._threads))
            first += size
        return sent

    def _stage(self, views: Sequence[torch.Tensor], n_bytes: int) -> None:
        """Turn planes into rows on the device, on the stream that writes them."""
        self.join()
        if self._home is not None and self._left is not None:
            self._home.wait_event(self._left)
        if len(self._staging) < n_bytes:
            self._staging = torch.empty(n_bytes, dtype=torch.uint8, device=self._device)
            if self._side is not None:
                # Its memory is not used again before what the other stream copies from it has left.
                self._staging.record_stream(self._side)
        first = 0
        for view in views:
            self._staging[first : first + view.numel()].view(view.shape).copy_(view)
            first += view.numel()

    def _copy(self, landing: Landing, n_bytes: int) -> Callable[[], None]:
        """Copy staged rows to the host, and return a function that waits for them."""
        if self._side is None or self._home is None:
            landing.memory[:n_bytes].copy_(self._staging[:n_bytes])
            return lambda: None
        self._side.wait_stream(self._home)
        with torch.cuda.stream(self._side):
            landing.memory[:n_bytes].copy_(self._staging[:n_bytes], non_blocking=True)
            self._left = self._side.record_event()
        return self._left.synchronize

    def _next_landing(self, n_bytes: int) -> Landing:
        self._landings.reverse()
        landing = self._landings[0]
        wait(landing.readers)
        landing.readers = []
        if len(landing.memory) < n_bytes:
            landing.memory = torch.empty(n_bytes, dtype=torch.uint8, pin_memory=self._is_card)
        return landing
