"""What the user gives as inputs, and what is made of it: batches, and a source that gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ann2neo.capture.inputs.labels import given_columns
from ann2neo.errors import InputsError


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs to a model, where a tensor, a Dataset or a DataLoader alone does not say enough.

    Parameters
    ----------
    data
        A tensor or array (inputs along axis 0), a Dataset, a DataLoader, an iterable of batches, or a function without arguments that gives a fresh one.
        A batch is ``x``, ``(x, y)`` or a mapping of keyword arguments. Integers ``y``, one per input, are labels and never an argument of the model.
    batch_size
        Inputs per batch, where ``data`` is not batched already.
    labels
        The true class of each input, integers in the order in which inputs are presented; or a mapping from columns of the trials table
        (``label``, ``target_label``, ``label_name``, ...) to a value for each input. They replace labels found in the batches. For a loader that draws its order
        at random they are refused, unless the batches hold the same.
    forward
        Calls the model on a batch, ``forward(model, batch)``, where ``model(x)`` or ``model(**batch)`` is not right. Labels are then taken from mappings only.
    predict
        Gives the predicted class of each input from the model's output, one integer per input. Without it the argmax of the output's ``.logits`` is taken, or
        of the output itself if it has shape (input, class) and the classes of the inputs are known: without labels it is as likely a reconstruction.
    dataset, dataset_split
        What the inputs are called, for the provenance.

    Raises
    ------
    InputsError
        If the batch size is no positive integer, classes are no integers, or a column has a name that the recording needs itself.

    Examples
    --------
    >>> import torch
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

    def __post_init__(self) -> None:
        if not isinstance(self.batch_size, int) or self.batch_size < 1:
            raise InputsError(
                f"batch_size={self.batch_size!r} is no number of inputs.",
                "Nothing was recorded.",
                "Use 64, for instance.",
            )
        given_columns(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some inputs that go through the model together, their labels if they have some, and what came beside the inputs."""

    x: Any
    n_inputs: int
    labels: np.ndarray | None
    target: Any = None


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
        Draws an order anew, batch by batch; None where there is only one, or none is drawn beforehand.
    in_order
        Gives the same inputs in an order that was drawn before, batch by batch; None where it cannot be kept.
    before
        Where batches might be others when they are read again: check sums of those that were read in several passes, by number.
    """

    batches: Callable[[int], Iterable[Any]]
    n_batches: int | None = None
    n_inputs: int | None = None
    stimulus_ids: np.ndarray | None = None
    batch_sizes: np.ndarray | None = None
    draw: Callable[[], list[list[Any]]] | None = None
    in_order: Callable[[list[list[Any]]], Source] | None = None
    before: dict[int, int] | None = None


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
            "Use a list of batches, [batch] if this is one (a mapping of tensors, as tokenizers give, or x and y), or Inputs(x, labels=y).",
        )
    return wrapped
