"""A list of spike trains that are made on access: a Block of a hundred thousand units takes little more memory than its bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import neo
import numpy as np
import quantities as pq
from jaxtyping import Int
from neo.core.spiketrainlist import SpikeTrainList, is_spiketrain_or_proxy

from ann2neo.trains.unit_trains import UnitTrains


class LazySpikeTrainList(SpikeTrainList):
    """A neo.SpikeTrainList whose trains are made on access.

    It can be iterated, indexed, sliced, pickled, copied, added to lists and written to files like any other list. A method that changes the list (append, extend, item
    assignment) first makes all trains and keeps them.

    Parameters
    ----------
    parts
        Trains, and the positions of those that are in the list, for each part.
    parent
        The Segment to which the list belongs.

    Examples
    --------
    >>> import ann2neo
    >>> trains = ann2neo.to_block(ann2neo.from_array(np.eye(3, dtype=bool))).segments[0].spiketrains
    >>> trains[1] is trains[1], [train.name for train in trains[1:]]
    (True, ['array[1]', 'array[2]'])
    """

    def __init__(
        self,
        parts: Iterable[tuple[UnitTrains, Sequence[int] | Int[np.ndarray, " _"]]] = (),
        parent: neo.Segment | None = None,
    ) -> None:
        super().__init__(parent=parent)
        self._parts = [(trains, positions) for trains, positions in parts if len(positions)]
        for trains, _ in self._parts if parent is not None else ():
            trains.segment = parent

    @property
    def lazy(self) -> bool:
        """Return whether trains are still made on access."""
        return self._items is None

    def __len__(self) -> int:
        return sum(len(positions) for _, positions in self._parts) if self.lazy else len(self._items)

    def __iter__(self) -> Iterator[neo.SpikeTrain]:
        if not self.lazy:
            yield from self._items
            return
        for trains, positions in self._parts:
            for position in positions:
                yield trains.train(int(position))

    @overload
    def __getitem__(self, i: int) -> neo.SpikeTrain: ...
    @overload
    def __getitem__(self, i: slice) -> SpikeTrainList: ...
    def __getitem__(self, i: Any) -> Any:
        if not self.lazy:
            return super().__getitem__(i)
        if isinstance(i, slice):
            return self._sliced(i)
        place = range(len(self))[i]
        for trains, positions in self._parts:
            if place < len(positions):
                return trains.train(int(positions[place]))
            place -= len(positions)
        raise IndexError(i)

    def __contains__(self, key: object) -> bool:
        return any(train is key for train in self._held()) if self.lazy else super().__contains__(key)

    def __add__(self, other: Any) -> Any:
        joined = [*self, *other]
        return SpikeTrainList(items=joined) if _holds_trains(other) else joined

    def __radd__(self, other: Any) -> Any:
        """Return another list followed by this one; neo's own method appends the other list and changes this one."""
        if len(other) == 0:
            return self[:]
        joined = [*other, *self]
        return SpikeTrainList(items=joined) if _holds_trains(other) else joined

    def __str__(self) -> str:
        return f"LazySpikeTrainList of {len(self)} trains" if self.lazy else super().__str__()

    def __repr__(self) -> str:
        return f"<{self}>"

    @property
    def multiplexed(self) -> Any:
        """Unit, shape (spike,), and time, a Quantity of shape (spike,), of all spikes."""
        whole = self.lazy and all(len(positions) == len(trains) for trains, positions in self._parts)
        if not whole or not self._parts:
            return SpikeTrainList(items=list(self)).multiplexed if len(self) else (np.array([]), np.array([]))
        parts = [trains.times() for trains, _ in self._parts]
        units, times = (np.concatenate(columns) for columns in zip(*parts))
        return units, pq.Quantity(times, pq.ms)

    @property
    def all_channel_ids(self) -> list[int]:
        """Number of each unit in the recording, or its annotated channel id."""
        return [train.annotations.get("channel_id", place) for place, train in enumerate(self)]

    @property
    def t_start(self) -> pq.Quantity:
        """Begin of the trains."""
        return self._border("t_start")

    @property
    def t_stop(self) -> pq.Quantity:
        """End of the trains."""
        return self._border("t_stop")

    def _border(self, name: str) -> pq.Quantity:
        """Return the border that all trains of a Segment share; a list over several Segments, or a changed one, is left to neo."""
        if self.lazy and len({id(trains.segment) for trains, _ in self._parts}) == 1:
            return getattr(self[0], name)
        return getattr(SpikeTrainList(items=list(self)), name)

    def _sliced(self, i: slice) -> SpikeTrainList:
        places, parts, first = range(len(self))[i], [], 0
        whole = np.arange(len(self))[i]
        if places.step < 0:
            return SpikeTrainList(items=[self[int(place)] for place in whole])
        for trains, positions in self._parts:
            inside = whole[(whole >= first) & (whole < first + len(positions))] - first
            parts.append((trains, np.asarray(positions)[inside]))
            first += len(positions)
        return LazySpikeTrainList(parts)

    def _held(self) -> list[neo.SpikeTrain]:
        return [train for trains, _ in self._parts for train in trains.made()]

    def _contains(self, obj: object) -> bool:
        return obj in self if self.lazy else super()._contains(obj)

    def _spiketrains_from_array(self) -> None:
        """Make all trains and keep them, because the list is about to change."""
        self._items = list(self)


def _holds_trains(other: Any) -> bool:
    return isinstance(other, SpikeTrainList) or (len(other) > 0 and is_spiketrain_or_proxy(other[0]))
