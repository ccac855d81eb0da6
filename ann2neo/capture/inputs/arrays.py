"""Arrays of inputs, in memory or in a file, cut into batches along the first axis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from ann2neo.capture.inputs.presentation import Presentation
from ann2neo.errors import InputsError

BATCHES_PER_CUT = 256
# What arrays of h5py, zarr, netCDF4, xarray, dask and JAX have in common; sparse matrices have no dense form of a name.
OF_ARRAYS = ("shape", "dtype", "ndim", "__array__", "__getitem__")


def lies_in_array(data: Any) -> bool:
    """Whether inputs are one array, in memory or in a file, whose first axis counts them.

    Examples
    --------
    >>> lies_in_array(torch.zeros(3)), lies_in_array(np.zeros(3)), lies_in_array([np.zeros(3)]), lies_in_array(pd.Series([1]))
    (True, True, False, False)
    """
    if isinstance(data, (torch.Tensor, np.ndarray)):
        return True
    # Tables of pandas have columns, and rows by their index.
    others = (Dataset, DataLoader, list, type, pd.DataFrame, pd.Series, pd.Index)
    return not isinstance(data, others) and all(hasattr(data, name) for name in OF_ARRAYS)


def array_presentation(data: Any, batch_size: int) -> Presentation:
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
    if len(data.shape) == 0 or data.shape[0] == 0:
        raise InputsError(
            f"the inputs are empty (shape {tuple(data.shape)}).",
            "There is nothing to record.",
            "Give at least one input.",
        )
    n_inputs = int(data.shape[0])
    starts = range(0, n_inputs, batch_size)
    in_memory = isinstance(data, (torch.Tensor, np.ndarray))
    return Presentation(
        batches=lambda first: (_cut if in_memory else _read)(data, batch_size, first),
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


def _read(data: Any, batch_size: int, first: int) -> Iterator[np.ndarray]:
    """Read an array batch by batch: it may be larger than memory."""
    for start in range(first * batch_size, data.shape[0], batch_size):
        yield np.asarray(data[start : start + batch_size])
