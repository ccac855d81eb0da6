"""Classes that a model predicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from ann2neo.capture.inputs import Batch, Inputs, knows_classes
from ann2neo.capture.packing import viewed
from ann2neo.errors import InputsError


def predictions(output: Any, batch: Batch, inputs: Inputs) -> Int[np.ndarray, " input"] | None:
    """Class that the model predicts for each input, or None where its output does not say.

    What the user's ``predict`` gives; or the argmax of ``.logits``; or that of an output of shape (input, class), if the classes of the inputs are known. Without
    labels such an output is as likely a reconstruction or an embedding.

    Raises
    ------
    InputsError
        If ``predict`` gives something else than one integer per input.
    """
    if inputs.predict is not None:
        return _predicted(inputs.predict, output, batch.n_inputs)
    logits = output
    if not isinstance(output, torch.Tensor):
        logits = getattr(output, "logits", None)
    elif not knows_classes(inputs, batch):
        return None
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        return None
    n_inputs, n_classes = logits.shape
    if n_inputs != batch.n_inputs or n_classes < 2 or not logits.is_floating_point():
        return None
    # NumPy finds the same classes several times faster where there are few; it knows no bfloat16.
    array = viewed(logits)
    return logits.argmax(dim=1).cpu().numpy() if array is None else array.argmax(axis=1)


def _predicted(predict: Callable[[Any], Any], output: Any, n_inputs: int) -> Int[np.ndarray, " input"]:
    given = predict(output)
    values = given.detach().cpu() if isinstance(given, torch.Tensor) else given
    # NumPy knows no bfloat16; it is refused all the same.
    values = np.asarray(
        values.float() if isinstance(values, torch.Tensor) and values.dtype == torch.bfloat16 else values
    )
    if values.shape != (n_inputs,) or values.dtype.kind not in "iub":
        raise InputsError(
            f"predict= gave values of shape {values.shape} and type {values.dtype} for a batch of {n_inputs} inputs.",
            "It is unclear which class was predicted for which input.",
            "Let it give one integer per input, for instance predict=lambda output: output.argmax(1).",
        )
    return values.astype(np.int64)
