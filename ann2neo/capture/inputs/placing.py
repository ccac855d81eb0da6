"""Moving inputs to where the model is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ann2neo.capture.nested import with_parts


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is and of which type its numbers are; None where it has no parameters that would say so."""

    device: torch.device | None
    dtype: torch.dtype | None


def place_of(model: torch.nn.Module) -> Place:
    """Find the place of a model by its first floating-point parameter.

    Examples
    --------
    >>> place_of(torch.nn.Linear(2, 3)), place_of(torch.nn.ReLU())
    (Place(device=device(type='cpu'), dtype=torch.float32), Place(device=None, dtype=None))
    """
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    return Place(None, None) if first is None else Place(first.device, first.dtype)


def to_place(x: Any, place: Place) -> Any:
    """Move tensors to a place; NumPy arrays of floating-point numbers also get its type (NumPy's default is twice as wide as torch's)."""
    if isinstance(x, np.ndarray):
        tensor = torch.as_tensor(x)
        x = tensor.to(place.dtype) if tensor.is_floating_point() and place.dtype is not None else tensor
    if isinstance(x, torch.Tensor):
        return x if place.device is None else x.to(place.device)
    return with_parts(x, lambda part: to_place(part, place))
