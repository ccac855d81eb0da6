"""From a tensor, a data set, a loader, a list or a generator to a source of batches, whose order is drawn once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ann2neo.capture.inputs.batches import split_batch
from ann2neo.capture.inputs.forms import Inputs, Source
from ann2neo.capture.inputs.labels import trial_columns
from ann2neo.capture.inputs.loaders import loader_source
from ann2neo.errors import InputsError

BATCHES_PER_CUT = 256


def open_source(inputs: Inputs) -> Source:
    """Draw the order of the inputs and make them into batches.

    Raises
    ------
    InputsError
        If the data are empty or of no known form, or there are not as many labels as inputs.
    """
    source = _open(inputs)
    if source.n_inputs is not None:
        trial_columns(inputs.labels, [], source.n_inputs)
    return source


def _open(inputs: Inputs) -> Source:
    data, any_form = inputs.data, inputs.forward is not None
    if isinstance(data, (torch.Tensor, np.ndarray)):
        return _array_source(data, inputs.batch_size)
    if isinstance(data, Dataset):
        data = DataLoader(data, batch_size=inputs.batch_size)
    if isinstance(data, DataLoader):
        return loader_source(data, any_form=any_form)
    if isinstance(data, list) and data:
        return _list_source(data, any_form=any_form)
    again: Any = data if callable(data) and not isinstance(data, Iterable) else lambda: data
    if isinstance(data, Iterator):
        again = _once(data)
    elif not isinstance(data, Iterable) and not callable(data):
        raise InputsError(
            f"inputs of type {type(data).__name__} cannot be read batch by batch.",
            "Nothing was recorded.",
            "Give a tensor, an array, a Dataset, a DataLoader, a list of batches or a function that returns one of these.",
        )
    n_batches = len(data) if isinstance(data, Sized) else None
    return Source(batches=lambda first: islice(again(), first, None), n_batches=n_batches, before={})


def _once(batches: Iterator[Any]) -> Callable[[], Iterator[Any]]:
    """Let a generator be read one time."""
    fresh = [batches]

    def begin() -> Iterator[Any]:
        if not fresh:
            raise InputsError(
                "the inputs are a generator, which was read to its end.",
                "They cannot be read a second time, as several passes need.",
                "Give a function without arguments that returns a fresh generator.",
            )
        return fresh.pop()

    return begin


def _array_source(data: torch.Tensor | np.ndarray, batch_size: int) -> Source:
    if data.ndim == 0 or data.shape[0] == 0:
        raise InputsError(
            f"the inputs are empty (shape {tuple(data.shape)}).",
            "There is nothing to record.",
            "Give at least one input.",
        )
    n_inputs = data.shape[0]
    starts = range(0, n_inputs, batch_size)
    return Source(
        batches=lambda first: _cut(data, batch_size, first),
        n_batches=len(starts),
        n_inputs=n_inputs,
        stimulus_ids=np.arange(n_inputs),
        batch_sizes=np.minimum(batch_size, n_inputs - np.asarray(starts)),
    )


def _cut(data: torch.Tensor | np.ndarray, batch_size: int, first: int) -> Iterator[torch.Tensor | np.ndarray]:
    """Cut an array into batches, many at once: one cut amid a model would cost more."""
    many = BATCHES_PER_CUT * batch_size
    for start in range(first * batch_size, data.shape[0], many):
        some = data[start : start + many]
        if isinstance(some, torch.Tensor):
            yield from some.split(batch_size)
        else:
            yield from (some[i : i + batch_size] for i in range(0, len(some), batch_size))


def _list_source(batches: list[Any], *, any_form: bool) -> Source:
    sizes = [split_batch(raw, any_form=any_form).n_inputs for raw in batches]
    return Source(
        batches=lambda first: batches[first:],
        n_batches=len(batches),
        n_inputs=sum(sizes),
        batch_sizes=np.asarray(sizes, np.int64),
    )
