"""Units of a recording: their spikes by bin, and as spike trains where Elephant needs them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ann2neo.analysis.source import identity
from ann2neo.around import Around
from ann2neo.errors import AnalysisError, WindowError
from ann2neo.recording import Recording
from ann2neo.step_labels import Sequences, sequences_of, step_codes, windows_of_steps
from ann2neo.windows import column_of

BYTES_PER_TRAIN = 3500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedUnits:
    """Some units of a recording; a segment is a pass."""

    recording: Recording

    @property
    def units(self) -> pd.DataFrame:
        """Who the units are: layer, unit, channel, row, col."""
        tables = [identity(layer.name, layer.units, layer.coordinates) for layer in self.recording.layers]
        return pd.concat(tables, ignore_index=True)

    @property
    def n_units(self) -> int:
        """Number of units."""
        return self.recording.n_units

    @property
    def bin_size_ms(self) -> float | None:
        """Size of a bin in milliseconds."""
        return float(self.recording.bin_size_ms)

    @property
    def duration_ms(self) -> float:
        """Duration of all passes together in milliseconds."""
        return self.recording.pseudotime.duration_ms

    @property
    def train_bytes(self) -> float:
        """Memory of the spike trains of one unit, on average, with what binning them adds."""
        n_spikes = sum(float(layer.raster.n_spikes().sum()) for layer in self.recording.layers)
        n_segments = len(self.recording.stretches) - 1
        return n_segments * BYTES_PER_TRAIN + 40 * n_spikes / max(self.n_units, 1)

    def take(self, units: Int[np.ndarray, " unit"]) -> RecordedUnits:
        """View some units, by position over all layers, in the order of the layers."""
        edges = np.cumsum([0, *(layer.n_units for layer in self.recording.layers)])
        parts = [units[(units >= a) & (units < b)] - a for a, b in pairwise(edges)]
        layers = tuple(layer.take(part) for layer, part in zip(self.recording.layers, parts) if part.size)
        return RecordedUnits(recording=replace(self.recording, layers=layers))

    def segments(self) -> list[list[Any]]:
        """Yield the spike trains of each pass."""
        return [list(segment.spiketrains) for segment in self._block(None).segments]

    def stretches(self) -> list[list[Any]]:
        """Yield the spike trains of each stretch of unbroken time, on a clock of its own."""
        by_trial = len(self.recording.stretches) - 1 > self.recording.n_passes
        return [list(segment.spiketrains) for segment in self._block("trial" if by_trial else None).segments]

    def times(self) -> list[list[Float[np.ndarray, " spike"]]]:
        """Yield the spike times in milliseconds of each unit in each stretch, on the clock of the stretch."""
        edges = self.recording.stretches
        rasters = [self.recording.raster(layer.name) for layer in self.recording.layers]
        dense = np.concatenate(rasters)
        axis = self.recording.pseudotime
        return [[axis.spike_times_ms(np.flatnonzero(row[a:b])) for row in dense] for a, b in pairwise(edges)]

    def borders_ms(self) -> Float[np.ndarray, "stretch two"]:
        """Return when each stretch begins and ends on its own clock."""
        lengths = np.diff(self.recording.stretches) * float(self.recording.bin_size_ms)
        return np.stack([np.zeros(lengths.size), lengths], axis=1)

    def trials(self, by: str, around: Around | None = None) -> pd.DataFrame:
        """Return when each trial with a label begins and ends within its pass: segment, start_ms, stop_ms, label.

        Raises
        ------
        WindowError
            If windows around events are asked for: inputs come in no time.
        """
        if around is not None:
            raise WindowError(
                f"windows={around} were asked for of a recording of a network.",
                "Its inputs come in no time, so that nothing happens around them.",
                "Leave `windows` out: every input is a trial.",
            )
        if self.has_steps(by):
            raise WindowError(
                f"{by!r} belongs to the steps of inputs, which are bins and no trials.",
                "What is asked for compares trials.",
                f"Use `ann2neo.population.tuning(recording, by={by!r})` or `ann2neo.analyze(recording, windows={by!r})`, or a column of the trials.",
            )
        table = self.recording.trials
        label = table["stimulus_id"].to_numpy() if by == "stimulus_id" else column_of(table, by)
        ms, first = float(self.recording.bin_size_ms), self._first_bin(table["pass"].to_numpy(np.int64))
        trials = pd.DataFrame(
            {
                "segment": table["pass"].to_numpy(np.int64),
                "start_ms": (table["start_bin"].to_numpy(np.int64) - first) * ms,
                "stop_ms": (table["stop_bin"].to_numpy(np.int64) - first) * ms,
                "label": label,
            }
        )
        unknown = label < 0 if np.issubdtype(label.dtype, np.number) else label == ""
        return trials[~unknown].reset_index(drop=True)

    def has_steps(self, by: str) -> bool:
        """Whether a name is that of labels that belong to the steps of inputs."""
        return self.recording.bins is not None and by in self.recording.bins.columns

    def steps(self, by: str) -> tuple[np.ndarray, Sequences]:
        """Find the labels of steps, ascending, and which inputs can exchange theirs.

        Raises
        ------
        WindowError
            If all labels are unknown.
        """
        bins = pd.DataFrame() if self.recording.bins is None else self.recording.bins
        _ = windows_of_steps(self.recording.trials, bins, by)
        return step_codes(bins, by)[1], sequences_of(self.recording.trials, bins, by, labels_are_windows=True)

    def observed(self, trials: pd.DataFrame) -> Bool[np.ndarray, "unit trial"]:
        """Whether each unit was observed in each trial: a recording of a network holds all units of every input."""
        return np.ones((self.n_units, len(trials)), np.bool_)

    def spikes_before(
        self, segment: Int[np.ndarray, " trial"], edges_ms: Float[np.ndarray, "trial edge"]
    ) -> Int[np.ndarray, "unit trial edge"]:
        """Count the spikes of each unit before each time; differences are counts in half-open windows."""
        dense = np.concatenate([self.recording.raster(layer.name) for layer in self.recording.layers])
        total = np.zeros((len(dense), self.recording.n_bins + 1), np.int32)
        np.cumsum(dense, axis=1, out=total[:, 1:])
        bins = np.rint(edges_ms / float(self.recording.bin_size_ms)).astype(np.int64)
        return total[:, bins + self._first_bin(segment)[:, None]].astype(np.int64)

    def episodes(self, by: str) -> list[tuple[str, list[Any]]]:
        """Yield labelled pieces of time with their spike trains: trials of several bins, else all bins of a label of a pass, one after another.

        Raises
        ------
        AnalysisError
            If trials of one bin carry a negative (unknown) label, which would become a label of its own.
        """
        of_label = self.recording.trials.assign(label=column_of(self.recording.trials, by))
        labelled = RecordedUnits(recording=replace(self.recording, trials=of_label))
        steps = len(labelled.recording.stretches) - 1 > labelled.recording.n_passes
        segments = labelled._block("trial" if steps else "label").segments
        labels = of_label["label"] if steps else [segment.annotations["label"] for segment in segments]
        if any(isinstance(label, int | np.integer) and label < 0 for label in labels):
            raise AnalysisError(
                f"some trials have no known {by!r}.",
                "Their trajectories have no label.",
                "Leave these trials out of the recording.",
            )
        return [(str(label), list(segment.spiketrains)) for label, segment in zip(labels, segments)]

    def _block(self, segment_by: Literal["label", "trial"] | None) -> Any:
        from ann2neo.trains import to_block

        return to_block(self.recording, segment_by=segment_by)

    def _first_bin(self, segment: Int[np.ndarray, " trial"]) -> Int[np.ndarray, " trial"]:
        return segment * (self.recording.n_bins // self.recording.n_passes)
