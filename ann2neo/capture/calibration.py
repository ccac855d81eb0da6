"""Calibrating threshold rules: the model runs over the inputs of a rule, and its activations are gathered as statistics; or a store holds the thresholds already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ann2neo.capture.calls import Caller
from ann2neo.capture.fingerprints import Fingerprint
from ann2neo.capture.inputs import (
    Batch,
    Inputs,
    Presentation,
    as_inputs,
    check_listed_lengths,
    open_source,
    read_batches,
)
from ann2neo.capture.job import Job, watching
from ann2neo.capture.last_batch import check_last
from ann2neo.capture.run import show_batch
from ann2neo.capture.spikes.statistics import CalibratedRule, RuleOfLayer, Statistics, shape_of_thresholds
from ann2neo.capture.steps import Steps
from ann2neo.capture.store.identity import OF_ORDER, Identity, identity_of
from ann2neo.capture.units import UnitChoice
from ann2neo.errors import FormatError, InputsError, StoreError
from ann2neo.probe.state import evaluation_mode
from ann2neo.progress import progress_bar
from ann2neo.recording import order_sha256
from ann2neo.thresholds import MAX_BYTES, MeanPlusSd, Quantile, Rule, calibrated_rules, describe, rule_for

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What came out of calibrating.

    Parameters
    ----------
    thresholds
        Thresholds of the recorded units by layer, in double precision, each of shape (unit,); layers whose rule needs no calibration are left out.
    shapes
        Shape of each of these layers when it was calibrated, without the axes of inputs and steps; None where one threshold holds for all units of any shape.
    provenance
        The rule and the inputs that calibrated it, as flat facts.
    identity
        What the thresholds follow from, beside the model: the rule and its inputs, in any order.
    """

    thresholds: Mapping[str, np.ndarray]
    shapes: Mapping[str, tuple[int, ...] | None]
    provenance: Mapping[str, Any]
    identity: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadInputs:
    """What was read once of the inputs of a rule: the number of inputs of each batch, and hashes of their content."""

    source: Presentation
    sizes: Sequence[int]
    fingerprint: Fingerprint


def calibrate(job: Job, rule: Rule, *, units: UnitChoice, max_bytes: int = MAX_BYTES, progress: bool) -> Calibration:
    """Find the thresholds of all rules that have inputs of their own.

    The model runs in eval mode, without gradients and without stochastic passes; modes and random states are found afterwards as before. Plain data are read with
    the batch size and the forward call of the recorded inputs.

    Parameters
    ----------
    job
        The recording for which thresholds are needed.
    rule
        The rule of all layers.
    units
        The choice of recorded units, as for `ann2neo.record`; others are not gathered.
    max_bytes
        Memory for activations and counts. Where activations do not fit, the inputs may be read again, with the same result.
    progress
        Whether to show a progress bar.

    Raises
    ------
    InputsError
        If inputs would have to be read again and cannot be, or are not the same again.
    """
    thresholds: dict[str, np.ndarray] = {}
    shapes: dict[str, tuple[int, ...] | None] = {}
    few: dict[str, int] = {}
    read: dict[int, tuple[Inputs, ReadInputs]] = {}
    for on in inputs_of_rules(rule):
        inputs, steps = inputs_on(job, on), _steps_on(job, on)
        with evaluation_mode(job.module):
            source = open_source(inputs)
            statistics = Statistics(
                _rules_on(rule, on), units=units, steps=steps, n_inputs=source.n_inputs, max_bytes=max_bytes
            )
            caller = Caller(job.module, inputs, job.probe.run)
            calibrating = replace(
                job, inputs=inputs, sink=statistics, caller=caller, steps=steps, passes=None, scored=job.inputs
            )
            read[id(on)] = inputs, _run(calibrating, statistics, source, progress=progress)
        thresholds |= statistics.thresholds()
        shapes |= statistics.shapes()
        n_inputs = sum(read[id(on)][1].sizes)
        few |= {name: n for name, n in statistics.n_reached.items() if n < n_inputs}
    found = written_down(rule, thresholds, shapes, read)
    if not few:
        return found
    # Not part of the identity, which is found without running the model.
    reached = [
        found.provenance["threshold_rule"],
        *(f"layer {name!r} was reached by {n} inputs" for name, n in few.items()),
    ]
    return replace(found, provenance={**found.provenance, "threshold_rule": "; ".join(reached)})


def written_down(
    rule: Rule,
    thresholds: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...] | None],
    read: Mapping[int, tuple[Inputs, ReadInputs]],
) -> Calibration:
    """Put thresholds beside what is known of the inputs that they follow from, by the `id` of what was given as ``on``."""
    rule_text = {"threshold_rule": describe(rule, {key: sum(one.sizes) for key, (_, one) in read.items()})}
    contents = [[one.fingerprint.in_any_order(), one.sizes[0]] for _, one in read.values()]
    return Calibration(
        thresholds=thresholds,
        shapes=shapes,
        provenance=rule_text | _flat([_facts(*one) for one in read.values()]),
        identity=rule_text | {"calibration": contents},
    )


def inputs_of_rules(rule: Rule) -> list[Any]:
    """List what was given as ``on``, each once."""
    return list({id(one.on): one.on for one in calibrated_rules(rule)}.values())


def inputs_on(job: Job, on: Any) -> Inputs:
    """Read plain data like the recorded inputs.

    Raises
    ------
    InputsError
        If it is the generator that is to be recorded.
    """
    inputs = (
        on if isinstance(on, Inputs) else replace(job.inputs, data=on, labels=None, dataset=None, dataset_split=None)
    )
    if isinstance(inputs.data, Iterator) and inputs.data is job.inputs.data:
        raise InputsError(
            "the threshold is calibrated on the generator that is to be recorded.",
            "It can be read only once.",
            "Give a function without arguments that returns a fresh generator.",
        )
    return as_inputs(inputs)


def _run(job: Job, statistics: Statistics, source: Presentation, *, progress: bool) -> ReadInputs:
    """Read the inputs as often as needed."""
    check_listed_lengths(None if job.steps is None else job.steps.lengths, source)
    fingerprint, sizes = Fingerprint(), []
    with watching(job):
        for batch in _read(job, statistics, source, progress=progress):
            fingerprint.add(batch.x, batch.n_inputs)
            sizes.append(batch.n_inputs)
        while not statistics.end_reading():
            if sum(batch.n_inputs for batch in _read(job, statistics, source, progress=progress)) != sum(sizes):
                raise InputsError(
                    f"the calibrating inputs were {sum(sizes)} at first, and another number when they were read again.",
                    "Their exact quantiles cannot be found.",
                    "Give inputs that are the same at every reading.",
                )
        check_last(job, in_memory=True)
    return ReadInputs(source=source, sizes=sizes, fingerprint=fingerprint)


def _read(job: Job, statistics: Statistics, source: Presentation, *, progress: bool) -> Iterator[Batch]:
    """Run the model over all inputs once; gives the batches."""
    n_seen = 0
    batches = read_batches(source, job.inputs)
    for batch in progress_bar(batches, shown=progress, desc="calibrating", unit="batch", total=source.n_batches):
        show_batch(job, batch, n_seen, is_first=False)
        n_seen += batch.n_inputs
        yield batch


def _facts(inputs: Inputs, read: ReadInputs) -> Facts:
    n_inputs = sum(read.sizes)
    ids = np.arange(n_inputs) if read.source.stimulus_ids is None else read.source.stimulus_ids
    known = {"calibration_dataset": inputs.dataset, "calibration_dataset_split": inputs.dataset_split}
    return {
        "calibration_n_inputs": n_inputs,
        "calibration_batch_size": read.sizes[0],
        "calibration_order_sha256": order_sha256(ids),
        "calibration_sha256": read.fingerprint.hexdigest(),
        **{key: value for key, value in known.items() if value is not None},
    }


def _rules_on(rule: Rule, on: Any) -> RuleOfLayer:
    """Find a layer's rule if it is to be calibrated on these inputs."""

    def rule_of(layer: str) -> CalibratedRule | None:
        found = rule_for(layer, rule)
        return found if isinstance(found, (Quantile, MeanPlusSd)) and found.on is on else None

    return rule_of


def _steps_on(job: Job, on: Any) -> Steps | None:
    """Use the steps of the recording; lengths that are listed belong to the recorded inputs only."""
    data = on.data if isinstance(on, Inputs) else on
    if job.steps is None or job.steps.lengths is None or callable(job.steps.lengths) or data is job.inputs.data:
        return job.steps
    raise InputsError(
        "the lengths of the recorded inputs are listed, but the threshold is calibrated on other inputs.",
        "Their numbers of positions are not known.",
        "Give Steps(..., lengths=function), which finds the lengths of any batch.",
    )


def _flat(facts: list[Facts]) -> Facts:
    """Put the facts about several sets of inputs side by side, in the order of the rules."""
    if len(facts) < 2:
        return facts[0] if facts else {}
    keys = dict.fromkeys(key for fact in facts for key in fact)
    return {key: [fact.get(key, "") for fact in facts] for key in keys}


def recall(
    job: Job, rule: Rule, *, units: UnitChoice, path: Path, bin_size_ms: float, weights: str
) -> Calibration | None:
    """Take the thresholds from a store that was calibrated by the same rule, for the same model, on the same inputs.

    The inputs are read, but the model is not run; where they are the same in another order, the store's thresholds stay. Gives None where the thresholds have to be
    found again: if nothing is to be calibrated, there is no such store, or the inputs can be read only once.

    Parameters
    ----------
    job, rule, units
        As for `calibrate`.
    path
        The store.
    bin_size_ms
        Size of a bin.
    weights
        Hash of parameters and buffers.
    """
    every = [(on, inputs_on(job, on)) for on in inputs_of_rules(rule)]
    if not every or not path.exists() or any(isinstance(inputs.data, Iterator) for _, inputs in every):
        return None
    # The store's rooms are loaded only where there is a store.
    from ann2neo.store.growing import open_growing
    from ann2neo.store.layout import open_group

    try:
        growing = open_growing(path)
        there = Identity.from_facts(growing.identity, path)
    except (FormatError, StoreError):
        return None

    def is_known(threshold_rule: Any, left_out: str | None = None) -> bool:
        here = identity_of(job, bin_size_ms=bin_size_ms, weights=weights, threshold_rule=threshold_rule, units=units)
        # Thresholds that other weights may have given are calibrated again, and compared.
        return not there.lacks_weights(here) and not set(there.differing(here)) - {*OF_ORDER, "verified", left_out}

    if not is_known(None, left_out="threshold_rule"):
        return None
    stored: dict[str, np.ndarray] = {}
    shapes: dict[str, tuple[int, ...] | None] = {}
    for layer in growing.layers:
        its_rule = rule_for(layer.name, rule)
        if isinstance(its_rule, (Quantile, MeanPlusSd)):
            stored[layer.name] = layer.thresholds
            shapes[layer.name] = shape_of_thresholds(its_rule, layer.shape, layer.n_units)
    with evaluation_mode(job.module):
        found = written_down(rule, stored, shapes, {id(on): (inputs, _read_only(inputs)) for on, inputs in every})
    if not is_known(found.identity):
        return None
    # Which layers only some of the inputs reached shows only when the model runs.
    rule_text = open_group(path).attrs["provenance"]["threshold_rule"]
    return replace(found, provenance={**found.provenance, "threshold_rule": rule_text})


def _read_only(inputs: Inputs) -> ReadInputs:
    """Read inputs without running the model."""
    source, fingerprint, sizes = open_source(inputs), Fingerprint(), []
    for batch in read_batches(source, inputs):
        fingerprint.add(batch.x, batch.n_inputs)
        sizes.append(batch.n_inputs)
    return ReadInputs(source=source, sizes=sizes, fingerprint=fingerprint)
