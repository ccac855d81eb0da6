"""Seeing calls of functions such as `torch.relu`, which are no modules and have no hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ann2neo.capture.activations import is_activation_call, known_functions

Seen = Callable[[str, Sequence[Any], Mapping[str, Any], torch.Tensor], None]


class FunctionCalls(TorchFunctionMode):
    """Show every call of an activation function on a tensor, for as long as the context lasts.

    A function that calls another one is shown once: torch switches the mode off within it. Code that torch has scripted is not seen.

    Examples
    --------
    >>> with FunctionCalls(lambda name, args, kwargs, output: print(name, output)):
    ...     _ = torch.nn.functional.relu(torch.tensor([-1.0, 2.0]))
    relu tensor([0., 2.])
    """

    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self._seen, self._known = seen, known_functions()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, and show its output if it is an activation function."""
        kwargs = kwargs or {}
        name = self._known.get(func)
        # Asked before the call: in place, the pre-activation would be gone afterwards.
        shown = name is not None and is_activation_call(name, args, kwargs)
        output = func(*args, **kwargs)
        if name is not None and shown:
            self._seen(name, args, kwargs, output)
        return output
