"""A sink that gathers statistics, from which thresholds are calibrated."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch

from ann2neo.bits import Held, Planes
from ann2neo.capture.spikes.sinks import Layers, ObservedLayer, bins_of_calls, recorded_values
from ann2neo.capture.steps import Positions, Steps
from ann2neo.capture.units import UnitChoice
from ann2neo.errors import Ann2NeoError
from ann2neo.probe.outputs import Watched
from ann2neo.thresholds import MAX_BYTES, MeanPlusSd, Quantile, statistic_for, thresholds_from

CalibratedRule = Quantile | MeanPlusSd
RuleOfLayer = Callable[[str], CalibratedRule | None]


class Statistics:
    """A sink that gathers statistics of every activation that it is shown, batch by batch.

    Parameters
    ----------
    rule_of
        Gives the rule to calibrate for a layer, or None for a layer that is just looked at.
    units, steps
        As for `ann2neo.record`.
    n_inputs
        Number of inputs, if it is known.
    max_bytes
        Memory for activations and counts.

    Attributes
    ----------
    layers
        What was seen of each layer.
    n_reached
        Number of inputs from which the statistics of each layer come.
    """

    def __init__(
        self,
        rule_of: RuleOfLayer = lambda _layer: None,
        *,
        units: UnitChoice,
        steps: Steps | None = None,
        n_inputs: int | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.book = Layers(units=units, steps=steps)
        self.n_reached: dict[str, int] = {}
        self._rule_of, self._units, self._steps = rule_of, units, steps
        self._n_inputs, self._max_bytes = n_inputs, max_bytes
        self._rules: dict[str, CalibratedRule] = {}
        self._statistics: dict[str, Any] = {}
        self._waiting: dict[str, np.ndarray] = {}
        self._widths: dict[str, int] = {}
        self._open: set[str] = set()
        self._n_in_batch = 0
        self._positions: Positions = None
        self._calls: dict[str, list[torch.Tensor]] = {}
        self._n_now: dict[str, int] = {}
        self._is_first_reading = True

    @property
    def layers(self) -> Mapping[str, ObservedLayer]:
        """What was seen of each layer."""
        return self.book.seen

    def begin_stream(self) -> None:
        """Nothing depends on which batches follow one another."""

    def begin(self, n_inputs: int, positions: Positions) -> None:
        """Begin a batch of this many inputs, which have these numbers of positions."""
        self._n_in_batch = n_inputs
        self._lengths, self._calls, self._n_now = positions, {}, {}

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Gather an activation before a later in-place module can change it."""
        self.book.look(layer, activation, lambda: self._take(layer, watched, activation), heeds=self._is_gathered)

    def take_again(self, layer: str, output: Any) -> bool:
        """Return False: there is no short way."""
        return False

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Keep what is wrong with a layer; see `Layers.refuse`."""
        self.book.refuse(layer, error)

    def drop(self, layers: Collection[str]) -> None:
        """Forget layers that are not recorded."""
        self.book.drop(layers)
        self._open -= set(layers)
        for kept in (self._statistics, self._waiting, self._widths, self._calls, self._rules, self._n_now):
            for layer in layers:
                kept.pop(layer, None)

    def restart(self) -> None:
        """Forget all layers: the first batch is shown once more, in another arrangement."""
        self.drop(list(self.layers))
        self.book = Layers(units=self._units, steps=self._steps)

    def _is_gathered(self, layer: str) -> bool:
        """Whether anything is gathered of a layer, or it was not seen before."""
        return layer in self._open or layer not in self.layers

    def _take(self, name: str, watched: Watched, output: torch.Tensor) -> None:
        layer = self.layers.get(name)
        if layer is None:
            layer = self._first_sight(name, watched, output)
        if name not in self._open:
            return
        self._n_now[name] = len(output)
        values = recorded_values(layer, output, self._steps, self._n_in_batch, self._lengths)
        if self._steps is not None and self._steps.axis == "calls":
            self._calls.setdefault(name, []).append(values.clone())
        else:
            self._add(name, values)

    def end(self) -> dict[str, Planes | Held]:
        """End the batch; there are no spikes yet."""
        # A late layer is just not calibrated: whether it may come late is a matter of the recording.
        self.book.raise_troubles()
        for name, calls in self._calls.items():
            self._add(name, bins_of_calls(self.layers[name], calls, self._n_in_batch, self._lengths))
        # Only now it is known how many units there are, and how much memory each of them gets.
        for name, values in self._waiting.items():
            self._statistics[name] = self._begin(name)
            self._statistics[name].add(values)
        self._waiting = {}
        if self._is_first_reading:
            self.n_reached |= {name: self.n_reached.get(name, 0) + n for name, n in self._n_now.items()}
        return {}

    def end_reading(self) -> bool:
        """Note that all inputs were read; return whether no other reading is needed."""
        self._is_first_reading = False
        self._open = {name for name in self._open if not self._statistics[name].end_reading()}
        return not self._open

    def thresholds(self) -> dict[str, np.ndarray]:
        """Return the thresholds of the recorded units by layer, each of shape (unit,)."""
        found = {}
        for name, statistic in self._statistics.items():
            values = thresholds_from(self._rules[name], statistic)
            found[name] = np.broadcast_to(values, self.layers[name].units.shape).copy()
        return found

    def shapes(self) -> dict[str, tuple[int, ...] | None]:
        """Return the shape in which each layer has to be recorded; None where one threshold holds for all units of any."""
        return {
            name: shape_of_thresholds(self._rules[name], self.layers[name].shape, self.layers[name].units.size)
            for name in self._statistics
        }

    def _first_sight(self, name: str, watched: Watched, output: torch.Tensor) -> ObservedLayer:
        layer = self.book.keep(self.book.meet(name, watched, output))
        rule = self._rule_of(name)
        if rule is not None:
            self._rules[name] = rule
            self._open.add(name)
        return layer

    def _add(self, name: str, values: torch.Tensor) -> None:
        # NumPy has no bfloat16, whose numbers are all numbers of float32.
        wide = values.detach().to(torch.float32) if values.dtype == torch.bfloat16 else values.detach()
        array = wide.cpu().numpy()
        array = array.reshape(-1, 1) if self._rules[name].per == "layer" else array
        if name in self._statistics:
            self._statistics[name].add(array)
        else:
            self._waiting[name], self._widths[name] = array.copy(), values.shape[1] * max(array.itemsize, 4)

    def _begin(self, name: str) -> Any:
        """Make the statistic of a layer, which gets memory in proportion to its units."""
        rule = self._rules[name]
        share = self._max_bytes * self._widths[name] // sum(self._widths.values())
        if self._n_inputs is None or self._steps is not None:
            return statistic_for(rule, max_bytes=share)
        n_each = self.layers[name].units.size if rule.per == "layer" else 1
        return statistic_for(rule, max_bytes=share, n_expected=self._n_inputs * n_each)


def shape_of_thresholds(rule: CalibratedRule, shape: tuple[int, ...], n_units: int) -> tuple[int, ...] | None:
    """Return the shape of a layer that calibrated thresholds of this number of its units belong to; None where one threshold comes from all units, so that it holds for any shape.

    Examples
    --------
    >>> rule = Quantile(0.9, on=np.zeros((5, 3)), per="layer")
    >>> shape_of_thresholds(rule, (2, 3), 6), shape_of_thresholds(rule, (2, 3), 5)
    (None, (2, 3))
    """
    return None if rule.per == "layer" and n_units == math.prod(shape) else shape
