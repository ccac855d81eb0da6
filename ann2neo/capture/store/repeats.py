"""Repeats: which recorded batches are run again, and whether they come out the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch

from ann2neo.bits import Planes, fetched
from ann2neo.capture.inputs import Batch
from ann2neo.capture.job import Job
from ann2neo.capture.passes import seed_batch
from ann2neo.capture.provenance import described
from ann2neo.capture.run import SeenBatch, run_batch
from ann2neo.errors import StoreError
from ann2neo.recording import Layer
from ann2neo.store.begun import BegunColumn
from ann2neo.store.growing import Growing, bare
from ann2neo.store.layout import open_group
from ann2neo.store.log import Column, Start

# Facts on which the last bits of activations depend, and the code of the model where git knows it.
DECIDING = ("torch_threads", "device", "autocast", "autocast_dtype", "software", "git_commit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A batch that is on the disk: the first batch, or the last of a column, in which the others may begin or end.

    ``rows`` are the bits of each layer in a column that was begun and lies in a file of its own.
    """

    batch: int
    column: Column
    rows: Sequence[np.ndarray] | None = None


def to_repeat(
    log: Mapping[tuple[int, int], Column], begun: Mapping[tuple[int, int], BegunColumn], *, complete: bool
) -> list[Recorded]:
    """Choose the recorded batches that are run again: the first one, and the last one where a recording is to go on.

    The first one shows other code. A model that counts its batches or draws random numbers may give it again, but not the last one as well; a single batch is run
    twice, for the same reason. A complete store is not gone on with, so that it is enough if it begins alike.
    """
    filled: dict[tuple[int, int], BegunColumn] = {
        place: BegunColumn(column=column, rows=()) for place, column in log.items() if column.n_bins
    }
    filled |= begun
    first = [_recorded(filled[0, 0], 0)] if (0, 0) in filled else []
    if complete or not filled:
        return first
    last = filled[max(filled)]
    return [*first, _recorded(last, max(last.column.batches))]


def _recorded(begun: BegunColumn, batch: int) -> Recorded:
    return Recorded(batch=batch, column=begun.column, rows=begun.rows or None)


def repeat(job: Job, growing: Growing, recorded: Recorded, batch: Batch) -> None:
    """Run a batch again and compare its spikes, predictions and labels with those on the disk; to be called while the job is watched.

    Weights, names and data are the same where only the code of a model, a hook, an attribute, ``forward`` or ``predict`` was changed; what is computed is not.

    Raises
    ------
    StoreError
        If it does not give the same.
    """
    seen = _run(job, recorded, batch)
    check_layers(growing, job)
    wrong = _differences(growing, recorded, seen, predicts=job.checks.predicts)
    if wrong:
        _refuse(job, growing, recorded, wrong, is_random=not _alike(seen, _run(job, recorded, batch)))


def check_layers(growing: Growing, job: Job) -> None:
    """Refuse to go on with layers that are not those of the store.

    Raises
    ------
    StoreError
        If they differ in anything that is known of them.
    """
    here = bare_layers(job)
    if len(here) != len(growing.layers) or not all(a.identical(b) for a, b in zip(here, growing.layers)):
        raise StoreError(
            f"the layers in {growing.path} are {[layer.name for layer in growing.layers]}; now they are {[layer.name for layer in here]}, "
            "or their shapes, types, units or thresholds are others.",
            "Their bits would not fit together; nothing more was recorded.",
            "Record with the same model and options, or into another store.",
        )


def bare_layers(job: Job) -> tuple[Layer, ...]:
    """Describe the layers that a job has seen, without bits."""
    return tuple(
        bare(name=one.name, shape=one.shape, dtype=one.dtype, units=one.units, thresholds=one.thresholds)
        for one in job.sink.layers.values()
    )


def _run(job: Job, recorded: Recorded, batch: Batch) -> SeenBatch:
    n_before = _place(recorded, batch.n_inputs, 0).first_input
    # What a model draws without a seed must not come again: it would seem to be no draw.
    with torch.random.fork_rng(enabled=job.passes is not None):
        if job.passes is not None:
            seed_batch(job.passes, recorded.column.pass_number, recorded.batch)
        return run_batch(job, batch, n_before, is_first=True)


def _place(recorded: Recorded, n_inputs: int, n_bins: int) -> Start:
    """Find where a batch of this many inputs and bins begins."""
    batch, after = recorded.batch, recorded.column.after
    if batch == 0:
        return Start()
    if after.batch == batch:
        return after
    return Start(batch=batch, first_input=after.first_input - n_inputs, first_bin=after.first_bin - n_bins)


def _differences(growing: Growing, recorded: Recorded, seen: SeenBatch, *, predicts: bool) -> list[str]:
    """List what is not the same: bits of which layers, predictions (unless a later batch showed that they are none), labels."""
    n_bins = int(seen.lengths.sum())
    first_bin = _place(recorded, seen.lengths.size, n_bins).first_bin
    begin = recorded.column.number * growing.column_bins
    start, stop = max(first_bin, begin), min(first_bin + n_bins, begin + recorded.column.n_bins)
    here = slice(start - first_bin, stop - first_bin)
    root, wrong = open_group(growing.path), []
    for number, layer in enumerate(growing.layers):
        step, _ = growing.chunk_shape(layer)
        n_wrong, planes = 0, fetched(seen.planes[layer.name])
        for units in (slice(first, first + step) for first in range(0, layer.n_units, step)):
            if recorded.rows is None:
                bits = root[f"layers/{number}/bits"]
                packed = bits[recorded.column.pass_number, units, start // 8 : -(-stop // 8)]
            else:
                packed = recorded.rows[number][units, (start - begin) // 8 : -((begin - stop) // 8)]
            n_wrong += _n_other(packed, start % 8, planes, here, units)
        if n_wrong:
            wrong.append(f"{n_wrong} of {layer.n_units * (stop - start)} bits of layer {layer.name!r} differ")
    starts = first_bin + np.cumsum(seen.lengths) - seen.lengths
    within = (starts >= begin) & (starts < begin + recorded.column.n_bins)
    return wrong + _other_known(recorded, seen, within, predicts=predicts)


def _n_other(packed: np.ndarray, n_before: int, planes: Planes, bins: slice, units: slice) -> int:
    """Count the bits in which planes differ from packed bits, of which the first are others'."""
    here = np.unpackbits(planes.bits[:, units], axis=0, count=planes.n_bins)[bins].T
    there = np.unpackbits(packed, axis=1)[:, n_before : n_before + here.shape[1]]
    return int(np.count_nonzero(here != there))


def _other_known(recorded: Recorded, seen: SeenBatch, within: np.ndarray, *, predicts: bool) -> list[str]:
    """Compare predictions and labels of the inputs that begin in the column; labels are kept of the first pass, and those given for all inputs are known to be the same."""
    n, n_there = int(within.sum()), recorded.column.lengths.size
    rows = slice(0, n) if recorded.batch == 0 else slice(n_there - n, n_there)
    wrong = []
    predicted = {"predicted_label": seen.predicted} if predicts else {}
    for name, values in (predicted | {"label": seen.labels}).items():
        there = recorded.column.known.get(name)
        if n == 0 or (name == "label" and (values is None or recorded.column.pass_number > 0)):
            continue
        if values is None or there is None:
            if values is not there:
                wrong.append(
                    f"{name} {'is' if there is None else 'was'} known, but {'was' if there is None else 'is'} not"
                )
        else:
            n_wrong = int(np.count_nonzero(values[within] != there[rows]))
            wrong += [f"{n_wrong} of {n} values of {name} differ"] if n_wrong else []
    return wrong


def _alike(a: SeenBatch, b: SeenBatch) -> bool:
    planes = ((fetched(a.planes[name]), fetched(b.planes[name])) for name in a.planes)
    return all(np.array_equal(one.bits, other.bits) for one, other in planes) and np.array_equal(
        np.array(a.predicted), np.array(b.predicted)
    )


def _refuse(job: Job, growing: Growing, recorded: Recorded, wrong: list[str], *, is_random: bool) -> NoReturn:
    batch = f"batch {recorded.batch}" + (f" of pass {recorded.column.pass_number}" if job.passes is not None else "")
    fact = f"{batch}, run again, does not give what {growing.path} holds: {', '.join(wrong)}."
    if is_random:
        raise StoreError(
            fact,
            "It gives something else each time that it is run: the model draws random numbers or keeps a state from batch to batch. "
            "No recording of it can be resumed or known again; nothing more was recorded.",
            "Let Passes(n, active=...) seed each batch, or record into another store without a break; ann2neo.load opens what is there.",
        )
    others = _other_numbers(job, growing)
    raise StoreError(
        fact,
        "Weights, options and data are the same, so that it is something else: the model's code, a hook, an attribute, a state that it keeps, forward=, predict="
        f"{f', or what the last bits depend on ({others})' if others else ''}. Old and new would be mixed; nothing more was recorded.",
        "Record with the same code and settings, or into another store, or allow overwriting (export(..., overwrite=True)); ann2neo.load opens what is there.",
    )


def _other_numbers(job: Job, growing: Growing) -> str:
    """Describe in which threads, device or software the process differs from the one that made a store."""
    there: Mapping[str, Any] = open_group(growing.path).attrs["provenance"]
    here = described(job, batch_size=1)
    return ", ".join(
        f"{name} {there.get(name)} there, {here.get(name)} here"
        for name in DECIDING
        if there.get(name) != here.get(name)
    )
