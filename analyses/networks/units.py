"""What the units of a pair of networks add to the fixed indicators, after data were seen: windows of equal size, units that are not tied, and rates matched within layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from analyses.networks import activity, states
from analyses.networks.measures import MAIN
from analyses.plan import Cell

INDICATORS = ("fano", "label_share")


def run(cell: Cell, folder: Path, seeds: Sequence[int], smoke: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """Measure the networks of the study of states, which are trained if they are not there."""
    of = replace(cell, study="states")
    states.train(of, folder, seeds, smoke)
    for seed in seeds:
        yield seed, pd.DataFrame(_rows(of, folder, seed, smoke)).assign(seed=seed, **cell.facts)


def _rows(cell: Cell, folder: Path, seed: int, smoke: bool) -> Iterator[dict[str, object]]:
    data = states.data_of(cell, smoke)
    columns = {"label": data.labels, "memorized": states.permuted_labels(data, seed)}
    layers = {
        state: activity.activations(model, data.images)
        for state, (model, _) in states.networks(cell, folder, seed, data).items()
        if state in MAIN
    }
    if set(layers) != set(MAIN):
        return
    for windows, own in (("true", ("label", "label")), ("trained", ("memorized", "label"))):
        for rule in activity.THRESHOLDS:
            tables = [
                table_of(layers[state], columns[name], rule, activity.unit_table(layers[state], columns, rule, name))
                for state, name in zip(MAIN, own)
            ]
            for state, table in zip(MAIN, tables):
                yield {"state": state, "threshold": rule, "windows": windows} | _means(table)
            if rule == "0":
                matched = {name: within_layers(*tables, name) for name in INDICATORS}
                for place, state in enumerate(MAIN):
                    yield {
                        "state": state,
                        "threshold": rule,
                        "windows": f"{windows}, matched within layers",
                        **{f"{name}_mean": pair[place] for name, pair in matched.items()},
                        "common_share": matched["fano"][2],
                    }


def table_of(
    layers: activity.Activations, labels: Int[np.ndarray, " image"], rule: str, table: pd.DataFrame
) -> pd.DataFrame:
    """Add to a table of units whether each is tied, and its Fano factor over windows of equal size."""
    bits = np.concatenate([outputs > activity.thresholds(outputs, rule) for outputs in layers.values()], axis=1)
    tied = np.concatenate([activity._tied(outputs, rule) for outputs in layers.values()])
    return table.assign(tied=tied, fano_equal=equal_windows(bits, labels))


def equal_windows(
    bits: Bool[np.ndarray, "image unit"], labels: Int[np.ndarray, " image"]
) -> Float[np.ndarray, " unit"]:
    """Fano factor of counts rescaled to the mean size of the windows; NaN for units that never fire.

    Examples
    --------
    >>> equal_windows(np.array([[True], [True], [True]]), np.array([0, 0, 1]))
    array([0.])
    """
    members = np.eye(int(labels.max()) + 1)[labels]
    sizes = members.sum(axis=0)
    counts = (members.T @ bits) / sizes[:, None] * sizes.mean()
    with np.errstate(invalid="ignore"):
        return counts.var(axis=0) / counts.mean(axis=0)


def _means(table: pd.DataFrame) -> dict[str, float]:
    free = table[~table["tied"]]
    return {
        "fano_equal_mean": table["fano_equal"].mean(),
        "fano_untied_mean": free["fano"].mean(),
        "label_share_untied_mean": free["label_share"].mean(),
        "untied_share": len(free) / len(table),
        "empty_share": (1 - table.loc[table["fano"].notna(), "p_spike"]).mean(),
    }


def within_layers(one: pd.DataFrame, other: pd.DataFrame, column: str) -> tuple[float, float, float]:
    """Match two networks on rate within each layer, as `activity.rate_matched` does over all; also the share of units that they have in common."""
    parts: list[Mapping[str, float]] = []
    for layer in one["layer"].unique():
        pair = [table[(table["layer"] == layer) & table[column].notna()] for table in (one, other)]
        places = [
            np.minimum((t["p_spike"].to_numpy() * activity.BINS_OF_P).astype(int), activity.BINS_OF_P - 1) for t in pair
        ]
        common = int(np.minimum(*(np.bincount(p, minlength=activity.BINS_OF_P) for p in places)).sum())
        if common:
            first, second = activity.rate_matched(*pair, column)
            parts.append({"first": first, "second": second, "common": common})
    if not parts:
        return np.nan, np.nan, 0.0
    table = pd.DataFrame(parts)
    n = min(int(of[column].notna().sum()) for of in (one, other))
    means = (float(np.average(table[name], weights=table["common"])) for name in ("first", "second"))
    return (*means, float(table["common"].sum() / n))
