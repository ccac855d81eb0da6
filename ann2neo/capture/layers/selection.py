"""Which layers of a model are observed: activation functions by default, any module, function or part of an output by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ann2neo.capture.activations import FUNCTION_NAMES
from ann2neo.capture.layers.missing import not_found
from ann2neo.capture.layers.modules import activation_names, named_modules
from ann2neo.capture.layers.patterns import base_name
from ann2neo.errors import LayerNotFound, ModelError
from ann2neo.recording import matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is observed of a model.

    Parameters
    ----------
    patterns
        Names and patterns that were asked for; None for all activation functions.
    modules
        Modules whose outputs are layers, by name.
    parts
        Parts of their outputs that were asked for, by the module's name.
    undecided
        Modules, none of them an activation function, that are layers only if the model calls no function that fits their pattern.
    functions
        Whether calls of functions may be layers.
    """

    patterns: tuple[str, ...] | None
    modules: Mapping[str, nn.Module]
    parts: Mapping[str, tuple[str, ...]]
    undecided: Mapping[str, tuple[str, ...]]
    functions: bool


def select(model: nn.Module, layers: str | Sequence[str] | None) -> Selection:
    """Find what to observe.

    Without a choice these are all activation functions, modules and functions alike. The name of a module stands for it, whatever it is. A pattern stands for
    the activation functions that it fits, or, where the model calls none of these, for all modules that it fits. ``name.part`` stands for a part of a
    module's output, if that is a mapping, a dataclass or a named tuple.

    Raises
    ------
    LayerNotFound
        If a name or pattern can fit nothing.
    ModelError
        If it fits scripted modules, which cannot be observed.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> [list(select(model, layers).modules) for layers in (None, "2", "*")]
    [['1'], ['2'], ['1']]
    """
    modules = named_modules(model)
    active = activation_names(modules)
    patterns = None if layers is None else (layers,) if isinstance(layers, str) else tuple(layers)
    _refuse_scripted(model, modules, patterns)
    if patterns is None:
        chosen = {name: modules[name] for name in active}
        return Selection(patterns=None, modules=chosen, parts={}, undecided={}, functions=True)
    names: set[str] = set()
    parts: dict[str, tuple[str, ...]] = {}
    undecided: dict[str, tuple[str, ...]] = {}
    functions = False
    for pattern in patterns:
        base = base_name(pattern, modules)
        fitting = {base} if base in modules else _fitting(base, modules, active)
        if base in modules or fitting & set(active):
            names |= (fitting & set(active)) or fitting
            functions = functions or base not in modules
        elif _may_be_function(base, modules):
            functions = True
            undecided |= {pattern: tuple(fitting)} if fitting else {}
        elif fitting:
            names |= fitting
        else:
            module, part = _part_of_module(pattern, base, model, modules, active)
            parts[module] = (*parts.get(module, ()), part)
    ordered = {name: module for name, module in modules.items() if name in names}
    return Selection(patterns=patterns, modules=ordered, parts=parts, undecided=undecided, functions=functions)


def _fitting(pattern: str, modules: Mapping[str, nn.Module], active: Sequence[str]) -> set[str]:
    """Names that a pattern fits; the model itself is meant only where it is an activation function."""
    root = next(iter(modules))
    return {name for name in modules if (name != root or name in active) and matches(name, pattern)}


def _may_be_function(pattern: str, modules: Mapping[str, nn.Module]) -> bool:
    root = next(iter(modules))
    callers = ["" if name == root else f"{name}." for name in modules]
    return any(matches(f"{caller}{name}", pattern) for name in FUNCTION_NAMES for caller in callers)


def _part_of_module(
    pattern: str, base: str, model: nn.Module, modules: Mapping[str, nn.Module], active: Sequence[str]
) -> tuple[str, str]:
    """Read a name as a module and a part of its output."""
    caller, _, part = base.rpartition(".")
    caller = caller or next(iter(modules))
    if caller in modules and part.isidentifier():
        return caller, part
    same = {id(module): name for name, module in modules.items()}
    alias = next((other for name, other in model.named_modules(remove_duplicate=False) if name == base), None)
    if alias is not None and id(alias) in same:
        raise LayerNotFound(
            f"{pattern!r} is the same module as {same[id(alias)]!r}.",
            "Its calls are counted under the first name.",
            f"Use {same[id(alias)]!r}, or one of its calls, such as '{same[id(alias)]}:1'.",
        )
    raise not_found(pattern, model, active)


def _refuse_scripted(model: nn.Module, modules: Mapping[str, nn.Module], patterns: tuple[str, ...] | None) -> None:
    for name, module in modules.items():
        hidden = isinstance(module, torch.jit.ScriptModule)
        if hidden and (patterns is None or any(matches(name, p) or p.startswith(f"{name}.") for p in patterns)):
            raise ModelError(
                f"{name!r} in {type(model).__name__} is a scripted module.",
                "Hooks on it never fire: what it computes within would be missing.",
                "Use the Python module that it was made from, or name layers outside of it (layers=...).",
            )
