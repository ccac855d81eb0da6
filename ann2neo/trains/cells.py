"""Units of any laboratory: their identity, their spikes, and their observed time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ann2neo.measures.definitions import milliseconds_per
from ann2neo.trains.matching import Matched, identify_units, match_units
from ann2neo.trains.observed import check_spikes, observed_of
from ann2neo.trains.segment import ExternalSegment


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """The segments of time in which some units were observed.

    Parameters
    ----------
    time_unit
        Unit of these times, which is that of the units' trains.
    segment
        neo Segment in which each piece lies.
    start, stop
        Begin and end of each piece on the clock of its Segment.
    """

    time_unit: str
    segment: tuple[int, ...]
    start: tuple[float, ...]
    stop: tuple[float, ...]

    @property
    def ms(self) -> float:
        """Duration of the unit of time in milliseconds."""
        return milliseconds_per(self.time_unit)

    def borders_ms(self, segment: int) -> Float[np.ndarray, "piece two"]:
        """Return begin and end of the pieces in a segment, in milliseconds."""
        return self._by_segment.get(segment, np.empty((0, 2)))

    @cached_property
    def _by_segment(self) -> dict[int, Float[np.ndarray, "piece two"]]:
        """Group the pieces by segment, once, because a session may have a segment per trial."""
        found: dict[int, list[tuple[float, float]]] = {}
        for number, a, b in zip(self.segment, self.start, self.stop):
            found.setdefault(number, []).append((a, b))
        return {number: np.array(own, np.float64) * self.ms for number, own in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """Units of neo objects.

    Parameters
    ----------
    units
        Identity of the units: layer, unit, channel, row, col, then name and annotations.
    segments
        Data recorded on each clock.
    trains
        Spike trains of each unit in each segment; None where a segment lacks the unit.
    """

    units: pd.DataFrame
    segments: tuple[ExternalSegment, ...]
    trains: Matched

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.units)

    def take(self, units: Int[np.ndarray, " unit"]) -> Cells:
        """Return a view of some units, by position."""
        trains = tuple(tuple(row[unit] for unit in units) for row in self.trains)
        return replace(self, units=self.units.iloc[units].reset_index(drop=True), trains=trains)

    def pieces(self, unit: int) -> Pieces:
        """Return the observed time of a unit, in the unit of time of its first train."""
        own = [(number, row[unit]) for number, row in enumerate(self.trains) if row[unit] is not None]
        time_unit = own[0][1].dimensionality.string
        milliseconds_per(time_unit)
        found = [(number, a, b) for number, train in own for a, b in observed_of(train, time_unit).tolist()]
        segment, start, stop = zip(*found)
        return Pieces(time_unit=time_unit, segment=segment, start=start, stop=stop)

    def groups(self) -> dict[Pieces, list[int]]:
        """Group units that were observed at the same times."""
        groups: dict[Pieces, list[int]] = {}
        for unit in range(self.n_units):
            groups.setdefault(self.pieces(unit), []).append(unit)
        return groups

    def times(self, unit: int, segment: int, pieces: Pieces) -> Float[np.ndarray, " spike"]:
        """Return the spikes of a unit in a segment, in the unit of time of its pieces; check that they lie in observed time."""
        train = self.trains[segment][unit]
        if train is None:
            return np.empty(0)
        same = train.dimensionality.string == pieces.time_unit
        times = np.asarray(train.magnitude if same else train.rescale(pieces.time_unit).magnitude, np.float64)
        check_spikes(times, pieces.borders_ms(segment) / pieces.ms, train)
        return times


def cells_of(spikes: Any) -> Cells:
    """Read the units of any container of spike trains; see `segments_of` for what is accepted.

    Raises
    ------
    AnalysisError
        If there are no spike trains, or it is unclear which belong to the same unit.

    Examples
    --------
    >>> import neo, quantities as pq
    >>> cells = cells_of([neo.SpikeTrain([1] * pq.s, t_stop=2.0, name="cell 7", depth=0.3)])
    >>> cells.units.to_dict("records")
    [{'layer': 'units', 'unit': 0, 'channel': -1, 'row': -1, 'col': -1, 'name': 'cell 7', 'depth': 0.3}]
    """
    # neo is loaded only where there are trains.
    from ann2neo.trains.external import segments_of

    segments = segments_of(spikes)
    trains = match_units(segments)
    return Cells(units=identify_units(trains), segments=segments, trains=trains)
