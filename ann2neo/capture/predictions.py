"""Classes that a model predicts, which leave a device while it goes on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

from ann2neo.capture.inputs import Batch, Inputs, knows_classes, lies_in_array
from ann2neo.errors import Ann2NeoWarning, InputsError
from ann2neo.packing import viewed
from ann2neo.probe.outputs import comparable
from ann2neo.recording.trials import CLASSES, n_classes
from ann2neo.verification.verdict import PREDICTIONS, Verdict


class Deferred:
    """Numbers on their way from a device: an array as soon as somebody looks at them, for which alone they are waited.

    Parameters
    ----------
    values
        The numbers on their device.

    Examples
    --------
    >>> Deferred(torch.tensor([3, 1]))[1:], np.concatenate([Deferred(torch.tensor([3, 1]))])
    (array([1]), array([3, 1]))
    """

    def __init__(self, values: Int[torch.Tensor, " input"]) -> None:
        self._event: Any = None
        self._values = values.detach()
        if values.is_cuda:
            with torch.cuda.device(values.device):
                self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
                self._values.copy_(values, non_blocking=True)
                self._event = torch.cuda.current_stream().record_event()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._event is not None:
            self._event.synchronize()
            # The pinned memory goes back to where it came from.
            self._values, self._event = self._values.clone(), None
        return np.array(self._values.cpu().numpy(), dtype=dtype, copy=copy)

    def __getitem__(self, key: Any) -> np.ndarray:
        return np.asarray(self)[key]


# Fewer classes than this do not form a majority.
FEW = 5
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


def predictions(output: Any, batch: Batch, inputs: Inputs) -> Int[np.ndarray, " input"] | Deferred | None:
    """Class that the model predicts for each input, or None where its output does not say.

    What the user's ``predict`` gives; or the argmax of ``.logits``; or that of an output of shape (input, class), if the classes of the inputs are known. Without
    labels such an output is as likely a reconstruction or an embedding; so it is with labels if it has not one column for each class, which shows when all labels
    are known (see `n_outputs`).

    Raises
    ------
    InputsError
        If ``predict`` gives something else than one integer per input.
    """
    if inputs.predict is not None:
        return _predicted(inputs.predict, output, batch.n_inputs)
    logits = _scores_of(output, batch.n_inputs, batch, inputs)
    if logits is None:
        return None
    # NumPy finds the same classes several times faster where there are few; it knows no bfloat16.
    array = viewed(logits)
    return Deferred(logits.argmax(dim=1)) if array is None else array.argmax(axis=1)


def seen_predictions(
    output: Any, n_inputs: int, batch: Batch, inputs: Inputs, *, others: bool = False
) -> Float[torch.Tensor, "input class"] | None:
    """Return what predictions follow from, for this many inputs of a batch: their scores, or what ``predict`` gives; None where nothing is predicted.

    The batch may be one of other inputs, which calibrate: labels may then come with those that are recorded, unless they are a plain tensor.
    """
    if inputs.predict is None:
        may_come = others and not lies_in_array(inputs.data)
        return _scores(output, n_inputs) if may_come else _scores_of(output, n_inputs, batch, inputs)
    return torch.as_tensor(np.asarray(_predicted(inputs.predict, output, n_inputs)))[:, None].double()


def _scores_of(output: Any, n_inputs: int, batch: Batch, inputs: Inputs) -> torch.Tensor | None:
    if isinstance(output, torch.Tensor) and not knows_classes(inputs.labels, batch.labels):
        return None
    return _scores(output, n_inputs)


def n_outputs(output: Any, inputs: Inputs) -> int | None:
    """Count the columns of an output that may be scores of classes; None if it cannot be, or if ``predict`` or a name says that it is."""
    scores = None if inputs.predict is not None or not isinstance(output, torch.Tensor) else _scores(output)
    return None if scores is None else scores.shape[1]


def warn_of_no_predictions(trials: pd.DataFrame, n_outputs: int | None) -> None:
    """Warn if outputs have a few more columns than there are classes: inputs of some classes may be missing."""
    known = [trials[name].to_numpy() for name in CLASSES if name in trials]
    if n_outputs is None or not known or "predicted_label" in trials:
        return
    seen = np.unique(np.concatenate(known))
    seen = seen[seen >= 0]
    if seen.size >= FEW and seen[-1] + 1 < n_outputs <= 1.5 * seen.size:
        text = (
            f"the model's outputs have {n_outputs} numbers per input, but the largest label is {seen[-1]}: they may not be scores of classes, and no predictions are recorded.\n"
            "The trials have no columns 'predicted_label' and 'correct'.\n"
            "If they are, say so with Inputs(data, predict=lambda output: output.argmax(1))."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=3)


def warn_of_wrong_predictions(trials: pd.DataFrame, n_outputs: int | None, verdict: Verdict | None) -> None:
    """Warn, once all is recorded, if the classes that a model predicts are not recorded for what they are, or depend on the other inputs of their batch.

    Only then is it known whether what was verified are scores of classes.

    Parameters
    ----------
    trials
        Trials of a model that gave what may be scores.
    n_outputs
        Columns of its outputs; see `n_outputs`.
    verdict
        What was found of the predictions.
    """
    if verdict is None or n_outputs not in (None, n_classes({str(name): trials[name].to_numpy() for name in trials})):
        return
    if verdict.predictions:
        text = (
            f"the classes that the model predicts are not recorded: {verdict.predictions}.\n"
            "The trials have no columns 'predicted_label' and 'correct'.\n"
            "Let the model return the scores of each input in its own row; or give them back their order, Inputs(data, predict=lambda output: ...)."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=3)
    elif PREDICTIONS in verdict.dependent:
        text = (
            "the class that the model predicts for an input depends on the other inputs of its batch (batch statistics, quantization of the whole batch, recurrence along the batch).\n"
            "Another batch size or order gives other predictions: 'predicted_label' and 'correct' hold for these batches.\n"
            "Put batch normalization in eval mode, or use batch_first=True, if that is not what you want."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=3)


def _scores(output: Any, n_inputs: int | None = None) -> torch.Tensor | None:
    """Return an output, or its ``.logits``, if it has the shape (input, class), with this many inputs where it is said."""
    logits = output if isinstance(output, torch.Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, torch.Tensor) or logits.is_nested or logits.ndim != 2:
        return None
    if n_inputs not in (None, len(logits)):
        return None
    return comparable(logits) if logits.shape[1] > 1 and logits.is_floating_point() else None


def _predicted(predict: Callable[[Any], Any], output: Any, n_inputs: int) -> Int[np.ndarray, " input"] | Deferred:
    given = predict(output)
    if isinstance(given, torch.Tensor) and given.is_cuda and given.dtype in INTEGERS and given.shape == (n_inputs,):
        return Deferred(given.to(torch.int64))
    values = given.detach().cpu() if isinstance(given, torch.Tensor) else given
    # NumPy knows no bfloat16; it is refused all the same.
    values = np.asarray(
        values.float() if isinstance(values, torch.Tensor) and values.dtype == torch.bfloat16 else values
    )
    if values.shape != (n_inputs,) or values.dtype.kind not in "iub":
        raise InputsError(
            f"predict= gave values of shape {values.shape} and type {values.dtype} for a batch of {n_inputs} inputs.",
            "It is unclear which class was predicted for which input.",
            "Take the only column of what it gives: predict=lambda output: (output > 0)[:, 0], for instance."
            if values.shape == (n_inputs, 1) and values.dtype.kind in "iub"
            else "Let it give one integer per input, for instance predict=lambda output: output.argmax(1).",
        )
    return values.astype(np.int64)
