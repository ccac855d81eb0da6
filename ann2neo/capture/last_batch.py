"""After the last batch the first one is run once more, and its inputs in batches of other sizes: a count, a cache or another state that grows from call to call, noise that begins later, and what is done otherwise in fewer inputs show."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

from ann2neo.capture.batch_shapes import verify_shape
from ann2neo.capture.batch_sizes import OtherBatch, other_sizes, verify_size
from ann2neo.capture.fingerprints import batch_checksum
from ann2neo.capture.job import Job
from ann2neo.capture.kept_batch import FirstBatch, in_eval_mode
from ann2neo.capture.passes import noise_off
from ann2neo.device.failures import is_lost
from ann2neo.errors import Ann2NeoWarning, ModelError
from ann2neo.probe.attributes import Attributes, attributes_kept
from ann2neo.probe.state import draw_next, has_drawn, random_states, random_states_kept, set_random_states
from ann2neo.verification.comparison import Comparison, Reference, is_close
from ann2neo.verification.reruns import first_line
from ann2neo.verification.shapes import MOST_BYTES, Shape
from ann2neo.verification.verdict import DIFFERS, PREDICTIONS, Verdict, tell

LATER = "the first batch, run once more after the last, gave other values (a count, cache or state that is kept from call to call, or noise that begins later)"
DRAWS = "the model draws random numbers, but run again with others, among them a very small and a very large one, it gave the same in all that is recorded"
# A state that returns after as many calls is seen.
MOST_RUNS = 8
IN_OTHERS = "in batches of "


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What later runs show: what follows for what was recorded, and what cures it."""

    consequence: str
    cure: str


STATE = Shown(
    consequence="What was recorded of an input depends on the batches before it.",
    cure="Reset the state in forward, or before each batch with Inputs(data, forward=...); let Passes(n, active=...) seed what draws",
)
ROWS = Shown(
    consequence="A bin would stand for something else than one input.",
    cure="Give batches of one size (drop_last=True, or a batch_size that divides the number of inputs), or let the model treat all sizes alike",
)
SHAPES = Shown(
    consequence=ROWS.consequence,
    cure="Give inputs of one shape, or one input a batch (batch_size=1), or let the model treat all shapes alike",
)
TOO_LARGE = f"batches of inputs of other shapes than those of the first one hold more than {MOST_BYTES >> 20} MiB, and were not verified"


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
    # Put back after each of what follows.
    attributes = Attributes(job.module)
    wrong = _run_again(job, first, verdict, attributes)
    if wrong:
        first.reference.drop(list(wrong))
        _leave_out(job, STATE, wrong, in_memory=in_memory)
    _check_shapes(job, first, attributes, in_memory=in_memory)
    shown = job.checks.differing or first
    for size in other_sizes(job, shown) if batch_checksum(shown.batch.x) == shown.checksum else ():
        _check_size(job, shown, size, attributes, in_memory=in_memory)


def _run_again(job: Job, first: FirstBatch, verdict: Verdict, attributes: Attributes) -> dict[str, str]:
    """Run the first batch once more, and find the layers that do not come out the same.

    While a run leaves other values in the attributes of the model, it is run again, so that a state that returns to its old value shows in one of its phases. Where the model draws,
    it is also run with the smallest and with the largest of numbers.
    """
    wrong: dict[str, str] = {}
    draws, states = False, random_states()
    try:
        quiet = in_eval_mode(job.module) if first.states is None else nullcontext()
        with random_states_kept(), attributes_kept(job.module, attributes) as held, quiet:
            for number in range(MOST_RUNS):
                held = Attributes(job.module, held) if number else held
                wrong = _differing(job, first)
                draws = first.states is None and has_drawn(states)
                if wrong or not held.moved():
                    break
            for place in range(2 if draws and not wrong else 0):
                draw_next(place)
                wrong |= _differing(job, first)
    except Exception as error:
        if is_lost(error):
            raise
        why = f"the first batch could not be run once more after the last ({type(error).__name__}: {first_line(error)})"
        _add(job, verdict, why)
        return {}
    if draws and not wrong and DIFFERS not in (*verdict.left_out.values(), verdict.predictions):
        _add(job, verdict, DRAWS)
    return wrong


def _differing(job: Job, first: FirstBatch) -> dict[str, str]:
    """Run the first batch, and find the layers that do not give what they gave."""
    again = Comparison(first.reference, range(first.batch.n_inputs))
    if first.states is not None:
        set_random_states(first.states)
    job.probe.show_to(again, first.batch.n_inputs, arrange=False)
    first.look(first.caller(first.batch.x), first.batch.n_inputs, again.see)
    calls = [call for call, kept in first.reference.kept.items() if kept]
    return {call[0]: LATER for call in calls if not _is_same(first.reference, again, call)}


def _check_size(job: Job, first: FirstBatch, size: int, attributes: Attributes, *, in_memory: bool) -> None:
    """Verify the rows of batches of another size."""
    found = _found_without_noise(
        job, partial(verify_size, job, first, job.checks.verdict or Verdict(), size), attributes
    )
    job.checks.verified_sizes.add(size)
    where = f"{IN_OTHERS}{size} inputs, where the first one held {first.batch.n_inputs}"
    _follow(job, found, first, ROWS, where, in_memory=in_memory)


def _check_shapes(job: Job, first: FirstBatch, attributes: Attributes, *, in_memory: bool) -> None:
    """Verify the rows of batches of inputs of other shapes, or of many inputs where there were few, and say in which shapes."""
    shapes, before = job.checks.shapes, next(iter(job.checks.shapes.known), None)
    # One that is not known to be verified, as it was by an earlier call, has the shape of all.
    for shape, kept in shapes.kept if before is not None or shapes.n_seen > 1 else ():
        verify = partial(verify_shape, job, kept, job.checks.verdict or Verdict(), shape.text)
        found = _found_without_noise(job, verify, attributes)
        _follow(job, found, first, SHAPES, _where(shape, before), in_memory=in_memory)
        if not found.unverified:
            shapes.confirm(shape)
            job.checks.verified_sizes |= {shape.n_inputs} if before is not None and shape.text == before.text else set()
    if shapes.n_seen > 1:
        others = dict.fromkeys(one.text for one in shapes.known if before is None or one.text != before.text)
        job.checks.verdict = replace(job.checks.verdict or Verdict(), shapes=tuple(others), n_shapes=shapes.n_seen)
    if shapes.too_large:
        _add(job, job.checks.verdict or Verdict(), TOO_LARGE)
    shapes.forget()


def _where(shape: Shape, before: Shape | None) -> str:
    """Name the batches in which something shows, beside the first one."""
    if before is not None and shape.text == before.text:
        return f"{IN_OTHERS}{shape.n_inputs} inputs, where the first one held {before.n_inputs}"
    known = "" if before is None else f", where those of the first one had {before.text}"
    return f"{IN_OTHERS}inputs of shape {shape.text}{known}"


def _found_without_noise(job: Job, verify: Callable[[], OtherBatch], attributes: Attributes) -> OtherBatch:
    """Verify something, as the first batch was: what trains and does not draw may treat this otherwise."""
    with random_states_kept(), attributes_kept(job.module, attributes), noise_off(job.module) as others_off:
        before = random_states()
        found = verify()
        return verify() if has_drawn(before) and others_off() else found


def _follow(job: Job, found: OtherBatch, first: FirstBatch, kind: Shown, where: str, *, in_memory: bool) -> None:
    """Draw the consequences of what a batch of another size or shape shows."""
    verdict = job.checks.verdict or Verdict()
    shown = {*job.sink.layers, *([PREDICTIONS] if job.checks.predicts else [])}
    dependent = {layer: why for layer, why in found.dependent.items() if layer in shown}
    tell(Verdict(dependent=dependent), left_out={}, n_recorded=len(job.sink.layers))
    job.checks.verdict = replace(
        verdict,
        dependent={**verdict.dependent, **dependent},
        rounding={**verdict.rounding, **{layer: one for layer, one in found.rounding.items() if layer in shown}},
    )
    for why in found.unverified:
        _add(job, job.checks.verdict, why)
    wrong = {layer: f"{where}, {why}" for layer, why in found.wrong.items() if layer in shown}
    if wrong:
        first.reference.drop(list(wrong))
        _leave_out(job, kind, wrong, in_memory=in_memory)


def check_not_refused(job: Job, name: str) -> None:
    """Check that no earlier call found that what a store holds does not come out the same.

    Raises
    ------
    ModelError
        If one did: the same call again, which runs what is missing only, does not show it.
    """
    verdict = job.checks.verdict
    later = [why for why in (() if verdict is None else verdict.unverified) if why.startswith((LATER, IN_OTHERS))]
    if later:
        raise ModelError(
            f"{name} is not complete, because of what an earlier call found: {later[0]}.",
            (STATE if later[0].startswith(LATER) else ROWS).consequence,
            "Mend the model, or choose other layers, and record again with overwrite=True.",
        )


def _is_same(reference: Reference, again: Comparison, call: tuple[str, int]) -> bool:
    return any(is_close(reference, outcome, call) for outcome in again.outcomes.get(call, {}).values())


def _add(job: Job, verdict: Verdict, why: str) -> None:
    if why not in verdict.unverified:
        job.checks.verdict = replace(verdict, unverified=(*verdict.unverified, why))


def _leave_out(job: Job, kind: Shown, wrong: Mapping[str, str], *, in_memory: bool) -> None:
    verdict = job.checks.verdict or Verdict()
    layers = {layer: why for layer, why in wrong.items() if layer != PREDICTIONS}
    asked_for = job.probe.selection.patterns is not None
    reasons = {why: [layer for layer, one in layers.items() if one == why] for why in layers.values()}
    if layers and (not in_memory or asked_for or set(layers) >= set(job.sink.layers)):
        said = "; ".join(f"{why}: {', '.join(some)}" for why, some in reasons.items())
        _add(job, verdict, said)
        listed = "\n".join(f"{', '.join(map(repr, some[:20]))}: {why}." for why, some in reasons.items())
        raise ModelError(
            listed,
            kind.consequence + ("" if in_memory else " The store holds it, but is not complete."),
            f"{kind.cure}; leave these layers out (layers='!name'); "
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
    listed = "\n".join(f"not recorded: {', '.join(map(repr, some))}: {why}." for why, some in reasons.items())
    warnings.warn(Ann2NeoWarning(f"{listed}\n{kind.cure}."), stacklevel=4)
