"""Masks in a batch, which say at which positions of each input there is data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from ann2neo.errors import InputsError
from ann2neo.probe.nested import arrays

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


def masked_positions(x: Any, n_inputs: int) -> dict[str, str]:
    """Find what in a batch says at which positions there is padding, each with a description.

    These are an ``attention_mask`` with zeros, of any shape; other masks of shape (input, position), axes of one entry apart, whose zeros or ones are all at one end of each
    input and not equally many; and whole numbers whose name holds "len", not all of which are the number of positions.

    Examples
    --------
    >>> masked_positions({"x": torch.zeros(2, 3), "padding_mask": torch.tensor([[0, 0, 1], [0, 1, 1]]), "lengths": torch.tensor([2, 1])}, 2)
    {'padding_mask': 'is 1 at 3 of 6 positions', 'lengths': 'counts 3 of 6 positions'}
    >>> masked_positions({"x": torch.zeros(2, 3), "mask": torch.tensor([[0, 1, 1], [1, 0, 1]])}, 2)
    {}
    """
    found = {}
    every = [(path.rsplit("/", 1)[-1], array) for path, array in arrays(x)]
    n_positions = {array.shape[1] for _, array in every if array.ndim > 1 and array.shape[0] == n_inputs}
    for name, array in every:
        if array.ndim and array.shape[0] == n_inputs and (said := _padding(name, array, n_positions)):
            found[name] = said
    return found


def _padding(name: str, array: Any, n_positions: Collection[int]) -> str | None:
    if isinstance(array, np.ndarray):
        if array.dtype.kind not in "biuf":
            return None
        array = torch.as_tensor(array)
    array = array.detach().cpu()
    if not array.numel() or array.layout != torch.strided:
        return None
    if array.ndim == 1 and "len" in name.lower() and not array.is_floating_point() and array.dtype != torch.bool:
        fitting = [n for n in n_positions if n >= int(array.max())]
        total = int(array.sum())
        is_padded = bool(fitting) and int(array.min()) > 0 and total < min(fitting) * len(array)
        return f"counts {total} of {min(fitting) * len(array)} positions" if is_padded else None
    if "mask" not in name.lower():
        return None
    flat = array.reshape(*(size for axis, size in enumerate(array.shape) if not axis or size > 1))
    there = flat == flat.max()
    if flat.ndim == 1 or bool(there.all()):
        return None
    n_zeros = int((~there).sum())
    zeros = (
        f"is 0 at {n_zeros} of {flat.numel()} positions"
        if float(flat.max())
        else f"is below 0 at {n_zeros} of {flat.numel()} positions"
    )
    if name == MASK:
        return zeros
    if flat.ndim != 2 or not bool(((flat == 0) | (flat == 1)).all()):
        return None
    ones = f"is 1 at {int(there.sum())} of {flat.numel()} positions"
    # A mask of padding has ones there, any other mask has zeros, where values would allow both.
    either = [(~there, zeros), (there, ones)]
    for padded, said in reversed(either) if "pad" in name.lower() else either:
        if _is_at_one_end(padded) and len(padded.sum(1).unique()) > 1:
            return said
    return None


def _is_at_one_end(padded: torch.Tensor) -> bool:
    """Whether the truth values of all inputs are at their end, or at their beginning, and no input is all padding."""
    at_end = bool((padded.long().diff(dim=1) >= 0).all())
    at_beginning = bool((padded.long().diff(dim=1) <= 0).all())
    return (at_end or at_beginning) and not bool(padded.all(1).any())
