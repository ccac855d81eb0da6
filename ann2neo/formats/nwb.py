"""Neurodata Without Borders: the file to share, read by neo, pynwb, pynapple and SpikeInterface.

Times are in seconds, as NWB demands, and all passes follow one another on one clock. What is where:

- ``units``: one row for each unit of each layer, silent ones too. NWB's own ``spike_times``, ``obs_intervals`` (one: the whole clock) and the attribute
  ``resolution`` (the size of a bin); ``_name``, ``segment``, ``block`` for neo; the rest as annotations of neo's spike trains, where ``node_id`` is their
  ``source_index`` (readers take a name that ends in ``_index`` for an index into another column).
- ``trials``: all columns of the table of trials. Ends and starts are the same numbers, so that no gap and no overlap arises by rounding.
- ``epochs``: the same intervals for neo, which reads no trials: rows named "trials" are tagged with the label (the ``label_name`` where there is one), and
  if the network was trained on other labels, rows named "target_label" are tagged with those. One tag each, not a list, so that neo gets plain strings.
- ``processing/ann2neo``: the tables ``recording`` (schema, size of a bin, number of passes), ``provenance``, ``layers`` and ``trial_columns``; values that
  may be of any type are JSON.

Names of layers are values in columns and never names of objects, since a ``/`` in such a name damages the file.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import h5py
import numpy as np
import pandas as pd
import pynwb
from hdmf.backends.hdf5 import H5DataIO
from hdmf.common import DynamicTable, VectorData, VectorIndex
from hdmf.data_utils import GenericDataChunkIterator
from jaxtyping import Float, Int, Shaped
from pynwb.epoch import TimeIntervals
from pynwb.file import Subject
from pynwb.misc import Units

from ann2neo.atomic import complete_or_absent, reserve
from ann2neo.errors import Ann2NeoError, ForeignFile, FormatError
from ann2neo.outline import check_schema, outline_of, quality, restore_trials, time_axis, trial_column_names, trial_names
from ann2neo.pseudotime import PseudoTime
from ann2neo.raster import CHUNK_BYTES, Raster
from ann2neo.recording import AXES, Layer, Recording

BUFFER_SPIKES = 1 << 22
CHUNK_SPIKES = 1 << 16
MS_PER_S = 1000.0
NOT_AN_ORGANISM = "not an organism: an artificial neural network, whose units are entries of its layers' activations"
PAPER = "doi:10.1016/j.neucom.2024.128473"

UNIT_COLUMNS = {
    "unit_name": "layer and place in its activation, as in features.3[12,0,5]",
    "_name": "the name attribute of the SpikeTrain, for neo",
    "segment": "the name of the Neo Segment to which the SpikeTrain belongs",
    "block": "the name of the Neo Block to which the SpikeTrain belongs",
    "layer": "layer: one call of an activation function in the network",
    "source_population": "population of the unit, which is its layer (the word of PyNN)",
    "node_id": "place of the unit in the flattened activation of its layer (the word of SONATA); source_index in neo",
    "channel": "first axis of the activation; -1 where there is none",
    "row": "second axis of the activation; -1 where there is none",
    "col": "third axis of the activation; -1 where there is none",
    "threshold": "value that the activation has to exceed for a spike",
    "n_spikes": "number of spikes",
    "quality": "silent, saturated (a spike in every bin), too_few (fewer than 10 spikes) or good",
}
TRIAL_COLUMNS = {
    "pass": "run through all inputs",
    "trial": "place of the input in the order in which it was presented",
    "start_bin": "first bin of the trial, counted over all passes",
    "stop_bin": "bin after the last one of the trial",
    "stimulus_id": "number of the input in its data set",
    "label": "true class of the input",
    "label_name": "name of the true class",
    "target_label": "class that the network was trained to give for this input",
    "predicted_label": "class that the network gave",
    "correct": "whether the class that the network gave is the true one",
}
LAYER_COLUMNS = {
    "name": "name of the layer",
    "shape": "shape of its activation without the batch axis, as JSON",
    "dtype": "type in which activation and threshold were compared",
    "n_units": "number of units that were recorded",
    "units_dtype": "type of the units' numbers in memory",
    "thresholds_dtype": "type of the thresholds in memory",
}


def save(recording: Recording, path: Path, *, overwrite: bool = False) -> None:
    """Write a recording as NWB, spikes chunk by chunk; see `ann2neo.formats.save`.

    Raises
    ------
    RecordingError
        If there are no units: a table of NWB cannot be empty.
    """
    outline = outline_of(recording)
    if recording.n_units == 0:
        raise RecordingError("the recording has no units.", "NWB has no empty tables.", "Select at least one unit.")
    with complete_or_absent(path, overwrite=overwrite) as part, warnings.catch_warnings():
        # pynwb declares tags as lists and warns of plain strings, which the format itself allows.
        warnings.filterwarnings("ignore", category=UserWarning, module="hdmf|pynwb")
        nwbfile = _nwbfile(recording, outline)
        reserve(part, _most_bytes(recording))
        _write(nwbfile, part)


def _most_bytes(recording: Recording) -> int:
    """Estimate the size of the file, rather too high than too low."""
    n_spikes = sum(int(layer.raster.n_spikes().sum()) for layer in recording.layers)
    names = sum(len(layer.name.encode()) * layer.n_units for layer in recording.layers)
    n_rows = recording.n_units + 2 * len(recording.trials)
    return 8 * n_spikes + 4 * names + 600 * n_rows + 1_000_000


def _write(nwbfile: pynwb.NWBFile, part: Path) -> None:
    io = pynwb.NWBHDF5IO(str(part), "w")
    try:
        io.write(nwbfile)
    # Closing a file after a failed write crashes the process: then it stays open until the end of the process.
    except OSError:
        raise
    except BaseException:
        io.close()
        raise
    io.close()


def load(path: Path) -> Recording:
    """Read a recording from an NWB file that ann2neo wrote; see `ann2neo.formats.load`."""
    try:
        with h5py.File(path, "r") as file:
            return _recording(file, path)
    except Ann2NeoError:
        raise
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        raise FormatError(
            f"{path} cannot be read as NWB ({type(error).__name__}: {error}).",
            "It is no NWB file, or it is truncated or damaged.",
            "Get the file again, or record anew.",
        ) from error


def _nwbfile(recording: Recording, outline: dict[str, Any]) -> pynwb.NWBFile:
    nwbfile = pynwb.NWBFile(
        session_description=f"Activations above threshold of an artificial neural network; {time_axis(recording)}.",
        identifier=str(uuid4()),
        session_start_time=_created(recording),
        experiment_description=(
            "Each unit of the network has a spike in each bin of pseudo-time in which its activation exceeds its threshold. "
            "Inputs take no time: rates per second and intervals in seconds follow from the chosen size of a bin."
        ),
        related_publications=(PAPER,),
        subject=Subject(
            subject_id="network",
            description=NOT_AN_ORGANISM,
            species="http://purl.obolibrary.org/obo/NCBITaxon_32644",
            sex="U",
            age="P0D",
        ),
        units=_units(recording),
        epochs=_epochs(recording),
        trials=_trials(recording),
    )
    module = nwbfile.create_processing_module("ann2neo", "how the spikes came about")
    for table in _outline_tables(outline):
        module.add(table)
    return nwbfile


def _created(recording: Recording) -> datetime:
    try:
        created = datetime.fromisoformat(str(recording.provenance["created"]))
    except (KeyError, ValueError):
        created = datetime.now(UTC)
    return created if created.tzinfo else created.replace(tzinfo=UTC)


def _edges_s(recording: Recording) -> Float[np.ndarray, " edge"]:
    return recording.pseudotime.edges_ms / MS_PER_S


def _units(recording: Recording) -> Units:
    n_spikes = np.concatenate([layer.raster.n_spikes() for layer in recording.layers])
    ends = np.cumsum(n_spikes)
    duration = float(_edges_s(recording)[-1])
    times = VectorData(name="spike_times", description="times of the spikes in seconds", data=_times(recording, ends))
    observed = VectorData(
        name="obs_intervals",
        description="the whole clock",
        data=np.tile([0.0, duration], (recording.n_units, 1)),
    )
    columns = _unit_columns(recording, n_spikes)
    described = [VectorData(name=name, description=UNIT_COLUMNS[name], data=columns[name]) for name in UNIT_COLUMNS]
    return Units(
        name="units",
        description="one row for each unit, silent ones too",
        resolution=recording.bin_size_ms / MS_PER_S,
        id=np.arange(recording.n_units),
        # hdmf wants the index of a column that is written chunk by chunk before the column.
        columns=[
            VectorIndex(name="spike_times_index", data=ends.astype(np.uint64), target=times),
            times,
            VectorIndex(
                name="obs_intervals_index", data=np.arange(1, recording.n_units + 1, dtype=np.uint64), target=observed
            ),
            observed,
            *described,
        ],
    )


def _unit_columns(recording: Recording, n_spikes: Int[np.ndarray, " unit"]) -> dict[str, Any]:
    layers = recording.layers
    names = [name for layer in layers for name in layer.unit_names]
    of_layer = [layer.name for layer in layers for _ in range(layer.n_units)]
    nowhere = {axis: [np.full(layer.n_units, -1) for layer in layers] for axis in AXES}
    places = {
        axis: np.concatenate([layer.coordinates.get(axis, none) for layer, none in zip(layers, nowhere[axis])])
        for axis in AXES
    }
    columns: dict[str, Any] = {
        "unit_name": names,
        "_name": names,
        "segment": ["all passes"] * len(names),
        "block": ["ann2neo"] * len(names),
        "layer": of_layer,
        "source_population": of_layer,
        "node_id": np.concatenate([layer.units for layer in layers]).astype(np.int64),
        "threshold": np.concatenate([layer.thresholds for layer in layers]).astype(np.float64),
        "n_spikes": n_spikes,
        "quality": quality(n_spikes, recording.n_bins),
    }
    return {name: places[name] if name in places else columns[name] for name in UNIT_COLUMNS}


class _SpikeTimes(GenericDataChunkIterator):
    """Spike times in seconds, read from the bits when they are written, so that they are never in memory all at once."""

    def __init__(self, recording: Recording, ends: Int[np.ndarray, " unit"]) -> None:
        self._ends = ends
        self._pieces = list(_unit_slices(recording))
        self._first_unit = np.cumsum([0] + [units.stop - units.start for _, units in self._pieces])
        self._pseudotime = recording.pseudotime
        total = int(ends[-1])
        super().__init__(buffer_shape=(min(BUFFER_SPIKES, total),), chunk_shape=(min(CHUNK_SPIKES, total),))

    def _get_data(self, selection: tuple[slice, ...]) -> Shaped[np.ndarray, " spike"]:
        first, last = selection[0].start, selection[0].stop
        begins = np.concatenate([[0], self._ends])[self._first_unit]
        touched = [i for i in range(len(self._pieces)) if begins[i] < last and begins[i + 1] > first]
        parts = [self._pieces[i][0].raster.spike_bins(self._pieces[i][1])[0] for i in touched]
        bins = np.concatenate(parts)[first - begins[touched[0]] : last - begins[touched[0]]]
        return self._pseudotime.spike_times_ms(bins) / MS_PER_S

    def _get_maxshape(self) -> tuple[int, ...]:
        return (int(self._ends[-1]),)

    def _get_dtype(self) -> np.dtype:
        return np.dtype(np.float64)


def _unit_slices(recording: Recording) -> Iterator[tuple[Layer, slice]]:
    for layer in recording.layers:
        for units in layer.raster.chunks(CHUNK_BYTES // 4):
            yield layer, units


def _times(recording: Recording, ends: Int[np.ndarray, " unit"]) -> Any:
    if ends.size == 0 or ends[-1] == 0:
        return np.empty(0)
    return H5DataIO(_SpikeTimes(recording, ends), compression="gzip", compression_opts=1, shuffle=True)


def _trials(recording: Recording) -> TimeIntervals:
    trials, edges = recording.trials, _edges_s(recording)
    return TimeIntervals(
        name="trials",
        description=f"one row for each input that was presented; {time_axis(recording)}",
        columns=[
            VectorData(
                name="start_time", description="where the trial begins in seconds", data=edges[trials["start_bin"]]
            ),
            VectorData(name="stop_time", description="where the trial ends in seconds", data=edges[trials["stop_bin"]]),
            *(
                VectorData(name=name, description=TRIAL_COLUMNS.get(name, name), data=_column(trials[name]))
                for name in map(str, trials.columns)
            ),
        ],
    )


def _column(values: pd.Series) -> Any:
    array = values.to_numpy()
    return array if array.dtype.kind in "biuf" else values.tolist()


def _epochs(recording: Recording) -> TimeIntervals:
    trials, edges = recording.trials, _edges_s(recording)
    tags = {"trials": trial_names(trials)}
    if "target_label" in trials.columns:
        tags["target_label"] = trial_names(trials, "target_label")
    n_rows = len(trials) * len(tags)
    # One after the other for each trial, because start times have to ascend.
    columns = {
        "start_time": ("where the trial begins in seconds", np.repeat(edges[trials["start_bin"]], len(tags))),
        "stop_time": ("where the trial ends in seconds", np.repeat(edges[trials["stop_bin"]], len(tags))),
        "tags": ("label of the trial", [tag for of_trial in zip(*tags.values()) for tag in of_trial]),
        "_name": ("the name attribute of the Epoch: what the tags are", list(tags) * len(trials)),
        "segment": ("the name of the Neo Segment to which the Epoch belongs", ["all passes"] * n_rows),
        "block": ("the name of the Neo Block to which the Epoch belongs", ["ann2neo"] * n_rows),
    }
    epochs = TimeIntervals(
        name="epochs",
        description="the trials once more, for neo; tagged with their labels",
        columns=[VectorData(name=name, description=text, data=data) for name, (text, data) in columns.items()],
    )
    # The format allows tags without an index, one per row, and neo makes plain labels of them only then; but pynwb looks for the index.
    epochs.tags_index = None
    return epochs


def _outline_tables(outline: dict[str, Any]) -> list[DynamicTable]:
    layers, single = outline["layers"], ("schema", "bin_size_ms", "n_passes")
    columns = outline["trial_columns"]
    of_layers: dict[str, tuple[str, Sequence[Any]]] = {
        "layer" if name == "name" else name: (text, [_cell(layer[name]) for layer in layers])
        for name, text in LAYER_COLUMNS.items()
    }
    return [
        _table("recording", "the recording as a whole", _pairs({key: outline[key] for key in single})),
        # hdmf cannot write a table without rows.
        *(_table("provenance", "what made these spikes", _pairs(known)) for known in [outline["provenance"]] if known),
        _table("layers", "the recorded layers, in the order in which the network called them", of_layers),
        _table(
            "trial_columns",
            "columns of the table of trials",
            {
                "column": ("name of the column", [column["name"] for column in columns]),
                "dtype": ("type of its values", [column["dtype"] for column in columns]),
            },
        ),
    ]


def _pairs(values: dict[str, Any]) -> dict[str, tuple[str, Sequence[Any]]]:
    return {
        "key": ("what is known", list(values)),
        "value": ("its value as JSON", [json.dumps(value) for value in values.values()]),
    }


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value


def _table(name: str, description: str, columns: dict[str, tuple[str, Sequence[Any]]]) -> DynamicTable:
    return DynamicTable(
        name=name,
        description=description,
        columns=[VectorData(name=n, description=text, data=data) for n, (text, data) in columns.items()],
    )


def _recording(file: h5py.File, path: Path) -> Recording:
    outline = _outline(file, path)
    trials = restore_trials(
        {name: _values(file["intervals/trials"][name]) for name in trial_column_names(outline)}, outline
    )
    axis = PseudoTime(n_bins=int(trials["stop_bin"].iloc[-1]), bin_size_ms=outline["bin_size_ms"])
    sizes = [entry["n_units"] for entry in outline["layers"]]
    first = np.cumsum([0, *sizes])
    if first[-1] != file["units/id"].shape[0]:
        raise FormatError(
            f"{path} names {first[-1]} units, but its table has {file['units/id'].shape[0]}.",
            "It was changed after ann2neo wrote it.",
            "Get the file again, or open it with neo and give the Block to `ann2neo.analyze`.",
        )
    return Recording(
        layers=tuple(
            _layer(file["units"], entry, slice(first[i], first[i + 1]), axis, outline["n_passes"])
            for i, entry in enumerate(outline["layers"])
        ),
        trials=trials,
        bin_size_ms=outline["bin_size_ms"],
        provenance=outline["provenance"],
    )


def _outline(file: h5py.File, path: Path) -> dict[str, Any]:
    if "processing/ann2neo/recording" not in file:
        raise ForeignFile(
            f"{path} was not written by ann2neo.",
            "Its spike times have no bins of inputs.",
            "Open it with neo (`neo.io.NWBIO(path, 'r').read_block()`) and give the Block to `ann2neo.analyze`.",
        )
    tables = file["processing/ann2neo"]
    single = _read_pairs(tables["recording"])
    check_schema(str(single["schema"]), str(path))
    columns = tables["trial_columns"]
    return single | {
        "provenance": _read_pairs(tables["provenance"]) if "provenance" in tables else {},
        "layers": _read_layers(tables["layers"]),
        "trial_columns": [
            {"name": name, "dtype": dtype} for name, dtype in zip(_values(columns["column"]), _values(columns["dtype"]))
        ],
    }


def _read_pairs(table: h5py.Group) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in zip(_values(table["key"]), _values(table["value"]))}


def _read_layers(table: h5py.Group) -> list[dict[str, Any]]:
    columns = {name: _values(table["layer" if name == "name" else name]) for name in LAYER_COLUMNS}
    columns["shape"] = [json.loads(shape) for shape in columns["shape"]]
    return [dict(zip(columns, values)) for values in zip(*columns.values())]


def _values(dataset: h5py.Dataset) -> list[Any]:
    return (dataset.asstr()[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]).tolist()


def _layer(units: h5py.Group, entry: dict[str, Any], rows: slice, axis: PseudoTime, n_passes: int) -> Layer:
    return Layer(
        name=entry["name"],
        shape=tuple(entry["shape"]),
        dtype=entry["dtype"],
        units=units["node_id"][rows].astype(entry["units_dtype"]),
        thresholds=units["threshold"][rows].astype(entry["thresholds_dtype"]),
        raster=_raster(units, rows, axis, n_passes),
    )


def _raster(units: h5py.Group, rows: slice, axis: PseudoTime, n_passes: int) -> Raster:
    """Turn times into bits, some units at a time."""
    ends = units["spike_times_index"][: rows.stop].astype(np.int64)
    begins = np.concatenate([[0], ends])
    n_bins = axis.n_bins // n_passes
    packed = np.zeros((n_passes, rows.stop - rows.start, -(-n_bins // 8)), np.uint8)
    step = max(1, CHUNK_BYTES // max(axis.n_bins, 1))
    for unit in range(rows.start, rows.stop, step):
        last = min(unit + step, rows.stop)
        bins = axis.bins_of(units["spike_times"][begins[unit] : begins[last]] * MS_PER_S)
        dense = np.zeros((last - unit, axis.n_bins), np.bool_)
        dense[np.repeat(np.arange(last - unit), np.diff(begins[unit : last + 1])), bins] = True
        packed[:, unit - rows.start : last - rows.start] = Raster.from_dense(dense, n_passes=n_passes).packed
    return Raster(packed=packed, n_bins=n_bins)
