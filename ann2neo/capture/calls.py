"""Calling a model on a batch, as the user said or as the batch suggests, so that the user's inputs and the model's gradients stay as they are; and what helps where the two do not fit."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from ann2neo.capture.inputs import Batch, Inputs, lies_in_array
from ann2neo.capture.predictions import n_outputs
from ann2neo.capture.signatures import fits, how_to_call, how_to_pack, parameters_of
from ann2neo.device.failures import is_lost, is_out_of_memory
from ann2neo.errors import InputsError, kind_of
from ann2neo.probe.nested import Copies, Place, arrays, place_of, to_place

Run = Callable[[Callable[[], Any]], Any]
# The axes of one input for these modules, after which torch takes a tensor for one input without an axis of inputs.
CONVOLUTIONS = {nn.Conv1d: 2, nn.Conv2d: 3, nn.Conv3d: 4}
LENGTHS_OF_PACKED = "'lengths' argument should be a 1D CPU int64 tensor"
WITHIN_VMAP = ("Cannot access data pointer", "vmap: It looks like")
NEEDS_GRADIENTS = ("does not require grad", "does not have a grad_fn", "require gradients", "requires grad")


class Caller:
    """Calls a model on batches. The first one is a copy; if the model writes to it, so are all that follow.

    A model that writes only to some later batches is not noticed.

    Parameters
    ----------
    module, inputs
        The model, and the inputs with what the user said about calling it.
    run
        Runs a call, once or several times.

    Attributes
    ----------
    n_outputs
        Number of columns of the first output, where they may be scores of classes.
    """

    def __init__(self, module: nn.Module, inputs: Inputs, run: Run) -> None:
        self._module, self._inputs, self._forward, self._run = module, inputs, inputs.forward, run
        self._place: Place = place_of(module)
        self._copies: Copies | None = None
        self._works_in_place = False
        self.n_outputs: int | None = None

    def __call__(self, x: Any) -> Any:
        """Call the model on a batch."""
        x = to_place(x, self._place)
        if self._copies is None:
            return self._first_call(x)
        copies = self._copies
        if self._works_in_place or self._inputs.gradients:
            return self._run(lambda: self._call(copies.of(x)))
        return self._run(lambda: self._call(x))

    def _first_call(self, x: Any) -> Any:
        """Find out whether the model can be called with such batches, and whether it writes to them."""
        if self._forward is None:
            check_axis_of_inputs(self._module, x)
            if isinstance(x, dict):
                check_arguments(self._module, x)
        copies = Copies()
        try:
            output = self._run(lambda: self._call(copies.of(x)))
        except (TypeError, AttributeError, RuntimeError) as error:
            explain(self._module, x, error, inputs=self._inputs)
            raise
        self._copies, self._works_in_place = copies, copies.changed()
        self.n_outputs = n_outputs(output, self._inputs)
        copies.made = []
        return output

    def _call(self, x: Any) -> Any:
        if not self._inputs.gradients:
            return self._forward_pass(x)
        with _gradients(self._module):
            return self._forward_pass(x)

    def _forward_pass(self, x: Any) -> Any:
        if self._forward is not None:
            return self._forward(self._module, x)
        return self._module(**x) if isinstance(x, dict) else self._module(x)


@contextmanager
def _gradients(module: nn.Module) -> Iterator[None]:
    """Switch gradients on, and restore those of the parameters."""
    before = [(parameter, parameter.grad) for parameter in module.parameters()]
    try:
        for parameter, _ in before:
            parameter.grad = None
        with torch.enable_grad():
            yield
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient


def check_arguments(module: nn.Module, batch: Mapping[str, Any]) -> None:
    """Refuse a mapping whose keys are not arguments of the model.

    Raises
    ------
    InputsError
        If a key is unknown; the message names the arguments.
    """
    parameters = parameters_of(module)
    if parameters is None:
        return
    unknown = [key for key in batch if key not in parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise InputsError(
            f"a batch has the keys {sorted(batch)}, but {type(module).__name__} takes {list(parameters)}.",
            "The model cannot be called with it.",
            "Say how with Inputs(data, labels=..., forward=lambda model, batch: model(batch['...'])).",
        )


def check_decoder(module: nn.Module, batch: Batch) -> None:
    """Refuse labels of steps from which a model would make what its decoder reads, if nothing else says what that is.

    Without them some models end in an error, and others let their decoder read what the encoder does.

    Raises
    ------
    InputsError
        If there are such labels.
    """
    make = getattr(module, "prepare_decoder_input_ids_from_labels", None)
    given = batch.x if isinstance(batch.x, Mapping) else {}
    if make is None or getattr(batch.target, "ndim", 0) != 2 or any(key.startswith("decoder_input") for key in given):
        return
    raise InputsError(
        f"batches hold labels of shape {tuple(batch.target.shape)}, from which {type(module).__name__} makes the inputs of its decoder, and no 'decoder_input_ids'.",
        "Labels are never given to a model: its decoder would have no inputs, or other ones.",
        "Put them into the batches: batch['decoder_input_ids'] = model.prepare_decoder_input_ids_from_labels(batch['labels']).",
    )


def check_axis_of_inputs(module: nn.Module, x: Any) -> None:
    """Refuse a tensor that the model's first module takes for one input without the axis along which inputs lie.

    Raises
    ------
    InputsError
        If it has as many axes as one input, and the first of them is as long as the module's features or channels.

    Examples
    --------
    >>> check_axis_of_inputs(nn.Linear(8, 4), torch.zeros(8))
    Traceback (most recent call last):
        ...
    ann2neo.errors.InputsError: the inputs have shape (8,), which Linear takes for a single input of 8 features.
    The first axis would be taken for the inputs.
    Give it an axis of inputs: x.unsqueeze(0) for one input.
    """
    if not isinstance(x, torch.Tensor) or x.ndim == 0 or x.shape[0] < 2:
        return
    first, n_axes, size, what = _first_module(module)
    if x.ndim == n_axes and x.shape[0] == size:
        raise InputsError(
            f"the inputs have shape {tuple(x.shape)}, which {first} takes for a single input of {size} {what}.",
            "The first axis would be taken for the inputs.",
            "Give it an axis of inputs: x.unsqueeze(0) for one input.",
        )


def _first_module(module: nn.Module) -> tuple[str, int, int, str]:
    """Describe the first module with weights: its name, and the number of axes and the length of the first one of a single input, and what lies along it."""
    first = _first_with_weights(module)
    if isinstance(first, nn.Linear):
        return "Linear", 1, first.in_features, "features"
    n_axes = next((n for kind, n in CONVOLUTIONS.items() if isinstance(first, kind)), -1)
    return type(first).__name__, n_axes, getattr(first, "in_channels", -1), "channels"


def _first_with_weights(module: nn.Module) -> nn.Module | None:
    return next((m for m in module.modules() if any(True for _ in m.parameters(recurse=False))), None)


def explain_pair(module: nn.Module, batch: Batch, error: Exception, *, inputs: Inputs) -> None:
    """Explain that a batch of two parts was read as (x, y), if the model failed on the first of them and the second is not a label.

    Raises
    ------
    InputsError
        If it was.
    """
    second = batch.target
    if inputs.forward is None and second is not None and batch.labels is None and batch.step_labels is None:
        what = tuple(getattr(second, "shape", ())) or kind_of(second)
        raise InputsError(
            f"{type(module).__name__} failed on the first part of a batch of two, which was read as inputs and what comes beside them ({what}, left out): {error}",
            "If the model takes both parts, as one list or side by side, it lacks one.",
            "Say so with Inputs(data, forward=lambda model, batch: model(batch)), or model(*batch) if it takes two arguments.",
        ) from error


def explain(module: nn.Module, x: Any, error: Exception, *, inputs: Inputs) -> None:
    """Explain how to call the model, if it failed because of what it was called with.

    Raises
    ------
    InputsError
        If the model needs gradients or vmap, or numbers of another type; takes other arguments; or was given lists or a tuple.
    """
    if is_lost(error) or is_out_of_memory(error):
        return
    if isinstance(error, RuntimeError):
        _explain_surroundings(module, error, inputs)
        _explain_lengths(module, x, error, inputs)
        if inputs.forward is None:
            _explain_types(module, x, error)
            if _failed_at_first(module, error):
                _explain_axes(module, x, error)
                _explain_sizes(module, x, error)
    elif inputs.forward is None:
        _explain_arguments(module, x, error, inputs)


def _explain_surroundings(module: nn.Module, error: RuntimeError, inputs: Inputs) -> None:
    if not inputs.gradients and any(text in str(error) for text in NEEDS_GRADIENTS):
        raise InputsError(
            f"{type(module).__name__} needs gradients in its forward pass: {error}",
            "Models are recorded without gradients unless they need them.",
            "Say so with Inputs(data, gradients=True).",
        ) from error
    if any(text in str(error) for text in WITHIN_VMAP):
        raise InputsError(
            f"{type(module).__name__} runs within a transform of torch.func (vmap, jvp, grad), where activations hold no numbers that could be read.",
            "Nothing can be recorded there.",
            "Call what is transformed by itself: Inputs(x, forward=lambda model, x: model(x)), or lambda model, x: model.net(x) with the name of a module; of an ensemble, load the weights of one member after another "
            "into a model of its own (load_state_dict), and record each.",
        ) from error


def _explain_lengths(module: nn.Module, x: Any, error: RuntimeError, inputs: Inputs) -> None:
    """Explain that sequences are packed by lengths on the CPU, where batches are moved to the model as a whole."""
    if LENGTHS_OF_PACKED not in str(error):
        return
    raise InputsError(
        f"{type(module).__name__} packs sequences by lengths that torch takes along one axis and from the CPU alone: {error}",
        "Batches are moved to where the model is, with their lengths.",
        how_to_pack(x, within=inputs.forward is not None),
    ) from error


def _explain_types(module: nn.Module, x: Any, error: RuntimeError) -> None:
    weight = next((p for p in module.parameters() if p.is_floating_point()), None)
    given = {
        str(a.dtype)[6:]
        for _, a in arrays(x)
        if isinstance(a, torch.Tensor) and (weight is None or a.dtype != weight.dtype)
    }
    if (
        weight is None
        or not given
        or not any(word in str(error) for word in ("type", "Byte", "Double", "Half", "Float"))
    ):
        return
    wanted = str(weight.dtype)[6:]
    raise InputsError(
        f"the inputs are of type {', '.join(sorted(given))}, the weights of {type(module).__name__} of type {wanted}: {error}",
        "The model cannot be called with them; tensors are given to it as they are.",
        f"Give x.to(torch.{wanted}), scaled as in training, or say how with Inputs(data, forward=lambda model, x: model(x.to(torch.{wanted}))).",
    ) from error


def _failed_at_first(module: nn.Module, error: RuntimeError) -> bool:
    """Whether the first module with weights raised an error.

    What fails later, in the user's own lines, says nothing of the inputs.
    """
    first = _first_with_weights(module)
    called = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    last = next((one for one in reversed(called) if isinstance(one, nn.Module)), None)
    return last is None or last is first


def _explain_axes(module: nn.Module, x: Any, error: RuntimeError) -> None:
    first, n_axes, _, what = _first_module(module)
    if isinstance(x, torch.Tensor) and x.ndim == n_axes:
        raise InputsError(
            f"a batch has shape {tuple(x.shape)}, but {first}, the first module, takes inputs of {n_axes} {'axis' if n_axes == 1 else 'axes'} each: {error}",
            f"There is no axis of inputs before that of the {what}.",
            "Give it one: x.unsqueeze(0) for one input.",
        ) from error


def _explain_sizes(module: nn.Module, x: Any, error: RuntimeError) -> None:
    first, n_axes, size, what = _first_module(module)
    if not isinstance(x, torch.Tensor) or n_axes < 0 or x.ndim <= n_axes:
        return
    given = x.shape[-1] if what == "features" else x.shape[1]
    if given != size:
        raise InputsError(
            f"the inputs have shape {tuple(x.shape)}, with {given} {what}, but {first}, the first module with weights, takes {size}: {error}",
            "The model cannot be called with them.",
            f"Give inputs of {size} {what}, or say how they are made with Inputs(data, forward=lambda model, x: model(...)).",
        ) from error


def _explain_arguments(module: nn.Module, x: Any, error: Exception, inputs: Inputs) -> None:
    parameters = parameters_of(module)
    if isinstance(error, TypeError) and parameters is not None and not fits(module, x):
        given = f"the arguments {sorted(x)}" if isinstance(x, dict) else "one argument"
        raise InputsError(
            f"{type(module).__name__} takes {list(parameters)}, but was called with {given}.",
            "The model cannot be called with it. Of a batch (x, y) it is given x alone; y is taken for labels or left out.",
            how_to_call(parameters, x, of_tensors=lies_in_array(inputs.data)),
        ) from error
    if isinstance(x, (tuple, list)):
        raise InputsError(
            f"a batch of {len(x)} parts was given to {type(module).__name__} as one {type(x).__name__}, which failed: {error}",
            "It is unclear which of its parts the model takes.",
            "Say it with Inputs(data, labels=..., forward=lambda model, batch: model(batch[0])).",
        ) from error
    listed = [key for key, value in x.items() if isinstance(value, (list, tuple))] if isinstance(x, dict) else []
    if listed:
        raise InputsError(
            f"{', '.join(map(repr, listed[:5]))} of a batch are lists, with which {type(module).__name__} failed: {error}",
            "A loader makes lists of data that are not tensors, each entry a position instead of an input.",
            "Let the data set hold tensors: data.with_format('torch') of Hugging Face's data sets, or a collate_fn that pads and stacks.",
        ) from error
    if not isinstance(x, (torch.Tensor, np.ndarray, Mapping)):
        raise InputsError(
            f"a batch of type {type(x).__name__} was given to {type(module).__name__} as it is, which failed: {error}",
            "It is unclear which of its parts the model takes.",
            "Say it with Inputs(data, forward=lambda model, batch: model(batch.x, ...)).",
        ) from error
