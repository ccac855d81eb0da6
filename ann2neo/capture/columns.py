"""Batches cut into columns of chunks: where each begins, and what is known of its inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from ann2neo.capture.inputs import Presentation, trial_columns
from ann2neo.capture.memory import SeenBatch
from ann2neo.capture.running import Job
from ann2neo.store.log import Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which inputs and bins each batch has, where that is known before they are read.

    Parameters
    ----------
    inputs, bins
        First input and first bin of each batch, and the end, shape (batch + 1,).

    Examples
    --------
    >>> layout = Layout(inputs=np.array([0, 2, 4, 5]), bins=np.array([0, 20, 40, 50]))
    >>> layout.start_of(39)
    Start(batch=1, first_input=2, first_bin=20)
    """

    inputs: Int[np.ndarray, " edge"]
    bins: Int[np.ndarray, " edge"]

    @property
    def n_bins(self) -> int:
        """Number of bins of one pass."""
        return int(self.bins[-1])

    def start_of(self, bin_number: int) -> Start:
        """Find the batch in which a bin lies."""
        batch = int(np.searchsorted(self.bins, bin_number, side="right")) - 1
        return Start(batch=batch, first_input=int(self.inputs[batch]), first_bin=int(self.bins[batch]))

    def columns_until_aligned(self, column_bins: int) -> int:
        """Number of columns after which a column and a batch begin together again: no batch is run twice if so many go together."""
        n_bins = int(self.bins[1])
        return n_bins // math.gcd(n_bins, column_bins)


def layout_of(job: Job, source: Presentation) -> Layout | None:
    """Find where batches lie, or None where the number of inputs or of their bins shows only when they are read."""
    sizes = source.batch_sizes
    if sizes is None or (job.steps is not None and (job.steps.lengths is None or callable(job.steps.lengths))):
        return None
    inputs = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if job.steps is None:
        return Layout(inputs=inputs, bins=inputs)
    given = job.steps.lengths
    lengths = np.asarray(given.detach().cpu() if isinstance(given, torch.Tensor) else given)
    # Lengths that do not fit the inputs are refused with the batch that shows it.
    if lengths.ndim != 1 or lengths.size < inputs[-1] or not np.issubdtype(lengths.dtype, np.integer):
        return None
    edges = np.concatenate([[0], np.cumsum(lengths[: inputs[-1]])]).astype(np.int64)
    return Layout(inputs=inputs, bins=edges[inputs])


class Known:
    """What is known of the inputs of a batch: labels that were given or came with it, and predictions."""

    def __init__(self, job: Job, source: Presentation) -> None:
        self._inputs = job.inputs
        self._given: dict[str, np.ndarray] = {}
        if job.inputs.labels is not None:
            n_inputs = source.n_inputs
            self._given = trial_columns(
                job.inputs.labels, [], _n_given(job.inputs.labels) if n_inputs is None else n_inputs
            )

    def of(self, batch: SeenBatch, first_input: int, pass_number: int) -> dict[str, np.ndarray]:
        """Columns of the table of trials for the inputs of a batch."""
        known = {} if batch.predicted is None else {"predicted_label": batch.predicted}
        if pass_number:
            return known
        if batch.stimulus_ids is not None:
            known["stimulus_id"] = batch.stimulus_ids
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
