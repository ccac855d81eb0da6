"""Which layers of a model are observed: activation functions by default, any module, function or part of an output by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ann2neo.capture.activations import FUNCTION_NAMES, is_activation
from ann2neo.capture.outputs import step_comes_first
from ann2neo.capture.quiet import inner_module
from ann2neo.errors import LayerNeverRan, LayerNotFound, ModelError, ThresholdError, suggestion
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


def named_modules(model: nn.Module) -> dict[str, nn.Module]:
    """Name all modules as in the model that was written: compiled and data-parallel wrappers leave no trace in a name.

    The model itself goes by the name of its class. A module that is shared goes by its first name.

    Raises
    ------
    ModelError
        If a part of the model is spread over several devices.

    Examples
    --------
    >>> list(named_modules(nn.Sequential(nn.Linear(2, 3), nn.DataParallel(nn.Sequential(nn.ReLU())))))
    ['Sequential', '0', '1', '1.0']
    """
    found: dict[str, nn.Module] = {}
    known: set[int] = set()
    pending: list[tuple[str, nn.Module]] = [("", model)]
    while pending:
        name, module = pending.pop()
        module = _unwrapped(name, module)
        if id(module) in known:
            continue
        known.add(id(module))
        found[name or type(module).__name__] = module
        if not isinstance(module, torch.jit.ScriptModule):
            pending += reversed([(f"{name}.{key}" if name else key, child) for key, child in module.named_children()])
    return found


def step_first_names(modules: Mapping[str, nn.Module]) -> frozenset[str]:
    """Names of the modules in which steps come before inputs, given parents before children."""
    root = next(iter(modules))
    first: dict[str, bool] = {}
    for name, module in modules.items():
        inherited = first.get(name.rpartition(".")[0], first.get(root, False))
        own = step_comes_first(module)
        first[name] = inherited if own is None else own
    return frozenset(name for name, is_first in first.items() if is_first)


def activation_names(modules: Mapping[str, nn.Module]) -> list[str]:
    """Names of the activation functions among modules, given parents before children; not of those that are parts of others."""
    active: list[str] = []
    for name, module in modules.items():
        within = any(name.startswith(f"{other}.") for other in active)
        if not within and is_activation(module):
            active.append(name)
    return active


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


def base_name(pattern: str, modules: Iterable[str]) -> str:
    """Leave the number of the call out of a pattern.

    Examples
    --------
    >>> base_name("act:1", ["act"]), base_name("act", ["act"])
    ('act', 'act')
    """
    return pattern if pattern in modules else pattern.rpartition(":")[0] or pattern


def wanted(layer: str, layers: str | Sequence[str] | None) -> bool:
    """Whether a call of a selected module was asked for; a name without a call number stands for all calls."""
    if layers is None:
        return True
    patterns = [layers] if isinstance(layers, str) else layers
    return any(matches(layer, pattern) for pattern in patterns)


def check_all_ran(
    model: nn.Module, layers: str | Sequence[str] | None, seen: Sequence[str], called: Sequence[str] = ()
) -> None:
    """Refuse a model none of whose activation functions ran, and layers that were asked for and did not run.

    Parameters
    ----------
    model, layers
        What was asked for.
    seen
        Layers that were asked for and called.
    called
        Other modules and functions that were seen to be called, for the message.

    Raises
    ------
    LayerNotFound
        If nothing was asked for in particular and nothing ran.
    LayerNeverRan
        If a layer that was asked for was not called by the first batch.
    """
    if layers is None:
        if not seen:
            others = [name for name, module in named_modules(model).items() if isinstance(module, nn.RNNBase)]
            raise LayerNotFound(
                f"no activation function of {type(model).__name__} was called by the first batch.",
                "Nothing would be recorded.",
                f"Name the layers to record (layers={others or '...'}); any module can be named, and needs a threshold if it is no activation function. "
                "Products such as x * (x > 0) are not seen: use nn.ReLU() or torch.relu in the model to record them.",
            )
        return
    known = list(dict.fromkeys([*seen, *called]))
    for pattern in [layers] if isinstance(layers, str) else layers:
        if not any(matches(layer, pattern) for layer in seen):
            raise LayerNeverRan(
                f"layer {pattern!r} of {type(model).__name__} was not called by the first batch "
                f"(called: {', '.join(map(repr, known[:20])) or 'none'}{', ...' if len(known) > 20 else ''}).{suggestion(pattern, known)}",
                "It would have no spikes, which is not the same as being silent.",
                "Leave it out, or give inputs that reach it; `ann2neo.plan(model, inputs)` lists what can be recorded.",
            )


def value_at_zero(name: str, module: nn.Module, like: torch.Tensor) -> float:
    """Evaluate an activation function at pre-activation 0, in the type and place of its output; 0 for hidden states of recurrent modules.

    Raises
    ------
    ThresholdError
        If the module is no activation function, so that it has no such value.

    Examples
    --------
    >>> value_at_zero("gate", nn.Sigmoid(), torch.zeros(1))
    0.5
    """
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        return 0.0
    if not is_activation(module):
        raise ThresholdError(
            f"layer {name!r} is a {type(module).__name__}, no activation function with a value at pre-activation 0.",
            "There is no natural threshold.",
            f"Give one, for instance threshold={{{name!r}: 0.0}}.",
        )
    zero = torch.zeros((1, getattr(module, "num_parameters", 1)), dtype=like.dtype, device=like.device)
    return float(module.forward(zero).reshape(-1)[0])


def pattern_of(names: Sequence[str], others: Sequence[str]) -> str | list[str]:
    """Find a pattern, or as few as there are, that all of some layers fit and none of others; the names themselves if there is none.

    Examples
    --------
    >>> pattern_of(["bert.encoder.0", "bert.encoder.1"], ["bert.pooler"]), pattern_of(["a.0", "b.0"], ["c.0"]), pattern_of(["a", "b:1"], ["b"])
    ('bert.encoder.*', ['a.*', 'b.*'], ['a', 'b:1'])
    """
    parts = names[0].split(".")
    depths = [{".".join(name.split(".")[:depth]) + ".*" for name in names} for depth in range(1, len(parts))]
    for patterns in sorted(depths, key=len):
        if all(wanted(name, list(patterns)) for name in names) and not any(wanted(o, list(patterns)) for o in others):
            return next(iter(patterns)) if len(patterns) == 1 else sorted(patterns)
    return list(names)


def not_found(pattern: str, model: nn.Module, known: Sequence[str]) -> LayerNotFound:
    """Say that nothing goes by a name, and what does."""
    shown = ", ".join(map(repr, known[:20])) + (", ..." if len(known) > 20 else "")
    return LayerNotFound(
        f"no layer matches {pattern!r} in {type(model).__name__} (activation functions: {shown or 'none'}).{suggestion(pattern, known)}",
        "Nothing would be recorded.",
        "Use one of these names, the name of any other module, or a pattern such as 'features.*'; `ann2neo.plan` lists them all.",
    )


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


def _unwrapped(name: str, module: nn.Module) -> nn.Module:
    while (inner := inner_module(module)) is not None:
        if name and len(getattr(module, "device_ids", None) or ()) > 1:
            raise ModelError(
                f"{name!r} is spread over several devices.",
                "Each device would show a part of every batch.",
                "Give the model on one device.",
            )
        module = inner
    return module
