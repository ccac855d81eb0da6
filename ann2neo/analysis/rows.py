"""The rows of the table for one chunk of units: measures, what chance predicts, masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ann2neo import chance
from ann2neo.analysis.expectation import FANO, REPEATS, expectations, fano_columns, label_columns
from ann2neo.analysis.goodness import p_values, trend_in_time
from ann2neo.analysis.source import Chunk
from ann2neo.measures.bulk import count_in_stretches
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import Over, milliseconds_per
from ann2neo.measures.engines import Engine, measure
from ann2neo.measures.quality import quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How units are measured; see `ann2neo.analyze`."""

    engine: Engine
    over: Over
    min_spikes: int
    refractoriness_ms: float | None
    tests: bool
    seed: int


def rows_of(read: Callable[[], Chunk], settings: Settings) -> pd.DataFrame:
    """Read a chunk and measure its units, each with what chance predicts given its number of spikes."""
    chunk = read()
    rows = _measured(chunk, settings)
    if not settings.tests:
        return rows
    found = p_values(chunk, seed=settings.seed)
    if chunk.counted is not None:
        # Counts of trials are compared within a condition; a test of all of them together would be one of tuning.
        found |= {name: np.full(len(rows), np.nan) for name in found if "dispersion" in name}
        found["stationarity_p"] = trend_in_time(chunk)
    return rows.assign(**found)


def _measured(chunk: Chunk, settings: Settings) -> pd.DataFrame:
    spikes, over = chunk.spikes, settings.over
    unit_ms = milliseconds_per(spikes.time_unit) if isinstance(spikes, SpikeArrays) else 1.0
    period = None if settings.refractoriness_ms is None else settings.refractoriness_ms / unit_ms
    n = count_in_stretches(spikes)
    columns = measure(spikes, engine=settings.engine, over=over, refractory_period=period)
    expected = expectations(spikes, n, over, period) | label_columns(spikes, columns["label_share"])
    columns["label_share_trials"] = expected.pop("label_share_trials")
    if chunk.counted is not None:
        columns |= {"fano": _fano_of_windows(chunk.counted, settings)}
        expected |= fano_columns(chunk.counted, over)
    if chunk.overlapping:
        expected |= {name: np.full(len(n), np.nan) for name in FANO}
    for name in ("label_share", "label_share_trials"):
        columns[f"{name}_adjusted"] = chance.adjust_label_share(columns[name], expected[f"{name}_expected"])
    columns["fano_normalized"] = expected.pop("fano_normalized")
    columns |= {name: expected.pop(name).astype(np.int64) for name in REPEATS if name in expected}
    n_bins = None if spikes.stretch_bins is None else int(spikes.stretch_bins.sum())
    found = quality(n.sum(axis=1), n_bins, min_spikes=settings.min_spikes)
    return pd.concat([chunk.units, pd.DataFrame({**columns, **expected, "quality": found})], axis=1)


def _fano_of_windows(counted: SpikeArrays, settings: Settings) -> np.ndarray:
    """Compute the Fano factor of counts in windows that may overlap; as trains, these spikes mean nothing."""
    return measure(counted, engine=settings.engine, over=settings.over)["fano"]
