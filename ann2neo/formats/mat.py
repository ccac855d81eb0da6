"""MAT: neo's objects as MATLAB structs, for work in MATLAB. ``block.segments{1}.spiketrains{3}.times`` are the times of a unit in milliseconds.

neo writes the file (``neo.io.NeoMatlabIO`` reads it too). Its writer leaves out the columns of the trials, changes types and pads strings. The columns are therefore
also annotations of the Epoch, where MATLAB accepts their names as names of fields. In addition everything is stored exactly, as text in the annotation
``recording_json`` of the Block: `load` reads this text and the spike times.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from jaxtyping import Bool, Float
from neo.io import NeoMatlabIO

from ann2neo.atomic import complete_or_absent
from ann2neo.errors import Ann2NeoError, Ann2NeoWarning, ForeignFile, FormatError
from ann2neo.integrity import check_content, content_of, listed
from ann2neo.outline import outline_of, read_outline, restore_bins, restore_trials
from ann2neo.pseudotime import PseudoTime
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording
from ann2neo.trains import to_block

MANY_TRAINS = 5000
SECONDS_PER_TRAIN = 0.003
BYTES_PER_TRAIN = 1500
BYTES_PER_SPIKE = 8
# MATLAB cannot read a larger variable in files of this version, and the Block is one variable.
MOST_BYTES = 1 << 31
MATLAB_NAME = re.compile(r"[A-Za-z]\w{0,62}", re.ASCII)


def save(recording: Recording, path: Path, *, overwrite: bool = False) -> None:
    """Write a recording as a neo Block in MATLAB's format, with a warning if this will take long; see `ann2neo.formats.save`.

    Raises
    ------
    FormatError
        If the spike times do not fit into a variable of MATLAB.
    """
    with complete_or_absent(path, overwrite=overwrite) as part:
        text = json.dumps(_outline_and_values(recording))
        _check_size(recording, path)
        block = to_block(recording)
        # neo writes the groups' members by id, and the id of a train without references is reused for another one.
        held = [list(segment.spiketrains) for segment in block.segments]
        block.annotations = _fields(block.annotations) | {"recording_json": text}
        for segment in block.segments:
            _show_columns(segment.epochs[0])
        NeoMatlabIO(str(part)).write_block(block, do_compression=True, long_field_names=True)
        del held


def load(path: Path) -> Recording:
    """Read a recording from a MAT file that ann2neo wrote; see `ann2neo.formats.load`."""
    try:
        found = scipy.io.loadmat(path, struct_as_record=False, squeeze_me=True, variable_names=["block"])
        recording, written = _recording(found.get("block"), path)
    except Ann2NeoError:
        raise
    # scipy raises many kinds of exception on a damaged file; all mean the same.
    except Exception as error:
        raise FormatError(
            f"{path} cannot be read as MAT ({type(error).__name__}: {str(error)[:200]}).",
            "It is not a MAT file of MATLAB 5 to 7, or it is truncated or damaged.",
            "Get the file again, or record again.",
        ) from error
    check_content(recording, written, path)
    return recording


def _outline_and_values(recording: Recording) -> dict[str, Any]:
    outline = outline_of(recording)
    trials = {str(name): column.tolist() for name, column in recording.trials.items()}
    values = [{"units": layer.units.tolist(), "thresholds": layer.thresholds.tolist()} for layer in recording.layers]
    bins = {} if recording.bins is None else {"bins": {str(n): c.tolist() for n, c in recording.bins.items()}}
    return outline | bins | {"trials": trials, "values": values, "checksums": listed(content_of(recording))}


def _fields(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the annotations that can be fields of a struct: MATLAB restricts names, and neo confuses a key such as "items" with a method of the dictionary."""
    return {
        key: np.array(value, object) if _is_text_list(value) else value
        for key, value in annotations.items()
        if MATLAB_NAME.fullmatch(key) and not hasattr(dict, key)
    }


def _is_text_list(value: Any) -> bool:
    """Return whether MATLAB would turn a value into a matrix of characters, with all lines padded to one length; as objects the lines become a cell array."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], str)


def _show_columns(epoch: Any) -> None:
    columns = {name: values.tolist() for name, values in epoch.array_annotations.items()}
    epoch.annotations.update(_fields(columns))
    epoch.labels = np.array(epoch.labels.tolist(), object)


def _recording(block: Any, path: Path) -> tuple[Recording, Any]:
    """Read a recording, and the check sums of its content that were stored."""
    text = getattr(getattr(block, "annotations", None), "recording_json", None)
    if not isinstance(text, str):
        raise ForeignFile(
            f"{path} was not written by ann2neo.",
            "Its spike times are not in bins of inputs.",
            "Open it with neo (`neo.io.NeoMatlabIO(path).read_block()`) and pass the Block to `ann2neo.analyze`.",
        )
    outline = read_outline(text, str(path))
    trials = restore_trials(outline["trials"], outline)
    axis = PseudoTime(
        n_bins=int(trials["stop_bin"].iloc[-1]) // outline["n_passes"], bin_size_ms=outline["bin_size_ms"]
    )
    dense = _dense(block, axis, outline, path)
    first = np.cumsum([0, *(entry["n_units"] for entry in outline["layers"])])
    recording = Recording(
        layers=tuple(
            _layer(entry, values, dense[first[i] : first[i + 1]], outline["n_passes"])
            for i, (entry, values) in enumerate(zip(outline["layers"], outline["values"]))
        ),
        trials=trials,
        bin_size_ms=outline["bin_size_ms"],
        provenance=outline["provenance"],
        bins=restore_bins(outline.get("bins", {}), outline),
    )
    return recording, outline.get("checksums")


def _dense(block: Any, axis: PseudoTime, outline: dict[str, Any], path: Path) -> Bool[np.ndarray, "unit bin"]:
    """Put the spikes of all passes into their bins."""
    n_units = sum(entry["n_units"] for entry in outline["layers"])
    passes = [_times(segment) for segment in np.atleast_1d(block.segments)]
    if len(passes) != outline["n_passes"] or any(len(of_pass) != n_units for of_pass in passes):
        raise FormatError(
            f"{path} should hold {n_units} spike trains in each of {outline['n_passes']} passes, but holds {list(map(len, passes))}.",
            "It was changed after ann2neo wrote it.",
            "Get the file again, or open it with neo and pass the Block to `ann2neo.analyze`.",
        )
    dense = np.zeros((n_units, len(passes) * axis.n_bins), np.bool_)
    for number, of_pass in enumerate(passes):
        for unit, times in enumerate(of_pass):
            dense[unit, number * axis.n_bins + axis.bins_of(times)] = True
    return dense


def _times(segment: Any) -> Sequence[Float[np.ndarray, " spike"]]:
    """Read the times of all trains; MATLAB does not distinguish a vector of one number from a number, or a list of one struct from a struct."""
    return [np.atleast_1d(train.times).astype(np.float64) for train in np.atleast_1d(segment.spiketrains)]


def _layer(
    entry: Mapping[str, Any], values: Mapping[str, Any], dense: Bool[np.ndarray, "unit bin"], n_passes: int
) -> Layer:
    by_pass = dense.reshape(dense.shape[0], n_passes, dense.shape[1] // n_passes)
    return Layer(
        name=entry["name"],
        shape=tuple(entry["shape"]),
        dtype=entry["dtype"],
        units=np.array(values["units"], entry["units_dtype"]),
        thresholds=np.array(values["thresholds"], entry["thresholds_dtype"]),
        raster=Raster(packed=np.packbits(by_pass.transpose(1, 0, 2), axis=2), n_bins=by_pass.shape[2]),
    )


def _check_size(recording: Recording, path: Path) -> None:
    """Refuse a recording that MATLAB could not open, and warn of one that takes long to write."""
    n_trains = recording.n_units * recording.n_passes
    n_spikes = sum(int(layer.raster.n_spikes().sum()) for layer in recording.layers)
    n_bytes = n_trains * BYTES_PER_TRAIN + n_spikes * BYTES_PER_SPIKE
    if n_bytes >= MOST_BYTES:
        raise FormatError(
            f"{n_trains} spike trains with {n_spikes} spikes take about {n_bytes / 1e9:.1f} GB, too much for {path}.",
            "MATLAB's format takes 2 GB.",
            "Save as .nwb, which MATLAB reads too (MatNWB), or select units first (`recording.select`).",
        )
    if n_trains > MANY_TRAINS:
        warnings.warn(
            f"{n_trains} spike trains take about {n_trains * SECONDS_PER_TRAIN:.0f} s and up to {n_bytes / 1e6:.0f} MB as MAT.\n"
            "MAT stores each of them as a separate struct.\n"
            "Save as .nwb or .zarr, or select units first (`recording.select`).",
            Ann2NeoWarning,
            stacklevel=4,
        )
