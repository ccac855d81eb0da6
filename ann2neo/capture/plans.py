"""plan: what would be recorded, from a run of the first batch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from ann2neo.bits import Held, Planes
from ann2neo.capture.inputs import Inputs, Presentation, as_inputs, open_source, read_batches
from ann2neo.capture.job import Job, check_kinds, job_of, watching
from ann2neo.capture.run import show_batch
from ann2neo.capture.spikes.bins import check_positions
from ann2neo.capture.spikes.sinks import Layers, ObservedLayer
from ann2neo.capture.spikes.threshold import value_at_zero
from ann2neo.capture.steps import Positions, Steps
from ann2neo.capture.units import UnitChoice
from ann2neo.device.failures import failures_told
from ann2neo.errors import Ann2NeoError, InputsError, ThresholdError, kind_of
from ann2neo.probe.modules import original_module
from ann2neo.probe.outputs import Watched
from ann2neo.probe.state import evaluation_mode, turn_of
from ann2neo.thresholds import Rule, describe, rule_for


class Shapes:
    """A sink that learns from one batch what the layers are, without thresholds that would have to be calibrated.

    Parameters
    ----------
    threshold, units, steps
        As for `ann2neo.record`.
    """

    def __init__(self, threshold: Rule, *, units: UnitChoice, steps: Steps | None) -> None:
        self.book = Layers(units=units, steps=steps)
        self.thresholds: dict[str, float | str | None] = {}
        self._rule, self._units, self._steps = threshold, units, steps

    @property
    def layers(self) -> Mapping[str, ObservedLayer]:
        """What was seen of each layer."""
        return self.book.seen

    @property
    def positions(self) -> Mapping[str, int]:
        """Number of positions of each layer, where each input is a sequence."""
        return self.book.positions

    def begin_stream(self) -> None:
        """Nothing depends on which batches follow one another."""

    def begin(self, n_inputs: int, positions: Positions) -> None:
        """Begin the batch."""

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Look at a layer."""
        self.book.look(layer, activation, lambda: self._take(layer, watched, activation))

    def _take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        if layer not in self.layers:
            self.book.keep(self.book.meet(layer, watched, activation))
            self.thresholds[layer] = _planned_threshold(layer, watched, activation, self._rule)

    def take_again(self, layer: str, output: Any) -> bool:
        """Return False: there is no short way."""
        return False

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Keep what is wrong with a layer; see `Layers.refuse`."""
        self.book.refuse(layer, error)

    def drop(self, layers: Collection[str]) -> None:
        """Forget layers that are not recorded."""
        self.book.drop(layers)

    def restart(self) -> None:
        """Forget all layers: the first batch is shown once more, in another arrangement."""
        self.book = Layers(units=self._units, steps=self._steps)

    def end(self) -> dict[str, Planes | Held]:
        """End the batch; there are no spikes."""
        self.book.settle(rules={"thresholds": self._rule, "units": self._units})
        check_positions(self.book.positions)
        return {}


def _planned_threshold(name: str, watched: Watched, output: torch.Tensor, rule: Rule) -> float | str | None:
    """Describe the threshold of a layer, as far as it is known."""
    found = rule_for(name, rule)
    if found is None:
        try:
            return value_at_zero(name, watched, output)
        except ThresholdError:
            return None
    return found if isinstance(found, float) else describe(found)


def plan(
    model: nn.Module,
    inputs: Any,
    *,
    layers: str | Sequence[str] | None = None,
    threshold: Rule = None,
    units: UnitChoice = None,
    steps: Steps | None = None,
    verify: bool = True,
) -> pd.DataFrame:
    """List what `record` would record, from a run of the first batch.

    What is left out is listed too, after the layers that are recorded.

    Returns one row per layer: its name, its kind, the shape of its activation, how many units would be recorded, the type of its activation, its
    threshold (a number, or what the rule says; missing where one has to be given), the number of bins over all inputs, and the bytes that its bits
    would take. Bins and bytes are missing where they are not known in advance; with steps, all inputs are taken to have as many positions as those of the
    first batch, unless their lengths are listed. ``not_recorded`` says why a layer is left out, and is missing for those that are recorded.

    Parameters
    ----------
    model, inputs, layers, threshold, units, steps, verify
        As for `record`. Thresholds are not calibrated. Inputs are read from the beginning, so that they must be readable a second time.

    Raises
    ------
    InputsError
        If the inputs are a generator: its first batch would be missing from the recording.
    LayerNotFound, LayerNeverRan, ActivationError, ModelError
        As for `record`.

    See Also
    --------
    ann2neo.record, ann2neo.Inputs, ann2neo.Steps

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    >>> plan(model, torch.zeros(80, 1))[["layer", "kind", "shape", "units", "threshold", "bins", "bytes"]]
      layer  kind shape  units  threshold  bins  bytes
    0     1  ReLU  (2,)      2        0.0    80     20
    """
    check_kinds({"layers": layers, "steps": steps, "verify": verify})
    module, wrapped = original_module(model), as_inputs(inputs)
    _refuse_iterator(wrapped)
    shapes = Shapes(threshold, units=units, steps=steps)
    job = job_of(module, wrapped, shapes, layers=layers, steps=steps, verify=verify)
    with turn_of(module), failures_told(), evaluation_mode(module):
        source = open_source(wrapped)
        with watching(job):
            show_batch(job, next(iter(read_batches(source, wrapped))), 0, is_first=True)
    n_bins = _bins(source, steps, shapes.positions)
    n_bytes = None if n_bins is None else -(-n_bins // 8)
    rows = [
        {
            "layer": layer.name,
            "kind": layer.kind,
            "shape": layer.shape,
            "units": layer.units.size,
            "dtype": layer.dtype,
            "threshold": shapes.thresholds[layer.name],
            "bins": n_bins,
            "bytes": None if n_bytes is None else layer.units.size * n_bytes,
            "not_recorded": None,
        }
        for layer in shapes.layers.values()
    ]
    empty = dict.fromkeys(rows[0]) if rows else {}
    left = [
        empty | {"layer": name, "kind": kind, "units": 0, "not_recorded": why} for name, kind, why in _not_recorded(job)
    ]
    return pd.DataFrame([*rows, *left])


def _not_recorded(job: Job) -> Iterator[tuple[str, str, str]]:
    """List layers that are left out, and modules that are not recorded unless they are named, each with its kind and the reason."""
    probe = job.probe
    for name, why in probe.left_out.items():
        module = probe.modules.get(name)
        yield name, "" if module is None else type(module).__name__, why
    if probe.selection.patterns is None:
        for name, why in probe.beside.items():
            if probe.selection.is_wanted(name):
                module = probe.modules.get(name)
                yield name, name.rpartition(".")[2] if module is None else type(module).__name__, why


def _bins(source: Presentation, steps: Steps | None, positions: Mapping[str, int]) -> int | None:
    """Number of bins over all inputs, if it is known in advance."""
    if steps is not None and steps.lengths is not None:
        return (
            None
            if callable(steps.lengths) or isinstance(steps.lengths, str)
            else int(np.sum(np.asarray(steps.lengths)))
        )
    if source.n_inputs is None:
        return None
    return source.n_inputs * (1 if steps is None else max(positions.values(), default=1))


def _refuse_iterator(inputs: Inputs) -> None:
    if isinstance(inputs.data, Iterator):
        raise InputsError(
            f"the inputs are {kind_of(inputs.data)}, which can be read only once.",
            "The plan would use up its first batch, and a recording would begin with the second.",
            "Give a function without arguments that returns a fresh generator, to plan and to record.",
        )
