"""Contrasts of paired networks: differences by seed within settings, and their mean over settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.plan import PRIMARY, SMOKE, Cell, cells
from analyses.statistics import holm, mean_and_error, random_effects, sign_flip_p

SETTING = ["data", "architecture", "optimizer"]
THRESHOLDS = ("0", "median", "q90")
MEMORIZING, LONG, MATCHED, UNTRAINED = "memorizing", "generalizing-long", "generalizing-matched", "untrained"
RATES = ("firing_rate_mean", "firing_rate_var")
COUNTS = ("fano_mean", "fano_var", "label_share_mean")
# Threshold, kind of windows, indicator: fixed beforehand.
PRIMARY_ESTIMATES = (
    *product(("0",), ("true",), RATES),
    *product(THRESHOLDS, ("true", "trained"), COUNTS),
)
# Which column of labels makes the windows of memorizing and of generalizing networks.
WINDOWS = {"true": ("label", "label"), "trained": ("memorized", "label")}

Differences = Mapping[str, Float[np.ndarray, " seed"]]


def read(out: Path, study: str, *, smoke: bool = False, secondary: bool = False) -> pd.DataFrame:
    """Read the finished cells of a study into one table, with the name of the setting; empty if there are none.

    Parameters
    ----------
    out
        Folder of results.
    study
        Name of the study.
    smoke
        Whether the cells are those of the tiny plan.
    secondary
        Whether the secondary settings are read in place of the primary ones.
    """
    wanted = [cell for cell in cells(smoke) if cell.study == study and _of_kind(cell, smoke, secondary)]
    tables = [pd.read_csv(out / cell.table, low_memory=False) for cell in wanted if (out / cell.table).exists()]
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    table.insert(0, "setting", table[SETTING].agg(" ".join, axis=1))
    if "threshold" in table:
        table["threshold"] = table["threshold"].astype(str).replace({"0.0": "0"})
    return table


def _of_kind(cell: Cell, smoke: bool, secondary: bool) -> bool:
    return cell.study not in ("states", "use", "models", "within", "units") or (
        cell.setting in SMOKE if smoke else cell.primary != secondary
    )


def reached(states: pd.DataFrame) -> pd.DataFrame:
    """Leave out the seeds whose memorizing network did not learn its labels; their number is in ``attrs["left_out"]``; an empty table stays empty."""
    if states.empty:
        return states
    facts = states[(states["windows"] == "facts") & (states["state"] == MEMORIZING) & (states["reached"] < 1)]
    lost = set(zip(facts["setting"], facts["seed"]))
    kept = states[[key not in lost for key in zip(states["setting"], states["seed"])]].copy()
    kept.attrs["left_out"] = len(lost)
    return kept


def values(
    states: pd.DataFrame,
    state: str,
    column: str,
    *,
    threshold: str,
    windows: str,
    layer: str = "network",
    images: str = "train",
) -> pd.DataFrame:
    """Look up an indicator of the networks of a state: rows are settings, columns seeds."""
    where = (states["state"] == state) & (states["windows"] == windows) & (states["images"] == images)
    where &= (states["threshold"] == threshold) & (states["layer"] == layer)
    return states[where].pivot_table(index="setting", columns="seed", values=column, sort=False)


def log_ratios(
    states: pd.DataFrame, column: str, *, threshold: str, kind: str, other: str = LONG, layer: str = "network"
) -> Differences:
    """Logarithm of the ratio of memorizing to other networks of the same seed, by setting."""
    first, second = WINDOWS[kind]
    one = values(states, MEMORIZING, column, threshold=threshold, windows=first, layer=layer)
    two = values(states, other, column, threshold=threshold, windows=second, layer=layer)
    return by_setting(np.log(one) - np.log(two))


def by_setting(table: pd.DataFrame) -> Differences:
    """Known values of each row of a table of settings by seeds; rows without any are left out."""
    known = {str(setting): row.to_numpy(np.float64) for setting, row in table.iterrows()}
    return {setting: row[np.isfinite(row)] for setting, row in known.items() if np.isfinite(row).any()}


def estimate(differences: Differences) -> dict[str, float]:
    """Estimate the mean over settings, and count what settings say by themselves.

    Returns
    -------
    dict[str, float]
        Fields of `statistics.Estimate`; ``n_lower`` and ``n_higher``, settings whose mean is below and above 0; ``n_lower_decided`` and ``n_higher_decided``, those with a sign-flip p of at most 0.05; ``largest_p``.

    Examples
    --------
    >>> found = estimate({"a": np.array([-1.0, -1.1, -1.2, -0.9, -1.0, -1.1]), "b": np.array([-1.5, -1.4, -1.3, -1.6, -1.4, -1.5])})
    >>> found["n_lower"], found["n_lower_decided"], found["largest_p"], round(found["mean"], 2)
    (2, 2, 0.03125, -1.25)
    """
    pairs = [mean_and_error(of) for of in differences.values()]
    means, errors = (np.array(part, np.float64) for part in zip(*pairs)) if pairs else (np.empty(0), np.empty(0))
    p = np.array([sign_flip_p(of) for of in differences.values()])
    return {
        **asdict(random_effects(means, errors)),
        "n_lower": int((means < 0).sum()),
        "n_higher": int((means > 0).sum()),
        "n_lower_decided": int(((means < 0) & (p <= 0.05)).sum()),
        "n_higher_decided": int(((means > 0) & (p <= 0.05)).sum()),
        "largest_p": float(p.max()) if len(p) else math.nan,
    }


def ratio_table(states: pd.DataFrame, *, planned: int, other: str = LONG) -> pd.DataFrame:
    """The 20 primary estimates against a kind of generalizing networks: ratios with intervals, p corrected by Holm, and a verdict, which needs all planned settings."""
    rows = [
        {
            "threshold": threshold,
            "windows": kind,
            "indicator": name,
            **estimate(log_ratios(states, name, threshold=threshold, kind=kind, other=other)),
        }
        for threshold, kind, name in PRIMARY_ESTIMATES
    ]
    table = pd.DataFrame(rows)
    table["p_corrected"] = holm(table["p"].to_numpy(np.float64))
    for name in ("mean", "low", "high", "new_low", "new_high"):
        table[name] = np.exp(table[name])
    table = table.rename(columns={"mean": "ratio"})
    return table.assign(verdict=[verdict(row, planned) for row in table.to_dict("records")])


def verdict(row: Mapping[str, float], planned: int) -> str:
    """Apply the rule of the design: "holds" with a corrected p of at most 0.05 and one sign in all planned settings, "holds on average" with the first only, "so far" before all are finished.

    Examples
    --------
    >>> verdict({"p_corrected": 0.01, "n_lower": 8, "n_higher": 0, "ratio": 0.5}, 8)
    'lower: holds'
    >>> verdict({"p_corrected": 0.01, "n_lower": 4, "n_higher": 0, "ratio": 0.5}, 8)
    'lower: so far'
    >>> verdict({"p_corrected": 0.2, "n_lower": 8, "n_higher": 0, "ratio": 0.5}, 8)
    'undecided'
    """
    if not row["p_corrected"] <= 0.05:
        return "undecided"
    side = "lower" if row["ratio"] < 1 else "higher"
    if row["n_lower"] + row["n_higher"] < planned:
        return f"{side}: so far"
    same = row[f"n_{side}"] == planned
    return f"{side}: holds" + ("" if same else " on average")


def planned_settings(smoke: bool) -> int:
    """How many settings a verdict needs."""
    return len(SMOKE if smoke else PRIMARY)


def shown_ratio(row: Mapping[str, float]) -> str:
    """Write a ratio with its interval.

    Examples
    --------
    >>> shown_ratio({"ratio": 0.4567, "low": 0.3, "high": 0.61234})
    '0.46 (0.30 to 0.61)'
    """
    return with_interval(row["ratio"], row["low"], row["high"], ".2f")


def with_interval(value: float, low: float, high: float, form: str) -> str:
    """Write an estimate with its interval, and without one where a single setting allows none.

    Examples
    --------
    >>> with_interval(0.4567, 0.3, 0.61234, ".2f"), with_interval(0.4567, math.nan, math.nan, "+.3f")
    ('0.46 (0.30 to 0.61)', '+0.457 (one setting, no interval)')
    """
    if math.isnan(low) or math.isnan(high):
        return f"{value:{form}} (one setting, no interval)"
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def named(column: str) -> str:
    """Name an indicator for people.

    Examples
    --------
    >>> named("label_share_mean"), named("fano_var")
    ('label share', 'Fano variance')
    """
    names = {
        "firing_rate_mean": "rate mean",
        "firing_rate_var": "rate variance",
        "fano_mean": "Fano mean",
        "fano_var": "Fano variance",
        "label_share_mean": "label share",
    }
    return names.get(column, column.replace("_mean", "").replace("_", " "))


def settings_of(table: pd.DataFrame) -> Sequence[str]:
    """Settings of a table, in its order."""
    return list(dict.fromkeys(table["setting"]))
