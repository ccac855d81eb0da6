"""Calling a model on a batch, as the user said or as the batch suggests, so that the user's inputs and the model's gradients stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from ann2neo.capture.inputs import Inputs
from ann2neo.capture.misfits import check_arguments, check_axis_of_inputs, explain
from ann2neo.capture.predictions import n_outputs
from ann2neo.errors import InputsError
from ann2neo.probe.nested import with_parts

ALIGNMENT = 64
Run = Callable[[Callable[[], Any]], Any]


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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is and of which type its numbers are; None where it has no parameters that would say so."""

    device: torch.device | None
    dtype: torch.dtype | None


def place_of(model: torch.nn.Module) -> Place:
    """Find the place of a model by its first floating-point parameter.

    Examples
    --------
    >>> place_of(torch.nn.Linear(2, 3)), place_of(torch.nn.ReLU())
    (Place(device=device(type='cpu'), dtype=torch.float32), Place(device=None, dtype=None))
    """
    first = next((p for p in model.parameters() if p.is_floating_point()), None)
    return Place(None, None) if first is None else Place(first.device, first.dtype)


def to_place(x: Any, place: Place) -> Any:
    """Move tensors to a place; NumPy arrays of floating-point numbers also get its type (NumPy's default is twice as wide as torch's)."""
    if isinstance(x, np.ndarray):
        if x.dtype.kind not in "biufc":
            raise InputsError(
                f"the inputs are an array of type {x.dtype}.",
                "A network takes numbers.",
                "Make numbers of it first, for instance by x.astype('float32'), or by a tokenizer.",
            )
        tensor = torch.as_tensor(x)
        x = tensor.to(place.dtype) if tensor.is_floating_point() and place.dtype is not None else tensor
    if isinstance(x, torch.Tensor):
        return x if place.device is None else x.to(place.device)
    return with_parts(x, lambda part: to_place(part, place))


@dataclass(slots=True)
class Copies:
    """Copies of the tensors of a batch, and how often each had been written to when it was made."""

    made: list[tuple[torch.Tensor, torch.Tensor, int | None]] = field(default_factory=list)

    def of(self, x: Any) -> Any:
        """Copy the tensors in a batch; earlier copies are forgotten."""
        self.made = []
        return self._copy(x)

    def changed(self) -> bool:
        """Whether a copy was written to, or was asked for gradients. A tensor that does not count how often (an inference tensor) may have been."""
        return any(
            n is None or copy._version != n or copy.requires_grad != x.requires_grad or _differs(x, copy)
            for x, copy, n in self.made
        )

    def _copy(self, x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            copy = copied(x).requires_grad_(x.requires_grad)
            self.made.append((x, copy, None if copy.is_inference() else copy._version))
            return copy
        return with_parts(x, self._copy)


def copied(x: torch.Tensor) -> torch.Tensor:
    """Copy a tensor with its strides and, on a CPU, its place among 64 bytes: on both may depend which kernel runs, and on that the last bits of its sums.

    Examples
    --------
    >>> x = torch.arange(6.0).reshape(2, 3)[:, 1:]
    >>> copied(x).tolist() == x.tolist(), copied(x).stride() == x.stride()
    (True, True)
    """
    if (
        type(x) not in (torch.Tensor, torch.nn.Parameter)
        or x.layout != torch.strided
        or x.is_nested
        or x.is_quantized
        or 0 in x.stride()
        or not x.numel()
    ):
        return x.clone()
    n_reached = 1 + sum((size - 1) * stride for size, stride in zip(x.shape, x.stride()))
    room = torch.empty(n_reached + ALIGNMENT // x.element_size(), dtype=x.dtype, device=x.device)
    first = (x.data_ptr() - room.data_ptr()) % ALIGNMENT // x.element_size() if x.device.type == "cpu" else 0
    return room.as_strided(x.shape, x.stride(), first).copy_(x)


def _differs(x: torch.Tensor, copy: torch.Tensor) -> bool:
    """Whether a copy is another one now; NaN counts as a difference."""
    return x.layout == torch.strided and not x.is_quantized and not x.is_nested and not torch.equal(x, copy)
