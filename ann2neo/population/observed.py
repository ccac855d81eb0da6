"""Units of neo objects from any laboratory: their own spike trains, the time in which each was observed, trials of Epochs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import quantities as pq
from jaxtyping import Bool, Float, Int

from ann2neo.analysis.cutting import BIN_TOLERANCE, wholly_observed
from ann2neo.around import Around
from ann2neo.errors import AnalysisError, Ann2NeoWarning
from ann2neo.population.recorded import BYTES_PER_TRAIN
from ann2neo.trains.cells import Cells, Pieces
from ann2neo.trains.intervals import intervals_by
from ann2neo.trains.moments import windows_around
from ann2neo.trains.observed import common_time

Span = tuple[int, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObservedUnits:
    """Some units of neo objects.

    Parameters
    ----------
    cells
        Who the units are, their trains, and when each was observed.
    pieces
        When each unit was observed.
    common
        Pieces of time in which all of them were observed: segment, begin and end in milliseconds; None where that is not asked.
    bin_size_ms
        Size of a bin in milliseconds if ann2neo made the spikes, so that they lie on bins; None in continuous time.
    """

    cells: Cells
    pieces: tuple[Pieces, ...]
    common: tuple[Span, ...] | None = None
    bin_size_ms: float | None = None

    @property
    def units(self) -> pd.DataFrame:
        """Who the units are: layer, unit, channel, row, col, then name and annotations."""
        return self.cells.units

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self.cells.n_units

    @property
    def duration_ms(self) -> float:
        """Duration of all segments together in milliseconds: of the time that is common to all units, or the longest of a unit."""
        if self.common is not None:
            return float(sum(stop - start for _, start, stop in self.common))
        return max(float(np.sum(each.stop) - np.sum(each.start)) * each.ms for each in set(self.pieces))

    @property
    def train_bytes(self) -> float:
        """Memory that one unit takes when it is binned, on average."""
        n_spikes = sum(len(train) for row in self.cells.trains for train in row if train is not None)
        return BYTES_PER_TRAIN * len(self.cells.trains) + 40 * n_spikes / self.n_units

    def take(self, units: Int[np.ndarray, " unit"]) -> ObservedUnits:
        """View some units, by position; common time stays what it was."""
        return replace(self, cells=self.cells.take(units), pieces=tuple(self.pieces[unit] for unit in units))

    def together(self) -> ObservedUnits:
        """Keep to the time in which all units were observed, and say how much of it that is.

        Raises
        ------
        AnalysisError
            If there is none.
        """
        common = tuple(self._common_spans())
        found = replace(self, common=common)
        if not common:
            raise AnalysisError(
                f"the {self.n_units} units begin or end at different times: no time was observed of all.",
                "They have no common time in which they could be compared.",
                "Leave out units (units=) that were not recorded at the same time.",
            )
        if found.duration_ms < self.duration_ms * (1 - 1e-9):
            text = f"Not all units were observed at the same times: {found.duration_ms:g} of {self.duration_ms:g} ms are common to all.\nOnly these are used."
            warnings.warn(Ann2NeoWarning(text), stacklevel=4)
        return found

    def segments(self) -> list[list[Any]]:
        """Yield the spike trains of each piece of common time."""
        return [[self._train(unit, span) for unit in range(self.n_units)] for span in self._spans()]

    def stretches(self) -> list[list[Any]]:
        """Yield the spike trains of each stretch of unbroken time, which is a piece of common time."""
        return self.segments()

    def times(self) -> list[list[Float[np.ndarray, " spike"]]]:
        """Yield the spike times in milliseconds of each unit in each piece of common time."""
        found = []
        for segment, start, stop in self._spans():
            slack = 1e-9 * max(abs(start), abs(stop), 1.0)
            rows = [self._times_ms(unit, segment) for unit in range(self.n_units)]
            found.append([row[(row >= start - slack) & (row <= stop + slack)] for row in rows])
        return found

    def spans_ms(self) -> dict[int, tuple[float, float]]:
        """Return when any unit was observed, from the first time to the last in milliseconds, by the number of the segment."""
        spans = {}
        for number in range(len(self.cells.segments)):
            borders = np.concatenate([pieces.borders_ms(number) for pieces in set(self.pieces)])
            if len(borders):
                spans[number] = (float(borders.min()), float(borders.max()))
        return spans

    def borders_ms(self) -> Float[np.ndarray, "stretch two"]:
        """Return when each piece of common time begins and ends, in milliseconds on the clock of its segment."""
        return np.array([(start, stop) for _, start, stop in self._spans()])

    def trials(self, by: str, around: Around | None = None) -> pd.DataFrame:
        """Return when each trial with a known condition begins and ends: intervals of an Epoch, else whole segments that carry the condition as an annotation.

        With ``around`` they are windows about events, whose table has the condition. Trials without an end, or without duration, are left out with a warning.
        """
        segments = self.cells.segments
        found = intervals_by(segments, by) if around is None else windows_around(segments, around, by)
        rows = [
            (number, start, stop, value)
            for number, each in enumerate(found)
            for start, stop, value in zip(each.start.tolist(), each.stop.tolist(), each.values)
            if value is not None and not (self.bin_size_ms is not None and _is_unknown_of_ours(value))
        ]
        table = pd.DataFrame(rows, columns=["segment", "start_ms", "stop_ms", "label"])
        lasting = (table["stop_ms"] > table["start_ms"]).to_numpy(np.bool_)
        if not lasting.all():
            text = f"{int((~lasting).sum())} of {len(table)} trials of {by!r} have no end or no duration.\nThey are left out."
            warnings.warn(Ann2NeoWarning(text), stacklevel=4)
        return table[lasting].reset_index(drop=True)

    def observed(self, trials: pd.DataFrame) -> Bool[np.ndarray, "unit trial"]:
        """Whether each unit was observed during the whole of each trial."""
        known: dict[Pieces, np.ndarray] = {}
        for pieces in set(self.pieces):
            known[pieces] = np.zeros(len(trials), np.bool_)
            for number, rows in trials.groupby("segment"):
                start, stop = rows["start_ms"].to_numpy(np.float64), rows["stop_ms"].to_numpy(np.float64)
                known[pieces][rows.index] = wholly_observed(start, stop, pieces.borders_ms(int(str(number))))
        return np.stack([known[pieces] for pieces in self.pieces])

    def spikes_before(
        self, segment: Int[np.ndarray, " trial"], edges_ms: Float[np.ndarray, "trial edge"]
    ) -> Int[np.ndarray, "unit trial edge"]:
        """Count the spikes of each unit before each time; differences are counts in half-open windows, with borders as Elephant's bins have them."""
        before = np.zeros((self.n_units, *edges_ms.shape), np.int64)
        shifted = edges_ms - BIN_TOLERANCE * np.diff(edges_ms[:, :2], axis=1)
        for number in np.unique(segment):
            here = segment == number
            for unit in range(self.n_units):
                before[unit, here] = np.searchsorted(self._times_ms(unit, int(number)), shifted[here])
        return before

    def trains_in(self, trials: pd.DataFrame) -> list[tuple[Any, list[Any]]]:
        """Yield each trial with its condition and its spike trains, on a clock that begins with the trial."""
        return [
            (label, [_cut(self._times_ms(unit, number), start, stop) for unit in range(self.n_units)])
            for number, start, stop, label in trials[["segment", "start_ms", "stop_ms", "label"]].itertuples(
                index=False
            )
        ]

    def _times_ms(self, unit: int, segment: int) -> Float[np.ndarray, " spike"]:
        pieces = self.pieces[unit]
        return self.cells.times(unit, segment, pieces) * pieces.ms

    def _spans(self) -> tuple[Span, ...]:
        return tuple(self._common_spans()) if self.common is None else self.common

    def _common_spans(self) -> list[Span]:
        distinct = set(self.pieces)
        return [
            (number, start, stop)
            for number in range(len(self.cells.segments))
            for start, stop in common_time([each.borders_ms(number) for each in distinct]).tolist()
        ]

    def _train(self, unit: int, span: Span) -> Any:
        """Return the unit's own train, or its part within a piece of common time; all in one unit of time."""
        segment, start, stop = span
        own, wanted = self.cells.trains[segment][unit], self.pieces[0].time_unit
        times = self._times_ms(unit, segment)
        a, b = float(own.t_start.rescale("ms")), float(own.t_stop.rescale("ms"))
        if np.isclose(a, start, rtol=1e-12, atol=0) and np.isclose(b, stop, rtol=1e-12, atol=0):
            return own if own.dimensionality.string == wanted else own.rescale(wanted)
        return _cut(times, start, stop, shift=False).rescale(wanted)


def observed_units(cells: Cells, bin_size_ms: float | None = None) -> ObservedUnits:
    """Read when each unit was observed, and check its spikes."""
    pieces = tuple(cells.pieces(unit) for unit in range(cells.n_units))
    for unit, own in enumerate(pieces):
        for segment in set(own.segment):
            cells.times(unit, segment, own)
    return ObservedUnits(cells=cells, pieces=pieces, bin_size_ms=bin_size_ms)


def _is_unknown_of_ours(value: Any) -> bool:
    """Whether a condition of a recording of ours, which is numbered from 0, is unknown."""
    return value == "-1" or (isinstance(value, (int, float)) and value < 0)


def _cut(times: Float[np.ndarray, " spike"], start: float, stop: float, *, shift: bool = True) -> Any:
    """Make a train of the spikes between two times; those at the end belong to what follows, unless nothing does."""
    import neo

    slack = BIN_TOLERANCE * (stop - start)
    inside = times[(times >= start - slack) & (times < stop - slack if shift else times <= stop)]
    zero = start if shift else 0.0
    return neo.SpikeTrain(
        pq.Quantity(np.clip(inside - zero, start - zero, stop - zero), pq.ms),
        t_start=pq.Quantity(start - zero, pq.ms),
        t_stop=pq.Quantity(stop - zero, pq.ms),
        units=pq.ms,
    )
