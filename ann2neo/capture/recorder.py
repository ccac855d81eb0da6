"""record and export: run a model over its inputs and keep which unit spiked when."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import nn

from ann2neo.capture.agreement import agreed_inputs
from ann2neo.capture.calibration import calibrate, recall
from ann2neo.capture.distributed import Processes, check_processes, joined, world
from ann2neo.capture.fingerprints import UNKNOWN, weights_sha256
from ann2neo.capture.inputs import as_inputs, check_kept, check_steps_are_recorded, warn_of_odd_labels
from ann2neo.capture.job import check_kinds, job_of
from ann2neo.capture.memory import record_into_memory
from ann2neo.capture.passes import Passes
from ann2neo.capture.predictions import warn_of_no_predictions, warn_of_wrong_predictions
from ann2neo.capture.provenance import provenance_of_notes
from ann2neo.capture.spikes.bits import Bits
from ann2neo.capture.steps import Steps
from ann2neo.capture.units import UnitChoice, describe_units
from ann2neo.device.failures import failures_told
from ann2neo.errors import Ann2NeoWarning, FormatError
from ann2neo.formats import check_output, check_takes_images, path_of, save
from ann2neo.probe.modules import original_module
from ann2neo.probe.state import turn_of
from ann2neo.pseudotime import PseudoTime, milliseconds
from ann2neo.recording import Recording
from ann2neo.thresholds import Rule

STORE_SUFFIX = ".zarr"


class RecordOptions(TypedDict, total=False):
    """Options of `record`, for functions that pass them on."""

    layers: str | Sequence[str] | None
    threshold: Rule
    units: UnitChoice
    steps: Steps | None
    passes: Passes | None
    bin_size_ms: float
    store: str | PathLike[str] | None
    processes: int | None
    verify: bool
    notes: Mapping[str, Any] | None
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
    store: str | PathLike[str] | None = None,
    processes: int | None = None,
    verify: bool = True,
    notes: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Recording:
    """Run a model over its inputs and keep, as one bit, whether each unit's activation exceeded its threshold on each input.

    A unit spikes in the bin of an input when its activation is strictly above the threshold, compared in the activation's own floating-point type.
    The model runs where it lives, in eval mode and without gradients; its mode, hooks and weights and the random states are found afterwards as before.

    Parameters
    ----------
    model
        Any torch module. Compiled and data-parallel wrappers are looked beneath; scripted ones are refused.
    inputs
        A tensor or array (inputs along axis 0), a Dataset, a DataLoader, an iterable of batches, or `Inputs`.
    layers
        Names or patterns; None for every activation function that the first batch calls, as a module or as a function. A function goes by the innermost module
        that calls it: ``block.relu``, or ``block.F.relu`` where ``block`` has a module of that name. Any module, and any named part of its output, can be asked for
        by name.
    threshold
        A number; thresholds of each unit (an array of the layer's shape, or one for each recorded unit); `ann2neo.Quantile` or `ann2neo.MeanPlusSd`, calibrated
        on inputs of their own; a mapping from layer patterns to these, of which the first pattern that fits counts; or None: the value that the activation function takes at pre-activation 0
        (ReLU 0, Sigmoid 0.5, Softplus ln 2). Thresholds that every unit must always exceed are refused.
    units
        Units to record of every layer (a slice, places in the flattened activation, a truth value each, or `ann2neo.Sample`), or a mapping from layer patterns
        to these, of which the first pattern that fits counts.
    steps
        Where each input is a sequence: one bin per position, instead of one bin per input; see `ann2neo.Steps`.
    passes
        Several runs through all inputs with some modules stochastic; inputs must be readable several times.
    bin_size_ms
        Size of the bin of pseudo-time that an input, or a step, takes, in milliseconds; a quantity of time is converted.
    store
        A ``.zarr`` folder to record into while the model runs, instead of memory. If it holds this recording already, it is opened; if it was interrupted, it is
        resumed; if it holds another one, it is refused. Under `torchrun` every process makes this call and records a part.
        What is compared: weights, options, the inputs and labels (all that lie in memory, also in a TensorDataset; of another loader nine batches spread over all; of what can only be
        read one after another the batches that are read), and what comes out when the first batch, and the last one
        before an interruption, are run again. So other code, hooks, attributes, ``forward`` and ``predict``, models that draw random numbers or count their
        batches, and thread counts or devices that turn a bit are noticed, if any of these shows in those batches; what shows only in others cannot be. With
        `Passes` each batch is seeded, so that a model which draws by itself can be resumed.
    processes
        Who records into the store. Without it all processes of torch.distributed, or of the environment (as `torchrun` sets it) if all of them answer within a
        minute, record into one store together: each a part of the same inputs, or all the parts that a ``DistributedSampler`` dealt out, each input once. 1 lets
        this process record alone, into a store of its own.
    verify
        Whether it is verified, by running the inputs of the first batch again, that row k of a layer is input k, depends on no other input, and comes out the same
        again, also after the last batch. It runs 2.5 forward passes of one batch more (1.5 if there is only one batch), and at most seven of them where something is wrong. Layers chosen by default that fail are left out with one warning; those that were asked
        for are refused. What depends on its batch (batch statistics, recurrence along the batch) is recorded with a warning. The provenance keeps what was found.
    notes
        What you know of the recording, as texts and numbers: ``{"epoch": 3, "seed": 1}`` becomes ``notes_epoch`` and ``notes_seed`` of the provenance, and columns of
        the table that `ann2neo.analyze` makes of it. A store is refused if it has others.
    progress
        Whether to show a progress bar.

    Raises
    ------
    StoreError
        If the store holds another recording, another process records into it, not all processes come, or it cannot be written.
    DeviceError
        If memory runs out, or a device is lost; what a store holds is kept.
    AnnotationError, InputsError, ModelError, LayerNotFound, LayerNeverRan, ActivationError, ThresholdError, PseudoTimeError
        Each says what is wrong, what follows, and what helps.

    See Also
    --------
    ann2neo.plan, ann2neo.export, ann2neo.Inputs, ann2neo.Steps, ann2neo.Passes, ann2neo.from_array

    References
    ----------
    Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU())
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0], [-1.0]]))
    >>> record(model, torch.tensor([[1.0], [2.0], [-1.0]]), progress=False).raster("1").astype(int)
    array([[1, 1, 0],
           [0, 0, 1]])
    """
    options: RecordOptions = {
        "layers": layers,
        "threshold": threshold,
        "units": units,
        "steps": steps,
        "passes": passes,
    }
    options |= {
        "bin_size_ms": bin_size_ms,
        "store": store,
        "processes": processes,
        "verify": verify,
        "notes": notes,
        "progress": progress,
    }
    return _record(model, inputs, options, overwrite=False)


def export(
    model: nn.Module,
    inputs: Any,
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    images: Any = None,
    **options: Unpack[RecordOptions],
) -> Recording:
    """Record a model and save the recording: `record` and `save` in one call.

    The output is checked before the model runs. A ``.zarr`` store is recorded into while the model runs, so that an interrupted call can be resumed: see
    ``store`` of `record`.

    Parameters
    ----------
    model, inputs
        As for `record`.
    path
        Where to write; the suffix chooses the format: ``.nwb``, ``.nix`` or ``.zarr``.
    overwrite
        Whether a file that is there, or a store that holds another recording, may be replaced. A store that holds this very recording, made of the same batches,
        is resumed where it was interrupted, or opened, if what is run again for comparison gives the same; see ``store`` of `record`.
    images
        The inputs as images, for ``.nwb`` only; see `ann2neo.save`.
    **options
        As for `record`.

    Raises
    ------
    OutputExists
        If the file is there and may not be replaced.
    StoreError
        If the store is there, holds another recording, and may not be replaced.
    FormatError
        If the suffix is unknown or its format takes no images, or several processes would write one file that is not a store.

    See Also
    --------
    ann2neo.record, ann2neo.save, ann2neo.share
    """
    check_takes_images(path, images)
    check_kept(inputs)
    if path_of(path).suffix == STORE_SUFFIX:
        return _record(model, inputs, options | {"store": path}, overwrite=overwrite)
    if options.get("store") is None and options.get("processes") is None and world()[1] > 1:
        raise FormatError(
            f"{path} would be written by {world()[1]} processes at once.",
            "Nothing was recorded.",
            f"Export into a store ({STORE_SUFFIX}), which takes several processes; then load and save it. If this process alone writes it, export(..., processes=1).",
        )
    check_output(path, overwrite=overwrite)
    recording = record(model, inputs, **options)
    save(recording, path, overwrite=overwrite, images=images)
    return recording


def _record(model: Any, inputs: Any, options: RecordOptions, *, overwrite: bool) -> Recording:
    """Join the other processes where there is a store to share, then record."""
    _check_store(options.get("store"))
    check_kinds(options)
    check_processes(options.get("processes"))
    # Into memory each process records for itself.
    with joined(1 if options.get("store") is None else options.get("processes")) as processes:
        return _record_together(model, inputs, options, processes, overwrite=overwrite)


def _record_together(
    model: Any, inputs: Any, options: RecordOptions, processes: Processes, *, overwrite: bool
) -> Recording:
    """Let no other thread run a model meanwhile."""
    module = original_module(model)
    with turn_of(module):
        return _record_module(module, inputs, options, processes, overwrite=overwrite)


def _record_module(
    module: nn.Module, inputs: Any, options: RecordOptions, processes: Processes, *, overwrite: bool
) -> Recording:
    """Calibrate the thresholds, then record into memory or a store."""
    threshold, units, passes = options.get("threshold"), options.get("units"), options.get("passes")
    store, progress = options.get("store"), options.get("progress", True)
    bin_size_ms = milliseconds(options.get("bin_size_ms", 1.0))
    wrapped, notes = as_inputs(inputs), provenance_of_notes(options.get("notes"))
    _ = PseudoTime(n_bins=1, bin_size_ms=bin_size_ms)
    steps, layers = options.get("steps"), options.get("layers")
    _warn_of_shared_numbers(passes)
    check_kept(None if store is None else wrapped)
    check_steps_are_recorded(wrapped.labels, in_steps=steps is not None)
    lengths = None if steps is None else steps.lengths
    listed = wrapped.labels is not None or not (lengths is None or callable(lengths) or isinstance(lengths, str))
    wrapped = agreed_inputs(wrapped, processes, store=store, listed=listed, notes=notes)
    empty = Bits(threshold=None, units=units, steps=steps)
    verify = options.get("verify", True)
    waiting = job_of(module, wrapped, empty, layers=layers, steps=steps, passes=passes, verify=verify)
    weights = weights_sha256(module)
    with _changes_noted(module, weights), closing(waiting.checks):
        calibration = None
        if store is not None:
            calibration = recall(
                waiting, threshold, units=units, path=Path(store), bin_size_ms=bin_size_ms, weights=weights
            )
        if calibration is None:
            with failures_told():
                calibration = calibrate(waiting, threshold, units=units, progress=progress)
        bits = Bits(
            threshold=threshold, units=units, steps=steps, calibrated=calibration.thresholds, shapes=calibration.shapes
        )
        job = replace(waiting, sink=bits)
        known = {"weights_sha256": weights, **notes, **calibration.provenance}
        known |= {} if units is None else {"units_rule": describe_units(units)}
        with closing(bits):
            if store is None:
                recording = record_into_memory(job, known, bin_size_ms=bin_size_ms, progress=progress)
            else:
                from ann2neo.capture.store.resume import Request
                from ann2neo.capture.store.session import record_into

                recording = record_into(
                    Request(
                        job=job,
                        path=Path(store),
                        bin_size_ms=bin_size_ms,
                        provenance=known,
                        threshold_rule=calibration.identity,
                        units=units,
                        overwrite=overwrite,
                        progress=progress,
                        processes=processes,
                        verified={"rows": "verified"} if verify else None,
                    )
                )
    warn_of_odd_labels(job.inputs.labels, recording.trials)
    warn_of_no_predictions(recording.trials, job.caller.n_outputs if job.checks.predicts else None)
    if job.checks.gives_classes:
        warn_of_wrong_predictions(recording.trials, job.caller.n_outputs, job.checks.verdict)
    if _has_changed(module, weights):
        in_mode = "eval mode" if passes is None else "eval mode, but for what the passes keep in training mode"
        text = f"{type(module).__name__} changed its own parameters or buffers while it ran in {in_mode}."
        warnings.warn(Ann2NeoWarning(text), stacklevel=4)
    return recording


def _has_changed(module: nn.Module, weights: str) -> bool:
    """Whether parameters or buffers are others than those of a hash; not where they cannot be read, as on a device that is lost."""
    now = weights_sha256(module)
    return now != weights and UNKNOWN not in (now, weights)


@contextmanager
def _changes_noted(module: nn.Module, weights: str) -> Iterator[None]:
    """Add a note to any error if the model has changed itself by then."""
    try:
        yield
    except Exception as error:
        if _has_changed(module, weights):
            name = type(module).__name__
            error.add_note(f"{name} changed its own parameters or buffers while it ran; they are left as they are now.")
        raise


def _warn_of_shared_numbers(passes: Passes | None) -> None:
    """Warn that passes beside the main thread share its random numbers."""
    if passes is None or threading.current_thread() is threading.main_thread():
        return
    text = (
        "passes are recorded beside the main thread, with whose random numbers their own are one: torch, NumPy and Python have one generator for all threads.\n"
        "If the main thread draws meanwhile, neither its numbers nor the passes come out the same again.\n"
        "Let it wait, or record in a process of its own; then this warning may be ignored."
    )
    warnings.warn(Ann2NeoWarning(text), stacklevel=5)


def _check_store(store: str | PathLike[str] | None) -> None:
    if store is not None and path_of(store).suffix != STORE_SUFFIX:
        raise FormatError(
            f"{Path(store).name!r} cannot be recorded into.",
            "Only a store can grow while a model runs.",
            f"Give it a name that ends in {STORE_SUFFIX}, or use `export`.",
        )
