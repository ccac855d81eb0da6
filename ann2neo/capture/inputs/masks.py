"""Masks in a batch, which say at which positions of each input there is data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int

from ann2neo.capture.nested import arrays
from ann2neo.errors import InputsError

MASK = "attention_mask"


def batch_mask(x: Any, key: str = MASK) -> Bool[np.ndarray, "input position"] | None:
    """Find the mask of a batch: which positions of each input hold data; None if the batch has no part of this name.

    The positions may begin anywhere: inputs are padded at their end, at their beginning, or within.

    Parameters
    ----------
    x
        The batch: a mapping, or a sequence or object that holds one.
    key
        Name of the mask, an array of truth values or of zeros and ones of shape (input, position).

    Raises
    ------
    InputsError
        If there are several masks of this name, or it holds something else.

    Examples
    --------
    >>> batch_mask({"attention_mask": torch.tensor([[1, 1, 0], [0, 1, 1]])})
    array([[ True,  True, False],
           [False,  True,  True]])
    """
    found = [array for path, array in arrays(x) if path.rsplit("/", 1)[-1] == key]
    if not found:
        return None
    mask = found[0].detach().cpu() if isinstance(found[0], torch.Tensor) else torch.as_tensor(found[0])
    if len(found) > 1 or mask.ndim != 2 or not bool(((mask == 0) | (mask == 1)).all()):
        raise InputsError(
            f"{key!r} is found {len(found)} times in a batch, of shape {tuple(mask.shape)} and type {str(mask.dtype)[6:]}.",
            "It is unclear which positions of each input hold data.",
            f"Give one {key!r} of zeros and ones of shape (input, position), or Steps(..., lengths=function).",
        )
    return (mask == 1).numpy()


def mask_lengths(x: Any, key: str = MASK) -> Int[np.ndarray, " input"] | None:
    """Count the positions of each input that hold data according to the mask of a batch; None if the batch has no such mask.

    Raises
    ------
    InputsError
        As `batch_mask`.

    Examples
    --------
    >>> mask_lengths({"attention_mask": torch.tensor([[1, 1, 0], [0, 0, 1]])}), mask_lengths(torch.zeros(2, 3))
    (array([2, 1]), None)
    """
    mask = batch_mask(x, key)
    return None if mask is None else mask.sum(axis=1)
