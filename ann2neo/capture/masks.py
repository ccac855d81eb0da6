"""Masks in a batch, which say at which positions of each input there is data, or padding."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool

from ann2neo.errors import InputsError
from ann2neo.probe.nested import arrays

MASK = "attention_mask"
# What names of masks hold, and of those whose ones are padding, as torch's key_padding_mask has them; "padding_mask" alone is used for either.
WORDS = ("mask", "pad", "valid", "attn")
PADS = ("pad", "pads", "padded", "padding", "is_pad", "is_padded", "is_padding", "key_padding_mask")


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


def positions_of_mask(
    batch: Any, key: str, n_inputs: int, axis: int | None, known: dict[str, bool]
) -> Bool[np.ndarray, "input position"]:
    """Read which positions of each input hold data from the mask of this name.

    Ones are data. In masks whose name holds "pad" they may be padding: the numbers at these positions tell, which are all the same, or an input that would have no data
    otherwise, or a name such as ``is_pad`` or ``key_padding_mask``. What the first batches tell holds for later ones.

    Parameters
    ----------
    batch, key, n_inputs, axis
        The batch, the name of the mask, the number of inputs, and along which axis of the batch they lie; None if that is not known.
    known
        Whether ones are padding, by name, as batches before told; this one is added.

    Raises
    ------
    InputsError
        If there is no such mask, an input has no data, or nothing tells whether ones are data or padding.

    Examples
    --------
    >>> batch = {"x": torch.tensor([[5, 6, 7], [5, 6, 0]]), "is_pad": torch.tensor([[0, 0, 0], [0, 0, 1]])}
    >>> positions_of_mask(batch, "is_pad", 2, 0, {}).sum(axis=1)
    array([3, 2])
    """
    mask = batch_mask(batch, key)
    raw = mask
    if mask is not None and mask.shape[1] == n_inputs:
        mask = _inputs_first(batch, key, mask, axis)
    if raw is not None and mask is not None and "pad" in key.lower() and _are_padding(batch, key, raw, mask, known):
        mask = ~mask
    if mask is None or len(mask) != n_inputs or not mask.any(axis=1).all():
        found = (
            "there is none in a batch"
            if mask is None
            else f"it has shape {mask.shape} for {n_inputs} inputs, {int((~mask.any(axis=1)).sum())} of them without data"
        )
        raise InputsError(
            f"lengths={key!r} names a mask, but {found}.",
            "It is unclear how many bins each input has.",
            "Give batches that are mappings with that key, of shape (input, position) or, where steps come first, (position, input); or Steps(..., lengths=function).",
        )
    return mask


def _are_padding(
    batch: Any,
    key: str,
    raw: Bool[np.ndarray, "row column"],
    mask: Bool[np.ndarray, "input position"],
    known: dict[str, bool],
) -> bool:
    """Whether ones of a mask are padding.

    Raises
    ------
    InputsError
        If nothing tells, or one thing tells the opposite of another.
    """
    ones = torch.as_tensor(raw)
    name = key.lower()
    is_pads, seen = name in PADS or name.endswith("key_padding_mask"), _look_padded(batch, ones)
    said = {
        "its name": True if is_pads and seen is None else None,
        "batches before": known.get(key),
        "what the batch holds there": seen,
        "inputs without ones": True if not mask.any(axis=1).all() else None,
        "inputs without zeros": False if mask.all(axis=1).any() else None,
    }
    told = {why: one for why, one in said.items() if one is not None}
    if len(set(told.values())) != 1:
        what = (
            "nothing in the batch tells"
            if not told
            else "; ".join(
                f"{why} {'say' if why.endswith('s') else 'says'} {'padding' if one else 'data'}"
                for why, one in told.items()
            )
        )
        raise InputsError(
            f"ones of the mask {key!r} may be data or padding: {what}.",
            "The positions that are recorded would be all that are not data.",
            f"Say it with a function: lengths=lambda batch: batch[{key!r}] == 0 if ones are padding, batch[{key!r}] == 1 if they are data.",
        )
    known[key] = next(iter(told.values()))
    return known[key]


def _look_padded(batch: Any, ones: torch.Tensor) -> bool | None:
    """Whether positions where a mask has ones all hold the same, and others do not, or the other way round; None if neither, or parts of the batch differ."""
    found = set()
    for _, one in arrays(batch):
        part = torch.as_tensor(one).detach().cpu() if _is_numeric(one) else None
        if part is None or part.layout != torch.strided or tuple(part.shape[:2]) != tuple(ones.shape) or is_mask(part):
            continue
        here, there = part[ones], part[~ones]
        alike = [len(some) > 1 and bool((some == some[:1]).all()) for some in (here, there)]
        if alike[0] != alike[1] and len(here) and len(there):
            found.add(alike[0])
    return found.pop() if len(found) == 1 else None


def _is_numeric(one: torch.Tensor | np.ndarray) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype.kind in "biuf"
    return not one.is_nested and not one.is_quantized


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
        return mask.T if has_shape(batch, mask.shape) else mask
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


def has_shape(batch: Any, shape: tuple[int, ...]) -> bool:
    """Whether a batch holds something with these first two axes beside masks."""
    return any(tuple(one.shape[:2]) == shape and not _is_named(path.rsplit("/", 1)[-1]) for path, one in arrays(batch))


def padded_positions(batch: Any, n_inputs: int) -> dict[str, str]:
    """Find what `masked_positions` does, and masks of shape (position, input) beside what has its steps first."""
    return masked_positions(batch, n_inputs) or masked_positions(_masks_turned(batch, n_inputs), n_inputs)


def how_to_leave_out(batch: Any, found: Mapping[str, str]) -> str:
    """Write the argument that leaves out what was found to be padding, where the batch has it at hand."""
    name, said = next(iter(found.items()))
    at_hand = isinstance(batch, Mapping) and name in batch
    shape = tuple(batch[name].shape) if at_hand else ()
    if said.startswith("counts"):
        return f"lengths=lambda batch: batch[{name!r}]" if at_hand else "lengths=function"
    if len(shape) == 2 and (said.startswith("is 0") or _reads_padding(name)):
        return f"lengths={name!r}"
    if len(shape) == 2 and said.startswith("is 1"):
        return f"lengths=lambda batch: batch[{name!r}] == 0"
    return f"lengths={MASK!r}"


def _reads_padding(name: str) -> bool:
    return "pad" in name.lower()


def _masks_turned(batch: Any, n_inputs: int) -> dict[str, Any]:
    """Masks of shape (position, input) beside what has its steps first, turned, and that beside them."""
    every = {path.rsplit("/", 1)[-1]: one for path, one in arrays(batch) if one.ndim > 1 and one.shape[1] == n_inputs}
    masks = {
        name
        for name, one in every.items()
        if _is_named(name) and one.ndim == 2 and one.shape[0] != n_inputs and has_shape(batch, tuple(one.shape))
    }
    return {name: one.swapaxes(0, 1) for name, one in every.items() if masks and (name in masks or not _is_named(name))}


def masked_positions(x: Any, n_inputs: int, words: Collection[str] = WORDS) -> dict[str, str]:
    """Find what in a batch says at which positions there is padding, each with a description.

    These are an ``attention_mask`` with zeros, of any shape; other masks of shape (input, position), axes of one entry apart, whose zeros or ones are all at one end of each
    input and not equally many; and whole numbers whose name holds "len", not all of which are the number of positions. Zeros and ones of that shape are masks where their name
    holds one of these words, or where all positions at that end hold the same in other parts of the batch, and others do not.

    Examples
    --------
    >>> masked_positions({"x": torch.zeros(2, 3), "padding_mask": torch.tensor([[0, 0, 1], [0, 1, 1]]), "lengths": torch.tensor([2, 1])}, 2)
    {'padding_mask': 'is 1 at 3 of 6 positions', 'lengths': 'counts 3 of 6 positions'}
    >>> masked_positions({"x": torch.zeros(2, 3), "mask": torch.tensor([[0, 1, 1], [1, 0, 1]])}, 2)
    {}
    >>> masked_positions({"x": torch.tensor([[5, 6, 0], [5, 0, 0]]), "frames": torch.tensor([[1, 1, 0], [1, 0, 0]])}, 2)
    {'frames': 'is 0 at 3 of 6 positions'}
    """
    found = {}
    every = [(path.rsplit("/", 1)[-1], array) for path, array in arrays(x)]
    n_positions = {array.shape[1] for _, array in every if array.ndim > 1 and array.shape[0] == n_inputs}
    for name, array in every:
        if not array.ndim or array.shape[0] != n_inputs or not _is_numeric(array):
            continue
        values = torch.as_tensor(array).detach().cpu()
        if values.numel() and values.layout == torch.strided:
            is_named = _is_named(name, words)
            said = _counted(name, values, n_positions) or _masked(name, values, x, is_named=is_named)
            found |= {name: said} if said else {}
    return found


def _is_named(name: str, words: Collection[str] = WORDS) -> bool:
    return any(word in name.lower() for word in words) or ("attn" in words and name.lower() == "att")


def _counted(name: str, numbers: torch.Tensor, n_positions: Collection[int]) -> str | None:
    """Describe numbers of positions that are not all of them."""
    if numbers.ndim != 1 or "len" not in name.lower() or numbers.is_floating_point() or numbers.dtype == torch.bool:
        return None
    fitting = [n for n in n_positions if n >= int(numbers.max())]
    total = int(numbers.sum())
    is_padded = bool(fitting) and int(numbers.min()) > 0 and total < min(fitting) * len(numbers)
    return f"counts {total} of {min(fitting) * len(numbers)} positions" if is_padded else None


def _masked(name: str, values: torch.Tensor, x: Any, *, is_named: bool) -> str | None:
    """Describe a mask that has padding."""
    flat = values.reshape(*(size for axis, size in enumerate(values.shape) if not axis or size > 1))
    if (name == MASK or not is_named) and not (name == MASK or is_mask(flat)):
        return None
    there = flat == flat.max()
    if flat.ndim == 1 or bool(there.all()):
        return None
    n_zeros = int((~there).sum())
    is_zero = "is 0" if float(flat.max()) else "is below 0"
    zeros = f"{is_zero} at {n_zeros} of {flat.numel()} positions"
    if name == MASK:
        return zeros
    if not is_mask(flat):
        return None
    ones = f"is 1 at {int(there.sum())} of {flat.numel()} positions"
    # A mask of padding has ones there, any other mask has zeros, where values would allow both.
    either = [(~there, zeros), (there, ones)]
    seen = _look_padded(x, there)
    if seen is not None:
        either = [either[seen]]
    elif "pad" in name.lower() or "invalid" in name.lower():
        either = either[::-1]
    for padded, said in either if is_named or seen is not None else []:
        if _is_at_one_end(padded) and len(padded.sum(1).unique()) > 1:
            return said
    return None


def is_mask(part: torch.Tensor) -> bool:
    """Tell whether something has two axes, and zeros and ones only.

    Examples
    --------
    >>> is_mask(torch.eye(3)), is_mask(torch.ones(3)), is_mask(torch.full((2, 2), 0.5))
    (True, False, False)
    """
    return part.ndim == 2 and bool(((part == 0) | (part == 1)).all())


def _is_at_one_end(padded: torch.Tensor) -> bool:
    """Whether the truth values of all inputs are at their end, or at their beginning, and no input is all padding."""
    at_end = bool((padded.long().diff(dim=1) >= 0).all())
    at_beginning = bool((padded.long().diff(dim=1) <= 0).all())
    return (at_end or at_beginning) and not bool(padded.all(1).any())
