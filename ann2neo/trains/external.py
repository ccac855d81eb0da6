"""Spike trains of any laboratory, in any container, as segments: the one reader of neo objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import neo
import numpy as np
import pandas as pd
import quantities as pq
from neo.core.spiketrainlist import SpikeTrainList

from ann2neo.errors import AnalysisError, kind_of
from ann2neo.recording import Recording
from ann2neo.trains.segment import ExternalSegment

USUAL = "Pass a Recording, a neo.Block, a neo.Segment or a list of neo.SpikeTrain."
BORDERS = ("t_start", "t_stop")


def segments_of(spikes: Any) -> tuple[ExternalSegment, ...]:
    """Read the segments of any container of spike trains.

    Accepted containers are a neo Block, Segment, Group, SpikeTrain or list of trains; a list of lists of trains and the objects of `elephant.trials` (every list is
    a trial); a list of Segments; a TsGroup or Ts of pynapple; and a dict of SpikeTrains, or of times with their unit together with ``"t_stop"``.

    Raises
    ------
    AnalysisError
        If it holds no spike trains, or times lack a unit or an end.

    Examples
    --------
    >>> train = neo.SpikeTrain([1.0] * pq.s, t_stop=2.0)
    >>> [len(segment.trains) for segment in segments_of([[train, train], [train, train]])]
    [2, 2]
    """
    found = _segments(spikes)
    if not found:
        raise AnalysisError("the Block has no segments.", "There is nothing to analyze.", "Pass spike trains.")
    return tuple(_loaded(segment) for segment in found)


def _segments(spikes: Any) -> list[ExternalSegment]:
    if isinstance(spikes, neo.Block):
        return [_of_segment(segment) for segment in spikes.segments]
    if isinstance(spikes, neo.Segment):
        return [_of_segment(spikes)]
    if isinstance(spikes, neo.SpikeTrain):
        return [ExternalSegment(trains=(spikes,))]
    if isinstance(spikes, neo.Group):
        return _of_group(spikes)
    if hasattr(spikes, "get_spiketrains_from_trial_as_list"):
        return _of_trials(spikes)
    if type(spikes).__module__.startswith("pynapple"):
        return [ExternalSegment(trains=tuple(_of_pynapple(spikes)))]
    if isinstance(spikes, Mapping):
        return [ExternalSegment(trains=tuple(_of_mapping(spikes)))]
    return _of_list(spikes)


def _of_segment(segment: Any) -> ExternalSegment:
    return ExternalSegment(
        trains=tuple(segment.spiketrains),
        epochs=tuple(segment.epochs),
        events=tuple(segment.events),
        annotations=dict(segment.annotations),
    )


def _of_list(spikes: Any) -> list[ExternalSegment]:
    """Read a list of trains, of Segments, or of lists of trains."""
    if not isinstance(spikes, (Sequence, SpikeTrainList)) or isinstance(spikes, str) or len(spikes) == 0:
        raise _no_spikes(spikes)
    many = list(spikes)
    if all(is_train(one) for one in many):
        return [ExternalSegment(trains=tuple(many))]
    if all(isinstance(one, neo.Segment) for one in many):
        return [_of_segment(one) for one in many]
    lists = [isinstance(one, (list, tuple, SpikeTrainList)) and all(is_train(train) for train in one) for one in many]
    if all(lists):
        return [ExternalSegment(trains=tuple(one)) for one in many]
    raise _no_spikes(spikes)


def _of_group(group: Any) -> list[ExternalSegment]:
    """Read the trains of a Group and of the Groups in it; trains of one Segment share a clock and the Epochs of that Segment."""
    parents: dict[int, tuple[Any, list[Any]]] = {}
    for train in _members(group):
        segment = getattr(train, "segment", None)
        parents.setdefault(id(segment), (segment, []))[1].append(train)
    for segment in group.segments:
        parents.setdefault(id(segment), (segment, list(segment.spiketrains)))
    if not parents:
        raise AnalysisError(
            f"the Group {group.name!r} holds no spike trains.", "There is nothing to analyze.", "Add trains to it."
        )
    return [
        ExternalSegment(
            trains=tuple(trains),
            epochs=tuple(getattr(segment, "epochs", ())),
            events=tuple(getattr(segment, "events", ())),
            annotations=dict(getattr(segment, "annotations", {})),
        )
        for segment, trains in parents.values()
    ]


def _members(group: Any) -> list[Any]:
    inner = [train for other in group.groups for train in _members(other)]
    return [*group.spiketrains, *inner]


def _of_trials(trials: Any) -> list[ExternalSegment]:
    """Read an object of `elephant.trials` without making Segments of its lists, which would change the parents of the user's trains."""
    block = getattr(trials, "block", None)
    if isinstance(block, neo.Block):
        return [_of_segment(segment) for segment in block.segments]
    numbers = range(trials.n_trials)
    return [ExternalSegment(trains=tuple(trials.get_spiketrains_from_trial_as_list(number))) for number in numbers]


def _of_pynapple(group: Any) -> list[Any]:
    """Convert a TsGroup, or one Ts, to trains; pynapple's times are in seconds, and its time support is the observed time."""
    support = getattr(group, "time_support", None)
    if support is None:
        raise _no_spikes(group)
    observed = np.stack([np.asarray(support.start, np.float64), np.asarray(support.end, np.float64)], axis=1)
    if not hasattr(group, "items"):
        return [_train_of_times(group.times(), observed, name=None)]
    known = {str(column): list(group.get_info(column)) for column in getattr(group, "metadata_columns", ())}
    return [
        _train_of_times(
            one.times(),
            observed,
            name=str(known["unit_name"][row] if "unit_name" in known else key),
            id=key,
            **{column: values[row] for column, values in known.items() if column != "rate"},
        )
        for row, (key, one) in enumerate(group.items())
    ]


def _train_of_times(times: Any, observed: np.ndarray, name: str | None, **annotations: Any) -> Any:
    plain = {key: value.item() if hasattr(value, "item") else value for key, value in annotations.items()}
    return neo.SpikeTrain(
        pq.Quantity(np.asarray(times, np.float64), pq.s),
        t_start=pq.Quantity(observed.min(), pq.s),
        t_stop=pq.Quantity(observed.max(), pq.s),
        name=name,
        obs_intervals=observed,
        **plain,
    )


def _of_mapping(spikes: Mapping[Any, Any]) -> list[Any]:
    """Read trains by name, or times with a unit and one end for all."""
    borders = {name: spikes[name] for name in BORDERS if name in spikes}
    trains = {name: value for name, value in spikes.items() if name not in BORDERS}
    if not trains:
        raise _no_spikes(spikes)
    return [_of_entry(str(name), value, borders) for name, value in trains.items()]


def _of_entry(name: str, value: Any, borders: Mapping[str, Any]) -> Any:
    if is_train(value):
        named = value.duplicate_with_new_data(value.times, t_start=value.t_start, t_stop=value.t_stop)
        named.name, named.annotations = name, dict(value.annotations)
        return named
    cure = 'Pass times with their unit, and the end of observation: {"unit 1": times * pq.s, "t_stop": 600 * pq.s}.'
    if not isinstance(value, pq.Quantity):
        raise AnalysisError(f"the times of {name!r} have no unit.", "Seconds and milliseconds look the same.", cure)
    if not isinstance(borders.get("t_stop"), pq.Quantity):
        raise AnalysisError(
            'the dict has no "t_stop" with a unit of time.',
            "A rate is spikes over observed time, which is unknown.",
            cure,
        )
    start = borders.get("t_start", pq.Quantity(0.0, value.units))
    try:
        return neo.SpikeTrain(np.sort(value), t_start=start, t_stop=borders["t_stop"], name=name)
    except ValueError as error:
        raise AnalysisError(
            f"the times of {name!r} do not make a spike train ({error}).", "Rates would be wrong.", cure
        ) from error


def is_train(one: Any) -> bool:
    """Return whether an object is a spike train, or the proxy of one that is read when needed."""
    return isinstance(one, neo.SpikeTrain) or type(one).__name__ == "SpikeTrainProxy"


def _loaded(segment: ExternalSegment) -> ExternalSegment:
    """Read the data that neo loads lazily from the file."""
    parts = (segment.trains, segment.epochs, segment.events)
    if not any(hasattr(one, "load") for part in parts for one in part):
        return segment
    trains, epochs, events = (tuple(one.load() if hasattr(one, "load") else one for one in part) for part in parts)
    return ExternalSegment(trains=trains, epochs=epochs, events=events, annotations=segment.annotations)


def _no_spikes(given: Any) -> AnalysisError:
    """Make the error that names the object given instead of spikes, and how to get spikes from it."""
    cures = {
        str: "Open it: ann2neo.load(path) for a recording of a network, ann2neo.read_block(path) for any other file.",
        Path: "Open it: ann2neo.load(path) for a recording of a network, ann2neo.read_block(path) for any other file.",
        np.ndarray: "Make a recording of it: ann2neo.from_array(spikes), shape (bin, unit).",
        pd.DataFrame: "A table is the result of `analyze`: pass it to `ann2neo.summarize` or `ann2neo.compare`.",
    }
    cure = next((text for kind, text in cures.items() if isinstance(given, kind)), USUAL)
    many = isinstance(given, Sequence) and not isinstance(given, str) and len(given) > 0
    if many and all(isinstance(one, (neo.Block, Recording)) for one in given):
        cure = "Analyze each of them separately: `ann2neo.compare` and `ann2neo.figures.beside_chance` take several tables."
    empty = isinstance(given, Sequence) and not isinstance(given, str) and not given
    what = "an empty list" if empty else kind_of(given)
    return AnalysisError(f"{what} holds no spike trains.", "There is nothing to analyze.", cure)
