"""Units of neo objects from any laboratory: their own spike trains, segments with clocks of their own, trials of Epochs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import quantities as pq
from jaxtyping import Float, Int

from ann2neo.analysis.cutting import epoch_labels
from ann2neo.analysis.foreign import trains_and_epochs, unit_identities
from ann2neo.errors import AnalysisError, Ann2NeoWarning, SpikeTrainError, WindowError, suggestion
from ann2neo.measures.definitions import milliseconds_per
from ann2neo.population.recorded import BYTES_PER_TRAIN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForeignUnits:
    """Some units of neo objects.

    Parameters
    ----------
    units
        Who the units are: layer, unit, channel, row, col.
    trains
        Spike trains of each unit in each segment.
    epochs
        Epochs of each segment.
    annotations
        Annotations of each segment.
    bin_size_ms
        Size of a bin in milliseconds if ann2neo made the trains; None in continuous time.
    """

    units: pd.DataFrame
    trains: tuple[tuple[Any, ...], ...]
    epochs: tuple[tuple[Any, ...], ...]
    annotations: tuple[Mapping[str, Any], ...]
    bin_size_ms: float | None

    def __post_init__(self) -> None:
        if (
            len(self.trains) == 0
            or {len(segment) for segment in self.trains} != {len(self.units)}
            or len(self.units) == 0
        ):
            raise AnalysisError(
                f"the segments hold {sorted({len(segment) for segment in self.trains})} spike trains.",
                "It is unclear which trains belong to the same unit.",
                "Give segments with one train for each unit in the same order, or each segment by itself.",
            )
        for number, segment in enumerate(self.trains):
            _check_segment(segment, number)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return len(self.units)

    @property
    def duration_ms(self) -> float:
        """Duration of all segments together in milliseconds."""
        return float(np.diff(self.borders_ms(), axis=1).sum())

    @property
    def train_bytes(self) -> float:
        """Memory that one unit takes when it is binned, on average."""
        n_spikes = sum(len(train) for segment in self.trains for train in segment)
        return BYTES_PER_TRAIN * len(self.trains) + 40 * n_spikes / self.n_units

    def take(self, units: Int[np.ndarray, " unit"]) -> ForeignUnits:
        """View some units, by position."""
        trains = tuple(tuple(segment[unit] for unit in units) for segment in self.trains)
        return replace(self, units=self.units.iloc[units].reset_index(drop=True), trains=trains)

    def segments(self) -> list[list[Any]]:
        """Give the spike trains of each segment."""
        return [list(segment) for segment in self.trains]

    def stretches(self) -> list[list[Any]]:
        """Give the spike trains of each stretch of unbroken time, which is a segment."""
        return self.segments()

    def times(self) -> list[list[Float[np.ndarray, " spike"]]]:
        """Give the spike times in milliseconds of each unit in each segment."""
        return [[_times_ms(train) for train in segment] for segment in self.trains]

    def borders_ms(self) -> Float[np.ndarray, "stretch two"]:
        """Say when each segment begins and ends, in milliseconds on its own clock."""
        return np.array([_borders(segment[0]) for segment in self.trains])

    def trials(self, by: str) -> pd.DataFrame:
        """Say when each trial with a label begins and ends: intervals of an Epoch, else whole segments that carry the label as an annotation.

        Trials that leave their segment are left out with a warning.
        """
        rows = [row for number in range(len(self.trains)) for row in self._trials_of_segment(number, by)]
        table = pd.DataFrame(rows, columns=["segment", "start_ms", "stop_ms", "label"])
        borders = self.borders_ms()[table["segment"].to_numpy(np.int64)]
        slack = 1e-9 * np.abs(borders).max(initial=1.0)
        inside = (table["start_ms"] >= borders[:, 0] - slack) & (table["stop_ms"] <= borders[:, 1] + slack)
        if not inside.all():
            text = f"{int((~inside).sum())} of {len(table)} trials leave the time in which spikes were recorded.\nThey are left out."
            warnings.warn(Ann2NeoWarning(text), stacklevel=3)
        return table[inside].reset_index(drop=True)

    def spikes_before(
        self, segment: Int[np.ndarray, " trial"], edges_ms: Float[np.ndarray, "trial edge"]
    ) -> Int[np.ndarray, "unit trial edge"]:
        """Count the spikes of each unit before each time; differences are counts in half-open windows."""
        before = np.zeros((self.n_units, *edges_ms.shape), np.int64)
        for number, trains in enumerate(self.trains):
            here = segment == number
            for unit, train in enumerate(trains):
                before[unit, here] = np.searchsorted(_times_ms(train), edges_ms[here])
        return before

    def episodes(self, by: str) -> list[tuple[str, list[Any]]]:
        """Give each trial with its label and its spike trains, on a clock that begins with the trial."""
        trials = self.trials(by)
        return [
            (str(label), [_cut(train, start, stop) for train in self.trains[number]])
            for number, start, stop, label in trials.itertuples(index=False)
        ]

    def _trials_of_segment(self, number: int, by: str) -> list[tuple[int, float, float, str]]:
        for epoch in self.epochs[number]:
            labels = epoch_labels(epoch, by)
            if labels is not None:
                start = np.asarray(epoch.times.rescale("ms").magnitude, np.float64)
                stop = start + np.asarray(epoch.durations.rescale("ms").magnitude, np.float64)
                known = [
                    (number, float(a), float(b), str(x)) for a, b, x in zip(start, stop, labels) if x != "" and b > a
                ]
                return [trial for trial in known if not trial[3].startswith("-")] if _whole_numbers(labels) else known
        if by in self.annotations[number]:
            start, stop = _borders(self.trains[number][0])
            return [(number, start, stop, str(self.annotations[number][by]))]
        known_names = {str(epoch.name) for epoch in self.epochs[number]} | set(map(str, self.annotations[number]))
        known_names |= {key for epoch in self.epochs[number] for key in epoch.array_annotations}
        raise WindowError(
            f"segment {number} has no Epoch and no annotation that gives {by!r} (names: {', '.join(map(repr, sorted(known_names))) or 'none'})."
            + suggestion(by, known_names),
            "Its trials have no labels.",
            "Name an Epoch or array annotation with `by`, or annotate each segment: segment.annotate(label=...).",
        )


def foreign_units(spikes: Any) -> ForeignUnits:
    """Read a Block, a Segment or a list of SpikeTrains."""
    import neo

    trains, epochs = trains_and_epochs(spikes)
    segments = list(spikes.segments) if isinstance(spikes, neo.Block) else [spikes]
    annotations = [dict(getattr(segment, "annotations", {})) for segment in segments]
    ours = getattr(spikes, "annotations", {}).get("bin_size_ms") if isinstance(spikes, neo.Block) else None
    return ForeignUnits(
        units=unit_identities(trains[0]) if trains[0] else pd.DataFrame(),
        trains=_in_one_unit(trains),
        epochs=tuple(map(tuple, epochs)),
        annotations=tuple(annotations),
        bin_size_ms=None if ours is None else float(ours),
    )


def _check_segment(trains: tuple[Any, ...], number: int) -> None:
    """Refuse trains that were observed at different times, and spikes that are unsorted or outside."""
    start, stop = _borders(trains[0])
    for train in trains:
        times = _times_ms(train)
        slack = 1e-9 * max(abs(start), abs(stop))
        if not np.allclose(_borders(train), (start, stop), rtol=1e-9, atol=1e-9):
            raise AnalysisError(
                f"the trains of segment {number} begin or end at different times ({_borders(train)} and {(start, stop)} ms).",
                "They have no common time in which they could be compared.",
                "Cut them to the time that all were observed: train.time_slice(t_start, t_stop).",
            )
        if times.size and not (
            np.isfinite(times).all()
            and (np.diff(times) >= 0).all()
            and times[0] >= start - slack
            and times[-1] <= stop + slack
        ):
            raise SpikeTrainError(
                f"train {train.name!r} of segment {number} is unsorted or leaves its borders.",
                "Counts would be wrong.",
                "Sort it; set t_start and t_stop.",
            )


def _times_ms(train: Any) -> Float[np.ndarray, " spike"]:
    return np.asarray(train.magnitude, np.float64) * milliseconds_per(train.units.dimensionality.string)


def _borders(train: Any) -> tuple[float, float]:
    return float(train.t_start.rescale("ms")), float(train.t_stop.rescale("ms"))


def _cut(train: Any, start: float, stop: float) -> Any:
    import neo

    times = _times_ms(train)
    inside = times[(times >= start) & (times < stop)] - start
    return neo.SpikeTrain(
        pq.Quantity(inside, pq.ms),
        t_start=pq.Quantity(0.0, pq.ms),
        t_stop=pq.Quantity(stop - start, pq.ms),
        units=pq.ms,
    )


def _whole_numbers(labels: np.ndarray) -> bool:
    """Whether labels are integers written as text, of which negative ones mean unknown."""
    return all(str(label).lstrip("-").isdigit() for label in labels)


def _in_one_unit(segments: list[list[Any]]) -> tuple[tuple[Any, ...], ...]:
    """Give all trains the unit of time of the first: Elephant's functions of several trains want one."""
    if not segments or not segments[0]:
        return tuple(map(tuple, segments))
    unit = segments[0][0].units.dimensionality.string
    return tuple(
        tuple(train if train.units.dimensionality.string == unit else train.rescale(unit) for train in segment)
        for segment in segments
    )
