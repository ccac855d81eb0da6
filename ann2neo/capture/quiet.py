"""Leaving the model and the random state as they were found."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from ann2neo.capture.exported import refuse_exported_in_training
from ann2neo.errors import ModelError


def original_module(model: Any) -> torch.nn.Module:
    """Find the module whose hooks fire: beneath `torch.compile` and data-parallel wrappers.

    Raises
    ------
    ModelError
        If it is a scripted model, whose hooks never fire, or some of its weights are not there yet.
    """
    while (inner := inner_module(model)) is not None:
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
    _refuse_without_weights(model)
    refuse_exported_in_training(model)
    return model


def _refuse_without_weights(model: torch.nn.Module) -> None:
    """Refuse lazy modules that have not run yet, and weights that have shapes but no numbers."""
    weights = [*model.named_parameters(), *model.named_buffers()]
    lazy = [name for name, value in weights if torch.nn.parameter.is_lazy(value)]
    if lazy:
        raise ModelError(
            f"{len(lazy)} parameters and buffers of {type(model).__name__} are lazy and have no shape yet ({_shown(lazy)}).",
            "They would be drawn at random while the model is recorded.",
            "Run one batch first, model(batch), and load the weights.",
        )
    empty = [name for name, value in weights if value.is_meta]
    if empty:
        raise ModelError(
            f"{len(empty)} parameters and buffers of {type(model).__name__} are on the meta device ({_shown(empty)}).",
            "They have shapes but no numbers: nothing can be computed.",
            "Give them numbers first, for instance by model.to_empty(device='cpu') and model.load_state_dict(weights).",
        )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")


def inner_module(model: Any) -> torch.nn.Module | None:
    """Find the module that a wrapper calls, or None if the model is no wrapper: compiled, data-parallel, sharded or averaged.

    Examples
    --------
    >>> inner_module(torch.nn.DataParallel(torch.nn.ReLU())), inner_module(torch.nn.ReLU())
    (ReLU(), None)
    """
    parallel = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel, torch.optim.swa_utils.AveragedModel)
    wrapped = ["_orig_mod", "_fsdp_wrapped_module", *(["module"] if isinstance(model, parallel) else [])]
    found = (getattr(model, name, None) for name in wrapped)
    return next((module for module in found if isinstance(module, torch.nn.Module)), None)


@contextmanager
def as_written() -> Iterator[None]:
    """Run modules as they were written: no fused attention kernels and no compiled code, which skip the modules within.

    Both would depend on where hooks are; so the numbers are the same whichever layers are recorded.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    # torch.compile loads dynamo: where that is not loaded nothing is compiled, and loading it takes seconds.
    set_stance = getattr(torch.compiler, "set_stance", None) if "torch._dynamo" in sys.modules else None
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        with nullcontext() if set_stance is None else set_stance("force_eager"):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@contextmanager
def evaluation_mode(model: torch.nn.Module, stochastic: Sequence[torch.nn.Module] = ()) -> Iterator[None]:
    """Put every module but the stochastic ones in eval mode without gradients; restore each one's flag and all random states."""
    flags = [(module, module.training) for module in model.modules()]
    # Not inference_mode: tensors that a model caches there break later training.
    with random_states_kept(), torch.no_grad():
        try:
            _eval(model)
            for module in stochastic:
                module.training = True
            yield
        finally:
            for module, training in flags:
                module.training = training


def _eval(module: torch.nn.Module) -> None:
    try:
        module.eval()
    except NotImplementedError:
        # So say modules of torch.export, and all that hold one. They have no modes any more; what else is within has.
        module.training = False
        for child in module.children():
            _eval(child)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Draw whatever is drawn, and find the random states of torch, NumPy and Python afterwards as before."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def weights_sha256(model: torch.nn.Module) -> str:
    """Hash names, types, shapes and bytes of all parameters and buffers, also of those that are no part of the ``state_dict``, and what else is part of it.

    Examples
    --------
    >>> weights_sha256(torch.nn.ReLU())[:8]
    'e3b0c442'
    """
    # By every name that they go by, so that it shows which weights are tied.
    found = {
        **model.state_dict(),
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    digest = hashlib.sha256()
    for name, value in sorted(found.items()):
        for part in _parts(name, value):
            digest.update(part)
    return digest.hexdigest()


def _parts(name: str, value: Any) -> Iterator[bytes]:
    """Write a weight down, or, of what a module keeps beside them, the tensors, numbers and texts."""
    if isinstance(value, torch.Tensor):
        yield f"{name} {value.dtype} {tuple(value.shape)}".encode()
        yield value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _parts(f"{name}/{key}", part)
    elif isinstance(value, (list, tuple)):
        for number, part in enumerate(value):
            yield from _parts(f"{name}/{number}", part)
    elif isinstance(value, (bool, int, float, str, bytes)):
        yield f"{name} {value!r}".encode()
