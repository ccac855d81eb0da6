"""Seeing calls of functions such as `torch.relu`, which are not modules and have no hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ann2neo.capture.model.activations import is_activation_call, known_functions

# Modules of torch's own that call no activation function: of these exact classes it need not be known when they are called.
WITHOUT_ACTIVATIONS = frozenset({
    nn.Identity, nn.Linear, nn.Bilinear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.Embedding, nn.Dropout, nn.Dropout1d,
    nn.Dropout2d, nn.Flatten, nn.Unflatten, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d, nn.ZeroPad2d, nn.Upsample,
})  # fmt: skip
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
        if name is None or not is_activation_call(name, args, kwargs):
            return func(*args, **kwargs)
        output = func(*args, **kwargs)
        self._seen(name, args, kwargs, output)
        return output
