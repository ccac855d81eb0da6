"""Networks that were pruned or tuned, read from their tables and neo files: accuracy after each way of treating them, and what was measured of their units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

import ann2neo
from analyses.replicates import measure, networks_of

SETTING = ["data", "architecture"]
# What a network is to keep: what it was trained for.
MEASURED = {"generalizing": "accuracy_held_out", "memorizing": "accuracy_target"}


def pruned(networks: Path, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read all pruning curves, random draws averaged, and measure which share of each layer is silent.

    Parameters
    ----------
    networks
        Folder of the networks.
    seed
        Seed of the units that are checked with Elephant.

    Returns
    -------
    tuple[pandas.DataFrame, pandas.DataFrame]
        Accuracy by network, ranking and sparsity; and facts: one value per network and quantity.
    """
    curves, silent = [], []
    for cell in tqdm(list(networks_of(networks, "pruning").itertuples()), desc="pruning", unit="network"):
        first = _first(cell)
        curve = pd.read_csv(networks / "pruning" / f"{cell.name}.csv")
        means = (
            curve.groupby(["ranking", "sparsity"], sort=False)[MEASURED[str(cell.state)]]
            .mean()
            .reset_index(name="accuracy")
        )
        curves.append(means.assign(**first))
        units = measure(ann2neo.load(networks / f"{cell.name}-train.nwb"), "target_label", seed)
        shares = (units["quality"] == "silent").groupby(units["layer"], sort=False).mean()
        silent += [first | {"quantity": f"silent share of {layer}", "value": share} for layer, share in shares.items()]
    return pd.concat(curves, ignore_index=True), pd.DataFrame(silent)


def tuned(networks: Path, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Look up, for every network, the accuracy after each way of freezing; and measure how far its layers moved.

    Parameters
    ----------
    networks
        Folder of the networks.
    seed
        Seed of the units that are checked with Elephant.

    Returns
    -------
    tuple[pandas.DataFrame, pandas.DataFrame]
        Accuracy by network (rows) and way of freezing (columns); and facts: one value per network and quantity.
    """
    accuracies, moved = {}, []
    for cell in tqdm(list(networks_of(networks, "transfer").itertuples()), desc="transfer", unit="network"):
        table = pd.read_csv(networks / "transfer" / f"{cell.name}.csv", keep_default_na=False)
        by_frozen = {
            frozenset(filter(None, row.frozen.split("+"))): row.accuracy_held_out for row in table.itertuples()
        }
        layers = table["frozen"].iloc[-1].split("+")
        distances = {}
        if cell.state != "random":
            distances = layer_distances(*(networks / f"{cell.name}-{when}.nwb" for when in ("before", "after")), seed)
        key = (*_first(cell).values(),)
        accuracies[key] = ways(by_frozen, layers, distances)
        for measure_name, by_layer in distances.items():
            farthest = max(by_layer, key=by_layer.__getitem__)
            for layer in layers:
                moved.append(
                    _first(cell) | {"quantity": f"{measure_name} distance of {layer}", "value": by_layer[layer]}
                )
                moved.append(
                    _first(cell)
                    | {"quantity": f"farthest by {measure_name}: {layer}", "value": float(layer == farthest)}
                )
    index = pd.MultiIndex.from_tuples(accuracies, names=[*SETTING, "state", "seed"])
    return pd.DataFrame(list(accuracies.values()), index=index), pd.DataFrame(moved)


def layer_distances(before: Path, after: Path, seed: int) -> dict[str, dict[str, float]]:
    """Measure, layer by layer, how far training moved the units: mean absolute change of firing rate and of Fano factor (over units that have both)."""
    first, last = (measure(ann2neo.load(path), "label", seed) for path in (before, after))
    change = (last[["firing_rate", "fano"]] - first[["firing_rate", "fano"]]).abs()
    means = change.groupby(last["layer"], sort=False).mean()
    return {"rate": means["firing_rate"].to_dict(), "fano": means["fano"].to_dict()}


def ways(
    by_frozen: Mapping[frozenset[str], float], layers: list[str], distances: Mapping[str, Mapping[str, float]]
) -> dict[str, float]:
    """Give the accuracy after each way of freezing: none, all, and k layers: the first, any (the mean over all choices), the farthest moved and the nearest.

    Examples
    --------
    >>> accuracies = {frozenset(): 0.9, frozenset("a"): 0.8, frozenset("b"): 0.7, frozenset("ab"): 0.6}
    >>> found = ways(accuracies, ["a", "b"], {"rate": {"a": 1.0, "b": 3.0}})
    >>> found["none"], found["first 1"], found["any 1"], found["farthest (rate) 1"], found["nearest (rate) 1"]
    (0.9, 0.8, 0.75, 0.7, 0.8)
    """
    found = {"none": by_frozen[frozenset()], "all": by_frozen[frozenset(layers)]}
    for k in range(1, len(layers)):
        found[f"first {k}"] = by_frozen[frozenset(layers[:k])]
        found[f"any {k}"] = float(np.mean([accuracy for frozen, accuracy in by_frozen.items() if len(frozen) == k]))
        for name, by_layer in distances.items():
            ascending = sorted(layers, key=by_layer.__getitem__)
            found[f"farthest ({name}) {k}"] = by_frozen[frozenset(ascending[-k:])]
            found[f"nearest ({name}) {k}"] = by_frozen[frozenset(ascending[:k])]
    return found


def _first(cell: Any) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in (*SETTING, "state", "seed")}
