"""Turns: one run of a model at a time in a process, whose random states, threads and kernels all runs share."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from ann2neo.errors import ModelError

_turn = threading.RLock()
# Which thread runs a model or waits for its turn with it.
_held: dict[int, int] = {}
_holding = threading.Lock()


@contextmanager
def turn_of(model: nn.Module) -> Iterator[None]:
    """Wait until no other thread runs a model, and let none do so for as long as the context lasts.

    Raises
    ------
    ModelError
        If another thread runs this very model, or waits to.

    Examples
    --------
    >>> with turn_of(nn.ReLU()):
    ...     pass
    """
    here, key = threading.get_ident(), id(model)
    with _holding:
        outer = _held.get(key)
        if outer not in (None, here):
            raise ModelError(
                f"another thread records this {type(model).__name__}.",
                "Both would set its modules' modes and hooks.",
                "Record it in one thread after the other, or give each thread a copy (copy.deepcopy(model)).",
            )
        _held[key] = here
    try:
        with _turn:
            yield
    finally:
        if outer is None:
            with _holding:
                _held.pop(key, None)


def _forget() -> None:
    """Begin again in a process that was forked while another thread had its turn: it has no such thread."""
    global _turn, _holding
    _turn, _holding = threading.RLock(), threading.Lock()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
