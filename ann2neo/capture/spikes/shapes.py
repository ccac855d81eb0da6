"""A sink that learns what the layers are, for plans."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch

from ann2neo.bits import Held, Planes
from ann2neo.capture.model.probe import Watched
from ann2neo.capture.spikes.sinks import Layers, ObservedLayer
from ann2neo.capture.spikes.threshold import value_at_zero
from ann2neo.capture.steps import Positions, Steps, check_positions
from ann2neo.capture.units import UnitChoice
from ann2neo.errors import Ann2NeoError, ThresholdError
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
    def layers(self) -> dict[str, ObservedLayer]:
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
            self.layers[layer] = self.book.meet(layer, watched, activation)
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
    """Say what the threshold of a layer is, as far as that is known."""
    found = rule_for(name, rule)
    if found is None:
        try:
            return value_at_zero(name, watched, output)
        except ThresholdError:
            return None
    return found if isinstance(found, float) else describe(found)
