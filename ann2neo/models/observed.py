"""Data of a fit, chunk by chunk: the counted bins or trials of some units, with the condition and the input of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import quantities as pq
from jaxtyping import Bool, Int

from ann2neo.analysis.continuous import cells_source
from ann2neo.analysis.cutting import cut_time
from ann2neo.analysis.lattice import recording_source
from ann2neo.analysis.source import Chunk, Source
from ann2neo.errors import AnalysisError, WindowError
from ann2neo.formats.origin import origin_of
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk import count_in_groups, count_in_stretches
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import milliseconds_per
from ann2neo.measures.quality import quality
from ann2neo.models.checks import say_negative
from ann2neo.models.evidence import Evidence, evidence_of_bins, evidence_of_inputs
from ann2neo.models.transitions import Transitions, bins_with_context, count_transitions
from ann2neo.recording import Recording
from ann2neo.trains.cells import Cells, cells_of
from ann2neo.windows import STIMULUS, codes_of_column

if TYPE_CHECKING:
    from ann2neo.models.intervals import Intervals
    from ann2neo.models.renewal import Gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """Condition and input of each bin of a recording.

    Parameters
    ----------
    conditions
        Values of the column, ascending; one None where no column was given.
    condition
        Condition of each bin, -1 where it is unknown, shape (bin,).
    input
        Input of each bin, -1 where the condition is unknown, shape (bin,).
    condition_of_input
        Condition of each input, shape (input,).
    size
        Counted bins of each input, shape (input,).
    """

    conditions: tuple[Any, ...]
    condition: Int[np.ndarray, " bin"]
    input: Int[np.ndarray, " bin"]
    condition_of_input: Int[np.ndarray, " input"]
    size: Int[np.ndarray, " input"]

    @property
    def one_each(self) -> bool:
        """Return whether every input is one bin."""
        return bool((self.size == 1).all())


def bins_by_column(trials: pd.DataFrame, name: str | None) -> Bins:
    """Find the condition and the input of each bin; rows of one stimulus and one condition are one input.

    Raises
    ------
    WindowError
        If the column is missing.
    AnalysisError
        If the condition of all trials is unknown.

    Examples
    --------
    >>> trials = pd.DataFrame({"pass": [0, 0, 1, 1], "start_bin": [0, 2, 3, 5], "stop_bin": [2, 3, 5, 6]})
    >>> found = bins_by_column(trials.assign(label=[7, 3, 7, 3], stimulus_id=[0, 1, 0, 1]), "label")
    >>> found.conditions, found.condition, found.size
    ((3, 7), array([1, 1, 0, 1, 1, 0]), array([2, 4]))
    """
    codes, values = (
        (np.zeros(len(trials), np.int64), np.array([None])) if name is None else codes_of_column(trials, name)
    )
    if not (codes >= 0).any():
        raise AnalysisError(
            f"All {len(trials)} trials have an unknown {name} (a negative number).",
            "No bin can be counted.",
            "Use another column, or by=None with models=('rate', 'markov').",
        )
    stimuli = np.unique(trials[STIMULUS].to_numpy(), return_inverse=True)[1]
    known = codes >= 0
    pairs = codes * (int(stimuli.max()) + 1) + stimuli
    inputs = np.full(codes.size, -1, np.int64)
    kinds, inputs[known] = np.unique(pairs[known], return_inverse=True)
    length = (trials["stop_bin"] - trials["start_bin"]).to_numpy(np.int64)
    return Bins(
        conditions=tuple(values.tolist()),
        condition=np.repeat(codes, length),
        input=np.repeat(inputs, length),
        condition_of_input=kinds // (int(stimuli.max()) + 1),
        size=np.bincount(inputs[known], weights=length[known]).astype(np.int64),
    )


def gain_windows(bins: Bins, stretch_edges: Int[np.ndarray, " edge"], length: int | None) -> Int[np.ndarray, " bin"]:
    """Return the number of each counted bin's window, -1 for other bins: its input, or consecutive bins of a stretch, whose last window may be shorter.

    Parameters
    ----------
    bins
        Condition and input of each bin.
    stretch_edges
        Where stretches begin and the last one ends, shape (stretch + 1,).
    length
        Number of bins of a window; None for inputs.

    Examples
    --------
    >>> trials = pd.DataFrame({"pass": [0], "start_bin": [0], "stop_bin": [5], "label": [1], "stimulus_id": [0]})
    >>> gain_windows(bins_by_column(trials, "label"), np.array([0, 5]), 2)
    array([0, 0, 1, 1, 2])
    """
    if length is None:
        return bins.input
    lengths = np.diff(stretch_edges)
    place = np.arange(bins.input.size) - np.repeat(stretch_edges[:-1], lengths)
    pieces = -(-lengths // length)
    found = np.repeat(np.cumsum(pieces) - pieces, lengths) + place // length
    known = bins.condition >= 0
    windows = np.full(found.size, -1, np.int64)
    windows[known] = np.unique(found[known], return_inverse=True)[1]
    return windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Statistics of a chunk of units.

    Parameters
    ----------
    units
        Identity of the units.
    evidence
        Counts by condition and the other statistics of the models of rates.
    transitions
        Counts by context; None without this model, or without bins.
    counts
        Spikes of each unit in each window of `gain`, and the number of bins of each window; None without this model, or without bins.
    inputs
        Spikes of each unit in each input or trial, the bins or seconds of each, and its condition; None without the model `label_gain`.
    gaps
        Intervals between spikes in bins; None without this model, or without bins.
    intervals
        Intervals between spikes in time; None without these models, or with bins.
    quality
        Quality of each unit, shape (unit,).
    """

    units: pd.DataFrame
    evidence: Evidence
    transitions: Transitions | None
    counts: tuple[np.ndarray, np.ndarray] | None
    inputs: tuple[np.ndarray, np.ndarray, np.ndarray] | None
    gaps: Gaps | None
    intervals: Intervals | None
    quality: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Spikes and conditions that `fit` was called with.

    Parameters
    ----------
    recording
        A recording; None where there are trains in time.
    source
        Its units, chunk by chunk.
    conditions
        Values of the column, ascending.
    bins
        Condition and input of each bin; None in time.
    rows
        Rows of the units in the order of the table; None to keep their order.
    """

    recording: Recording | None
    source: Source
    conditions: tuple[Any, ...]
    bins: Bins | None
    rows: np.ndarray | None


def given(spikes: Any, by: str | None) -> Given:
    """Read a recording, trains that come from one, or trains of cells, whose trials have a condition or whose observed time is used whole.

    Raises
    ------
    AnalysisError
        If no condition is known, or trains of an ann2neo recording lost their trials.
    WindowError
        If the column is missing, or belongs to bins.
    """
    if isinstance(spikes, Recording):
        if by is not None and by not in list(spikes.trials) and spikes.bins is not None and by in list(spikes.bins):
            raise WindowError(
                f"{by!r} belongs to the bins of this recording (labels of steps), and not to its trials.",
                "Standard errors and tests treat inputs as exchangeable, which the bins of one input are not.",
                f"Use by=None for the other models, `ann2neo.analyze(recording, windows={by!r})` for counts by label, or `ann2neo.models.to_design(recording, by={by!r})` with a GLM.",
            )
        bins = bins_by_column(spikes.trials, by)
        if by is not None:
            say_negative(spikes.trials[by], by)
        # The chunks are those of analyze; windows are not used here.
        source = recording_source(spikes, "trial")
        return Given(recording=spikes, source=source, conditions=bins.conditions, bins=bins, rows=None)
    origin = origin_of(spikes)
    if origin is not None and origin.recording is not None:
        found = given(origin.recording, by)
        return Given(
            recording=found.recording,
            source=found.source,
            conditions=found.conditions,
            bins=found.bins,
            rows=origin.rows,
        )
    if origin is not None:
        raise AnalysisError(
            "these are spike trains of a recording of ann2neo whose reader lost its trials.",
            "It is unclear what is exchangeable, and no standard error can be computed.",
            "Pass the recording (`ann2neo.load(path)`).",
        )
    cells = cells_of(spikes)
    conditions = (None,) if by is None else cut_time(by, cells.segments, None).names
    source = cells_source(cells, _shortest(cells) if by is None else by, None)
    return Given(recording=None, source=source, conditions=conditions, bins=None, rows=source.rows)


def _shortest(cells: Cells) -> Any:
    """Return the duration of the shortest segment of observed time, so that every segment holds a window. Whole segments are fitted."""
    return min((b - a) * each.ms for each in cells.groups() for a, b in zip(each.start, each.stop)) * pq.ms


def observe(
    read: Callable[[], Chunk],
    bins: Bins | None,
    conditions: tuple[Any, ...],
    *,
    order: int | None,
    windows: Int[np.ndarray, " bin"] | None,
    intervals: bool,
    inputs: bool,
    min_spikes: int,
) -> Observed:
    """Read a chunk of units, here or on another machine; count transitions where an order is given, and windows where windows are."""
    chunk = read()
    spikes = chunk.spikes
    if isinstance(spikes, SpikeBits) and bins is not None:
        evidence = _of_bits(spikes, bins)
        transitions = None if order is None else _transitions(spikes, bins, order)
        in_windows = None if windows is None else _in_windows(spikes, windows)
        gaps = _gaps(spikes, bins) if intervals else None
        each = _in_inputs(spikes, bins) if inputs else None
    else:
        trials = _in_trials(spikes, conditions)
        evidence = evidence_of_inputs(*trials, len(conditions), lattice=False)
        transitions, in_windows, gaps, each = None, None, None, trials if inputs else None
    n_bins = int(evidence.total) if evidence.lattice else None
    return Observed(
        units=chunk.units,
        evidence=evidence,
        transitions=transitions,
        counts=in_windows,
        inputs=each,
        gaps=gaps,
        intervals=_intervals(spikes) if intervals and isinstance(spikes, SpikeArrays) else None,
        quality=quality(evidence.n.astype(np.int64), n_bins, min_spikes=min_spikes),
    )


def _intervals(spikes: SpikeArrays) -> Intervals:
    # Loaded only where it is needed.
    from ann2neo.models.intervals import intervals_of

    return intervals_of(spikes, milliseconds_per(spikes.time_unit) / 1000)


def _gaps(spikes: SpikeBits, bins: Bins) -> Gaps:
    """List intervals in stretches of counted bins; bins that are not counted also separate stretches."""
    # numba is loaded only where it is needed.
    from ann2neo.models.renewal import gaps_of

    counted = bins.condition >= 0
    begins = np.diff(spikes.stretch_of_bin, prepend=-1) != 0
    begins |= counted & ~np.concatenate([[False], counted[:-1]])
    stretch = np.where(counted, np.cumsum(begins), -1)
    return gaps_of(_dense(spikes), stretch)


def _in_windows(spikes: SpikeBits, windows: Int[np.ndarray, " bin"]) -> tuple[np.ndarray, np.ndarray]:
    size = np.bincount(windows[windows >= 0])
    return count_in_groups(spikes, windows, size.size).astype(np.int64), size


def _of_bits(spikes: SpikeBits, bins: Bins) -> Evidence:
    if bins.one_each:
        counts = count_in_groups(spikes, bins.condition, len(bins.conditions)).astype(np.int64)
        known = bins.condition[bins.condition >= 0]
        return evidence_of_bins(counts, np.bincount(known, minlength=len(bins.conditions)))
    return evidence_of_inputs(*_in_inputs(spikes, bins), len(bins.conditions), lattice=True)


def _in_inputs(spikes: SpikeBits, bins: Bins) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    counts = count_in_groups(spikes, bins.input, bins.size.size).astype(np.int64)
    return counts, bins.size, bins.condition_of_input


def _in_trials(
    spikes: SpikeBits | SpikeArrays, conditions: tuple[Any, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Use trials that were observed and have a condition, or all segments of observed time; durations in seconds."""
    seconds_each = milliseconds_per(spikes.time_unit) / 1000 if isinstance(spikes, SpikeArrays) else 1.0
    if conditions == (None,) and isinstance(spikes, SpikeArrays):
        counts, size = count_in_stretches(spikes).astype(np.int64), spikes.stretch_durations
        condition = np.zeros(size.size, np.int64)
    elif isinstance(spikes, SpikeArrays) and spikes.exchange is not None:
        trials = spikes.exchange
        known = (trials.label >= 0) & (trials.size > 0)
        counts = count_in_groups(spikes, trials.ids, trials.size.size).astype(np.int64)[:, known]
        size, condition = trials.size[known], trials.label[known]
    else:
        counts = np.zeros((spikes.n_units, 0), np.int64)
        size, condition = np.zeros(0), np.zeros(0, np.int64)
    return counts, size * seconds_each, condition


def _dense(spikes: SpikeBits) -> Bool[np.ndarray, "unit bin"]:
    dense = np.unpackbits(spikes.bits, axis=2, count=spikes.pass_bins).view(np.bool_)
    return np.ascontiguousarray(dense.transpose(1, 0, 2)).reshape(spikes.n_units, spikes.n_bins)


def _transitions(spikes: SpikeBits, bins: Bins, order: int) -> Transitions:
    counted: Bool[np.ndarray, " bin"] = bins.condition >= 0
    within = bins_with_context(spikes.stretch_edges, counted, order)
    return count_transitions(_dense(spikes), within, counted, None if bins.one_each else bins.input, order)
