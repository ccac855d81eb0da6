"""Groups of networks: one value per network, layer and indicator, contrasted and placed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from ann2neo.arguments import check_choice, check_number, check_seed
from ann2neo.comparison.checks import (
    check_comparable,
    check_indicators,
    shared_attrs,
    tables_of,
)
from ann2neo.comparison.comparability import has_bins, reason_against
from ann2neo.comparison.effects import (
    auc,
    hedges_g,
    is_beyond_rounding,
    is_exact,
    mean_difference,
    permutation_p,
    smallest_p,
)
from ann2neo.comparison.verdicts import verdicts
from ann2neo.errors import AnalysisError
from ann2neo.measures.indicators import USUAL, USUAL_OF_CELLS
from ann2neo.summary import NETWORK, POPULATIONS, check_replicates, summary_of

SCHEMA = "ann2neo-comparison/1"
INDICATORS = USUAL
OF_MODELS = ("rate_p_mean", "rate_p_var", "label_bits_corrected_mean", "markov_memory_mean")
OF_POPULATIONS = ("silent_share", "saturated_share", "p_mean", "p_rho")
KNOWN = ("memorizing", "generalizing")
UNKNOWN = "mine"

Values = Mapping[str, Float[np.ndarray, " network"]]


def compare(
    groups: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    *,
    indicators: Sequence[str] | None = None,
    confidence: float = 0.95,
    alpha: float = 0.05,
    method: Literal["bh", "by"] = "bh",
    seed: int = 0,
) -> pd.DataFrame:
    """Compare groups of networks in each indicator and layer, and place networks of unknown kind between two known groups.

    The network is the replicate: every unit table becomes one number per layer and indicator (`ann2neo.summarize`), however many units it has. The groups
    "memorizing" and "generalizing" are contrasted; where one of these is missing, the first two groups that are not called "mine". Every other group is
    placed relative to the two. p values are corrected for multiple tests over all rows of the result. With fewer than 2 networks in a contrasted
    group, or without two known groups, effects are NaN and the verdict states that none is possible.

    Parameters
    ----------
    groups
        Tables of `ann2neo.analyze`, or of `ann2neo.summarize`, by name of the group, one table per network; or tables of `ann2neo.models.fit`, or of `ann2neo.models.fit_population`.
    indicators
        Columns of `ann2neo.summarize`, or of `ann2neo.models.fit_population`, to compare: the more there are, the stronger the correction. None: the usual ones for the kind of table;
        where there are recordings of cells, values over expectation and adjusted shares, which do not depend on the length of a recording.
    confidence
        Probability that an interval covers.
    alpha
        Corrected p up to which a difference counts in a verdict.
    method
        "bh" (Benjamini and Hochberg) or "by" (Benjamini and Yekutieli, for any dependence between indicators and layers).
    seed
        Seed of the permutations, which are drawn where there are too many to count all.

    Returns
    -------
    pandas.DataFrame
        One row per layer, population ("all" units, "good" units) and indicator; the network row, all layers pooled, comes last and only where all networks
        have the same layers (networks beside cells: always). For each group ``n_``, ``mean_``, ``sd_`` (ddof 1, over networks). For the contrast, first minus second
        group: ``difference`` (with Welch's interval), ``hedges_g`` (whose interval assumes normal groups of equal variance) and ``auc``, each with ``_low`` and
        ``_high``, ``p`` (permutation of Welch's statistic, two-sided) and ``p_corrected``. ``reason`` states why a cell cannot be compared; all of these are then NaN: rates of a network against rates of cells, Fano factors in unlike windows, and the like. For each placed group ``position_`` (0 at the
        second group's mean, 1 at the first's), ``z_..._from_...`` (distance from each group's mean in its prediction standard deviations) and
        ``fits_`` (the groups whose prediction interval contains it: one name, "both", "neither"). ``attrs`` hold ``verdicts``, one sentence per layer, the
        sizes of the groups, ``smallest_p`` where there is a contrast, and the attributes that all tables share.

    Raises
    ------
    AnalysisError
        If the groups are not a mapping from names to tables, a group has no tables, no cell can be compared because tables were measured differently, no layer is common to all, or an indicator is missing.

    See Also
    --------
    ann2neo.compare_distributions, ann2neo.summarize, ann2neo.collect, ann2neo.surrogates.across_networks

    References
    ----------
    Benjamini and Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x. Benjamini and Yekutieli (2001), doi:10.1214/aos/1013699998.

    Examples
    --------
    >>> import numpy as np
    >>> import ann2neo
    >>> table = ann2neo.analyze(ann2neo.from_array(np.eye(20, dtype=bool)), windows=5, progress=False)
    >>> compare({"mine": table}).attrs["verdicts"]
    ['No verdict is possible: there are no two known groups to compare with (mine: 1 network).']
    """
    check_number(confidence, "confidence", above=0, below=1, such_as=0.95)
    check_number(alpha, "alpha", above=0, below=1, such_as=0.05)
    check_choice(method, "method", ("bh", "by"))
    seed = check_seed(seed)
    tables = tables_of(groups)
    shared = shared_attrs(tables)
    check_replicates(tables)
    summaries = {name: [summary_of(table) for table in of_group] for name, of_group in tables.items()}
    indicators = _usual(summaries, tables) if indicators is None else indicators
    check_indicators(summaries, indicators)
    layers, left_out = layers_in_all(summaries, beside_cells(tables))
    contrast = contrast_of(tables)
    possible = len(contrast) == 2 and min(len(tables[name]) for name in contrast) >= 2
    reasons = {(p, i): reason_against(i, p, tables) for p in POPULATIONS for i in indicators}
    check_comparable(reasons.values())
    values = _all_values(summaries, layers, indicators)
    rows = []
    for layer, population, indicator in product(layers, POPULATIONS, indicators):
        reason = reasons[population, indicator]
        cell = _cell(values[layer, population, indicator], contrast, possible and not reason, confidence, seed)
        rows.append({"layer": layer, "population": population, "indicator": indicator} | cell | {"reason": reason})
    result = pd.DataFrame(rows)
    result["p_corrected"] = corrected(result["p"].to_numpy(float), method)
    sizes = {name: len(of_group) for name, of_group in tables.items()}
    attrs = shared | {
        "schema": SCHEMA,
        "n_networks": sizes,
        "contrast": list(contrast),
        "placed": [name for name in tables if name not in contrast],
        "confidence": confidence,
        "alpha": alpha,
        "correction": method,
        "seed": seed,
        "layers_left_out": left_out,
        **_test_attrs(sizes, contrast if possible else (), result["p"].notna().sum(), alpha, method),
    }
    result = result[_column_order(result)]
    result.attrs.update(attrs)
    result.attrs["verdicts"] = verdicts(result)
    return result


def _usual(summaries: Mapping[str, list[pd.DataFrame]], tables: Mapping[str, list[pd.DataFrame]]) -> Sequence[str]:
    """Return those of the usual indicators of a kind of table that it has."""
    columns = next(iter(summaries.values()))[0].columns
    every = [table.attrs for of_group in tables.values() for table in of_group]
    if INDICATORS[0] in columns and any("reference" in attrs and not has_bins(attrs) for attrs in every):
        labelled = all("label_share_by" in attrs for attrs in every)
        return [name for name in USUAL_OF_CELLS if name in columns and (labelled or not name.startswith("label"))]
    for usual in (INDICATORS, OF_POPULATIONS, OF_MODELS):
        if usual[0] in columns:
            return [name for name in usual if name in columns] if usual is OF_MODELS else usual
    return INDICATORS


def _cell(values: Values, contrast: tuple[str, ...], possible: bool, confidence: float, seed: int) -> dict[str, Any]:
    """Compute one row: description of every group, the contrast, and the places of the other groups."""
    cell: dict[str, Any] = {}
    for name, x in values.items():
        cell[f"n_{name}"] = x.size
        cell[f"mean_{name}"] = x.mean() if x.size else math.nan
        cell[f"sd_{name}"] = x.std(ddof=1) if x.size > 1 else math.nan
    none = np.zeros(0)
    first, second = (values[name] for name in contrast) if possible else (none, none)
    for effect, (value, low, high) in {
        "difference": mean_difference(first, second, confidence=confidence),
        "hedges_g": hedges_g(first, second, confidence=confidence),
        "auc": auc(first, second, confidence=confidence),
    }.items():
        cell |= {effect: value, f"{effect}_low": low, f"{effect}_high": high}
    cell["p"] = permutation_p(first, second, seed=seed) if min(first.size, second.size) >= 2 else math.nan
    for name in values:
        if possible and name not in contrast:
            cell |= _place(name, values, contrast, confidence)
    return cell


def _place(name: str, values: Values, contrast: tuple[str, ...], confidence: float) -> dict[str, float | str]:
    """Compute where the mean of a group lies relative to two known groups."""
    mine, (first, second) = values[name], (values[known] for known in contrast)
    where = mine.mean() if mine.size else math.nan
    gap = first.mean() - second.mean() if min(first.size, second.size) else math.nan
    distances, inside = {}, []
    for known, x in zip(contrast, (first, second)):
        z = _prediction_z(where, mine.size, x)
        distances[f"z_{name}_from_{known}"] = z
        inside.append(bool(abs(z) <= stats.t.isf(0.5 - confidence / 2, x.size - 1)) if math.isfinite(z) else None)
    return {
        f"position_{name}": (where - second.mean()) / gap
        if math.isfinite(gap) and is_beyond_rounding(abs(gap), first, second)
        else math.nan,
        **distances,
        f"fits_{name}": _fits(inside, contrast),
    }


def _prediction_z(where: float, n_new: int, known: Float[np.ndarray, " network"]) -> float:
    """Compute the distance of the mean of new networks from known ones, in standard deviations of this difference; t-distributed if they are of the same kind."""
    spread = known.std(ddof=1) if known.size > 1 else math.nan
    if n_new == 0 or known.size == 0 or not is_beyond_rounding(spread, known):
        return math.nan
    return float((where - known.mean()) / (spread * math.sqrt(1 / n_new + 1 / known.size)))


def _fits(inside: Sequence[bool | None], contrast: tuple[str, ...]) -> str:
    first, second = inside
    if first is None or second is None:
        return ""
    if first == second:
        return "both" if first else "neither"
    return contrast[0] if first else contrast[1]


def _all_values(
    summaries: Mapping[str, list[pd.DataFrame]], layers: Sequence[str], indicators: Sequence[str]
) -> dict[tuple[str, str, str], Values]:
    """Collect one value per network for every cell; networks in which the indicator is undefined (without good units, for instance) are left out."""
    found = {name: [_by_cell(summary, indicators) for summary in each] for name, each in summaries.items()}
    cells = list(product(layers, POPULATIONS, indicators))
    values = {}
    for cell in cells:
        of_group = {name: np.array([one.get(cell, math.nan) for one in each]) for name, each in found.items()}
        values[cell] = {name: x[np.isfinite(x)] for name, x in of_group.items()}
    return values


def _by_cell(summary: pd.DataFrame, indicators: Sequence[str]) -> dict[tuple[str, str, str], float]:
    rows = list(zip(summary["layer"].tolist(), summary["population"].tolist()))
    columns = {name: summary[name].tolist() for name in indicators}
    return {(*row, name): float(column[at]) for name, column in columns.items() for at, row in enumerate(rows)}


def beside_cells(tables: Mapping[str, list[pd.DataFrame]]) -> bool:
    """Return whether recordings of networks are compared with recordings of cells."""
    return len({has_bins(table.attrs) for of_group in tables.values() for table in of_group}) == 2


def contrast_of(tables: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the two groups that are contrasted; none where there are no two known ones."""
    if all(name in tables for name in KNOWN):
        return KNOWN
    known = [name for name in tables if name != UNKNOWN]
    return tuple(known[:2]) if len(known) >= 2 else ()


def layers_in_all(summaries: Mapping[str, list[pd.DataFrame]], beside_cells: bool) -> tuple[list[str], list[str]]:
    """Find the layers that every network has, in the order of the first one, and those that only some have.

    Cells have no layers of a network: where networks are compared with cells and share no name, all units are pooled.
    """
    of_network = [list(dict.fromkeys(summary["layer"])) for each in summaries.values() for summary in each]
    everywhere = set.intersection(*map(set, of_network))
    some = list(dict.fromkeys(layer for layers in of_network for layer in layers if layer not in everywhere))
    kept = [layer for layer in of_network[0] if layer in everywhere]
    if kept == [NETWORK] and beside_cells:
        return kept, some
    if some and NETWORK in kept:  # pooled over different layers it is not the same quantity
        kept.remove(NETWORK)
    if not kept:
        raise AnalysisError(
            f"the networks have no layer in common (layers: {', '.join(map(repr, some))}).",
            "There is nothing to compare.",
            "Compare networks of the same architecture, or rename the `layer` column of their tables.",
        )
    return kept, some


def corrected(p: Float[np.ndarray, " cell"], method: Literal["bh", "by"]) -> Float[np.ndarray, " cell"]:
    """Correct the p values of all cells together; NaN where there is none."""
    known = np.isfinite(p)
    corrected = np.full(p.size, np.nan)
    if known.any():
        corrected[known] = stats.false_discovery_control(p[known], method=method)
    return corrected


def _test_attrs(
    sizes: Mapping[str, int],
    contrast: tuple[str, ...],
    n_cells: int | np.integer,
    alpha: float,
    method: Literal["bh", "by"],
) -> dict[str, Any]:
    """Describe the test: its kind, the smallest possible p, and how many cells must reach it for any to survive the correction."""
    if not contrast:
        return {"test": "none", "n_cells": 0, "cells_needed": 0}
    n = (sizes[contrast[0]], sizes[contrast[1]])
    # Benjamini and Yekutieli divide alpha by the sum of 1/i.
    strictness = 1.0 if method == "bh" else float(np.sum(1 / np.arange(1, max(n_cells, 1) + 1)))
    return {
        "test": "permutation, all arrangements" if is_exact(*n) else "permutation, arrangements drawn",
        "n_cells": int(n_cells),
        "smallest_p": smallest_p(*n),
        "cells_needed": math.ceil(int(n_cells) * strictness * smallest_p(*n) / alpha - 1e-9),
    }


def _column_order(result: pd.DataFrame) -> list[str]:
    columns = [c for c in result.columns if c != "p_corrected"]
    return [*columns[: columns.index("p") + 1], "p_corrected", *columns[columns.index("p") + 1 :]]
