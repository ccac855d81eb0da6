"""Labels: the one rule of what counts as the class of an input, wherever it comes from.

A label is one integer or truth value per input, of shape (input,) or (input, 1), that fits into 64 bits with a sign; or, where inputs are recorded in steps, one
integer per step, of shape (input, step). Labels come as the second part of a batch, under the key ``label`` or ``labels`` of a mapping, or for all inputs as
``Inputs(data, labels=...)``. Negative ones stand for unknown. Whatever else comes with a batch is not a label, and never refused: numbers to be predicted, one-hot and
multi-label vectors, names. Zeros and ones of shape (input, step) could be either, and are labels only as ``Inputs(data, labels=...)``. What may have been meant as labels
is told once.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from ann2neo.errors import Ann2NeoWarning, InputsError
from ann2neo.recording.trials import CLASSES

LABEL_KEYS = ("label", "labels")
# What the recording itself writes into the table of trials, and a file beside it.
RESERVED = {
    **dict.fromkeys(("pass", "trial", "start_bin", "stop_bin", "stimulus_id"), "It is counted by the recording itself"),
    **dict.fromkeys(
        ("start_time", "stop_time", "id", "tags", "image"), "Files give this name to a column of their own"
    ),
    "predicted_label": "It follows from the model's output",
    "correct": "It follows from label and prediction",
}
LABELS, OTHER, ONE_HOT = "labels", "something else", "one-hot vectors"
# As many different labels as inputs are classes by chance where there are few inputs.
MANY = 20
# What torch's losses ignore.
IGNORED = -100


def class_labels(y: Any, n_inputs: int) -> Int[np.ndarray, " input"] | None:
    """Read what comes with a batch as one class per input, or return None if it is something else.

    Examples
    --------
    >>> class_labels(torch.tensor([[1], [0]]), 2), class_labels(torch.tensor([0.5, 1.0]), 2)
    (array([1, 0]), None)
    """
    values = _array_of_labels(y)
    return None if values is None or _kind(values, n_inputs) != LABELS else _as_classes(values)


def given_columns(given: Any) -> dict[str, np.ndarray]:
    """Read labels that are given for all inputs as columns of the table of trials.

    Raises
    ------
    InputsError
        If a name is reserved, or classes break the rule.

    Examples
    --------
    >>> given_columns([True, False])
    {'label': array([1, 0])}
    """
    if given is None:
        return {}
    columns = given if isinstance(given, Mapping) else {"label": given}
    return {str(name): _given_column(str(name), values) for name, values in columns.items()}


def trial_columns(labels: Any, found: list[np.ndarray | None], n_inputs: int) -> dict[str, np.ndarray]:
    """Gather the columns of the trials table that come with the inputs: those that are given, or else the labels found in every batch.

    Raises
    ------
    InputsError
        If there are not as many labels as inputs, or they break the rule.
    """
    if labels is None:
        known = [some for some in found if some is not None]
        return {"label": np.concatenate(known)} if known and len(known) == len(found) else {}
    columns = given_columns(labels)
    for name, values in columns.items():
        if values.shape != (n_inputs,) and not (_is_of_steps(values) and len(values) == n_inputs):
            raise InputsError(
                f"{name!r} has shape {values.shape}, but {n_inputs} inputs were presented.",
                "It is unclear which label belongs to which input.",
                "Give one value for each input, in the order in which inputs are presented.",
            )
    return {name: values for name, values in columns.items() if not _is_of_steps(values)}


def given_steps(labels: Any) -> dict[str, Int[np.ndarray, "input step"]]:
    """Find the columns that are given for the steps of all inputs.

    Examples
    --------
    >>> list(given_steps({"label": [0, 1], "token": [[4, 5], [5, 4]]}))
    ['token']
    """
    return {name: values for name, values in given_columns(labels).items() if _is_of_steps(values)}


def check_steps_are_recorded(labels: Any, *, in_steps: bool) -> None:
    """Refuse labels that are given for steps where inputs are not recorded in steps.

    Raises
    ------
    InputsError
        If there are some.
    """
    for name, values in {} if in_steps else given_steps(labels).items():
        raise InputsError(
            f"{name!r} has shape {values.shape}: {_kind(values, len(values))}.",
            "Each input has one bin, and so one class.",
            "Record in steps, steps=ann2neo.Steps(1), if these are labels of steps. Else give one integer per input, for one-hot vectors labels.argmax(1); further "
            "columns go beside it: Inputs(x, labels={'label': ..., 'second': ...}).",
        )


def check_against_batch(
    given: Mapping[str, np.ndarray], found: np.ndarray | None, first: int, *, n_inputs: int, at_random: bool
) -> None:
    """Refuse labels that contradict those of a batch: most likely they are in the order of the data set, and a loader shuffles it.

    Where a loader draws its order at random, labels that the batches do not confirm are refused too.

    Raises
    ------
    InputsError
        If they do.
    """
    parts = {name: given[name][first : first + n_inputs] for name in CLASSES if name in given}
    if found is not None and any(np.array_equal(own, found) for own in parts.values()):
        return
    if at_random:
        raise InputsError(
            f"labels are given for all inputs ({', '.join(map(repr, given))}), but a shuffling loader draws their order at random"
            + ("." if found is None else ", and they are not those of its first batches."),
            "Labels are given in the order in which inputs are presented, and that order is not known in advance.",
            "Put the labels into the data set, so that batches are (x, y), or give a loader that draws in order (shuffle=False).",
        )
    # What a network was trained on may be what the batches hold, or not.
    own = None if "target_label" in parts else parts.get("label")
    if own is None or found is None or own.shape != found.shape:
        return
    raise InputsError(
        f"{int((own != found).sum())} of the labels given for {n_inputs} inputs are not those that come with their batch.",
        "Labels are given in the order in which inputs are presented, and a shuffling loader presents them in another than the data set's.",
        "Leave labels out where the batches hold them, or give the loader without shuffling.",
    )


def knows_classes(labels: Any, found: np.ndarray | None) -> bool:
    """Whether it is known to which class each input of a batch belongs."""
    return found is not None or (
        labels is not None and (not isinstance(labels, Mapping) or any(name in labels for name in CLASSES))
    )


def warn_of_unread_labels(labels: Any, found: np.ndarray | None, target: Any, n_inputs: int, x: Any = None) -> None:
    """Warn if a batch brings what may have been meant as labels, and no labels are taken from it; what has the shape of the inputs is to be reconstructed."""
    if labels is not None or found is not None or target is None:
        return
    if (
        isinstance(x, torch.Tensor)
        and isinstance(target, torch.Tensor)
        and (x.shape, x.dtype) == (target.shape, target.dtype)
    ):
        return
    what = looks_like_labels(target, n_inputs)
    if what is not None:
        text = (
            f"beside the inputs, batches hold {what}, which are not taken for labels: the recording has none.\n"
            "A label is one integer per input; windows by label and tuning need them.\n"
            "If these are classes, let batches be (x, y) with one integer y per input (y.long(), one_hot.argmax(1)), or give Inputs(data, labels=integers). Labels of steps, of shape (input, step), need steps=Steps(...); zeros and ones are taken "
            "for such only as Inputs(data, labels=...)."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)


def warn_of_other_steps(*, either: bool = False) -> None:
    """Warn that labels which come with batches are not taken, because they are not as many as the steps, or, with ``either``, because these are as many as the inputs."""
    shape = "(input, step) that are not as many as the steps of the layers"
    if either:
        shape = "(input, step) or (step, input), for as many steps as inputs, and nothing says which"
    text = (
        f"beside the inputs, batches hold integers of shape {shape}: they are not taken for labels of steps.\n"
        "The recording has no labels of steps; windows by label and tuning need them.\n"
        "If they are labels, give those of all inputs, of shape (input, step), one for each step that the layers have, padded ones included: Inputs(data, labels=...)."
    )
    warnings.warn(Ann2NeoWarning(text), stacklevel=3)


def warn_of_odd_labels(labels: Any, trials: pd.DataFrame) -> None:
    """Warn if the labels of a recording are most likely not what its user takes them for: those found in batches occur once each, or negative ones are classes."""
    if "label" not in trials:
        return
    label = trials.loc[trials["pass"] == 0, "label"].to_numpy()
    known, below = np.unique(label[label >= 0]), np.unique(label[label < 0])
    if labels is None and label.size >= MANY and known.size == label.size:
        text = (
            f"none of the {label.size} labels occurs twice: they look like indices, lengths or other numbers of single inputs, not like classes.\n"
            "A window by label would hold one input.\n"
            "If the second part of a batch is not a class, give Inputs(data, labels=classes), or Inputs(batches, forward=lambda model, batch: model(batch[0])) to have none."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=3)
    if np.setdiff1d(below, [-1, IGNORED]).size or (below.tolist() == [-1] and known.tolist() in ([1], [0, 1])):
        text = (
            f"{int((label < 0).sum())} of {label.size} labels are negative (the lowest is {label.min()}): negative labels stand for unknown.\n"
            "These inputs get no window by label, and whether they were classified correctly is missing.\n"
            "If they are classes, number them from 0, for instance by numpy.unique(labels, return_inverse=True)[1]."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=3)


def looks_like_labels(y: Any, n_inputs: int) -> str | None:
    """Describe what may have been meant as labels but breaks the rule, or return None if nothing may.

    One number or name per input, integers along further axes, and vectors of numbers, as soft labels are, may be meant as labels. Images of floating-point numbers are targets of another kind.

    Examples
    --------
    >>> looks_like_labels(("cat", "dog"), 2), looks_like_labels(np.eye(3), 3), looks_like_labels(np.ones((3, 2, 2)) / 3, 3)
    ('names', 'one-hot vectors', None)
    """
    if isinstance(y, Mapping):
        inner = next((looks_like_labels(y[key], n_inputs) for key in LABEL_KEYS if key in y), None)
        return inner or f"a mapping with the keys {sorted(map(str, y))}"
    if isinstance(y, (tuple, list)) and any(isinstance(one, (torch.Tensor, np.ndarray)) for one in y):
        # Targets of several kinds, such as boxes, are lists of mappings.
        found = [one for one in y if class_labels(one, n_inputs) is not None]
        return f"{len(y)} parts, {len(found)} of which are integers per input," if found and n_inputs > 1 else None
    values = _as_array(y)
    found = OTHER if values is None or not values.size else _kind(values, n_inputs)
    return None if found in (LABELS, OTHER) else found


def number_of(y: Any) -> int | None:
    """Count what comes with a batch, if it is one number or name for each of something.

    Examples
    --------
    >>> number_of(torch.tensor([4, 0, 2])), number_of(["cat", "dog"]), number_of(torch.zeros(3, 2))
    (3, 2, None)
    """
    values = _array_of_labels(y)
    return len(values) if values is not None and (values.ndim == 1 or values.shape[1:] == (1,)) else None


def step_labels(y: Any, n_inputs: int) -> Int[np.ndarray, "input step"] | None:
    """Read what comes with a batch as one class per step of each input, or return None if it is something else: zeros and ones may be vectors of classes.

    Examples
    --------
    >>> step_labels(torch.tensor([[4, 5, 6], [7, 8, 9]]), 2).shape, step_labels(torch.tensor([4, 5]), 2)
    ((2, 3), None)
    """
    values = _array_of_labels(y)
    if values is None or values.ndim != 2 or values.shape[0] != n_inputs or values.shape[1] < 2:
        return None
    integers = values.dtype.kind in "iu" and not _is_huge(values) and not np.isin(values, (0, 1)).all()
    return _as_classes(values) if integers else None


def _kind(values: np.ndarray, n_inputs: int) -> str:
    """Tell labels from what breaks their rule, and from what cannot be labels."""
    kind, single = values.dtype.kind, values.shape in ((n_inputs,), (n_inputs, 1))
    if single and kind in "iub":
        return f"{values.dtype} integers above 2**63 - 1" if _is_huge(values) else LABELS
    if single and kind in "fc":
        return f"one {values.dtype} number per input"
    if single and (kind in "US" or (kind == "O" and all(isinstance(value, str) for value in values.flat))):
        return "names"
    if values.ndim == 1 and kind in "iu" and n_inputs > 1:
        return f"{len(values)} integers for {n_inputs} inputs"
    if values.ndim > 1 and kind in "iub" and (values.ndim > 2 or values.shape[0] != n_inputs):
        return f"{values.dtype} values of shape {values.shape} for {n_inputs} inputs"
    if values.ndim != 2 or values.shape[0] != n_inputs or kind not in "iubfc":
        return OTHER
    zeros_and_ones = bool(np.isin(values, (0, 1)).all())
    if zeros_and_ones and (values.sum(axis=1) == 1).all():
        return ONE_HOT
    if zeros_and_ones:
        return f"{values.shape[1]} zeros and ones per input"
    return f"{values.shape[1]} {f'{values.dtype} numbers' if kind in 'fc' else 'integers'} per input"


def _is_of_steps(values: np.ndarray) -> bool:
    """Whether an array holds one integer for each of several steps of each input."""
    return values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind in "iub" and not _is_huge(values)


def _as_classes(values: np.ndarray) -> Int[np.ndarray, ...]:
    return (values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values).astype(np.int64)


def _is_huge(values: np.ndarray) -> bool:
    return values.dtype.kind == "u" and bool(values.size) and int(values.max()) > np.iinfo(np.int64).max


def _array_of_labels(y: Any) -> np.ndarray | None:
    """Read what comes with a batch, or, of a mapping, what its keys say to be labels."""
    return _as_array(next((y[key] for key in LABEL_KEYS if key in y), None) if isinstance(y, Mapping) else y)


def _as_array(y: Any) -> np.ndarray | None:
    if isinstance(y, torch.Tensor):
        if y.is_nested or y.layout != torch.strided or y.is_quantized:
            return None
        y = y.detach().cpu()
        return (y.float() if y.dtype == torch.bfloat16 else y.resolve_conj().resolve_neg()).numpy()
    if not isinstance(y, (np.ndarray, list, tuple)):
        return None
    try:
        return np.asarray(y)
    # Parts of several lengths, or tensors that NumPy cannot read, do not form an array.
    except (ValueError, TypeError, RuntimeError):
        return None


def _given_column(name: str, values: Any) -> np.ndarray:
    if name in RESERVED:
        raise InputsError(
            f"labels hold a column {name!r}.",
            f"{RESERVED[name]}, and would be mixed up with it.",
            "Give it another name.",
        )
    array = _as_array(values)
    array = np.asarray(values) if array is None else array
    if name not in CLASSES and array.ndim < 2:
        return array.astype(np.int64) if np.issubdtype(array.dtype, np.integer) and not _is_huge(array) else array
    kind = _kind(array, len(array)) if array.ndim else OTHER
    if _is_of_steps(array) and kind != ONE_HOT:
        return array.astype(np.int64)
    if array.dtype.kind not in "iub" or _is_huge(array):
        raise InputsError(
            f"{name!r} holds values of type {array.dtype}: {kind}.",
            "Classes are integers below 2**63: what a model predicts could never equal them.",
            "Number them, for instance by numpy.unique(names, return_inverse=True)[1]; names go beside them: "
            "Inputs(x, labels={'label': numbers, 'label_name': names}).",
        )
    if kind != LABELS:
        raise InputsError(
            f"{name!r} has shape {array.shape}: {kind}.",
            "Each input has one class.",
            "Give one integer per input, for one-hot vectors labels.argmax(1); further columns go beside it: Inputs(x, labels={'label': ..., 'second': ...}).",
        )
    return _as_classes(array)
