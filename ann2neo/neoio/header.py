"""The header of a raw reader for neo: channels and annotations."""

from __future__ import annotations

from typing import Any

import neo
import numpy as np
from neo.rawio.baserawio import (
    _event_channel_dtype,
    _signal_buffer_dtype,
    _signal_channel_dtype,
    _signal_stream_dtype,
    _spike_channel_dtype,
)

from ann2neo.recording import Recording

MS_PER_S = 1000.0
NO_WAVEFORM = ("", 1.0, 0.0, 0, 0.0)


def header_of(recording: Recording) -> dict[str, Any]:
    """Return the header: units are spike channels, trials are an event channel."""
    names = [name for layer in recording.layers for name in layer.unit_names]
    return {
        "nb_block": 1,
        "nb_segment": [recording.n_passes],
        "signal_buffers": np.array([], dtype=_signal_buffer_dtype),
        "signal_streams": np.array([], dtype=_signal_stream_dtype),
        "signal_channels": np.array([], dtype=_signal_channel_dtype),
        "spike_channels": np.array(
            [(name, str(number), *NO_WAVEFORM) for number, name in enumerate(names)], dtype=_spike_channel_dtype
        ),
        "event_channels": np.array([("trials", "0", b"epoch")], dtype=_event_channel_dtype),
    }


def block_annotations(block: neo.Block, source: str) -> dict[str, Any]:
    """Return the annotations of the Block, its Segments, trains and epochs."""
    known = {"name": block.name, "description": block.description, "file_origin": source}
    return known | block.annotations | {"segments": [_segment_annotations(segment) for segment in block.segments]}


def _segment_annotations(segment: neo.Segment) -> dict[str, Any]:
    events = [
        {"name": epoch.name, "id": str(number), "__array_annotations__": dict(epoch.array_annotations)}
        for number, epoch in enumerate(segment.epochs)
    ]
    known = {"name": segment.name, "description": segment.description}
    inside = {"signals": [], "spikes": _SpikeAnnotations(segment.spiketrains), "events": events}
    return known | segment.annotations | inside


class _SpikeAnnotations:
    """Annotations of each spike channel, made on access."""

    def __init__(self, spiketrains: Any) -> None:
        self._spiketrains = spiketrains

    def __len__(self) -> int:
        return len(self._spiketrains)

    def __getitem__(self, index: int) -> dict[str, Any]:
        train = self._spiketrains[index]
        return {"name": train.name, "id": str(index), "__array_annotations__": {}, **train.annotations}
