"""The end of a store that grew: its table of trials, and what makes a recording of its columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ann2neo.atomic import remove
from ann2neo.errors import StoreError
from ann2neo.outline import outline_of, trial_column_names
from ann2neo.raster import Raster
from ann2neo.recording import Recording, join_passes, presented_order
from ann2neo.store.growing import Growing, writing
from ann2neo.store.layout import open_bits, open_group, write_values
from ann2neo.store.log import Column, is_whole, join_known, join_lengths, prefix, read_log

CHUNK_NAME = re.compile(r"\d+\.\d+\.\d+|\.z\w+")


def finish(growing: Growing) -> None:
    """Put the table of trials together and declare the store complete; nothing else is written afterwards.

    Raises
    ------
    StoreError
        If a column is missing.
    RecordingError
        If passes do not fit together.
    """
    columns = read_log(growing.path)
    passes = [prefix(columns, number) for number in range(growing.n_passes)]
    if not all(map(is_whole, passes)):
        raise StoreError(
            f"{growing.path} lacks columns.", "The recording is not complete.", "Make the same call again to resume it."
        )
    with writing(growing.path):
        n_bins = sum(column.n_bins for column in passes[0])
        _trim(growing, n_bins)
        root = open_group(growing.path, write=True)
        recording = opened(root, passes, growing, [_raster(root, i, n_bins) for i in range(len(growing.layers))])
        outline = outline_of(recording)
        remove(growing.path / "trials")
        for number, name in enumerate(trial_column_names(outline)):
            write_values(root, f"trials/{number}", np.array(recording.trials[name].tolist()))
        root.attrs.update(outline | {"n_bins": recording.n_bins, "complete": True})


def opened(root: Any, passes: Sequence[Sequence[Column]], growing: Growing, rasters: Sequence[Raster]) -> Recording:
    """Make a recording of columns of several passes, all as long as these."""
    lengths = [join_lengths(columns) for columns in passes]
    n_inputs = lengths[0].size
    ids = np.arange(n_inputs) if growing.order is None else growing.order.stimulus_ids[:n_inputs]
    provenance = dict(root.attrs["provenance"])
    known = [join_known(columns) for columns in passes]
    return Recording(
        layers=tuple(replace(layer, raster=raster) for layer, raster in zip(growing.layers, rasters)),
        trials=join_passes(known, lengths=lengths, stimulus_ids=ids, n_outputs=provenance.get("n_outputs")),
        bin_size_ms=root.attrs["bin_size_ms"],
        provenance=provenance | presented_order(ids),
    )


def _trim(growing: Growing, n_bins: int) -> None:
    """Cut the arrays where the bins end, and remove what killed processes left behind."""
    for number in range(len(growing.layers)):
        bits = open_bits(growing.path, number)
        if bits.shape[2] != -(-n_bins // 8):
            bits.resize(bits.shape[0], bits.shape[1], -(-n_bins // 8))
        for file in (growing.path / f"layers/{number}/bits").iterdir():
            if not CHUNK_NAME.fullmatch(file.name):
                file.unlink()


def _raster(root: Any, layer: int, n_bins: int) -> Raster:
    return Raster(packed=root[f"layers/{layer}/bits"], n_bins=n_bins)
