"""State: the model, the random states and the generators of a loader are left as they were found; and one model runs at a time in a process, whose random states, threads and kernels all runs share."""

from __future__ import annotations

import os
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

# Also the flag of its mode, which is put back by itself.
OF_EVERY_MODULE = frozenset(vars(torch.nn.Module()))


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


class Attributes:
    """Buffers and attributes of all modules at one moment, also what lists and dictionaries among them hold: the potentials of a spiking network, say, or a cache.

    Parameters
    ----------
    model
        Whose modules they are.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        # A script keeps its buffers where Python does not reach them.
        written = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
        self._bound = [(module, dict(module._buffers), _own(module)) for module in written]
        held = (value for _, _, own in self._bound for value in own.values() if type(value) in (dict, list))
        self._held = [(value, value.copy()) for value in held]

    def changed(self) -> bool:
        """Whether something is bound, or held, that was not then; what is changed in place is not noticed."""
        return any(
            _differ(buffers, module._buffers) or _differ(own, _own(module)) for module, buffers, own in self._bound
        ) or any(_differ(before, value) for value, before in self._held)

    def put_back(self) -> None:
        """Bind all as it was then."""
        for module, buffers, own in self._bound:
            for name in module._buffers.keys() - buffers.keys():
                del module._buffers[name]
            module._buffers.update(buffers)
            for name in _own(module).keys() - own.keys():
                del vars(module)[name]
            vars(module).update(own)
        for value, before in self._held:
            value.clear()
            value.update(before) if isinstance(value, dict) else value.extend(before)


def _own(module: torch.nn.Module) -> dict[str, Any]:
    """Attributes of a module but for those that every module has."""
    return {name: value for name, value in vars(module).items() if name not in OF_EVERY_MODULE}


def _differ(before: Any, now: Any) -> bool:
    if len(before) != len(now):
        return True
    if isinstance(before, dict):
        return any(name not in now or now[name] is not value for name, value in before.items())
    return any(one is not other for one, other in zip(before, now))


@contextmanager
def attributes_kept(model: torch.nn.Module) -> Iterator[None]:
    """Put back the buffers and attributes that modules bind to something else meanwhile."""
    before = Attributes(model)
    try:
        yield
    finally:
        before.put_back()


@contextmanager
def contents_kept(model: torch.nn.Module) -> Iterator[None]:
    """Write back what parameters, buffers and attributes of modules hold, also in lists, tuples and dictionaries, where tensors or arrays are changed in place meanwhile."""
    written = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
    held = [one for module in written for one in _held({**module._buffers, **_own(module)})]
    # Parameters of other kinds, such as shards, may not be read one by one.
    held += [one for one in model.parameters() if type(one) is torch.nn.Parameter]
    # A mode of the user's is not asked about it.
    with torch._C.DisableTorchFunction():
        before = [
            (one, one.detach().to("cpu", copy=True) if isinstance(one, torch.Tensor) else one.copy()) for one in held
        ]
    try:
        yield
    finally:
        with torch._C.DisableTorchFunction():
            for one, value in before:
                if isinstance(one, torch.Tensor):
                    one.detach().copy_(torch.as_tensor(value))
                elif one.flags.writeable:
                    one[...] = value


def _held(value: Any) -> Iterator[torch.Tensor | np.ndarray]:
    """Yield the tensors and arrays that plain containers hold; objects of other kinds are not looked into."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        yield value
    elif type(value) in (dict, list, tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _held(one)


@contextmanager
def random_states_kept(*, seeded: bool = False) -> Iterator[None]:
    """Run code that may draw, and restore the random states of torch, NumPy and Python afterwards.

    Beside the main thread they are restored only where they are ``seeded`` within: what the main thread draws meanwhile, in training say, would be drawn again.
    """
    states = random_states()
    try:
        yield
    finally:
        if seeded or threading.current_thread() is threading.main_thread():
            set_random_states(states)


def random_states() -> tuple[Any, ...]:
    """Read the random states of torch, NumPy and Python."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return torch.get_rng_state(), np.random.get_state(), random.getstate(), cuda  # noqa: NPY002


def set_random_states(states: tuple[Any, ...]) -> None:
    """Set the random states to those that were read."""
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])
    if states[3] is None:
        return
    try:
        torch.cuda.set_rng_state_all(states[3])
    except RuntimeError as error:
        # A device that is lost has no random state; what lost it is told.
        if not is_lost(error):
            raise


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
