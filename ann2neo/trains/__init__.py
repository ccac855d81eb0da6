"""The interface to neo: a recording as a Block of spike trains, and back; and spike trains of any origin in any container."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ann2neo.trains.from_neo import from_block
    from ann2neo.trains.to_neo import to_block

__all__ = ["from_block", "to_block"]

_HOME = {"from_block": "from_neo", "to_block": "to_neo"}


def __getattr__(name: str) -> Any:
    """Load neo when one of the two is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'ann2neo.trains' has no attribute {name!r}")
    return getattr(importlib.import_module(f"ann2neo.trains.{_HOME[name]}"), name)
