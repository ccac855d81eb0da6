"""Which layers of a model are recorded: activation functions by default; any module, input, function or part of an output by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ann2neo.capture.model.activations import FUNCTION_NAMES
from ann2neo.capture.model.missing import not_found
from ann2neo.capture.model.patterns import base_name, split_patterns
from ann2neo.errors import LayerNotFound, ModelError
from ann2neo.recording import matches

INPUT = ".input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What was asked for of a model, as far as it can be told before the model runs.

    Parameters
    ----------
    patterns
        Names and patterns that were asked for; None for all activation functions.
    excluded
        Names and patterns of layers that are left out.
    modules
        Names of the modules whose outputs are, or may be, layers.
    undecided
        Modules, none of them an activation function, that are layers only if the model calls no activation function that fits the pattern, by pattern.
    parts
        Parts of outputs that were asked for, by the module's name.
    inputs
        Names of the modules of which the input is a layer.
    functions
        Whether calls of functions may be layers.
    """

    patterns: tuple[str, ...] | None
    excluded: tuple[str, ...]
    modules: frozenset[str]
    undecided: Mapping[str, frozenset[str]]
    parts: Mapping[str, tuple[str, ...]]
    inputs: frozenset[str]
    functions: bool

    def is_wanted(self, layer: str) -> bool:
        """Whether a layer that was called was asked for."""
        if any(matches(layer, pattern) for pattern in self.excluded):
            return False
        return self.patterns is None or any(matches(layer, pattern) for pattern in self.patterns)

    def is_named(self, layer: str) -> bool:
        """Whether a layer was asked for by its very name."""
        return self.patterns is not None and layer in self.patterns


def select(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    active: Iterable[str],
    composed: Iterable[str],
    layers: str | Sequence[str] | None,
) -> Selection:
    """Find what to observe.

    Without a choice these are all activation functions, modules and functions alike. The name of a module stands for it, whatever it is. A pattern stands for
    the activation functions that it fits, or, where the model calls none of these, for all modules that it fits. ``name.input`` stands for what enters a module;
    ``name.part`` for a part of a module's output, if that is a mapping, a dataclass or a named tuple, and ``name.1`` for an entry of a tuple or list. What begins
    with ``!`` is left out.

    Parameters
    ----------
    model, modules
        The model, and its modules by name.
    active, composed
        Names of the modules that are activation functions, and of those that may be.
    layers
        What was asked for.

    Raises
    ------
    LayerNotFound
        If a name or pattern can fit nothing.
    ModelError
        If it fits scripted modules, which cannot be observed.
    """
    patterns, excluded = split_patterns(layers)
    _refuse_scripted(model, modules, patterns, excluded)
    active = frozenset(active)
    if patterns is None:
        every = active | frozenset(composed)
        return Selection(
            patterns=None, excluded=excluded, modules=every, undecided={}, parts={}, inputs=frozenset(), functions=True
        )
    found = _Found(model, modules, active, frozenset(composed))
    for pattern in patterns:
        found.add(pattern)
    return Selection(
        patterns=patterns,
        excluded=excluded,
        modules=frozenset(found.modules),
        undecided=found.undecided,
        parts=found.parts,
        inputs=frozenset(found.inputs),
        functions=found.functions,
    )


class _Found:
    """What patterns were found to stand for."""

    def __init__(
        self, model: nn.Module, modules: Mapping[str, nn.Module], active: frozenset[str], composed: frozenset[str]
    ) -> None:
        self._model, self._known, self._active, self._composed = model, modules, active, composed
        self.modules: set[str] = set()
        self.undecided: dict[str, frozenset[str]] = {}
        self.parts: dict[str, tuple[str, ...]] = {}
        self.inputs: set[str] = set()
        self.functions = False

    def add(self, pattern: str) -> None:
        base = base_name(pattern, self._known)
        if base in self._known:
            self.modules.add(base)
            return
        fitting = self._fitting(base)
        before = base.removesuffix(INPUT)
        if fitting & self._active:
            self.modules |= fitting & (self._active | self._composed)
            self.functions = True
        elif self._may_be_function(base):
            self.functions = True
            self.modules |= fitting & self._composed
            self.undecided |= {pattern: frozenset(fitting)} if fitting else {}
        elif fitting & self._composed:
            self.modules |= fitting & self._composed
            self.undecided |= {pattern: frozenset(fitting)}
        elif fitting:
            self.modules |= fitting
        elif before != base and (entered := {before} & set(self._known) or self._fitting(before)):
            self.inputs |= entered
        else:
            module, part = self._part_of_module(pattern, base)
            self.parts[module] = (*self.parts.get(module, ()), part)

    def _fitting(self, pattern: str) -> set[str]:
        """Names that a pattern fits; the model itself is meant only where it is an activation function."""
        root = next(iter(self._known))
        return {name for name in self._known if (name != root or name in self._active) and matches(name, pattern)}

    def _may_be_function(self, pattern: str) -> bool:
        root = next(iter(self._known))
        callers = ["" if name == root else f"{name}." for name in self._known]
        return any(matches(f"{caller}{name}", pattern) for name in FUNCTION_NAMES for caller in callers)

    def _part_of_module(self, pattern: str, base: str) -> tuple[str, str]:
        """Read a name as a module and a part of its output."""
        same = {id(module): name for name, module in self._known.items()}
        every = self._model.named_modules(remove_duplicate=False)
        alias = next((module for name, module in every if name == base), None)
        if alias is not None and id(alias) in same:
            first = same[id(alias)]
            raise LayerNotFound(
                f"{pattern!r} is the same module as {first!r}.",
                "Its calls are counted under the first name.",
                f"Use {first!r}, or one of its calls, such as '{first}:1'.",
            )
        caller, _, part = base.rpartition(".")
        caller = caller or next(iter(self._known))
        if caller in self._known and (part.isidentifier() or part.isdigit()):
            return caller, part
        raise not_found(pattern, self._model, self._known, list(self._active))


def _refuse_scripted(
    model: nn.Module, modules: Mapping[str, nn.Module], patterns: tuple[str, ...] | None, excluded: tuple[str, ...]
) -> None:
    for name, module in modules.items():
        if not isinstance(module, torch.jit.ScriptModule) or any(matches(name, pattern) for pattern in excluded):
            continue
        if patterns is None or any(matches(name, p) or p.startswith(f"{name}.") for p in patterns):
            raise ModelError(
                f"{name!r} in {type(model).__name__} is a scripted module.",
                "Hooks on it never fire: what it computes within would be missing.",
                f"Use the Python module that it was made from, or leave it out (layers='!{name}').",
            )
