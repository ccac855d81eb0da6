"""Batches of other sizes than the first one, such as the rest at the end: inputs of the first batch are run in as many, and have to give what they gave there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ann2neo.capture.job import Job
from ann2neo.capture.kept_batch import FirstBatch
from ann2neo.device.failures import is_lost
from ann2neo.probe.outputs import Arrangement
from ann2neo.verification.comparison import GROSS, Call, Comparison, Outcome, Reference, distances
from ann2neo.verification.dependence import by_number
from ann2neo.verification.judgement import Verification
from ann2neo.verification.orders import drawn, kept_inputs
from ann2neo.verification.places import LISTED, are_alike, are_entries, has_entries, movable
from ann2neo.verification.reruns import Reruns, first_line
from ann2neo.verification.verdict import CONSTANT, DIFFERS, NOT_ROWS, PREDICTIONS, SIZE, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherBatch:
    """What a batch of another size, or of inputs of another shape, shows.

    Parameters
    ----------
    wrong
        Layers whose rows are not the inputs there, each with the reason.
    dependent
        Layers that give other values for an input there, each with the reason.
    rounding
        Layers that do so by rounding, each with the share of inputs.
    unverified
        Why something could not be verified; empty if all was.
    """

    wrong: Mapping[str, str] = field(default_factory=dict)
    dependent: Mapping[str, str] = field(default_factory=dict)
    rounding: Mapping[str, float] = field(default_factory=dict)
    unverified: tuple[str, ...] = ()


def other_sizes(job: Job, first: FirstBatch) -> list[int]:
    """List the sizes of batches that are still to be verified, four at most: those of the last, of the two smallest and of the largest one."""
    seen, ascending = job.checks.sizes, sorted(job.checks.sizes)
    verified = {first.batch.n_inputs, *job.checks.verified_sizes}
    return [m for m in dict.fromkeys((*seen[-1:], *ascending[:2], *ascending[-1:])) if m not in verified]


def verify_size(job: Job, first: FirstBatch, verdict: Verdict, m: int) -> OtherBatch:
    """Run inputs of the first batch in a batch of another size; to be called where random states and attributes are kept.

    If all is well, once. If something differs, further runs of this size tell rows that are not inputs from values that depend on the size, and these from rounding.

    Parameters
    ----------
    job, first, verdict
        What was run, its first batch, and what was found of the layers.
    m
        Number of inputs of the batch.
    """
    n, x = first.batch.n_inputs, first.batch.x
    parts = movable(x, n)
    # Of inputs that are alike no row is told from another.
    if not (parts or has_entries(x, n)) or (parts and len(are_alike(x, n)) == len(parts)):
        return OtherBatch()
    # Side by side, or one input each: the first batch alone told.
    if first.batch.known_axis is None and parts and are_entries(x, n, LISTED):
        return OtherBatch()
    order = drawn(n, m)
    reruns = _reruns(job, first, verdict)
    try:
        differing = None if job.passes is not None else _differing(reruns, order)
        if differing == {}:
            return OtherBatch()
        found = _judged(first, reruns, order)
    # Whatever a model raises where it is given what it was not made for.
    except Exception as error:
        if is_lost(error):
            raise
        why = f"batches of {m} inputs could not be verified ({type(error).__name__}: {first_line(error)})"
        return OtherBatch(unverified=() if verdict.unverified else (why,))
    if differing is None:
        # The noise of passes would hide what differs from the first batch.
        return _told_alone(verdict, found, m)
    return _told(reruns, verdict, found, differing)


def _reruns(job: Job, first: FirstBatch, verdict: Verdict) -> Reruns:
    def run(x: Any, sink: Any, n_inputs: int) -> Any:
        job.probe.show_to(sink, n_inputs, arrange=False)
        return first.caller(x)

    n = first.batch.n_inputs
    reruns = Reruns(run, first.batch.x, n, first.reference, axis=first.batch.known_axis, look=first.look)
    if verdict.turned and not reruns.preferred:
        reruns.preferred = 1
    return reruns


def _differing(reruns: Reruns, order: Sequence[int]) -> dict[Call, Outcome]:
    """Find the calls that do not give what the inputs gave in the first batch; let only the main part of the batch move where fewer differ then."""
    found: list[dict[Call, Outcome]] = []
    for first_only in (False, True) if len(reruns.movable) > 1 else (False,):
        reruns.first_only = first_only
        again = Comparison(reruns.reference, order)
        reruns.run_once(reruns.taken(order, first_only=first_only), again, len(order))
        found.append(_others(reruns, again))
        if not found[-1]:
            break
    reruns.first_only = len(found) > 1 and len(found[1]) < len(found[0])
    return min(found, key=len)


def _others(reruns: Reruns, again: Comparison) -> dict[Call, Outcome]:
    """Find the calls that do not give the same, but for rounding."""
    found = {}
    for call, kept in reruns.reference.kept.items():
        for arrangement in kept:
            outcome = again.outcomes.get(call, {}).get(arrangement, Outcome(fits=False))
            if not outcome.fits or outcome.worst > max(GROSS, 16 * reruns.reference.eps[call]):
                found[call] = outcome
    return found


def _judged(first: FirstBatch, reruns: Reruns, order: Sequence[int]) -> Verdict:
    """Verify a batch of these inputs by itself."""
    m, x = len(order), reruns.taken(order, first_only=reruns.first_only)
    reference = Reference(None, m, kept_inputs(m))
    first.look(reruns.run(x, reference, m), m, reference.see)
    same = {call[0]: CONSTANT for call in reference.kept if m > 1 and are_the_same(reference, call)}
    found = Verification(reruns.run, x, m, reference, axis=first.batch.known_axis, look=first.look).verdict()
    left_out = same | dict(found.left_out) | ({PREDICTIONS: found.predictions} if found.predictions else {})
    return replace(found, left_out=left_out)


def are_the_same(reference: Reference, call: Call) -> bool:
    """Whether all inputs give the same, and no silence."""
    columns = next((one.columns for place, one in reference.kept[call].items() if place.is_plain), None)
    if columns is None or not reference.largest[call]:
        return False
    return float(distances(columns, columns[:1]).max()) <= GROSS * reference.largest[call]


def _told_alone(verdict: Verdict, found: Verdict, m: int) -> OtherBatch:
    """Tell what a batch shows by itself; what draws although it was switched off hides the rows."""
    noisy = DIFFERS in found.left_out.values() and not verdict.unverified
    return OtherBatch(
        wrong={layer: why for layer, why in found.left_out.items() if why != DIFFERS},
        dependent={layer: why for layer, why in found.dependent.items() if layer not in verdict.dependent},
        unverified=(f"batches of {m} inputs could not be verified, as they differ from run to run",) if noisy else (),
    )


def _told(reruns: Reruns, verdict: Verdict, found: Verdict, differing: Mapping[Call, Outcome]) -> OtherBatch:
    """Tell why calls differ from the first batch."""
    layers = list(dict.fromkeys(layer for layer, _ in differing))
    wrong = {layer: why for layer, why in found.left_out.items() if layer in layers}
    for (layer, _), outcome in differing.items():
        if outcome.are_others or found.arranged.get(layer) != place_of_inputs(verdict, layer):
            wrong.setdefault(layer, NOT_ROWS)
    known = {*wrong, *verdict.dependent, *verdict.rounding}
    dependent = {layer: why for layer, why in found.dependent.items() if layer in layers and layer not in known}
    shares = {
        layer: max(outcome.gross_share for call, outcome in differing.items() if call[0] == layer and outcome.fits)
        for layer in {call[0] for call, outcome in differing.items() if outcome.fits}
        if layer not in known and layer not in dependent
    }
    sized = by_number(reruns, shares)
    return OtherBatch(
        wrong=wrong,
        dependent=dependent | dict.fromkeys(sized, SIZE),
        rounding={layer: share for layer, share in shares.items() if layer not in sized},
    )


def place_of_inputs(verdict: Verdict, layer: str) -> Arrangement | None:
    """Where inputs lie in a layer, whatever was found of its steps; None along the first axis."""
    found = verdict.arranged.get(layer)
    found = None if found is None else replace(found, moved=None)
    return None if found is None or found.is_plain else found
