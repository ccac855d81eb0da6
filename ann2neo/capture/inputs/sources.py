"""From a tensor, a data set, a loader, a list or a generator to a presentation, whose order is drawn once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from ann2neo.capture.inputs.batches import refuse_nested, split_batch
from ann2neo.capture.inputs.forms import Inputs
from ann2neo.capture.inputs.labels import trial_columns
from ann2neo.capture.inputs.loaders import loader_presentation
from ann2neo.capture.inputs.presentation import Presentation, Readings
from ann2neo.capture.nested import arrays
from ann2neo.errors import InputsError

BATCHES_PER_CUT = 256


def open_source(inputs: Inputs) -> Presentation:
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


def _open(inputs: Inputs) -> Presentation:
    data, any_form = inputs.data, inputs.forward is not None
    _refuse_rows_without_tensors(data)
    if isinstance(data, torch.Tensor):
        refuse_nested(data)
    if isinstance(data, (torch.Tensor, np.ndarray)):
        return _array_source(data, inputs.batch_size)
    if isinstance(data, Dataset) or _is_rows(data):
        data = DataLoader(data, batch_size=inputs.batch_size)
    if isinstance(data, DataLoader):
        return loader_presentation(data, any_form=any_form, n_inputs=inputs.n_inputs)
    if isinstance(data, list) and data:
        return _list_source(data, lambda raw: split_batch(raw, any_form=any_form, n_inputs=inputs.n_inputs).n_inputs)
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
    return Presentation(batches=lambda first: islice(again(), first, None), n_batches=n_batches, readings=Readings())


def _is_rows(data: Any) -> bool:
    """Whether it is a data set of Hugging Face or alike: rows by number, and a format that can be changed."""
    return all(hasattr(data, name) for name in ("with_format", "__getitem__", "__len__"))


def _refuse_rows_without_tensors(data: Any) -> None:
    """Refuse a data set whose rows are lists and numbers, also where a loader reads it.

    Raises
    ------
    InputsError
        If they are.
    """
    rows: Any = data.dataset if isinstance(data, DataLoader) and data.collate_fn is default_collate else data
    if not _is_rows(rows) or not len(rows):
        return
    row = rows[0]
    listed = [key for key, value in row.items() if isinstance(value, list)] if isinstance(row, Mapping) else []
    if listed and not any(True for _ in arrays({key: row[key] for key in listed})):
        raise InputsError(
            f"the rows of the {type(rows).__name__} hold lists of numbers ({', '.join(map(repr, listed[:5]))}), not tensors.",
            "A loader would put them together along the wrong axis.",
            "Give data.with_format('torch'), or a loader of it: DataLoader(data.with_format('torch'), batch_size=64).",
        )


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


def _array_source(data: torch.Tensor | np.ndarray, batch_size: int) -> Presentation:
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


def _list_source(batches: list[Any], size_of: Callable[[Any], int]) -> Presentation:
    sizes = [size_of(raw) for raw in batches]
    return Presentation(
        batches=lambda first: batches[first:],
        n_batches=len(batches),
        n_inputs=sum(sizes),
        batch_sizes=np.asarray(sizes, np.int64),
    )
