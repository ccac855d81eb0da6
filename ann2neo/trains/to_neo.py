"""Conversion of a recording to a neo Block."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import neo
import numpy as np
import pandas as pd
import quantities as pq
from jaxtyping import Int

from ann2neo.errors import WindowError
from ann2neo.measures.quality import MIN_SPIKES
from ann2neo.outline import outline_of, plain, time_axis, trial_names
from ann2neo.pseudotime import PseudoTime
from ann2neo.recording import SCHEMA, Layer, Recording, as_recording
from ann2neo.trains.lazy import LazySpikeTrainList
from ann2neo.trains.unit_trains import UnitTrains, few_enough_to_keep, layer_units
from ann2neo.windows import column_of

SegmentBy = Literal["label", "trial"]
BINS = "bins"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """The trials of one Segment, on a separate clock from 0."""

    name: str
    annotations: dict[str, Any]
    rows: Int[np.ndarray, " trial"]
    bins: Int[np.ndarray, " bin"]


def to_block(recording: Recording, *, segment_by: SegmentBy | None = None) -> neo.Block:
    """Convert a recording to a neo Block.

    The Block has the provenance as flat annotations. It has a Segment for each pass or, on request, for each label of each pass (its trials one
    after the other in the recording's order) or for each trial; every Segment has a separate clock from 0. A Segment holds a SpikeTrain for every unit,
    including silent ones, in the order of layers and units, and an Epoch ``trials`` with all columns of the trials table as array annotations. Its labels are
    the trials' ``label_name``, else ``label``, else ``stimulus_id``. Where steps have labels, an Epoch ``bins`` has an interval for each bin, with these labels as array
    annotations. There is a Group for each layer.

    Annotations of a SpikeTrain: ``layer`` and ``source_population`` (the layer), ``source_index`` (place of the unit in the flattened activation),
    ``channel``, ``row``, ``col`` (where the layer has such axes), ``channel_id`` (number of the unit in the recording), ``threshold``, ``n_spikes``
    (in the whole recording), ``quality`` (one of silent, saturated, too_few for fewer than 10 spikes or empty bins, good).

    Parameters
    ----------
    recording
        A recording.
    segment_by
        Unit of a Segment; None makes a Segment of each pass, and only then can `from_block` convert the Block back.

    Raises
    ------
    AnnotationError
        If the provenance holds something that neo's files cannot keep.
    WindowError
        If Segments by label are requested and there are no labels.

    See Also
    --------
    ann2neo.from_block, ann2neo.to_xarray, ann2neo.read_block

    Examples
    --------
    >>> import numpy as np
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.array([[1, 0], [0, 0], [1, 0]], bool), layer="relu")
    >>> train = to_block(recording).segments[0].spiketrains[0]
    >>> train.name, train.times
    ('relu[0]', array([0.25, 2.25]) * ms)
    """
    as_recording(recording)
    if segment_by not in (None, "label", "trial"):
        raise WindowError(
            f"segment_by={segment_by!r} is unknown.",
            "Nothing was made.",
            "Use 'label', 'trial', or leave it out: a Segment is then a pass.",
        )
    outline = json.dumps(outline_of(recording))
    pieces = _pieces(recording, segment_by)
    block = neo.Block(
        name="ann2neo",
        description=f"Activations above threshold of an artificial neural network; {time_axis(recording)}",
        **_block_annotations(recording, outline, segment_by),
    )
    layers = layer_units(recording)
    keep = few_enough_to_keep(recording, len(pieces))
    trains = [[UnitTrains(units, piece.bins, recording.bin_size_ms, keep=keep) for units in layers] for piece in pieces]
    for number, (piece, of_piece) in enumerate(zip(pieces, trains)):
        segment = neo.Segment(name=piece.name, description=time_axis(recording), index=number, **piece.annotations)
        segment.epochs.extend([_epoch(recording, piece), *_epochs_of_bins(recording, piece)])
        segment.spiketrains = LazySpikeTrainList([(part, range(len(part))) for part in of_piece], segment)
        block.segments.extend([segment])
    block.groups.extend([_group(layer, of_layer) for layer, of_layer in zip(recording.layers, zip(*trains))])
    return block


def _block_annotations(recording: Recording, outline: str, segment_by: SegmentBy | None) -> dict[str, Any]:
    flat = {key: plain(value) for key, value in recording.provenance.items()}
    ours = {
        "schema": SCHEMA,
        "bin_size_ms": float(recording.bin_size_ms),
        "min_spikes": MIN_SPIKES,
        "segmented_by": segment_by or "pass",
        "config_json": outline,
    }
    return flat | ours


def _pieces(recording: Recording, segment_by: SegmentBy | None) -> list[_Piece]:
    trials = recording.trials
    passes = trials["pass"].to_numpy(np.int64)
    if segment_by == "trial":
        inner, kind = np.arange(len(trials)), "trial"
    elif segment_by == "label":
        inner, kind = np.unique(column_of(trials, "label"), return_inverse=True)[1], "label"
    else:
        inner, kind = np.zeros(len(trials), np.int64), "pass"
    keys = passes * (int(inner.max()) + 1) + inner
    return [_piece(trials, np.flatnonzero(keys == key), kind) for key in np.unique(keys)]


def _piece(trials: pd.DataFrame, rows: Int[np.ndarray, " trial"], kind: str) -> _Piece:
    start, stop = trials["start_bin"].tolist(), trials["stop_bin"].tolist()
    of_pass, first = int(trials["pass"].iloc[rows[0]]), int(rows[0])
    annotations: dict[str, Any] = {"pass": of_pass}
    name = f"pass {of_pass}"
    if kind != "pass":
        value = plain(trials[kind].iloc[first])
        annotations[kind] = value
        name = f"{name}, {kind} {value}"
    bins = np.concatenate([np.arange(start[row], stop[row]) for row in rows])
    return _Piece(name=name, annotations=annotations, rows=rows, bins=bins)


def _epoch(recording: Recording, piece: _Piece) -> Any:
    rows = recording.trials.iloc[piece.rows]
    length = (rows["stop_bin"] - rows["start_bin"]).to_numpy(np.int64)
    edges = PseudoTime(n_bins=piece.bins.size, bin_size_ms=recording.bin_size_ms).edges_ms[
        np.concatenate([[0], np.cumsum(length)])
    ]
    return neo.Epoch(
        pq.Quantity(edges[:-1], pq.ms),
        durations=pq.Quantity(np.diff(edges), pq.ms),
        labels=np.array(trial_names(rows)),
        name="trials",
        array_annotations={str(name): np.array(rows[name].tolist()) for name in rows.columns},
    )


def _epochs_of_bins(recording: Recording, piece: _Piece) -> list[Any]:
    """Make the Epoch of the table of bins; an empty list if there is no such table."""
    if recording.bins is None:
        return []
    edges = PseudoTime(n_bins=piece.bins.size, bin_size_ms=recording.bin_size_ms).edges_ms
    rows = recording.bins.iloc[piece.bins % len(recording.bins)]
    return [
        neo.Epoch(
            pq.Quantity(edges[:-1], pq.ms),
            durations=pq.Quantity(np.diff(edges), pq.ms),
            name=BINS,
            array_annotations={str(name): rows[name].to_numpy() for name in rows.columns},
        )
    ]


def _group(layer: Layer, trains: Iterable[UnitTrains]) -> neo.Group:
    group = neo.Group(name=layer.name, layer=layer.name, shape=[int(size) for size in layer.shape], dtype=layer.dtype)
    group.spiketrains = LazySpikeTrainList([(part, range(len(part))) for part in trains])
    return group
