"""What the user gives as inputs, as a series of batches that knows its labels and its order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from ann2neo.errors import InputsError

LABEL_KEYS = ("label", "labels")


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs to a model, where a tensor, a Dataset or a DataLoader alone does not say enough.

    Parameters
    ----------
    data
        A tensor or array (inputs along axis 0), a Dataset, a DataLoader, an iterable of batches, or a function without arguments that gives a fresh one.
        A batch is ``x``, ``(x, y)`` or a mapping of keyword arguments.
    batch_size
        Inputs per batch, where ``data`` is not batched already.
    labels
        The true class of each input, integers in the order in which inputs are presented; or a mapping from columns of the trials table
        (``label``, ``target_label``, ``label_name``, ...) to a value for each input. They replace labels found in the batches.
    forward
        Calls the model on a batch, ``forward(model, batch)``, where ``model(x)`` or ``model(**batch)`` is not right.
    predict
        Gives the predicted class of each input from the model's output, where the argmax of the output (or its ``.logits``) is not right.
    dataset, dataset_split
        What the inputs are called, for the provenance.

    Examples
    --------
    >>> Inputs(torch.zeros(10, 3), labels=[0, 1] * 5, dataset="zeros").dataset
    'zeros'
    """

    data: Any
    batch_size: int = 64
    labels: Any = None
    forward: Callable[[torch.nn.Module, Any], Any] | None = None
    predict: Callable[[Any], Any] | None = None
    dataset: str | None = None
    dataset_split: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some inputs that go through the model together."""

    x: Any
    n_inputs: int
    labels: np.ndarray | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """All batches, in the order that was drawn once.

    Parameters
    ----------
    batches
        Gives the batches from the one of this number on; each call begins anew.
    n_batches, n_inputs
        How many there are, where that is known.
    stimulus_ids
        Which inputs of a data set they are, shape (input,); None if they are no places in one.
    batch_sizes
        Inputs of each batch, shape (batch,); None if that shows only when they are read. Where it is known, batches that are left out are not read.
    draw
        Draws an order anew, batch by batch; None where there is only one.
    in_order
        Gives the same inputs in an order that was drawn before, batch by batch.
    """

    batches: Callable[[int], Iterable[Any]]
    n_batches: int | None = None
    n_inputs: int | None = None
    stimulus_ids: np.ndarray | None = None
    batch_sizes: np.ndarray | None = None
    draw: Callable[[], list[list[Any]]] | None = None
    in_order: Callable[[list[list[Any]]], Source] | None = None


def as_inputs(inputs: Any) -> Inputs:
    """Wrap plain data.

    Raises
    ------
    InputsError
        If the inputs are a tuple or a mapping: it is unclear whether that is one batch or several.
    """
    wrapped = inputs if isinstance(inputs, Inputs) else Inputs(inputs)
    if isinstance(wrapped.data, (tuple, Mapping, str)):
        raise InputsError(
            f"inputs are a {type(wrapped.data).__name__} of {len(wrapped.data)}.",
            "It is unclear whether that is one batch, several, or inputs with labels.",
            "Use Inputs(x, labels=y) for inputs with labels, or a list of batches.",
        )
    return wrapped


def open_source(inputs: Inputs) -> Source:
    """Draw the order of the inputs and make them into batches.

    Raises
    ------
    InputsError
        If the data are empty or of no known form.
    """
    data = inputs.data
    if isinstance(data, (torch.Tensor, np.ndarray)):
        return _array_source(data, inputs.batch_size)
    if isinstance(data, Dataset):
        data = DataLoader(data, batch_size=inputs.batch_size)
    if isinstance(data, DataLoader):
        return _loader_source(data)
    if isinstance(data, list) and data:
        return _list_source(data, any_form=inputs.forward is not None)
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
    return Source(batches=lambda first: islice(again(), first, None), n_batches=n_batches)


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


def read_batches(source: Source, inputs: Inputs, first: int = 0) -> Iterator[Batch]:
    """Give the batches from the one of this number on, split into what the model takes and labels.

    Raises
    ------
    InputsError
        If there is no batch, or one is of no known form.
    """
    n_seen = 0
    for raw in source.batches(first):
        batch = split_batch(raw, any_form=inputs.forward is not None)
        if first == 0:
            _check_against_batch(inputs.labels, batch, n_seen)
        n_seen += batch.n_inputs
        yield replace(batch, labels=None) if inputs.labels is not None else batch
    if n_seen == 0 and first == 0:
        raise InputsError("the inputs are empty.", "There is nothing to record.", "Give at least one input.")


def split_batch(raw: Any, *, any_form: bool = False) -> Batch:
    """Tell what goes into the model from the labels.

    Integers, one per input, are labels. Targets of several dimensions are left alone. One floating-point number per input is refused, because it is
    as likely a class with the wrong type as a quantity to be predicted.

    Raises
    ------
    InputsError
        If the batch has no known form, or its labels are floating-point.

    Examples
    --------
    >>> batch = split_batch((torch.zeros(2, 5), torch.tensor([1, 0])))
    >>> batch.n_inputs, batch.labels
    (2, array([1, 0]))
    """
    if isinstance(raw, Mapping):
        key = next((k for k in LABEL_KEYS if k in raw), None)
        x, y = {k: v for k, v in raw.items() if k != key}, raw.get(key) if key else None
    elif isinstance(raw, (tuple, list)) and len(raw) in (1, 2) and not any_form:
        x, y = raw[0], raw[1] if len(raw) == 2 else None
    else:
        x, y = raw, None
    n_inputs = _n_inputs(x)
    if n_inputs is None:
        raise InputsError(
            f"a batch of type {type(raw).__name__} is no tensor, no (x, y) and no mapping.",
            "It is unclear what the model takes.",
            "Say how with Inputs(data, forward=lambda model, batch: ...).",
        )
    return Batch(x=x, n_inputs=n_inputs, labels=_labels(y, n_inputs))


def to_model(x: Any, model: torch.nn.Module) -> Any:
    """Move tensors to where the model is; NumPy arrays of floating-point numbers also get its type (NumPy's default is twice as wide as torch's)."""
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    if isinstance(x, np.ndarray):
        tensor = torch.as_tensor(x)
        x = tensor.to(parameter.dtype) if tensor.is_floating_point() and parameter is not None else tensor
    if isinstance(x, torch.Tensor):
        return x if parameter is None else x.to(parameter.device)
    if isinstance(x, Mapping):
        return {key: to_model(value, model) for key, value in x.items()}
    if isinstance(x, (tuple, list)):
        return type(x)(to_model(value, model) for value in x)
    return x


def trial_columns(inputs: Inputs, found: list[np.ndarray | None], n_inputs: int) -> dict[str, np.ndarray]:
    """Gather the columns of the trials table that come with the inputs.

    Raises
    ------
    InputsError
        If there are not as many labels as inputs, or they are not integers.
    """
    if inputs.labels is None:
        known = [labels for labels in found if labels is not None]
        return {"label": np.concatenate(known)} if known and len(known) == len(found) else {}
    given = inputs.labels if isinstance(inputs.labels, Mapping) else {"label": inputs.labels}
    return {str(name): _given_column(str(name), values, n_inputs) for name, values in given.items()}


def _check_against_batch(given: Any, batch: Batch, first: int) -> None:
    """Refuse labels that contradict those of a batch: most likely they are in the order of the data set, and a loader shuffles it."""
    if isinstance(given, Mapping):
        given = None if "target_label" in given else given.get("label")
    if given is None or batch.labels is None:
        return
    own = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)[first : first + batch.n_inputs]
    if own.shape == batch.labels.shape and (own != batch.labels).any():
        raise InputsError(
            f"{int((own != batch.labels).sum())} of the labels given for {batch.n_inputs} inputs are not those that come with their batch.",
            "Labels are given in the order in which inputs are presented, and a shuffling loader presents them in another than the data set's.",
            "Leave labels out where the batches hold them, or give the loader without shuffling.",
        )


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
        batches=lambda first: (data[start : start + batch_size] for start in starts[first:]),
        n_batches=len(starts),
        n_inputs=n_inputs,
        stimulus_ids=np.arange(n_inputs),
        batch_sizes=np.minimum(batch_size, n_inputs - np.asarray(starts)),
    )


def _list_source(batches: list[Any], *, any_form: bool) -> Source:
    sizes = [split_batch(raw, any_form=any_form).n_inputs for raw in batches]
    return Source(
        batches=lambda first: batches[first:],
        n_batches=len(batches),
        n_inputs=sum(sizes),
        batch_sizes=np.asarray(sizes, np.int64),
    )


def _loader_source(loader: DataLoader) -> Source:
    """Draw a map-style loader's order once, so that it is known whatever sampler made it."""
    sampler = loader.batch_sampler
    if isinstance(loader.dataset, IterableDataset) or sampler is None:
        return Source(batches=lambda first: islice(loader, first, None))

    def draw() -> list[list[Any]]:
        return [list(batch) for batch in sampler]

    drawn = draw()
    if not drawn:
        raise InputsError(
            "the DataLoader gives no batch.", "There is nothing to record.", "Give at least one input (mind drop_last)."
        )
    return _drawn_source(loader, drawn, draw)


def _drawn_source(loader: DataLoader, drawn: list[list[Any]], draw: Callable[[], list[list[Any]]]) -> Source:
    def batches(first: int) -> DataLoader:
        return DataLoader(
            loader.dataset,
            batch_sampler=drawn[first:],
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            pin_memory=loader.pin_memory,
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            generator=loader.generator,
        )

    ids = [index for batch in drawn for index in batch]
    known = all(isinstance(index, (int, np.integer)) for index in ids)
    return Source(
        batches=batches,
        n_batches=len(drawn),
        n_inputs=len(ids),
        stimulus_ids=np.asarray(ids, np.int64) if known else None,
        batch_sizes=np.array([len(batch) for batch in drawn]),
        draw=draw,
        in_order=lambda order: _drawn_source(loader, order, draw),
    )


def _n_inputs(x: Any) -> int | None:
    """Length of the first array along its first axis, however deep it lies."""
    if isinstance(x, (torch.Tensor, np.ndarray)):
        return int(x.shape[0]) if x.ndim else None
    parts = x.values() if isinstance(x, Mapping) else x if isinstance(x, (tuple, list)) else ()
    return next((n for n in map(_n_inputs, parts) if n is not None), None)


def _labels(y: Any, n_inputs: int) -> np.ndarray | None:
    if y is None or not isinstance(y, (torch.Tensor, np.ndarray, list, tuple)):
        return None
    values = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else np.asarray(y)
    if values.shape != (n_inputs,):
        return None
    if np.issubdtype(values.dtype, np.integer):
        return values.astype(np.int64)
    if np.issubdtype(values.dtype, np.floating):
        raise InputsError(
            f"the second part of a batch holds one {values.dtype} number per input.",
            "It is unclear whether these are classes.",
            "Make them integers if they are; if not, give Inputs(data, labels=..., forward=lambda model, batch: model(batch[0])).",
        )
    return None


def _given_column(name: str, values: Any, n_inputs: int) -> np.ndarray:
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.shape != (n_inputs,):
        raise InputsError(
            f"{name!r} has shape {array.shape}, but {n_inputs} inputs were presented.",
            "It is unclear which label belongs to which input.",
            "Give one value for each input, in the order in which inputs are presented.",
        )
    if np.issubdtype(array.dtype, np.floating) and name in ("label", "target_label"):
        raise InputsError(f"{name!r} holds floating-point numbers.", "They cannot be classes.", "Give integers.")
    return array.astype(np.int64) if np.issubdtype(array.dtype, np.integer) else array
