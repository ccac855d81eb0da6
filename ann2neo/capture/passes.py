"""Passes: several runs through all inputs of a network that is stochastic by request."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from ann2neo.arguments import check_seed
from ann2neo.errors import Ann2NeoWarning, LayerNotFound, ModelError, suggestion
from ann2neo.probe.functions import forward_of, names_in
from ann2neo.probe.modules import is_of_torch, named_modules
from ann2neo.recording import matches

LISTED = 20


@dataclass(frozen=True, slots=True)
class Passes:
    """Run through all inputs several times, with some modules stochastic as in training.

    "dropout" stands for torch's dropout modules, and for its attention and recurrent modules that have a dropout of their own. Dropout that a module of yours
    calls as a function, ``F.dropout(x, training=self.training)``, depends on that module's mode and cannot be known; where its code suggests it, a warning says
    so. Then name all modules that are to be stochastic, these and the dropout modules: ``Passes(10, active=["drop", "block"])``. The model itself goes by the
    name of its class. Only what is named is put in training mode, not the modules within it.

    Parameters
    ----------
    n
        Number of passes.
    active
        "dropout" for all modules that are known to drop, or names and patterns of the modules that stay in training mode.
    seed
        Seed from which, with the pass and the batch, the random states of each batch follow: those of torch, of NumPy (``np.random``) and of Python (``random``).

    Raises
    ------
    ModelError
        If the number of passes is not a positive integer, the seed not an integer of at least 0, or ``active`` names nothing.

    See Also
    --------
    ann2neo.Steps, ann2neo.record

    Examples
    --------
    >>> Passes(10).active
    'dropout'
    """

    n: int
    active: str | Sequence[str] = "dropout"
    seed: int = 0

    def __post_init__(self) -> None:
        if not _is_integer(self.n) or self.n < 1:
            raise ModelError(
                f"{self.n!r} passes were asked for.",
                "Nothing would be recorded.",
                "Ask for a whole number of them, at least one: Passes(10).",
            )
        check_seed(self.seed, error=ModelError)
        names = [self.active] if isinstance(self.active, str) else self.active
        if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) and name for name in names):
            raise ModelError(
                f"active={self.active!r} names no modules.",
                "It is unclear what stays stochastic.",
                "Use 'dropout', or names and patterns of modules such as ['encoder.*'].",
            )


def stochastic_modules(model: nn.Module, passes: Passes | None) -> Sequence[nn.Module]:
    """Find the modules that stay in training mode, none without passes; what is within them does not, unless it is found itself.

    Raises
    ------
    ModelError
        If there is no dropout, so that all passes would be the same.
    LayerNotFound
        If a name or pattern fits no module.
    """
    if passes is None:
        return []
    named = named_modules(model)
    if passes.active == "dropout":
        return _with_dropout(model, named)
    patterns = [passes.active] if isinstance(passes.active, str) else passes.active
    for pattern in patterns:
        if not any(_fits(name, module is model, pattern) for name, module in named.items()):
            raise LayerNotFound(
                f"no module matches {pattern!r} in {type(model).__name__}.{suggestion(pattern, named)}",
                "It could not be kept stochastic.",
                "Use the name of a module, or 'dropout'.",
            )
    return [
        module for name, module in named.items() if any(_fits(name, module is model, pattern) for pattern in patterns)
    ]


def _fits(name: str, is_model: bool, pattern: str) -> bool:
    """Whether a module has a name or fits a pattern; the model itself only where that is its name, or fits everything."""
    return matches("", pattern) or name == pattern if is_model else matches(name, pattern)


def _with_dropout(model: nn.Module, named: Mapping[str, nn.Module]) -> Sequence[nn.Module]:
    """Find the modules that are known to draw, and warn of those whose code may."""
    found = {name: module for name, module in named.items() if own_dropout(module) > 0}
    hidden = [name for name, module in named.items() if _may_drop(module)]
    cure = f"Passes(n, active={_listed([*found, *hidden])})"
    if not found:
        raise ModelError(
            f"{type(model).__name__} has no dropout module"
            + (f", but the forward of {_listed(hidden)} names dropout and training mode." if hidden else "."),
            "All passes would be the same.",
            f"Name the modules that are stochastic in training mode ({cure if hidden else 'Passes(n, active=...)'}), or record one pass.",
        )
    if hidden:
        text = (
            f"the forward of {_listed(hidden)} names dropout and training mode, but the passes keep only dropout modules active ({_listed(list(found))}): "
            f"dropout that is called as a function stays off. Name all modules that are to be in training mode: {cure}"
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=2)
    return list(found.values())


def own_dropout(module: nn.Module) -> float:
    """Share of what one of torch's own modules drops by itself in training mode.

    Examples
    --------
    >>> [own_dropout(module) for module in (nn.Dropout(0.2), nn.LSTM(2, 3, 2, dropout=0.5), nn.MultiheadAttention(4, 2, dropout=0.1), nn.ReLU())]
    [0.2, 0.5, 0.1, 0.0]
    """
    if isinstance(module, _DropoutNd):
        return module.p
    # Between the layers of a recurrent module: one layer has none.
    draws = isinstance(module, nn.MultiheadAttention) or (isinstance(module, nn.RNNBase) and module.num_layers > 1)
    return float(getattr(module, "dropout", 0.0)) if draws else 0.0


def _may_drop(module: nn.Module) -> bool:
    """Whether the code of a module's forward suggests that it drops in training mode: it names both, and not just dropout modules or shares of 0."""
    forward = None if is_of_torch(module) or isinstance(module, torch.jit.ScriptModule) else forward_of(module)
    if forward is None or own_dropout(module) > 0:
        return False
    names = names_in(forward)
    if "training" not in names:
        return False
    drops = [name for name in names if "dropout" in name.lower()]
    own = [getattr(module, name) for name in drops if hasattr(module, name)]
    # Of a dropout module the share is read as in dropout_p=self.dropout.p if self.training else 0.
    shares = [(getattr(one, "p", 0.0) if "p" in names else 0.0) if isinstance(one, nn.Module) else one for one in own]
    return any(share != 0 for share in shares) if own else bool(drops)


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(map(repr, names[:LISTED]))}{', ...' if len(names) > LISTED else ''}]"


@contextmanager
def noise_off(model: nn.Module) -> Iterator[Callable[[], list[str]]]:
    """Put modules of torch that draw in eval mode for as long as the context lasts; those that do not, such as batch normalization, stay in theirs.

    The function that is yielded does the same with all modules of other code but batch normalization, for where something still draws, and names those that look at their mode.
    """
    named = named_modules(model) if any(one.training for one in model.modules()) else {}
    training = {name: one for name, one in named.items() if one.training}

    def others_off() -> list[str]:
        others = {name: one for name, one in training.items() if not (is_of_torch(one) or isinstance(one, _NormBase))}
        for one in others.values():
            one.training = False
        return [name or type(one).__name__ for name, one in others.items() if _looks_at_mode(one)]

    for one in training.values():
        if own_dropout(one) > 0 or isinstance(one, nn.RReLU):
            one.training = False
    try:
        yield others_off
    finally:
        for one in training.values():
            one.training = True


def _looks_at_mode(module: nn.Module) -> bool:
    forward = None if isinstance(module, torch.jit.ScriptModule) else forward_of(module)
    return forward is None or "training" in names_in(forward)


def seed_batch(passes: Passes, number: int, batch: int) -> None:
    """Set the random states of torch, NumPy and Python from seed, pass and batch, so that a batch is the same after anything else that ran."""
    digest = hashlib.blake2b(f"{passes.seed} {number} {batch}".encode(), digest_size=8).digest()
    seed = int.from_bytes(digest, "little") >> 1
    torch.manual_seed(seed)
    np.random.seed((seed & 0xFFFFFFFF, seed >> 32))  # noqa: NPY002
    random.seed(seed)


def _is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
