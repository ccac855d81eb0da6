"""The spike trains of a layer's units, made one by one on access."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import neo
import numpy as np
import quantities as pq
from jaxtyping import Float, Int

from ann2neo.measures.quality import quality
from ann2neo.pseudotime import PseudoTime
from ann2neo.recording import AXES, Layer, Recording

CHUNK_BYTES = 1 << 19
KEPT_BYTES = 1 << 26
BYTES_PER_TRAIN = 3500


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerUnits:
    """The units of a layer: facts that their trains share in all Segments.

    Parameters
    ----------
    layer
        The layer and its spikes.
    first
        Number of units of the layers before this one.
    n_spikes, quality
        Number of spikes of each unit in the whole recording, and the quality that follows from it, shape (unit,).
    """

    layer: Layer
    first: int
    n_spikes: Int[np.ndarray, " unit"]
    quality: Sequence[str]

    def name(self, unit: int) -> str:
        """Return the name of a unit made of its layer and place, as in ``features.3[12,0,5]``."""
        return f"{self.layer.name}[{','.join(map(str, self._place(unit)))}]"

    def annotations(self, unit: int) -> dict[str, Any]:
        """Return the identity of a unit as flat annotations, which neo's files can store."""
        layer = self.layer
        return {
            "layer": layer.name,
            "source_population": layer.name,
            **dict(zip(AXES, self._place(unit))),
            "source_index": int(layer.units[unit]),
            "channel_id": self.first + unit,
            "threshold": float(layer.thresholds[unit]),
            "n_spikes": int(self.n_spikes[unit]),
            "quality": self.quality[unit],
        }

    def _place(self, unit: int) -> list[int]:
        rest, place = int(self.layer.units[unit]), []
        for size in reversed(self.layer.shape):
            rest, at = divmod(rest, size)
            place.append(at)
        return place[::-1]


def few_enough_to_keep(recording: Recording, n_segments: int) -> bool:
    """Return whether all trains together take little memory."""
    n_spikes = sum(int(layer.raster.n_spikes().sum()) for layer in recording.layers)
    return 8 * n_spikes + BYTES_PER_TRAIN * recording.n_units * n_segments <= KEPT_BYTES


def layer_units(recording: Recording) -> list[LayerUnits]:
    """Number the units of all layers."""
    found, first = [], 0
    for layer in recording.layers:
        n_spikes = layer.raster.n_spikes()
        kinds = quality(n_spikes, recording.n_bins).tolist()
        found.append(LayerUnits(layer=layer, first=first, n_spikes=n_spikes, quality=kinds))
        first += layer.n_units
    return found


class LastingAnnotations(dict[str, Any]):
    """Annotations of a train that persist after the train itself is discarded; a copy is a plain dict."""

    def __init__(self, known: dict[str, Any], added: dict[int, dict[str, Any]], unit: int) -> None:
        super().__init__(known | added.get(unit, {}))
        self._added, self._unit = added, unit

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._added.setdefault(self._unit, {})[key] = value

    def update(self, *others: Any, **named: Any) -> None:
        """Add annotations, as `annotate` does."""
        for key, value in dict(*others, **named).items():
            self[key] = value

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return deepcopy(dict(self), memo)


class UnitTrains:
    """The trains of all units of a layer in one Segment, made one by one on access.

    A small number of trains is kept, as in any list. Of a large number, trains without references are discarded: while a caller holds a train, the same object is returned
    again. Annotations of a train persist, but other changes, such as a new name, are lost with it.

    Parameters
    ----------
    units
        The units and their spikes.
    bins
        Bins of the recording in this Segment, in their order, shape (bin,).
    bin_size_ms
        Size of a bin in milliseconds.
    keep
        Whether to keep trains after they are made.
    """

    def __init__(self, units: LayerUnits, bins: Int[np.ndarray, " bin"], bin_size_ms: float, *, keep: bool) -> None:
        self.segment: neo.Segment | None = None
        self.keep = keep
        self._kept: list[neo.SpikeTrain] = []
        self._units, self._bins, self._raster = units, bins, units.layer.raster
        self._axis = PseudoTime(n_bins=bins.size, bin_size_ms=bin_size_ms)
        self._as_stored = bins.size == self._raster.total_bins and bool((np.diff(bins) == 1).all())
        self._pattern = _pattern(self._axis)
        self._made: WeakValueDictionary[int, neo.SpikeTrain] = WeakValueDictionary()
        self._added: dict[int, dict[str, Any]] = {}
        self._chunk: tuple[int, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return self._raster.n_units

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the state that can be recomputed."""
        return self.__dict__ | {"_made": None, "_kept": [], "_chunk": None, "_pattern": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._made, self._pattern = WeakValueDictionary(), _pattern(self._axis)

    def __deepcopy__(self, memo: dict[int, Any]) -> UnitTrains:
        """Copy the mutable state, and share the spikes, which are immutable."""
        copy = memo[id(self)] = UnitTrains(self._units, self._bins, self._axis.bin_size_ms, keep=self.keep)
        copy._added = deepcopy(self._added, memo)
        copy.segment = deepcopy(self.segment, memo)
        return copy

    def train(self, unit: int) -> neo.SpikeTrain:
        """Return the train of a unit."""
        made = self._made.get(unit)
        if made is None:
            made = self._made[unit] = self._make(unit)
            if self.keep:
                self._kept.append(made)
        return made

    def made(self) -> list[neo.SpikeTrain]:
        """List the trains that still have references."""
        return list(self._made.values())

    def times(self) -> tuple[Int[np.ndarray, " spike"], Float[np.ndarray, " spike"]]:
        """Return the unit, numbered over all layers, and the time in milliseconds of every spike, unit by unit."""
        units, times = [], []
        for chunk in self._raster.chunks():
            bins, offsets = self._spike_bins(chunk)
            numbers = np.arange(chunk.start, chunk.stop) + self._units.first
            units.append(np.repeat(numbers, np.diff(offsets)))
            times.append(self._axis.spike_times_ms(bins))
        return np.concatenate(units), np.concatenate(times)

    def _make(self, unit: int) -> neo.SpikeTrain:
        first, bins, offsets = self._chunk_of(unit)
        own = bins[offsets[unit - first] : offsets[unit - first + 1]]
        # neo's constructor takes ten times as long, all of it for checks that hold here by construction; a test compares the two.
        train = self._axis.spike_times_ms(own).view(neo.SpikeTrain)
        train.__dict__.update(self._pattern)
        train.array_annotations = type(self._pattern["array_annotations"])(own.size)
        train.name = self._units.name(unit)
        train.annotations = LastingAnnotations(self._units.annotations(unit), self._added, unit)
        train.segment = self.segment
        return train

    def _chunk_of(self, unit: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Read a chunk of neighbouring units, because trains are mostly accessed in order."""
        step = max(1, CHUNK_BYTES // max(self._raster.total_bins, 1))
        first = unit // step * step
        if self._chunk is None or self._chunk[0] != first:
            bins, offsets = self._spike_bins(slice(first, min(first + step, len(self))))
            self._chunk = first, bins, offsets
        return self._chunk

    def _spike_bins(self, units: slice) -> tuple[Int[np.ndarray, " spike"], Int[np.ndarray, " unit_plus_one"]]:
        if self._as_stored:
            return self._raster.spike_bins(units)
        dense = self._raster.dense(units)[:, self._bins]
        unit, bins = np.nonzero(dense)
        return bins, np.searchsorted(unit, np.arange(len(dense) + 1))


def _pattern(axis: PseudoTime) -> dict[str, Any]:
    """Return the attributes that all trains of a Segment share, as neo's constructor sets them."""
    train: Any = neo.SpikeTrain(
        pq.Quantity(np.zeros(0), pq.ms),
        t_start=pq.Quantity(0.0, pq.ms),
        t_stop=pq.Quantity(axis.duration_ms, pq.ms),
        units=pq.ms,
        sampling_rate=pq.Quantity(1000.0 / axis.bin_size_ms, "Hz"),
    )
    for shared in (train.t_start, train.t_stop, train.sampling_rate):
        # One object for all trains: an attempt to change it in place raises an error.
        shared.flags.writeable = False
    return dict(train.__dict__)
