"""measure: every measure of the registry, by one of two engines that agree bit for bit."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Shaped

from ann2neo.errors import AnalysisError
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import Over
from ann2neo.measures.reference import measure_reference

Engine = Literal["elephant", "bulk"]


def measure(
    spikes: SpikeArrays | SpikeBits,
    *,
    engine: Engine = "bulk",
    over: Over = "windows",
    refractory_period: float | None = None,
    n_threads: int | None = None,
) -> dict[str, Shaped[np.ndarray, " unit"]]:
    """Compute every measure of each unit with one of the two engines, which agree bit for bit.

    Parameters
    ----------
    spikes
        Spikes of some units.
    engine
        "elephant" makes neo.SpikeTrains and calls Elephant; "bulk" computes the same bits from times or packed bits.
    over
        Whether a Fano factor is taken over the windows of each pass, or over the passes of each window.
    refractory_period
        Refractoriness R of LvR, in the unit of time of the spikes; None leaves ``lvr`` out.
    n_threads
        Number of threads of the bulk engine; None for one per available processor.

    Returns
    -------
    dict
        One array of shape (unit,) per measure of the registry that spikes alone decide, in that order, ``lvr`` only with a
        refractory period; with ``over="passes"`` also ``n_windows_empty``, the number of windows left out because the unit
        is silent there in every pass.

    Raises
    ------
    WindowError
        If ``over="passes"`` and there are not two passes with the same windows.
    AnalysisError
        If the engine is unknown.

    Examples
    --------
    >>> bits = np.packbits(np.array([[[1, 0, 1, 1], [0, 0, 0, 0]]], bool), axis=2)
    >>> spikes = SpikeBits(
    ...     bits=bits, pass_bins=4, bin_size_ms=1.0, stretch_edges=np.array([0, 4]),
    ...     window=np.array([0, 0, 1, 1]), window_pass=np.array([0, 0]),
    ... )
    >>> measure(spikes)["firing_rate"], measure(spikes, engine="elephant")["firing_rate"]
    (array([750.,   0.]), array([750.,   0.]))
    """
    if engine == "elephant":
        arrays = spikes.arrays() if isinstance(spikes, SpikeBits) else spikes
        return measure_reference(arrays, over=over, refractory_period=refractory_period)
    if engine != "bulk":
        raise AnalysisError(f"There is no engine {engine!r}.", "Nothing was computed.", "Use 'elephant' or 'bulk'.")
    # numba is loaded only with the engine that needs it.
    from ann2neo.measures.bulk import measure_bits, measure_bulk, sums_as_numpy

    if not sums_as_numpy():
        return measure(spikes, engine="elephant", over=over, refractory_period=refractory_period)
    if isinstance(spikes, SpikeBits):
        return measure_bits(spikes, over=over, refractory_period=refractory_period, n_threads=n_threads)
    return measure_bulk(spikes, over=over, refractory_period=refractory_period, n_threads=n_threads)
