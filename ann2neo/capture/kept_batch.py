"""What is kept of the first batch until after the last one, and how it is run as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from ann2neo.capture.calls import Caller
from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.inputs import Batch
from ann2neo.capture.job import Job
from ann2neo.verification.comparison import Reference
from ann2neo.verification.reruns import Look
from ann2neo.verification.verdict import PREDICTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstBatch:
    """What is kept of the first batch that was run, or another one, until after the last one: the batch itself, and values of few of its inputs.

    Parameters
    ----------
    batch, checksum
        The batch, and its check sum, because the next one may be written in its place.
    reference
        What it gave.
    caller, look
        How the model was called with it, and what shows the scores of its predictions.
    states
        Random states before it, where passes seed every batch; None where there was no noise of passes, as in calibrating: what draws is to show.
    """

    batch: Batch
    checksum: int
    reference: Reference
    caller: Caller
    look: Look
    states: Any


def keep_first(job: Job, batch: Batch, reference: Reference, look: Look, states: Any) -> None:
    """Keep what is needed to run the first batch once more."""
    found = kept_of(job, batch, reference, look, None if job.passes is None else states)
    if reference.kept:
        job.checks.first = found


def kept_of(job: Job, batch: Batch, reference: Reference, look: Look, states: Any) -> FirstBatch:
    """Make what is needed to run a batch once more; of the reference no more than that is left."""
    recorded = [*job.sink.layers, PREDICTIONS] if job.checks.predicts else list(job.sink.layers)
    reference.shrink(recorded, {} if job.checks.verdict is None else job.checks.verdict.arranged)
    return FirstBatch(
        batch=batch,
        checksum=batch_checksum(batch.x),
        reference=reference,
        caller=job.caller,
        look=look,
        states=states,
    )


@contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Put all modules in eval mode for as long as the context lasts, as they were when thresholds were calibrated before passes began."""
    training = [one for one in module.modules() if one.training]
    for one in training:
        one.training = False
    try:
        yield
    finally:
        for one in training:
            one.training = True
