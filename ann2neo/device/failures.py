"""A device, or the host, that runs out of memory, and a device that is lost: errors of the house instead of those of drivers; and models that replay CUDA graphs, in which nothing that Python could see is called."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from ann2neo.errors import Ann2NeoWarning, DeviceError, ModelError

OF_HOST = ("DefaultCPUAllocator", "not enough memory", "cudaHostAlloc", "cudaErrorMemoryAllocation")
OF_DEVICE = (
    "CUDA error",
    "CUDA driver error",
    "HIP error",
    "XPU error",
    "MPS backend",
    "device-side assert",
    "cuDNN error",
    "CUBLAS_STATUS",
)


@contextmanager
def failures_told() -> Iterator[None]:
    """Raise what says that memory or a device failed as an error that says what to do.

    Raises
    ------
    DeviceError
        If memory ran out, or a device was lost.

    Examples
    --------
    >>> with failures_told():
    ...     _ = torch.empty(1 << 60)
    Traceback (most recent call last):
        ...
    ann2neo.errors.DeviceError: the host ran out of memory: ...
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        told = _told(error)
        if told is None:
            raise
        raise told from error


def is_lost(error: BaseException) -> bool:
    """Whether an error says that a device can no longer be used by this process.

    Examples
    --------
    >>> is_lost(RuntimeError("CUDA error: an illegal memory access was encountered")), is_lost(RuntimeError("shapes differ"))
    (True, False)
    """
    if is_out_of_memory(error):
        return False
    # A subclass of RuntimeError from torch 2.8 on.
    kind = getattr(torch, "AcceleratorError", None)
    return (kind is not None and isinstance(error, kind)) or _says(error, OF_DEVICE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, on a device or on the host."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _says(error, (*OF_HOST, "out of memory"))


def _says(error: BaseException, texts: tuple[str, ...]) -> bool:
    return isinstance(error, RuntimeError) and any(text in str(error) for text in texts)


def _told(error: BaseException) -> DeviceError | None:
    lines = str(error).splitlines()
    first = lines[0] if lines else type(error).__name__
    if is_out_of_memory(error):
        on_host = isinstance(error, MemoryError) or _says(error, OF_HOST)
        return DeviceError(
            f"{'the host' if on_host else 'the device'} ran out of memory: {first}",
            "The batch under way was not recorded.",
            "Use smaller batches (Inputs(data, batch_size=...)), record fewer layers or units (units=Sample(...)), or free what others hold and make the same call "
            "again: a store (store='recording.zarr') goes on where it stopped, with batches of the same size.",
        )
    if not is_lost(error):
        return None
    return DeviceError(
        f"a device failed: {first}",
        "The batch under way was not recorded, and this process cannot use the device any more.",
        "Make the same call in a new process: a store (store='recording.zarr') goes on where it stopped. If it fails at the same place, run it with CUDA_LAUNCH_BLOCKING=1, which shows "
        "the operator.",
    )


# The function that replaces ``forward``; it calls the one that was written where a module is in another mode than it was captured in.
REPLACED, MODE = "make_graphed_callables.", "graph_training_state"


def check_graphs(modules: Mapping[str, nn.Module]) -> None:
    """Refuse modules that replay a graph in eval mode, and warn of those that hold one.

    Raises
    ------
    ModelError
        If there are modules within one that replays: they are not called.
    """
    replaying = [name for name, module in modules.items() if _replays(module)]
    if replaying:
        raise ModelError(
            f"these modules replay CUDA graphs (torch.cuda.make_graphed_callables): {', '.join(map(repr, replaying[:10]))}.",
            "The modules within are not called, so that their activations cannot be seen.",
            "Record the model before graphs are made of it, or a copy with the same weights (load_state_dict).",
        )
    holding = [
        name
        for name, module in modules.items()
        if any(isinstance(one, torch.cuda.CUDAGraph) for one in vars(module).values())
    ]
    if holding:
        text = (
            f"these modules hold CUDA graphs: {', '.join(map(repr, holding[:10]))}.\n"
            "What runs when a graph is replayed calls no module: its activations are not seen.\n"
            "Record the model before it captures graphs, if layers are missing."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)


def check_not_captured(value: object) -> None:
    """Refuse an activation that comes into being while a graph is captured.

    Raises
    ------
    ModelError
        If it does.
    """
    if isinstance(value, torch.Tensor) and value.is_cuda and torch.cuda.is_current_stream_capturing():
        raise ModelError(
            "the model captures a CUDA graph in its forward pass.",
            "Recording would become part of the graph, and write the spikes of later batches over those of the first.",
            "Record the model before it captures graphs, or switch that off while it is recorded.",
        )


def _replays(module: nn.Module) -> bool:
    forward = vars(module).get("forward")
    if not inspect.isfunction(forward) or not forward.__qualname__.startswith(REPLACED):
        return False
    return not inspect.getclosurevars(forward).nonlocals.get(MODE, False)
