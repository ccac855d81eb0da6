"""Running a model batch by batch while its activations are observed, and what is known of each batch afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Int

from ann2neo.bits import Held, Planes
from ann2neo.capture.batch_shapes import see_shape
from ann2neo.capture.calls import check_decoder
from ann2neo.capture.first_batch import check_layers_ran, differ_now, run_and_verify, trains_anew
from ann2neo.capture.inputs import (
    Batch,
    Presentation,
    Repeated,
    check_listed_lengths,
    read_batches,
    trial_columns,
    warn_of_other_steps,
    warn_of_unknown_order,
    warn_of_unread_labels,
)
from ann2neo.capture.job import Job
from ann2neo.capture.masks import padded_positions
from ann2neo.capture.passes import seed_batch
from ann2neo.capture.predictions import Deferred, predictions
from ann2neo.capture.spikes.bins import labels_of_steps
from ann2neo.capture.spikes.bits import Bits
from ann2neo.capture.steps import positions_of_batch, warn_of_padded_steps, warn_of_unused_mask
from ann2neo.errors import ActivationError, Ann2NeoWarning, InputsError
from ann2neo.progress import progress_bar

# Of layers that a message lists.
MOST_LISTED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBatch:
    """What is kept of a batch.

    Parameters
    ----------
    planes
        Spikes by layer.
    lengths
        Bins of each input, shape (input,).
    labels, predicted
        Label and predicted class of each input, where they are known, shape (input,).
    stimulus_ids
        Which inputs came out of a collating function, where that is known, shape (input,).
    steps
        Columns of the table of bins: for each input an array with a value for each of its bins, shape (input,).
    """

    planes: Mapping[str, Planes | Held]
    lengths: Int[np.ndarray, " input"]
    labels: Int[np.ndarray, " input"] | None
    predicted: Int[np.ndarray, " input"] | Deferred | None
    stimulus_ids: Int[np.ndarray, " input"] | None = None
    steps: Mapping[str, np.ndarray] = field(default_factory=dict)


class TrialColumns:
    """Columns of the table of trials for the inputs of a batch: labels that were given or came with it, and predictions."""

    def __init__(self, job: Job, source: Presentation) -> None:
        self._inputs = job.inputs
        self._given: dict[str, np.ndarray] = {}
        if job.inputs.labels is not None:
            n_inputs = source.n_inputs
            self._given = trial_columns(
                job.inputs.labels, [], _n_given(job.inputs.labels) if n_inputs is None else n_inputs
            )

    def of(self, batch: SeenBatch, first_input: int, pass_number: int) -> dict[str, Any]:
        """Find what is known of the inputs of a batch, each of shape (input,)."""
        known: dict[str, Any] = {} if batch.predicted is None else {"predicted_label": batch.predicted}
        if pass_number:
            return known
        if batch.stimulus_ids is not None:
            known["stimulus_id"] = batch.stimulus_ids
        known |= batch.steps
        stop = first_input + batch.lengths.size
        if self._inputs.labels is None:
            return known if batch.labels is None else {"label": batch.labels} | known
        for values in self._given.values():
            if values.size < stop:
                self.check_number(stop)
        return {name: values[first_input:stop] for name, values in self._given.items()} | known

    def check_number(self, n_inputs: int) -> None:
        """Refuse labels that are not as many as the inputs.

        Raises
        ------
        InputsError
            If they are more or less.
        """
        if self._inputs.labels is not None:
            trial_columns(self._inputs.labels, [], n_inputs)


def _n_given(labels: Any) -> int:
    values = next(iter(labels.values()), []) if isinstance(labels, Mapping) else labels
    return len(values)


def run_pass(
    job: Job,
    source: Presentation,
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

    Raises
    ------
    InputsError
        If lengths are listed for inputs that come in random order, a loader's batch lacks inputs, or a batch is another one in a later pass.
    """
    job.sink.begin_stream()
    begin = 0 if source.batch_sizes is None else first
    title = "recording" if job.passes is None else f"recording, pass {number + 1} of {job.passes.n}"
    batches = read_batches(source, job.inputs, begin)
    if progress:
        batches = progress_bar(batches, shown=True, desc=title, unit="batch", total=source.n_batches, initial=begin)
    readings = source.readings if job.n_passes > 1 else None
    if number == first == 0:
        check_listed_lengths(None if job.steps is None else job.steps.lengths, source)
    labelled, told, repeated = None, False, Repeated()
    padded = job.steps is None or job.steps.lengths is not None or job.steps.axis != 1
    for place, batch in enumerate(batches, begin):
        if labelled is None:
            labelled = job.labels_of(batch) is not None
        elif labelled is (job.labels_of(batch) is None) and not told:
            _warn_of_some_labels(place, labelled)
            told = True
        if readings is not None:
            readings.check(place, batch, number)
        if number == place == 0:
            warn_of_unread_labels(job.inputs.labels, job.labels_of(batch), batch.target, batch.n_inputs, batch.x)
            warn_of_unknown_order(source)
        if number == 0:
            if job.steps is not None and batch.padded and not padded and not padded_positions(batch.x, batch.n_inputs):
                padded = True
                warn_of_padded_steps(job.steps)
            repeated.see(batch)
            job.checks.n_repeated = repeated.n if place == 0 else job.checks.n_repeated
        if look is not None:
            look(place, batch)
        if place < first:
            continue
        if job.passes is not None:
            seed_batch(job.passes, number, place)
        yield run_batch(job, batch, n_before, is_first=place == first)
        n_before += batch.n_inputs
    repeated.tell()


def run_batch(job: Job, batch: Batch, n_before: int, *, is_first: bool) -> SeenBatch:
    """Run one batch, which comes after this many inputs; with the first one every layer that was asked for must run."""
    seen: list[Any] = []
    planes, positions = show_batch(
        job, batch, n_before, is_first=is_first, look=lambda output: seen.append(predictions(output, batch, job.inputs))
    )
    job.checks.gives_classes = seen[-1] is not None
    predicted = seen[-1] if job.checks.predicts else None
    lengths = _bins_of_inputs(job, planes, batch.n_inputs, _lengths(positions))
    return SeenBatch(
        planes=planes,
        lengths=lengths,
        labels=batch.labels,
        predicted=predicted,
        stimulus_ids=batch.stimulus_ids,
        steps={} if job.steps is None else _step_columns(job, batch, n_before, positions, lengths),
    )


def show_batch(
    job: Job, batch: Batch, n_before: int, *, is_first: bool, look: Callable[[Any], None] = lambda _output: None
) -> tuple[dict[str, Planes | Held], np.ndarray | None]:
    """Run one batch and show its activations to the job's sink, and its output to ``look``.

    Returns the spikes by layer, and the positions that count: lengths, or truth values of shape (input, position).
    """
    positions = (
        None
        if job.steps is None
        else positions_of_batch(
            job.steps, batch.x, n_before, batch.n_inputs, axis=batch.known_axis, known=job.checks.ones_are_padding
        )
    )
    job.sink.begin(batch.n_inputs, positions)
    job.checks.count(batch.n_inputs)
    adopted = not job.probe.settled and job.checks.verdict is not None
    if trains_anew(job, batch.n_inputs) or not job.probe.settled or differ_now(job, batch):
        if job.steps is not None:
            warn_of_unused_mask(job.steps, batch.x, batch.n_inputs, positions)
        if job.inputs.forward is None:
            check_decoder(job.module, batch)
        run_and_verify(job, batch, positions, look)
        see_shape(job, batch, verified=not adopted)
    else:
        see_shape(job, batch)
        job.probe.show_to(job.sink, batch.n_inputs)
        look(job.caller(batch.x))
        if is_first:
            check_layers_ran(job)
    return job.sink.end(), positions


def _step_columns(
    job: Job, batch: Batch, n_before: int, positions: np.ndarray | None, lengths: Int[np.ndarray, " input"]
) -> dict[str, np.ndarray]:
    """Find the labels of the steps of a batch: those that are given for all inputs, else those that come with it if they are as many as its steps."""
    n_steps = job.sink.n_steps if isinstance(job.sink, Bits) else None
    if job.inputs.labels is not None:
        given = {name: values[n_before : n_before + batch.n_inputs] for name, values in job.step_labels.items()}
        return labels_of_steps(given, positions, lengths, n_steps)
    if batch.labels is not None or batch.step_labels is None:
        return {}
    if job.checks.verdict is not None and job.checks.verdict.turned and batch.axis is None:
        # As many labels per step as steps per input: nothing says which axis of them is which.
        warn_of_other_steps(either=True)
        return {}
    try:
        return labels_of_steps({"label": batch.step_labels}, positions, lengths, n_steps)
    except InputsError:
        warn_of_other_steps()
        return {}


def _lengths(positions: np.ndarray | None) -> Int[np.ndarray, " input"] | None:
    return positions if positions is None or positions.ndim == 1 else positions.sum(axis=1)


def _bins_of_inputs(
    job: Job, planes: Mapping[str, Planes | Held], n_inputs: int, lengths: Int[np.ndarray, " input"] | None
) -> Int[np.ndarray, " input"]:
    """Return how many bins each input of a batch has, the same in all layers.

    Raises
    ------
    ActivationError
        If layers differ, or some inputs passed a layer twice or not at all.
    """
    if lengths is None:
        per_input = (
            1 if job.steps is None else max((some.n_bins for some in planes.values()), default=0) // max(n_inputs, 1)
        )
        lengths = _equal_lengths(n_inputs, per_input)
        n_bins = n_inputs * per_input
    else:
        n_bins = int(lengths.sum())
    if len(planes) != len(job.sink.layers) or any(some.n_bins != n_bins for some in planes.values()):
        bins = {name: planes[name].n_bins if name in planes else 0 for name in job.sink.layers}
        wrong = {name: n for name, n in bins.items() if n != n_bins}
        raise ActivationError(
            f"{n_inputs} inputs have {n_bins} bins, but these layers have another number: {wrong if len(wrong) <= MOST_LISTED else _first_of(wrong)}.",
            "Their first axis is not one entry per input, some inputs did not reach them, or they have another number of steps: "
            "there is no common pseudo-time axis.",
            "Record layers that every input passes once (layers=...), with the same steps; if the number of inputs is wrong, say it with Inputs(data, n_inputs=lambda batch: ...).",
        )
    return lengths


def _first_of(wrong: Mapping[str, int]) -> str:
    listed = ", ".join(f"{name!r}: {n}" for name, n in list(wrong.items())[:MOST_LISTED])
    return f"{{{listed}, ...}} ({len(wrong)} in all)"


@lru_cache(8)
def _equal_lengths(n_inputs: int, n_bins: int) -> Int[np.ndarray, " input"]:
    lengths = np.full(n_inputs, n_bins, np.int64)
    lengths.flags.writeable = False
    return lengths


def _warn_of_some_labels(place: int, labelled: bool) -> None:
    """Warn that there will be no labels, because only some batches hold them."""
    differs = "holds none" if labelled else "is the first that does"
    text = f"Only some batches hold labels (batch {place} {differs}): the trials have no labels. Give them as Inputs(data, labels=...)."
    warnings.warn(Ann2NeoWarning(text), stacklevel=2)
