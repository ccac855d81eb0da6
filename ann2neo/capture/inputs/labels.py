"""Labels: those that come with a batch, those that are given for all inputs, and whether they contradict one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ann2neo.capture.inputs.forms import Batch, Inputs
from ann2neo.errors import InputsError


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


def check_against_batch(given: Any, batch: Batch, first: int) -> None:
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


def class_labels(y: Any, n_inputs: int) -> np.ndarray | None:
    """Read the second part of a batch as one class per input, or None if it is something else.

    Raises
    ------
    InputsError
        If it is one floating-point number per input, which may be a class or not.
    """
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
