"""record, plan and export: run a model over its inputs and keep which unit spiked when."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from typing import Any, TypedDict, Unpack

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from ann2neo.capture.inputs import Batch, Inputs, as_inputs, open_source, read_batches, to_model, trial_columns
from ann2neo.capture.layers import check_all_ran, select_modules
from ann2neo.capture.observer import ObservedLayer, Observer, UnitChoice, observing
from ann2neo.capture.quiet import evaluation_mode, original_module, weights_sha256
from ann2neo.errors import ActivationError, Ann2NeoWarning
from ann2neo.formats import check_output, save
from ann2neo.pseudotime import PseudoTime
from ann2neo.raster import Raster
from ann2neo.recording import SCHEMA, Layer, Recording, make_trials, order_sha256
from ann2neo.thresholds import Rule, describe
from ann2neo.versions import software


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenBatch:
    """What is kept of a batch beside its spikes."""

    n_inputs: int
    labels: np.ndarray | None
    predicted: np.ndarray | None


class RecordOptions(TypedDict, total=False):
    """Options of `record`, for functions that pass them on."""

    layers: str | Sequence[str] | None
    threshold: Rule
    units: UnitChoice
    bin_size_ms: float
    progress: bool


def record(
    model: nn.Module,
    inputs: Any,
    *,
    layers: str | Sequence[str] | None = None,
    threshold: Rule = None,
    units: UnitChoice = None,
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
    bin_size_ms
        Size of the bin of pseudo-time that an input takes.
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
    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU())
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0], [-1.0]]))
    >>> record(model, torch.tensor([[1.0], [2.0], [-1.0]]), progress=False).raster("1").astype(int)
    array([[1, 1, 0],
           [0, 0, 1]])
    """
    module, wrapped = original_module(model), as_inputs(inputs)
    _ = PseudoTime(n_bins=1, bin_size_ms=bin_size_ms)
    observer = Observer(threshold=threshold, units=units)
    weights = weights_sha256(module)
    seen: list[SeenBatch] = []
    with evaluation_mode(module):
        selected = select_modules(module, layers)
        source = open_source(wrapped)
        with observing(module, selected, layers, observer):
            for batch in tqdm(
                read_batches(source, wrapped), total=source.n_batches, unit="batch", disable=not progress
            ):
                output = _run(module, wrapped, batch)
                seen.append(
                    SeenBatch(
                        n_inputs=batch.n_inputs, labels=batch.labels, predicted=_predictions(output, batch, wrapped)
                    )
                )
                check_all_ran(module, layers, list(observer.layers))
                _check_bins(observer, sum(batch.n_inputs for batch in seen))
    if weights_sha256(module) != weights:
        text = f"{type(module).__name__} changed its own parameters or buffers while it ran in eval mode."
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
    ids = np.arange(sum(batch.n_inputs for batch in seen)) if source.stimulus_ids is None else source.stimulus_ids
    return Recording(
        layers=tuple(_layer(layer) for layer in observer.layers.values()),
        trials=make_trials(ids.size, stimulus_id=ids, **_trial_columns(wrapped, seen)),
        bin_size_ms=bin_size_ms,
        provenance=_provenance(module, wrapped, observer, seen)
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
    >>> plan(nn.Sequential(nn.Linear(1, 2), nn.ReLU()), torch.zeros(80, 1))[["layer", "kind", "shape", "units", "bytes"]]
      layer  kind shape  units  bytes
    0     1  ReLU  (2,)      2     20
    """
    module, wrapped = original_module(model), as_inputs(inputs)
    observer = Observer(threshold=0.0, units=units)
    with evaluation_mode(module):
        selected = select_modules(module, layers)
        source = open_source(wrapped)
        with observing(module, selected, layers, observer):
            _run(module, wrapped, next(read_batches(source, wrapped)))
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


def _run(module: nn.Module, inputs: Inputs, batch: Batch) -> Any:
    x = to_model(batch.x, module)
    if inputs.forward is not None:
        return inputs.forward(module, x)
    return module(**x) if isinstance(x, dict) else module(x)


def _check_bins(observer: Observer, n_inputs: int) -> None:
    """Refuse layers that some inputs passed twice or not at all."""
    bins = {layer.name: layer.planes.n_bins for layer in observer.layers.values()}
    if set(bins.values()) != {n_inputs}:
        wrong = {name: n for name, n in bins.items() if n != n_inputs}
        raise ActivationError(
            f"after {n_inputs} inputs these layers have seen another number: {wrong}.",
            "Their first axis is not one entry per input, or some inputs did not reach them: there is no common pseudo-time axis.",
            "Record layers that every input passes once (layers=...).",
        )


def _predictions(output: Any, batch: Batch, inputs: Inputs) -> np.ndarray | None:
    """Class that the model predicts for each input, or None where its output does not say."""
    if inputs.predict is not None:
        return torch.as_tensor(inputs.predict(output)).detach().cpu().numpy().astype(np.int64)
    logits = getattr(output, "logits", output)
    if not (isinstance(logits, torch.Tensor) and logits.is_floating_point() and logits.ndim == 2):
        return None
    return logits.argmax(dim=1).cpu().numpy() if logits.shape[0] == batch.n_inputs and logits.shape[1] > 1 else None


def _trial_columns(inputs: Inputs, seen: Sequence[SeenBatch]) -> dict[str, Any]:
    """Gather labels and predictions, as far as all batches have them."""
    columns = trial_columns(inputs, [batch.labels for batch in seen], sum(batch.n_inputs for batch in seen))
    predicted = [batch.predicted for batch in seen if batch.predicted is not None]
    if len(predicted) == len(seen):
        columns["predicted_label"] = np.concatenate(predicted)
        if "label" in columns:
            columns["correct"] = columns["predicted_label"] == columns["label"]
    return columns


def _layer(layer: ObservedLayer) -> Layer:
    return Layer(
        name=layer.name,
        shape=layer.shape,
        dtype=layer.dtype,
        units=layer.units,
        thresholds=np.full(layer.units.size, float(layer.threshold)),
        raster=Raster(packed=layer.planes.packed(), n_bins=layer.planes.n_bins),
    )


def _provenance(module: nn.Module, inputs: Inputs, observer: Observer, seen: Sequence[SeenBatch]) -> dict[str, Any]:
    """Say what made a recording; what is unknown is left out."""
    parameter = next(module.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    known = {"dataset": inputs.dataset, "dataset_split": inputs.dataset_split}
    return {
        "schema": SCHEMA,
        "model_class": f"{type(module).__module__}.{type(module).__qualname__}",
        **{key: value for key, value in known.items() if value is not None},
        "input_order": "presented",
        "module_mode": "eval",
        "batch_size": seen[0].n_inputs,
        "dtype": next(iter(observer.layers.values())).dtype,
        "device": str(device),
        "autocast": torch.is_autocast_enabled(device.type),
        "torch_threads": torch.get_num_threads(),
        "software": software("torch", "numpy"),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
