"""Reading a recording from an NWB file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ann2neo.errors import Ann2NeoError, ForeignFile, FormatError
from ann2neo.formats.hdf5 import check_memory, check_storage
from ann2neo.formats.nwb.clock import MS_PER_S
from ann2neo.formats.nwb.outline_tables import CHECKSUMS, read_outline_tables, values_of
from ann2neo.integrity import check_content, check_seal
from ann2neo.outline import bin_column_names, restore_bins, restore_trials, trial_column_names
from ann2neo.pseudotime import PseudoTime
from ann2neo.raster import CHUNK_BYTES, Raster
from ann2neo.recording import Layer, Recording

MODULE = "processing/ann2neo"
BINS = "intervals/bins"


def load(path: Path) -> Recording:
    """Read a recording from an NWB file that ann2neo wrote; see `ann2neo.formats.load`."""
    try:
        check_seal(path)
        with h5py.File(path, "r") as file:
            recording, written = _recording(file, path)
    except Ann2NeoError:
        raise
    # h5py raises many kinds of exception on a damaged file; all mean the same.
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RuntimeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise FormatError(
            f"{path} cannot be read as NWB ({type(error).__name__}: {error}).",
            "It is not an NWB file, or it is truncated or damaged.",
            "Get the file again, or record again.",
        ) from error
    check_content(recording, written, path)
    return recording


def _recording(file: Any, path: Path) -> tuple[Recording, Any]:
    """Read a recording, and the check sums of its content that were stored."""
    if MODULE not in file:
        raise ForeignFile(
            f"{path} was not written by ann2neo.",
            "Its spike times are not in bins of inputs.",
            "Open it with neo (`neo.io.NWBIO(path, 'r').read_block()`) and pass the Block to `ann2neo.analyze`.",
        )
    for place in (MODULE, "intervals/trials", "units"):
        check_storage(file, place, path)
    outline = read_outline_tables(file[MODULE], path)
    trials = restore_trials(
        {name: values_of(file["intervals/trials"][name]) for name in trial_column_names(outline)}, outline
    )
    axis = PseudoTime(n_bins=int(trials["stop_bin"].iloc[-1]), bin_size_ms=outline["bin_size_ms"])
    sizes = [entry["n_units"] for entry in outline["layers"]]
    first = np.cumsum([0, *sizes])
    if first[-1] != file["units/id"].shape[0]:
        raise FormatError(
            f"{path} names {first[-1]} units, but its table has {file['units/id'].shape[0]}.",
            "It was changed after ann2neo wrote it.",
            "Get the file again, or open it with neo and pass the Block to `ann2neo.analyze`.",
        )
    check_memory(int(first[-1]) * axis.n_bins // 8, path)
    recording = Recording(
        layers=tuple(
            _layer(file["units"], entry, slice(first[i], first[i + 1]), axis, outline["n_passes"])
            for i, entry in enumerate(outline["layers"])
        ),
        trials=trials,
        bin_size_ms=outline["bin_size_ms"],
        provenance=outline["provenance"],
        bins=_bins_table(file, outline, axis.n_bins, path),
    )
    return recording, outline.get(CHECKSUMS)


def _bins_table(file: Any, outline: dict[str, Any], n_bins: int, path: Path) -> pd.DataFrame | None:
    """Read the table of bins of the first pass; every pass repeats it."""
    names = bin_column_names(outline)
    if not names:
        return None
    check_storage(file, BINS, path)
    columns = {name: file[BINS][name][:] for name in names}
    of_pass = {name: values.reshape(outline["n_passes"], -1) for name, values in columns.items()}
    if any(values.size != n_bins or (values != of_pass[name][0]).any() for name, values in of_pass.items()):
        raise FormatError(
            f"the table of bins of {path} does not have one row for each of {n_bins} bins, or differs between passes.",
            "It was changed after ann2neo wrote it.",
            "Get the file again.",
        )
    return restore_bins({name: values[0] for name, values in of_pass.items()}, outline)


def _layer(units: Any, entry: dict[str, Any], rows: slice, axis: PseudoTime, n_passes: int) -> Layer:
    return Layer(
        name=entry["name"],
        shape=tuple(entry["shape"]),
        dtype=entry["dtype"],
        units=units["node_id"][rows].astype(entry["units_dtype"]),
        thresholds=units["threshold"][rows].astype(entry["thresholds_dtype"]),
        raster=_raster(units, rows, axis, n_passes),
    )


def _raster(units: Any, rows: slice, axis: PseudoTime, n_passes: int) -> Raster:
    """Convert times to bits, some units at a time."""
    ends = units["spike_times_index"][: rows.stop].astype(np.int64)
    begins = np.concatenate([[0], ends])
    n_bins = axis.n_bins // n_passes
    packed = np.zeros((n_passes, rows.stop - rows.start, -(-n_bins // 8)), np.uint8)
    step = max(1, CHUNK_BYTES // max(axis.n_bins, 1))
    for unit in range(rows.start, rows.stop, step):
        last = min(unit + step, rows.stop)
        bins = _bins(units["spike_times"][begins[unit] : begins[last]], axis)
        dense = np.zeros((last - unit, axis.n_bins), np.bool_)
        dense[np.repeat(np.arange(last - unit), np.diff(begins[unit : last + 1])), bins] = True
        packed[:, unit - rows.start : last - rows.start] = Raster.from_dense(dense, n_passes=n_passes).packed
    return Raster(packed=packed, n_bins=n_bins)


def _bins(times_s: Float[np.ndarray, " spike"], axis: PseudoTime) -> Int[np.ndarray, " spike"]:
    """Find the bins of spikes: directly where the times are exactly those that ann2neo writes, else with the tolerance of the axis."""
    bins = (times_s * (MS_PER_S / axis.bin_size_ms)).astype(np.int64)
    inside = bins.size == 0 or (bins.min() >= 0 and bins.max() < axis.n_bins)
    if inside and np.array_equal(axis.spike_times_ms(bins) / MS_PER_S, times_s):
        return bins
    return axis.bins_of(times_s * MS_PER_S)
