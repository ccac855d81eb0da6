"""Calling a model on a batch, as the user said or as the batch suggests, so that the user's inputs stay as they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from ann2neo.capture.inputs import Inputs, Place, place_of, to_place
from ann2neo.capture.inputs.copying import Copies
from ann2neo.capture.predictions import n_outputs
from ann2neo.errors import InputsError

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
        return self._run((lambda: self._call(copies.of(x))) if self._works_in_place else (lambda: self._call(x)))

    def _first_call(self, x: Any) -> Any:
        """Find out whether the model can be called with such batches, and whether it writes to them."""
        if self._forward is None and isinstance(x, dict):
            _check_arguments(self._module, x)
        copies = Copies()
        try:
            output = self._run(lambda: self._call(copies.of(x)))
        except (TypeError, AttributeError) as error:
            if self._forward is None:
                _explain(self._module, x, error)
            raise
        self._copies, self._works_in_place = copies, copies.changed()
        self.n_outputs = n_outputs(output, self._inputs)
        copies.made = []
        return output

    def _call(self, x: Any) -> Any:
        if self._forward is not None:
            return self._forward(self._module, x)
        return self._module(**x) if isinstance(x, dict) else self._module(x)


def _check_arguments(module: nn.Module, batch: Mapping[str, Any]) -> None:
    """Refuse a mapping whose keys are no arguments of the model.

    Raises
    ------
    InputsError
        If a key is unknown; the message names the arguments.
    """
    parameters = _parameters(module)
    if parameters is None:
        return
    unknown = [key for key in batch if key not in parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise InputsError(
            f"a batch has the keys {sorted(batch)}, but {type(module).__name__} takes {list(parameters)}.",
            "The model cannot be called with it.",
            "Say how with Inputs(data, labels=..., forward=lambda model, batch: model(batch['...'])).",
        )


def _explain(module: nn.Module, x: Any, error: Exception) -> None:
    """Say how to call the model, if it failed because of what it was called with.

    Raises
    ------
    InputsError
        If the model takes other arguments, or was given a list or tuple.
    """
    parameters = _parameters(module)
    if isinstance(error, TypeError) and parameters is not None and not _fits(module, x):
        given = f"the arguments {sorted(x)}" if isinstance(x, dict) else "one argument"
        raise InputsError(
            f"{type(module).__name__} takes {list(parameters)}, but was called with {given}.",
            "The model cannot be called with it. Of a batch (x, y) it is given x alone; y is taken for labels or left out.",
            "Say how with Inputs(data, forward=lambda model, batch: model(*batch)), or let batches be mappings of arguments.",
        ) from error
    if isinstance(x, (tuple, list)):
        raise InputsError(
            f"a batch of {len(x)} parts was given to {type(module).__name__} as one {type(x).__name__}, which failed: {error}",
            "It is unclear which of its parts the model takes.",
            "Say it with Inputs(data, labels=..., forward=lambda model, batch: model(batch[0])).",
        ) from error


def _fits(module: nn.Module, x: Any) -> bool:
    arguments = ((), x) if isinstance(x, dict) else ((x,), {})
    try:
        inspect.signature(module.forward).bind(*arguments[0], **arguments[1])
    except TypeError:
        return False
    return True


def _parameters(module: nn.Module) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(module.forward).parameters
    except (TypeError, ValueError):
        return None
