"""What is analyzed, chunk by chunk, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.csr import SpikeArrays
from ann2neo.trains.matching import IDENTITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some units and their spikes.

    Parameters
    ----------
    units
        Who they are: columns layer, unit, channel, row, col, and more where more is known.
    spikes
        Their spikes.
    counted
        Their spikes in windows, where these may overlap; None where ``spikes`` say in which window each lies.
    overlapping
        Whether windows overlap that are compared with one another: chance says nothing of their counts.
    """

    units: pd.DataFrame
    spikes: SpikeBits | SpikeArrays
    counted: SpikeArrays | None = None
    overlapping: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Units that share windows and stretches.

    Parameters
    ----------
    chunks
        Functions that read a chunk of units each, here or on another machine.
    n_units
        Number of units in all chunks.
    facts
        What the table says of its source: order, windows, bins.
    rows
        Row of the chunks, one after another, that comes first, second, ... in the table, shape (unit,); None where that is their own order.
    """

    chunks: Sequence[Callable[[], Chunk]]
    n_units: int
    facts: dict[str, Any]
    rows: np.ndarray | None = None


def identity(layer: str, units: np.ndarray, coordinates: dict[str, np.ndarray]) -> pd.DataFrame:
    """Make the first columns of the table; a coordinate that a layer does not have is -1."""
    missing = np.full(units.size, -1, np.int64)
    places = {axis: coordinates.get(axis, missing) for axis in IDENTITY[2:]}
    return pd.DataFrame({"layer": pd.Series([layer] * units.size, dtype="str"), "unit": units, **places})
