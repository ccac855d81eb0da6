"""A loader's own random generators, used from a copy of their state, so that the loader is found afterwards as before."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
END = object()


@dataclass(slots=True)
class Borrowed:
    """Generators whose states are put back after each use, and taken up at the next where they were left.

    Examples
    --------
    >>> generator = random.Random(0)
    >>> borrowed = Borrowed([generator])
    >>> def draw():
    ...     with borrowed.used():
    ...         return generator.random()
    >>> draw() != draw(), generator.random() == random.Random(0).random()
    (True, True)
    """

    generators: Sequence[Any]
    _states: list[Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._states = [state_of(one) for one in self.generators]

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let the generators go on from where they were left at the last use."""
        before = [state_of(one) for one in self.generators]
        try:
            for one, state in zip(self.generators, self._states):
                set_state(one, state)
            yield
        finally:
            self._states = [state_of(one) for one in self.generators]
            for one, state in zip(self.generators, before):
                set_state(one, state)


def borrowed_of(loader: DataLoader) -> Borrowed:
    """Find the generators of a loader and of its samplers; those of its data set are not its own."""
    found: dict[int, Any] = {}
    waiting: list[Any] = [loader]
    seen = {id(loader)}
    while waiting:
        for name, value in getattr(waiting.pop(), "__dict__", {}).items():
            if isinstance(value, GENERATORS):
                found[id(value)] = value
            elif (isinstance(value, Sampler) or name in ("sampler", "batch_sampler")) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)
    return Borrowed(list(found.values()))


def read_borrowed(loader: DataLoader, borrowed: Borrowed, first: int) -> Iterator[Any]:
    """Iterate a loader from a batch on, without moving on its generators."""
    return islice(_read(loader, borrowed) if borrowed.generators else loader, first, None)


def copy_of(generator: torch.Generator | None) -> torch.Generator | None:
    """Make a generator of the same state."""
    if generator is None:
        return None
    copy = torch.Generator(generator.device)
    copy.set_state(generator.get_state())
    return copy


def _read(loader: DataLoader, borrowed: Borrowed) -> Iterator[Any]:
    # The generators are borrowed again for each batch: what reads may stop at any of them.
    with borrowed.used():
        batches = iter(loader)
    while True:
        with borrowed.used():
            batch = next(batches, END)
        if batch is END:
            return
        yield batch


def state_of(generator: Any) -> Any:
    """Return the state of a generator of torch, NumPy or Python."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def set_state(generator: Any, state: Any) -> None:
    """Set the state of a generator of torch, NumPy or Python."""
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)
