"""After the last batch the first one is run once more: a count, a cache or another state that grows from call to call, and noise that begins later, show."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from ann2neo.capture.calls import Caller
from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.inputs import Batch
from ann2neo.capture.job import Job
from ann2neo.errors import Ann2NeoWarning, ModelError
from ann2neo.probe.attributes import attributes_kept
from ann2neo.probe.state import random_states_kept, set_random_states
from ann2neo.verification.comparison import Comparison, Reference, is_close
from ann2neo.verification.reruns import Look, first_line
from ann2neo.verification.verdict import PREDICTIONS, Verdict

LATER = "the first batch, run once more after the last, gave other values (a count, cache or state that is kept from call to call, or noise that begins later)"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstBatch:
    """What is kept of the first batch that was run until after the last one: the batch itself, and values of few of its inputs.

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
    recorded = [*job.sink.layers, PREDICTIONS] if job.checks.predicts else list(job.sink.layers)
    reference.shrink(recorded)
    if not reference.kept:
        return
    job.checks.first = FirstBatch(
        batch=batch,
        checksum=batch_checksum(batch.x),
        reference=reference,
        caller=job.caller,
        look=look,
        states=None if job.passes is None else states,
    )


def check_last(job: Job, *, in_memory: bool) -> None:
    """Run the first batch once more, if others followed, and leave out what does not come out the same; to be called while the job is watched.

    Parameters
    ----------
    job
        What was run.
    in_memory
        Whether layers can still be left out, as nothing was written.

    Raises
    ------
    ModelError
        If a layer that was asked for, every layer, or what a store holds does not come out the same.
    """
    first, verdict = job.checks.first, job.checks.verdict
    if first is None or verdict is None or job.checks.n_batches < 2:
        return
    if batch_checksum(first.batch.x) != first.checksum:
        _add(job, verdict, "the first batch was written over, so that it could not be run once more after the last")
        return
    again = Comparison(first.reference, range(first.batch.n_inputs))
    try:
        quiet = without_noise(job.module) if first.states is None else nullcontext()
        with random_states_kept(), attributes_kept(job.module), quiet:
            if first.states is not None:
                set_random_states(first.states)
            job.probe.show_to(again, first.batch.n_inputs, arrange=False)
            first.look(first.caller(first.batch.x), first.batch.n_inputs, again.see)
    except Exception as error:
        why = f"the first batch could not be run once more after the last ({type(error).__name__}: {first_line(error)})"
        _add(job, verdict, why)
        return
    calls = [call for call, kept in first.reference.kept.items() if kept]
    wrong = {call[0]: LATER for call in calls if not _is_same(first.reference, again, call)}
    if wrong:
        first.reference.drop(list(wrong))
        _leave_out(job, verdict, wrong, in_memory=in_memory)


def check_not_refused(job: Job, name: str) -> None:
    """Check that no earlier call found that what a store holds does not come out the same.

    Raises
    ------
    ModelError
        If one did: the same call again, which runs what is missing only, does not show it.
    """
    verdict = job.checks.verdict
    later = [why for why in (() if verdict is None else verdict.unverified) if why.startswith(LATER)]
    if later:
        raise ModelError(
            f"{name} is not complete, because of what an earlier call found: {later[0]}.",
            "What was recorded of an input depends on the batches before it.",
            "Mend the model, or choose other layers, and record again with overwrite=True.",
        )


@contextmanager
def without_noise(module: nn.Module) -> Iterator[None]:
    """Put modules that are kept stochastic in eval mode for as long as the context lasts."""
    noisy = [one for one in module.modules() if one.training]
    for one in noisy:
        one.training = False
    try:
        yield
    finally:
        for one in noisy:
            one.training = True


def _is_same(reference: Reference, again: Comparison, call: tuple[str, int]) -> bool:
    return any(is_close(reference, outcome, call) for outcome in again.outcomes.get(call, {}).values())


def _add(job: Job, verdict: Verdict, why: str) -> None:
    if why not in verdict.unverified:
        job.checks.verdict = replace(verdict, unverified=(*verdict.unverified, why))


def _leave_out(job: Job, verdict: Verdict, wrong: Mapping[str, str], *, in_memory: bool) -> None:
    layers = {layer: why for layer, why in wrong.items() if layer != PREDICTIONS}
    asked_for = job.probe.selection.patterns is not None
    if layers and (not in_memory or asked_for or set(layers) >= set(job.sink.layers)):
        _add(job, verdict, f"{LATER}: {', '.join(layers)}")
        raise ModelError(
            f"{', '.join(map(repr, list(layers)[:20]))}: {LATER}.",
            "What was recorded of an input depends on the batches before it."
            + ("" if in_memory else " The store holds it, but is not complete."),
            "Reset the state in forward, or before each batch with Inputs(data, forward=...); let Passes(n, active=...) seed what draws; leave these layers out (layers='!name'); "
            f"or record them as they are, unverified (verify=False{'' if in_memory else ', into another store'}).",
        )
    job.checks.verdict = replace(
        verdict,
        left_out={**verdict.left_out, **layers},
        arranged={layer: one for layer, one in verdict.arranged.items() if layer not in layers},
        dependent={layer: one for layer, one in verdict.dependent.items() if layer not in wrong},
        predictions=wrong.get(PREDICTIONS, verdict.predictions),
    )
    if not layers:
        return
    job.probe.leave_out(layers)
    job.sink.drop(list(layers))
    text = f"not recorded: {', '.join(map(repr, layers))}: {LATER}.\nReset the state in forward, or before each batch with Inputs(data, forward=...)."
    warnings.warn(Ann2NeoWarning(text), stacklevel=4)
