"""record, plan and export: run a model over its inputs and keep which unit spiked when."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from os import PathLike
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd
from torch import nn

from ann2neo.capture.inputs import Inputs, as_inputs, open_source, read_batches, trial_columns
from ann2neo.capture.layers import check_all_ran
from ann2neo.capture.memory import Memory, SeenBatch
from ann2neo.capture.observer import ObservedLayer, Observer, UnitChoice
from ann2neo.capture.passes import Passes, stochastic_modules
from ann2neo.capture.provenance import described
from ann2neo.capture.quiet import evaluation_mode, original_module, weights_sha256
from ann2neo.capture.running import Job, call_model, run_pass, watching
from ann2neo.capture.steps import Steps
from ann2neo.errors import Ann2NeoWarning
from ann2neo.formats import check_output, save
from ann2neo.pseudotime import PseudoTime
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials, order_sha256
from ann2neo.thresholds import Rule, describe


class RecordOptions(TypedDict, total=False):
    """Options of `record`, for functions that pass them on."""

    layers: str | Sequence[str] | None
    threshold: Rule
    units: UnitChoice
    steps: Steps | None
    passes: Passes | None
    bin_size_ms: float
    progress: bool


def record(
    model: nn.Module,
    inputs: Any,
    *,
    layers: str | Sequence[str] | None = None,
    threshold: Rule = None,
    units: UnitChoice = None,
    steps: Steps | None = None,
    passes: Passes | None = None,
    bin_size_ms: float = 1.0,
    progress: bool = True,
) -> Recording:
    """Run a model over its inputs and keep, as one bit, whether each unit's activation exceeded its threshold on each input.

    A unit spikes in the bin of an input when its activation is strictly above the threshold, compared in the activation's own floating-point type.
    The model runs where it lives, in eval mode and without gradients; its mode, hooks and weights and the random states are found afterwards as before.

    Parameters
    ----------
    model
        Any torch module whose hooks fire.
    inputs
        A tensor or array (inputs along axis 0), a Dataset, a DataLoader, an iterable of batches, or `Inputs`.
    layers
        Names or patterns; None for every activation module that the first batch calls.
    threshold
        A number, a mapping from layer patterns to numbers, or None: the value that the activation function takes at pre-activation 0
        (ReLU 0, Sigmoid 0.5, Softplus ln 2).
    units
        Units to record of every layer (a slice or places in the flattened activation), or a mapping from layer patterns to these.
    steps
        Where each input is a sequence: one bin per position, instead of one bin per input.
    passes
        Several runs through all inputs with some modules stochastic; inputs must be readable several times.
    bin_size_ms
        Size of the bin of pseudo-time that an input, or a step, takes.
    progress
        Whether to show a progress bar.

    Raises
    ------
    InputsError, ModelError, LayerNotFound, LayerNeverRan, ActivationError, ThresholdError, PseudoTimeError
        Each says what is wrong, what follows, and what helps.

    References
    ----------
    Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU())
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0], [-1.0]]))
    >>> record(model, torch.tensor([[1.0], [2.0], [-1.0]]), progress=False).raster("1").astype(int)
    array([[1, 1, 0],
           [0, 0, 1]])
    """
    module, wrapped = original_module(model), as_inputs(inputs)
    _ = PseudoTime(n_bins=1, bin_size_ms=bin_size_ms)
    observer, memory = Observer(threshold=threshold, units=units, steps=steps), Memory()
    job = Job(module=module, inputs=wrapped, observer=observer, layers=layers, steps=steps, passes=passes)
    weights = weights_sha256(module)
    with evaluation_mode(module, [] if passes is None else stochastic_modules(module, passes)):
        source = open_source(wrapped)
        with watching(job):
            for number in range(job.n_passes):
                memory.begin_pass()
                for batch in run_pass(job, source, number, progress=progress):
                    memory.add(batch)
    if weights_sha256(module) != weights:
        text = f"{type(module).__name__} changed its own parameters or buffers while it ran in eval mode."
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
    lengths = np.concatenate([batch.lengths for batch in memory.batches[0]])
    ids = np.arange(lengths.size) if source.stimulus_ids is None else source.stimulus_ids
    trials = make_trials(
        lengths.size,
        n_passes=len(memory.passes),
        lengths=lengths,
        stimulus_id=ids,
        **_trial_columns(wrapped, memory.batches),
    )
    return Recording(
        layers=tuple(_layer(layer, memory.raster(layer.name)) for layer in observer.layers.values()),
        trials=trials,
        bin_size_ms=bin_size_ms,
        provenance=described(job, batch_size=memory.batches[0][0].lengths.size)
        | {
            "weights_sha256": weights,
            "threshold_rule": describe(threshold),
            "input_order_sha256": order_sha256(ids),
        },
    )


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
    observer = Observer(threshold=0.0, units=units)
    job = Job(module=module, inputs=wrapped, observer=observer, layers=layers)
    with evaluation_mode(module):
        source = open_source(wrapped)
        with watching(job):
            call_model(job, next(read_batches(source, wrapped)))
    check_all_ran(module, layers, list(observer.layers))
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


def export(
    model: nn.Module,
    inputs: Any,
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    **options: Unpack[RecordOptions],
) -> Recording:
    """Record a model and save the recording: `record` and `save` in one call.

    The output is checked before the model runs.

    Parameters
    ----------
    model, inputs
        As for `record`.
    path
        Where to write; the suffix chooses the format: ``.nwb``, ``.nix`` or ``.zarr``.
    overwrite
        Whether a file that is there may be replaced.
    **options
        As for `record`.

    Raises
    ------
    OutputExists
        If the file is there and may not be replaced.
    FormatError
        If the suffix is unknown.
    """
    check_output(path, overwrite=overwrite)
    recording = record(model, inputs, **options)
    save(recording, path, overwrite=overwrite)
    return recording


def _trial_columns(inputs: Inputs, passes: Sequence[Sequence[SeenBatch]]) -> dict[str, Any]:
    """Gather labels and predictions, as far as all batches have them; predictions differ from pass to pass."""
    first = passes[0]
    n_inputs = sum(batch.lengths.size for batch in first)
    columns: dict[str, Any] = trial_columns(inputs, [batch.labels for batch in first], n_inputs)
    predicted = [batch.predicted for batches in passes for batch in batches]
    if all(values is not None for values in predicted):
        columns["predicted_label"] = np.concatenate(predicted)
        if "label" in columns:
            columns["correct"] = columns["predicted_label"] == np.tile(columns["label"], len(passes))
    return columns


def _layer(layer: ObservedLayer, raster: Raster) -> Layer:
    return Layer(
        name=layer.name,
        shape=layer.shape,
        dtype=layer.dtype,
        units=layer.units,
        thresholds=layer.thresholds,
        raster=raster,
    )
