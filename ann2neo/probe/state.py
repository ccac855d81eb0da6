"""State: the model, the random states and the generators of a loader are left as they were found; and one model runs at a time in a process, whose random states, threads and kernels all runs share."""

from __future__ import annotations

import os
import pickle
import random
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler

from ann2neo.device.failures import is_lost
from ann2neo.errors import ModelError


@contextmanager
def as_written() -> Iterator[None]:
    """Run modules as they were written: no fused attention kernels and no compiled code, which skip the modules within.

    Both would depend on where hooks are; so the numbers are the same whichever layers are recorded.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    # torch.compile loads dynamo: where that is not loaded nothing is compiled, and loading it takes seconds.
    set_stance = getattr(torch.compiler, "set_stance", None) if "torch._dynamo" in sys.modules else None
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with nullcontext() if set_stance is None else set_stance("force_eager"):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@contextmanager
def evaluation_mode(model: torch.nn.Module, stochastic: Sequence[torch.nn.Module] = ()) -> Iterator[None]:
    """Put every module but the stochastic ones in eval mode without gradients; restore each one's flag, the number of threads and all random states.

    Flags are set one by one: a ``train`` that is overridden, so that it keeps parts in training mode or merges weights, is not called.
    """
    flags = [(module, module.training) for module in model.modules()]
    active, n_threads = {id(module) for module in stochastic}, torch.get_num_threads()
    # Not inference_mode: tensors that a model caches there break later training.
    with random_states_kept(seeded=bool(stochastic)), torch.no_grad():
        try:
            for module, _ in flags:
                module.training = id(module) in active
            yield
        finally:
            for module, training in flags:
                module.training = training
            if torch.get_num_threads() != n_threads:
                torch.set_num_threads(n_threads)


@contextmanager
def random_states_kept(*, seeded: bool = False) -> Iterator[tuple[Any, ...]]:
    """Run code that may draw, and restore the random states of torch, NumPy and Python afterwards.

    Beside the main thread they are restored only where they are ``seeded`` within: what the main thread draws meanwhile, in training say, would be drawn again.
    """
    states = random_states()
    try:
        yield states
    finally:
        if seeded or threading.current_thread() is threading.main_thread():
            set_random_states(states)


def random_states() -> tuple[Any, ...]:
    """Read the random states of torch, on the host and on devices that are in use, of NumPy and of Python."""
    devices = {kind: kind.get_rng_state_all() for kind in _devices_in_use()}
    if torch.backends.mps.is_available():
        devices[torch.mps] = torch.mps.get_rng_state()
    return torch.get_rng_state(), _numpy_state(), random.getstate(), devices


def _numpy_state() -> Any:
    """Read the state of NumPy's global generator, of whatever kind it is."""
    return np.random.get_state(legacy=False)  # noqa: NPY002


def _devices_in_use() -> list[Any]:
    """List the parts of torch that keep random states for each device, CUDA and XPU, as far as they have begun."""
    kinds = (getattr(torch, name, None) for name in ("cuda", "xpu"))
    return [kind for kind in kinds if kind is not None and kind.is_initialized()]


def has_drawn(since: tuple[Any, ...]) -> bool:
    """Whether random states are others than those that were read.

    Examples
    --------
    >>> before = random_states()
    >>> has_drawn(before), torch.rand(1).numel(), has_drawn(before)
    (False, 1, True)
    """
    now = random_states()
    pairs = [(now[0], since[0])]
    for kind, states in since[3].items():
        pairs += [(now[3][kind], states)] if kind is torch.mps else zip(now[3][kind], states)
    # A device that was not in use before, and is now, may have drawn.
    return (
        now[2] != since[2]
        or now[3].keys() != since[3].keys()
        or pickle.dumps(now[1]) != pickle.dumps(since[1])
        or any(not torch.equal(a, b) for a, b in pairs)
    )


def set_random_states(states: tuple[Any, ...]) -> None:
    """Set the random states to those that were read."""
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])
    try:
        for kind, state in states[3].items():
            kind.set_rng_state(state) if kind is torch.mps else kind.set_rng_state_all(state)
    except RuntimeError as error:
        # A device that is lost has no random state; what lost it is told.
        if not is_lost(error):
            raise


# Seeds of torch, Python and NumPy whose first number between 0 and 1 is below 0.001, and above 0.999.
EXTREME = ((1042, 1514, 1146), (2469, 2172, 1989))


def draw_next(place: int) -> None:
    """Set random states so that the next number between 0 and 1 is among the smallest or the largest, in turn: what happens rarely happens then.

    Examples
    --------
    >>> with random_states_kept():
    ...     draw_next(0)
    ...     small = torch.rand(()).item(), random.random(), np.random.rand()
    ...     draw_next(1)
    ...     large = torch.rand(()).item(), random.random(), np.random.rand()
    >>> max(small) < 0.001, min(large) > 0.999
    (True, True)
    """
    of_torch, of_python, of_numpy = EXTREME[place % 2]
    torch.manual_seed(of_torch)
    random.seed(of_python)
    np.random.seed(of_numpy)  # noqa: NPY002


_turn = threading.RLock()
# Which thread runs a model or waits for its turn with it.
_running: dict[int, int] = {}
_holding = threading.Lock()


@contextmanager
def turn_of(model: nn.Module) -> Iterator[None]:
    """Wait until no other thread runs a model, and let none do so for as long as the context lasts.

    Raises
    ------
    ModelError
        If another thread runs this very model, or waits to.

    Examples
    --------
    >>> with turn_of(nn.ReLU()):
    ...     pass
    """
    here, key = threading.get_ident(), id(model)
    with _holding:
        outer = _running.get(key)
        if outer not in (None, here):
            raise ModelError(
                f"another thread records this {type(model).__name__}.",
                "Both would set its modules' modes and hooks.",
                "Record it in one thread after the other, or give each thread a copy (copy.deepcopy(model)).",
            )
        _running[key] = here
    try:
        with _turn:
            yield
    finally:
        if outer is None:
            with _holding:
                _running.pop(key, None)


def _forget() -> None:
    """Begin again in a process that was forked while another thread had its turn: it has no such thread."""
    global _turn, _holding
    _turn, _holding = threading.RLock(), threading.Lock()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


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
