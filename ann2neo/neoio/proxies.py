"""neo's own proxies, also made on access."""

from __future__ import annotations

from typing import Any

import neo
import numpy as np
from neo.io.proxyobjects import EpochProxy, SpikeTrainProxy

from ann2neo.neoio.rawio import Ann2NeoRawIO
from ann2neo.trains.lazy import LazySpikeTrainList
from ann2neo.trains.unit_trains import LayerUnits, UnitTrains, layer_units


class _ProxyTrains(UnitTrains):
    """The units of a layer in one pass, as neo's proxies that are made on access."""

    def __init__(self, units: LayerUnits, reader: Ann2NeoRawIO, seg_index: int) -> None:
        n_bins = reader._axis.n_bins
        super().__init__(units, np.arange(n_bins) + seg_index * n_bins, reader._axis.bin_size_ms, keep=False)
        self._reader, self._seg_index = reader, seg_index

    def train(self, unit: int) -> Any:
        """Return the proxy of a unit, the same object as long as it has references."""
        made: Any = self._made.get(unit)
        if made is None:
            number = self._units.first + unit
            made = SpikeTrainProxy(rawio=self._reader, spike_channel_index=number, seg_index=self._seg_index)
            made.segment = self.segment
            self._made[unit] = made
        return made

    def made(self) -> list[Any]:
        """List the proxies that still have references."""
        return list(self._made.values())


def proxy_block(reader: Ann2NeoRawIO) -> neo.Block:
    """Make a Block with proxies of trains and epochs."""
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
