"""Finishing a store that grew: its table of trials, and the recording made of its columns."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ann2neo.atomic import remove
from ann2neo.errors import StoreError
from ann2neo.outline import outline_of, trial_column_names
from ann2neo.raster import Raster
from ann2neo.recording import COUNTED, TRACED, Recording, join_bins, join_passes, presented_order
from ann2neo.store.chunked import ChunkedArray
from ann2neo.store.disk import sync_files
from ann2neo.store.growing import Growing, check_unreplaced, writing
from ann2neo.store.layout import Group, file_sums, open_bits, open_group, resize, write_bins, write_chunk, write_values
from ann2neo.store.log import BEGUN, LOG, Column, is_whole, join_known, join_lengths, prefix, read_log
from ann2neo.store.sums import ATTRIBUTES, LIST, LIST_OF_GROWING, write_sealed

LEFT_BEHIND = ".partial"


def finish(growing: Growing) -> None:
    """Assemble the table of trials and mark the store complete, which is the last write.

    Raises
    ------
    StoreError
        If a column is missing.
    RecordingError
        If passes do not match.
    """
    check_unreplaced(growing)
    columns = read_log(growing.path)
    passes = [prefix(columns, number) for number in range(growing.n_passes)]
    if not all(map(is_whole, passes)):
        raise StoreError(
            f"{growing.path} lacks columns.", "The recording is not complete.", "Make the same call again to resume it."
        )
    with writing(growing.path):
        n_bins = sum(column.n_bins for column in passes[0])
        _trim(growing, n_bins)
        root = open_group(growing.path)
        recording = opened(root, passes, growing, [_raster(growing, i, n_bins) for i in range(len(growing.layers))])
        outline = outline_of(recording)
        remove(growing.path / "trials")
        remove(growing.path / "bins")
        chunks = _chunk_sums(root, growing, passes)
        for number, name in enumerate(trial_column_names(outline)):
            values = np.array(recording.trials[name].tolist())
            chunks[f"trials/{number}"] = write_values(growing.path, f"trials/{number}", values)
        chunks |= write_bins(growing.path, recording.bins)
        sums = file_sums(growing.path, chunks)
        # The mark of completeness must not reach the disk before the data.
        tables = [file for name in ("trials", "bins") for file in (growing.path / name).rglob("*") if file.is_file()]
        sync_files(map(os.fspath, [*tables, *(growing.path / name for name in sums.files)]))
        known = dict(root.attrs) | outline | {"n_bins": recording.n_bins, "complete": True}
        write_sealed(growing.path, known, sums)
        sync_files(os.fspath(growing.path / name) for name in (LIST, ATTRIBUTES))
        remove(growing.path / LIST_OF_GROWING)


def opened(root: Group, passes: Sequence[Sequence[Column]], growing: Growing, rasters: Sequence[Raster]) -> Recording:
    """Make a recording from the columns of several passes of equal length."""
    lengths = [join_lengths(columns) for columns in passes]
    n_inputs = lengths[0].size
    provenance = dict(root.attrs["provenance"])
    known = [join_known(columns) for columns in passes]
    if json.loads(provenance.get("verified_json", "{}")).get("predictions"):
        # A later batch may have shown that they are not those of their inputs.
        known = [{name: values for name, values in one.items() if name != "predicted_label"} for one in known]
    ids = np.arange(n_inputs) if growing.order is None else growing.order.stimulus_ids[:n_inputs]
    if provenance.get("stimulus_ids") == TRACED:
        ids = known[0].pop("stimulus_id", None)
        if ids is None:
            ids, provenance["stimulus_ids"] = np.arange(n_inputs), COUNTED
    return Recording(
        layers=tuple(replace(layer, raster=raster) for layer, raster in zip(growing.layers, rasters)),
        trials=join_passes(known, lengths=lengths, stimulus_ids=ids, n_outputs=provenance.get("n_outputs")),
        bin_size_ms=root.attrs["bin_size_ms"],
        provenance=provenance | presented_order(ids),
        bins=join_bins(known, lengths[0]),
    )


def _trim(growing: Growing, n_bins: int) -> None:
    """Trim the arrays where the bins end, and remove the files of killed processes; the lock ensures that no other process is writing."""
    for number in range(len(growing.layers)):
        resize(open_bits(growing.path, number), -(-n_bins // 8))
        for file in (growing.path / f"layers/{number}/bits").iterdir():
            if file.suffix == LEFT_BEHIND:
                file.unlink(missing_ok=True)
    for left in (f"*{LEFT_BEHIND}", f"*{BEGUN}"):
        for file in (growing.path / LOG).glob(left):
            file.unlink(missing_ok=True)


def _raster(growing: Growing, layer: int, n_bins: int) -> Raster:
    return Raster(packed=open_bits(growing.path, layer), n_bins=n_bins)


def _chunk_sums(root: Group, growing: Growing, passes: Sequence[Sequence[Column]]) -> dict[str, list[int]]:
    """Collect the check sums of all chunks: those of the bits from the columns, the others from when they were written."""
    found: dict[str, list[int]] = {}
    for number, layer in enumerate(growing.layers):
        place, n_chunks = f"layers/{number}", growing.chunks_of_column(layer)
        found[f"{place}/bits"] = [
            _chunk_sum(growing, column, number, chunk)
            for columns in passes
            for chunk in range(n_chunks)
            for column in columns
            if column.n_bins
        ]
        for part in ("units", "thresholds"):
            array = root[f"{place}/{part}"]
            found[f"{place}/{part}"] = [_sealed(array, p) for p in np.ndindex(array.grid)]
    return found


def _chunk_sum(growing: Growing, column: Column, layer: int, chunk: int) -> int:
    """Return the check sum of a chunk from the log."""
    known = column.checksums[layer]
    if not isinstance(known, int):
        return known[chunk]
    return _sealed(open_bits(growing.path, layer), (column.pass_number, chunk, column.number))


def _sealed(array: ChunkedArray, place: tuple[int, ...]) -> int:
    """Return the check sum of a chunk; a chunk of ann2neo 0.1.0, which has none, is written again."""
    if array.checksums is not None:
        return array.checksums[int(np.ravel_multi_index(place, array.grid))]
    return write_chunk(array, place, array.chunk(place))
