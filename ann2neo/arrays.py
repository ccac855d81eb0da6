"""Spikes from other sources: a spiking network, a simulator, a boolean array."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from numbers import Integral
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from ann2neo.arguments import shown
from ann2neo.errors import InputsError
from ann2neo.pseudotime import milliseconds
from ann2neo.raster import Raster
from ann2neo.recording import SCHEMA, Layer, Recording, make_trials, order_sha256
from ann2neo.versions import software


def from_array(
    spikes: Any,
    *,
    trial_axis: Literal[0, 1] | None = None,
    labels: Any = None,
    layer: str = "array",
    shape: tuple[int, ...] | None = None,
    bin_size_ms: Any = 1.0,
    provenance: Mapping[str, str | int | float | bool] | None = None,
) -> Recording:
    """Make a recording from spikes of another source.

    A trial is one bin, or with ``trial_axis`` one bin per step. Spiking networks in snnTorch, Norse and SpikingJelly return (step, trial, unit):
    stack the spikes of all steps along the first axis and use ``trial_axis=1``.

    Parameters
    ----------
    spikes
        Whether each unit spiked in each bin: shape (bin, unit); with ``trial_axis=1`` (step, trial, unit) and with ``trial_axis=0`` (trial, step, unit). Units may lie along
        several axes, such as channel, row, col. An array or a torch tensor; numbers must be 0 or 1.
    trial_axis
        Axis along which trials lie, 0 or 1, where each has several bins; None where each bin is a trial.
    labels
        True class of each trial, integers, shape (trial,); or, with ``trial_axis``, of each step of each trial, shape (trial, step), which makes a table of bins. Negative values are
        unknown.
    layer
        Name of the population.
    shape
        Shape of the layout of units, for instance (channel, row, col); its product is the number of units. None: as in the array.
    bin_size_ms
        Size of a bin in milliseconds; a quantity of time is converted.
    provenance
        Facts about the source.

    Raises
    ------
    InputsError
        If there are no bins or no units, a number is neither 0 nor 1, an axis is missing or neither 0 nor 1, or labels and trials differ in number.

    See Also
    --------
    ann2neo.record, ann2neo.from_block, ann2neo.Recording

    Examples
    --------
    >>> import numpy as np
    >>> from_array(np.eye(3, dtype=bool), labels=[0, 1, 1])
    Recording(3 units in 1 layer, 3 bins of 1.0 ms, 3 trials in presented order)
    >>> from_array(np.ones((25, 4, 10)), trial_axis=1, labels=[0, 1, 0, 1])
    Recording(10 units in 1 layer, 100 bins of 1.0 ms, 4 trials in presented order)
    >>> from_array(np.ones((3, 2, 10)), trial_axis=1, labels=[[7, 7, 8], [8, 7, 7]]).bins["label"].tolist()
    [7, 7, 8, 8, 7, 7]
    """
    by_trial = _trials_first(_as_bool(spikes), trial_axis)
    n_trials, n_steps = by_trial.shape[:2]
    shape = by_trial.shape[2:] if shape is None else _layout(shape, by_trial.shape[2:])
    known = None if labels is None else _integers(labels)
    if known is not None and (known.ndim == 0 or len(known) != n_trials):
        noun = "bins" if trial_axis is None else "trials"
        raise InputsError(
            f"there are {len(known) if known.ndim else 'no'} labels for {n_trials} {noun}.",
            f"It is unclear which label belongs to which of the {noun}.",
            f"Use one label for each of the {noun}.",
        )
    _check_steps(known, n_steps, has_steps=trial_axis is not None)
    columns: dict[str, Any] = {} if known is None or known.ndim > 1 else {"label": known}
    ids = np.arange(n_trials)
    dense = by_trial.reshape(n_trials * n_steps, -1).T
    return Recording(
        layers=(
            Layer(
                name=layer,
                shape=shape,
                dtype="bool",
                units=np.arange(len(dense)),
                thresholds=np.zeros(len(dense)),
                raster=Raster.from_dense(np.ascontiguousarray(dense)),
            ),
        ),
        trials=make_trials(n_trials, lengths=np.full(n_trials, n_steps, np.int64), stimulus_id=ids, **columns),
        bin_size_ms=milliseconds(bin_size_ms),
        provenance={
            "schema": SCHEMA,
            "input_order": "presented",
            "input_order_sha256": order_sha256(ids),
            "software": software("numpy"),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **_facts(provenance),
        },
        bins=None if known is None or known.ndim == 1 else pd.DataFrame({"label": known.ravel()}),
    )


def _as_bool(spikes: Any) -> Bool[np.ndarray, " *axis"]:
    """Read an array, or a tensor of any library that has torch's methods, as truth values."""
    try:
        given = spikes.detach() if hasattr(spikes, "detach") else np.asarray(spikes)
    except ValueError as error:
        raise InputsError(
            "spikes are lists of several lengths.",
            "It is unclear which number belongs to which bin.",
            "Pass an array of (bin, unit); pad trials of several lengths, or record them one by one.",
        ) from error
    ones, zeros = given == 1, given == 0
    if hasattr(ones, "cpu"):
        ones, zeros = ones.cpu().numpy(), zeros.cpu().numpy()
    if not (ones | zeros).all():
        raise InputsError(
            f"{int((~(ones | zeros)).sum())} of {ones.size} numbers are neither 0 nor 1.",
            "It is unclear whether they are spikes.",
            "Compare them with a threshold first, for instance spikes > 0.",
        )
    return ones


def _check_steps(labels: Int[np.ndarray, ...] | None, n_steps: int, *, has_steps: bool) -> None:
    """Check that labels are one for each trial or one for each of its steps."""
    if labels is None or labels.ndim == 1 or (has_steps and labels.ndim == 2 and labels.shape[1] == n_steps):
        return
    steps = f"{n_steps} steps each" if has_steps else "one bin each"
    raise InputsError(
        f"labels have shape {labels.shape} for {len(labels)} trials of {steps}.",
        "It is unclear which label belongs to which bin.",
        "Use one integer for each trial, or, with trial_axis=, one for each step, shape (trial, step).",
    )


def _layout(shape: Any, units: tuple[int, ...]) -> tuple[int, ...]:
    """Check the layout of units, whose product must be their number."""
    sizes = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    whole = all(isinstance(size, Integral) and not isinstance(size, bool) and int(size) > 0 for size in sizes)
    if not whole or math.prod(sizes) != math.prod(units):
        raise InputsError(
            f"shape={shape!r} was given for {math.prod(units)} units.",
            "Units would not have defined places.",
            f"Use shape={units!r}, or (channel, row, col) whose product is {math.prod(units)}.",
        )
    return tuple(int(size) for size in sizes)


def _facts(provenance: Any) -> Mapping[str, Any]:
    if not isinstance(provenance, Mapping | None):
        raise InputsError(
            f"`provenance` must be a mapping, got {shown(provenance)}.",
            "The facts about the source would have no names.",
            'Use provenance={"simulator": "NEST"}, for instance.',
        )
    return provenance or {}


def _integers(labels: Any) -> Int[np.ndarray, ...]:
    given = labels.detach().cpu().numpy() if hasattr(labels, "detach") else np.asarray(labels)
    if not np.issubdtype(given.dtype, np.integer):
        raise InputsError(
            f"labels are of type {given.dtype}.",
            "Labels must be integers.",
            "Number the classes, for instance with numpy.unique(names, return_inverse=True)[1].",
        )
    return given.astype(np.int64)


def _trials_first(
    spikes: Bool[np.ndarray, " *axis"], trial_axis: Literal[0, 1] | None
) -> Bool[np.ndarray, "trial step *unit"]:
    if trial_axis is not None and (isinstance(trial_axis, bool) or trial_axis not in (0, 1)):
        raise InputsError(
            f"trial_axis={trial_axis!r} is neither 0 nor 1.",
            "Trials and steps lie along the first two axes, units along the others.",
            "Move the axis of trials there first, for instance with numpy.moveaxis(spikes, 2, 0), and use trial_axis=0.",
        )
    n_axes = 2 if trial_axis is None else 3
    if spikes.size == 0 or spikes.ndim < n_axes:
        raise InputsError(
            f"an array of shape {spikes.shape} holds no bins or no units.",
            "There is nothing to record.",
            "Use (bin, unit)." if trial_axis is None else "Use (step, trial, unit) or (trial, step, unit).",
        )
    if trial_axis is None:
        return spikes[:, None]
    return spikes if trial_axis == 0 else np.swapaxes(spikes, 0, 1)
