"""Steps: inputs that last several bins, such as sequences of tokens, frames or recurrent states."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int

from ann2neo.arguments import shown
from ann2neo.capture.inputs.masks import MASK, batch_mask, masked_positions
from ann2neo.errors import ActivationError, Ann2NeoWarning, InputsError
from ann2neo.probe.layers import pattern_of
from ann2neo.probe.nested import arrays

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
        and transformer modules of torch without ``batch_first``, are turned into (batch, position, unit) before the axis is counted.
    lengths
        Which positions count; None for all. The name of a mask in the batch, ``"attention_mask"``, whose ones say which they are, wherever the padding is; an array of
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


def positions_of_batch(steps: Steps, batch: Any, first: int, n_inputs: int) -> Positions:
    """Find the positions of each input of a batch that count: how many they are from the first one on, or which they are; None if all do.

    Raises
    ------
    InputsError
        If there is not one positive length for each input, or not the mask that was named.
    """
    if steps.lengths is None:
        return None
    if isinstance(steps.lengths, str):
        return _masked(batch, steps.lengths, n_inputs)
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


def _masked(batch: Any, key: str, n_inputs: int) -> Bool[np.ndarray, "input position"]:
    mask = batch_mask(batch, key)
    if mask is None or len(mask) != n_inputs or not mask.any(axis=1).all():
        found = (
            "there is none in a batch"
            if mask is None
            else f"it has shape {mask.shape} for {n_inputs} inputs, {int((~mask.any(axis=1)).sum())} of them without a one"
        )
        raise InputsError(
            f"lengths={key!r} names a mask, but {found}.",
            "It is unclear how many bins each input has.",
            "Give batches that are mappings with that key, of shape (input, position), or Steps(..., lengths=function).",
        )
    return mask


def warn_of_unused_mask(steps: Steps, batch: Any, n_inputs: int, positions: Positions) -> None:
    """Warn if a batch says where its padding is, and nothing says that it is to be left out; or if what is left out is elsewhere."""
    if steps.lengths is not None:
        _warn_of_other_positions(steps, batch, n_inputs, positions)
        return
    found = masked_positions(batch, n_inputs)
    if found:
        listed = ", ".join(f"{name!r} {said}" for name, said in found.items())
        text = (
            f"positions of the first batch look like padding, and are recorded as bins all the same: {listed}.\n"
            "What a network gives for padding is counted as data.\n"
            f"Leave it out with Steps({steps.axis!r}, lengths={MASK!r}), by the name of a mask of ones and zeros; or with a function that gives the number of positions of each input, "
            "or truth values of shape (input, position): lengths=lambda batch: batch['mask'] == 0 where ones are padding."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)


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


def positions_as_bins(
    name: str,
    output: torch.Tensor,
    axis: int,
    positions: Positions,
) -> torch.Tensor:
    """Put the positions of each input that count one after another along the first axis: (bin, ...).

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
    if positions is None:
        return by_position.flatten(0, 1)
    if positions.ndim == 2:
        return by_position[_there(_as_long(name, positions, by_position), by_position.device)]
    lengths = positions
    if lengths.max() > by_position.shape[1]:
        raise ActivationError(
            f"layer {name!r} has {by_position.shape[1]} positions, but an input has {lengths.max()}.",
            "Its bins are not those of the inputs.",
            "Give the lengths after pooling or striding, or leave the layer out (layers=...).",
        )
    inside = torch.arange(by_position.shape[1]) < torch.as_tensor(lengths)[:, None]
    return by_position[_there(inside, by_position.device)]


def _there(inside: torch.Tensor, device: torch.device) -> torch.Tensor | tuple[torch.Tensor, ...]:
    """Bring truth values, or their places, to a device: of truth values on a card it must be asked how many are true, which would wait for the model."""
    if device.type != "cuda":
        return inside.to(device)
    return tuple(places.pin_memory().to(device, non_blocking=True) for places in inside.nonzero(as_tuple=True))


def _as_long(name: str, mask: Bool[np.ndarray, "input position"], output: torch.Tensor) -> torch.Tensor:
    """Put a mask where the output is, and refuse one that is not as long."""
    if mask.shape != tuple(output.shape[:2]):
        raise ActivationError(
            f"layer {name!r} has {output.shape[1]} positions, but the mask of the batch has {mask.shape[1]}.",
            "Its bins are not those of the inputs.",
            "Give the lengths after pooling or striding (Steps(..., lengths=function)), or leave the layer out (layers='!name').",
        )
    return torch.as_tensor(mask)


def calls_as_bins(
    name: str,
    calls: Sequence[torch.Tensor],
    lengths: Positions,
) -> torch.Tensor:
    """Put what a module gave call by call, each (input, ...), one after another for each input: (bin, ...).

    Raises
    ------
    ActivationError
        If the calls were for different numbers of inputs.

    Examples
    --------
    >>> calls_as_bins("cell", [torch.tensor([1, 2]), torch.tensor([3, 4])], None)
    tensor([1, 3, 2, 4])
    """
    sizes = [len(call) for call in calls]
    if len(set(sizes)) > 1:
        shown = ", ".join(map(str, sizes[:10])) + (", ..." if len(sizes) > 10 else "")
        raise ActivationError(
            f"layer {name!r} was called for different numbers of inputs in one batch, call by call: {shown}.",
            "It is unclear which input each of its activations belongs to.",
            "Call it for all inputs of the batch at every step and say how long each is (Steps('calls', lengths=...)), or give batches of one input "
            "(batch_size=1).",
        )
    return positions_as_bins(name, torch.stack(list(calls), dim=1), 1, lengths)


def check_unit_axes(names: Sequence[str], steps: Steps | None) -> None:
    """Refuse layers whose activation has only one axis after the inputs, if that is to be the one of the steps.

    Raises
    ------
    ActivationError
        If there are such layers.

    Examples
    --------
    >>> check_unit_axes(["cell"], Steps(1))
    Traceback (most recent call last):
        ...
    ann2neo.errors.ActivationError: with Steps(1) the only axis after the inputs is that of the steps in these layers: 'cell'.
    If their units lie along it, as in a cell's state (batch, unit), each would be taken for a step.
    Use Steps('calls') for cells that are called step by step; give one unit per step an axis of its own (output.unsqueeze(-1)); or leave them out (layers=...).
    """
    if names and steps is not None and steps.axis != "calls":
        raise ActivationError(
            f"with Steps({steps.axis}) the only axis after the inputs is that of the steps in these layers: {', '.join(map(repr, names[:10]))}"
            f"{', ...' if len(names) > 10 else ''}.",
            "If their units lie along it, as in a cell's state (batch, unit), each would be taken for a step.",
            "Use Steps('calls') for cells that are called step by step; give one unit per step an axis of its own (output.unsqueeze(-1)); "
            "or leave them out (layers=...).",
        )


def unusual_positions(positions: Mapping[str, int]) -> dict[str, str]:
    """Describe layers whose number of positions differs from most others'.

    Examples
    --------
    >>> unusual_positions({"a": 9, "b": 9, "pooler": 32})
    {'pooler': 'it has 32 entries along the axis of steps, most layers have 9'}
    """
    if len(set(positions.values())) < 2:
        return {}
    usual = Counter(positions.values()).most_common(1)[0][0]
    return {
        name: f"it has {n} entries along the axis of steps, most layers have {usual}"
        for name, n in positions.items()
        if n != usual
    }


def check_positions(positions: Mapping[str, int]) -> None:
    """Refuse layers that have not as many positions as most, such as what comes after a pooler, whose units would be taken for positions.

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
