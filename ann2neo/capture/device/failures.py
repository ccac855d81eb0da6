"""A device, or the host, that runs out of memory, and a device that is lost: errors of the house instead of those of drivers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ann2neo.errors import DeviceError

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
