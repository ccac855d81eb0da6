"""compare_distributions: how far the activation probabilities of two groups of networks lie apart as distributions over units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float

from ann2neo.arguments import check_choice, check_seed
from ann2neo.comparison.checks import check_comparable, shared_attrs, tables_of
from ann2neo.comparison.comparability import has_bins, reason_against
from ann2neo.comparison.effects import arrangements, is_exact, smallest_p
from ann2neo.comparison.groups import contrast_of, corrected, layers_in_all
from ann2neo.errors import AnalysisError
from ann2neo.summary import NETWORK, POPULATIONS, check_replicates, is_summary

SCHEMA = "ann2neo-distributions/1"
# Equal shares of the units in which quantile functions are averaged, most places at which distribution functions are compared, and arrangements at once.
N_SHARES, MAX_PLACES, AT_ONCE = 200, 400, 4096
DISTANCES = ("wasserstein", "ks")


def compare_distributions(
    groups: Mapping[str, pd.DataFrame | Sequence[pd.DataFrame]],
    *,
    method: Literal["bh", "by"] = "bh",
    seed: int = 0,
) -> pd.DataFrame:
    r"""Measure how far two groups of networks lie apart in how activation probabilities (``p_spike``) are distributed over units, for each layer.

    The network is the replicate. Each network has one distribution of p over the units of a layer; a group is the mean of those of its networks, each of weight 1 however
    many units it has: the mean quantile function :math:`\bar Q` for ``wasserstein``, the mean distribution function :math:`\bar F` for ``ks``,

    .. math:: W_1 = \int_0^1 |\bar Q_1(u) - \bar Q_2(u)|\, du, \qquad KS = \sup_p |\bar F_1(p) - \bar F_2(p)|.

    The first is in spikes per bin: how much probability units would have to gain or lose on average. The second is a share of units: the largest difference, over all borders, of
    the shares of units below the border. With one network in each group they are the usual distances of two samples. Quantile functions are averaged in 200 equal shares of the units (all units one by one where
    every network has the same number of at most 200), which can only make W_1 smaller; distribution functions are compared at every value that occurs, or at 400 of them.

    *Chance.* A distance of two finite groups is never negative, so that its value under chance is not 0: ``expected`` is its mean over the arrangements of networks to the two groups,
    and ``p`` the share of arrangements with a distance at least as large: all arrangements where they are at most 200,000, else 99,999 that are drawn, the observed one counted
    with them. It is exact if networks of both groups come from one population of networks, also one whose networks differ much. It is not a test of equal means of groups that differ
    in spread: there, with unequal numbers of networks, it rejects too often or too seldom. Units are never permuted.

    Parameters
    ----------
    groups
        Tables of units (`ann2neo.analyze`) by name of the group, one table per network. Contrasted are the groups "memorizing" and "generalizing"; where one of
        these is missing, the first two that are not called "mine".
    method
        How p values are corrected over all rows: "bh" (Benjamini and Hochberg) or "by" (Benjamini and Yekutieli).
    seed
        Seed of the arrangements that are drawn where there are too many to count all.

    Returns
    -------
    pandas.DataFrame
        A row per layer, population ("all", "good") and ``distance``: ``n_`` for each of the two groups (networks with such units), ``value``, ``expected``, ``p``, ``p_corrected`` and ``reason``, which says why a row
        cannot be compared (numbers of bins differ, for instance) and is then NaN. The last three numbers are NaN with fewer than 2 networks in a group. The network row, all layers together, comes last and
        only where all networks have the same layers.

    Raises
    ------
    AnalysisError
        If a table is a summary, which no longer knows its units, is of cells, which have no bins, or there are no two groups.

    See Also
    --------
    ann2neo.compare, ann2neo.figures.p_spike

    References
    ----------
    Activation probabilities over whole networks as an indicator: doi:10.1007/978-3-032-21477-5_27. Mean quantile functions: Panaretos and Zemel (2019),
    doi:10.1146/annurev-statistics-030718-104938. Exact permutation: Phipson and Smyth (2010), doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> import numpy as np, ann2neo
    >>> rng = np.random.default_rng(0)
    >>> def network(p):
    ...     return ann2neo.analyze(ann2neo.from_array(rng.random((200, 30)) < p), windows=20, progress=False)
    >>> groups = {"sparse": [network(0.1) for _ in range(4)], "dense": [network(0.3) for _ in range(4)]}
    >>> found = compare_distributions(groups)
    >>> found.query("layer == 'array' and population == 'all'")[["distance", "value", "expected", "p"]].round(2)
          distance  value  expected     p
    0  wasserstein    0.2      0.05  0.03
    1           ks    1.0      0.30  0.03
    """
    check_choice(method, "method", ("bh", "by"))
    seed = check_seed(seed)
    tables = tables_of(groups)
    contrast = contrast_of(tables)
    _check(tables, contrast)
    tables = {name: tables[name] for name in contrast}
    shared = shared_attrs(tables)
    check_replicates(tables)
    reasons = {population: reason_against("p_spike_q50", population, tables) for population in POPULATIONS}
    check_comparable(reasons.values())
    named = {name: [_with_network(table) for table in each] for name, each in tables.items()}
    layers, left_out = layers_in_all(named, False)
    known, rows = {name: _probabilities(each) for name, each in tables.items()}, []
    for layer, population in product(layers, POPULATIONS):
        of_group = {name: known[name].get((layer, population), []) for name in contrast}
        sizes = {f"n_{name}": len(each) for name, each in of_group.items()}
        found = distances(*of_group.values(), seed=seed) if not reasons[population] else _nothing()
        for distance, numbers in found.items():
            who = {"layer": layer, "population": population, "distance": distance}
            rows.append(who | sizes | numbers | {"reason": reasons[population]})
    result = pd.DataFrame(rows)
    result.insert(len(result.columns) - 1, "p_corrected", corrected(result["p"].to_numpy(float), method))
    numbers = {name: len(each) for name, each in tables.items()}
    replicated = min(numbers.values()) >= 2
    attrs: dict[Any, Any] = shared | {
        "schema": SCHEMA,
        "n_networks": numbers,
        "contrast": list(contrast),
        "correction": method,
        "seed": seed,
        "layers_left_out": left_out,
        "units": {"value": "spikes per bin (wasserstein), share of units (ks)"},
        **({"smallest_p": smallest_p(*numbers.values())} if replicated else {}),
    }
    result.attrs = attrs
    return result


def distances(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], *, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Compute both distances of two groups of samples, one sample per network, with what chance expects of them and p.

    Parameters
    ----------
    first, second
        Values of the units of each network, none of them empty.
    seed
        Seed of the arrangements that are drawn.

    Examples
    --------
    >>> found = distances([np.array([0.0, 0.2])], [np.array([0.1, 0.5])])
    >>> {name: round(each["value"], 3) for name, each in found.items()}
    {'wasserstein': 0.2, 'ks': 0.5}
    """
    if not first or not second:
        return _nothing()
    samples = [np.sort(values) for values in (*first, *second)]
    by_name = {"wasserstein": (_quantiles(samples), np.mean), "ks": (_shares_below(samples), np.max)}
    return {name: _permuted(curves, size, len(first), seed) for name, (curves, size) in by_name.items()}


def _permuted(curves: Float[np.ndarray, "network place"], size: Any, n_first: int, seed: int) -> dict[str, float]:
    """Take the size of the difference of two mean curves, and of those of networks that are dealt to the groups otherwise."""
    n_second = len(curves) - n_first

    def of(dealt: np.ndarray) -> np.ndarray:
        return size(np.abs(np.where(dealt, 1 / n_first, -1 / n_second) @ curves), axis=1)

    value = float(of(np.arange(len(curves))[None] < n_first)[0])
    if min(n_first, n_second) < 2:
        return {"value": value, "expected": math.nan, "p": math.nan}
    dealt = arrangements(n_first, n_second, seed)
    by_chance = np.concatenate([of(dealt[at : at + AT_ONCE]) for at in range(0, len(dealt), AT_ONCE)])
    extreme = int((by_chance >= value * (1 - 1e-9) - 1e-15).sum())
    exact = is_exact(n_first, n_second)
    p = extreme / len(dealt) if exact else (extreme + 1) / (len(dealt) + 1)
    return {"value": value, "expected": float(by_chance.mean()), "p": p}


def _quantiles(samples: Sequence[np.ndarray]) -> Float[np.ndarray, "network share"]:
    """Average each quantile function in equal shares of the units."""
    sizes = {values.size for values in samples}
    n_shares = min(sizes) if len(sizes) == 1 and min(sizes) <= N_SHARES else N_SHARES
    edges = np.arange(n_shares + 1) / n_shares
    return np.array([_averaged(values, edges) for values in samples])


def _averaged(values: Float[np.ndarray, " unit"], edges: Float[np.ndarray, " edge"]) -> Float[np.ndarray, " share"]:
    whole = np.concatenate([np.zeros(1), np.cumsum(values)]) / values.size
    return np.diff(np.interp(edges, np.arange(values.size + 1) / values.size, whole)) * (edges.size - 1)


def _shares_below(samples: Sequence[np.ndarray]) -> Float[np.ndarray, "network place"]:
    """Evaluate each distribution function at the values that occur, or at this many of them, equally spaced over all units."""
    places = np.unique(np.concatenate(samples))
    if places.size > MAX_PLACES:
        every = np.sort(np.concatenate([values[_spaced(values.size)] for values in samples]))
        places = np.unique(every[_spaced(every.size)])
    return np.array([np.searchsorted(values, places, side="right") / values.size for values in samples])


def _spaced(size: int) -> np.ndarray:
    return np.unique(np.linspace(0, size - 1, min(size, MAX_PLACES)).astype(np.int64))


def _probabilities(tables: Sequence[pd.DataFrame]) -> dict[tuple[str, str], list[np.ndarray]]:
    """Take the probabilities of each network by layer and population; a network that has no such unit is left out there."""
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for table in tables:
        p, layer = table["p_spike"].to_numpy(np.float64), table["layer"].astype(str).to_numpy()
        good = (table["quality"] == "good").to_numpy()
        for population, kept in (("all", ~np.isnan(p)), ("good", good & ~np.isnan(p))):
            parts = dict(iter(pd.Series(p[kept]).groupby(layer[kept])))
            for name, values in (*parts.items(), (NETWORK, p[kept])):
                if len(values):
                    found.setdefault((str(name), population), []).append(np.asarray(values))
    return found


def _with_network(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"layer": [*dict.fromkeys(table["layer"].astype(str)), NETWORK]})


def _nothing() -> dict[str, dict[str, float]]:
    return {name: dict.fromkeys(("value", "expected", "p"), math.nan) for name in DISTANCES}


def _check(tables: Mapping[str, Sequence[pd.DataFrame]], contrast: Sequence[str]) -> None:
    if len(contrast) < 2:
        raise AnalysisError(
            f"there are no two groups to compare ({', '.join(map(repr, tables))}).",
            "A distance lies between two.",
            'Give two: compare_distributions({"memorizing": [table, ...], "generalizing": [table, ...]}).',
        )
    for name in contrast:
        for place, table in enumerate(tables[name]):
            if is_summary(table) or not {"layer", "quality", "p_spike"} <= set(table.columns):
                what = "is a summary" if is_summary(table) else "is not a table of units"
                raise AnalysisError(
                    f"{name}[{place}] {what}.",
                    "It does not know how its units are distributed.",
                    "Give the table of units that `ann2neo.analyze` made.",
                )
            if not has_bins(table.attrs) and table["p_spike"].isna().all():
                raise AnalysisError(
                    f"{name}[{place}] has no bins.",
                    "There are no probabilities of a spike per bin.",
                    "Compare recordings of networks; cells are compared by `ann2neo.compare`.",
                )
