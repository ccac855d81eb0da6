"""Batches whose inputs have other shapes than those of the first one, longer sequences or larger images: few are kept until after the last one, and verified by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ann2neo.capture.batch_sizes import OtherBatch, are_the_same, place_of_inputs
from ann2neo.capture.calls import Caller
from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.first_batch import look_of
from ann2neo.capture.inputs import Batch
from ann2neo.capture.job import Job
from ann2neo.device.failures import is_lost
from ann2neo.probe.outputs import Arrangement
from ann2neo.verification.comparison import Reference
from ann2neo.verification.judgement import Verification
from ann2neo.verification.orders import kept_inputs
from ann2neo.verification.places import are_alike, movable
from ann2neo.verification.reruns import first_line
from ann2neo.verification.verdict import CONSTANT, DIFFERS, NOT_ROWS, PREDICTIONS, UNCLEAR_ROWS, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapedBatch:
    """A batch that is kept because of the shape of its inputs, its check sum, and how the model was called with it."""

    batch: Batch
    checksum: int
    caller: Caller


def see_shape(job: Job, batch: Batch, *, verified: bool = False) -> None:
    """Note the shape of the inputs of a batch; unless the batch was verified, keep it until after the last one if they are to be.

    Where what was found of the layers comes from a store, or from another process, no batch was verified that is known. Parts that no batch had before, and that are the same for all
    inputs of this one, are verified in the first batch in which they are not.
    """
    shapes = job.checks.shapes
    if verified:
        shapes.verified(batch.x, batch.n_inputs, batch.known_axis)
    elif job.checks.wanted:
        new = shapes.see(batch.x, batch.n_inputs, batch.known_axis, keep=lambda: _kept(job, batch))
        verdict = job.checks.verdict
        if new and verdict is not None and (alike := are_alike(batch.x, batch.n_inputs, new)):
            job.checks.verdict = replace(verdict, pending=tuple(dict.fromkeys((*verdict.pending, *alike))))


def _kept(job: Job, batch: Batch) -> ShapedBatch:
    return ShapedBatch(batch=batch, checksum=batch_checksum(batch.x), caller=job.caller)


def verify_shape(job: Job, kept: ShapedBatch, verdict: Verdict, text: str) -> OtherBatch:
    """Verify a batch by itself, as the first one was, but for what concerns steps; to be called where random states and attributes are kept.

    Parameters
    ----------
    job, verdict
        What was run, and what was found of the layers.
    kept, text
        The batch, and the shape of its inputs.
    """
    x, n = kept.batch.x, kept.batch.n_inputs
    if batch_checksum(x) != kept.checksum:
        return OtherBatch(unverified=(f"batches of inputs of shape {text} were written over, and not verified",))
    parts = movable(x, n)
    # Of inputs that are alike no row is told from another.
    if parts and len(are_alike(x, n)) == len(parts):
        return OtherBatch()

    def run(x: Any, sink: Any, n_inputs: int) -> Any:
        job.probe.show_to(sink, n_inputs, arrange=False)
        return kept.caller(x)

    look, reference = look_of(job, kept.batch), Reference(None, n, kept_inputs(n))
    try:
        look(run(x, reference, n), n, reference.see)
        verification = Verification(run, x, n, reference, axis=kept.batch.known_axis, look=look, entries=False)
        found = verification.verdict()
    # Whatever a model raises where it is given what it was not made for.
    except Exception as error:
        if is_lost(error):
            raise
        why = f"batches of inputs of shape {text} could not be verified ({type(error).__name__}: {first_line(error)})"
        return OtherBatch(unverified=() if verdict.unverified else (why,))
    elsewhere = [layer for (layer, _), places in verification.following.items() if _are_others(verdict, layer, places)]
    # In a small batch, rows that are all that of one input look like rows that depend on the others.
    same = {call[0] for call in reference.kept if call[0] in found.dependent and are_the_same(reference, call)}
    wrong = dict.fromkeys(elsewhere, NOT_ROWS) | dict.fromkeys(same - set(verdict.dependent), CONSTANT)
    found = replace(found, left_out=wrong | dict(found.left_out))
    return _told(job, verdict, found, text)


def _are_others(verdict: Verdict, layer: str, places: Sequence[Arrangement]) -> bool:
    """Whether inputs lie elsewhere in a layer than is known; where an input has one entry, that is along the first axis."""
    known = place_of_inputs(verdict, layer) or Arrangement("axis")
    return bool(places) and known not in places and (known.kind == "axis" or Arrangement("axis") not in places)


def _told(job: Job, verdict: Verdict, found: Verdict, text: str) -> OtherBatch:
    """Tell what a batch shows that the first one did not."""
    left_out = dict(found.left_out) | ({PREDICTIONS: found.predictions} if found.predictions else {})
    # In a small batch nothing tells what depends on its mates, which is known of these layers, from rows that are not inputs.
    wrong = {
        layer: why
        for layer, why in left_out.items()
        if not (layer in verdict.dependent and why.startswith(UNCLEAR_ROWS)) and (job.passes is None or why != DIFFERS)
    }
    noisy = job.passes is not None and DIFFERS in left_out.values()
    others = (f"batches of inputs of shape {text} could not be verified, as they differ from run to run",)
    said = tuple(f"of batches of inputs of shape {text}: {why}" for why in found.unverified)
    return OtherBatch(
        wrong=wrong,
        dependent={layer: why for layer, why in found.dependent.items() if layer not in {*verdict.dependent, *wrong}},
        rounding={layer: share for layer, share in found.rounding.items() if layer not in verdict.rounding},
        unverified=() if verdict.unverified else (*said, *others * noisy),
    )
