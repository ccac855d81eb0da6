"""Buffers and attributes of a model: what they are bound to, and what they hold, is compared and put back."""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import IOBase
from operator import is_
from types import MemberDescriptorType
from typing import Any

import numpy as np
import torch

from ann2neo.probe.state import GENERATORS, set_state, state_of

# Of a tensor that is copied to be put back.
MOST_BYTES = 1 << 26
# Also the flag of its mode, which is put back by itself.
OF_EVERY_MODULE = frozenset(vars(torch.nn.Module()))
CONTAINERS = (dict, list, set, deque, OrderedDict, defaultdict, Counter)
# What holds nothing, and another one is bound where it changes.
PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None)))
# Objects of these packages are left alone: files, threads and locks do not take back what they held.
OF_NO_STATE = frozenset((*sys.stdlib_module_names, "torch", "numpy")) - {"types", "argparse"}
# Objects that are looked into, and how many others they may lie within.
MOST_OBJECTS, MOST_WITHIN = 1000, 4
# Of containers within each other that are compared.
MOST_NESTED = 20


class Attributes:
    """Buffers and attributes of all modules at one moment, also what containers, plain objects and generators of random numbers among them hold: the potentials of a spiking network, say, or a cache.

    Parameters
    ----------
    model
        Whose modules they are.
    since
        The same at an earlier moment, of which is kept what did not change.
    """

    def __init__(self, model: torch.nn.Module, since: Attributes | None = None) -> None:
        # A script keeps its buffers where Python does not reach them.
        written = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
        self._bound = [(module, dict(module._buffers), _own(module)) for module in written]
        if since is not None and since._reaches_the_same(self._bound):
            reached = [value for value, _ in (*since._held, *since._objects, *since._states)]
            tensors, self._iterates = [one for one, _, _ in since._contents], since._iterates
        else:
            tensors, reached = [], []
            for value in _reached(written):
                (tensors if isinstance(value, torch.Tensor) else reached).append(value)
            tensors = list(filter(_counts, tensors))
            self._iterates = any(map(_is_iterator, reached))
        earlier = {} if since is None else {id(value): before for value, before in since._held}
        containers: list[Any] = [value for value in reached if type(value) in CONTAINERS]
        self._held = [(value, _copied(value, earlier.get(id(value)))) for value in containers]
        self._objects = [(value, _fields(value)) for value in reached if _is_object(value)]
        self._states = [(value, state_of(value)) for value in reached if isinstance(value, GENERATORS)]
        known = {} if since is None or not tensors else {id(one[0]): one for one in since._contents}
        with torch._C.DisableTorchFunction():
            self._contents = [_content(one, known.get(id(one))) for one in tensors]

    def _reaches_the_same(self, bound: Sequence[tuple[torch.nn.Module, dict[str, Any], dict[str, Any]]]) -> bool:
        """Whether nothing but numbers and texts was bound or put elsewhere since then: the same is reached, which need not be looked for once more, as after most calls."""
        return (
            len(bound) == len(self._bound)
            and all(
                one[0] is other[0] and _same_but_plain(one[1], other[1]) and _same_but_plain(one[2], other[2])
                for one, other in zip(self._bound, bound)
            )
            and all(_same_but_plain(before, value) for value, before in self._held)
            and all(_same_but_plain(before, _fields(value)) for value, before in self._objects)
        )

    def changed(self) -> bool:
        """Whether something is bound, or held, that was not then, a tensor was written to, or a generator drew; of arrays, and of tensors of more than 64 MiB, that is not noticed."""
        return (
            any(_differ(buffers, module._buffers) or _differ(own, _own(module)) for module, buffers, own in self._bound)
            or any(_differ(before, value) for value, before in self._held)
            or any(_differ(before, _fields(value)) for value, before in self._objects)
            or any(not _equal(before, state_of(value)) for value, before in self._states)
            or any(one._version != n for one, n, _ in self._contents)
        )

    def moved(self) -> bool:
        """Whether something has another value than it had then; what is bound to an equal number, tensor or array has not. An iterator does not show where it is, and is taken to have moved."""
        pairs = [(before, value) for value, before in self._held]
        for module, buffers, own in self._bound:
            pairs += [(buffers, dict(module._buffers)), (own, _own(module))]
        pairs += [(before, _fields(value)) for value, before in self._objects]
        return (
            self._iterates
            or any(_differ(*pair) and not _equal(*pair) for pair in pairs)
            or any(not _equal(before, state_of(value)) for value, before in self._states)
            or any(one._version != n and not _equal(before, one.detach()) for one, n, before in self._contents)
        )

    def put_back(self) -> None:
        """Bind all as it was then, write back what tensors held, and set the states of generators."""
        for module, buffers, own in self._bound:
            for name in module._buffers.keys() - buffers.keys():
                del module._buffers[name]
            module._buffers.update(buffers)
            for name in _own(module).keys() - own.keys():
                del vars(module)[name]
            vars(module).update(own)
        for value, before in self._objects:
            _put_fields(value, before)
        for value, before in self._held:
            if _differ(before, value):
                value.clear()
                value.update(before) if hasattr(value, "update") else value.extend(before)
        for value, before in self._states:
            set_state(value, before)
        with torch._C.DisableTorchFunction(), torch.no_grad():
            for place, (one, n, before) in enumerate(self._contents):
                if one._version != n:
                    one.detach().copy_(before)
                    self._contents[place] = one, one._version, before


def _reached(modules: Sequence[torch.nn.Module]) -> Iterator[Any]:
    """Yield what is bound to buffers and attributes of modules, and what containers and plain objects among it hold, each once; of objects a thousand at most, and those within four others at most."""
    bound = (one for module in modules for one in (*module._buffers.values(), *_own(module).values()))
    waiting = [(one, 0) for one in bound if type(one) not in PLAIN]
    if not waiting:
        return
    # What the modules themselves are made of.
    seen = {id(vars(module)) for module in modules}
    seen |= {id(one) for module in modules for name, one in vars(module).items() if name in OF_EVERY_MODULE}
    waiting.reverse()
    n_objects = 0
    while waiting:
        value, depth = waiting.pop()
        if type(value) in PLAIN or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, (torch.Tensor, np.ndarray)):
            yield value
        elif type(value) in CONTAINERS or isinstance(value, tuple):
            yield value
            held: Any = value.values() if isinstance(value, dict) else value
            waiting += [(one, depth) for one in held if type(one) not in PLAIN]
        elif _is_object(value):
            if depth < MOST_WITHIN and n_objects < MOST_OBJECTS:
                n_objects += 1
                yield value
                waiting += [(one, depth + 1) for one in _fields(value).values()]
        else:
            yield value


def _is_iterator(value: Any) -> bool:
    """Whether a value is an iterator and no file, which nothing but its next element shows the place of."""
    return isinstance(value, Iterator) and not isinstance(value, IOBase)


def _is_object(value: Any) -> bool:
    """Whether a value is of a class of other code than Python's and torch's, and no module."""
    return _holds(type(value)) and (hasattr(value, "__dict__") or bool(getattr(type(value), "__slots__", ())))


@lru_cache(1024)
def _holds(kind: type) -> bool:
    known = (torch.nn.Module, torch.Tensor, np.ndarray, type, Iterator, *GENERATORS)
    return str(kind.__module__).partition(".")[0] not in OF_NO_STATE and not issubclass(kind, known)


def _slots(value: Any) -> dict[str, Any]:
    """Find the slots of an object that are filled, by their name within its class."""
    found = {}
    for kind in type(value).__mro__:
        for name, slot in vars(kind).items():
            if isinstance(slot, MemberDescriptorType):
                with suppress(AttributeError):
                    found[name] = slot.__get__(value)
    return found


def _fields(value: Any) -> dict[str, Any]:
    """Find what an object holds, whatever its properties would make of it."""
    return {**_slots(value), **getattr(value, "__dict__", {})}


def _put_fields(value: Any, before: dict[str, Any]) -> None:
    now = _fields(value)
    if not _differ(before, now):
        return
    for name in now.keys() - before.keys():
        object.__delattr__(value, name)
    for name, one in before.items():
        if now.get(name, value) is not one:
            object.__setattr__(value, name, one)


def _copied(value: Any, before: Any) -> Any:
    """Copy a container, unless an earlier copy holds the same."""
    return value.copy() if before is None or _differ(before, value) else before


def _content(one: torch.Tensor, known: tuple[torch.Tensor, int, torch.Tensor] | None) -> tuple[torch.Tensor, int, Any]:
    """Copy what a tensor holds, unless an earlier copy holds the same."""
    return known if known is not None and known[1] == one._version else (one, one._version, one.detach().clone())


def _counts(value: Any) -> bool:
    """Whether a value is a tensor that counts how often it was written to, and is small enough to be copied."""
    is_plain = type(value) is torch.Tensor and value.layout == torch.strided and not value.is_inference()
    return is_plain and value.numel() * value.element_size() <= MOST_BYTES


def _own(module: torch.nn.Module) -> dict[str, Any]:
    """Attributes of a module but for those that every module has."""
    return {name: value for name, value in vars(module).items() if name not in OF_EVERY_MODULE}


def _differ(before: Any, now: Any) -> bool:
    """Whether two containers hold other things; of dictionaries the order counts as well."""
    if len(before) != len(now):
        return True
    if isinstance(before, dict):
        return not (all(map(is_, before, now)) and all(map(is_, before.values(), now.values()))) and any(
            name not in now or now[name] is not value for name, value in before.items()
        )
    if isinstance(before, set):
        return before != now
    return not all(map(is_, before, now))


def _same_but_plain(before: Any, now: Any) -> bool:
    """Whether two containers hold the same, but for what holds nothing itself."""
    if not _differ(before, now):
        return True
    if len(before) != len(now) or isinstance(before, set):
        return False
    if isinstance(before, dict):
        if before.keys() != now.keys():
            return False
        pairs: Any = ((value, now[name]) for name, value in before.items())
    else:
        pairs = zip(before, now)
    return all(one is other or (type(one) in PLAIN and type(other) in PLAIN) for one, other in pairs)


def _equal(before: Any, now: Any, depth: int = 0) -> bool:
    """Whether two values are the same, number by number; of things of other kinds, and what lies deeper than that, whether they are one and the same."""
    if before is now:
        return True
    if type(before) is not type(now) or depth > MOST_NESTED:
        return False
    if isinstance(before, dict):
        return before.keys() == now.keys() and all(_equal(one, now[name], depth + 1) for name, one in before.items())
    if isinstance(before, (list, tuple, deque)):
        return len(before) == len(now) and all(_equal(*pair, depth + 1) for pair in zip(before, now))
    if type(before) is torch.Tensor:
        is_plain = before.layout == now.layout == torch.strided and before.dtype == now.dtype
        return is_plain and before.device == now.device and torch.equal(before, now)
    if isinstance(before, np.ndarray):
        return np.array_equal(before, now)
    if _is_object(before):
        return _equal(_fields(before), _fields(now), depth + 1)
    return isinstance(before, (bool, int, float, complex, str, bytes, set)) and before == now


@contextmanager
def attributes_kept(model: torch.nn.Module, since: Attributes | None = None) -> Iterator[Attributes]:
    """Put back the buffers and attributes that modules bind to something else meanwhile, and what tensors of at most 64 MiB among them hold; with the same of an earlier moment, what did not change since then is not copied."""
    before = Attributes(model, since)
    try:
        yield before
    finally:
        before.put_back()


@contextmanager
def contents_kept(model: torch.nn.Module) -> Iterator[None]:
    """Write back what parameters, buffers and attributes of modules hold, also in lists, tuples and dictionaries, where tensors or arrays are changed in place meanwhile."""
    written = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
    held: list[Any] = [one for one in _reached(written) if isinstance(one, (torch.Tensor, np.ndarray))]
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
