"""Sequences in a batch: where their steps lie, batches of inputs with fewer steps, and of inputs one step of which is another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ann2neo.probe.nested import leaves, with_parts
from ann2neo.verification.places import are_entries, axis_of_inputs, is_sparse, main_part, taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequences:
    """Where the steps of a batch lie.

    Parameters
    ----------
    x, n_inputs
        The batch, and its number of inputs.
    preferred, first_only
        Where its inputs lie, as `axis_of_inputs` takes it, and whether only its first part has any.
    axis
        Axis of the steps, counted with inputs first.
    shape
        Shape of the sequences, with inputs first.
    """

    x: Any
    n_inputs: int
    preferred: int
    first_only: bool
    axis: int
    shape: tuple[int, ...]

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return self.shape[self.axis]

    @property
    def ndim(self) -> int:
        """Number of axes, that of inputs included."""
        return len(self.shape)

    def n_steps_of(self, part: torch.Tensor) -> int:
        """Steps of a part of the batch with inputs first; 0 if it has none. Other sequences than the first one, as those of a decoder, may have another number."""
        if part.ndim <= self.axis:
            return 0
        if part.shape[self.axis] == self.n_steps:
            return self.n_steps
        is_sequence = self.axis == 1 and (part.ndim > 2 or not part.is_floating_point()) and part.shape[1] > 1
        return part.shape[1] if is_sequence else 0


def sequences_of(
    x: Any, n_inputs: int, axis: int | Literal["calls"], *, preferred: int = 0, first_only: bool = False
) -> Sequences | None:
    """Find the sequences of a batch: its first part with steps, or else the first with anything after inputs; None if there is none.

    Examples
    --------
    >>> sequences_of({"position": torch.zeros(9), "x": torch.zeros(4, 9, 2)}, 4, 1).n_steps
    9
    """
    found = [
        part
        for leaf in ([main_part(x, n_inputs, preferred)] if first_only else [leaf for _, leaf in leaves(x)])
        if (part := inputs_first(leaf, n_inputs, preferred)) is not None and part.ndim > 1 and not _is_mask(part)
    ]
    if not found:
        return None
    with_steps = [part for part in found if part.ndim > 2 or not part.is_floating_point()]
    shape = tuple((with_steps or found)[0].shape)
    return Sequences(
        x=x,
        n_inputs=n_inputs,
        preferred=preferred,
        first_only=first_only,
        axis=1 if axis == "calls" else min(axis, len(shape) - 1),
        shape=shape,
    )


def inputs_first(leaf: Any, n_inputs: int, preferred: int) -> torch.Tensor | None:
    """View a part of a batch with inputs along its first axis; None if it has no axis of inputs."""
    axis = axis_of_inputs(leaf, n_inputs, preferred)
    return None if axis is None or is_sparse(leaf) else torch.as_tensor(leaf).movedim(axis, 0)


def shortened(known: Sequences, inputs: Sequence[int], n_steps: int) -> Any:
    """Make a batch of some inputs that have fewer steps; masks, rows of positions and lengths are as long.

    Examples
    --------
    >>> x = {"x": torch.zeros(4, 9, 2), "mask": torch.ones(4, 1, 9, 9), "position": torch.arange(9)}
    >>> short = shortened(sequences_of(x, 4, 1), [0, 2], 5)
    >>> {name: tuple(part.shape) for name, part in short.items()}
    {'x': (2, 5, 2), 'mask': (2, 1, 5, 5), 'position': (5,)}
    """
    whole = known.n_steps

    def change(part: torch.Tensor, of_all: torch.Tensor | None) -> torch.Tensor:
        has_inputs = of_all is not None
        n = known.n_steps_of(part) if has_inputs else 0
        if n:
            return part.narrow(known.axis, 0, max(1, round(n * n_steps / whole)))
        for axis in range(int(has_inputs), part.ndim):
            if part.shape[axis] == whole:
                part = part.narrow(axis, 0, n_steps)
        if has_inputs and part.ndim == 1 and not part.is_floating_point() and part.dtype != torch.bool:
            return part.clamp(max=n_steps) if int(part.max()) <= whole else part
        return part

    return _changed(known, inputs, change)


def replaced(known: Sequences, inputs: Sequence[int], at: Sequence[int]) -> Any:
    """Make a batch of some inputs, in each of which one step is that of another input, or another one of its own if these are the same.

    Examples
    --------
    >>> x = torch.arange(6).reshape(2, 3)
    >>> replaced(sequences_of(x, 2, 1), [0, 1], [2, 0])
    tensor([[0, 1, 5],
            [0, 4, 5]])
    """

    def change(part: torch.Tensor, whole: torch.Tensor | None) -> torch.Tensor:
        n = 0 if whole is None or _is_mask(whole) else known.n_steps_of(part)
        if whole is None or not n:
            return part
        part = part.clone()
        for row, (k, step) in enumerate(zip(inputs, at)):
            place = step * n // known.n_steps
            own = whole[k].select(known.axis - 1, place)
            others = [whole[(k + far) % len(whole)].select(known.axis - 1, place) for far in (1, 2, 3)]
            others += [whole[k].select(known.axis - 1, other) for other in (0, n - 1, n // 2)]
            other = next((one for one in others if not torch.equal(one, own)), own)
            part[row].select(known.axis - 1, place).copy_(other)
        return part

    return _changed(known, inputs, change)


def _changed(
    known: Sequences, inputs: Sequence[int], change: Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
) -> Any:
    """Choose inputs of a batch, and change each of its tensors and arrays: shown with inputs first, beside that of all inputs, where it has any."""
    only = main_part(known.x, known.n_inputs, known.preferred) if known.first_only else None

    def one(part: Any) -> Any:
        if not isinstance(part, (torch.Tensor, np.ndarray)):
            if are_entries(part, known.n_inputs, known.preferred):
                return taken(part, inputs, known.n_inputs)
            return with_parts(part, one)
        axis = axis_of_inputs(part, known.n_inputs, known.preferred)
        axis = None if known.first_only and part is not only else axis
        if axis is None:
            return _as(part, change(torch.as_tensor(part), None))
        if is_sparse(part):
            return taken(part, inputs, known.n_inputs)
        whole = torch.as_tensor(part).movedim(axis, 0)
        chosen = whole[torch.as_tensor(list(inputs), device=whole.device)]
        return _as(part, change(chosen, whole).movedim(0, axis))

    return one(known.x)


def _as(part: torch.Tensor | np.ndarray, other: torch.Tensor) -> torch.Tensor | np.ndarray:
    return other if isinstance(part, torch.Tensor) else other.numpy().view(type(part))


def _is_mask(part: torch.Tensor) -> bool:
    """Whether a part says which positions count, which are not replaced: truth values, or zeros and ones of shape (input, position)."""
    return part.dtype == torch.bool or (part.ndim == 2 and bool(((part == 0) | (part == 1)).all()))
