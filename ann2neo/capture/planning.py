"""plan: what would be recorded, from a run of the first batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from torch import nn

from ann2neo.capture.calibration import Gatherer
from ann2neo.capture.inputs import as_inputs, open_source, read_batches
from ann2neo.capture.layers import check_all_ran
from ann2neo.capture.populations import UnitChoice, check_patterns
from ann2neo.capture.quiet import evaluation_mode, original_module
from ann2neo.capture.running import Job, call_model, watching


def plan(
    model: nn.Module, inputs: Any, *, layers: str | Sequence[str] | None = None, units: UnitChoice = None
) -> pd.DataFrame:
    """Say what `record` would record, from a run of the first batch.

    Returns one row per layer: its name, its kind, the shape of its activation, how many units would be recorded, the type of its activation, and the
    bytes that its bits would take over all inputs (missing where the number of inputs is not known beforehand).

    Examples
    --------
    >>> import torch
    >>> plan(nn.Sequential(nn.Linear(1, 2), nn.ReLU()), torch.zeros(80, 1))[["layer", "kind", "shape", "units", "bytes"]]
      layer  kind shape  units  bytes
    0     1  ReLU  (2,)      2     20
    """
    module, wrapped = original_module(model), as_inputs(inputs)
    observer = Gatherer(units=units)
    job = Job(module=module, inputs=wrapped, observer=observer, layers=layers)
    with evaluation_mode(module):
        source = open_source(wrapped)
        with watching(job):
            call_model(job, next(read_batches(source, wrapped)))
    check_patterns("units", units, list(observer.layers))
    check_all_ran(module, layers, list(observer.layers), job.watch.called)
    n_bytes = None if source.n_inputs is None else -(-source.n_inputs // 8)
    return pd.DataFrame(
        [
            {
                "layer": layer.name,
                "kind": layer.kind,
                "shape": layer.shape,
                "units": layer.units.size,
                "dtype": layer.dtype,
                "bytes": None if n_bytes is None else layer.units.size * n_bytes,
            }
            for layer in observer.layers.values()
        ]
    )
