"""Passes: several runs through all inputs of a network that is stochastic by request."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from ann2neo.errors import LayerNotFound, ModelError, suggestion
from ann2neo.recording import matches


@dataclass(frozen=True, slots=True)
class Passes:
    """Run through all inputs several times, with some modules stochastic as in training.

    Parameters
    ----------
    n
        Number of passes.
    active
        "dropout" for all dropout modules, or names and patterns of the modules that stay in training mode.
    seed
        Seed from which, with the pass and the batch, the random state of each batch follows.

    Raises
    ------
    ModelError
        If the number of passes is no positive integer, the seed no integer, or ``active`` names nothing.

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
        if not _is_integer(self.seed):
            raise ModelError(
                f"{self.seed!r} is no seed.", "The passes could not be repeated.", "Use an integer: Passes(10, seed=0)."
            )
        names = [self.active] if isinstance(self.active, str) else self.active
        if not isinstance(names, Sequence) or not names or not all(isinstance(name, str) for name in names):
            raise ModelError(
                f"active={self.active!r} names no modules.",
                "It is unclear what stays stochastic.",
                "Use 'dropout', or names and patterns of modules such as ['encoder.*'].",
            )


def stochastic_modules(model: nn.Module, passes: Passes) -> Sequence[nn.Module]:
    """Find the modules that stay in training mode.

    Raises
    ------
    ModelError
        If there is no dropout, so that all passes would be the same.
    LayerNotFound
        If a name or pattern fits no module.
    """
    named = dict(model.named_modules())
    if passes.active == "dropout":
        found = [module for module in named.values() if isinstance(module, _DropoutNd)]
        if not found:
            raise ModelError(
                f"{type(model).__name__} has no dropout module.",
                "All passes would be the same.",
                "Name the modules that are stochastic in training mode (Passes(n, active=...)), or record one pass.",
            )
        return found
    patterns = [passes.active] if isinstance(passes.active, str) else passes.active
    for pattern in patterns:
        if not any(matches(name, pattern) for name in named):
            raise LayerNotFound(
                f"no module matches {pattern!r} in {type(model).__name__}.{suggestion(pattern, named)}",
                "It could not be kept stochastic.",
                "Use the name of a module, or 'dropout'.",
            )
    return [module for name, module in named.items() if any(matches(name, pattern) for pattern in patterns)]


def seed_batch(passes: Passes, number: int, batch: int) -> None:
    """Set torch's random state from seed, pass and batch, so that a batch is the same whatever ran before it."""
    digest = hashlib.blake2b(f"{passes.seed} {number} {batch}".encode(), digest_size=8).digest()
    torch.manual_seed(int.from_bytes(digest, "little") >> 1)


def _is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
