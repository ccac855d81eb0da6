"""Where in an activation the inputs lie, if not along its first axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True, slots=True)
class Arrangement:
    """How the inputs of a batch lie in an activation.

    Parameters
    ----------
    kind
        "axis": along an axis of their own. "blocks": along the first axis, the entries of an input one after another, as flattening gives them. "turns": along the
        first axis, the first entries of all inputs, then the second ones, and so on.
    axis
        Which axis, for "axis".

    Examples
    --------
    >>> x = torch.arange(6)
    >>> Arrangement("blocks").inputs_first(x, 2), Arrangement("turns").inputs_first(x, 2)
    (tensor([[0, 1, 2],
            [3, 4, 5]]), tensor([[0, 2, 4],
            [1, 3, 5]]))
    """

    kind: Literal["axis", "blocks", "turns"]
    axis: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether the inputs lie along the first axis."""
        return self.kind == "axis" and self.axis == 0

    def fits(self, activation: torch.Tensor, n_inputs: int) -> bool:
        """Whether an activation of this many inputs may be arranged like this."""
        if self.kind == "axis":
            return activation.ndim > self.axis and activation.shape[self.axis] == n_inputs
        n_rows = activation.shape[0]
        return n_rows > n_inputs and n_rows % n_inputs == 0

    def inputs_first(self, activation: torch.Tensor, n_inputs: int) -> torch.Tensor:
        """View an activation with inputs along the first axis; as it is where it does not fit."""
        if not self.fits(activation, n_inputs) or self.is_plain:
            return activation
        if self.kind == "axis":
            return activation.movedim(self.axis, 0)
        k = activation.shape[0] // n_inputs
        if self.kind == "blocks":
            return activation.unflatten(0, (n_inputs, k))
        return activation.unflatten(0, (k, n_inputs)).transpose(0, 1)

    def described(self) -> str:
        """Describe it in words, for messages and provenance."""
        return {
            "axis": f"inputs along axis {self.axis}",
            "blocks": "entries of each input one after another along axis 0",
            "turns": "first entries of all inputs, then the second ones, along axis 0",
        }[self.kind]


def possible(activation: torch.Tensor, n_inputs: int) -> Iterator[Arrangement]:
    """List the arrangements that the shape of an activation allows, the usual one first."""
    for axis in range(activation.ndim):
        if activation.shape[axis] == n_inputs:
            yield Arrangement("axis", axis)
    for kind in ("blocks", "turns"):
        if Arrangement(kind).fits(activation, n_inputs) and n_inputs > 1:
            yield Arrangement(kind)
