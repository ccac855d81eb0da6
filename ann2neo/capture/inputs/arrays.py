"""Arrays of inputs, cut into batches along the first axis."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ann2neo.capture.inputs.presentation import Presentation
from ann2neo.errors import InputsError

BATCHES_PER_CUT = 256


def array_presentation(data: torch.Tensor | np.ndarray, batch_size: int) -> Presentation:
    """Present an array's inputs, which lie along its first axis, in batches.

    Raises
    ------
    InputsError
        If there is none.

    Examples
    --------
    >>> [batch.tolist() for batch in array_presentation(np.arange(5), 2).batches(1)]
    [[2, 3], [4]]
    """
    if data.ndim == 0 or data.shape[0] == 0:
        raise InputsError(
            f"the inputs are empty (shape {tuple(data.shape)}).",
            "There is nothing to record.",
            "Give at least one input.",
        )
    n_inputs = data.shape[0]
    starts = range(0, n_inputs, batch_size)
    return Presentation(
        batches=lambda first: _cut(data, batch_size, first),
        n_batches=len(starts),
        n_inputs=n_inputs,
        stimulus_ids=np.arange(n_inputs),
        batch_sizes=np.minimum(batch_size, n_inputs - np.asarray(starts)),
        axis=0,
    )


def _cut(data: torch.Tensor | np.ndarray, batch_size: int, first: int) -> Iterator[torch.Tensor | np.ndarray]:
    """Cut an array into batches, many at once: one cut within a model would cost more."""
    many = BATCHES_PER_CUT * batch_size
    for start in range(first * batch_size, data.shape[0], many):
        some = data[start : start + many]
        if isinstance(some, torch.Tensor):
            yield from some.split(batch_size)
        else:
            yield from (some[i : i + batch_size] for i in range(0, len(some), batch_size))
