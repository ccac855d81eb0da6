"""A job: which model is run over which inputs, and what is done with its activations; its options are of the right kind before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from ann2neo.arguments import check_flag
from ann2neo.capture.calls import Caller
from ann2neo.capture.inputs import Batch, Inputs, given_steps
from ann2neo.capture.passes import Passes
from ann2neo.capture.spikes.sinks import BatchSink
from ann2neo.capture.steps import Steps
from ann2neo.device.failures import check_graphs
from ann2neo.errors import InputsError, LayerNotFound
from ann2neo.probe.probe import Probe
from ann2neo.verification.padding import Padding
from ann2neo.verification.shapes import OtherShapes
from ann2neo.verification.verdict import Verdict


@dataclass(slots=True, kw_only=True)
class Checks:
    """What is verified of a model, once for calibrating, recording and resuming.

    Parameters
    ----------
    wanted
        Whether rows are verified to be inputs.
    verdict
        What came of it; None before.
    first, n_batches
        What is kept of the first batch until after the last one (see `ann2neo.capture.kept_batch`), and how many were run.
    differing
        The same of the last batch in which something differed that was alike in those before.
    padding
        By how many positions the padding of inputs differed in the batches that were verified; see `Padding`.
    ones_are_padding
        Whether ones of a mask are padding, by its name.
    in_training
        Whether a batch was looked at while passes keep modules in training mode.
    sizes, verified_sizes
        How many inputs batches held, each number once, that of the last batch last; and in batches of which sizes rows were verified.
    shapes
        Which shapes inputs had, and batches of other shapes than the first one's, kept until after the last one.
    n_repeated
        Inputs of the first batch that hold the same as an earlier one.
    gives_classes
        Whether the last batch's output may be scores of classes, so that its predictions are recorded.
    """

    wanted: bool = True
    first: Any = None
    differing: Any = None
    n_batches: int = 0
    padding: Padding = field(default_factory=Padding)
    ones_are_padding: dict[str, bool] = field(default_factory=dict)
    in_training: bool = False
    sizes: list[int] = field(default_factory=list)
    verified_sizes: set[int] = field(default_factory=set)
    shapes: OtherShapes[Any] = field(default_factory=OtherShapes)
    verdict: Verdict | None = None
    n_repeated: int = 0
    gives_classes: bool = False

    def close(self) -> None:
        """Free what is kept of batches until after the last one: values that may lie on a device."""
        self.first = self.differing = None
        self.shapes.forget()

    @property
    def pending(self) -> tuple[str, ...]:
        """Parts of the batch that were alike for all inputs so far; see `Verdict`."""
        return () if self.verdict is None else self.verdict.pending

    @property
    def predicts(self) -> bool:
        """Whether predictions are those of the inputs, as far as is known."""
        return self.verdict is None or not self.verdict.predictions

    def count(self, n_inputs: int) -> None:
        """Count a batch of this many inputs."""
        self.n_batches += 1
        if not self.sizes or self.sizes[-1] != n_inputs:
            self.sizes = [*(size for size in self.sizes if size != n_inputs), n_inputs]

    def forget(self) -> None:
        """Begin again with other inputs or another store."""
        self.verdict = self.first = self.differing = None
        self.in_training, self.ones_are_padding = False, {}
        self.n_batches, self.padding, self.sizes, self.verified_sizes = 0, Padding(), [], set()
        self.shapes = OtherShapes()

    def facts(self) -> dict[str, Any]:
        """Write down what was verified, flat, for the provenance and the identity of a store."""
        if not self.wanted:
            return {"verified": "not asked for (verify=False)"}
        return {} if self.verdict is None else self.verdict.facts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Which model is run over which inputs, and what is done with its activations; see `ann2neo.record`.

    ``step_labels`` are columns that are given for the steps of all inputs, each of shape (input, step); ``scored`` are the inputs that are to be recorded, whose labels tell whether
    outputs are scores, where others calibrate.
    """

    probe: Probe
    inputs: Inputs
    sink: BatchSink
    caller: Caller
    steps: Steps | None = None
    passes: Passes | None = None
    checks: Checks = field(default_factory=Checks)
    step_labels: Mapping[str, np.ndarray] = field(default_factory=dict)
    scored: Inputs | None = None

    @property
    def module(self) -> nn.Module:
        """The model."""
        return self.probe.model

    @property
    def layers(self) -> str | Sequence[str] | None:
        """Layers that were asked for."""
        return self.probe.layers

    def labels_of(self, batch: Batch) -> np.ndarray | None:
        """Labels of a batch, of its inputs or, where these are recorded in steps, of their steps; None if it has none."""
        return batch.step_labels if batch.labels is None and self.steps is not None else batch.labels

    @property
    def n_passes(self) -> int:
        """Number of runs through all inputs."""
        return 1 if self.passes is None else self.passes.n


def job_of(
    module: nn.Module,
    inputs: Inputs,
    sink: BatchSink,
    *,
    layers: str | Sequence[str] | None = None,
    steps: Steps | None = None,
    passes: Passes | None = None,
    verify: bool = True,
) -> Job:
    """Decide what of a model is watched, and put it together with inputs and sink."""
    check_graphs(dict(module.named_modules()))
    probe = Probe(module, layers, count_calls=steps is None or steps.axis != "calls")
    return Job(
        probe=probe,
        inputs=inputs,
        sink=sink,
        caller=Caller(module, inputs, probe.run),
        steps=steps,
        passes=passes,
        checks=Checks(wanted=verify),
        step_labels={} if steps is None else given_steps(inputs.labels),
    )


def watching(job: Job) -> AbstractContextManager[None]:
    """Observe the layers of a job for as long as the context lasts."""
    return job.probe.attached()


def check_kinds(options: Mapping[str, Any]) -> None:
    """Refuse options of the wrong kind before anything runs.

    Raises
    ------
    InputsError, LayerNotFound
        If a truth value is not one, layers are not names, or steps and passes are something else.

    Examples
    --------
    >>> check_kinds({"layers": "fc*", "steps": Steps(1), "verify": True})
    """
    for option in ("verify", "progress"):
        check_flag(options.get(option, True), option, error=InputsError)
    layers = options.get("layers")
    names = [layers] if isinstance(layers, str) else layers
    if names is not None and not (
        isinstance(names, Sequence) and names and all(isinstance(n, str) and n for n in names)
    ):
        raise LayerNotFound(
            f"layers={layers!r} are not names.",
            "Nothing was recorded.",
            'Use names or patterns such as "features.*"; without layers= every activation function is recorded.',
        )
    for name, kind, example in (("steps", Steps, "Steps(1)"), ("passes", Passes, "Passes(10)")):
        given = options.get(name)
        if not isinstance(given, kind | None):
            raise InputsError(
                f"{name}={given!r} is unclear.", "Nothing was recorded.", f"Use {name}=ann2neo.{example}."
            )
