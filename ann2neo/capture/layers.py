"""Which modules of a model are layers: activation functions by default, any module by name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ann2neo.errors import LayerNeverRan, LayerNotFound, ThresholdError, suggestion
from ann2neo.recording import matches

# Element by element and without a state of their own: the modules that a neuroscientist would call a neuron's output nonlinearity.
ACTIVATIONS = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU,
    nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip


def select_modules(model: nn.Module, layers: str | Sequence[str] | None) -> dict[str, nn.Module]:
    """Find the modules to observe.

    Without a choice these are all activation functions. A name stands for its module, whatever it is; a pattern stands for the activation functions
    that it fits, or for all modules that it fits where none of them is an activation function.

    Raises
    ------
    LayerNotFound
        If a name or pattern fits no module.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> list(select_modules(model, None)), list(select_modules(model, "2")), list(select_modules(model, "*"))
    (['1'], ['2'], ['1'])
    """
    modules = {name: module for name, module in model.named_modules(remove_duplicate=True) if name or module is model}
    active = {name for name, module in modules.items() if isinstance(module, ACTIVATIONS)}
    if layers is None:
        return {name: modules[name] for name in modules if name in active}
    chosen: set[str] = set()
    for pattern in [layers] if isinstance(layers, str) else layers:
        base = pattern if pattern in modules else pattern.rpartition(":")[0] or pattern
        fitting = {base} if base in modules else {name for name in modules if name and matches(name, base)}
        if not fitting:
            raise _not_found(pattern, model, sorted(active))
        chosen |= (fitting & active) or fitting
    return {name: module for name, module in modules.items() if name in chosen}


def wanted(layer: str, layers: str | Sequence[str] | None) -> bool:
    """Whether a call of a selected module was asked for; a name without a call number stands for all calls."""
    if layers is None:
        return True
    patterns = [layers] if isinstance(layers, str) else layers
    return any(matches(layer, pattern) for pattern in patterns)


def check_all_ran(model: nn.Module, layers: str | Sequence[str] | None, seen: Sequence[str]) -> None:
    """Refuse a model none of whose activation functions ran, and layers that were asked for and did not run.

    Raises
    ------
    LayerNotFound
        If nothing was asked for in particular and nothing ran.
    LayerNeverRan
        If a layer that was asked for was not called by the first batch.
    """
    if layers is None:
        if not seen:
            raise LayerNotFound(
                f"no activation module of {type(model).__name__} was called by the first batch.",
                "Nothing would be recorded.",
                "Name the layers to record (layers=...). Functions such as torch.relu are not modules: use nn.ReLU() in the model to record them.",
            )
        return
    for pattern in [layers] if isinstance(layers, str) else layers:
        if not any(matches(layer, pattern) for layer in seen):
            raise LayerNeverRan(
                f"layer {pattern!r} of {type(model).__name__} was not called by the first batch (called: {', '.join(map(repr, seen)) or 'none'}).",
                "It would have no spikes, which is not the same as being silent.",
                "Leave it out, or give inputs that reach it. A module that is called by another's fused or compiled code never runs by itself.",
            )


def value_at_zero(name: str, module: nn.Module, like: torch.Tensor) -> float:
    """Evaluate an activation function at pre-activation 0, in the type and place of its output.

    Raises
    ------
    ThresholdError
        If the module is no activation function, so that it has no such value.

    Examples
    --------
    >>> value_at_zero("gate", nn.Sigmoid(), torch.zeros(1))
    0.5
    """
    if not isinstance(module, ACTIVATIONS):
        raise ThresholdError(
            f"layer {name!r} is a {type(module).__name__}, no activation function with a value at pre-activation 0.",
            "There is no natural threshold.",
            f"Give one, for instance threshold={{{name!r}: 0.0}}.",
        )
    zero = torch.zeros((1, getattr(module, "num_parameters", 1)), dtype=like.dtype, device=like.device)
    return float(module.forward(zero).reshape(-1)[0])


def _not_found(pattern: str, model: nn.Module, known: list[str]) -> LayerNotFound:
    shown = ", ".join(map(repr, known[:20])) + (", ..." if len(known) > 20 else "")
    return LayerNotFound(
        f"no layer matches {pattern!r} in {type(model).__name__} (activation functions: {shown or 'none'}).{suggestion(pattern, known)}",
        "Nothing would be recorded.",
        "Use one of these names, the name of any other module, or a pattern such as 'features.*'; `ann2neo.plan` lists them all.",
    )
