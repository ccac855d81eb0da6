"""What a recording into a store is a recording of: facts by which it is known again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ann2neo.capture.fingerprints import KIND
from ann2neo.capture.inputs import Presentation
from ann2neo.capture.running import Job
from ann2neo.errors import StoreError
from ann2neo.recording import order_sha256

Facts = Mapping[str, "str | int | float | None"]
LONGEST = 200
# What is unknown of inputs that can only be read one after another.
SHOWS_WHEN_READ = ("batch size", "number of inputs", "sizes of batches", "order")
OPAQUE = re.compile(r"(\w+ )?[0-9a-f]{16,64}")


def identity_of(job: Job, *, bin_size_ms: float, weights: str, threshold_rule: Any, units: Any) -> dict[str, Any]:
    """Write down what a job records from what, but for the order of its inputs; see `order_facts`.

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
    """
    steps, passes, inputs = job.steps, job.passes, job.inputs
    return {
        "weights": weights,
        "model": fingerprint([(name, type(m).__qualname__, m.extra_repr()) for name, m in job.module.named_modules()]),
        "layers": fingerprint(job.layers if job.layers is None or isinstance(job.layers, str) else list(job.layers)),
        "threshold rule": fingerprint(threshold_rule),
        "units": fingerprint(units),
        "steps": None if steps is None else f"axis {steps.axis}, lengths {fingerprint(steps.lengths)}",
        "number of passes": job.n_passes,
        "stochastic modules": None if passes is None else fingerprint(passes.active),
        "seed": None if passes is None else passes.seed,
        "type of numbers": _numbers(job.module),
        "bin size": bin_size_ms,
        "labels": fingerprint(inputs.labels),
        "data set": inputs.dataset,
        "data set split": inputs.dataset_split,
        "check sums": KIND,
    }


def order_facts(source: Presentation, batch_size: int | None) -> dict[str, Any]:
    """Write down the order of the inputs, as far as it is known before they are read; the batch size is None where the inputs come in batches of their own."""
    sizes, ids = source.batch_sizes, source.stimulus_ids
    return {
        "batch size": batch_size if sizes is None or not sizes.size else int(sizes[0]),
        "number of inputs": source.n_inputs,
        "sizes of batches": None if sizes is None else fingerprint(sizes),
        "order": None if ids is None else order_sha256(ids),
    }


def check_same(path: Any, there: Facts, here: Facts) -> None:
    """Refuse a store that holds another recording, and say in what it differs.

    Raises
    ------
    StoreError
        If a fact differs.

    Examples
    --------
    >>> check_same("a.zarr", {"seed": 0, "weights": "e3b0"}, {"seed": 1, "weights": "e3b0"})
    Traceback (most recent call last):
        ...
    ann2neo.errors.StoreError: a.zarr holds another recording: seed (0 there, 1 here).
    Nothing was recorded; what is there is unchanged.
    Record into another store, or allow overwriting (export(..., overwrite=True), `ann2neo export --overwrite`).
    """
    other = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if not other:
        return
    raise StoreError(
        f"{path} holds another recording: {', '.join(_difference(name, there.get(name), here.get(name)) for name in other)}.",
        "Nothing was recorded; what is there is unchanged.",
        "Record into another store, or allow overwriting (export(..., overwrite=True), `ann2neo export --overwrite`).",
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
    shown = [_shown(name, value) for value in (there, here)]
    return name if shown[0] == shown[1] else f"{name} ({shown[0]} there, {shown[1]} here)"


def _shown(name: str, value: Any) -> str:
    """Show a fact, or of a hash, which says nothing, what it is the hash of."""
    if value is None and name in SHOWS_WHEN_READ:
        return "unknown"
    hashed = OPAQUE.fullmatch(value) if isinstance(value, str) else None
    return str(value) if hashed is None else f"some {(hashed[1] or 'value').strip()}"
