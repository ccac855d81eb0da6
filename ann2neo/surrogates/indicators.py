"""Indicators of each layer, for a recording and for many variants of it, computed chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, UInt8

from ann2neo import chance
from ann2neo.analysis.expectation import label_columns
from ann2neo.analysis.lattice import recording_source
from ann2neo.analysis.source import Chunk
from ann2neo.arguments import check_number
from ann2neo.errors import AnalysisError, suggestion
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk import measure_bits
from ann2neo.measures.definitions import Over
from ann2neo.measures.indicators import INDICATORS, PERMUTED
from ann2neo.measures.quality import quality
from ann2neo.progress import progress_bar
from ann2neo.recording import Recording
from ann2neo.summary import NETWORK, POPULATIONS

# Relative size below which two sums that differ in the order of additions count as equal.
ROUNDING = 1e-12

Variant = Callable[[SpikeBits, UInt8[np.ndarray, "pass unit bin"]], SpikeBits]
"""Function that takes the spikes of a chunk, packed and unpacked, and returns a variant of them."""


class Moments(NamedTuple):
    """Number, mean and sum of squared deviations of values over units, each of shape (variant, measure)."""

    n: Float[np.ndarray, "variant measure"]
    mean: Float[np.ndarray, "variant measure"]
    squares: Float[np.ndarray, "variant measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Indicators of a recording and its variants.

    Parameters
    ----------
    rows
        Layer, population and indicator of each row.
    observed
        Value of the recording itself, shape (row,).
    variants
        Value of each variant, shape (row, variant).
    tolerance
        Difference below which two values are equal up to rounding, shape (row,).
    facts
        Facts about windows and order.
    """

    rows: pd.DataFrame
    observed: Float[np.ndarray, " row"]
    variants: Float[np.ndarray, "row variant"]
    tolerance: Float[np.ndarray, " row"]
    facts: Mapping[str, Any]


def indicator_values(
    recording: Recording,
    variants: Sequence[Variant],
    *,
    windows: Any,
    over: Over,
    indicators: Sequence[str],
    min_spikes: int,
    progress: bool,
) -> Values:
    """Compute each indicator of each layer and of the network, for the recording and for its variants.

    Units are included as in `ann2neo.summarize`. Whether a unit is good is determined from the recording itself, not from
    the variants. Memory is needed for one chunk of units and for three numbers per variant and measure.

    Raises
    ------
    AnalysisError
        If an indicator is unknown, or the list is empty.
    """
    check_indicators(indicators, PERMUTED)
    measures = tuple(dict.fromkeys(name.rpartition("_")[0] for name in indicators))
    source = recording_source(recording, windows)
    found: dict[tuple[str, str], list[Moments]] = {}
    total = source.n_units * (len(variants) + 1)
    with progress_bar(shown=progress, desc="surrogates", unit="unit", total=total) as bar:
        for chunk in (read() for read in source.chunks):
            layer = str(chunk.units["layer"].iloc[0])
            for population, moments in _of_chunk(chunk, variants, measures, over, min_spikes, bar).items():
                found.setdefault((layer, population), []).append(moments)
    merged = {key: reduce(_merge, parts) for key, parts in found.items()}
    merged |= {(NETWORK, p): reduce(_merge, [m for (_, q), m in merged.items() if p == q]) for p in POPULATIONS}
    return _values(merged, measures, indicators, {**source.facts, "over": over, "min_spikes": min_spikes})


def check_indicators(indicators: Sequence[str], known: Sequence[str]) -> None:
    """Check that indicators are a list of known names that is not empty.

    Raises
    ------
    AnalysisError
        If one is unknown (the message suggests the nearest), or the list is empty.
    """
    if isinstance(indicators, str) or not isinstance(indicators, Sequence):
        raise AnalysisError(
            f"`indicators` must be a list, got {indicators!r}.",
            "Nothing was computed.",
            'Give a list, such as ["fano_mean"].',
        )
    for name in indicators:
        if name not in known:
            raise AnalysisError(
                f"there is no indicator {name!r} (indicators: {', '.join(known)}).{suggestion(name, known)}",
                "Nothing was computed.",
                "Use some of these, or omit `indicators` for the default ones.",
            )
    if not indicators:
        raise AnalysisError(
            "`indicators` is empty.",
            "Nothing was computed.",
            "Name an indicator, or omit `indicators` for the default ones.",
        )


def check_confidence(confidence: float) -> None:
    """Check that a confidence is a probability.

    Raises
    ------
    AnalysisError
        If it is not strictly between 0 and 1.
    """
    check_number(confidence, "confidence", above=0, below=1, such_as=0.95)


def indicator_unit(indicator: str) -> str:
    """Return the physical unit of an indicator.

    Examples
    --------
    >>> indicator_unit("firing_rate_mean"), indicator_unit("firing_rate_var"), indicator_unit("fano_var")
    ('Hz', 'Hz^2', '1')
    """
    return INDICATORS[indicator].unit if indicator in INDICATORS else "1"


def _of_chunk(
    chunk: Chunk, variants: Sequence[Variant], measures: tuple[str, ...], over: Over, min_spikes: int, bar: Any
) -> dict[str, Moments]:
    """Compute the moments over the units of a chunk, for the chunk itself (first) and for its variants."""
    # Chunks of a recording are stored as bits.
    spikes = cast(SpikeBits, chunk.spikes)
    dense = np.unpackbits(spikes.bits, axis=2, count=spikes.pass_bins)
    n = dense.sum(axis=(0, 2), dtype=np.int64)
    good = quality(n, spikes.n_bins, min_spikes=min_spikes) == "good"
    members = {"all": np.ones(good.size, bool), "good": good}
    parts: dict[str, list[Any]] = {population: [] for population in POPULATIONS}
    for variant in [None, *variants]:
        measured = _measured(spikes if variant is None else variant(spikes, dense), measures, over)
        for population, chosen in members.items():
            parts[population].append([_moments(measured[name], chosen) for name in measures])
        bar.update(good.size)
    return {population: Moments(*np.moveaxis(np.array(part, float), 2, 0)) for population, part in parts.items()}


def _measured(spikes: SpikeBits, measures: tuple[str, ...], over: Over) -> dict[str, np.ndarray]:
    found = measure_bits(spikes, over=over)
    if any(name not in found for name in measures):
        expected = label_columns(spikes, found["label_share"])["label_share_expected"]
        found["label_share_adjusted"] = chance.adjust_label_share(found["label_share"], expected)
    return found


def _moments(values: Float[np.ndarray, " unit"], chosen: Bool[np.ndarray, " unit"]) -> tuple[float, float, float]:
    known = values[chosen & ~np.isnan(values)]
    if known.size == 0:
        return 0.0, 0.0, 0.0
    # Rounding of the mean would make a variance of what does not vary.
    mean = known[0] if known.min() == known.max() else known.mean()
    return float(known.size), float(mean), float(np.square(known - mean).sum())


def _merge(a: Moments, b: Moments) -> Moments:
    """Merge the moments of two sets of units (Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115)."""
    n = a.n + b.n
    share = b.n / np.maximum(n, 1)
    gap = b.mean - a.mean
    return Moments(n, a.mean + gap * share, a.squares + b.squares + gap**2 * a.n * share)


def _values(
    moments: Mapping[tuple[str, str], Moments],
    measures: tuple[str, ...],
    indicators: Sequence[str],
    facts: Mapping[str, Any],
) -> Values:
    """Compute the indicators from the moments."""
    rows, values, tolerance = [], [], []
    for (layer, population), found in moments.items():
        for indicator in indicators:
            measure, _, moment = indicator.rpartition("_")
            column = measures.index(measure)
            n, mean, squares = (part[:, column] for part in found)
            value = mean if moment == "mean" else squares / np.maximum(n, 1)
            rows.append({"layer": layer, "population": population, "indicator": indicator})
            values.append(np.where(n > 0, value, np.nan))
            tolerance.append(ROUNDING * (abs(mean[0]) if moment == "mean" else mean[0] ** 2 + value[0]))
    table = np.array(values)
    return Values(
        rows=pd.DataFrame(rows),
        observed=table[:, 0],
        variants=table[:, 1:],
        tolerance=np.array(tolerance, float),
        facts={key: value for key, value in facts.items() if value is not None},
    )
