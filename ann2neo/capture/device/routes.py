"""Which code packs on which device: the kernel on cards that Triton knows, torch's operators elsewhere."""

from __future__ import annotations

import os
import warnings
from functools import cache
from typing import Protocol, runtime_checkable

import torch

from ann2neo.capture.device.graphs import check_not_captured
from ann2neo.capture.device.operators import pack_into
from ann2neo.capture.device.target import Target
from ann2neo.errors import Ann2NeoWarning


@runtime_checkable
class Pack(Protocol):
    """Packs values into a column; see `ann2neo.capture.device.operators.pack_into`."""

    def __call__(
        self,
        values: torch.Tensor,
        target: Target,
        thresholds: torch.Tensor,
        *,
        places: torch.Tensor | None,
        first_bin: int,
    ) -> None:
        """Pack values."""
        ...


def route_for(device: torch.device) -> Pack:
    """Find what packs on a device: the kernel if the device is a card and there is Triton, or where Triton interprets; torch's operators if not.

    Examples
    --------
    >>> import torch
    >>> route_for(torch.device("mps")).__name__
    'pack_into'
    """
    interpreted = device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    return (_kernel() or pack_into) if device.type == "cuda" or interpreted else pack_into


@cache
def _kernel() -> Pack | None:
    """Load the kernel, and compile it for a few values; None if that fails."""
    try:
        from ann2neo.capture.device.kernel import launch
    except ImportError:
        return None
    if torch.cuda.is_available():
        try:
            _try_out(launch)
        # Triton needs a C compiler, a folder for its cache, a card that it knows: if any of these is missing, there is another way.
        except Exception as error:
            text = (
                f"Triton's kernel cannot be used ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}): spikes are packed by torch's operators, which takes several times as long.\n"
                "Triton compiles with a C compiler (gcc) and keeps what it compiled in TRITON_CACHE_DIR."
            )
            warnings.warn(Ann2NeoWarning(text), stacklevel=2)
            return None
        return _on_card(launch)
    return launch


def _on_card(launch: Pack) -> Pack:
    """Launch on the device of the values, and refuse to become part of a graph that is being captured."""

    def pack(
        values: torch.Tensor,
        target: Target,
        thresholds: torch.Tensor,
        *,
        places: torch.Tensor | None,
        first_bin: int,
    ) -> None:
        device = values.get_device()
        if device == torch.cuda.current_device():
            check_not_captured(values)
            launch(values, target, thresholds, places=places, first_bin=first_bin)
        else:
            with torch.cuda.device(device):
                check_not_captured(values)
                launch(values, target, thresholds, places=places, first_bin=first_bin)

    return pack


def _try_out(launch: Pack) -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    target = Target(
        bits=torch.zeros((1, 16), dtype=torch.uint8, device=device),
        invalid=torch.zeros(1, dtype=torch.int64, device=device),
        slot=0,
    )
    values = torch.ones((8, 16), device=device)
    launch(values, target, torch.zeros((), device=device), places=None, first_bin=0)
    if not bool((target.bits == 255).all()):
        raise ValueError("it does not give the bits of eight ones")
