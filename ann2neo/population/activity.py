"""The activity of a population over time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import quantities as pq

from ann2neo.arguments import check_flag
from ann2neo.errors import AnalysisError
from ann2neo.population.ensemble import (
    Choice,
    Ensemble,
    bin_size_of,
    check_bins,
    choose,
    chunks,
    duration_of,
    facts,
    milliseconds,
    unit_index,
)
from ann2neo.population.quiet import quiet_elephant
from ann2neo.population.sizes import MAX_BYTES, say_size


def time_histogram(
    spikes: Any, *, bin_size: pq.Quantity | None = None, layer: str | None = None, units: Choice = None, seed: int = 0
) -> pd.DataFrame:
    """Count the spikes of all units in consecutive bins of time.

    Elephant's `time_histogram`, with chance beside it: spread evenly over the segment, the ``n_i`` spikes of unit ``i`` put ``n_i q`` into a bin that
    covers a share ``q`` of the segment, with variance ``n_i q (1 - q)``, times ``(L - n_i) / (L - 1)`` on a lattice of ``L`` bins (at most one spike
    in each). ``chance_sd`` is the root of the sum of these variances over units, right if units were independent of each other. Units of one network
    share their inputs: a spread beyond ``chance_sd`` shows common input, not an error bar to subtract. An order of inputs permutes the histogram and
    leaves its distribution unchanged.

    An incomplete last bin of a segment is dropped. Silent units count: they divide ``mean`` and ``rate_hz``.

    Parameters
    ----------
    spikes
        A `Recording`, a neo.Block, a neo.Segment or a list of neo.SpikeTrain.
    bin_size
        Width of a bin; on a recording its own bin if not given, else a whole multiple of it.
    layer
        Name of a layer; None for all.
    units
        How many units to draw at random, or their positions; None for all.
    seed
        Seed of the draw.

    Returns
    -------
    pandas.DataFrame
        A row per bin: ``segment``, ``start_ms`` (left edge on the segment's clock), ``n_spikes``, ``mean`` (spikes per unit), ``rate_hz`` (per unit),
        ``expected`` and ``chance_sd`` of ``n_spikes``.

    Raises
    ------
    AnalysisError
        If spikes in continuous time come without a bin size, or no bin is complete.

    See Also
    --------
    ann2neo.population.psth, ann2neo.population.complexity

    References
    ----------
    Perkel, Gerstein, Moore (1967), doi:10.1016/S0006-3495(67)86596-2.

    Examples
    --------
    >>> import ann2neo
    >>> time_histogram(ann2neo.from_array(np.array([[1, 1], [0, 1], [0, 0]], bool)))[["n_spikes", "rate_hz", "expected"]]
       n_spikes  rate_hz  expected
    0         2   1000.0       1.0
    1         1    500.0       1.0
    2         0      0.0       1.0
    """
    chosen = choose(spikes, layer, units, seed, together=True)
    width = bin_size_of(chosen, bin_size)
    parts = [_histograms(part, width) for part in chunks(chosen, chosen.train_bytes)]
    table = pd.concat([_add_up(of_segment, number) for number, of_segment in enumerate(zip(*parts))], ignore_index=True)
    table.insert(3, "mean", table["n_spikes"] / chosen.n_units)
    table.insert(4, "rate_hz", table["mean"] * 1000 / float(width))
    measured_in = {
        "start_ms": "ms",
        "n_spikes": "spikes",
        "mean": "spikes per unit and bin",
        "rate_hz": "Hz",
        "expected": "spikes",
        "chance_sd": "spikes",
    }
    table.attrs = facts(chosen, bin_size_ms=float(width), units=measured_in, engine="elephant")
    return table


def instantaneous_rate(
    spikes: Any,
    *,
    sigma: pq.Quantity,
    sampling_period: pq.Quantity | None = None,
    border_correction: bool = True,
    layer: str | None = None,
    units: Choice = None,
    seed: int = 0,
    max_bytes: int = MAX_BYTES,
) -> pd.DataFrame:
    """Estimate the firing rate of each unit over time with a Gaussian kernel.

    Elephant's `instantaneous_rate`; its automatic kernel width is not offered, because on spikes that lie on a lattice it finds the lattice. Nothing
    is smoothed across passes, or across trials of several bins. For a network without memory the rate says something of time only if the order of
    inputs does (by label, for instance); in shuffled order it fluctuates around the mean rate with variance near ``r (1 - r) / (2 sqrt(pi) s)`` for
    ``r`` spikes per bin and a kernel of ``s`` bins. The rate of the population is the mean over columns. A silent unit has rate 0.

    Parameters
    ----------
    spikes
        A `Recording`, a neo.Block, a neo.Segment or a list of neo.SpikeTrain.
    sigma
        Standard deviation of the kernel.
    sampling_period
        Time between two estimates; on a recording its bin if not given.
    border_correction
        Whether to make up for the part of the kernel that lies beyond the borders; the integral of the rate is then the number of spikes.
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
        Rates in Hz; rows by ``stretch`` and ``start_ms`` (on the clock of the stretch), columns by ``layer`` and ``unit``.

    Raises
    ------
    AnalysisError
        If the result is larger than allowed, or a duration is missing or not positive.

    See Also
    --------
    ann2neo.population.psth, ann2neo.population.time_histogram

    References
    ----------
    Nawrot, Aertsen, Rotter (1999), doi:10.1016/S0165-0270(99)00127-2.

    Examples
    --------
    >>> import ann2neo
    >>> rate = instantaneous_rate(ann2neo.from_array(np.ones((50, 1), bool)), sigma=3 * pq.ms)
    >>> rate.shape, round(float(rate.mean().iloc[0]))
    ((50, 1), 1000)
    """
    check_flag(border_correction, "border_correction")
    chosen = choose(spikes, layer, units, seed, together=True)
    period = bin_size_of(chosen, sampling_period, "sampling_period")
    kernel_ms = milliseconds(sigma, "sigma")
    _check_kernel(kernel_ms, float(period), chosen.duration_ms)
    per_unit = chosen.duration_ms / float(period) * 8 * 4 + chosen.train_bytes
    cure = f"Use units={max(1, int(max_bytes / per_unit))} for a random subset that fits, or allow more with max_bytes."
    say_size(
        per_unit * chosen.n_units,
        max_bytes,
        f"rates of {chosen.n_units:,} units at {chosen.duration_ms / float(period):,.0f} times",
        cure,
    )
    signals = [_smoothed(trains, period, kernel_ms, border_correction) for trains in chosen.stretches()]
    start = np.concatenate([np.asarray(signal.times.rescale("ms").magnitude) for signal in signals])
    stretch = np.repeat(np.arange(len(signals)), [len(signal) for signal in signals])
    index = pd.MultiIndex.from_arrays([stretch, start], names=["stretch", "start_ms"])
    rates = pd.DataFrame(
        np.concatenate([signal.magnitude for signal in signals]), index=index, columns=unit_index(chosen.units)
    )
    rates.attrs = facts(
        chosen,
        sigma_ms=kernel_ms,
        sampling_period_ms=float(period),
        border_correction=border_correction,
        units="Hz",
        engine="elephant",
    )
    return rates


def _histograms(part: Ensemble, width: pq.Quantity) -> list[pd.DataFrame]:
    """Count the spikes of some units in each segment; variances add up over units."""
    with quiet_elephant():
        # Elephant warns of the incomplete last bin that it drops, which is documented here.
        from elephant.statistics import time_histogram as elephant_time_histogram

        tables = []
        for trains in part.segments():
            check_bins(trains, width)
            signal = elephant_time_histogram(trains, bin_size=width)
            mean, variance = _even_spread(trains, part.bin_size_ms, float(width))
            times = np.asarray(signal.times.rescale("ms").magnitude)
            tables.append(
                pd.DataFrame(
                    {
                        "start_ms": times,
                        "n_spikes": signal.magnitude[:, 0].astype(np.int64),
                        "expected": mean,
                        "variance": variance,
                    }
                )
            )
        return tables


def _add_up(parts: tuple[pd.DataFrame, ...], segment: int) -> pd.DataFrame:
    first = parts[0]
    total = {name: sum(part[name] for part in parts) for name in ("n_spikes", "expected", "variance")}
    table = pd.DataFrame({"segment": segment, "start_ms": first["start_ms"], **total})
    return table.drop(columns="variance").assign(chance_sd=np.sqrt(table["variance"]))


def _even_spread(trains: list[Any], lattice_ms: float | None, width_ms: float) -> tuple[float, float]:
    """Expect the number of spikes in a bin, and its variance, if each unit's spikes were spread evenly."""
    n = np.array([len(train) for train in trains], np.float64)
    duration = duration_of(trains[0])
    share = width_ms / duration
    variance = n * share * (1 - share)
    if lattice_ms is not None:
        n_bins = round(duration / lattice_ms)
        variance = variance * (n_bins - n) / max(n_bins - 1, 1)
    return float((n * share).sum()), float(variance.sum())


def _check_kernel(sigma_ms: float, period_ms: float, duration_ms: float) -> None:
    """Refuse a kernel that is far longer than all that was observed: it smooths everything away, and takes memory of its own length."""
    most_ms = 1000 * max(duration_ms, period_ms)
    if sigma_ms > most_ms:
        raise AnalysisError(
            f"sigma={sigma_ms:g} ms is far longer than the {duration_ms:g} ms that were observed.",
            "Every rate would be the mean.",
            f"Use a sigma below {most_ms:g} ms; check its unit.",
        )


def _smoothed(trains: list[Any], period: pq.Quantity, sigma_ms: float, border_correction: bool) -> Any:
    check_bins(trains, period)
    with quiet_elephant():
        from elephant.kernels import GaussianKernel
        from elephant.statistics import instantaneous_rate as elephant_instantaneous_rate

        kernel: Any = GaussianKernel(pq.Quantity(sigma_ms, pq.ms))
        return elephant_instantaneous_rate(trains, period, kernel=kernel, border_correction=border_correction)
