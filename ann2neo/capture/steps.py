"""Steps: inputs that last several bins, such as sequences of tokens, frames or recurrent states."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int

from ann2neo.capture.layers import pattern_of
from ann2neo.errors import ActivationError, InputsError


@dataclass(frozen=True, slots=True)
class Steps:
    """Each input is a sequence with a pseudo-time axis of its own: one bin per position.

    Parameters
    ----------
    axis
        Axis of a layer's output along which positions lie, counted with the batch axis (1 for (batch, position, unit)); or "calls", where a module is
        called once per position, as in hand-unrolled recurrent cells.
    lengths
        Number of positions of each input; None if all positions count. Either an array in the order in which inputs are presented, or a function that gives
        the lengths of a batch (for instance from its attention mask).

    Examples
    --------
    >>> Steps(1, lengths=[3, 5]).axis
    1
    """

    axis: int | Literal["calls"]
    lengths: Any | Callable[[Any], Any] = None


def lengths_of_batch(steps: Steps, batch: Any, first: int, n_inputs: int) -> Int[np.ndarray, " input"] | None:
    """Find the number of positions of each input of a batch, or None if all positions count.

    Raises
    ------
    InputsError
        If there is not one positive length for each input.
    """
    if steps.lengths is None:
        return None
    given = steps.lengths(batch) if callable(steps.lengths) else steps.lengths[first : first + n_inputs]
    lengths = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)
    if lengths.shape != (n_inputs,) or not np.issubdtype(lengths.dtype, np.integer) or (lengths < 1).any():
        raise InputsError(
            f"lengths of shape {lengths.shape} and type {lengths.dtype} were given for {n_inputs} inputs.",
            "It is unclear how many bins each input has.",
            "Give one positive integer for each input.",
        )
    return lengths.astype(np.int64)


def positions_as_bins(
    name: str, output: torch.Tensor, axis: int, lengths: Int[np.ndarray, " input"] | None
) -> torch.Tensor:
    """Put the positions of each input one after another along the first axis: (bin, ...).

    Raises
    ------
    ActivationError
        If the output has no such axis, or fewer positions than an input has.

    Examples
    --------
    >>> output = torch.arange(6).reshape(2, 3, 1)
    >>> positions_as_bins("rnn", output, 1, np.array([1, 3])).flatten()
    tensor([0, 3, 4, 5])
    """
    if not 0 < axis < output.ndim:
        raise ActivationError(
            f"layer {name!r} has shape {tuple(output.shape)}, without an axis {axis} of positions.",
            "It has no pseudo-time axis of its own.",
            "Give another axis, or leave the layer out (layers=...).",
        )
    by_position = output.movedim(axis, 1)
    if lengths is None:
        return by_position.flatten(0, 1)
    if lengths.max() > by_position.shape[1]:
        raise ActivationError(
            f"layer {name!r} has {by_position.shape[1]} positions, but an input has {lengths.max()}.",
            "Its bins are not those of the inputs.",
            "Give the lengths after pooling or striding, or leave the layer out (layers=...).",
        )
    inside = torch.arange(by_position.shape[1]) < torch.as_tensor(lengths)[:, None]
    return by_position[inside.to(by_position.device)]


def check_positions(positions: Mapping[str, int]) -> None:
    """Refuse layers that have not as many positions as most, such as what comes behind a pooler, whose units would be taken for positions.

    Raises
    ------
    ActivationError
        If there are such layers; the message lists them, and says how to record the others.

    Examples
    --------
    >>> check_positions({"encoder.0.act": 9, "encoder.1.act": 9, "pooler.activation": 32})
    Traceback (most recent call last):
        ...
    ann2neo.errors.ActivationError: 2 of 3 layers have 9 positions, but not these: 'pooler.activation' (32).
    There is no pseudo-time axis that all layers share.
    Record those with 9 (layers='encoder.*'), or the others by themselves.
    """
    if len(set(positions.values())) < 2:
        return
    usual = Counter(positions.values()).most_common(1)[0][0]
    others = {name: n for name, n in positions.items() if n != usual}
    shown = ", ".join(f"{name!r} ({n})" for name, n in list(others.items())[:10]) + (
        ", ..." if len(others) > 10 else ""
    )
    pattern = pattern_of([name for name in positions if name not in others], list(others))
    raise ActivationError(
        f"{len(positions) - len(others)} of {len(positions)} layers have {usual} positions, but not these: {shown}.",
        "There is no pseudo-time axis that all layers share.",
        f"Record those with {usual} (layers={pattern!r}), or the others by themselves.",
    )
