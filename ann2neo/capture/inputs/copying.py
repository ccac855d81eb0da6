"""Copies of what a model is called with, so that a model that works in place leaves the user's inputs as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from ann2neo.capture.nested import with_parts

ALIGNMENT = 64


@dataclass(slots=True)
class Copies:
    """Copies of the tensors of a batch, and how often each had been written to when it was made."""

    made: list[tuple[torch.Tensor, torch.Tensor, int | None]] = field(default_factory=list)

    def of(self, x: Any) -> Any:
        """Copy the tensors in a batch; earlier copies are forgotten."""
        self.made = []
        return self._copy(x)

    def changed(self) -> bool:
        """Whether a copy was written to. A tensor that does not count how often (an inference tensor) may have been."""
        return any(n is None or copy._version != n or _differs(x, copy) for x, copy, n in self.made)

    def _copy(self, x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            copy = copied(x)
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
    return x.layout == torch.strided and not x.is_quantized and not torch.equal(x, copy)
