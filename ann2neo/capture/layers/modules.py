"""The modules of a model by name, and what is known of each before anything runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ann2neo.capture.activations import is_activation
from ann2neo.capture.outputs import step_comes_first
from ann2neo.capture.quiet import inner_module
from ann2neo.errors import ModelError


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
