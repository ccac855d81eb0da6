"""Which layers of a model are recorded: activation functions by default; any module, input, function or part of an output by name, or by a pattern. What is said of layers that do not exist or were not called."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ann2neo.errors import LayerNeverRan, LayerNotFound, ModelError, suggestion
from ann2neo.probe.entries import INPUT, UNNAMED, base_name, may_be_function, module_and_path
from ann2neo.recording import matches


def split_patterns(
    layers: str | Sequence[str] | None, modules: Collection[str] = ()
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Tell what was asked for from what is left out, which begins with ``!``; None if nothing was asked for in particular.

    The exact name of a module, or of a call or the input of one, stands for itself, whatever characters it has.

    Examples
    --------
    >>> split_patterns(["features.*", "!*.gate"]), split_patterns("!*.gate"), split_patterns(None)
    ((('features.*',), ('*.gate',)), (None, ('*.gate',)), (None, ()))
    >>> split_patterns(["!x", "!!x", "!a*", "!a*b"], ["Net", "!x", "a*b"])
    (('!x',), ('!x', 'a*', 'a[*]b'))
    """
    given = () if layers is None else (layers,) if isinstance(layers, str) else tuple(layers)
    wanted = tuple(pattern for pattern in given if not pattern.startswith("!") or _is_exact(pattern, modules))
    excluded = [pattern[1:] for pattern in given if pattern not in wanted]
    return wanted or None, tuple(glob.escape(one) if _is_exact(one, modules) else one for one in excluded)


def _is_exact(pattern: str, modules: Collection[str]) -> bool:
    """Whether a pattern is the name of a module, or of a call or the input of one."""
    return base_name(pattern, modules).removesuffix(INPUT) in modules or pattern in modules


LISTED = 20


def check_all_ran(
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    active: Sequence[str],
    layers: str | Sequence[str] | None,
    seen: Sequence[str],
    called: Sequence[str] = (),
) -> None:
    """Refuse a model none of whose activation functions ran, and layers that were asked for and did not run.

    Parameters
    ----------
    model, modules, active
        The model, its modules by name, and the names of those that are activation functions.
    layers
        What was asked for.
    seen
        Layers that were asked for and called.
    called
        Other modules and functions that were seen to be called, for the message.

    Raises
    ------
    LayerNotFound
        If nothing was asked for in particular and nothing ran, or a name is that of no module and of no function that was called.
    LayerNeverRan
        If a module that was asked for was not called by the first batch.
    """
    patterns, excluded = split_patterns(layers, modules)
    for pattern in excluded:
        if not any(matches(layer, pattern) for layer in [*called, *modules]):
            raise not_found(f"!{pattern}", model, modules, active)
    if patterns is None:
        if not seen:
            raise _nothing_ran(model, modules)
        return
    for pattern in patterns:
        if not any(matches(layer, pattern) for layer in seen):
            raise _missing(pattern, model, modules, active, list(dict.fromkeys([*seen, *called])))


def not_found(
    pattern: str,
    model: nn.Module,
    modules: Mapping[str, nn.Module],
    known: Sequence[str],
    *,
    kinds: str = "activation functions",
) -> LayerNotFound:
    """Make the error for a name that nothing goes by, with the names that there are, and what these are."""
    near = suggestion(pattern, known) or _by_kind(pattern, modules, known) or suggestion(pattern, modules)
    return LayerNotFound(
        f"no layer matches {pattern!r} in {type(model).__name__} ({kinds}: {_listed(known)}).{near}",
        "Nothing would be recorded.",
        "Use one of these names, the name of any other module, or a pattern such as 'features.*'; `ann2neo.plan` lists them all.",
    )


def _nothing_ran(model: nn.Module, modules: Mapping[str, nn.Module]) -> LayerNotFound:
    others = [name for name, module in modules.items() if isinstance(module, nn.RNNBase)]
    return LayerNotFound(
        f"no activation function of {type(model).__name__} was called by the first batch.",
        "Nothing would be recorded.",
        f"Name the layers to record (layers={others or '...'}); any module can be named, and needs a threshold if it is not an activation function. "
        "Products such as x * (x > 0) are not seen: use nn.ReLU() or torch.relu in the model to record them.",
    )


def _missing(
    pattern: str, model: nn.Module, modules: Mapping[str, nn.Module], active: Sequence[str], called: Sequence[str]
) -> LayerNeverRan | LayerNotFound:
    """Tell a module that was not called from a name that may be that of a function, and of none that was called."""
    if any(matches(name, base_name(pattern, modules)) for name in modules):
        return LayerNeverRan(
            f"layer {pattern!r} of {type(model).__name__} was not called by the first batch (called: {_listed(called)})."
            f"{suggestion(pattern, called)}",
            "It would have no spikes, which is not the same as being silent.",
            "Leave it out, or give inputs that reach it; `ann2neo.plan(model, inputs)` lists what can be recorded.",
        )
    known = list(dict.fromkeys([*called, *active]))
    return LayerNotFound(
        f"{pattern!r} is not a module of {type(model).__name__}, and the first batch called no function of that name (called: {_listed(called)}; "
        f"modules that are activation functions: {_listed(active)}).{_by_kind(pattern, modules, known) or suggestion(pattern, known)}",
        "Nothing would be recorded of it, which is not the same as being silent.",
        "Use one of these names, the name of any other module, or a pattern such as 'features.*'; `ann2neo.plan(model, inputs)` lists what can be recorded.",
    )


def _by_kind(pattern: str, modules: Mapping[str, nn.Module], known: Iterable[str]) -> str:
    """List the layers that do what the name says, such as modules that are a ReLU where it is 'relu'."""
    kind = base_name(pattern, modules).rpartition(".")[2].replace("_", "").lower()
    same = [name for name in known if _kind(name, modules) == kind]
    return f" Did you mean {' or '.join(map(repr, same[:3]))}?" if same else ""


def _kind(name: str, modules: Mapping[str, nn.Module]) -> str:
    """Class of a module, or name of a function."""
    kind = type(modules[name]).__name__ if name in modules else name.rpartition(".")[2]
    return kind.replace("_", "").lower()


def _listed(names: Sequence[str]) -> str:
    return (", ".join(map(repr, names[:LISTED])) or "none") + (", ..." if len(names) > LISTED else "")


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
        Entries of outputs that were asked for, by the module's name: the path of each, by the name of its layer.
    inputs
        Names of the modules of which the input is a layer.
    functions
        Whether calls of functions may be layers.
    """

    patterns: tuple[str, ...] | None
    excluded: tuple[str, ...]
    modules: frozenset[str]
    undecided: Mapping[str, frozenset[str]]
    parts: Mapping[str, Mapping[str, str]]
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

    def is_asked(self, name: str) -> bool:
        """Whether a module was asked for by its name, or by a pattern that may stand for modules of any kind."""
        return self.is_named(name) or any(name in names for names in self.undecided.values())

    def superseded(self, layers: Mapping[str, bool], active: Collection[str]) -> list[str]:
        """List modules that are not layers after all, because the pattern that they fit is fitted by activation functions too.

        Parameters
        ----------
        layers
            Layers that were shown, and whether each is an activation function.
        active
            Names of the modules that are activation functions.
        """
        found: list[str] = []
        for pattern, names in self.undecided.items():
            fitting = [layer for layer in layers if matches(layer, pattern)]
            if any(layers[layer] for layer in fitting):
                found += [layer for layer in fitting if not layers[layer]]
            elif any(name in active for name in names):
                found += fitting
        return found


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
    ``name.part`` for a part of a module's output, if that is a mapping, a dataclass or a named tuple, ``name.1`` for an entry of a tuple or list, and ``name.part.1``
    for an entry of a part; ``name.output.1`` where a module or function has that name. What begins with ``!`` is left out.

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
    patterns, excluded = split_patterns(layers, modules)
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
        self.parts: dict[str, dict[str, str]] = {}
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
        elif may_be_function(base, self._known):
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
            module, path = self._part_of_module(pattern, base)
            self.parts.setdefault(module, {})[base] = path

    def _fitting(self, pattern: str) -> set[str]:
        """Names that a pattern fits; the model itself is meant only where it is an activation function."""
        root = next(iter(self._known))
        return {name for name in self._known if (name != root or name in self._active) and matches(name, pattern)}

    def _part_of_module(self, pattern: str, base: str) -> tuple[str, str]:
        """Read a name as a module and the path of an entry of its output."""
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
        if not UNNAMED.search(base):
            return module_and_path(base, self._known)
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
