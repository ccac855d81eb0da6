"""Steps: inputs that last several bins, such as sequences of tokens, frames or recurrent states; and masks in a batch, which say at which positions there is data."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int

from ann2neo.arguments import shown
from ann2neo.errors import Ann2NeoWarning, InputsError
from ann2neo.probe.nested import arrays

MASK = "attention_mask"
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
        Which positions count; None for all. The name of a mask in the batch, ``"attention_mask"``, whose ones say which they are, wherever the padding is, of shape (input, position) or, as batches with steps first have it, (position, input); an array of
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


def positions_of_batch(steps: Steps, batch: Any, first: int, n_inputs: int, *, axis: int | None = None) -> Positions:
    """Find the positions of each input of a batch that count: how many they are from the first one on, or which they are; None if all do.

    ``axis`` is the axis of the batch along which inputs lie, None if it is not known.

    Raises
    ------
    InputsError
        If there is not one positive length for each input, or not the mask that was named.
    """
    if steps.lengths is None:
        return None
    if isinstance(steps.lengths, str):
        return _masked(batch, steps.lengths, n_inputs, axis)
    given = steps.lengths(batch) if callable(steps.lengths) else steps.lengths[first : first + n_inputs]
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


def _masked(batch: Any, key: str, n_inputs: int, axis: int | None) -> Bool[np.ndarray, "input position"]:
    mask = batch_mask(batch, key)
    if mask is not None and mask.shape[1] == n_inputs:
        mask = _inputs_first(batch, key, mask, axis)
    if mask is None or len(mask) != n_inputs or not mask.any(axis=1).all():
        found = (
            "there is none in a batch"
            if mask is None
            else f"it has shape {mask.shape} for {n_inputs} inputs, {int((~mask.any(axis=1)).sum())} of them without a one"
        )
        raise InputsError(
            f"lengths={key!r} names a mask, but {found}.",
            "It is unclear how many bins each input has.",
            "Give batches that are mappings with that key, of shape (input, position) or, where steps come first, (position, input); or Steps(..., lengths=function).",
        )
    return mask


def _inputs_first(
    batch: Any, key: str, mask: Bool[np.ndarray, "row column"], axis: int | None
) -> Bool[np.ndarray, "input position"]:
    """Turn a mask of shape (position, input), as the batch has where steps come before inputs.

    Raises
    ------
    InputsError
        If there are as many steps as inputs, and both ways of reading the mask make sense, or none.
    """
    if mask.shape[0] != mask.shape[1]:
        return mask.T if _has_shape(batch, mask.shape) else mask
    if axis != 1 or np.array_equal(mask, mask.T):
        return mask
    # Padding is at one end of each input.
    fitting = [one for one in (mask, mask.T) if _is_at_one_end(torch.as_tensor(~one))]
    if len(fitting) != 1:
        raise InputsError(
            f"{key!r} has shape {mask.shape}, for as many steps as inputs, and steps come first in the batch.",
            "It is unclear whether its first axis is that of steps or of inputs.",
            f"Say it: lengths=lambda batch: batch[{key!r}].T.bool() if steps come first in the mask too, else without .T.",
        )
    return fitting[0]


def _has_shape(batch: Any, shape: tuple[int, ...]) -> bool:
    """Whether a batch holds something with these first two axes beside masks."""
    return any(tuple(one.shape[:2]) == shape and "mask" not in path.lower() for path, one in arrays(batch))


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
            f"Leave it out with Steps({steps.axis!r}, lengths={MASK!r}), by the name of a mask of ones and zeros; or with a function that gives the number of positions of each input, "
            "or truth values of shape (input, position): lengths=lambda batch: batch['mask'] == 0 where ones are padding."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)


def padded_positions(batch: Any, n_inputs: int) -> dict[str, str]:
    """Find what `masked_positions` does, and masks of shape (position, input) beside what has its steps first."""
    return masked_positions(batch, n_inputs) or masked_positions(_masks_turned(batch, n_inputs), n_inputs)


def _masks_turned(batch: Any, n_inputs: int) -> dict[str, Any]:
    """Masks of shape (position, input) beside what has its steps first, turned."""
    masks = {path.rsplit("/", 1)[-1]: one for path, one in arrays(batch) if one.ndim == 2 and one.shape[1] == n_inputs}
    return {
        name: one.T
        for name, one in masks.items()
        if "mask" in name.lower() and one.shape[0] != n_inputs and _has_shape(batch, tuple(one.shape))
    }


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
        if part.layout != torch.strided or tuple(part.shape[:2]) != positions.shape or _is_mask(part):
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


def _is_mask(part: torch.Tensor) -> bool:
    return part.ndim == 2 and bool(((part == 0) | (part == 1)).all())


def batch_mask(x: Any, key: str = MASK) -> Bool[np.ndarray, "input position"] | None:
    """Find the mask of a batch: which positions of each input hold data; None if the batch has no part of this name.

    The positions may begin anywhere: inputs are padded at their end, at their beginning, or within.

    Parameters
    ----------
    x
        The batch: a mapping, or a sequence or object that holds one.
    key
        Name of the mask, an array of truth values or of zeros and ones of shape (input, position).

    Raises
    ------
    InputsError
        If there are several masks of this name, or it holds something else.

    Examples
    --------
    >>> batch_mask({"attention_mask": torch.tensor([[1, 1, 0], [0, 1, 1]])})
    array([[ True,  True, False],
           [False,  True,  True]])
    """
    found = [array for path, array in arrays(x) if path.rsplit("/", 1)[-1] == key]
    if not found:
        return None
    mask = found[0].detach().cpu() if isinstance(found[0], torch.Tensor) else torch.as_tensor(found[0])
    if len(found) > 1 or mask.ndim != 2 or not bool(((mask == 0) | (mask == 1)).all()):
        raise InputsError(
            f"{key!r} is found {len(found)} times in a batch, of shape {tuple(mask.shape)} and type {str(mask.dtype)[6:]}.",
            "It is unclear which positions of each input hold data.",
            f"Give one {key!r} of zeros and ones of shape (input, position), or Steps(..., lengths=function).",
        )
    return (mask == 1).numpy()


def masked_positions(x: Any, n_inputs: int) -> dict[str, str]:
    """Find what in a batch says at which positions there is padding, each with a description.

    These are an ``attention_mask`` with zeros, of any shape; other masks of shape (input, position), axes of one entry apart, whose zeros or ones are all at one end of each
    input and not equally many; and whole numbers whose name holds "len", not all of which are the number of positions.

    Examples
    --------
    >>> masked_positions({"x": torch.zeros(2, 3), "padding_mask": torch.tensor([[0, 0, 1], [0, 1, 1]]), "lengths": torch.tensor([2, 1])}, 2)
    {'padding_mask': 'is 1 at 3 of 6 positions', 'lengths': 'counts 3 of 6 positions'}
    >>> masked_positions({"x": torch.zeros(2, 3), "mask": torch.tensor([[0, 1, 1], [1, 0, 1]])}, 2)
    {}
    """
    found = {}
    every = [(path.rsplit("/", 1)[-1], array) for path, array in arrays(x)]
    n_positions = {array.shape[1] for _, array in every if array.ndim > 1 and array.shape[0] == n_inputs}
    for name, array in every:
        if array.ndim and array.shape[0] == n_inputs and (said := _padding(name, array, n_positions)):
            found[name] = said
    return found


def _padding(name: str, array: Any, n_positions: Collection[int]) -> str | None:
    if isinstance(array, np.ndarray):
        if array.dtype.kind not in "biuf":
            return None
        array = torch.as_tensor(array)
    array = array.detach().cpu()
    if not array.numel() or array.layout != torch.strided:
        return None
    if array.ndim == 1 and "len" in name.lower() and not array.is_floating_point() and array.dtype != torch.bool:
        fitting = [n for n in n_positions if n >= int(array.max())]
        total = int(array.sum())
        is_padded = bool(fitting) and int(array.min()) > 0 and total < min(fitting) * len(array)
        return f"counts {total} of {min(fitting) * len(array)} positions" if is_padded else None
    if "mask" not in name.lower():
        return None
    flat = array.reshape(*(size for axis, size in enumerate(array.shape) if not axis or size > 1))
    there = flat == flat.max()
    if flat.ndim == 1 or bool(there.all()):
        return None
    n_zeros = int((~there).sum())
    zeros = (
        f"is 0 at {n_zeros} of {flat.numel()} positions"
        if float(flat.max())
        else f"is below 0 at {n_zeros} of {flat.numel()} positions"
    )
    if name == MASK:
        return zeros
    if flat.ndim != 2 or not bool(((flat == 0) | (flat == 1)).all()):
        return None
    ones = f"is 1 at {int(there.sum())} of {flat.numel()} positions"
    # A mask of padding has ones there, any other mask has zeros, where values would allow both.
    either = [(~there, zeros), (there, ones)]
    for padded, said in reversed(either) if "pad" in name.lower() else either:
        if _is_at_one_end(padded) and len(padded.sum(1).unique()) > 1:
            return said
    return None


def _is_at_one_end(padded: torch.Tensor) -> bool:
    """Whether the truth values of all inputs are at their end, or at their beginning, and no input is all padding."""
    at_end = bool((padded.long().diff(dim=1) >= 0).all())
    at_beginning = bool((padded.long().diff(dim=1) <= 0).all())
    return (at_end or at_beginning) and not bool(padded.all(1).any())
