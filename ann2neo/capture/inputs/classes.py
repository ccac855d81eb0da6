"""What counts as the class of an input, and as a column of the table of trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ann2neo.errors import InputsError

LABEL_KEYS = ("label", "labels")
CLASSES = ("label", "target_label")
# What the recording itself writes into the table of trials, and a file beside it.
RESERVED = {
    **dict.fromkeys(("pass", "trial", "start_bin", "stop_bin", "stimulus_id"), "It is counted by the recording itself"),
    **dict.fromkeys(
        ("start_time", "stop_time", "id", "tags", "image"), "Files give this name to a column of their own"
    ),
    "predicted_label": "It follows from the model's output",
    "correct": "It follows from label and prediction",
}


def given_columns(given: Any) -> dict[str, np.ndarray]:
    """Read labels that are given for all inputs as columns of the table of trials.

    Raises
    ------
    InputsError
        If a name is reserved, or classes are not integers.

    Examples
    --------
    >>> given_columns([True, False])
    {'label': array([1, 0])}
    """
    if given is None:
        return {}
    columns = given if isinstance(given, Mapping) else {"label": given}
    return {str(name): _given_column(str(name), values) for name, values in columns.items()}


def class_labels(y: Any, n_inputs: int) -> np.ndarray | None:
    """Read the second part of a batch as one class per input, or None if it is something else.

    Integers and truth values are classes, of shape (input,) or (input, 1), also under the key ``label`` or ``labels`` of a mapping.

    Raises
    ------
    InputsError
        If it is one floating-point number per input, which may be a class or not.
    """
    if isinstance(y, Mapping):
        y = next((y[key] for key in LABEL_KEYS if key in y), None)
    values = _as_array(y)
    if values is None or values.shape not in ((n_inputs,), (n_inputs, 1)):
        return None
    if values.dtype.kind in "iub":
        return values.reshape(n_inputs).astype(np.int64)
    if values.dtype.kind == "f" and values.ndim == 1:
        raise InputsError(
            f"the second part of a batch holds one {values.dtype} number per input.",
            "It is unclear whether these are classes.",
            "Make them integers if they are; if not, give Inputs(data, labels=..., forward=lambda model, batch: model(batch[0])).",
        )
    return None


def looks_like_classes(y: Any, n_inputs: int) -> str | None:
    """Say what it is that looks like classes but is not read as such, or None if nothing does.

    Examples
    --------
    >>> looks_like_classes(("cat", "dog"), 2), looks_like_classes(np.eye(3), 3), looks_like_classes(np.ones((3, 2)), 3)
    ('names', 'one-hot vectors', None)
    """
    if isinstance(y, Mapping):
        inner = next((looks_like_classes(y[key], n_inputs) for key in LABEL_KEYS if key in y), None)
        return inner or f"a mapping with the keys {sorted(map(str, y))}"
    values = _as_array(y)
    if values is None or not values.size or values.shape[:1] != (n_inputs,):
        return None
    if values.ndim == 1 and (values.dtype.kind in "US" or all(isinstance(value, str) for value in values)):
        return "names"
    if values.ndim != 2 or values.dtype.kind not in "iubf":
        return None
    if values.shape[1] == 1:
        return f"a column of {values.dtype} numbers" if (values == np.round(values)).all() else None
    one_hot = np.isin(values, (0, 1)).all() and (values.sum(axis=1) == 1).all()
    return "one-hot vectors" if one_hot else None


def _as_array(y: Any) -> np.ndarray | None:
    if isinstance(y, torch.Tensor):
        y = y.detach().cpu()
        return (y.float() if y.dtype == torch.bfloat16 else y).numpy()
    if not isinstance(y, (np.ndarray, list, tuple)):
        return None
    try:
        return np.asarray(y)
    # Parts of several lengths, or tensors that NumPy cannot read, are no array.
    except (ValueError, TypeError, RuntimeError):
        return None


def _given_column(name: str, values: Any) -> np.ndarray:
    if name in RESERVED:
        raise InputsError(
            f"labels hold a column {name!r}.",
            f"{RESERVED[name]}, and would be mixed up with it.",
            "Give it another name.",
        )
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if name not in CLASSES:
        return array.astype(np.int64) if np.issubdtype(array.dtype, np.integer) else array
    if array.dtype.kind not in "iub":
        raise InputsError(
            f"{name!r} holds values of type {array.dtype}.",
            "Classes are integers: what a model predicts could never equal them.",
            "Number them, for instance by numpy.unique(names, return_inverse=True)[1]; names go beside them: "
            "Inputs(x, labels={'label': numbers, 'label_name': names}).",
        )
    return (array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array).astype(np.int64)
