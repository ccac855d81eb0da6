"""What the ``forward`` of a model takes, and how it can be called with a batch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def how_to_call(parameters: Mapping[str, inspect.Parameter], x: Any, *, of_tensors: bool) -> str:
    """Write how a model can be called with such a batch: each argument that it needs is a part of it, in order.

    Parameters
    ----------
    parameters
        What ``forward`` takes.
    x
        What it was given: the batch, or the part of it that was taken for inputs.
    of_tensors
        Whether the data are one tensor or array, so that batches have no parts.

    Examples
    --------
    >>> forward = lambda image, *, mask, scale=1: image
    >>> how_to_call(inspect.signature(forward).parameters, (1, 2, 3), of_tensors=False).partition(",")[0]
    'Say how with Inputs(data'
    >>> how_to_call(inspect.signature(forward).parameters, (1, 2, 3), of_tensors=False).partition(": ")[2]
    'model(batch[0], mask=batch[1])).'
    """
    needed = [
        p for p in parameters.values() if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if isinstance(x, Mapping):
        lacking = [p.name for p in needed if p.name not in x]
        return f"Let batches hold {', '.join(map(repr, lacking))} too, or say how with Inputs(data, forward=lambda model, batch: model(...))."
    parts = ["batch"] if of_tensors and len(needed) < 2 else [f"batch[{k}]" for k in range(len(needed))]
    written = [f"{p.name}={part}" if p.kind is p.KEYWORD_ONLY else part for p, part in zip(needed, parts)]
    data = f"TensorDataset({', '.join(p.name for p in needed)})" if of_tensors and len(needed) > 1 else "data"
    return f"Say how with Inputs({data}, forward=lambda model, batch: model({', '.join(written)}))."


def how_to_pack(x: Any, *, within: bool) -> str:
    """Write how a model gets lengths along one axis on the CPU; ``within`` a call that the user wrote.

    Examples
    --------
    >>> how_to_pack({"x": torch.zeros(2, 3), "n": torch.tensor([1, 3])}, within=True)
    "Give it {**batch, 'n': batch['n'].flatten().cpu()} within forward=."
    """
    parts = x.items() if isinstance(x, Mapping) else ()
    whole = [(key, a) for key, a in parts if isinstance(a, torch.Tensor) and a.dtype in (torch.int64, torch.int32)]
    lengths = [key for key, a in whole if a.ndim and a.numel() == len(a)]
    is_known = len(lengths) == 1
    given = (
        f"{{**batch, {lengths[0]!r}: batch[{lengths[0]!r}].flatten().cpu()}}" if is_known else "lengths.flatten().cpu()"
    )
    call = f"model(**{given})" if is_known else f"model(..., {given})"
    return (
        f"Give it {given} within forward=."
        if within
        else f"Say how with Inputs(data, forward=lambda model, batch: {call})."
    )


def fits(module: nn.Module, x: Any) -> bool:
    """Tell whether a model can be called with a batch: a mapping of arguments, or its only argument."""
    arguments = ((), x) if isinstance(x, dict) else ((x,), {})
    try:
        inspect.signature(module.forward).bind(*arguments[0], **arguments[1])
    except TypeError:
        return False
    return True


def parameters_of(module: nn.Module) -> Mapping[str, inspect.Parameter] | None:
    """Return what a model's ``forward`` takes; None if that is not known."""
    try:
        return inspect.signature(module.forward).parameters
    except (TypeError, ValueError):
        return None
