"""The first batch: what its layers are, which of them are recorded, and what is said of the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ann2neo.capture.calls import explain_pair
from ann2neo.capture.inputs import Batch, lies_in_array
from ann2neo.capture.job import Job
from ann2neo.capture.kept_batch import keep_first, kept_of
from ann2neo.capture.passes import noise_off
from ann2neo.capture.predictions import seen_predictions
from ann2neo.errors import ActivationError, Ann2NeoWarning, ModelError
from ann2neo.probe.attributes import Attributes, attributes_kept, contents_kept
from ann2neo.probe.layers import check_all_ran
from ann2neo.probe.nested import arrays
from ann2neo.probe.state import (
    has_drawn,
    random_states,
    random_states_kept,
    set_random_states,
)
from ann2neo.verification.comparison import Reference
from ann2neo.verification.judgement import Verification
from ann2neo.verification.orders import FEWEST, kept_inputs
from ann2neo.verification.places import are_alike, has_steps, is_square
from ann2neo.verification.reruns import Look, See, Verify, see_output
from ann2neo.verification.verdict import DIFFERS, NOT_ROWS, PREDICTIONS, SHIFTED, Verdict, tell

UNSEEN = "what these modules do in training mode beside drawing, such as batch statistics of their own, was not verified: {modules}"


def run_and_verify(job: Job, batch: Batch, positions: np.ndarray | None, look: Callable[[Any], None]) -> None:
    """Run a batch, find out what its layers are, and leave out those whose rows are not its inputs."""
    probe, sink, checks, n = job.probe, job.sink, job.checks, batch.n_inputs
    is_first, before = not probe.settled, random_states()
    attributes = Attributes(job.module) if checks.wanted and checks.verdict is None and is_first else None
    verifying = checks.wanted and (checks.verdict is None or not is_first)
    # The noise of passes would hide everything, and later batches are shown in their arrangement: both are verified by themselves.
    beside = Reference(sink, n, kept_inputs(n)) if checks.wanted and is_first else None

    def once_more(shown: Reference | None = None) -> None:
        set_random_states(before)
        sink.restart()
        sink.begin(n, positions)
        probe.show_to(sink if shown is None else shown, n)
        output = job.caller(batch.x)
        look(output)
        if shown is not None:
            look_of(job, batch)(output, n, shown.see)

    probe.show_to(sink if beside is None else beside, n, arrange=beside is None)
    try:
        output = job.caller(batch.x)
    except (IndexError, KeyError, ValueError) as error:
        explain_pair(job.module, batch, error, inputs=job.inputs)
        raise
    look(output)
    if beside is not None:
        look_of(job, batch)(output, n, beside.see)
    if is_first:
        dropped, missing = probe.settle(probing=checks.wanted)
        sink.drop(dropped)
        if beside is not None:
            beside.drop(dropped)
        if missing:
            beside = None if beside is None else Reference(sink, n, kept_inputs(n))
            once_more(beside)
        check_layers_ran(job)
    if checks.verdict is not None and is_first:
        _adopt(job, checks.verdict, once_more, n)
        if checks.pending and differ_now(job, batch):
            _confirm(job, batch, *_judge(job, batch, positions, None, None))
    elif verifying:
        judged = beside if job.passes is None else None
        verdict, reference = _judge(job, batch, positions, judged, attributes)
        if is_first:
            _adopt(job, _settled(job, batch, verdict), once_more, n)
        else:
            _confirm(job, batch, verdict, reference)
    checks.padding.see(batch.x, n, batch.known_axis)
    if beside is not None and checks.first is None:
        keep_first(job, batch, beside, look_of(job, batch), before)


def _judge(
    job: Job,
    batch: Batch,
    positions: np.ndarray | None,
    reference: Reference | None,
    attributes: Attributes | None,
) -> tuple[Verdict, Reference]:
    """Run the inputs of a batch again, without noise, and judge every layer, also by what was kept; attributes are those before the batch."""

    def run(x: Any, sink: Any, n_inputs: int) -> Any:
        job.probe.show_to(sink, n_inputs, arrange=False)
        return job.caller(x)

    asks = _is_unsaid(job, batch)
    reset = None if attributes is None or not attributes.changed() else attributes.put_back
    unseen: list[str] = []
    with random_states_kept(), attributes_kept(job.module, attributes), noise_off(job.module) as others_off:
        if reference is None:
            before, reference = random_states(), _referred(job, batch, run)
            if has_drawn(before) and (unseen := others_off()):
                reference = _referred(job, batch, run)
        found = Verification(
            run,
            batch.x,
            batch.n_inputs,
            reference,
            axis=batch.known_axis,
            asks=asks,
            tells=asks and (job.inputs.n_inputs is not None or job.steps is None or job.steps.axis == "calls"),
            look=look_of(job, batch),
            steps=None if job.steps is None else job.steps.axis,
            positions=positions,
            reset=reset,
            kept=lambda: contents_kept(job.module),
        ).verdict()
    if job.passes is None:
        return found, reference
    if unseen:
        found = replace(found, unverified=(*found.unverified, UNSEEN.format(modules=", ".join(map(repr, unseen[:20])))))
    noisy = [layer for layer, why in found.left_out.items() if why == DIFFERS]
    if not noisy and found.predictions != DIFFERS:
        return found, reference
    # Seeded batch by batch, so that they come out the same again all the same.
    what = f"{len(noisy)} layers differ" if noisy else "predictions differ"
    why = f"with the passes' noise off, {what} from run to run all the same: their rows could not be verified"
    found = replace(
        found,
        left_out={layer: why for layer, why in found.left_out.items() if layer not in noisy},
        unverified=(*found.unverified, why),
        predictions="" if found.predictions == DIFFERS else found.predictions,
    )
    return found, reference


def _referred(job: Job, batch: Batch, run: Verify) -> Reference:
    """Run a batch, and keep what is compared."""
    reference = Reference(None, batch.n_inputs, kept_inputs(batch.n_inputs))
    look_of(job, batch)(run(batch.x, reference, batch.n_inputs), batch.n_inputs, reference.see)
    return reference


def look_of(job: Job, batch: Batch) -> Look:
    """Make what shows the scores of the model's predictions as if they were a layer, and all that it returns where that may tell which axis is that of inputs."""
    is_unsaid = _is_unsaid(job, batch)

    def look(output: Any, n_inputs: int, see: See) -> None:
        others = job.scored is not None
        scores = seen_predictions(output, n_inputs, batch, job.scored or job.inputs, others=others)
        if scores is not None:
            see(PREDICTIONS, scores)
        if is_unsaid:
            see_output(output, n_inputs, see)

    return look


def _is_unsaid(job: Job, batch: Batch) -> bool:
    """Whether nothing says that a batch has inputs and not steps along its first axis, or only that it is cut from a tensor.

    A number of inputs that is said may be that of two axes.
    """
    is_tensor = lies_in_array(job.inputs.data) and job.inputs.n_inputs is None
    if batch.counted is not None or (batch.axis is not None and not is_tensor):
        return False
    if job.inputs.n_inputs is not None:
        return is_square(batch.x, batch.n_inputs)
    return any(has_steps(part, batch.n_inputs) for _, part in arrays(batch.x))


def _odd(job: Job, verdict: Verdict) -> dict[str, str]:
    """Layers chosen by default that do not fit the others, each with the reason."""
    if job.probe.selection.patterns is not None:
        return {}
    return dict(job.sink.book.odd(verdict.n_steps))


def _settled(job: Job, batch: Batch, verdict: Verdict) -> Verdict:
    """Add the layers that do not fit the others, and say what could not be verified; refuse what was asked for and cannot be recorded."""
    shown = _shown(job)
    left_out = {layer: why for layer, why in verdict.left_out.items() if layer in shown}
    job.sink.drop([layer for layer in left_out if job.probe.selection.patterns is None])
    if not set(verdict.arranged):
        left_out |= {layer: why for layer, why in _odd(job, verdict).items() if layer not in left_out}
    left_out |= {layer: why for layer, why in job.probe.left_out.items() if layer not in left_out}
    if job.steps is not None and job.steps.axis == "calls":
        # What is flattened within a call could be its steps as well as units.
        left_out |= {layer: NOT_ROWS for layer, one in verdict.arranged.items() if one.kind != "axis"}
    _check_wanted(job, left_out, shown, batch.n_inputs)
    found = Verdict(
        left_out=left_out,
        arranged={layer: one for layer, one in verdict.arranged.items() if layer not in left_out},
        dependent={layer: why for layer, why in verdict.dependent.items() if layer not in left_out},
        rounding={layer: share for layer, share in verdict.rounding.items() if layer not in left_out},
        unverified=verdict.unverified,
        pending=tuple(are_alike(batch.x, batch.n_inputs)),
        turned=verdict.turned,
        predictions=verdict.predictions,
        shifted=tuple(layer for layer in verdict.shifted if layer in shown and layer not in left_out),
        n_steps=verdict.n_steps,
    )
    _warn_of_shifted(job, batch, found)
    told = {layer: why for layer, why in left_out.items() if layer not in job.probe.left_out}
    n_recorded = sum(layer not in left_out for layer in shown)
    tell(found, left_out=told, n_recorded=n_recorded)
    return found


def _warn_of_shifted(job: Job, batch: Batch, verdict: Verdict) -> None:
    """Warn of layers whose entries are those of other steps where steps have labels."""
    has_labels = bool(job.step_labels) or (batch.labels is None and batch.step_labels is not None)
    if verdict.shifted and has_labels and job.steps is not None:
        listed = ", ".join(map(repr, verdict.shifted[:20]))
        warnings.warn(Ann2NeoWarning(SHIFTED.format(layers=listed)), stacklevel=2)


def _shown(job: Job) -> list[str]:
    return list(dict.fromkeys([*job.sink.layers, *job.sink.book.troubles]))


def _check_wanted(job: Job, left_out: Mapping[str, str], shown: Sequence[str], n_inputs: int) -> None:
    """Refuse layers that were asked for and cannot be recorded, and a model none of whose layers can.

    Raises
    ------
    ActivationError
        If there are such layers.
    """
    asked_for = job.probe.selection.patterns is not None
    wrong = {layer: why for layer, why in left_out.items() if layer not in job.probe.left_out}
    if not wrong or (not asked_for and any(layer not in left_out for layer in shown)):
        return
    if asked_for:
        # What the sink has to say of these layers is more to the point.
        job.sink.end()
    listed = "\n".join(f"  {layer}: {why}" for layer, why in list(wrong.items())[:20])
    cure = "Leave them out (layers='!name'), " if asked_for else ""
    if DIFFERS in wrong.values():
        cure += "let Passes(n, active=...) keep on and seed what draws, reset a state in forward, "
    else:
        if n_inputs < FEWEST and any("does not show why" in why for why in wrong.values()):
            cure += f"begin with a batch of {FEWEST} inputs or more, "
        cure += f"say how many inputs a batch has where it is not {n_inputs} (Inputs(data, n_inputs=lambda batch: ...)), {'give one input a batch where the model sorts or packs inside (batch_size=1)' if n_inputs > 1 else 'let a model that loops over its inputs keep their axis (for one in x.split(1), with torch.cat)'}, let it keep inputs along the first axis (batch_first=True), "
    kind = ModelError if DIFFERS in wrong.values() and len(wrong) == len(shown) else ActivationError
    raise kind(
        f"{len(wrong)} {'of the layers that were asked for' if asked_for else 'layers, which are all,'} cannot be recorded:\n{listed}",
        "A bin would stand for something else than one input.",
        f"{cure}name other layers (layers=...), or record them as they are, unverified (verify=False).",
    )


def _adopt(job: Job, verdict: Verdict, once_more: Callable[[], None], n_inputs: int) -> None:
    """Leave out what a verdict says, and run the batch once more if inputs lie elsewhere than along the first axis."""
    job.checks.verdict = verdict
    job.probe.leave_out(verdict.left_out)
    job.probe.arranged = verdict.arranged
    if verdict.arranged:
        once_more()
        odd = {layer: why for layer, why in _odd(job, verdict).items() if layer not in verdict.left_out}
        if odd:
            _check_wanted(job, {**verdict.left_out, **odd}, _shown(job), n_inputs)
            job.probe.leave_out(odd)
            job.sink.drop(list(odd))
    job.sink.drop(list(verdict.left_out))


def _confirm(job: Job, batch: Batch, verdict: Verdict, reference: Reference) -> None:
    """Refuse to go on if a later batch shows what those before could not, and warn of layers that depend on the other inputs.

    Raises
    ------
    ActivationError
        If a recorded layer's rows are not its inputs.
    """
    pending = tuple(are_alike(batch.x, batch.n_inputs, job.checks.pending))
    wrong = {layer: why for layer, why in verdict.left_out.items() if layer in job.sink.layers}
    known = job.checks.verdict or Verdict()
    turned = [layer for layer, one in verdict.arranged.items() if known.arranged.get(layer) != one]
    wrong |= {layer: f"its inputs lie elsewhere ({verdict.arranged[layer].described()})" for layer in turned}
    if wrong:
        listed = "\n".join(f"  {layer}: {why}" for layer, why in list(wrong.items())[:20])
        raise ActivationError(
            f"a batch shows what those before, of one input, of inputs that were alike or as long as each other, or in eval mode, could not:\n{listed}",
            "A bin would stand for something else than one input.",
            "Leave them out (layers='!name'), give one input a batch (batch_size=1), or record them unverified (verify=False).",
        )
    dependent = {
        layer: why
        for layer, why in verdict.dependent.items()
        if (layer in job.sink.layers or layer == PREDICTIONS) and layer not in known.dependent
    }
    tell(Verdict(dependent=dependent), left_out={}, n_recorded=len(job.sink.layers))
    settled = bool(known.pending and not pending)
    unverified = () if settled else known.unverified
    others = verdict.unverified if settled or job.passes is not None else ()
    job.checks.verdict = replace(
        known,
        dependent={**known.dependent, **dependent},
        predictions=known.predictions or verdict.predictions,
        unverified=tuple(dict.fromkeys((*unverified, *others))),
        pending=pending,
    )
    job.checks.differing = kept_of(
        job, batch, reference, look_of(job, batch), None if job.passes is None else random_states()
    )


def check_layers_ran(job: Job) -> None:
    """Refuse layers that were asked for and that the batch did not call."""
    probe = job.probe
    check_all_ran(job.module, probe.modules, sorted(probe.active), job.layers, _shown(job), probe.called)


def trains_anew(job: Job, n_inputs: int) -> bool:
    """Whether this is the first batch of passes that keep modules in training mode that do more there than to draw, where thresholds were calibrated, and rows verified, in eval mode."""
    is_first = job.checks.verdict is None
    if job.passes is None or not job.checks.wanted or job.checks.in_training or (n_inputs < 2 and not is_first):
        return False
    job.checks.in_training = True
    if is_first:
        return False
    with noise_off(job.module):
        return any(one.training for one in job.module.modules())


def differ_now(job: Job, batch: Batch) -> bool:
    """Whether something differs between the inputs of this batch that was alike in those before: a part of it, or where padding begins."""
    checks, n = job.checks, batch.n_inputs
    if n < 2 or not checks.wanted:
        return False
    if checks.pending and len(are_alike(batch.x, n, checks.pending)) < len(checks.pending):
        return True
    return checks.padding.differs(batch.x, n, batch.known_axis)
