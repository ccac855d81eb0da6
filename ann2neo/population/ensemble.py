"""Which units are measured, in which bins: what every function of this package begins with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import quantities as pq
from jaxtyping import Int

from ann2neo.arguments import check_seed, shown
from ann2neo.errors import AnalysisError, LayerNotFound, suggestion
from ann2neo.population.observed import ObservedUnits, observed_units
from ann2neo.population.recorded import RecordedUnits
from ann2neo.recording import Recording

Ensemble = RecordedUnits | ObservedUnits
Choice = int | Sequence[int] | Int[np.ndarray, " unit"] | None

CHUNK_BYTES = 1 << 25


def choose(spikes: Any, layer: str | None, units: Choice, seed: int, *, together: bool = False) -> Ensemble:
    """Select the units of a layer, or of all layers: all of them, a random subset of a given size, or those at given positions.

    A subset is drawn evenly, without replacement, by `numpy.random.default_rng(seed)`; its units keep their order. With ``together``, only the time is kept
    in which all of these units were observed.

    Raises
    ------
    LayerNotFound
        If no unit belongs to the layer.
    AnalysisError
        If there are fewer units than asked for, or nothing to measure.

    Examples
    --------
    >>> import ann2neo
    >>> choose(ann2neo.from_array(np.eye(9, dtype=bool)), None, 3, seed=0).units["unit"].tolist()
    [4, 5, 7]
    """
    seed = check_seed(seed)
    chosen = _chosen(_of_layer(_ensemble(spikes), layer), units, seed)
    return chosen.together() if together and isinstance(chosen, ObservedUnits) else chosen


def cells_or_recording(given: Any) -> Any:
    """Return the units of spike trains in any container, or the recording that they come from; anything else as it is."""
    if not (hasattr(given, "segments") or hasattr(given, "spiketrains") or isinstance(given, (list, tuple, dict))):
        return given
    found = choose(given, None, None, seed=0)
    return found.recording if isinstance(found, RecordedUnits) else found


def _chosen(ensemble: Ensemble, units: Choice, seed: int) -> Ensemble:
    if units is None:
        return ensemble
    if isinstance(units, Integral) and not isinstance(units, bool):
        return ensemble.take(_subset(ensemble.n_units, int(units), seed))
    given = np.asarray(units)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise AnalysisError(
            f"`units` must be a number of units or a list of their positions, got {shown(units)}.",
            "It is unclear which units are meant.",
            f"Use units=1, or positions from 0 to {ensemble.n_units - 1} such as units=[0].",
        )
    positions = np.unique(given.astype(np.int64))
    if positions.size != given.size:
        raise AnalysisError(
            f"units names {given.size - positions.size} positions twice.",
            "A unit would count twice.",
            "Name each position once.",
        )
    if positions.size == 0 or positions[0] < 0 or positions[-1] >= ensemble.n_units:
        raise AnalysisError(
            f"units names {positions.size} positions from {positions.min(initial=0)} to {positions.max(initial=0)} among {ensemble.n_units} units.",
            "Some do not exist, or there are none.",
            f"Use positions from 0 to {ensemble.n_units - 1}.",
        )
    return ensemble.take(positions)


def chunks(ensemble: Ensemble, bytes_per_unit: float | int) -> Iterator[Ensemble]:
    """Go through the units a few at a time."""
    step = max(1, int(CHUNK_BYTES / max(bytes_per_unit, 1)))
    for first in range(0, ensemble.n_units, step):
        yield ensemble.take(np.arange(first, min(first + step, ensemble.n_units)))


def bin_size_of(ensemble: Ensemble, bin_size: pq.Quantity | None, name: str = "bin_size") -> pq.Quantity:
    """Return the bin size in milliseconds: the recording's own or a whole multiple of it; in continuous time the one that was asked for.

    Raises
    ------
    AnalysisError
        If it is missing in continuous time, not positive, or cuts the bins of a recording.
    """
    own = ensemble.bin_size_ms
    if bin_size is None:
        if own is None:
            raise AnalysisError(
                f"these spike trains are in continuous time and no {name} was given.",
                "They cannot be binned.",
                f"Give one, such as {name}=20 * pq.ms.",
            )
        return pq.Quantity(own, pq.ms)
    ms = milliseconds(bin_size, name)
    if own is not None and (ms < own or ms % own != 0):
        raise AnalysisError(
            f"{name}={bin_size} is not a whole multiple of the recording's bins of {own} ms.",
            "Bins would be cut.",
            f"Use a multiple of {own} ms, or leave it out.",
        )
    return pq.Quantity(ms, pq.ms)


def milliseconds(duration: pq.Quantity, name: str) -> float:
    """Turn a positive duration into milliseconds."""
    try:
        ms = float(duration.rescale("ms"))
    except (AttributeError, ValueError, TypeError) as error:
        raise AnalysisError(
            f"{name}={duration!r} is not a duration.",
            "Its unit is unknown.",
            f"Give a quantity, such as {name}=20 * pq.ms.",
        ) from error
    if not (np.isfinite(ms) and ms > 0):
        raise AnalysisError(f"{name}={duration} is not positive.", "Nothing can be counted.", f"Use a positive {name}.")
    return ms


def check_bins(trains: list[Any], width: pq.Quantity) -> None:
    """Refuse bins that are longer than a segment."""
    duration = duration_of(trains[0])
    if duration < float(width) * (1 - 1e-9):
        raise AnalysisError(
            f"a segment of {duration:g} ms holds no bin of {float(width):g} ms.",
            "There is nothing to count in.",
            "Use shorter bins.",
        )


def duration_of(train: Any) -> float:
    """Return the duration of a spike train in milliseconds."""
    return float((train.t_stop - train.t_start).rescale("ms"))


def unit_index(units: pd.DataFrame) -> pd.MultiIndex:
    """Name the units by layer and number."""
    return pd.MultiIndex.from_frame(units[["layer", "unit"]])


def facts(ensemble: Ensemble, **more: Any) -> dict[Any, Any]:
    """Describe what a result was computed from: number of units, duration, bins."""
    known = {
        "n_units": ensemble.n_units,
        "duration_ms": ensemble.duration_ms,
        "lattice_bin_size_ms": ensemble.bin_size_ms,
    } | more
    return {key: value for key, value in known.items() if value is not None}


def _ensemble(spikes: Any) -> Ensemble:
    if isinstance(spikes, Recording):
        return RecordedUnits(recording=spikes)
    from ann2neo.formats.origin import origin_of
    from ann2neo.trains.cells import cells_of

    origin = origin_of(spikes)
    if origin is not None and origin.recording is not None:
        return RecordedUnits(recording=origin.recording)
    return observed_units(cells_of(spikes), None if origin is None else origin.bin_size_ms)


def _of_layer(ensemble: Ensemble, layer: str | None) -> Ensemble:
    if layer is None:
        return ensemble
    if isinstance(ensemble, RecordedUnits):
        return RecordedUnits(recording=replace(ensemble.recording, layers=(ensemble.recording.layer(layer),)))
    found = np.flatnonzero(ensemble.units["layer"] == layer)
    if found.size == 0:
        known = ensemble.units["layer"].unique().tolist()
        raise LayerNotFound(
            f"no unit belongs to layer {layer!r} (layers: {', '.join(map(repr, known))}).{suggestion(layer, known)}",
            "There is nothing to measure.",
            "Use one of these names.",
        )
    return ensemble.take(found)


def _subset(n_units: int, n_chosen: int, seed: int) -> Int[np.ndarray, " chosen"]:
    if not 0 < n_chosen <= n_units:
        raise AnalysisError(
            f"units={n_chosen} of {n_units} were asked for.",
            "There is no such subset.",
            f"Use 1 to {n_units}, or None for all.",
        )
    return np.sort(np.random.default_rng(seed).choice(n_units, n_chosen, replace=False))
