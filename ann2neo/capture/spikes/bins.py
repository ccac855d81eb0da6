"""Bins: positions of each input, or calls of a module, put one after another along the first axis; and layers whose positions are not those of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int

from ann2neo.capture.steps import Positions, Steps
from ann2neo.errors import ActivationError, InputsError
from ann2neo.recording import matches, per_input


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


def unusual_positions(positions: Mapping[str, int], n_steps: int | None = None) -> dict[str, str]:
    """Describe layers whose number of positions is not the one that layers should have if any has it, or else differs from most others'.

    Examples
    --------
    >>> unusual_positions({"a": 9, "b": 9, "pooler": 32})
    {'pooler': 'it has 32 entries along the axis of steps, most layers have 9'}
    >>> unusual_positions({"a": 9, "heads": 2, "more": 2}, 9)
    {'heads': 'it has 2 entries along the axis of steps, others have 9', 'more': 'it has 2 entries along the axis of steps, others have 9'}
    """
    if len(set(positions.values())) < 2:
        return {}
    counts = Counter(positions.values())
    usual = n_steps if n_steps is not None and n_steps in counts else counts.most_common(1)[0][0]
    who = "most layers" if counts[usual] == max(counts.values()) else "others"
    return {
        name: f"it has {n} entries along the axis of steps, {who} have {usual}"
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


def pattern_of(names: Sequence[str], others: Sequence[str]) -> str | list[str]:
    """Find a pattern, or as few as there are, that all of some layers fit and none of others; the names themselves if there is none.

    Examples
    --------
    >>> pattern_of(["bert.encoder.0", "bert.encoder.1"], ["bert.pooler"]), pattern_of(["a.0", "b.0"], ["c.0"]), pattern_of(["a", "b:1"], ["b"])
    ('bert.encoder.*', ['a.*', 'b.*'], ['a', 'b:1'])
    """
    parts = names[0].split(".")
    depths = [{".".join(name.split(".")[:depth]) + ".*" for name in names} for depth in range(1, len(parts))]
    for patterns in sorted(depths, key=len):
        if all(_fits(name, patterns) for name in names) and not any(_fits(other, patterns) for other in others):
            return next(iter(patterns)) if len(patterns) == 1 else sorted(patterns)
    return list(names)


def labels_of_steps(
    known: Mapping[str, Int[np.ndarray, "input step"]],
    positions: np.ndarray | None,
    lengths: Int[np.ndarray, " input"],
    n_steps: int | None,
) -> dict[str, np.ndarray]:
    """Keep the labels of those steps that are bins: for each input of a batch one array, shape (input,).

    Parameters
    ----------
    known
        Labels of all steps of a batch.
    positions
        Which steps count: how many from the first one on, or which of them, shape (input, step); None for all.
    lengths
        Number of bins of each input, shape (input,).
    n_steps
        Steps of the activations; None where it is not known.

    Raises
    ------
    InputsError
        If there are not as many labels as steps.

    Examples
    --------
    >>> labels_of_steps({"label": np.array([[4, 5], [6, 7]])}, np.array([2, 1]), np.array([2, 1]), 2)["label"].tolist()
    [array([4, 5]), array([6])]
    """
    found = {}
    for name, values in known.items():
        if len(values) != lengths.size or (n_steps is not None and values.shape[1] != n_steps):
            raise InputsError(
                f"{name!r} has shape {values.shape} for {lengths.size} inputs, whose activations have {n_steps} steps.",
                "It is unclear which label belongs to which step.",
                "Give one label for each step of the layers that are recorded, padded steps included; or one for each input.",
            )
        inside = (
            np.arange(values.shape[1]) < lengths[:, None] if positions is None or positions.ndim == 1 else positions
        )
        found[name] = per_input([row[kept] for row, kept in zip(values, inside)])
    return found


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(matches(name, pattern) for pattern in patterns)
