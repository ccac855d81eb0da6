"""neo opens our store: importing this module registers it with neo, so that ``neo.io.get_io("rec.zarr")`` reads a recording.

neo has no plug-ins; it asks a table which of its readers knows the suffix of a file. For a folder it counts the suffixes of all files inside, and the chunks
of a store, such as ``0.3.1``, have suffixes that other readers claim. That is why this reader claims them too, and ``0`` besides, so that it has more than any
other. It refuses at once what is no store of ann2neo, and neo then asks the next one.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import neo
import neo.io
import neo.rawio
import numpy as np
from jaxtyping import Float, Int
from neo.io.basefromrawio import BaseFromRaw
from neo.io.proxyobjects import EpochProxy, SpikeTrainProxy
from neo.rawio.baserawio import (
    BaseRawIO,
    _event_channel_dtype,
    _signal_buffer_dtype,
    _signal_channel_dtype,
    _signal_stream_dtype,
    _spike_channel_dtype,
)

from ann2neo.errors import FormatError
from ann2neo.pseudotime import POSITION_IN_BIN, PseudoTime
from ann2neo.recording import Recording
from ann2neo.store import load
from ann2neo.trains import to_block
from ann2neo.trains.lazy import LayerUnits, LazySpikeTrainList, UnitTrains, layer_units

MS_PER_S = 1000.0
NO_WAVEFORM = ("", 1.0, 0.0, 0, 0.0)
# The suffixes of files in a store: of chunks (every store has 0.0.0), and of the log of a store that grew.
SUFFIXES_INSIDE = ("0", "json", "npz")


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
        self.header = _header(self._recording)

    @cached_property
    def _block(self) -> neo.Block:
        """Whoever reads real trains does not need it, and counting all spikes takes a second for a hundred thousand units."""
        return to_block(self._recording)

    @cached_property
    def raw_annotations(self) -> dict[str, Any]:
        """What is known of the Block, its Segments, trains and epochs, in the form that neo asks for."""
        return {"blocks": [_block_annotations(self._block, self.dirname)]}

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


class Ann2NeoIO(Ann2NeoRawIO, BaseFromRaw):
    """A store of ann2neo as neo objects.

    ``read_block()`` gives the Block of `ann2neo.to_block`, in milliseconds; its spike trains are made when they are touched, so that it is there at once however
    many units there are. ``read_block(lazy=True)`` gives neo's own proxies instead, also made when they are touched, whose ``load(time_slice=...)`` gives trains in
    seconds.

    Parameters
    ----------
    dirname
        Name of the store.

    Raises
    ------
    FormatError
        If the folder is no store of ann2neo.

    Examples
    --------
    >>> import tempfile, ann2neo
    >>> path = Path(tempfile.mkdtemp()) / "rec.zarr"
    >>> ann2neo.save(ann2neo.from_array(np.eye(4, dtype=bool)), path)
    >>> neo.io.get_io(path).read_block().segments[0].spiketrains[2].times
    array([2.25]) * ms
    """

    name = "ann2neo"
    description = "Activations above threshold of an artificial neural network, as packed bits"
    mode = "dir"

    def __init__(self, dirname: str | Path = "") -> None:
        Ann2NeoRawIO.__init__(self, dirname)
        BaseFromRaw.__init__(self, dirname)

    def read_block(self, block_index: int = 0, lazy: bool = False) -> neo.Block:
        """Read the recording: a Segment for each pass, a Group for each layer.

        Parameters
        ----------
        block_index
            A store holds one Block: 0.
        lazy
            Whether neo's proxies stand for trains and epochs.
        """
        _only_the_first(block_index, self.dirname)
        block = _proxy_block(self) if lazy else to_block(self._recording)
        block.file_origin = self.dirname
        return block

    def read_segment(
        self,
        block_index: int = 0,
        seg_index: int = 0,
        lazy: bool = False,
        time_slice: Any = None,
        strict_slicing: bool = True,
    ) -> neo.Segment:
        """Read one pass.

        Parameters
        ----------
        block_index, lazy
            As for `read_block`.
        seg_index
            Number of the pass.
        time_slice
            Only spikes and trials between these two times, in seconds.
        strict_slicing
            Whether times outside the pass are an error.
        """
        if time_slice is None:
            return self.read_block(block_index, lazy=lazy).segments[seg_index]
        whole = self.read_block(block_index, lazy=True).segments[seg_index]
        segment = neo.Segment(name=whole.name, description=whole.description, index=seg_index, **whole.annotations)
        where = {"time_slice": time_slice, "strict_slicing": strict_slicing}
        segment.spiketrains.extend([proxy.load(**where) for proxy in whole.spiketrains])
        segment.epochs.extend([proxy.load(**where) for proxy in whole.epochs])
        return segment


class _ProxyTrains(UnitTrains):
    """The units of a layer in one pass, for each of which neo's proxy is made when it is touched."""

    def __init__(self, units: LayerUnits, reader: Ann2NeoRawIO, seg_index: int) -> None:
        n_bins = reader._axis.n_bins
        super().__init__(units, np.arange(n_bins) + seg_index * n_bins, reader._axis.bin_size_ms, keep=False)
        self._reader, self._seg_index = reader, seg_index

    def train(self, unit: int) -> Any:
        """Give the proxy of a unit, the same one while somebody holds it."""
        made: Any = self._made.get(unit)
        if made is None:
            number = self._units.first + unit
            made = SpikeTrainProxy(rawio=self._reader, spike_channel_index=number, seg_index=self._seg_index)
            made.segment = self.segment
            self._made[unit] = made
        return made

    def made(self) -> list[Any]:
        """List the proxies that somebody holds."""
        return list(self._made.values())


class _SpikeAnnotations:
    """What neo asks of each spike channel, made when it is asked."""

    def __init__(self, spiketrains: Any) -> None:
        self._spiketrains = spiketrains

    def __len__(self) -> int:
        return len(self._spiketrains)

    def __getitem__(self, index: int) -> dict[str, Any]:
        train = self._spiketrains[index]
        return {"name": train.name, "id": str(index), "__array_annotations__": {}, **train.annotations}


def _open(path: Path) -> Recording:
    if not path.is_dir():
        raise FormatError(f"{path} is no folder.", "A store of ann2neo is one.", "Check the name.")
    return load(path)


def _header(recording: Recording) -> dict[str, Any]:
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


def _block_annotations(block: neo.Block, source: str) -> dict[str, Any]:
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


def _within(times: Float[np.ndarray, " event"], t_start: Any, t_stop: Any) -> Any:
    low = -np.inf if t_start is None else t_start
    high = np.inf if t_stop is None else t_stop
    return (times >= low) & (times <= high)


def _only_the_first(block_index: int, source: str) -> None:
    if block_index != 0:
        raise FormatError(f"{source} holds one Block.", f"There is none of number {block_index}.", "Use 0.")


def _proxy_block(reader: Ann2NeoRawIO) -> neo.Block:
    whole, layers = reader._block, layer_units(reader._recording)
    parts = [[_ProxyTrains(units, reader, number) for units in layers] for number in range(len(whole.segments))]
    block = neo.Block(name=whole.name, description=whole.description, **whole.annotations)
    block.segments.extend([_proxy_segment(reader, number, of_pass) for number, of_pass in enumerate(parts)])
    for whole_group, of_layer in zip(whole.groups, zip(*parts)):
        group = neo.Group(name=whole_group.name, **whole_group.annotations)
        group.spiketrains = LazySpikeTrainList([(part, range(len(part))) for part in of_layer])
        block.groups.append(group)
    return block


def _proxy_segment(reader: Ann2NeoRawIO, number: int, parts: list[Any]) -> neo.Segment:
    whole = reader._block.segments[number]
    segment = neo.Segment(name=whole.name, description=whole.description, index=number, **whole.annotations)
    segment.epochs.extend([EpochProxy(rawio=reader, event_channel_index=0, seg_index=number)])
    segment.spiketrains = LazySpikeTrainList([(part, range(len(part))) for part in parts], segment)
    return segment


def _register() -> None:
    """Enter the readers into neo's tables, once."""
    if Ann2NeoIO in neo.io.iolist:
        return
    neo.io.iolist.append(Ann2NeoIO)
    neo.rawio.rawiolist.append(Ann2NeoRawIO)
    claimed = {suffix for suffix in neo.io.io_by_extension if suffix.isdigit()}
    for suffix in {*Ann2NeoIO.extensions, *SUFFIXES_INSIDE} | claimed:
        neo.io.io_by_extension.setdefault(suffix, []).append(Ann2NeoIO)


_register()
