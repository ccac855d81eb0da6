"""A sink that thresholds and packs every activation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import torch

from ann2neo.bits import Held, Planes
from ann2neo.capture.spikes.bins import check_positions
from ann2neo.capture.spikes.sinks import (
    Layers,
    ObservedLayer,
    bins_of_calls,
    by_bin_of,
    recorded_values,
    refuse_infinite,
)
from ann2neo.capture.spikes.threshold import threshold_of
from ann2neo.capture.steps import Positions, Steps
from ann2neo.capture.units import UnitChoice
from ann2neo.device.column import DeviceColumn
from ann2neo.device.packer import DevicePacker
from ann2neo.device.rows import Part
from ann2neo.errors import ActivationError, Ann2NeoError
from ann2neo.packing import DevicePlanes, Packer, fetch, pack_truth
from ann2neo.probe.outputs import Watched
from ann2neo.thresholds import Rule

# On these devices bits are packed into the host's memory at once; on all others they stay for a while.
HOSTS = frozenset({"cpu"})


class Bits:
    """A sink that thresholds and packs every activation that it is shown, batch by batch.

    Parameters
    ----------
    threshold, units, steps
        As for `ann2neo.record`.
    calibrated
        Thresholds of the recorded units by layer, where the rule was calibrated, each of shape (unit,).
    shapes
        Shape of each of these layers then; None where one threshold holds for all units of any.

    Attributes
    ----------
    n_steps
        Steps of the last batch, padded ones included; None where inputs have none.
    """

    def __init__(
        self,
        *,
        threshold: Rule,
        units: UnitChoice,
        steps: Steps | None = None,
        calibrated: Mapping[str, np.ndarray] | None = None,
        shapes: Mapping[str, tuple[int, ...] | None] | None = None,
    ) -> None:
        self.book = Layers(units=units, steps=steps)
        self._packers: dict[str, Packer | DevicePacker] = {}
        self._ready: dict[str, Packer | DevicePacker] = {}
        self._columns: dict[torch.device, DeviceColumn] = {}
        self._threshold, self._units, self._steps = threshold, units, steps
        self._calibrated, self._calibrated_shapes = calibrated or {}, shapes or {}
        self._n_inputs = 0
        self._lengths: Positions = None
        self._planes: dict[str, Planes | DevicePlanes | Part] = {}
        self._calls: dict[str, list[torch.Tensor]] = {}
        self._positions: dict[str, int] = {}
        self.n_steps: int | None = None

    @property
    def layers(self) -> Mapping[str, ObservedLayer]:
        """What was seen of each layer."""
        return self.book.seen

    def begin_stream(self) -> None:
        """Begin batches that do not follow those before, whose bits leave their device."""
        for column in self._columns.values():
            column.begin_stream()

    def begin(self, n_inputs: int, positions: Positions) -> None:
        """Discard what was seen of an unfinished batch; the next one has this many inputs with these numbers of positions."""
        self._n_inputs = n_inputs
        self._lengths, self._planes, self._calls, self._positions = positions, {}, {}, {}
        for pack in self._packers.values():
            pack.forget()
        for column in self._columns.values():
            column.begin()

    def take(self, layer: str, watched: Watched, activation: torch.Tensor) -> None:
        """Threshold an activation before a later in-place module can change it."""
        self.book.look(layer, activation, lambda: self._take(layer, watched, activation))

    def take_again(self, layer: str, output: Any) -> bool:
        """Pack an output that is like the last one of this layer, or return False."""
        pack = self._ready.get(layer)
        return pack is not None and pack.again(output)

    def refuse(self, layer: str, error: Ann2NeoError) -> None:
        """Keep what is wrong with a layer; see `Layers.refuse`."""
        self.book.refuse(layer, error)

    def drop(self, layers: Collection[str]) -> None:
        """Forget layers that are not recorded."""
        self.book.drop(layers)
        for kept in (self._packers, self._ready, self._planes, self._calls, self._positions):
            for layer in layers:
                kept.pop(layer, None)
        for column in self._columns.values():
            column.drop(layers)

    def restart(self) -> None:
        """Forget all layers: the first batch is shown once more, in another arrangement."""
        self.book = Layers(units=self._units, steps=self._steps)
        self._packers, self._ready, self._planes, self._columns = {}, {}, {}, {}

    def close(self) -> None:
        """Release the memory of devices whose contents are not used any longer."""
        for column in self._columns.values():
            column.close()
        self._packers, self._ready, self._planes, self._columns = {}, {}, {}, {}

    def end(self) -> dict[str, Planes | Held]:
        """Return the spikes of the batch by layer."""
        is_first = not self.book.settled
        self.book.settle(rules={"thresholds": self._threshold, "units": self._units})
        if self._steps is not None:
            positions = self._positions or {name: len(calls) for name, calls in self._calls.items()}
            check_positions(positions)
            self.n_steps = next(iter(positions.values()), None)
        for name, calls in self._calls.items():
            self._planes[name] = pack_truth(bins_of_calls(self.layers[name], calls, self._n_inputs, self._lengths))
        # Only here: within the forward pass, each question to a device would make the model wait for it.
        for column in self._columns.values():
            column.end(wait=is_first)
        planes: dict[str, Planes | Held] = {}
        for name, there in self._planes.items():
            planes[name] = there if isinstance(there, Part) else self._fetched(name, there)
        for name, pack in self._packers.items():
            again = pack.take()
            if again is not None:
                planes[name] = again
        return planes

    def _fetched(self, name: str, there: Planes | DevicePlanes) -> Planes:
        fetched = fetch(there)
        if fetched.n_invalid:
            refuse_infinite(self.layers[name], fetched.n_invalid, self._lengths)
        return fetched

    def _take(self, name: str, watched: Watched, output: torch.Tensor) -> None:
        layer = self.layers.get(name)
        if layer is None:
            layer = self.book.keep(self._first_sight(name, watched, output))
        if self._steps is not None and self._steps.axis == "calls":
            values = recorded_values(layer, output, self._steps, self._n_inputs, self._lengths)
            self._calls.setdefault(name, []).append(values > layer.threshold)
        elif name in self._planes:
            raise ActivationError(
                f"layer {name!r} was called twice under one name.", "Its spikes would be mixed up.", "Report this."
            )
        else:
            try:
                by_bin = by_bin_of(layer, output, self._steps, self._n_inputs, self._lengths)
            except ActivationError as error:
                self.book.refuse(name, error)
                return
            self._planes[name] = self._packers[name](by_bin)
            if self._steps is None:
                self._ready[name] = self._packers[name]
            else:
                # Here the axis is a number; the case of "calls" came before.
                self._positions[name] = output.shape[int(self._steps.axis)]

    def _first_sight(self, name: str, watched: Watched, output: torch.Tensor) -> ObservedLayer:
        layer = self.book.meet(name, watched, output)
        threshold = threshold_of(
            name,
            watched,
            output,
            shape=layer.shape,
            units=layer.units,
            rule=self._threshold,
            calibrated=self._calibrated,
            calibrated_shapes=self._calibrated_shapes,
        )
        self._packers[name] = self._packer(name, threshold, layer)
        return replace(layer, threshold=threshold)

    def _packer(self, name: str, threshold: torch.Tensor, layer: ObservedLayer) -> Packer | DevicePacker:
        device = threshold.device
        if device.type in HOSTS:
            return Packer(threshold, layer.index)
        if device not in self._columns:
            self._columns[device] = DeviceColumn(device, self._refuse)
        units = None if layer.index is None else layer.units
        return DevicePacker(self._columns[device], name, threshold, units)

    def _refuse(self, name: str, n_invalid: int) -> NoReturn:
        refuse_infinite(self.layers[name], n_invalid, self._lengths)
