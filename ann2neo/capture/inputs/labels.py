"""Labels: those that come with a batch, those that are given for all inputs, and whether they contradict one another."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from ann2neo.capture.inputs.classes import CLASSES, given_columns, looks_like_classes
from ann2neo.capture.inputs.forms import Batch, Inputs
from ann2neo.errors import Ann2NeoWarning, InputsError


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
    columns = given_columns(inputs.labels)
    for name, values in columns.items():
        if values.shape != (n_inputs,):
            raise InputsError(
                f"{name!r} has shape {values.shape}, but {n_inputs} inputs were presented.",
                "It is unclear which label belongs to which input.",
                "Give one value for each input, in the order in which inputs are presented.",
            )
    return columns


def check_against_batch(given: Mapping[str, np.ndarray], batch: Batch, first: int, *, at_random: bool) -> None:
    """Refuse labels that contradict those of a batch: most likely they are in the order of the data set, and a loader shuffles it.

    Where a loader draws its order at random, labels that the batches do not confirm are refused too.

    Raises
    ------
    InputsError
        If they do.
    """
    parts = {name: given[name][first : first + batch.n_inputs] for name in CLASSES if name in given}
    agreeing = [name for name, own in parts.items() if batch.labels is not None and np.array_equal(own, batch.labels)]
    if agreeing:
        return
    if at_random:
        raise InputsError(
            f"labels are given for all inputs ({', '.join(map(repr, given))}), but a shuffling loader draws their order at random"
            + ("." if batch.labels is None else ", and they are not those of its first batches."),
            "Labels are given in the order in which inputs are presented, and that order is not known beforehand.",
            "Put the labels into the data set, so that batches are (x, y), or give a loader that draws in order (shuffle=False).",
        )
    # What a network was trained on may be what the batches hold, or not.
    own = None if "target_label" in parts else parts.get("label")
    if own is None or batch.labels is None or own.shape != batch.labels.shape:
        return
    raise InputsError(
        f"{int((own != batch.labels).sum())} of the labels given for {batch.n_inputs} inputs are not those that come with their batch.",
        "Labels are given in the order in which inputs are presented, and a shuffling loader presents them in another than the data set's.",
        "Leave labels out where the batches hold them, or give the loader without shuffling.",
    )


def knows_classes(inputs: Inputs, batch: Batch) -> bool:
    """Whether it is known to which class each input of a batch belongs."""
    given = inputs.labels
    return batch.labels is not None or (
        given is not None and (not isinstance(given, Mapping) or any(name in given for name in CLASSES))
    )


def warn_of_unread_labels(inputs: Inputs, batch: Batch) -> None:
    """Warn if a batch brings what looks like labels, and no labels are taken from it."""
    if inputs.labels is not None or batch.labels is not None or batch.target is None:
        return
    what = looks_like_classes(batch.target, batch.n_inputs)
    if what is not None:
        text = (
            f"beside the inputs, batches hold {what}, which are not taken for labels: the recording has none.\n"
            "Windows by label and tuning need them.\n"
            "Let batches be (x, y) with one integer y per input, or give Inputs(data, labels=integers)."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
