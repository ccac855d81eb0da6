"""Modules of others that may be activation functions made of others: what is seen of their calls in the first batch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

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
