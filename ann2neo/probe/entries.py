"""Entries of outputs: of tuples, lists, mappings and dataclasses, however deep they lie, each by a name under which it can be recorded."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from ann2neo.probe.activations import FUNCTION_NAMES
from ann2neo.recording import matches

INPUT, OUTPUT = ".input", "output."
# In a key, these would be read as a pattern or as the number of a call.
UNNAMED = re.compile(r"[*?\[\]:!]|^$")


def parts_of(output: Any) -> dict[str, Any] | None:
    """Return the named parts of an output: of a mapping, a dataclass, a named tuple; None if it is none of these.

    Examples
    --------
    >>> parts_of({"logits": 1, "loss": 2}), parts_of((1, 2))
    ({'logits': 1, 'loss': 2}, None)
    """
    if isinstance(output, Mapping):
        return {str(key): value for key, value in output.items()}
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        return {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return dict(zip(getattr(output, "_fields"), output))  # noqa: B009
    return None


def entries_of(output: Any) -> dict[str, Any]:
    """Return the entries of a tuple or list by their number, and the named parts of an output.

    Examples
    --------
    >>> entries_of([4, 5]), entries_of({"logits": 1}), entries_of(3)
    ({'0': 4, '1': 5}, {'logits': 1}, {})
    """
    entries = output if isinstance(output, (list, tuple)) else ()
    return {str(number): entry for number, entry in enumerate(entries)} | (parts_of(output) or {})


def found_at(output: Any, path: str) -> Iterator[Any]:
    """Yield what lies at a path in an output, where it may be read in several ways the one with the shortest keys last.

    Examples
    --------
    >>> list(found_at({"states": [4, 5], "a.b": 6}, "states.1")), list(found_at({"a.b": 6}, "output.a.b")), list(found_at([4], "1"))
    ([5], [6], [])
    """
    known = entries_of(output)
    for key in sorted(known, key=len, reverse=True):
        if path == key:
            yield known[key]
        elif path.startswith(f"{key}."):
            yield from found_at(known[key], path[len(key) + 1 :])
    if path.startswith(OUTPUT):
        yield from found_at(output, path[len(OUTPUT) :])


def is_activation(value: Any) -> bool:
    """Whether a value is a tensor of floating-point numbers with at least one axis."""
    return isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim > 0


def activation_paths(output: Any) -> list[str]:
    """List the paths of the activations in an output, however deep they lie.

    Examples
    --------
    >>> x = torch.zeros(2)
    >>> activation_paths({"states": [x, (x, None)], "logits": x, "n": 1})
    ['states.0', 'states.1.0', 'logits']
    """
    found = ((path, one) for path, one in _activations(output, ""))
    return [path for path, one in found if path and next(found_at(output, path), None) is one]


def _activations(output: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(output, PackedSequence) or is_activation(output):
        yield path, output
        return
    named = parts_of(output)
    for key, value in (entries_of(output) if named is None else named).items():
        if not UNNAMED.search(key):
            yield from _activations(value, f"{path}.{key}" if path else key)


def entry_names(layer: str, output: Any, modules: Collection[str]) -> list[str]:
    """List the names under which the activations in an output can be recorded.

    Parameters
    ----------
    layer
        Name of the layer that gives the output, which may hold the number of a call.
    output
        What it gives.
    modules
        Names of all modules, the model's first.

    Examples
    --------
    >>> x = torch.zeros(2)
    >>> entry_names("block:1", [x, x], ["Net", "block", "block.0"])
    ['block.output.0:1', 'block.1:1']
    """
    if layer.endswith(INPUT):
        return []
    base = base_name(layer, modules)
    call, caller = layer[len(base) :], module_and_path(base, modules)[0]
    found = []
    for path in activation_paths(output):
        names = [f"{base}.{path}", f"{base}.{OUTPUT}{path}"]
        meant = (name for name in names if not is_other(name, modules) and module_and_path(name, modules)[0] == caller)
        found += [f"{name}{call}" for name in list(meant)[:1]]
    return found


def base_name(pattern: str, modules: Collection[str]) -> str:
    """Leave the number of the call out of a pattern.

    Examples
    --------
    >>> base_name("act:1", ["act"]), base_name("act", ["act"]), base_name("act::1", ["act", "act:1"])
    ('act', 'act', 'act')
    """
    return pattern if pattern in modules else pattern.rpartition(":")[0].removesuffix(":") or pattern


def module_and_path(name: str, modules: Collection[str]) -> tuple[str, str]:
    """Read a name as the longest name of a module and a path in its output; without one, the model's output is meant.

    Examples
    --------
    >>> modules = ["Net", "block", "block.act"]
    >>> module_and_path("block.states.0", modules), module_and_path("logits", modules), module_and_path("Net.logits", modules)
    (('block', 'states.0'), ('Net', 'logits'), ('Net', 'logits'))
    """
    words = name.split(".")
    for n in range(len(words), 0, -1):
        module = ".".join(words[:n])
        if module in modules:
            return module, ".".join(words[n:])
    return next(iter(modules)), name


def is_other(name: str, modules: Collection[str]) -> bool:
    """Whether a name is that of a module, of its input or of a function that it may call, and so not of an entry."""
    return (
        name in modules
        or (name.endswith(INPUT) and name.removesuffix(INPUT) in modules)
        or may_be_function(name, modules)
    )


def may_be_function(pattern: str, modules: Collection[str]) -> bool:
    """Whether a pattern fits an activation function that one of the modules may call.

    Examples
    --------
    >>> [may_be_function(name, ["Net", "block"]) for name in ("relu", "block.relu", "block.states", "Net.relu")]
    [True, True, False, False]
    """
    root = next(iter(modules))
    callers = ["" if name == root else f"{name}." for name in modules]
    return any(matches(f"{caller}{name}", pattern) for name in FUNCTION_NAMES for caller in callers)
