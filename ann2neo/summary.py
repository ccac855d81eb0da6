"""summarize: from a table of units to the paper's indicators per layer and network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from ann2neo.errors import AnalysisError

NETWORK = "network"
NEEDED = (
    *("layer", "quality", "firing_rate", "p_spike", "fano", "fano_expected", "cv", "cv_expected", "cv2", "cv2_expected", "lv", "lv_expected"),
    *("label_share", "label_share_expected", "label_share_adjusted"),
)  # fmt: skip
POPULATIONS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "all": lambda units: units,
    "good": lambda units: units[units["quality"] == "good"],
}


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """Summarize a table of units: mean and variance over units of firing rate and Fano factor, and the means of the other measures beside chance.

    Silent units count in the mean and variance of rates (leaving them out would change the main indicator) but have no Fano factor; therefore each
    layer has a row for ``all`` units and one for ``good`` ones, with the numbers that went in. The last two rows pool the units of all layers, so that
    large layers dominate them. Variances are those of the population (ddof 0); NaN values are left out, and ``fano_n`` counts the rest.

    Parameters
    ----------
    table
        What `analyze` gave.

    Returns
    -------
    pandas.DataFrame
        Rows: layer by layer, then ``network``; the four indicators of the paper are ``firing_rate_mean`` (Hz), ``firing_rate_var`` (Hz^2),
        ``fano_mean`` and ``fano_var``.

    Raises
    ------
    AnalysisError
        If it is no table of units.

    References
    ----------
    Lehmler, Saif-ur-Rehman, Glasmachers, Iossifidis (2024), doi:10.1016/j.neucom.2024.128473.

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
    _check(table)
    groups = [(str(layer), table[table["layer"] == layer]) for layer in table["layer"].unique()] + [(NETWORK, table)]
    rows = [
        _row(layer, population, choose(units)) for layer, units in groups for population, choose in POPULATIONS.items()
    ]
    summary = pd.DataFrame(rows)
    summary.attrs = dict(table.attrs)
    return summary


def _check(table: pd.DataFrame) -> None:
    """Refuse what is no table of units."""
    cure = "Give the table of units that `ann2neo.analyze` made."
    if not isinstance(table, pd.DataFrame):
        raise AnalysisError(f"a {type(table).__name__} is no table of units.", "It cannot be summarized.", cure)
    missing = [name for name in NEEDED if name not in table]
    if missing:
        what = "the table is a summary already" if "population" in table else f"the table lacks {', '.join(missing)}"
        raise AnalysisError(f"{what}.", "It cannot be summarized.", cure)


def _row(layer: str, population: str, units: pd.DataFrame) -> dict[str, object]:
    """Summarize the units of a layer and population."""
    row: dict[str, object] = {"layer": layer, "population": population, "n_units": len(units)}
    row |= {f"n_{quality}": int((units["quality"] == quality).sum()) for quality in ("silent", "saturated", "too_few")}
    for name in ("firing_rate", "p_spike"):
        row |= {f"{name}_mean": _mean(units[name]), f"{name}_var": _var(units[name])}
    row |= {
        "fano_n": int(units["fano"].notna().sum()),
        "fano_mean": _mean(units["fano"]),
        "fano_var": _var(units["fano"]),
    }
    row["fano_expected_mean"] = _mean(units["fano_expected"])
    for name in ("cv", "cv2", "lv", "label_share"):
        row |= {f"{name}_mean": _mean(units[name]), f"{name}_expected_mean": _mean(units[f"{name}_expected"])}
    row["label_share_adjusted_mean"] = _mean(units["label_share_adjusted"])
    return row


def _mean(values: pd.Series) -> float:
    known = values.dropna().to_numpy(np.float64)
    return float(np.mean(known)) if known.size else float("nan")


def _var(values: pd.Series) -> float:
    known = values.dropna().to_numpy(np.float64)
    return float(np.var(known)) if known.size else float("nan")
