"""Pairs of units that need no labels: covariance of binned spikes, and spike-time tiling."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
import quantities as pq
from jaxtyping import Float, Int

from ann2neo.arguments import check_choice
from ann2neo.errors import AnalysisError
from ann2neo.population.ensemble import Choice, Ensemble, bin_size_of, choose, facts, milliseconds, unit_index
from ann2neo.population.quiet import quiet_elephant
from ann2neo.population.sizes import MAX_BYTES, fewer_units, say_size

# Elephant compares spike times with numpy.isclose, whose relative tolerance adds to dt.
ELEPHANT_RTOL = 1e-5


def covariance(
    spikes: Any,
    *,
    bin_size: pq.Quantity | None = None,
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> pd.DataFrame:
    """Compute the covariance between the binned spikes of every pair of units, over all bins of all segments.

    Elephant's `covariance` (ddof 1) of each segment, pooled with the differences between the segments' means, which is the covariance of all bins one
    after another. The order of bins plays no part. It mixes what labels explain with what they do not; `correlations` takes these apart. For
    independent units it is 0 on average, with variance ``v_i v_j / (L - 1)`` over random orders of ``L`` bins, where ``v`` are the units' variances
    on the diagonal. Silent units have 0.

    Parameters
    ----------
    spikes
        A `Recording`, a neo.Block, a neo.Segment or a list of neo.SpikeTrain.
    bin_size
        Width of a bin; on a recording its own bin if not given, else a whole multiple of it. An incomplete last bin of a segment is dropped.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all.
    seed
        Seed of the draw.
    max_bytes
        Memory that may be used.

    Returns
    -------
    pandas.DataFrame
        Rows and columns by ``layer`` and ``unit``, in squared spikes per bin.

    Raises
    ------
    AnalysisError
        If spikes in continuous time come without a bin size, there are fewer than two bins, or more memory is needed than allowed.

    See Also
    --------
    ann2neo.population.correlations, ann2neo.population.spike_time_tiling

    References
    ----------
    Cohen, Kohn (2011), doi:10.1038/nn.2842.

    Examples
    --------
    >>> import ann2neo
    >>> covariance(ann2neo.from_array(np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool))).round(3).to_numpy().tolist()
    [[0.333, -0.333], [-0.333, 0.333]]
    """
    chosen = choose(spikes, layer, units, seed, together=True)
    width = bin_size_of(chosen, bin_size)
    # Elephant unpacks the binned trains where more than a tenth of the bins hold spikes, and copies them to centre them.
    per_unit = chosen.train_bytes + 4 * 8 * chosen.duration_ms / float(width)
    say_size(
        chosen.n_units**2 * 8 * 4 + chosen.n_units * per_unit,
        max_bytes,
        f"covariances of {chosen.n_units:,} x {chosen.n_units:,} units",
        fewer_units(max_bytes, 32, per_unit),
    )
    parts = [_covariance_of(trains, width) for trains in chosen.segments()]
    n_bins = sum(length for _, _, length in parts)
    if n_bins < 2:
        raise AnalysisError(
            f"there are {n_bins} complete bins of {float(width):g} ms.",
            "A covariance needs two.",
            "Use shorter bins, or more inputs.",
        )
    mean = sum(length * of_segment for _, of_segment, length in parts) / n_bins
    products = sum(
        within + length * np.outer(of_segment - mean, of_segment - mean) for within, of_segment, length in parts
    )
    names = unit_index(chosen.units)
    table = pd.DataFrame(products / (n_bins - 1), index=names, columns=names)
    table.attrs = facts(chosen, bin_size_ms=float(width), n_bins=n_bins, units="spikes^2 per bin^2", engine="elephant")
    return table


def spike_time_tiling(
    spikes: Any,
    *,
    dt: pq.Quantity | None = None,
    engine: Literal["auto", "elephant"] = "auto",
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> pd.DataFrame:
    """Compute the spike-time tiling coefficient of every pair of units: how much more often than by chance spikes of two units lie within ``dt`` of each other.

    ``((P_a - T_b) / (1 - P_a T_b) + (P_b - T_a) / (1 - P_b T_a)) / 2``, where ``P_a`` is the share of spikes of a that lie within ``dt`` (inclusive)
    of a spike of b, and ``T_a`` the share of time that lies within ``dt`` of a spike of a; 0/0 counts as 1. Identical trains give 1; independent ones
    are near 0 at any rate. A silent unit has NaN. Segments (for trials of several bins, trials) are pooled: nothing reaches across their borders.

    *On a lattice* ``dt`` must be a half-integer number of bins. Spikes there are a whole number of bins apart, so that with ``dt`` of ``k`` bins they
    coincide in ``2 k + 1`` of them, but tile ``2 k``: independent trains would give more than 0.1. With ``k + 1/2`` both are ``2 k + 1``.

    *Beside Elephant.* Elephant's function adds a relative tolerance of 1e-5 to ``dt``: spikes at 1,000 s that are 15 ms apart lie within 5 ms for it,
    and independent trains of 1,000 s give 0.045 instead of 0. Here the comparison is exact, and the numbers are Elephant's where that tolerance
    cannot matter; ``engine="elephant"`` calls Elephant, and refuses where it does.

    Parameters
    ----------
    spikes
        A `Recording`, a neo.Block, a neo.Segment or a list of neo.SpikeTrain.
    dt
        Half the window of coincidence; half a bin on a recording if not given.
    engine
        "auto" computes all pairs at once; "elephant" calls Elephant for each pair.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all.
    seed
        Seed of the draw.
    max_bytes
        Memory that may be used.

    Returns
    -------
    pandas.DataFrame
        Rows and columns by ``layer`` and ``unit``.

    Raises
    ------
    AnalysisError
        If ``dt`` is missing in continuous time or a whole number of bins on a lattice, or more memory is needed than allowed.

    See Also
    --------
    ann2neo.population.correlations, ann2neo.population.covariance

    References
    ----------
    Cutts, Eglen (2014), doi:10.1523/JNEUROSCI.2767-14.2014.

    Examples
    --------
    >>> import ann2neo
    >>> spike_time_tiling(ann2neo.from_array(np.array([[1, 1, 0], [0, 0, 1], [1, 1, 0], [0, 0, 1]], bool))).round(2).to_numpy().tolist()
    [[1.0, 1.0, -0.47], [1.0, 1.0, -0.47], [-0.47, -0.47, 1.0]]
    """
    check_choice(engine, "engine", ("auto", "elephant"))
    chosen = choose(spikes, layer, units, seed, together=True)
    dt_ms = _checked_dt(chosen, dt)
    per_unit = chosen.train_bytes + 5 * chosen.duration_ms / (chosen.bin_size_ms or np.inf)
    say_size(
        chosen.n_units**2 * 8 * 4 + chosen.n_units * per_unit,
        max_bytes,
        f"coefficients of {chosen.n_units:,} x {chosen.n_units:,} units",
        fewer_units(max_bytes, 32, per_unit),
    )
    values = _tiling(chosen, dt_ms) if engine == "auto" else _elephant_tiling(chosen, dt_ms)
    names = unit_index(chosen.units)
    table = pd.DataFrame(values, index=names, columns=names)
    table.attrs = facts(chosen, dt_ms=dt_ms, units="dimensionless", engine=engine)
    return table


def _covariance_of(
    trains: list[Any], width: pq.Quantity
) -> tuple[Float[np.ndarray, "unit unit"], Float[np.ndarray, " unit"], int]:
    """Return the sums of products of deviations, the means and the number of bins of a segment."""
    if float((trains[0].t_stop - trains[0].t_start).rescale("ms")) < float(width) * (1 - 1e-9):
        return np.zeros((len(trains), len(trains))), np.zeros(len(trains)), 0
    with quiet_elephant():
        # Elephant warns of silent units, whose covariance is 0.
        from elephant.conversion import BinnedSpikeTrain
        from elephant.spike_train_correlation import covariance as elephant_covariance

        binned: Any = BinnedSpikeTrain(trains, bin_size=width)
        mean = np.asarray(binned.get_num_of_spikes(axis=1), np.float64) / binned.n_bins
        if binned.n_bins == 1:
            return np.zeros((len(trains), len(trains))), mean, 1
        # Elephant drops the axes of a single train.
        within = np.asarray(elephant_covariance(binned), np.float64).reshape(len(trains), len(trains))
    return within * (binned.n_bins - 1), mean, int(binned.n_bins)


def _checked_dt(chosen: Ensemble, dt: pq.Quantity | None) -> float:
    own = chosen.bin_size_ms
    if dt is None:
        if own is None:
            raise AnalysisError(
                "these spike trains are in continuous time and no dt was given.",
                "Coincidence is undefined.",
                "Give one, such as dt=5 * pq.ms.",
            )
        return own / 2
    ms = milliseconds(dt, "dt")
    if own is not None and ms / own % 1 != 0.5:
        raise AnalysisError(
            f"dt={dt} is {ms / own:g} bins of {own:g} ms.",
            "Independent trains on a lattice would seem correlated unless it is a half-integer number of bins.",
            f"Use dt={(np.floor(ms / own) + 0.5) * own:g} * pq.ms, for instance.",
        )
    return ms


def _tiling(chosen: Ensemble, dt: float) -> Float[np.ndarray, "unit unit"]:
    """Add up coincidences and tiled time over stretches, then take the ratios."""
    n = chosen.n_units
    near, n_spikes, tiled = np.zeros((n, n), np.int64), np.zeros(n, np.int64), np.zeros(n)
    borders = chosen.borders_ms()
    for times, (start, stop) in zip(chosen.times(), borders):
        sizes = np.array([of_unit.size for of_unit in times], np.int64)
        pooled, unit = np.concatenate(times), np.repeat(np.arange(n), sizes)
        n_spikes += sizes
        for j, of_unit in enumerate(times):
            if of_unit.size:
                near[:, j] += np.bincount(unit[_is_near(pooled, of_unit, dt)], minlength=n)
                tiled[j] += _tiled(of_unit, dt, start, stop)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, t = near / n_spikes[:, None], tiled / np.diff(borders, axis=1).sum()
        half = np.where(p * t == 1, 1.0, (p - t) / (1 - p * t))
    return (half + half.T) / 2 + np.where(n_spikes == 0, np.nan, 0)[:, None] + np.where(n_spikes == 0, np.nan, 0)


def _is_near(times: Float[np.ndarray, " spike"], others: Float[np.ndarray, " other"], dt: float) -> np.ndarray:
    """Whether each time is at most dt away from the nearest of the others."""
    after = np.searchsorted(others, times)
    to_next = others[np.minimum(after, others.size - 1)] - times
    to_last = times - others[np.maximum(after - 1, 0)]
    return (np.abs(to_next) <= dt) | (np.abs(to_last) <= dt)


def _tiled(times: Float[np.ndarray, " spike"], dt: float, start: float, stop: float) -> float:
    """How much time between the borders lies within dt of a spike."""
    return float(np.minimum(np.diff(times), 2 * dt).sum() + min(times[0] - start, dt) + min(stop - times[-1], dt))


def _elephant_tiling(chosen: Ensemble, dt: float) -> Float[np.ndarray, "unit unit"]:
    stretches, latest = chosen.stretches(), float(np.abs(chosen.borders_ms()).max())
    safe = chosen.bin_size_ms / 2 if chosen.bin_size_ms is not None else 1e-3 * dt
    if len(stretches) != 1 or latest * ELEPHANT_RTOL >= safe:
        raise AnalysisError(
            f"Elephant would compare times up to {latest:g} ms with a tolerance of {latest * ELEPHANT_RTOL:g} ms beside dt={dt:g} ms, in {len(stretches)} stretches.",
            "Its coefficients would be too large, or reach across borders.",
            "Use engine='auto', which compares exactly and pools stretches.",
        )
    with quiet_elephant():
        from elephant.spike_train_correlation import spike_time_tiling_coefficient

        trains, window = stretches[0], pq.Quantity(dt, pq.ms)
        values = np.full((len(trains), len(trains)), np.nan)
        for i, j in zip(*_upper(len(trains))):
            values[i, j] = values[j, i] = spike_time_tiling_coefficient(trains[i], trains[j], dt=window)
    return values


def _upper(n: int) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    return np.triu_indices(n)
