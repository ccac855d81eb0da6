"""plan: what would be recorded, from a run of the first batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import nn

from ann2neo.capture.inputs import Inputs, Presentation, as_inputs, open_source, read_batches
from ann2neo.capture.layers import check_all_ran
from ann2neo.capture.observer import ObservedLayer, first_sight
from ann2neo.capture.packing import Planes
from ann2neo.capture.populations import UnitChoice, check_patterns
from ann2neo.capture.quiet import evaluation_mode, original_module
from ann2neo.capture.running import Job, watching
from ann2neo.capture.steps import Steps, check_positions, check_unit_axes, lengths_of_batch
from ann2neo.capture.thresholding import value_at_zero
from ann2neo.errors import InputsError, ThresholdError
from ann2neo.thresholds import Rule, describe, rule_for


def plan(
    model: nn.Module,
    inputs: Any,
    *,
    layers: str | Sequence[str] | None = None,
    threshold: Rule = None,
    units: UnitChoice = None,
    steps: Steps | None = None,
) -> pd.DataFrame:
    """Say what `record` would record, from a run of the first batch.

    Returns one row per layer: its name, its kind, the shape of its activation, how many units would be recorded, the type of its activation, its
    threshold (a number, or what the rule says; missing where one has to be given), the number of bins over all inputs, and the bytes that its bits
    would take. Bins and bytes are missing where they are not known beforehand; with steps, all inputs are taken to have as many positions as those of the
    first batch, unless their lengths are listed.

    Parameters
    ----------
    model, inputs, layers, threshold, units, steps
        As for `record`. Thresholds are not calibrated. Inputs are read from the beginning, so that they must be readable a second time.

    Raises
    ------
    InputsError
        If the inputs are a generator: its first batch would be missing from the recording.
    LayerNotFound, LayerNeverRan, ActivationError, ModelError
        As for `record`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    >>> plan(model, torch.zeros(80, 1))[["layer", "kind", "shape", "units", "threshold", "bins", "bytes"]]
      layer  kind shape  units  threshold  bins  bytes
    0     1  ReLU  (2,)      2        0.0    80     20
    """
    module, wrapped = original_module(model), as_inputs(inputs)
    _refuse_iterator(wrapped)
    look = _Look(threshold, units=units, steps=steps)
    job = Job(module=module, inputs=wrapped, observer=look, layers=layers, steps=steps)
    with evaluation_mode(module):
        source = open_source(wrapped)
        with watching(job):
            batch = next(iter(read_batches(source, wrapped)))
            look.begin(batch.n_inputs, None if steps is None else lengths_of_batch(steps, batch.x, 0, batch.n_inputs))
            job.caller(batch.x)
    names = list(look.layers)
    check_all_ran(module, layers, names, job.watch.called)
    check_patterns("thresholds", threshold, names)
    check_patterns("units", units, names)
    check_positions(look.positions)
    check_unit_axes(look.without_units, steps)
    n_bins = _bins(source, steps, look.positions)
    n_bytes = None if n_bins is None else -(-n_bins // 8)
    return pd.DataFrame(
        [
            {
                "layer": layer.name,
                "kind": layer.kind,
                "shape": layer.shape,
                "units": layer.units.size,
                "dtype": layer.dtype,
                "threshold": look.thresholds[layer.name],
                "bins": n_bins,
                "bytes": None if n_bytes is None else layer.units.size * n_bytes,
            }
            for layer in look.layers.values()
        ]
    )


class _Look:
    """Learns from one batch what the layers are, without thresholds that would have to be calibrated."""

    def __init__(self, rule: Rule, *, units: UnitChoice, steps: Steps | None) -> None:
        self.layers: dict[str, ObservedLayer] = {}
        self.again: dict[str, Callable[[Any], bool]] = {}
        self.positions: dict[str, int] = {}
        self.thresholds: dict[str, float | str | None] = {}
        self.without_units: list[str] = []
        self._rule, self._units, self._steps = rule, units, steps

    def begin(self, n_inputs: int, lengths: Int[np.ndarray, " input"] | None) -> None:
        """Begin the batch."""
        self.layers, self.positions = {}, {}

    def __call__(self, name: str, module: nn.Module, output: torch.Tensor) -> None:
        """Look at a layer; where each call is a step, count them."""
        if name not in self.layers:
            self.layers[name] = first_sight(name, module, output, units=self._units, steps=self._steps)
            self.thresholds[name] = _threshold(name, module, output, self._rule)
            self.without_units += [name] if output.ndim == 2 else []
        if self._steps is not None:
            axis = self._steps.axis
            found = 1 + self.positions.get(name, 0) if axis == "calls" else _size(output, int(axis))
            self.positions[name] = found

    def end(self) -> dict[str, Planes]:
        """End the batch; there are no spikes."""
        return {}


def _size(output: torch.Tensor, axis: int) -> int:
    """Length of an axis, 0 if there is none."""
    return output.shape[axis] if axis < output.ndim else 0


def _threshold(name: str, module: nn.Module, output: torch.Tensor, rule: Rule) -> float | str | None:
    """Say what the threshold of a layer is, as far as that is known."""
    found = rule_for(name, rule)
    if found is None:
        try:
            return value_at_zero(name, module, output)
        except ThresholdError:
            return None
    return found if isinstance(found, float) else describe(found)


def _bins(source: Presentation, steps: Steps | None, positions: dict[str, int]) -> int | None:
    """Number of bins over all inputs, if it is known beforehand."""
    if steps is not None and steps.lengths is not None:
        return None if callable(steps.lengths) else int(np.sum(np.asarray(steps.lengths)))
    if source.n_inputs is None:
        return None
    return source.n_inputs * (1 if steps is None else max(positions.values(), default=1))


def _refuse_iterator(inputs: Inputs) -> None:
    if isinstance(inputs.data, Iterator):
        raise InputsError(
            f"the inputs are a {type(inputs.data).__name__}, which can be read only once.",
            "The plan would use up its first batch, and a recording would begin with the second.",
            "Give a function without arguments that returns a fresh generator, to plan and to record.",
        )
