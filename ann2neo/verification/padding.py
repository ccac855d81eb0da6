"""Padding in a batch: what a model that sorts by length, or packs, goes by, where no lengths or masks come with its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ann2neo.probe.nested import leaves
from ann2neo.verification.places import axis_of_inputs, is_sparse, preferred_axis

# Inputs verify the order by length as long as the lengths of later ones differ by no more than this many times as much: a word that comes twice at the end does not count as padding.
TIMES = 2


def padding_differs(x: Any, n_inputs: int) -> int:
    """Measure by how many positions the padding of the inputs of a batch differs: how many before the last one are equal to it, or after the first one to that, the largest number less the smallest one.

    On devices, where to read a number is to wait, nothing is measured.

    Examples
    --------
    >>> padding_differs({"ids": torch.tensor([[5, 6, 7, 8], [5, 6, 0, 0]])}, 2), padding_differs(torch.tensor([[0, 0, 7], [0, 0, 8]]), 2)
    (1, 0)
    """
    if isinstance(x, torch.Tensor) and not x.is_nested:
        # Most batches are one tensor, and this is done for each of them.
        return _differs(x) if x.ndim > 1 and len(x) == n_inputs > 1 else 0
    preferred = preferred_axis(x, n_inputs)
    axes = [(leaf, axis_of_inputs(leaf, n_inputs, preferred)) for _, leaf in leaves(x)]
    parts = [torch.as_tensor(leaf).movedim(axis, 0) for leaf, axis in axes if axis is not None and not is_sparse(leaf)]
    return max((_differs(part) for part in parts if part.ndim > 1 and len(part) > 1), default=0)


def _differs(part: torch.Tensor) -> int:
    """Measure by how much the numbers of equal positions at either end differ."""
    is_plain = type(part) is torch.Tensor and part.device.type == "cpu" and part.layout == torch.strided
    if not is_plain or part.is_nested or part.shape[1] < 2 or not part.numel():
        return 0
    every = _array(part.detach().resolve_conj().resolve_neg())
    # Of most batches one number of each input tells; a few calls of NumPy take a tenth of the time of torch's.
    one = every if every.ndim < 3 else every[(slice(None), slice(None), *(size // 2 for size in every.shape[2:]))]
    at_start, at_end = (one[:, 0] == one[:, 1]).any(), (one[:, -1] == one[:, -2]).any()
    return max(_spread(every[:, ::-1]) if at_start else 0, _spread(every) if at_end else 0)


def _spread(every: np.ndarray) -> int:
    """Measure by how much the numbers of equal positions at the end differ."""
    same = every[:, :-1] == every[:, -1:]
    same = same.all(tuple(range(2, same.ndim)))[:, ::-1]
    runs = same.cumprod(1).sum(1)
    return int(runs.max() - runs.min())


def _array(part: torch.Tensor) -> np.ndarray:
    """View numbers, bit by bit where NumPy does not know them."""
    try:
        return part.numpy()
    except (TypeError, RuntimeError):
        return part.contiguous().view(torch.int16 if part.element_size() == 2 else torch.uint8).numpy()
