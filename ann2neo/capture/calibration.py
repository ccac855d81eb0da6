"""Calibrating threshold rules: the model runs over the inputs of a rule, and its activations are gathered as statistics."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import nn
from tqdm import tqdm

from ann2neo.capture.inputs import Inputs, Source, as_inputs, open_source, read_batches
from ann2neo.capture.observer import ObservedLayer, first_sight, recorded_values
from ann2neo.capture.packing import Planes
from ann2neo.capture.populations import UnitChoice
from ann2neo.capture.quiet import evaluation_mode
from ann2neo.capture.running import Job, call_model, watching
from ann2neo.capture.steps import Steps, lengths_of_batch, positions_as_bins
from ann2neo.errors import InputsError
from ann2neo.recording import order_sha256
from ann2neo.thresholds import (
    MeanPlusSd,
    Quantile,
    Rule,
    Selection,
    calibrated_rules,
    describe,
    rule_for,
    statistic_for,
    thresholds_from,
)

MAX_BYTES = 256 * 1024**2
CalibratedRule = Quantile | MeanPlusSd
RuleOfLayer = Callable[[str], CalibratedRule | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What came out of calibrating.

    Parameters
    ----------
    thresholds
        Thresholds of the recorded units by layer, in double precision, each of shape (unit,); layers whose rule needs no calibration are left out.
    provenance
        The rule and the inputs that calibrated it, as flat facts.
    """

    thresholds: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any]


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
        Memory for activations and counts. Where activations do not fit, the inputs are read again, with the same result.
    progress
        Whether to show a progress bar.

    Raises
    ------
    InputsError
        If inputs would have to be read again and cannot be, or are not the same again.
    """
    thresholds: dict[str, np.ndarray] = {}
    facts: dict[int, dict[str, Any]] = {}
    for on in {id(one.on): one.on for one in calibrated_rules(rule)}.values():
        chosen = _rules_on(rule, on)
        gatherer = Gatherer(chosen, units=units, steps=_steps_on(job, on), max_bytes=max_bytes)
        calibrating = replace(job, inputs=_inputs_on(job, on), observer=gatherer, steps=_steps_on(job, on), passes=None)
        with evaluation_mode(job.module):
            facts[id(on)] = _run(calibrating, gatherer, progress=progress)
        thresholds |= gatherer.thresholds()
    counts = {key: fact["calibration_n_inputs"] for key, fact in facts.items()}
    return Calibration(
        thresholds=thresholds, provenance={"threshold_rule": describe(rule, counts)} | _flat(list(facts.values()))
    )


class Gatherer:
    """Gathers statistics of every activation that it is shown, batch by batch.

    Parameters
    ----------
    rule_of
        Gives the rule to calibrate for a layer, or None for a layer that is just looked at.
    units, steps
        As for `ann2neo.record`.
    max_bytes
        Memory for activations and counts.
    """

    def __init__(
        self,
        rule_of: RuleOfLayer = lambda _layer: None,
        *,
        units: UnitChoice,
        steps: Steps | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self.layers: dict[str, ObservedLayer] = {}
        self._rule_of, self._units, self._steps, self._max_bytes = rule_of, units, steps, max_bytes
        self._statistics: dict[str, Any] = {}
        self._open: set[str] = set()
        self._lengths: Int[np.ndarray, " input"] | None = None
        self._calls: dict[str, list[torch.Tensor]] = {}

    def begin(self, lengths: Int[np.ndarray, " input"] | None) -> None:
        """Begin a batch whose inputs have these numbers of positions."""
        self._lengths, self._calls = lengths, {}

    def __call__(self, name: str, module: nn.Module, output: torch.Tensor) -> None:
        """Gather an activation before a later in-place module can change it."""
        layer = self.layers.get(name)
        if layer is None:
            layer = self._first_sight(name, module, output)
        if name not in self._open:
            return
        values = recorded_values(layer, output, self._steps, self._lengths)
        if self._steps is not None and self._steps.axis == "calls":
            self._calls.setdefault(name, []).append(values.clone())
        else:
            self._add(name, values)

    def end(self) -> dict[str, Planes]:
        """End the batch; there are no spikes yet."""
        for name, calls in self._calls.items():
            self._add(name, positions_as_bins(name, torch.stack(calls, dim=1), 1, self._lengths))
        keeping = [one for one in self._statistics.values() if isinstance(one, Selection) and one.kept_bytes]
        # Half of the memory: to sort takes a copy, and to count begins while values are still kept.
        if sum(one.kept_bytes for one in keeping) > self._max_bytes // 2:
            patterns = self._max_bytes // (16 * sum(one.n_columns for one in keeping))
            for one in keeping:
                one.count(bits=int(math.log2(max(patterns, 2))))
        return {}

    def end_reading(self) -> bool:
        """Say that all inputs were read; whether no other reading is needed."""
        self._open = {name for name in self._open if not self._statistics[name].end_reading()}
        return not self._open

    def thresholds(self) -> dict[str, np.ndarray]:
        """Give the thresholds of the recorded units by layer, each of shape (unit,)."""
        found = {}
        for name, statistic in self._statistics.items():
            rule = self._rule_of(name)
            if rule is not None:
                found[name] = np.broadcast_to(thresholds_from(rule, statistic), self.layers[name].units.shape).copy()
        return found

    def _first_sight(self, name: str, module: nn.Module, output: torch.Tensor) -> ObservedLayer:
        layer = self.layers[name] = first_sight(name, module, output, units=self._units, steps=self._steps)
        rule = self._rule_of(name)
        if rule is not None:
            self._statistics[name] = statistic_for(rule)
            self._open.add(name)
        return layer

    def _add(self, name: str, values: torch.Tensor) -> None:
        rule = self._rule_of(name)
        # NumPy has no bfloat16, whose numbers are all numbers of float32.
        wide = values.detach().to(torch.float32) if values.dtype == torch.bfloat16 else values.detach()
        array = wide.cpu().numpy()
        self._statistics[name].add(array.reshape(-1, 1) if rule is not None and rule.per == "layer" else array)


def _run(job: Job, gatherer: Gatherer, *, progress: bool) -> dict[str, Any]:
    """Read the inputs as often as needed; gives facts about them."""
    source, fingerprint, sizes = open_source(job.inputs), Fingerprint(), []
    with watching(job):
        for n_inputs in _read(job, gatherer, source, fingerprint, progress=progress):
            sizes.append(n_inputs)
        while not gatherer.end_reading():
            if sum(_read(job, gatherer, source, None, progress=progress)) != sum(sizes):
                raise InputsError(
                    f"the calibrating inputs were {sum(sizes)} at first, and another number when they were read again.",
                    "Their exact quantiles cannot be found.",
                    "Give inputs that are the same at every reading.",
                )
    ids = np.arange(sum(sizes)) if source.stimulus_ids is None else source.stimulus_ids
    known = {"calibration_dataset": job.inputs.dataset, "calibration_dataset_split": job.inputs.dataset_split}
    return {
        "calibration_n_inputs": sum(sizes),
        "calibration_batch_size": sizes[0],
        "calibration_order_sha256": order_sha256(ids),
        "calibration_sha256": fingerprint.hexdigest(),
        **{key: value for key, value in known.items() if value is not None},
    }


def _read(
    job: Job, gatherer: Gatherer, source: Source, fingerprint: Fingerprint | None, *, progress: bool
) -> Iterator[int]:
    """Run the model over all inputs once; gives the number of inputs of each batch."""
    n_seen = 0
    batches = read_batches(source, job.inputs)
    for batch in tqdm(batches, total=source.n_batches, desc="calibrating", unit="batch", disable=not progress):
        if fingerprint is not None:
            fingerprint.add(batch.x)
        lengths = None if job.steps is None else lengths_of_batch(job.steps, batch.x, n_seen, batch.n_inputs)
        gatherer.begin(lengths)
        call_model(job, batch)
        gatherer.end()
        n_seen += batch.n_inputs
        yield batch.n_inputs


class Fingerprint:
    """Hash of all arrays in a series of batches, whatever the batch size.

    Examples
    --------
    >>> whole, halves = Fingerprint(), Fingerprint()
    >>> whole.add({"x": torch.arange(4)}); halves.add({"x": torch.arange(2)}); halves.add({"x": torch.arange(2, 4)})
    >>> whole.hexdigest() == halves.hexdigest()
    True
    """

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}

    def add(self, x: Any, part: str = "") -> None:
        """Take in a batch: a tensor or array, or a mapping or sequence of these."""
        if isinstance(x, torch.Tensor):
            flat = x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
            self._add_bytes(part, str(x.dtype).removeprefix("torch."), x.shape, flat)
        elif isinstance(x, np.ndarray) and not x.dtype.hasobject:
            self._add_bytes(part, x.dtype.name, x.shape, x)
        elif isinstance(x, (Mapping, tuple, list)):
            for key, value in x.items() if isinstance(x, Mapping) else enumerate(x):
                self.add(value, f"{part}/{key}")

    def _add_bytes(self, part: str, dtype: str, shape: tuple[int, ...], values: np.ndarray) -> None:
        header = f"{part} {dtype} {tuple(shape[1:])}"
        self._parts.setdefault(header, hashlib.sha256()).update(values.tobytes())

    def hexdigest(self) -> str:
        """Hash of all that was taken in."""
        lines = [f"{header} {digest.hexdigest()}" for header, digest in sorted(self._parts.items())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _rules_on(rule: Rule, on: Any) -> RuleOfLayer:
    """Find a layer's rule if it is to be calibrated on these inputs."""

    def rule_of(layer: str) -> CalibratedRule | None:
        found = rule_for(layer, rule)
        return found if isinstance(found, (Quantile, MeanPlusSd)) and found.on is on else None

    return rule_of


def _inputs_on(job: Job, on: Any) -> Inputs:
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


def _flat(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the facts about several sets of inputs side by side, in the order of the rules."""
    if len(facts) == 1:
        return facts[0]
    keys = dict.fromkeys(key for fact in facts for key in fact)
    return {key: [fact.get(key, "") for fact in facts] for key in keys}
