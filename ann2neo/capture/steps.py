"""Steps: inputs that last several bins, such as sequences of tokens, frames or recurrent states."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int

from ann2neo.arguments import shown
from ann2neo.capture.masks import MASK, how_to_leave_out, is_mask, padded_positions, positions_of_mask
from ann2neo.errors import Ann2NeoWarning, InputsError
from ann2neo.probe.nested import arrays, as_given

# Which positions of each input count: how many from the first one on, which of them, or all.
Positions = Int[np.ndarray, " input"] | Bool[np.ndarray, "input position"] | None


@dataclass(frozen=True, slots=True)
class Steps:
    """Each input is a sequence with a pseudo-time axis of its own: one bin per position.

    Parameters
    ----------
    axis
        Axis of a layer's output along which positions lie, counted from the front with the batch axis as axis 0 (1 for (batch, position, unit)); or "calls", where
        a module is called once per position, as in hand-unrolled recurrent cells. Outputs in which positions come before inputs, as those of recurrent, attention
        and transformer modules of torch without ``batch_first``, are turned into (batch, position, unit) before the axis is counted. Layers that have their positions
        elsewhere, after channels or heads, are turned too where verification shows it and positions of the inputs lie along this axis.
    lengths
        Which positions count; None for all. The name of a mask in the batch, ``"attention_mask"``, whose ones say which they are, wherever the padding is, of shape (input, position) or, as batches with steps first have it, (position, input); where its name
        holds "pad", its zeros say it if they do in the batch, or it is called as torch's ``key_padding_mask``, and what stays open is refused; an array of
        numbers of positions, in the order in which inputs are presented; or a function that gives those of a batch, or truth values of shape (input, position). Packed
        sequences are padded again, and need their lengths here.

    Raises
    ------
    InputsError
        If the axis is neither a positive integer nor "calls", or lengths are neither listed nor a function.

    See Also
    --------
    ann2neo.Passes, ann2neo.Inputs, ann2neo.record

    Examples
    --------
    >>> Steps(1, lengths=[3, 5]).axis
    1
    """

    axis: int | Literal["calls"]
    lengths: Any | Callable[[Any], Any] = None

    def __post_init__(self) -> None:
        number = isinstance(self.axis, Integral) and not isinstance(self.axis, bool)
        if not number and (not isinstance(self.axis, str) or self.axis != "calls"):
            raise InputsError(
                f"{self.axis!r} is not an axis of steps.",
                "It is unclear where the steps of an input are.",
                "Use the number of an axis, such as Steps(1) for (batch, step, unit), or Steps('calls') for cells that are called step by step.",
            )
        if number and int(self.axis) < 1:
            raise InputsError(
                f"axis {self.axis} is not after axis 0, along which inputs lie.",
                "Layers may have different numbers of axes, and outputs with steps before inputs are turned: (step, input, unit) into (input, step, unit).",
                "Count from the front after the inputs: Steps(1) for (batch, step, unit), and for (step, batch, unit) too.",
            )
        listed = hasattr(self.lengths, "__getitem__") and getattr(self.lengths, "ndim", 1) == 1
        if (
            self.lengths is not None
            and not callable(self.lengths)
            and not (isinstance(self.lengths, str) and self.lengths)
            and (not listed or isinstance(self.lengths, Mapping | str))
        ):
            raise InputsError(
                f"lengths of type {type(self.lengths).__name__} and shape {tuple(getattr(self.lengths, 'shape', ()))} are neither a list of numbers nor a function.",
                "It is unclear how many bins each input has.",
                "Give one positive integer for each input, or a function that gives the lengths of a batch.",
            )


def positions_of_batch(
    steps: Steps,
    batch: Any,
    first: int,
    n_inputs: int,
    *,
    axis: int | None = None,
    known: dict[str, bool] | None = None,
) -> Positions:
    """Find the positions of each input of a batch that count: how many they are from the first one on, or which they are; None if all do.

    ``axis`` is the axis of the batch along which inputs lie, None if it is not known; ``known`` says of masks whether their ones are padding, see `positions_of_mask`.

    Raises
    ------
    InputsError
        If there is not one positive length for each input, or not the mask that was named.
    """
    if steps.lengths is None:
        return None
    if isinstance(steps.lengths, str):
        return positions_of_mask(batch, steps.lengths, n_inputs, axis, {} if known is None else known)
    given = steps.lengths(as_given(batch)) if callable(steps.lengths) else steps.lengths[first : first + n_inputs]
    lengths = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)
    if lengths.ndim == 2 and lengths.dtype == bool and len(lengths) == n_inputs and lengths.any(axis=1).all():
        return lengths
    if lengths.shape != (n_inputs,) or not np.issubdtype(lengths.dtype, np.integer) or (lengths < 1).any():
        raise InputsError(
            f"lengths of shape {lengths.shape} and type {lengths.dtype} were given for {n_inputs} inputs.",
            "It is unclear how many bins each input has.",
            "Give one positive integer for each input; a function may give truth values of shape (input, position) as well, some of them true for each input.",
        )
    return lengths.astype(np.int64)


def warn_of_unused_mask(steps: Steps, batch: Any, n_inputs: int, positions: Positions) -> None:
    """Warn if a batch says where its padding is, and nothing says that it is to be left out; or if what is left out is elsewhere."""
    if steps.lengths is not None:
        _warn_of_other_positions(steps, batch, n_inputs, positions)
        return
    found = padded_positions(batch, n_inputs)
    if found:
        listed = ", ".join(f"{name!r} {said}" for name, said in found.items())
        text = (
            f"positions of the first batch look like padding, and are recorded as bins all the same: {listed}.\n"
            "What a network gives for padding is counted as data.\n"
            f"Leave it out with Steps({steps.axis!r}, {how_to_leave_out(batch, found)}): the name of a mask of ones and zeros, or a function that gives the number of positions of each input, "
            "or truth values of shape (input, position), such as lengths=lambda batch: batch['mask'] == 0 where ones are padding."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)


def warn_of_padded_steps(steps: Steps) -> None:
    """Warn that what collates the batches pads steps, and that nothing says where."""
    text = (
        "the collate_fn pads inputs to the length of their batch (collated alone some are shorter), and padded steps are recorded as bins all the same.\n"
        "What a network gives for padding is counted as data, and depends on which inputs share a batch.\n"
        f"Say how many steps each input has, Steps({steps.axis!r}, lengths=...): numbers in the order of presentation, a function that finds them in a batch, or the name of a mask in it."
    )
    warnings.warn(Ann2NeoWarning(text), stacklevel=3)


def _warn_of_other_positions(steps: Steps, batch: Any, n_inputs: int, positions: Positions) -> None:
    """Warn if lengths count positions from the first one on, but a mask of as many says that data are elsewhere; or if all that is left is the same, as padding is."""
    mask = next((one for path, one in arrays(batch) if path.rsplit("/", 1)[-1] == MASK), None)
    if mask is not None and positions is not None and positions.ndim == 1 and mask.ndim == 2 and len(mask) == n_inputs:
        there = (torch.as_tensor(mask).detach().cpu() == 1).numpy()
        counted = np.arange(there.shape[1]) < positions[:, None]
        if np.array_equal(there.sum(1), positions) and (there != counted).any():
            text = (
                f"lengths count the positions of each input from the first one on, but {MASK!r} says that {int((counted & ~there).sum())} of these are padding, which comes first.\n"
                "What a network gives for padding is counted as data, and data are left out.\n"
                f"Give Steps({steps.axis!r}, lengths={MASK!r}), which knows where they are."
            )
            warnings.warn(Ann2NeoWarning(text), stacklevel=3)
    if positions is None or positions.ndim != 2 or positions.all():
        return
    for path, one in arrays(batch):
        part = torch.as_tensor(one).detach().cpu()
        if part.layout != torch.strided or tuple(part.shape[:2]) != positions.shape or is_mask(part):
            continue
        kept, left = part[torch.as_tensor(positions)], part[torch.as_tensor(~positions)]
        if len(kept) > 1 and bool((kept == kept[:1]).all()) and not bool((left == left[:1]).all()):
            text = (
                f"all {len(kept)} positions that lengths={shown(steps.lengths)} keeps hold the same in {path.strip('/') or 'the input'!r}, and others do not: they look like padding.\n"
                "What a network gives for padding would be counted as data, and data left out.\n"
                "If ones of a mask are padding, give lengths=lambda batch: batch['mask'] == 0."
            )
            warnings.warn(Ann2NeoWarning(text), stacklevel=3)
            return
