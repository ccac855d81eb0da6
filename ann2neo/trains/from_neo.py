"""Conversion of a Block that ann2neo made back to a recording."""

from __future__ import annotations

from typing import Any

import neo
import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8

from ann2neo.errors import ForeignFile, FormatError, PseudoTimeError
from ann2neo.outline import bin_column_names, read_outline, restore_bins, restore_trials, trial_column_names
from ann2neo.pseudotime import PseudoTime
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording
from ann2neo.trains.to_neo import BINS


def from_block(block: neo.Block) -> Recording:
    """Convert a Block that `to_block` made back to the same recording, also after it was written to a file and read.

    Units whose trains were removed from every Segment are left out.

    Raises
    ------
    FormatError
        If ann2neo did not make the Block, if it was segmented by label or trial, or if it was changed so that its parts contradict each other.

    See Also
    --------
    ann2neo.to_block, ann2neo.read_block, ann2neo.from_array

    Examples
    --------
    >>> import numpy as np
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.eye(4, dtype=bool), labels=[0, 1, 0, 1])
    >>> from_block(ann2neo.to_block(recording)).identical(recording)
    True
    """
    outline = _outline_of(block)
    per_segment = [_by_layer(segment) for segment in block.segments]
    trials = _trials(block, outline)
    n_bins = int(trials["stop_bin"].iloc[-1]) // len(per_segment)
    kept = [entry for entry in outline["layers"] if entry["n_units"] == 0 or entry["name"] in per_segment[0]]
    if not kept:
        raise _changed("it has no spike trains of the layers that it names")
    return Recording(
        layers=tuple(_layer(entry, per_segment, n_bins, outline["bin_size_ms"]) for entry in kept),
        trials=trials,
        bin_size_ms=outline["bin_size_ms"],
        provenance=outline["provenance"],
        bins=_bins(block, outline, n_bins),
    )


def _outline_of(block: neo.Block) -> dict[str, Any]:
    if not isinstance(block, neo.Block):
        raise FormatError(
            f"an object of type {type(block).__name__} is not a neo.Block.",
            "There is no recording in it.",
            "Pass the Block that `to_block` made or neo read; open a file of ann2neo with `ann2neo.load`.",
        )
    text = block.annotations.get("config_json")
    if not isinstance(text, str):
        raise ForeignFile(
            f"the Block {block.name!r} was not made by ann2neo: it has no annotation 'config_json'.",
            "Its spike times are not in bins of inputs.",
            "Pass it to `ann2neo.analyze`, which takes any Block as it is.",
        )
    outline = read_outline(text, f"the Block {block.name!r}")
    segmented_by = block.annotations.get("segmented_by")
    if segmented_by != "pass":
        raise FormatError(
            f"the Block {block.name!r} was segmented by {segmented_by}.",
            "The order of its trials in time is lost.",
            "Use `to_block(recording)` without segment_by, or pass the Block to `ann2neo.analyze` as it is.",
        )
    if len(block.segments) != outline["n_passes"]:
        raise _changed(f"it has {len(block.segments)} Segments for {outline['n_passes']} passes")
    return outline


def _by_layer(segment: neo.Segment) -> dict[str, list[neo.SpikeTrain]]:
    trains: dict[str, list[neo.SpikeTrain]] = {}
    for train in segment.spiketrains:
        if not {"layer", "source_index", "threshold"} <= train.annotations.keys():
            raise _changed(f"its spike train {train.name!r} lacks the annotations layer, source_index and threshold")
        trains.setdefault(train.annotations["layer"], []).append(train)
    return trains


def _layer(
    entry: dict[str, Any], per_segment: list[dict[str, list[neo.SpikeTrain]]], n_bins: int, bin_size_ms: float
) -> Layer:
    trains = [of_segment.get(entry["name"], []) for of_segment in per_segment]
    units = [[train.annotations["source_index"] for train in of_pass] for of_pass in trains]
    if any(of_pass != units[0] for of_pass in units):
        raise _changed(f"its Segments hold different units of layer {entry['name']!r}")
    packed = np.stack([_bits(of_pass, n_bins, bin_size_ms) for of_pass in trains])
    return Layer(
        name=entry["name"],
        shape=tuple(entry["shape"]),
        dtype=entry["dtype"],
        units=np.array(units[0], entry["units_dtype"]),
        thresholds=np.array([train.annotations["threshold"] for train in trains[0]], entry["thresholds_dtype"]),
        raster=Raster(packed=packed, n_bins=n_bins),
    )


def _bits(trains: list[neo.SpikeTrain], n_bins: int, bin_size_ms: float) -> UInt8[np.ndarray, "unit byte"]:
    times = [_times_ms(train) for train in trains]
    try:
        bins = PseudoTime(n_bins=n_bins, bin_size_ms=bin_size_ms).bins_of(np.concatenate([np.empty(0), *times]))
    except PseudoTimeError as error:
        raise _changed("spikes were moved") from error
    unit = np.repeat(np.arange(len(times)), [of_unit.size for of_unit in times])
    return _pack(bins, unit, len(times), n_bins)


def _pack(
    bins: Int[np.ndarray, " spike"], units: Int[np.ndarray, " spike"], n_units: int, n_bins: int
) -> UInt8[np.ndarray, "unit byte"]:
    dense = np.zeros((n_units, n_bins), np.bool_)
    dense[units, bins] = True
    return np.packbits(dense, axis=1)


def _times_ms(train: neo.SpikeTrain) -> Float[np.ndarray, " spike"]:
    return np.asarray(train.magnitude if train.dimensionality.string == "ms" else train.rescale("ms").magnitude)


def _trials(block: neo.Block, outline: dict[str, Any]) -> pd.DataFrame:
    epochs = [epoch for segment in block.segments for epoch in segment.epochs if epoch.name == "trials"]
    names = trial_column_names(outline)
    lacking = [name for name in names for epoch in epochs if name not in epoch.array_annotations]
    if len(epochs) != len(block.segments) or lacking:
        raise _changed(f"it has {len(epochs)} Epochs 'trials', which lack the array annotations {lacking}")
    columns = {name: [value for epoch in epochs for value in epoch.array_annotations[name].tolist()] for name in names}
    return restore_trials(columns, outline)


def _bins(block: neo.Block, outline: dict[str, Any], n_bins: int) -> pd.DataFrame | None:
    """Read the table of bins from the Epoch of the first pass; every pass has it."""
    names = bin_column_names(outline)
    if not names:
        return None
    epochs = [epoch for segment in block.segments for epoch in segment.epochs if epoch.name == BINS]
    if len(epochs) != len(block.segments) or any(
        name not in epoch.array_annotations or len(epoch) != n_bins for name in names for epoch in epochs
    ):
        raise _changed(f"it has {len(epochs)} Epochs {BINS!r}, or these lack some of {names}")
    return restore_bins({name: epochs[0].array_annotations[name] for name in names}, outline)


def _changed(how: str) -> FormatError:
    return FormatError(
        f"this Block is no longer as ann2neo made it: {how}.",
        "It cannot be converted to a recording without guessing.",
        "Pass it to `ann2neo.analyze`, which takes any Block as it is.",
    )
