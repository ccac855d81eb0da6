"""summarize: from a table of units to the paper's indicators per layer and network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from ann2neo import chance
from ann2neo.errors import AnalysisError, kind_of
from ann2neo.integrity import values_crc32
from ann2neo.measures.indicators import LEVELS, RARE, summarised
from ann2neo.measures.measure import Measure
from ann2neo.measures.quality import WANTING

NETWORK = "network"
SUMMARISED = summarised()
# Tables of earlier versions, and of other programs, lack what has been measured since.
FIRST = [measure for measure in SUMMARISED if not measure.since]
LATER = [measure for measure in SUMMARISED if measure.since]
POPULATIONS = ("all", "good")
# Of a table of fitted models: parameters, and what each model explains.
FITTED = (
    *("rate_p", "rate_hz", "label_bits", "label_bits_corrected", "label_bits_per_spike", "label_bits_per_spike_cv"),
    *("markov_memory", "markov_bits", "markov_bits_per_spike", "markov_bits_per_spike_cv"),
    *(
        "gain_rho",
        "gain_var",
        "gain_bits",
        "gain_bits_per_spike",
        "label_gain_rho",
        "label_gain_var",
        "label_gain_bits",
        "renewal_cv",
        "renewal_bits",
        "renewal_bits_per_spike",
    ),
    *(f"{law}_{name}" for law in ("gamma", "inverse_gaussian") for name in ("mean_ms", "cv", "bits", "bits_per_spike")),
)
BEST = "best_bic"

Columns = Mapping[str, np.ndarray]


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Summarize a table of units: mean and variance over units of firing rate and Fano factor, and the means of the other measures beside chance.

    Silent units count in the mean and variance of rates (leaving them out would change the main indicator) but have no Fano factor; therefore each
    layer has a row for ``all`` units and one for ``good`` ones, with the numbers that went in. The last two rows pool the units of all layers, so that
    large layers dominate them. Variances are those of the population (ddof 0); NaN values are left out, and ``fano_n`` counts the rest.
    ``..._over_expected_mean`` is the mean of each unit's value divided by what chance predicts for it, which is what recordings of networks and of cells share.

    The distribution of activation probabilities over units, silent and saturated ones included: ``p_spike_q10`` to ``p_spike_q90`` are its quantiles
    (interpolated linearly), ``p_spike_rare_share`` is the share of units with p strictly below 0.05, ``p_spike_gini`` their Gini coefficient (`ann2neo.chance.gini`; at most
    1 - p_spike_mean). A finite number of bins makes units differ that are alike: ``p_spike_rare_share_expected`` and ``p_spike_gini_expected`` are the exact means over all ways to deal the same spikes to
    units and bins, and a quantile of units that are alike is that of the normal law around their mean p with standard deviation ``sqrt(p (1 - p) / n_bins)``. Compare networks over
    as many bins. All are NaN where there are no bins or no units, the Gini coefficient also where all units are silent.

    Parameters
    ----------
    table
        What `analyze` gave, or `ann2neo.models.fit`: then mean and variance of the parameters of each model and of the bits that it explains, and
        ``best_bic_share[model]``, the share of units (of those of which the best model is) that the model describes best.

    Returns
    -------
    pandas.DataFrame
        Rows: layer by layer, then ``network``; the four indicators of the paper are ``firing_rate_mean`` (Hz), ``firing_rate_var`` (Hz^2),
        ``fano_mean`` and ``fano_var``.

    Raises
    ------
    AnalysisError
        If it is not a table of units.

    See Also
    --------
    ann2neo.analyze, ann2neo.compare, ann2neo.figures.indicators, ann2neo.figures.layer_table

    References
    ----------
    Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473; on the distribution of activation probabilities
    doi:10.1007/978-3-032-21477-5_27.

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> spikes = np.zeros((20, 2), bool); spikes[:10, 0] = True
    >>> table = ann2neo.analyze(ann2neo.from_array(spikes), windows=5, progress=False)
    >>> summarize(table)[["layer", "population", "n_units", "n_silent", "firing_rate_mean", "fano_n", "fano_mean"]]
         layer population  n_units  n_silent  firing_rate_mean  fano_n  fano_mean
    0    array        all        2         1             250.0       1        2.5
    1    array       good        1         0             500.0       1        2.5
    2  network        all        2         1             250.0       1        2.5
    3  network       good        1         0             500.0       1        2.5
    """
    fitted = is_fitted(table)
    if not fitted:
        _check(table)
    wanted = (BEST, *FITTED) if fitted else (*columns_of(FIRST), *columns_of(LATER))
    columns = {name: table[name].to_numpy() for name in ("layer", "quality", *wanted) if name in table}
    layers, layer_of = np.unique(columns["layer"].astype(str), return_inverse=True)
    first = np.unique(layer_of, return_index=True)[1]
    members = np.split(np.argsort(layer_of, kind="stable"), np.cumsum(np.bincount(layer_of))[:-1])
    groups: list[tuple[str, np.ndarray]] = (
        [(str(layers[one]), members[one]) for one in np.argsort(first)] if len(layer_of) else []
    )
    groups.append((NETWORK, np.arange(len(layer_of))))
    models = [name for name in table.columns if fitted and str(name).endswith("_loglik")]
    measured = partial(_row, n_bins=_bins_of(table))
    row = _fitted_row(tuple(str(name).removesuffix("_loglik") for name in models)) if fitted else measured
    summary = pd.DataFrame([one for layer, units in groups for one in _rows(layer, columns, units, row)])
    summary.attrs = dict(table.attrs)
    return summary


def is_summary(table: pd.DataFrame) -> bool:
    """Whether a table is what `summarize` gives.

    Examples
    --------
    >>> is_summary(pd.DataFrame({"layer": ["fc"], "population": ["all"], "n_units": [3]}))
    True
    """
    return {"layer", "population", "n_units"} <= set(table.columns) and "indicator" not in table


def summary_of(table: pd.DataFrame) -> pd.DataFrame:
    """Summarize a table of units; a summary stays as it is."""
    return table if isinstance(table, pd.DataFrame) and is_summary(table) else summarize(table)


def is_fitted(table: Any) -> bool:
    """Whether this is a table of `ann2neo.models.fit`, also after a trip through a file that kept no attributes."""
    return isinstance(table, pd.DataFrame) and {"layer", "quality", BEST, "rate_loglik"} <= set(table.columns)


def _check(table: pd.DataFrame) -> None:
    """Raise unless this is a table of units."""
    cure = "Give the table of units that `ann2neo.analyze` made."
    if not isinstance(table, pd.DataFrame):
        raise AnalysisError(f"{kind_of(table)} is not a table of units.", "It cannot be summarized.", cure)
    missing = [name for name in ("layer", "quality", *columns_of(FIRST)) if name not in table]
    if missing:
        what = "the table is a summary already" if is_summary(table) else f"the table lacks {', '.join(missing)}"
        raise AnalysisError(f"{what}.", "It cannot be summarized.", cure)


def _rows(
    layer: str, columns: Columns, units: np.ndarray, row: Callable[[Columns], dict[str, object]]
) -> Iterator[dict[str, object]]:
    """Summarize all units of a layer, and the good ones."""
    own = {name: values[units] for name, values in columns.items()}
    good = own["quality"] == "good"
    for population in POPULATIONS:
        chosen = own if population == "all" else {name: values[good] for name, values in own.items()}
        yield {"layer": layer, "population": population} | _qualities(chosen) | row(chosen)


def _qualities(units: Columns) -> dict[str, object]:
    counts: dict[str, object] = {
        f"n_{quality}": int(np.count_nonzero(units["quality"] == quality)) for quality in WANTING
    }
    number: dict[str, object] = {"n_units": len(units["quality"])}
    return number | counts


def _fitted_row(models: Sequence[str]) -> Callable[[Columns], dict[str, object]]:
    """Summarize the fitted models of the units of a layer and population."""

    def row(units: Columns) -> dict[str, object]:
        found: dict[str, object] = {}
        for name in (one for one in FITTED if one in units):
            found[f"{name}_mean"], found[f"{name}_var"], _ = _moments(units[name])
        best = units[BEST][np.isin(units[BEST].astype(str), models)]
        shares = {model: float(np.mean(best == model)) if best.size else float("nan") for model in models}
        return found | {f"{BEST}_share[{model}]": share for model, share in shares.items()}

    return row


def _bins_of(table: pd.DataFrame) -> int | None:
    """Find the number of bins of each unit, which follows from any unit that spiked; None where there is none or it is unknown."""
    if isinstance(table.attrs.get("n_bins"), Integral):
        return int(table.attrs["n_bins"])
    known = "p_spike" in table and "n_spikes" in table
    spiked = table[table["p_spike"] > 0] if known else table.iloc[:0]
    return round(float((spiked["n_spikes"] / spiked["p_spike"]).iloc[0])) if len(spiked) else None


def _row(units: Columns, *, n_bins: int | None) -> dict[str, object]:
    """Summarize the units of a layer and population."""
    row: dict[str, object] = {}
    nothing = np.zeros(0)
    for measures in (FIRST, LATER):
        for measure in measures:
            found = dict(zip(("mean", "var", "n"), _moments(units.get(measure.name, nothing))))
            row |= {f"{measure.name}_{statistic}": found[statistic] for statistic in measure.summarised}
            if measure.expected_summarised:
                row[f"{measure.name}_expected_mean"] = _moments(units.get(f"{measure.name}_expected", nothing))[0]
        for name in (measure.name for measure in measures if measure.over_expected):
            value, expected = units.get(name, nothing), units.get(f"{name}_expected", nothing)
            row[f"{name}_over_expected_mean"] = _moments(_over(value, expected))[0]
    return row | _distribution(units["p_spike"], n_bins)


def _distribution(p: np.ndarray, n_bins: int | None) -> dict[str, object]:
    """Summarize how activation probabilities are distributed over units, beside units that are all alike."""
    p = p.astype(np.float64)
    known = p[~np.isnan(p)]
    levels = np.quantile(known, np.array(LEVELS) / 100) if known.size else np.full(len(LEVELS), np.nan)
    row: dict[str, object] = {f"p_spike_q{level}": float(value) for level, value in zip(LEVELS, levels)}
    row["p_spike_rare_share"] = float(np.mean(known < RARE)) if known.size else np.nan
    n = np.rint(known * n_bins).astype(np.int64) if n_bins else np.zeros(0, np.int64)
    row["p_spike_rare_share_expected"] = chance.expected_rare_share(n, n_bins=n_bins, below=RARE) if n_bins else np.nan
    row["p_spike_gini"] = chance.gini(known)
    row["p_spike_gini_expected"] = chance.expected_gini(n, n_bins=n_bins) if n_bins else np.nan
    return row


def columns_of(measures: Sequence[Measure]) -> list[str]:
    """Name the columns of a table of units from which some measures are summarised."""
    return [
        name
        for measure in measures
        for name in (measure.name, f"{measure.name}_expected")
        if name == measure.name or measure.expected_summarised
    ]


def _over(values: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Divide by what chance predicts; NaN where that is 0."""
    values, expected = values.astype(np.float64), expected.astype(np.float64)
    return np.divide(values, expected, out=np.full(values.shape, np.nan), where=expected > 0)


def _moments(values: np.ndarray) -> tuple[float, float, int]:
    """Mean, variance (ddof 0) and number of the values that are not NaN."""
    values = values.astype(np.float64)
    known = values[~np.isnan(values)]
    if not known.size:
        return float("nan"), float("nan"), 0
    if known.min() == known.max():  # rounding of the mean would make a variance of what does not vary
        return float(known[0]), 0.0, known.size
    return float(np.mean(known)), float(np.var(known)), known.size


def check_replicates(tables: Mapping[str, list[pd.DataFrame]]) -> None:
    """Refuse a network that is given twice: it is one replicate, however often it is counted.

    Two networks never have the same value of every measure of every unit, but where no unit says anything (silent, saturated). A summary is compared with
    all others and with those of tables of units.
    """
    any_summary = any(is_summary(table) for of_group in tables.values() for table in of_group)
    seen: dict[tuple[Any, ...], str] = {}
    for group, of_group in tables.items():
        for number, table in enumerate(of_group, start=1):
            if not _says_something(table):
                continue
            known = summary_of(table) if any_summary else table
            key = tuple((str(name), values_crc32(known[name])) for name in known.columns)
            here = f"number {number} of {group!r}"
            if key in seen:
                raise AnalysisError(
                    f"{here} is the same network as {seen[key]}: all values of all its units are the same.",
                    "Counted twice, one network would seem to be two, and p values would be too small.",
                    "Give each network once.",
                )
            seen[key] = here


def _says_something(table: pd.DataFrame) -> bool:
    """Whether a unit is neither silent nor saturated nor of too few spikes."""
    if is_summary(table):
        return bool((table.loc[table["population"] == "good", "n_units"] > 0).any())
    return "quality" in table and bool((table["quality"] == "good").any())
