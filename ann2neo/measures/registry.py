"""What is measured: name, unit, definition with its edge cases, source, and who computes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from jaxtyping import Shaped

from ann2neo.errors import AnalysisError
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.csr import SpikeArrays
from ann2neo.measures.definitions import Over
from ann2neo.measures.reference import measure_reference

Engine = Literal["elephant", "bulk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One column of the table.

    Parameters
    ----------
    name
        Name of the column.
    unit
        Unit of measure, "1" for a pure number.
    definition
        What it is, and where it is undefined (NaN).
    doi
        Where it was defined; empty for plain counts.
    elephant
        Function of Elephant that defines the number; empty where Elephant has none.
    expected
        Function of `ann2neo.chance` that says what to expect by chance; empty where chance says nothing.

    Examples
    --------
    >>> MEASURES["lv"].unit, MEASURES["lv"].expected
    ('1', 'expected_lv')
    """

    name: str
    unit: str
    definition: str
    doi: str = ""
    elephant: str = ""
    expected: str = ""


_ALL = (
    Measure(
        name="n_spikes",
        unit="1",
        definition="Number of spikes over all stretches.",
    ),
    Measure(
        name="p_spike",
        unit="1",
        definition="Spikes per bin over all stretches: the share of bins with a spike. NaN for sources without bins.",
    ),
    Measure(
        name="firing_rate",
        unit="Hz",
        definition="Spikes divided by the duration of all stretches together. 0 for silent units.",
        doi="10.1016/S0006-3495(67)86596-2",
        elephant="elephant.statistics.mean_firing_rate",
    ),
    Measure(
        name="isi_mean",
        unit="ms",
        definition=(
            "Mean of the inter-spike intervals, pooled over stretches; no interval crosses the border of a stretch. "
            "NaN without an interval, that is with fewer than two spikes in every stretch."
        ),
        doi="10.1016/S0006-3495(67)86596-2",
        elephant="elephant.statistics.isi",
        expected="expected_isi_mean",
    ),
    Measure(
        name="isi_var",
        unit="ms^2",
        definition=(
            "Population variance (ddof 0) of the inter-spike intervals, pooled over stretches. NaN without an "
            "interval, 0 with one."
        ),
        doi="10.1016/S0006-3495(67)86596-2",
        elephant="elephant.statistics.isi",
        expected="expected_isi_var",
    ),
    Measure(
        name="cv",
        unit="1",
        definition=(
            "Standard deviation (ddof 0) of the inter-spike intervals, pooled over stretches, divided by their mean. "
            "NaN without an interval, 0 with one."
        ),
        doi="10.1016/S0006-3495(67)86596-2",
        elephant="elephant.statistics.cv",
        expected="expected_cv",
    ),
    Measure(
        name="cv2",
        unit="1",
        definition=(
            "Mean of 2 |I2 - I1| / (I1 + I2) over pairs of successive intervals: computed per stretch and averaged "
            "over stretches, each weighted by its number of pairs. NaN with fewer than three spikes in every stretch."
        ),
        doi="10.1152/jn.1996.75.5.1806",
        elephant="elephant.statistics.cv2",
        expected="expected_cv2",
    ),
    Measure(
        name="lv",
        unit="1",
        definition=(
            "Mean of 3 ((I2 - I1) / (I1 + I2))^2 over pairs of successive intervals: computed per stretch and averaged "
            "over stretches, each weighted by its number of pairs. NaN with fewer than three spikes in every stretch."
        ),
        doi="10.1162/089976603322518759",
        elephant="elephant.statistics.lv",
        expected="expected_lv",
    ),
    Measure(
        name="fano",
        unit="1",
        definition=(
            "Population variance (ddof 0) of spike counts over windows divided by their mean: computed over the "
            "windows of each pass and averaged over passes with spikes, or over the passes of each window and "
            "averaged over windows with spikes, or over the repeats of each condition at each position in the trial "
            "and averaged over positions, then over conditions with spikes. Windows of unequal size enter with their "
            "raw counts, windows without duration not at all, and one window alone has no factor. NaN without spikes "
            "in windows, and over the windows of a pass where none covers more than one bin (it is then 1 - p_spike "
            "by construction)."
        ),
        doi="10.1103/PhysRev.72.26",
        elephant="elephant.statistics.fanofactor",
        expected="expected_fano",
    ),
    Measure(
        name="label_share",
        unit="1",
        definition=(
            "Share of the unit's variance over bins that the label explains (eta squared), be it that of the input or of its steps. NaN without labels, and "
            "for units that are silent or saturated in the labelled bins."
        ),
        doi="10.1037/1082-989X.8.4.434",
        expected="expected_label_share",
    ),
)

MEASURES: Mapping[str, Measure] = MappingProxyType({measure.name: measure for measure in _ALL})
"""Every measure by name, in the order of the table."""

LVR = Measure(
    name="lvr",
    unit="1",
    definition=(
        "Lv corrected for a refractory period R: mean of 3 (1 - 4 I1 I2 / (I1 + I2)^2) (1 + 4 R / (I1 + I2)) over "
        "pairs of successive intervals, averaged over stretches as Lv is. Only computed where R is given."
    ),
    doi="10.1371/journal.pcbi.1000433",
    elephant="elephant.statistics.lvr",
    expected="expected_lvr",
)
"""The measure that is computed only where a refractory period is given."""


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
        One array of shape (unit,) per measure of `MEASURES`, in that order; with a refractory period also ``lvr``,
        behind ``lv``; with ``over="passes"`` also ``n_windows_empty``, the number of windows left out because the unit
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
