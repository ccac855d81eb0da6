"""across_networks: the uncertainty of indicators with respect to the seed of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from ann2neo.errors import AnalysisError
from ann2neo.measures.indicators import PERMUTED
from ann2neo.summary import NETWORK, check_replicates, summarize
from ann2neo.surrogates.indicators import check_confidence, check_indicators, indicator_unit

SCHEMA = "ann2neo-across-networks/1"
# Indicators of two networks are comparable only if all of these agree.
SAME_IN_ALL = (
    "order",
    "windows",
    "window_min_bins",
    "window_max_bins",
    "n_windows",
    "over",
    "n_passes",
    "n_bins",
    "bin_size_ms",
    "min_spikes",
)


def across_networks(
    tables: Sequence[pd.DataFrame], *, indicators: Sequence[str] = PERMUTED, confidence: float = 0.95
) -> pd.DataFrame:
    r"""Average each indicator over networks, with a t interval: networks are the replicates, however many units they have.

    With :math:`m` networks of mean :math:`\bar x` and standard deviation :math:`s` (ddof 1) the interval is
    :math:`\bar x \pm t_{m-1} s / \sqrt m`: it covers the mean over all seeds of training, on these inputs, if the values of
    networks are approximately normal. Networks in which an indicator is undefined are left out; the interval is NaN with
    fewer than 2 networks.

    Parameters
    ----------
    tables
        One table of units (`ann2neo.analyze`) or one summary (`ann2neo.summarize`) per network.
    indicators
        Columns of `ann2neo.summarize`.
    confidence
        Coverage probability of an interval.

    Returns
    -------
    pandas.DataFrame
        One row per layer, population and indicator: ``n_networks``, ``value`` (mean), ``sd``, ``standard_error``,
        ``low``, ``high``. A layer that only some networks have is averaged over these. The row ``network``, which pools
        all layers, is included only if all networks have the same layers.

    Raises
    ------
    AnalysisError
        If no table is given, an indicator is unknown, or tables differ in windows, order or number of bins.

    See Also
    --------
    ann2neo.surrogates.jackknife, ann2neo.compare

    References
    ----------
    Student (1908), The probable error of a mean, doi:10.1093/biomet/6.1.1.

    Examples
    --------
    >>> import ann2neo
    >>> recordings = [ann2neo.from_array(np.eye(20, dtype=bool)[:, :n]) for n in (1, 2, 3)]
    >>> tables = [ann2neo.analyze(recording, windows=5, progress=False) for recording in recordings]
    >>> across_networks(tables, indicators=["p_spike_mean", "fano_mean"]).loc[:1, ["n_networks", "value", "low", "high"]]
       n_networks  value   low  high
    0           3   0.05  0.05  0.05
    1           3   0.75  0.75  0.75
    """
    check_confidence(confidence)
    check_indicators(indicators, PERMUTED)
    shared = _shared(tables)
    check_replicates({"the tables": list(tables)})
    summaries = [table if "population" in table else summarize(table) for table in tables]
    rows = pd.concat([summary[["layer", "population", *indicators]] for summary in summaries], ignore_index=True)
    if len({frozenset(summary["layer"]) for summary in summaries}) > 1:
        rows = rows[rows["layer"] != NETWORK]
    layers = [name for name in dict.fromkeys(rows["layer"]) if name != NETWORK]
    layers += [NETWORK] if (rows["layer"] == NETWORK).any() else []
    cells = [
        {"layer": layer, "population": population, "indicator": indicator} | _interval(values, confidence)
        for layer in layers
        for population, of_population in rows[rows["layer"] == layer].groupby("population", sort=True)
        for indicator in indicators
        for values in [of_population[indicator].dropna().to_numpy(np.float64)]
    ]
    result = pd.DataFrame(cells)
    result.attrs = {
        "schema": SCHEMA,
        **shared,
        "replicate": "network",
        "n_networks": len(tables),
        "confidence": confidence,
        "units": {name: indicator_unit(name) for name in indicators},
    }
    return result


def _interval(values: Float[np.ndarray, " network"], confidence: float) -> dict[str, Any]:
    n = values.size
    mean = float(values.mean()) if n else math.nan
    sd = float(values.std(ddof=1)) if n > 1 else math.nan
    error = sd / math.sqrt(n) if n > 1 else math.nan
    reach = float(stats.t.isf((1 - confidence) / 2, n - 1)) * error if n > 1 else math.nan
    return {
        "n_networks": n,
        "value": mean,
        "sd": sd,
        "standard_error": error,
        "low": mean - reach,
        "high": mean + reach,
    }


def _shared(tables: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """Return what the tables record about windows and order; raise if they were not measured alike."""
    if isinstance(tables, pd.DataFrame) or not isinstance(tables, Sequence):
        raise AnalysisError(
            f"`tables` must be a list of tables, got an object of type {type(tables).__name__}.",
            "It is unclear which networks to average.",
            "Give a list with the table of each network: across_networks([table, ...]).",
        )
    for table in tables:
        if not isinstance(table, pd.DataFrame):
            raise AnalysisError(
                f"`tables` must hold tables of units, got an object of type {type(table).__name__}.",
                "Nothing was averaged.",
                "Give the table that `ann2neo.analyze` returned for each network.",
            )
    if not tables:
        raise AnalysisError(
            "`tables` is empty.", "Nothing can be averaged.", "Give one table of units for each network."
        )
    first = tables[0].attrs
    for number, table in enumerate(tables):
        for key in SAME_IN_ALL:
            if table.attrs.get(key) != first.get(key):
                raise AnalysisError(
                    f"tables differ in {key!r}: {first.get(key)!r} in the first, {table.attrs.get(key)!r} in number {number}.",
                    "Their indicators cannot be compared.",
                    "Analyze all networks on the same inputs, with the same order and windows.",
                )
    return {key: first[key] for key in SAME_IN_ALL if key in first}
