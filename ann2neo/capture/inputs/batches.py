"""Reading batches, and telling what goes into the model from the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ann2neo.capture.inputs.drawing import draws_at_random
from ann2neo.capture.inputs.forms import Batch, Inputs, Source
from ann2neo.capture.inputs.labels import LABEL_KEYS, check_against_batch, class_labels, given_columns
from ann2neo.capture.nested import parts
from ann2neo.errors import InputsError


def read_batches(source: Source, inputs: Inputs, first: int = 0) -> Iterator[Batch]:
    """Give the batches from the one of this number on, split into what the model takes and labels.

    Raises
    ------
    InputsError
        If there is no batch, one is of no known form, or labels that are given do not fit those that batches hold, or an order that is drawn at random.
    """
    n_seen = 0
    given = given_columns(inputs.labels) if first == 0 else {}
    at_random = bool(given) and draws_at_random(source)
    for raw in source.batches(first):
        batch = split_batch(raw, any_form=inputs.forward is not None)
        if given:
            check_against_batch(given, batch.labels, n_seen, n_inputs=batch.n_inputs, at_random=at_random)
        if inputs.labels is not None:
            batch = replace(batch, labels=None)
        n_seen += batch.n_inputs
        yield batch
    if n_seen == 0 and first == 0:
        raise InputsError("the inputs are empty.", "There is nothing to record.", "Give at least one input.")


def split_batch(raw: Any, *, any_form: bool = False) -> Batch:
    """Tell what goes into the model from the labels.

    One integer or truth value per input is a label; anything else that comes beside the inputs is left out.

    Raises
    ------
    InputsError
        If the batch has no known form.

    Examples
    --------
    >>> batch = split_batch((torch.zeros(2, 5), torch.tensor([1, 0])))
    >>> batch.n_inputs, batch.labels
    (2, array([1, 0]))
    """
    if isinstance(raw, (torch.Tensor, np.ndarray)) and raw.ndim:
        return Batch(x=raw, n_inputs=len(raw), labels=None, target=None)
    x, y = raw, None
    if isinstance(raw, Mapping):
        key = next((k for k in LABEL_KEYS if k in raw), None)
        x, y = {k: v for k, v in raw.items() if k != key}, raw.get(key) if key else None
    elif isinstance(raw, (tuple, list)) and len(raw) in (1, 2) and not any_form:
        x, y = raw[0], raw[1] if len(raw) == 2 else None
    n_inputs = _n_inputs(x)
    if n_inputs is None:
        raise InputsError(
            f"a batch of type {type(raw).__name__} holds no tensor with inputs along its first axis.",
            "It is unclear what the model takes.",
            "Say how with Inputs(data, forward=lambda model, batch: ...).",
        )
    return Batch(x=x, n_inputs=n_inputs, labels=class_labels(y, n_inputs), target=y)


def _n_inputs(x: Any) -> int | None:
    """Length of the first array along its first axis, however deep it lies."""
    if isinstance(x, (torch.Tensor, np.ndarray)):
        return int(x.shape[0]) if x.ndim else None
    return next((n for n in map(_n_inputs, parts(x).values()) if n is not None), None)
