"""Columns of bits on a device: what the kernel writes batch after batch, until it leaves as rows of units."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NoReturn, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8

from ann2neo.bits import Planes
from ann2neo.device.memory import Target, planes_within
from ann2neo.device.transfer import Copied, Rows, Transfer
from ann2neo.packing.layouts import Layout

N_COUNTS = 256
# Copied of batches that are not looked at yet, so that no batch waits for the one before.
MOST_PENDING = 8
Refuse = Callable[[str, int], NoReturn]


@runtime_checkable
class Receiver(Protocol):
    """What is given the rows of a layer when they leave the device."""

    def receive(self, rows: Rows, n_bins: int) -> None:
        """Accept rows of this many bins that are on their way."""
        ...


@runtime_checkable
class OpenBatch(Protocol):
    """Bins of a batch that follow those which a column keeps; see `ann2neo.device.rows.Part`."""

    n_bins: int
    kept: bool

    def leave(self) -> np.ndarray:
        """Copy the bins from the device, on which the next batch takes their place."""
        ...


class LayerColumn:
    """Bits of one layer on its device, of the batches that have not left it yet.

    Parameters
    ----------
    name, n_units, layout
        Name of the layer, number of its recorded units, and the order in which they lie in memory; None for the logical order.
    owner
        The columns of all layers of the device.
    slot
        Place of the layer's count of values that are not finite.

    Attributes
    ----------
    n_bins
        Number of bins that were kept, and are still on the device.
    target
        Where the kernel writes.
    """

    def __init__(self, name: str, n_units: int, layout: Layout | None, owner: DeviceColumn, slot: int) -> None:
        self.name, self.n_units, self.layout, self.owner = name, n_units, layout, owner
        empty = torch.empty((0, n_units), dtype=torch.uint8, device=owner.device)
        self.target = Target(bits=empty, invalid=owner.invalid, slot=slot)
        self.n_bins = self.usual = 0
        self.buffer: Callable[[], Receiver | None] = lambda: None
        self.opened: Callable[[], OpenBatch | None] = lambda: None

    @property
    def room(self) -> int:
        """Number of bins that can still be written."""
        return 8 * len(self.target.bits) - self.n_bins

    def make_room(self, n_bins: int) -> None:
        """Make sure that this many bins can be written after those that are kept."""
        if self.room < n_bins:
            self.resize(-(-(self.n_bins + n_bins) // 8))

    def resize(self, n_planes: int) -> None:
        """Move to memory for this many planes, if they are more than now."""
        old = self.target.bits
        if len(old) < n_planes:
            with self.owner.transfer.at_home():
                bits = torch.empty((n_planes, self.n_units), dtype=torch.uint8, device=self.owner.device)
                bits[: len(old)] = old
            self.target = replace(self.target, bits=bits)

    def open(self, part: OpenBatch) -> None:
        """Note the batch that was written after the bins that are kept, for as long as somebody holds it."""
        self.usual = max(self.usual, part.n_bins)
        self.opened = weakref.ref(part)

    def settle(self) -> None:
        """Before the next batch is written: what somebody still holds of one that was not kept is copied."""
        part = self.opened()
        if part is not None and not part.kept:
            part.leave()
        self.opened = lambda: None

    def insert(self, planes: Planes) -> None:
        """Keep bins that come from the host, before those of a batch that is open."""
        part, n_bins = self.opened(), planes.n_bins
        waiting = None if part is None or part.kept else (part, self.read(self.n_bins, part.n_bins))
        self.make_room(n_bins + (0 if waiting is None else waiting[0].n_bins))
        here = torch.from_numpy(np.ascontiguousarray(planes.bits)).to(self.owner.device)
        if self.layout is not None:
            order = self.layout.to_memory(np.arange(self.n_units))
            here = here[:, torch.from_numpy(np.ascontiguousarray(order)).to(here.device)]
        self.write(here, n_bins)
        self.n_bins += n_bins
        if waiting is not None:
            self.write(waiting[1], waiting[0].n_bins)

    def read(self, first: int, n_bins: int) -> UInt8[torch.Tensor, "plane unit"]:
        """Copy bins, moved to the beginning of their bytes and with zeros after the last; units in the order of the column."""
        n_planes, shift = -(-n_bins // 8), first % 8
        bits = self.target.bits[first // 8 : (first + n_bins + 7) // 8]
        if not n_planes:
            return bits.clone()
        moved = (bits << shift)[:n_planes] if shift else bits[:n_planes].clone()
        if shift and len(bits) > 1:
            moved[: len(bits) - 1] |= bits[1:] >> (8 - shift)
        if n_bins % 8:
            moved[-1] &= (0xFF00 >> n_bins % 8) & 0xFF
        return moved

    def write(self, planes: UInt8[torch.Tensor, "plane unit"], n_bins: int) -> None:
        """Write bins, in the order of the column and with zeros after the last, after those that are kept."""
        first, shift = self.n_bins // 8, self.n_bins % 8
        if not n_bins:
            return
        bits = self.target.bits[first : first + -(-(shift + n_bins) // 8)]
        before = bits[0] & ((0xFF00 >> shift) & 0xFF)
        bits[: len(planes)] = planes >> shift
        if len(bits) > len(planes):
            bits[-1] = 0
        if shift:
            bits[0] |= before
            bits[1:] |= (planes << (8 - shift))[: len(bits) - 1]

    def logical(self, planes: UInt8[torch.Tensor, "plane unit"]) -> UInt8[torch.Tensor, "*axes plane"]:
        """View planes as rows of units in their logical order, shape (*unit axes, plane)."""
        if self.layout is None:
            return planes.t()
        in_memory = planes.reshape(len(planes), *(self.layout.shape[axis] for axis in self.layout.order))
        return in_memory.permute(*(1 + int(axis) for axis in np.argsort(self.layout.order)), 0)


class DeviceColumn:
    """Columns of all layers on one device.

    Their memory is bounded (`ann2neo.device.memory`): before a batch for which there is no room, what there is is turned into rows of units on the device and leaves it,
    while the next batch runs.

    Parameters
    ----------
    device
        The device.
    refuse
        Raises for a layer, by its name, with the number of values that were not finite.
    """

    def __init__(self, device: torch.device, refuse: Refuse) -> None:
        self.device, self._refuse = device, refuse
        self.layers: dict[str, LayerColumn] = {}
        self.invalid = torch.zeros(N_COUNTS, dtype=torch.int64, device=device)
        self._n_slots, self._pending = 0, list[Copied]()
        self.transfer = Transfer(device)

    def add_layer(self, name: str, n_units: int, layout: Layout | None) -> LayerColumn:
        """Make the column of a layer, with memory for its first batch."""
        if self._n_slots == len(self.invalid):
            self.invalid = torch.cat([self.invalid, torch.zeros_like(self.invalid)])
            for layer in self.layers.values():
                layer.target = replace(layer.target, invalid=self.invalid)
        layer = self.layers[name] = LayerColumn(name, n_units, layout, self, self._n_slots)
        self._n_slots += 1
        return layer

    def close(self) -> None:
        """Let go of the columns, which hold on to this."""
        self.layers = {}

    def begin(self) -> None:
        """Before a batch: make room for one more."""
        for layer in self.layers.values():
            layer.settle()
        if self._is_full():
            n_units = sum(layer.n_units for layer in self.layers.values())
            n_bins = max(layer.usual for layer in self.layers.values())
            for layer in self.layers.values():
                layer.resize(planes_within(self.device, n_units, n_bins))
        if self._is_full():
            self.flush()

    def _is_full(self) -> bool:
        return any(layer.room < layer.usual for layer in self.layers.values())

    def drop(self, layers: Iterable[str]) -> None:
        """Forget layers that are not recorded."""
        for name in layers:
            self.layers.pop(name, None)

    def end(self, *, wait: bool) -> None:
        """After a batch: start to copy the counts of values that are not finite, and look at those that have come; at all of them if ``wait``."""
        self.transfer.join()
        self._pending.append(self.transfer.counts(self.invalid))
        while self._pending and (wait or len(self._pending) > MOST_PENDING or self._pending[0].ready()):
            self.look(self._pending[:1])
            del self._pending[0]

    def pending(self) -> list[Copied]:
        """Copied but not looked at yet."""
        return list(self._pending)

    def look(self, counts: list[Copied]) -> None:
        """Wait for counts, and refuse values that are not finite.

        Raises
        ------
        ActivationError
            If there were any.
        """
        for one in counts:
            one.wait()
            if one.values.any():
                found = one.values.tolist()
                for name, layer in self.layers.items():
                    if found[layer.target.slot]:
                        self._refuse(name, found[layer.target.slot])

    def begin_stream(self) -> None:
        """Let the buffers that there are have the rest of their bits; what comes next begins at the beginning of a byte."""
        for layer in self.layers.values():
            layer.settle()
        self.flush(last=True)
        for layer in self.layers.values():
            layer.n_bins, layer.buffer = 0, lambda: None

    def flush(self, *, last: bool = False) -> None:
        """Send whole planes of all layers on their way, and the bins that fill no byte as well if they are the last."""
        leaving = list(self._leaving(last=last))
        with self.transfer.at_home():
            sent = self.transfer.send([layer.logical(layer.target.bits[: -(-n // 8)]) for layer, _, n in leaving])
            for (layer, buffer, n_bins), rows in zip(leaving, sent):
                buffer.receive(rows, n_bins)
                layer.n_bins -= n_bins
                if layer.n_bins:
                    layer.target.bits[0] = layer.target.bits[n_bins // 8]

    def _leaving(self, *, last: bool) -> Iterator[tuple[LayerColumn, Receiver, int]]:
        for layer in self.layers.values():
            buffer, n_bins = layer.buffer(), layer.n_bins if last else layer.n_bins // 8 * 8
            if buffer is not None and n_bins:
                yield layer, buffer, n_bins
