"""What the user gives as inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import ConcatDataset, DataLoader, StackDataset, Subset, TensorDataset, default_collate

from ann2neo.arguments import check_flag, check_text, shown
from ann2neo.capture.inputs.labels import given_columns
from ann2neo.capture.inputs.loaders import length_of
from ann2neo.cards import card
from ann2neo.errors import InputsError, kind_of
from ann2neo.outline import check_columns
from ann2neo.probe.nested import arrays

BATCH_SIZE = 64
EXAMPLES = {
    "forward": "forward=lambda model, batch: model(batch['x'])",
    "predict": "predict=lambda output: output.argmax(-1)",
    "n_inputs": "n_inputs=lambda batch: len(batch['x'])",
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs to a model, where a tensor, a Dataset or a DataLoader alone does not say enough.

    Parameters
    ----------
    data
        A tensor or array (inputs along axis 0; also one in a file, as of h5py or zarr, which is read batch by batch), a Dataset, a DataLoader, an iterable of batches, or a function without arguments that gives a fresh one.
        A batch is ``x``, ``(x, y)`` or a mapping of keyword arguments. Integers ``y``, one per input, are labels and never an argument of the model; any other ``y`` is
        left out. Where a batch is anything else, such as a batch of graphs, ``forward`` says what to do with it.
    batch_size
        Inputs per batch, where ``data`` is not batched already; another number than the default is held against batches that are.
    labels
        The true class of each input, integers in the order in which inputs are presented; or a mapping from columns of the trials table
        (``label``, ``target_label``, ``label_name``, ...) to a value for each input. They replace labels found in the batches. For a loader that draws its order
        at random they are refused, unless the batches hold the same.
    forward
        Calls the model on a batch, ``forward(model, batch)``, where ``model(x)`` or ``model(**batch)`` is not right. Labels are then taken from mappings only.
    predict
        Gives the predicted class of each input from the model's output, one integer per input. Without it the argmax of the output's ``.logits`` is taken, or
        of the output itself if it has shape (input, class) and the classes of the inputs are known: without labels it is as likely a reconstruction.
    n_inputs
        Says how many inputs a batch holds, ``n_inputs(batch)``. Without it that is the attribute ``num_graphs`` or ``batch_size`` of an object that is not a mapping, or else the
        number of tensors in a list of images or of sequences of several lengths, or the length of the batch's first array along its first axis, or what a loader drew if its collating function puts inputs along the second. Needed where batches that come as they
        are, such as those of a list, have their steps before their inputs: ``n_inputs=lambda batch: batch.shape[1]``.
    gradients
        Whether the model needs gradients in its forward pass, as models of forces do. It is then called on copies of the inputs with gradients switched on; gradients
        of parameters are restored afterwards.
    dataset, dataset_split
        What the inputs are called, for the provenance.

    Raises
    ------
    InputsError
        If the batch size is not a positive integer, classes are not integers, or a column has a name that the recording needs itself.

    See Also
    --------
    ann2neo.record, ann2neo.plan, ann2neo.Steps, ann2neo.from_array

    Examples
    --------
    >>> import torch
    >>> Inputs(torch.zeros(10, 3), labels=[0, 1] * 5, dataset="zeros").dataset
    'zeros'
    """

    data: Any
    batch_size: int = BATCH_SIZE
    labels: Any = None
    forward: Callable[[torch.nn.Module, Any], Any] | None = None
    predict: Callable[[Any], Any] | None = None
    n_inputs: Callable[[Any], int] | None = None
    gradients: bool = False
    dataset: str | None = None
    dataset_split: str | None = None

    def __repr__(self) -> str:
        return f"Inputs({', '.join(f'{name}={value}' for name, value in _facts(self).items())})"

    def _repr_html_(self) -> str:
        return card("Inputs", _facts(self))

    def __post_init__(self) -> None:
        if not isinstance(self.batch_size, int) or isinstance(self.batch_size, bool) or self.batch_size < 1:
            raise InputsError(
                f"batch_size={self.batch_size!r} is not a positive integer.",
                "Nothing was recorded.",
                "Use 64, for instance.",
            )
        check_flag(self.gradients, "gradients", error=InputsError)
        for name in ("forward", "predict", "n_inputs"):
            given = getattr(self, name)
            if given is not None and not callable(given):
                raise InputsError(
                    f"`{name}` must be a function, got {shown(given)}.",
                    "Nothing was recorded.",
                    f"Use {EXAMPLES[name]}.",
                )
        for name in ("dataset", "dataset_split"):
            if getattr(self, name) is not None:
                check_text(getattr(self, name), name, such_as="digits", error=InputsError)
        given_columns(self.labels)


def check_kept(inputs: Any) -> None:
    """Check, before a model runs, that files can keep the columns that are given with the inputs.

    Raises
    ------
    RecordingError, AnnotationError
        If they cannot.
    """
    for name, values in given_columns(inputs.labels if isinstance(inputs, Inputs) else None).items():
        check_columns(pd.DataFrame({name: values if values.ndim == 1 else []}))


def _facts(inputs: Inputs) -> dict[str, Any]:
    """Tell what the data are and what else was given, without its values."""
    given = {"batch_size": inputs.batch_size, "dataset": inputs.dataset, "dataset_split": inputs.dataset_split}
    functions = [name for name in ("forward", "predict", "n_inputs") if getattr(inputs, name) is not None]
    labels = list(inputs.labels) if isinstance(inputs.labels, Mapping) else _what(inputs.labels)
    facts = {"data": _what(inputs.data), "labels": labels, "functions": functions or None, **given}
    return {name: value for name, value in facts.items() if value is not None}


def _what(data: Any) -> str | None:
    """Name the type of data, and its shape or length where it has one."""
    if data is None:
        return None
    shape = getattr(data, "shape", None)
    if shape is not None:
        return f"{type(data).__name__} of shape {tuple(shape)}"
    # Nothing without a length has one, nor has a loader of a data set that is read once.
    length = length_of(data)
    return type(data).__name__ if length is None else f"{type(data).__name__} of {length}"


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
            f"inputs are {kind_of(wrapped.data)} of {len(wrapped.data)}.",
            "It is unclear whether that is one batch, several, or inputs with labels.",
            "Use a list of batches, [batch] if this is one (a mapping of tensors, as tokenizers give, or x and y), or Inputs(x, labels=y).",
        )
    return wrapped


def is_rows(data: Any) -> bool:
    """Whether it is a data set of Hugging Face or alike: rows by number, and a format that can be changed."""
    return all(hasattr(data, name) for name in ("with_format", "__getitem__", "__len__"))


def lies_in_memory(data: Any) -> bool:
    """Whether all batches can be read for little: tensors, arrays, lists of batches, and data sets of torch that consist of tensors.

    Examples
    --------
    >>> lies_in_memory(torch.zeros(3)), lies_in_memory(DataLoader(TensorDataset(torch.zeros(3)))), lies_in_memory(DataLoader(range(3)))
    (True, True, False)
    """
    if isinstance(data, DataLoader):
        return data.collate_fn is default_collate and _consists_of_tensors(data.dataset)
    return isinstance(data, (torch.Tensor, np.ndarray, list)) or _consists_of_tensors(data)


def _consists_of_tensors(dataset: Any) -> bool:
    if type(dataset) is Subset:
        return _consists_of_tensors(dataset.dataset)
    if type(dataset) in (ConcatDataset, StackDataset):
        parts = dataset.datasets
        return all(map(_consists_of_tensors, parts.values() if isinstance(parts, dict) else parts))
    return type(dataset) is TensorDataset


def refuse_rows_without_tensors(data: Any) -> None:
    """Refuse a data set whose rows are lists and numbers, also where a loader reads it.

    Raises
    ------
    InputsError
        If they are.
    """
    rows: Any = data.dataset if isinstance(data, DataLoader) and data.collate_fn is default_collate else data
    if not is_rows(rows) or not len(rows):
        return
    row = rows[0]
    listed = [key for key, value in row.items() if isinstance(value, list)] if isinstance(row, Mapping) else []
    if listed and not any(True for _ in arrays({key: row[key] for key in listed})):
        raise InputsError(
            f"the rows of the {type(rows).__name__} hold lists of numbers ({', '.join(map(repr, listed[:5]))}), not tensors.",
            "A loader would put them together along the wrong axis.",
            "Give data.with_format('torch'), or a loader of it: DataLoader(data.with_format('torch'), batch_size=64).",
        )
