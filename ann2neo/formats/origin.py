"""Origin of spike trains: trains of ann2neo in any container are recognized by their names, their times, and the Block or file that they come from."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import gcd
from pathlib import Path
from typing import Any

import neo
import numpy as np
from jaxtyping import Float, Int

from ann2neo.errors import Ann2NeoError, Ann2NeoWarning
from ann2neo.formats import SUFFIXES, load
from ann2neo.measures.definitions import milliseconds_per
from ann2neo.pseudotime import POSITION_IN_BIN
from ann2neo.recording import Recording
from ann2neo.trains import from_block
from ann2neo.trains.external import segments_of
from ann2neo.trains.matching import NAME, match_units
from ann2neo.trains.segment import ExternalSegment

# Times in files are in seconds, so that their last bits differ.
TIME_TOLERANCE_MS = 1e-6
# Bin sizes are dyadic fractions of a millisecond or multiples of them; finer ones than this are not tried.
FINEST_MS = 2.0**-12
USUAL_BIN_MS = 1.0
ENOUGH_SPIKES = 20
FEW_SPIKES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The recording from which trains of ann2neo come.

    Parameters
    ----------
    recording
        The whole recording of these units and passes; None where it cannot be found.
    rows
        Index of each unit in the recording, shape (unit,); None where the order is the same.
    bin_size_ms
        Size of the bins on which the spikes lie.
    """

    recording: Recording | None
    bin_size_ms: float
    rows: Int[np.ndarray, " unit"] | None = None


def origin_of(spikes: Any) -> Origin | None:
    """Find the recording from which trains in any container of neo or Elephant come; None if ann2neo did not make them.

    Trains come from ann2neo if every one has a name of an ann2neo unit and all spikes lie at a quarter of bins. The Block that a train belongs to, or the file that it was
    read from, then holds the recording, which is used only if it agrees with the spikes.

    Raises
    ------
    AnalysisError
        If there are no spike trains.
    """
    if isinstance(spikes, neo.Block) and (known := _of_block(spikes)) is not None:
        return Origin(recording=known, bin_size_ms=float(known.bin_size_ms))
    if isinstance(spikes, neo.Block) and not spikes.segments:
        return None
    segments = segments_of(spikes)
    trains = [train for segment in segments for train in segment.trains]
    if not trains or not all(NAME.match(str(train.name or "")) for train in trains):
        _warn_if_on_bins(trains)
        return None
    for source in _sources(spikes, trains):
        found = _part_of(source, segments)
        if found is not None:
            return found
    bin_size = _said_of(spikes, trains) or lattice_of(trains)
    return None if bin_size is None else Origin(recording=None, bin_size_ms=bin_size)


def _warn_if_on_bins(trains: Sequence[Any]) -> None:
    """Warn if all spikes lie on bins as in ann2neo but the names of the trains differ; a few spikes of cells suffice to rule this out."""
    longest = max(trains, key=len, default=None)
    if longest is None or len(longest) < ENOUGH_SPIKES or lattice_of([longest[:FEW_SPIKES]]) is None:
        return
    bin_size = lattice_of(trains)
    if bin_size is not None:
        text = (
            f"All spikes lie at a quarter of bins of {bin_size:g} ms, at most one in each, as in recordings of ann2neo, but the units do not have its names.\n"
            "References are those of continuous time (Poisson), which spikes on bins do not follow.\n"
            f"Set bin_size_ms={bin_size:g} if they are on bins, or open the recording with `ann2neo.load(path)`."
        )
        warnings.warn(Ann2NeoWarning(text), stacklevel=5)


def _said_of(spikes: Any, trains: Sequence[Any]) -> float | None:
    """Return the bin size that an ann2neo Block states, if all spikes lie at a quarter of such bins."""
    for block in _parents(spikes, trains):
        said = block.annotations.get("bin_size_ms")
        if isinstance(said, (int, float)) and said > 0:
            since = [times_ms(train) for train in trains]
            parts = [part / said - POSITION_IN_BIN for part in since]
            if all((np.abs(part - np.rint(part)) * said <= TIME_TOLERANCE_MS).all() for part in parts) and _one_in_each(
                since, said
            ):
                return float(said)
    return None


def _parents(spikes: Any, trains: Sequence[Any]) -> list[Any]:
    """List the Blocks to which trains belong."""
    if isinstance(spikes, neo.Block):
        return [spikes]
    segments = {id(segment): segment for train in trains if (segment := getattr(train, "segment", None)) is not None}
    blocks = [getattr(segment, "block", None) for segment in segments.values()]
    return list({id(block): block for block in blocks if block is not None}.values())


def _of_block(block: Any) -> Recording | None:
    """Convert a Block that `to_block` made, pass by pass, back into its recording; None for other Blocks, and for one that was changed since."""
    try:
        return from_block(block)
    except Ann2NeoError:
        return None


def _sources(spikes: Any, trains: Sequence[Any]) -> list[Recording]:
    """List the recordings from which trains may come: that of their Block, and that of their file."""
    blocks = _parents(spikes, trains)
    if len(blocks) != 1:
        return []
    found = [_of_block(blocks[0]), _of_file(str(blocks[0].file_origin or ""))]
    return [recording for recording in found if recording is not None]


def _of_file(name: str) -> Recording | None:
    path = Path(name)
    if path.suffix not in SUFFIXES or not path.exists():
        return None
    return _load(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _load(path: Path, _changed: int) -> Recording | None:
    try:
        return load(path)
    except Ann2NeoError:
        return None


def _part_of(recording: Recording, segments: Sequence[ExternalSegment]) -> Origin | None:
    """Return the units and passes of a recording that the trains show, if every spike agrees with the recording."""
    matched = match_units(segments)
    if any(train is None for row in matched for train in row):
        return None
    places = {
        name: (number, unit)
        for number, layer in enumerate(recording.layers)
        for unit, name in enumerate(layer.unit_names)
    }
    names = [str(train.name) for train in matched[0]]
    if len(set(names)) < len(names) or not set(names) <= places.keys():
        return None
    spans = _passes_of(recording, segments, matched)
    if spans is None:
        return None
    by_layer: dict[int, list[int]] = {}
    for number, unit in sorted((places[name] for name in names), key=lambda place: place[0]):
        by_layer.setdefault(number, []).append(unit)
    layers = tuple(recording.layers[number].take(np.array(units)) for number, units in by_layer.items())
    shown = replace(recording, layers=layers)
    order = {name: row for row, name in enumerate(name for layer in layers for name in layer.unit_names)}
    rows = np.array([order[name] for name in names])
    if not _same_spikes(shown, spans, [[row[at] for at in np.argsort(rows)] for row in matched]):
        return None
    kept = _with_passes(shown, sorted({one for span in spans for one in span}))
    same = bool((rows == np.arange(rows.size)).all())
    return Origin(recording=kept, bin_size_ms=float(recording.bin_size_ms), rows=None if same else rows)


def _passes_of(
    recording: Recording, segments: Sequence[ExternalSegment], matched: Sequence[Sequence[Any]]
) -> list[range] | None:
    """Return the passes that each segment holds: all of them on one clock, or one."""
    whole, n_passes = recording.pseudotime.duration_ms, recording.n_passes
    stops = [float(row[0].t_stop.rescale("ms")) for row in matched]
    if len(segments) == 1 and abs(stops[0] - whole) < TIME_TOLERANCE_MS:
        return [range(n_passes)]
    if any(abs(stop - whole / n_passes) > TIME_TOLERANCE_MS for stop in stops):
        return None
    numbers = [_place_in_block(row[0]) for row in matched]
    known = all(number is not None and number < n_passes for number in numbers) and len(set(numbers)) == len(numbers)
    return [range(number, number + 1) for number in numbers if number is not None] if known else None


def _place_in_block(train: Any) -> int | None:
    segment = getattr(train, "segment", None)
    block = getattr(segment, "block", None)
    return (
        next((place for place, one in enumerate(block.segments) if one is segment), None) if block is not None else None
    )


def _same_spikes(recording: Recording, spans: Sequence[range], matched: Sequence[Sequence[Any]]) -> bool:
    """Return whether trains, in the order of the recording's units, have exactly the recording's spikes."""
    n_bins, unit = recording.n_bins // recording.n_passes, 0
    for layer in recording.layers:
        for chunk in layer.raster.chunks():
            bins, offsets = layer.raster.spike_bins(chunk)
            for first, last in pairwise(offsets.tolist()):
                own = bins[first:last]
                if not all(_agree(own, span, n_bins, row[unit], recording) for span, row in zip(spans, matched)):
                    return False
                unit += 1
    return True


def _agree(bins: Int[np.ndarray, " spike"], span: range, n_bins: int, train: Any, recording: Recording) -> bool:
    first, last = span.start * n_bins, span.stop * n_bins
    inside = bins[(bins >= first) & (bins < last)] - first
    expected = recording.pseudotime.spike_times_ms(inside)
    times = times_ms(train)
    return times.size == expected.size and bool((np.abs(times - expected) <= TIME_TOLERANCE_MS).all())


def _with_passes(recording: Recording, passes: list[int]) -> Recording:
    """Return a view of some passes of a recording."""
    if len(passes) == recording.n_passes:
        return recording
    from ann2neo.raster import Raster
    from ann2neo.recording.trials import with_bins

    number = {old: new for new, old in enumerate(passes)}
    trials = recording.trials[recording.trials["pass"].isin(passes)].reset_index(drop=True)
    trials = with_bins(trials.assign(**{"pass": trials["pass"].map(number)}))
    layers = tuple(
        replace(layer, raster=Raster(packed=layer.raster.bits()[np.array(passes)], n_bins=layer.raster.n_bins))
        for layer in recording.layers
    )
    return replace(recording, layers=layers, trials=trials)


def times_ms(train: Any) -> Float[np.ndarray, " spike"]:
    """Return the spike times of a train in milliseconds."""
    unit = train.dimensionality.string
    if unit == "ms" or train.dtype != np.float64:
        return np.asarray(train.magnitude if unit == "ms" else train.rescale("ms").magnitude, np.float64)
    # The same product as that of `rescale`, which first makes four more objects.
    return milliseconds_per(unit) * np.asarray(train.magnitude)


def lattice_of(trains: Sequence[Any]) -> float | None:
    """Find the bin size of trains whose spikes all lie at a quarter of bins, at most one in each; None if there is none.

    If several bin sizes fit, the result is 1 ms, the usual one, or else the largest.

    Examples
    --------
    >>> import quantities as pq
    >>> lattice_of([neo.SpikeTrain((np.arange(30) ** 2 + 0.25) * 2 * pq.ms, t_stop=4000.0)])
    2.0
    """
    parts = [times_ms(train) for train in trains]
    times = np.concatenate(parts)
    units = np.rint(times / (FINEST_MS * POSITION_IN_BIN)).astype(np.int64)
    if times.size < ENOUGH_SPIKES or (np.abs(units * FINEST_MS * POSITION_IN_BIN - times) > TIME_TOLERANCE_MS).any():
        return None
    distinct = np.unique(units)
    largest = gcd(*(int(step) for step in np.diff(distinct)))
    usual = round(USUAL_BIN_MS / (FINEST_MS * POSITION_IN_BIN))
    candidates = [usual] if largest and largest % usual == 0 else []
    candidates += [largest // part for part in range(1, 33) if largest and largest % part == 0]
    for size in candidates:
        if (4 * distinct[0] - size) % (4 * size) == 0 and _one_in_each(parts, size * FINEST_MS * POSITION_IN_BIN):
            return size * FINEST_MS * POSITION_IN_BIN
    return None


def _one_in_each(parts: Sequence[np.ndarray], bin_size_ms: float) -> bool:
    return all((np.diff(np.floor(part / bin_size_ms + TIME_TOLERANCE_MS)) > 0).all() for part in parts)
