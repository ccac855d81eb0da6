"""Buffers and attributes of a model: what they are bound to, and what they hold, is compared and put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

# Of a tensor that is copied to be put back.
MOST_BYTES = 1 << 26
# Also the flag of its mode, which is put back by itself.
OF_EVERY_MODULE = frozenset(vars(torch.nn.Module()))


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
        containers = (value for _, _, own in self._bound for value in own.values() if type(value) in (dict, list))
        self._held = [(value, value.copy()) for value in containers]
        held = (one for _, buffers, own in self._bound for one in _held({**buffers, **own}))
        tensors = {id(one): one for one in held if isinstance(one, torch.Tensor) and _counts(one)}
        with torch._C.DisableTorchFunction():
            self._contents = [(one, one._version, one.detach().clone()) for one in tensors.values()]

    def changed(self) -> bool:
        """Whether something is bound, or held, that was not then, or a tensor was written to; of arrays, and of tensors of more than 64 MiB, that is not noticed."""
        return (
            any(_differ(buffers, module._buffers) or _differ(own, _own(module)) for module, buffers, own in self._bound)
            or any(_differ(before, value) for value, before in self._held)
            or any(one._version != n for one, n, _ in self._contents)
        )

    def moved(self) -> bool:
        """Whether something has another value than it had then; what is bound to an equal number, tensor or array has not."""
        return (
            any(
                not _equal(buffers, module._buffers) or not _equal(own, _own(module))
                for module, buffers, own in self._bound
            )
            or any(not _equal(before, value) for value, before in self._held)
            or any(one._version != n and not _equal(before, one.detach()) for one, n, before in self._contents)
        )

    def put_back(self) -> None:
        """Bind all as it was then, and write back what tensors held."""
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
        with torch._C.DisableTorchFunction(), torch.no_grad():
            for place, (one, n, before) in enumerate(self._contents):
                if one._version != n:
                    one.detach().copy_(before)
                    self._contents[place] = one, one._version, before


def _counts(value: Any) -> bool:
    """Whether a value is a tensor that counts how often it was written to, and is small enough to be copied."""
    is_plain = type(value) is torch.Tensor and value.layout == torch.strided and not value.is_inference()
    return is_plain and value.numel() * value.element_size() <= MOST_BYTES


def _own(module: torch.nn.Module) -> dict[str, Any]:
    """Attributes of a module but for those that every module has."""
    return {name: value for name, value in vars(module).items() if name not in OF_EVERY_MODULE}


def _differ(before: Any, now: Any) -> bool:
    if len(before) != len(now):
        return True
    if isinstance(before, dict):
        return any(name not in now or now[name] is not value for name, value in before.items())
    return any(one is not other for one, other in zip(before, now))


def _equal(before: Any, now: Any) -> bool:
    """Whether two values are the same, number by number; of things of other kinds, whether they are one and the same."""
    if before is now:
        return True
    if type(before) is not type(now):
        return False
    if isinstance(before, dict):
        return before.keys() == now.keys() and all(_equal(one, now[name]) for name, one in before.items())
    if isinstance(before, (list, tuple)):
        return len(before) == len(now) and all(_equal(*pair) for pair in zip(before, now))
    if type(before) is torch.Tensor:
        is_plain = before.layout == now.layout == torch.strided and before.dtype == now.dtype
        return is_plain and before.device == now.device and torch.equal(before, now)
    if isinstance(before, np.ndarray):
        return np.array_equal(before, now)
    return isinstance(before, (bool, int, float, complex, str, bytes)) and before == now


@contextmanager
def attributes_kept(model: torch.nn.Module) -> Iterator[None]:
    """Put back the buffers and attributes that modules bind to something else meanwhile, and what tensors of at most 64 MiB among them hold."""
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
