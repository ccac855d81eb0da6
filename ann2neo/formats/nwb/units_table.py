"""The table of units: spike times, and the properties of each unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from hdmf.common import VectorData, VectorIndex
from jaxtyping import Float, Int
from pynwb.misc import Units

from ann2neo.formats.nwb.clock import MS_PER_S, edges_s
from ann2neo.formats.nwb.late_columns import LateData, column
from ann2neo.measures.quality import quality
from ann2neo.raster import CHUNK_BYTES
from ann2neo.recording import AXES, Recording

# Compression halves the size and takes nine tenths of the time: small files are not compressed.
PLAIN_SPIKES = 1 << 22
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
    "quality": "silent, saturated (a spike in every bin), too_few (fewer than 10 spikes or empty bins) or good",
}


def units_table(recording: Recording) -> Units:
    """Make the table of units; spike times are read from the bits when the table is written."""
    n_spikes = np.concatenate([layer.raster.n_spikes() for layer in recording.layers])
    ends = np.cumsum(n_spikes)
    duration = float(edges_s(recording)[-1])
    times = VectorData(
        name="spike_times", description="times of the spikes in seconds", data=_times(recording, int(ends[-1]))
    )
    observed = VectorData(
        name="obs_intervals",
        description="the whole clock",
        data=np.tile([0.0, duration], (recording.n_units, 1)),
    )
    columns = _unit_columns(recording, n_spikes)
    described = [column(name, UNIT_COLUMNS[name], columns[name]) for name in UNIT_COLUMNS]
    return Units(
        name="units",
        description="one row for each unit, silent ones too",
        resolution=recording.bin_size_ms / MS_PER_S,
        id=np.arange(recording.n_units),
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
        "quality": quality(n_spikes, recording.n_bins).tolist(),
    }
    return {name: places[name] if name in places else columns[name] for name in UNIT_COLUMNS}


def _times(recording: Recording, n_spikes: int) -> LateData:
    """Reserve space for the times, which are computed from the bits when they are written."""
    compressed = {"chunks": (CHUNK_SPIKES,), "compression": "gzip", "compression_opts": 1, "shuffle": True}
    return LateData(
        _pieces(recording), n_spikes, np.dtype(np.float64), **(compressed if n_spikes > PLAIN_SPIKES else {})
    )


def _pieces(recording: Recording) -> Iterator[Float[np.ndarray, " spike"]]:
    for layer in recording.layers:
        for units in layer.raster.chunks(CHUNK_BYTES // 4):
            yield recording.pseudotime.spike_times_ms(layer.raster.spike_bins(units)[0]) / MS_PER_S
