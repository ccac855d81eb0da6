"""What the ``forward`` of a model takes, and how it can be called with a batch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

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
