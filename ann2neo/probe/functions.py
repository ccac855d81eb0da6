"""Activations that no hook of a module sees alone: calls of functions such as `torch.relu`, and modules of others that are activation functions made of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ann2neo.probe.activations import competing_functions, is_activation_call, known_functions

PROBED_ROWS = 2


@dataclass(slots=True)
class Frame:
    """A call of a module that may be an activation function: the layers seen within, some of what it was called on, and whether it just passes on what the last of them gave."""

    name: str
    sample: torch.Tensor | None
    within: dict[str, None] = field(default_factory=dict)
    last: torch.Tensor | None = None
    passes_on: bool = False


class Frames:
    """The calls that are under way, and the first call of each module."""

    def __init__(self) -> None:
        self.closed: dict[str, Frame] = {}
        self._open: list[Frame] = []

    def clear(self) -> None:
        """Forget calls of an earlier batch that did not come to their end."""
        self._open.clear()

    def enter(self, name: str, args: Any) -> None:
        """Begin a call, and keep some of what the module is called on."""
        x = args[0] if len(args) == 1 else None
        sample = None
        if isinstance(x, torch.Tensor) and x.is_floating_point() and x.ndim and x.numel() and name not in self.closed:
            sample = x[:PROBED_ROWS].detach().clone()
        self._open.append(Frame(name, sample))

    def leave(self, output: Any) -> None:
        """End the innermost call."""
        if self._open:
            frame = self._open.pop()
            frame.passes_on = frame.last is not None and _is_same(frame.last, output)
            frame.last = None
            # What runs within differs from call to call, by number if by nothing else.
            self.closed.setdefault(frame.name, frame).within |= frame.within

    def see(self, layer: str, activation: torch.Tensor) -> None:
        """Note a layer that was called within the calls that are under way."""
        for frame in self._open:
            if frame.name != layer and not layer.startswith(f"{frame.name}:"):
                frame.within[layer] = None
                frame.last = activation


def _is_same(a: torch.Tensor, b: Any) -> bool:
    return a is b or (isinstance(b, torch.Tensor) and a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b))


def is_plain(module: nn.Module) -> bool:
    """Whether a module keeps no tensors between calls, which a call more would change."""
    own = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    return not any(isinstance(value, (torch.Tensor, list, dict, set)) for value in own.values()) and not any(
        True for _ in module.buffers(recurse=False)
    )


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

    A function that calls another one is shown once: torch switches the mode off within it. Code that torch has scripted is not seen. The names of functions whose
    values compete, such as softmax, go to ``beside`` where it is given.

    Examples
    --------
    >>> with FunctionCalls(lambda name, args, kwargs, output: print(name, output)):
    ...     _ = torch.nn.functional.relu(torch.tensor([-1.0, 2.0]))
    relu tensor([0., 2.])
    """

    def __init__(self, seen: Seen, *, beside: Callable[[str], None] | None = None) -> None:
        super().__init__()
        self._seen, self._known, self._beside = seen, known_functions(), beside

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, and show its output if it is an activation function."""
        kwargs = kwargs or {}
        name = self._known.get(func)
        if name is None and self._beside is not None and func in competing_functions():
            self._beside(competing_functions()[func])
        # Asked before the call: in place, the pre-activation would be gone afterwards.
        if name is None or not is_activation_call(name, args, kwargs):
            return func(*args, **kwargs)
        output = func(*args, **kwargs)
        self._seen(name, args, kwargs, output)
        return output
