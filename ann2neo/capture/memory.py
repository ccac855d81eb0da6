"""Recording into memory: batches of several passes, kept as packed bits, become a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Int

from ann2neo.bits import Buffer, buffer_for
from ann2neo.capture.inputs import Presentation, open_source, trial_columns
from ann2neo.capture.job import Job, watching
from ann2neo.capture.last_batch import check_last
from ann2neo.capture.passes import stochastic_modules
from ann2neo.capture.provenance import described
from ann2neo.capture.run import SeenBatch, run_pass
from ann2neo.capture.spikes.sinks import ObservedLayer
from ann2neo.device.failures import failures_told
from ann2neo.probe.state import evaluation_mode
from ann2neo.raster import Raster
from ann2neo.recording import COUNTED, Layer, Recording, join_bins, join_passes, presented_order


@dataclass(slots=True)
class Memory:
    """Batches of several passes, kept as packed bits and what is known of their inputs.

    Parameters
    ----------
    n_bins
        Number of bins of a pass, as far as it is known before.
    """

    n_bins: int | None = None
    passes: list[dict[str, Buffer]] = field(default_factory=list)
    batches: list[list[SeenBatch]] = field(default_factory=list)

    def begin_pass(self) -> None:
        """Begin the next pass."""
        self.passes.append({})
        self.batches.append([])

    def add(self, batch: SeenBatch) -> None:
        """Keep a batch of the pass that was begun last."""
        buffers = self.passes[-1]
        for name, planes in batch.planes.items():
            if name not in buffers:
                buffers[name] = buffer_for(planes, self.n_bins)
            buffers[name].add(planes)
        self.batches[-1].append(replace(batch, planes={}))

    def lengths(self) -> list[Int[np.ndarray, " input"]]:
        """Return the bins of each input in each pass, shape (input,)."""
        return [np.concatenate([batch.lengths for batch in batches]) for batches in self.batches]

    def raster(self, layer: str) -> Raster:
        """Return the spikes of a layer, which are not kept any longer."""
        n_bins = self.passes[0][layer].n_bins
        # Pass by pass, and without a copy where there is one: the bits may take most of the memory.
        first = self.passes[0].pop(layer).pop()
        if len(self.passes) == 1:
            return Raster(packed=first[None], n_bins=n_bins)
        packed = np.empty((len(self.passes), *first.shape), np.uint8)
        packed[0] = first
        for number, buffers in enumerate(self.passes[1:], 1):
            packed[number] = buffers.pop(layer).pop()
        return Raster(packed=packed, n_bins=n_bins)


def record_into_memory(job: Job, known: Mapping[str, Any], *, bin_size_ms: float, progress: bool) -> Recording:
    """Run a job over all its inputs.

    Parameters
    ----------
    job
        What is run.
    known
        What the provenance says beside what the job shows.
    bin_size_ms
        Size of a bin.
    progress
        Whether to show a progress bar.
    """
    with failures_told(), evaluation_mode(job.module, stochastic_modules(job.module, job.passes)):
        source = open_source(job.inputs)
        memory = Memory(source.n_inputs if job.steps is None else None)
        with watching(job):
            for number in range(job.n_passes):
                memory.begin_pass()
                for batch in run_pass(job, source, number, progress=progress):
                    memory.add(batch)
            check_last(job, in_memory=True)
            job.checks.close()
    lengths = memory.lengths()
    ids, known_as = _stimulus_ids(source, memory)
    known_of_inputs = _known(job, memory)
    trials = join_passes(known_of_inputs, lengths=lengths, stimulus_ids=ids, n_outputs=job.caller.n_outputs)
    return Recording(
        layers=tuple(_layer(layer, memory.raster(layer.name)) for layer in job.sink.layers.values()),
        trials=trials,
        bin_size_ms=bin_size_ms,
        provenance=described(job, batch_size=memory.batches[0][0].lengths.size)
        | dict(known)
        | {"stimulus_ids": known_as}
        | presented_order(ids),
        bins=join_bins(known_of_inputs, lengths[0]),
    )


def _stimulus_ids(source: Presentation, memory: Memory) -> tuple[np.ndarray, str]:
    """Return which inputs of the data set were presented, shape (input,), and how that is known; they are counted where it is not known of all."""
    ids = source.stimulus_ids
    if source.traced:
        found = [batch.stimulus_ids for batch in memory.batches[0]]
        known = [some for some in found if some is not None]
        ids = np.concatenate(known) if len(known) == len(found) else None
    return (np.arange(memory.lengths()[0].size), COUNTED) if ids is None else (ids, source.stimulus_ids_are)


def _known(job: Job, memory: Memory) -> list[dict[str, Any]]:
    """Gather labels and predictions of each pass, as far as all batches have them."""
    passes = []
    for batches in memory.batches:
        n_inputs = sum(batch.lengths.size for batch in batches)
        columns: dict[str, Any] = trial_columns(job.inputs.labels, [batch.labels for batch in batches], n_inputs)
        predicted = [batch.predicted for batch in batches if batch.predicted is not None]
        if len(predicted) == len(batches) and job.checks.predicts:
            columns["predicted_label"] = np.concatenate(predicted)
        for name in batches[0].steps if batches else ():
            if all(name in batch.steps for batch in batches):
                columns[name] = np.concatenate([batch.steps[name] for batch in batches])
        passes.append(columns)
    return passes


def _layer(layer: ObservedLayer, raster: Raster) -> Layer:
    return Layer(
        name=layer.name,
        shape=layer.shape,
        dtype=layer.dtype,
        units=layer.units,
        thresholds=layer.thresholds,
        raster=raster,
    )
