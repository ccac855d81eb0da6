"""Leaving the model and the random state as they were found."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ann2neo.errors import ModelError


def original_module(model: Any) -> torch.nn.Module:
    """Find the module whose hooks fire: beneath `torch.compile` and data-parallel wrappers.

    Raises
    ------
    ModelError
        If it is a scripted model: its hooks never fire.
    """
    while isinstance(inner := getattr(model, "_orig_mod", None), torch.nn.Module) or (
        isinstance(model, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel))
        and isinstance(inner := model.module, torch.nn.Module)
    ):
        model = inner
    if not isinstance(model, torch.nn.Module):
        raise ModelError(
            f"a {type(model).__name__} is no torch module.", "It cannot be recorded.", "Give a torch.nn.Module."
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            f"{type(model).__name__} is a scripted model.",
            "Hooks on it silently never fire: nothing would be recorded.",
            "Give the Python module that it was made from.",
        )
    return model


@contextmanager
def evaluation_mode(model: torch.nn.Module, stochastic: Sequence[torch.nn.Module] = ()) -> Iterator[None]:
    """Put every module but the stochastic ones in eval mode without gradients; restore each one's flag and all random states."""
    flags = [(module, module.training) for module in model.modules()]
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        model.eval()
        for module in stochastic:
            module.training = True
        # Not inference_mode: tensors that a model caches there break later training.
        with torch.no_grad():
            yield
    finally:
        for module, training in flags:
            module.training = training
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def weights_sha256(model: torch.nn.Module) -> str:
    """Hash names, types, shapes and bytes of all parameters and buffers.

    Examples
    --------
    >>> weights_sha256(torch.nn.ReLU())[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
