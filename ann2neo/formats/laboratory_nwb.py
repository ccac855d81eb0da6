"""NWB files of any laboratory, read by pynwb: units with all their columns, and every table of intervals as an Epoch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import neo
import numpy as np
import pynwb
import quantities as pq
from hdmf.common import DynamicTableRegion, EnumData, VectorIndex
from jaxtyping import Float

from ann2neo.errors import AnalysisError, Ann2NeoWarning, FormatError
from ann2neo.formats.observation import Observation
from ann2neo.trains.observed import OBS_INTERVALS, join_intervals

# Columns of units that are not properties of the unit, or are read separately.
NOT_SCALAR = (
    "spike_times",
    OBS_INTERVALS,
    "electrodes",
    "electrode_group",
    "waveforms",
    "waveform_mean",
    "waveform_sd",
)
NAMES = ("unit_name", "name", "cluster_name")
BORDERS = ("start_time", "stop_time")
SUBJECT = ("subject_id", "species", "sex", "age", "genotype", "strain")
SESSION = ("identifier", "session_id", "lab", "institution", "session_description")


def read_nwb(path: Path, observation: Observation) -> neo.Block:
    """Read the units and intervals of an NWB file as a Block of one Segment.

    The annotations of a unit are its ``id``, every column with one value per unit, the name of its electrode group and its ``area``. Its observed time
    is read from ``obs_intervals``. Where the file has none, it is what the caller gives, or else the time from the first to the last event in the file,
    with a warning. An Epoch has the columns of its table, in their types; those with several values per row are annotations of the Epoch.

    Raises
    ------
    FormatError
        If pynwb cannot read the file, it holds no units, or its observed time is contradictory.
    """
    _check_version(path)
    opened: Any = pynwb.NWBHDF5IO
    try:
        # Reading files of older versions of the standard gives warnings that are of no use here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with opened(str(path), "r", load_namespaces=True) as io:
                block, remarks = _block(io.read(), path, observation)
    except FormatError:
        raise
    except AnalysisError as error:
        raise FormatError(f"{path}: {error}") from error
    # pynwb and hdmf may raise any exception on unusual files.
    except Exception as error:
        raise FormatError(
            f"pynwb {pynwb.__version__} cannot read {path} ({type(error).__name__}: {str(error)[:200]}).",
            "It is damaged, or needs an extension that is not installed.",
            "Install the extension that the file names, or read it with another tool and pass neo.SpikeTrains to `ann2neo.analyze`.",
        ) from error
    for remark in remarks:
        warnings.warn(Ann2NeoWarning(remark), stacklevel=4)
    return block


def _check_version(path: Path) -> None:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            inside: Any = file.get("nwb_version")
            version = file.attrs.get("nwb_version", "" if inside is None else inside[()])
    except (OSError, KeyError) as error:
        raise FormatError(
            f"{path} cannot be opened as NWB ({error}).",
            "It is not an HDF5 file, or it is truncated.",
            "Get the file again.",
        ) from error
    text = version.decode(errors="replace") if isinstance(version, bytes) else str(version)
    if text.removeprefix("NWB-").startswith(("0.", "1.")):
        raise FormatError(
            f"{path} is of version {text!r} of NWB, which pynwb does not read.",
            "Its spike times are stored in another place than in files of version 2.",
            "Ask the archive for a file of version 2, or read it with h5py and pass neo.SpikeTrains to `ann2neo.analyze`.",
        )


def _block(file: Any, path: Path, observation: Observation) -> tuple[neo.Block, list[str]]:
    """Make a Block, and list the warnings for its reader."""
    trains, remarks = _trains(file, path, observation)
    block = neo.Block(
        name=file.session_id or file.identifier,
        description=file.session_description,
        file_origin=str(path),
        rec_datetime=file.session_start_time,
        **_facts(file),
    )
    segment = neo.Segment(name=block.name, file_origin=str(path))
    segment.epochs.extend([_epoch(table) for table in _tables(file)])
    segment.spiketrains.extend(trains)
    block.segments.append(segment)
    if file.invalid_times is not None and len(file.invalid_times):
        remarks.append(
            f"{path.name} lists {len(file.invalid_times)} invalid times.\nThey become an Epoch, and count as observed unless obs_intervals leave them out."
        )
    return block, remarks


def _facts(file: Any) -> dict[str, Any]:
    known = {name: getattr(file, name, None) for name in SESSION[:-1]}
    known |= {name: getattr(file.subject, name, None) for name in SUBJECT} if file.subject is not None else {}
    lists = {name: [str(one) for one in getattr(file, name) or ()] for name in ("keywords", "experimenter")}
    texts = {name: str(value) for name, value in known.items() if value}
    return texts | {name: values for name, values in lists.items() if values}


def _tables(file: Any) -> Iterator[Any]:
    """Iterate over all tables of intervals, trials first."""
    special = [table for table in (file.trials, file.epochs, file.invalid_times) if table is not None]
    others = [table for table in (file.intervals or {}).values() if all(table is not one for one in special)]
    yield from (table for table in (*special, *others) if all(name in table.colnames for name in BORDERS))


def _epoch(table: Any) -> neo.Epoch:
    start, stop = (np.asarray(table[name].data[:], np.float64) for name in BORDERS)
    columns, ragged = {}, {}
    for column in _columns(table):
        values = _values(table, column)
        if values is None:
            continue
        (columns if isinstance(values, np.ndarray) else ragged)[column] = values
    epoch: Any = neo.Epoch(
        pq.Quantity(start, pq.s),
        durations=pq.Quantity(stop - start, pq.s),
        labels=_labels(columns, ragged, start.size),
        name=table.name,
        description=table.description,
        array_annotations=columns,
    )
    epoch.annotations.update(ragged)
    return epoch


def _columns(table: Any) -> list[str]:
    return [name for name in table.colnames if name not in BORDERS]


def _labels(columns: dict[str, Any], ragged: dict[str, Any], n: int) -> np.ndarray:
    """Return labels of intervals as neo and viziphant show them: the column called label, else the tags."""
    for name in ("label", "tags"):
        if name in columns:
            return np.array([str(value) for value in columns[name].tolist()], dtype="U")
        if name in ragged:
            return np.array([", ".join(map(str, values)) for values in ragged[name]], dtype="U")
    return np.array([], dtype="U")


def _values(table: Any, name: str) -> Any:
    """Read a column: an array of one value per row in its own type, a list of lists where rows have several, None for other data.

    If all rows have exactly one value in a column that allows several, it is read as a plain column.
    """
    column = table[name]
    if isinstance(column, DynamicTableRegion) or isinstance(getattr(column, "target", None), DynamicTableRegion):
        return None
    if isinstance(column, VectorIndex):
        ends = np.asarray(column.data[:], np.int64)
        if isinstance(column.target, VectorIndex):
            return None
        flat = _plain(column.target.data[:])
        if flat is None or ends.size != len(table):
            return None
        lengths = np.diff(ends, prepend=0)
        if (lengths == 1).all():
            return flat
        return [part.tolist() for part in np.split(flat, ends[:-1])]
    values = _plain(column.data[:])
    if isinstance(column, EnumData) and values is not None:
        values = np.array([str(one) for one in column.elements.data[:]])[values.astype(np.int64)]
    return values if values is not None and len(values) == len(table) else None


def _plain(values: Any) -> np.ndarray | None:
    """Convert values to a column of numbers, truth values or text; None where they are references, arrays or tables."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.names is not None:
        return None
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind == "S" or (array.dtype.kind == "O" and all(isinstance(one, (str, bytes)) for one in array)):
        return np.array(
            [one.decode(errors="replace") if isinstance(one, bytes) else one for one in array.tolist()], "U"
        )
    return array if array.dtype.kind == "U" else None


def _trains(file: Any, path: Path, observation: Observation) -> tuple[list[neo.SpikeTrain], list[str]]:
    units = file.units
    if units is None or len(units) == 0 or "spike_times" not in units.colnames:
        what = "no table of units" if units is None else "no units" if len(units) == 0 else "units without spike times"
        raise FormatError(
            f"{path} holds {what}.",
            "There are no spike trains to analyze.",
            "Spikes have to be sorted first; a file of calcium imaging or of raw voltages holds none.",
        )
    times, ends = (
        np.asarray(units["spike_times"].target.data[:], np.float64),
        np.asarray(units["spike_times"].data[:], np.int64),
    )
    parts = np.split(times, ends[:-1])
    observed, remarks = _observed(file, path, times, observation)
    described = _described(units)
    return [_train(part, intervals, one) for part, intervals, one in zip(parts, observed, described)], remarks


def _train(times: np.ndarray, observed: Float[np.ndarray, "piece two"], known: dict[str, Any]) -> neo.SpikeTrain:
    first, last = observed[0, 0], observed[-1, 1]
    outside = (times < first) | (times > last)
    if outside.any():
        raise FormatError(
            f"{known['name']!r} has {int(outside.sum())} of {times.size} spikes outside its observed time ({first:g} to {last:g} s).",
            "Either its spikes or its obs_intervals are wrong, and rates would be wrong too.",
            "Correct obs_intervals in the file, or pass the right t_start and t_stop where it has none.",
        )
    borders = pq.Quantity(np.array([first, last]), pq.s)
    train = neo.SpikeTrain(pq.Quantity(times, pq.s), t_start=borders[0], t_stop=borders[1], name=known["name"])
    train.annotations.update({key: value for key, value in known.items() if key != "name"})
    if len(observed) > 1:
        train.annotations[OBS_INTERVALS] = observed
    return train


def _observed(
    file: Any, path: Path, times: np.ndarray, observation: Observation
) -> tuple[list[Float[np.ndarray, "_ two"]], list[str]]:
    """Find the observed time of each unit, in seconds, and the warnings about it."""
    units = file.units
    given: list[np.ndarray] = [np.empty((0, 2))] * len(units)
    if OBS_INTERVALS in units.colnames:
        flat = np.asarray(units[OBS_INTERVALS].target.data[:], np.float64).reshape(-1, 2)
        parts = np.split(flat, np.asarray(units[OBS_INTERVALS].data[:], np.int64)[:-1])
        given = [join_intervals(part, f"unit {row} of {path}") for row, part in enumerate(parts)]
    unsaid = sum(len(part) == 0 for part in given)
    if not unsaid:
        observation.refuse(path, "obs_intervals of its units state when they were observed")
        return given, []
    borders, remarks = _extent(file, path, times, unsaid, observation)
    return [part if len(part) else borders for part in given], remarks


def _extent(
    file: Any, path: Path, times: np.ndarray, n_units: int, observation: Observation
) -> tuple[Float[np.ndarray, "one two"], list[str]]:
    """Return the observed time that the caller gives, else the time that the file covers."""
    start, stop = observation.borders_s(path)
    first, last = _covered(file, times)
    remarks: list[str] = []
    if start is None or stop is None:
        text = (
            f"{path.name} does not say when {n_units} of {len(file.units)} units were observed (no obs_intervals).\n"
            f"The observed time is assumed to be {first if start is None else start:g} to {last if stop is None else stop:g} s, from the first to the last event in the file: "
            "rates and counts depend on it.\nSet t_start and t_stop (--t-start, --t-stop) if you know them."
        )
        remarks = [text]
    found = np.array([[first if start is None else start, last if stop is None else stop]])
    if not found[0, 1] > found[0, 0]:
        raise FormatError(
            f"{path} covers no time ({found[0, 0]:g} to {found[0, 1]:g} s).",
            "Rates cannot be computed without a duration.",
            "Set t_start and t_stop.",
        )
    return found, remarks


def _covered(file: Any, times: np.ndarray) -> tuple[float, float]:
    """Return the times of the first and the last event: spikes, intervals, samples of any series."""
    moments = [times]
    moments += [np.asarray(table[name].data[:], np.float64) for table in _tables(file) for name in BORDERS]
    templates = {id(one) for one in (file.stimulus_template or {}).values()}
    series = [one for one in file.objects.values() if isinstance(one, pynwb.TimeSeries) and id(one) not in templates]
    moments += [np.array(_span(one), np.float64) for one in series]
    flat = np.concatenate(moments)
    flat = flat[np.isfinite(flat)]
    return (float(flat.min()), float(flat.max())) if flat.size else (0.0, 0.0)


def _span(series: Any) -> list[float]:
    if series.timestamps is not None:
        return [float(series.timestamps[0]), float(series.timestamps[-1])] if len(series.timestamps) else []
    n = np.shape(series.data)[0] if np.ndim(series.data) else 0
    if not series.rate or not n:
        return []
    start = float(series.starting_time or 0.0)
    return [start, start + n / float(series.rate)]


def _described(units: Any) -> list[dict[str, Any]]:
    """Collect the properties of each unit: its name, its id, every column with one value per unit, electrode group and area."""
    ids = [int(one) for one in units.id[:]]
    columns = {name: _values(units, name) for name in units.colnames if name not in NOT_SCALAR}
    scalar = {name: values.tolist() for name, values in columns.items() if isinstance(values, np.ndarray)}
    where = _electrodes(units)
    names = next(
        (scalar[name] for name in NAMES if name in scalar and _are_names(scalar[name])), [f"unit {one}" for one in ids]
    )
    kept = {name: values for name, values in scalar.items() if name != "name"}
    more = {name: values for name, values in where.items() if name not in kept}
    return [
        {"name": str(names[row]), "id": ids[row], **{name: values[row] for name, values in (kept | more).items()}}
        for row in range(len(ids))
    ]


def _are_names(values: list[Any]) -> bool:
    return all(isinstance(one, str) and one.strip() for one in values) and len(set(values)) == len(values)


def _electrodes(units: Any) -> dict[str, list[str]]:
    """Return each unit's electrode group and its area, from the group or from its electrodes."""
    found: dict[str, list[str]] = {}
    if "electrode_group" in units.colnames:
        groups = list(units["electrode_group"].data[:])
        found = {
            "electrode_group": [str(getattr(group, "name", group)) for group in groups],
            "area": [str(getattr(group, "location", "") or "") for group in groups],
        }
    if "electrodes" in units.colnames and hasattr(units["electrodes"], "target"):
        region = units["electrodes"]
        rows = np.split(np.asarray(region.target.data[:], np.int64), np.asarray(region.data[:], np.int64)[:-1])
        table = region.target.table
        for name, column in (("electrode_group", "group_name"), ("area", "location")):
            values = _plain(table[column].data[:]) if table is not None and column in table.colnames else None
            if values is not None and not any(found.get(name, [])):
                found[name] = ["; ".join(dict.fromkeys(str(one) for one in values[own])) for own in rows]
    return {name: values for name, values in found.items() if any(values)}
