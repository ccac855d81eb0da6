"""Thresholds that a store holds already, so that the model need not run to find them again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ann2neo.capture.calibration.calibrating import (
    Calibration,
    ReadInputs,
    inputs_of_rules,
    inputs_on,
    written_down,
)
from ann2neo.capture.fingerprints import Fingerprint
from ann2neo.capture.inputs import Inputs, open_source, read_batches
from ann2neo.capture.job import Job
from ann2neo.capture.state import evaluation_mode
from ann2neo.capture.store.identity import OF_ORDER, Identity, identity_of
from ann2neo.capture.units import UnitChoice
from ann2neo.errors import FormatError, StoreError
from ann2neo.thresholds import MeanPlusSd, Quantile, Rule, rule_for


def recall(
    job: Job, rule: Rule, *, units: UnitChoice, path: Path, bin_size_ms: float, weights: str
) -> Calibration | None:
    """Take the thresholds from a store that was calibrated by the same rule, for the same model, on the same inputs.

    The inputs are read, but the model is not run; where they are the same in another order, the store's thresholds stay. Gives None where the thresholds have to be
    found anew: if nothing is to be calibrated, there is no such store, or the inputs can be read only once.

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
    # Zarr is loaded only where there is a store.
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
    stored = {layer.name: layer.thresholds for layer in growing.layers if _is_calibrated(layer.name, rule)}
    with evaluation_mode(job.module):
        found = written_down(rule, stored, {id(on): (inputs, _read_only(inputs)) for on, inputs in every})
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


def _is_calibrated(layer: str, rule: Rule) -> bool:
    return isinstance(rule_for(layer, rule), (Quantile, MeanPlusSd))
