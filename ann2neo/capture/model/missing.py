"""What is said of layers that do not exist, or that the first batch did not call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from ann2neo.capture.model.patterns import base_name, split_patterns
from ann2neo.errors import LayerNeverRan, LayerNotFound, suggestion
from ann2neo.recording import matches

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
    patterns, excluded = split_patterns(layers)
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


def not_found(pattern: str, model: nn.Module, modules: Mapping[str, nn.Module], known: Sequence[str]) -> LayerNotFound:
    """Make the error for a name that nothing goes by, with the names that there are."""
    near = suggestion(pattern, known) or _by_kind(pattern, modules, known) or suggestion(pattern, modules)
    return LayerNotFound(
        f"no layer matches {pattern!r} in {type(model).__name__} (activation functions: {_listed(known)}).{near}",
        "Nothing would be recorded.",
        "Use one of these names, the name of any other module, or a pattern such as 'features.*'; `ann2neo.plan` lists them all.",
    )


def _nothing_ran(model: nn.Module, modules: Mapping[str, nn.Module]) -> LayerNotFound:
    others = [name for name, module in modules.items() if isinstance(module, nn.RNNBase)]
    return LayerNotFound(
        f"no activation function of {type(model).__name__} was called by the first batch.",
        "Nothing would be recorded.",
        f"Name the layers to record (layers={others or '...'}); any module can be named, and needs a threshold if it is no activation function. "
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
        f"{pattern!r} is no module of {type(model).__name__}, and the first batch called no function of that name (called: {_listed(called)}; "
        f"modules that are activation functions: {_listed(active)}).{_by_kind(pattern, modules, known) or suggestion(pattern, known)}",
        "Nothing would be recorded of it, which is not the same as being silent.",
        "Use one of these names, the name of any other module, or a pattern such as 'features.*'; `ann2neo.plan(model, inputs)` lists what can be recorded.",
    )


def _by_kind(pattern: str, modules: Mapping[str, nn.Module], known: Iterable[str]) -> str:
    """Say which layers do what the name says, such as modules that are a ReLU where it is 'relu'."""
    kind = base_name(pattern, modules).rpartition(".")[2].replace("_", "").lower()
    same = [name for name in known if _kind(name, modules) == kind]
    return f" Did you mean {' or '.join(map(repr, same[:3]))}?" if same else ""


def _kind(name: str, modules: Mapping[str, nn.Module]) -> str:
    """Class of a module, or name of a function."""
    kind = type(modules[name]).__name__ if name in modules else name.rpartition(".")[2]
    return kind.replace("_", "").lower()


def _listed(names: Sequence[str]) -> str:
    return (", ".join(map(repr, names[:LISTED])) or "none") + (", ..." if len(names) > LISTED else "")
