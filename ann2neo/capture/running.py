"""Running a model batch by batch while its activations are observed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import nn
from tqdm import tqdm

from ann2neo.capture.inputs import Batch, Inputs, Place, Source, place_of, read_batches, to_place
from ann2neo.capture.layers import check_all_ran
from ann2neo.capture.memory import SeenBatch
from ann2neo.capture.observer import Observing
from ann2neo.capture.packing import Planes, viewed
from ann2neo.capture.passes import Passes, seed_batch
from ann2neo.capture.steps import Steps, lengths_of_batch
from ann2neo.capture.watch import Watch
from ann2neo.errors import ActivationError, InputsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Which model is run over which inputs, and what is observed; see `ann2neo.record`."""

    module: nn.Module
    inputs: Inputs
    observer: Observing
    layers: str | Sequence[str] | None
    steps: Steps | None = None
    passes: Passes | None = None
    watch: Watch = field(init=False, repr=False, compare=False)
    place: Place = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_call = self.steps is None or self.steps.axis != "calls"
        object.__setattr__(self, "watch", Watch(self.module, self.layers, self.observer, count_calls=by_call))
        object.__setattr__(self, "place", place_of(self.module))

    @property
    def n_passes(self) -> int:
        """Number of runs through all inputs."""
        return 1 if self.passes is None else self.passes.n


def watching(job: Job) -> AbstractContextManager[None]:
    """Observe the layers of a job for as long as the context lasts."""
    return job.watch.attached()


def run_pass(
    job: Job,
    source: Source,
    number: int,
    *,
    progress: bool,
    first: int = 0,
    n_before: int = 0,
    look: Callable[[int, Batch], None] | None = None,
) -> Iterator[SeenBatch]:
    """Run one pass through all inputs, batch by batch.

    Parameters
    ----------
    job, source
        What is run over what.
    number
        Which pass it is.
    progress
        Whether to show a progress bar.
    first, n_before
        The batch to begin with, and the number of inputs before it. Where batches can only be read one after another, those before are read but not run.
    look
        Is shown each batch that is read, with its number, before it is run.
    """
    begin = 0 if source.batch_sizes is None else first
    title = "recording" if job.passes is None else f"recording, pass {number + 1} of {job.passes.n}"
    batches = read_batches(source, job.inputs, begin)
    if progress:
        batches = tqdm(batches, total=source.n_batches, initial=begin, desc=title, unit="batch")
    for place, batch in enumerate(batches, begin):
        if look is not None:
            look(place, batch)
        if place < first:
            continue
        if job.passes is not None:
            seed_batch(job.passes, number, place)
        yield run_batch(job, batch, n_before, is_first=place == first)
        n_before += batch.n_inputs


def run_batch(job: Job, batch: Batch, n_before: int, *, is_first: bool) -> SeenBatch:
    """Run one batch, which comes behind so many inputs; with the first one every layer that was asked for must run."""
    lengths = None if job.steps is None else lengths_of_batch(job.steps, batch.x, n_before, batch.n_inputs)
    job.observer.begin(lengths)
    predicted = _predictions(call_model(job, batch), batch, job.inputs)
    planes = job.observer.end()
    if is_first:
        check_all_ran(job.module, job.layers, list(job.observer.layers), job.watch.called)
    lengths = _bins_of_inputs(job, planes, batch.n_inputs, lengths)
    return SeenBatch(planes=planes, lengths=lengths, labels=batch.labels, predicted=predicted)


def call_model(job: Job, batch: Batch) -> Any:
    """Call the model as the user said, or as its batch suggests."""
    x = to_place(batch.x, job.place)
    forward = job.inputs.forward
    if forward is None and isinstance(x, dict):
        _check_arguments(job.module, x)
    if forward is not None:
        return job.watch.run(lambda: forward(job.module, x))
    return job.watch.run(lambda: job.module(**x) if isinstance(x, dict) else job.module(x))


def _check_arguments(module: nn.Module, batch: Mapping[str, Any]) -> None:
    """Refuse a mapping whose keys are no arguments of the model.

    Raises
    ------
    InputsError
        If a key is unknown; the message names the arguments.
    """
    try:
        parameters = inspect.signature(module.forward).parameters
    except (TypeError, ValueError):
        return
    unknown = [key for key in batch if key not in parameters]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise InputsError(
            f"a batch has the keys {sorted(batch)}, but {type(module).__name__} takes {list(parameters)}.",
            "The model cannot be called with it.",
            "Say how with Inputs(data, labels=..., forward=lambda model, batch: model(batch['...'])).",
        )


def _bins_of_inputs(
    job: Job, planes: Mapping[str, Planes], n_inputs: int, lengths: Int[np.ndarray, " input"] | None
) -> Int[np.ndarray, " input"]:
    """Say how many bins each input of a batch has, the same in all layers.

    Raises
    ------
    ActivationError
        If layers differ, or some inputs passed a layer twice or not at all.
    """
    if lengths is None:
        per_input = 1 if job.steps is None else max((some.n_bins for some in planes.values()), default=0) // n_inputs
        lengths = _equal_lengths(n_inputs, per_input)
        n_bins = n_inputs * per_input
    else:
        n_bins = int(lengths.sum())
    if len(planes) != len(job.observer.layers) or any(some.n_bins != n_bins for some in planes.values()):
        bins = {name: planes[name].n_bins if name in planes else 0 for name in job.observer.layers}
        wrong = {name: n for name, n in bins.items() if n != n_bins}
        raise ActivationError(
            f"{n_inputs} inputs have {n_bins} bins, but these layers have another number: {wrong}.",
            "Their first axis is not one entry per input, some inputs did not reach them, or they have another number of steps: "
            "there is no common pseudo-time axis.",
            "Record layers that every input passes once (layers=...), with the same steps.",
        )
    return lengths


@lru_cache(8)
def _equal_lengths(n_inputs: int, n_bins: int) -> Int[np.ndarray, " input"]:
    lengths = np.full(n_inputs, n_bins, np.int64)
    lengths.flags.writeable = False
    return lengths


def _predictions(output: Any, batch: Batch, inputs: Inputs) -> np.ndarray | None:
    """Class that the model predicts for each input, or None where its output does not say."""
    if inputs.predict is not None:
        return torch.as_tensor(inputs.predict(output)).detach().cpu().numpy().astype(np.int64)
    logits = output if isinstance(output, torch.Tensor) else getattr(output, "logits", output)
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        return None
    n_inputs, n_classes = logits.shape
    if n_inputs != batch.n_inputs or n_classes < 2 or not logits.is_floating_point():
        return None
    # NumPy finds the same classes several times faster where there are few; it knows no bfloat16.
    array = viewed(logits)
    return logits.argmax(dim=1).cpu().numpy() if array is None else array.argmax(axis=1)
