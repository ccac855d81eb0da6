"""A store through neo's interface for raw data."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import neo
import numpy as np
from jaxtyping import Float, Int
from neo.rawio.baserawio import BaseRawIO

from ann2neo.errors import FormatError
from ann2neo.neoio.header import MS_PER_S, block_annotations, header_of
from ann2neo.pseudotime import POSITION_IN_BIN, PseudoTime
from ann2neo.recording import Recording
from ann2neo.store import load
from ann2neo.trains import to_block


class Ann2NeoRawIO(BaseRawIO):
    """A store of ann2neo through neo's interface for raw data: passes are segments, units are spike channels, timestamps are bins.

    Times are in seconds, as everywhere in ``neo.rawio``.

    Parameters
    ----------
    dirname
        Name of the store.

    Examples
    --------
    >>> import tempfile, ann2neo
    >>> path = Path(tempfile.mkdtemp()) / "rec.zarr"
    >>> ann2neo.save(ann2neo.from_array(np.eye(4, dtype=bool)), path)
    >>> reader = Ann2NeoRawIO(path)
    >>> reader.parse_header()
    >>> reader.get_spike_timestamps(spike_channel_index=2), reader.header["spike_channels"]["name"][2]
    (array([2]), np.str_('array[2]'))
    """

    extensions = ("zarr",)
    rawmode = "one-dir"

    def __init__(self, dirname: str | Path = "") -> None:
        BaseRawIO.__init__(self)
        self.dirname = str(dirname)

    def _source_name(self) -> str:
        return self.dirname

    def _parse_header(self) -> None:
        self._recording = _open(Path(self.dirname))
        self._axis = PseudoTime(
            n_bins=self._recording.n_bins // self._recording.n_passes, bin_size_ms=self._recording.bin_size_ms
        )
        self.header = header_of(self._recording)

    @cached_property
    def _block(self) -> neo.Block:
        """Return the Block on demand: reading real trains does not need it, and counting all spikes takes a second for a hundred thousand units."""
        return to_block(self._recording)

    @cached_property
    def raw_annotations(self) -> dict[str, Any]:
        """Return the annotations of the Block, its Segments, trains and epochs, in neo's form."""
        return {"blocks": [block_annotations(self._block, self.dirname)]}

    def _segment_t_start(self, block_index: int, seg_index: int) -> float:
        return 0.0

    def _segment_t_stop(self, block_index: int, seg_index: int) -> float:
        return self._axis.duration_ms / MS_PER_S

    def _spike_count(self, block_index: int, seg_index: int, spike_channel_index: int) -> int:
        return len(self._block.segments[seg_index].spiketrains[spike_channel_index])

    def _get_spike_timestamps(
        self, block_index: int, seg_index: int, spike_channel_index: int, t_start: Any, t_stop: Any
    ) -> Int[np.ndarray, " spike"]:
        train = self._block.segments[seg_index].spiketrains[spike_channel_index]
        bins = self._axis.bins_of(np.asarray(train.magnitude))
        return bins[_within(self._rescale_spike_timestamp(bins, np.dtype(np.float64)), t_start, t_stop)]

    def _rescale_spike_timestamp(self, spike_timestamps: np.ndarray, dtype: Any) -> np.ndarray:
        return ((spike_timestamps + POSITION_IN_BIN) * self._axis.bin_size_ms / MS_PER_S).astype(dtype)

    def _get_spike_raw_waveforms(
        self, block_index: int, seg_index: int, spike_channel_index: int, t_start: Any, t_stop: Any
    ) -> None:
        return None

    def _event_count(self, block_index: int, seg_index: int, event_channel_index: int) -> int:
        return len(self._block.segments[seg_index].epochs[event_channel_index])

    def _get_event_timestamps(
        self, block_index: int, seg_index: int, event_channel_index: int, t_start: Any, t_stop: Any
    ) -> tuple[Float[np.ndarray, " trial"], Float[np.ndarray, " trial"], np.ndarray]:
        epoch = self._block.segments[seg_index].epochs[event_channel_index]
        times, durations = epoch.times.magnitude / MS_PER_S, epoch.durations.magnitude / MS_PER_S
        kept = _within(times, t_start, t_stop)
        return times[kept], durations[kept], epoch.labels[kept]

    def _rescale_event_timestamp(self, event_timestamps: np.ndarray, dtype: Any, event_channel_index: int) -> Any:
        return event_timestamps.astype(dtype)

    def _rescale_epoch_duration(self, raw_duration: np.ndarray, dtype: Any, event_channel_index: int) -> Any:
        return raw_duration.astype(dtype)


def _open(path: Path) -> Recording:
    if not path.is_dir():
        raise FormatError(f"{path} is not a folder.", "An ann2neo store is a folder.", "Check the name.")
    return load(path)


def _within(times: Float[np.ndarray, " event"], t_start: Any, t_stop: Any) -> Any:
    low = -np.inf if t_start is None else t_start
    high = np.inf if t_stop is None else t_stop
    return (times >= low) & (times <= high)
