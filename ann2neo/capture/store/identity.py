"""Identity: what a recording into a store is a recording of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from ann2neo.capture.fingerprints import KIND, UNKNOWN
from ann2neo.capture.inputs import Inputs, Presentation
from ann2neo.capture.job import Job
from ann2neo.capture.store.samplers import LONGEST, drawing_of
from ann2neo.errors import StoreError
from ann2neo.recording import order_sha256

ANOTHER = "Record into another store, or allow overwriting (export(..., overwrite=True), `ann2neo export --overwrite`)."
# What is unknown of inputs that can only be read one after another.
SHOWS_WHEN_READ = ("batch size", "number of inputs", "sizes of batches", "order")
OPAQUE = re.compile(r"(\w+ )?[0-9a-f]{16,64}")
# What follows from the inputs, and not from what was asked for.
OF_ORDER = ("batch_size", "number_of_inputs", "sizes_of_batches", "order", "drawing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a recording is a recording of: facts by which a store is known again.

    Arrays and long texts are written down as hashes, see `fingerprint`. What is not known before the inputs are read is None.

    Parameters
    ----------
    weights
        Hash of parameters and buffers; "unknown" where they cannot be read.
    model, layers, threshold_rule, units, steps, stochastic_modules, labels
        What was given, written down.
    number_of_passes, seed, bin_size, data_set, data_set_split
        What was given.
    type_of_numbers
        In which type the model computes.
    batch_size, number_of_inputs, sizes_of_batches, order
        How the inputs lie in batches; the batch size is None where they come in batches of their own.
    drawing
        What draws an order that is not the data set's own, with which seed and settings.
    check_sums
        How batches are recognized; None of stores made by 0.1.0.
    verified
        What was found of each layer when it was verified that its rows are the inputs; None where nothing was verified.
    """

    weights: str
    model: str
    layers: str
    threshold_rule: str
    units: str
    steps: str | None
    number_of_passes: int
    stochastic_modules: str | None
    seed: int | None
    type_of_numbers: str
    bin_size: float
    labels: str
    data_set: str | None
    data_set_split: str | None
    check_sums: str | None = None
    batch_size: int | None = None
    number_of_inputs: int | None = None
    sizes_of_batches: str | None = None
    order: str | None = None
    drawing: str | None = None
    verified: Mapping[str, str] | None = None

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], path: Any = "the store") -> Identity:
        """Read the identity that a store keeps.

        Raises
        ------
        StoreError
            If it lacks facts or has others, as that of a newer version may.
        """
        found: dict[str, Any] = {name.replace(" ", "_"): fact for name, fact in facts.items()}
        try:
            return cls(**found)
        except TypeError as error:
            raise StoreError(
                f"{path} keeps other facts of its recording than this version knows ({error}).",
                "It is unclear whether it is the same recording; what is there is unchanged.",
                "ann2neo.load opens what is there; record into another store, or with the version that made it.",
            ) from error

    def facts(self) -> dict[str, Any]:
        """Write the identity down as it is kept in a store."""
        return {name.replace("_", " "): getattr(self, name) for name in self.__dataclass_fields__}

    def differing(self, other: Identity) -> tuple[str, ...]:
        """Name the fields in which two identities differ; weights that are unknown on either side are told apart by what they compute."""
        unknown = {"weights"} if self.lacks_weights(other) else set()
        return tuple(
            name
            for name in self.__dataclass_fields__
            if name not in unknown and getattr(self, name) != getattr(other, name)
        )

    def lacks_weights(self, other: Identity) -> bool:
        """Whether the weights of either are unknown, so that they cannot be compared."""
        return UNKNOWN in (self.weights, other.weights)

    def differences(self, other: Identity) -> tuple[str, ...]:
        """Describe in what this identity, of a store, differs from that of what is asked for."""
        return tuple(
            _difference(name.replace("_", " "), getattr(self, name), getattr(other, name))
            for name in self.differing(other)
        )


def identity_of(
    job: Job,
    *,
    bin_size_ms: float,
    weights: str,
    threshold_rule: Any,
    units: Any,
    verified: Mapping[str, str] | None = None,
) -> Identity:
    """Write down what a job records from what, but for the order of its inputs; see `with_order`.

    Parameters
    ----------
    job
        The job.
    bin_size_ms
        Size of a bin.
    weights
        Hash of parameters and buffers.
    threshold_rule, units
        Which thresholds and units were asked for: text, numbers, arrays, or mappings of these.
    verified
        What was found of each layer when it was verified.
    """
    steps, passes, inputs = job.steps, job.passes, job.inputs
    modules = [(name, type(m).__qualname__, m.extra_repr()) for name, m in job.module.named_modules()]
    return Identity(
        weights=weights,
        model=fingerprint(modules),
        layers=fingerprint(job.layers if job.layers is None or isinstance(job.layers, str) else list(job.layers)),
        threshold_rule=fingerprint(threshold_rule),
        units=fingerprint(units),
        steps=None if steps is None else f"axis {steps.axis}, lengths {fingerprint(steps.lengths)}",
        number_of_passes=job.n_passes,
        stochastic_modules=None if passes is None else fingerprint(passes.active),
        seed=None if passes is None else passes.seed,
        type_of_numbers=_numbers(job.module),
        bin_size=bin_size_ms,
        labels=fingerprint(inputs.labels),
        data_set=inputs.dataset,
        data_set_split=inputs.dataset_split,
        check_sums=KIND,
        verified=None if verified is None else dict(verified),
    )


def with_order(identity: Identity, source: Presentation, inputs: Inputs) -> Identity:
    """Add the order of the inputs, as far as it is known before they are read."""
    sizes, ids = source.batch_sizes, source.stimulus_ids
    cut_here = sizes is not None or isinstance(inputs.data, Dataset)
    given = inputs.batch_size if cut_here else None
    return replace(
        identity,
        batch_size=given if sizes is None or not sizes.size else int(sizes[0]),
        number_of_inputs=source.n_inputs,
        sizes_of_batches=None if sizes is None else fingerprint(sizes),
        order=None if ids is None else order_sha256(ids),
        drawing=drawing_of(inputs.data, source, fingerprint),
    )


def check_same(path: Any, there: Identity, here: Identity) -> None:
    """Refuse a store that holds another recording, and say in what it differs.

    Raises
    ------
    StoreError
        If a fact differs.
    """
    differences = there.differences(here)
    if not differences:
        return
    raise StoreError(
        f"{path} holds another recording: {', '.join(differences)}.",
        "Nothing was recorded; what is there is unchanged.",
        ANOTHER,
    )


def fingerprint(value: Any) -> str:
    """Write anything down in a line that is the same for the same thing: arrays and long texts as a hash.

    Examples
    --------
    >>> fingerprint({"fc*": slice(0, 4)}), fingerprint(None), fingerprint(np.arange(3))
    ("{'fc*': slice(0, 4, None)}", 'None', 'array 1496b8f246477961')
    """
    text = _written(value)
    return text if len(text) <= LONGEST else f"{type(value).__name__} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _written(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy() if value.dtype != torch.bfloat16 else value.detach().float().cpu().numpy()
    if isinstance(value, np.ndarray):
        numbers = value.astype(np.int64) if value.dtype.kind in "iu" else value
        content = (
            repr(numbers.tolist()).encode() if numbers.dtype.kind == "O" else np.ascontiguousarray(numbers).tobytes()
        )
        return f"array {hashlib.sha256(str(value.shape).encode() + content).hexdigest()[:16]}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_written, value)) + "]"
    # The name of a function, since its place in memory is another one in the next process.
    return getattr(value, "__qualname__", "a function") if callable(value) else repr(value)


def _numbers(module: nn.Module) -> str:
    parameter = next((p for p in module.parameters() if p.is_floating_point()), None)
    device = "cpu" if parameter is None else parameter.device.type
    dtype = "none" if parameter is None else str(parameter.dtype).removeprefix("torch.")
    return f"{dtype}, autocast {torch.get_autocast_dtype(device)}" if torch.is_autocast_enabled(device) else dtype


def _difference(name: str, there: Any, here: Any) -> str:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        layers = [layer for layer in {**there, **here} if there.get(layer) != here.get(layer)]
        return ", ".join(_difference(f"{name} of {layer!r}", there.get(layer), here.get(layer)) for layer in layers)
    if isinstance(there, Mapping) or isinstance(here, Mapping):
        return f"{name} (layers were {'not ' if there is None else ''}verified there, {'not verified' if here is None else 'verified'} here)"
    shown = [_shown(name, value) for value in (there, here)]
    return name if shown[0] == shown[1] else f"{name} ({shown[0]} there, {shown[1]} here)"


def _shown(name: str, value: Any) -> str:
    """Show a fact, or of a hash, which says nothing, what it is the hash of."""
    if value is None and name in SHOWS_WHEN_READ:
        return "unknown"
    if value is None and name == "drawing":
        return "the data set's own order"
    hashed = OPAQUE.fullmatch(value) if isinstance(value, str) else None
    return str(value) if hashed is None else f"some {(hashed[1] or 'value').strip()}"
