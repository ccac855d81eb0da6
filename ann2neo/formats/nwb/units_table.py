"""The table of units: spike times, and what is known of each unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import VectorData, VectorIndex
from hdmf.data_utils import GenericDataChunkIterator
from jaxtyping import Int, Shaped
from pynwb.misc import Units

from ann2neo.formats.nwb.clock import MS_PER_S, edges_s
from ann2neo.outline import quality
from ann2neo.raster import CHUNK_BYTES
from ann2neo.recording import AXES, Layer, Recording

BUFFER_SPIKES = 1 << 22
CHUNK_SPIKES = 1 << 16

UNIT_COLUMNS = {
    "unit_name": "layer and place in its activation, as in features.3[12,0,5]",
    "_name": "the name attribute of the SpikeTrain, for neo",
    "segment": "the name of the Neo Segment to which the SpikeTrain belongs",
    "block": "the name of the Neo Block to which the SpikeTrain belongs",
    "layer": "layer: one call of an activation function in the network",
    "source_population": "population of the unit, which is its layer (the word of PyNN)",
    "node_id": "place of the unit in the flattened activation of its layer (the word of SONATA); source_index in neo",
    "channel": "first axis of the activation; -1 where there is none",
    "row": "second axis of the activation; -1 where there is none",
    "col": "third axis of the activation; -1 where there is none",
    "threshold": "value that the activation has to exceed for a spike",
    "n_spikes": "number of spikes",
    "quality": "silent, saturated (a spike in every bin), too_few (fewer than 10 spikes) or good",
}


def units_table(recording: Recording) -> Units:
    """Make the table of units; spike times are read from the bits when the table is written."""
    n_spikes = np.concatenate([layer.raster.n_spikes() for layer in recording.layers])
    ends = np.cumsum(n_spikes)
    duration = float(edges_s(recording)[-1])
    times = VectorData(name="spike_times", description="times of the spikes in seconds", data=_times(recording, ends))
    observed = VectorData(
        name="obs_intervals",
        description="the whole clock",
        data=np.tile([0.0, duration], (recording.n_units, 1)),
    )
    columns = _unit_columns(recording, n_spikes)
    described = [VectorData(name=name, description=UNIT_COLUMNS[name], data=columns[name]) for name in UNIT_COLUMNS]
    return Units(
        name="units",
        description="one row for each unit, silent ones too",
        resolution=recording.bin_size_ms / MS_PER_S,
        id=np.arange(recording.n_units),
        # hdmf wants the index of a column that is written chunk by chunk before the column.
        columns=[
            VectorIndex(name="spike_times_index", data=ends.astype(np.uint64), target=times),
            times,
            VectorIndex(
                name="obs_intervals_index", data=np.arange(1, recording.n_units + 1, dtype=np.uint64), target=observed
            ),
            observed,
            *described,
        ],
    )


def _unit_columns(recording: Recording, n_spikes: Int[np.ndarray, " unit"]) -> dict[str, Any]:
    layers = recording.layers
    names = [name for layer in layers for name in layer.unit_names]
    of_layer = [layer.name for layer in layers for _ in range(layer.n_units)]
    nowhere = {axis: [np.full(layer.n_units, -1) for layer in layers] for axis in AXES}
    places = {
        axis: np.concatenate([layer.coordinates.get(axis, none) for layer, none in zip(layers, nowhere[axis])])
        for axis in AXES
    }
    columns: dict[str, Any] = {
        "unit_name": names,
        "_name": names,
        "segment": ["all passes"] * len(names),
        "block": ["ann2neo"] * len(names),
        "layer": of_layer,
        "source_population": of_layer,
        "node_id": np.concatenate([layer.units for layer in layers]).astype(np.int64),
        "threshold": np.concatenate([layer.thresholds for layer in layers]).astype(np.float64),
        "n_spikes": n_spikes,
        "quality": quality(n_spikes, recording.n_bins),
    }
    return {name: places[name] if name in places else columns[name] for name in UNIT_COLUMNS}


class _SpikeTimes(GenericDataChunkIterator):
    """Spike times in seconds, read from the bits when they are written, so that they are never in memory all at once."""

    def __init__(self, recording: Recording, ends: Int[np.ndarray, " unit"]) -> None:
        self._ends = ends
        self._pieces = list(_unit_slices(recording))
        self._first_unit = np.cumsum([0] + [units.stop - units.start for _, units in self._pieces])
        self._pseudotime = recording.pseudotime
        total = int(ends[-1])
        super().__init__(buffer_shape=(min(BUFFER_SPIKES, total),), chunk_shape=(min(CHUNK_SPIKES, total),))

    def _get_data(self, selection: tuple[slice, ...]) -> Shaped[np.ndarray, " spike"]:
        first, last = selection[0].start, selection[0].stop
        begins = np.concatenate([[0], self._ends])[self._first_unit]
        touched = [i for i in range(len(self._pieces)) if begins[i] < last and begins[i + 1] > first]
        parts = [self._pieces[i][0].raster.spike_bins(self._pieces[i][1])[0] for i in touched]
        bins = np.concatenate(parts)[first - begins[touched[0]] : last - begins[touched[0]]]
        return self._pseudotime.spike_times_ms(bins) / MS_PER_S

    def _get_maxshape(self) -> tuple[int, ...]:
        return (int(self._ends[-1]),)

    def _get_dtype(self) -> np.dtype:
        return np.dtype(np.float64)


def _unit_slices(recording: Recording) -> Iterator[tuple[Layer, slice]]:
    for layer in recording.layers:
        for units in layer.raster.chunks(CHUNK_BYTES // 4):
            yield layer, units


def _times(recording: Recording, ends: Int[np.ndarray, " unit"]) -> Any:
    if ends.size == 0 or ends[-1] == 0:
        return np.empty(0)
    return H5DataIO(data=_SpikeTimes(recording, ends), compression="gzip", compression_opts=1, shuffle=True)
