"""A model and its inputs on a device and in a type, and inputs as pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ann2neo.errors import InputsError, ModelError


def moved(model: Any, data: Any, device: str | None, dtype: str | None) -> tuple[Any, Any]:
    """Move a model to a device and a type, and its inputs with it batch by batch.

    Raises
    ------
    ModelError
        If the device is not there.
    """
    if device is None and dtype is None:
        return model, data
    import torch

    kind = None if dtype is None else getattr(torch, dtype)
    try:
        model = model.to(device=device, dtype=kind)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(
            f"the model cannot be moved to {device or dtype} ({str(error).splitlines()[0][:150]}).",
            "Nothing was recorded.",
            "Use another --device or --dtype.",
        ) from error
    if kind is None:
        return model, data  # capture brings inputs to the device of the model
    return model, replace(data, data=_cast(data.data, kind))


def _cast(batch: Any, kind: Any) -> Any:
    """Cast what is floating-point in an array, or in the batches of a list."""
    import torch

    if isinstance(batch, np.ndarray | torch.Tensor):
        values = torch.as_tensor(batch)
        return values.to(kind) if values.is_floating_point() else values
    if isinstance(batch, dict):
        return {key: _cast(value, kind) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(_cast(value, kind) for value in batch)
    raise InputsError(
        f"inputs of type {type(batch).__name__} cannot be cast.",
        "The model would get numbers of another type.",
        "Give an array or a list of batches, or let the data set make numbers of this type.",
    )


def pictures_of(data: Any) -> np.ndarray:
    """Return the inputs as pictures for an NWB file, shape (input, height, width) or (input, height, width, channel).

    Raises
    ------
    InputsError
        If they are not an array of pictures.
    """
    x: Any = np.asarray(data.data) if hasattr(data.data, "shape") else np.empty(0)
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[1] not in (1, 3, 4)):
        raise InputsError(
            "the inputs are not an array of pictures of shape (input, channel, height, width).",
            "There are no images to keep.",
            "Leave --images out, or save them with ann2neo.save(recording, path, images=images).",
        )
    return x if x.ndim == 3 else x[:, 0] if x.shape[1] == 1 else x.transpose(0, 2, 3, 1)
