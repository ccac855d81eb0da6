"""A segment of a recording of any origin: trains, intervals and moments on one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExternalSegment:
    """Data recorded on one clock.

    Parameters
    ----------
    trains
        Spike trains, one for each unit.
    epochs, events
        Intervals and moments on the same clock.
    annotations
        Annotations of the segment as a whole.
    """

    trains: tuple[Any, ...]
    epochs: tuple[Any, ...] = ()
    events: tuple[Any, ...] = ()
    annotations: Mapping[str, Any] = field(default_factory=dict)
