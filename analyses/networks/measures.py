"""What is measured of the five networks of a seed: one table, a row for each state, images, threshold, windows and layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analyses.networks import activity, indicators, states
from analyses.networks.data import Data
from analyses.networks.training import REACHED, accuracy
from analyses.plan import Cell

FACTS = (
    "weight_norm",
    "distance_from_initial",
    "train_loss",
    "margin_mean",
    "held_out_margin_mean",
    "sparsity_mean",
    "effective_rank_mean",
)
MATCHED = ("fano", "label_share")
MAIN = ("memorizing", "generalizing-long")


def run(cell: Cell, folder: Path, seeds: Sequence[int], smoke: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """Train what is not there, then measure seed by seed."""
    states.train(cell, folder, seeds, smoke)
    for seed in seeds:
        yield seed, measure(cell, folder, seed, smoke)


def measure(cell: Cell, folder: Path, seed: int, smoke: bool) -> pd.DataFrame:
    """Measure the networks of a seed.

    Windows are by the true label ("label"), over training images also by the label that the memorizing network of the seed was trained on ("memorized"), in all states; over held-out images rows are
    of the network only. Rows of windows "facts" hold what is known of a network besides its spikes; rows of windows "label, rate-matched" the means of two networks weighted to one histogram of p.
    """
    data = states.data_of(cell, smoke)
    memorized = states.permuted_labels(data, seed)
    columns = {"label": data.labels, "memorized": memorized}
    found: list[pd.DataFrame] = []
    tables: dict[str, dict[str, pd.DataFrame]] = {windows: {} for windows in columns}
    initial = states.initial(cell, data, seed).state_dict()
    for state, (model, epochs) in states.networks(cell, folder, seed, data).items():
        layers = activity.activations(model, data.images)
        seen = pd.DataFrame(activity.rows(layers, columns, seed=seed)).assign(images="train")
        held = activity.activations(model, data.held_out_images)
        other = pd.DataFrame(activity.rows(held, {"label": data.held_out_labels}, seed=seed, orders=False)).assign(
            images="held-out"
        )
        known = pd.DataFrame(
            [_facts(model, data, memorized if state == "memorizing" else data.labels, initial, epochs)]
        )
        parts = [
            seen,
            other[other["layer"] == "network"],
            known.assign(images="none", windows="facts", layer="network"),
        ]
        found.append(pd.concat(parts, ignore_index=True).assign(state=state))
        if state in MAIN:
            for windows in columns:
                tables[windows][state] = activity.unit_table(layers, columns, "0", windows)
    found.append(pd.DataFrame(_matched(tables)))
    return pd.concat(found, ignore_index=True).assign(seed=seed, **cell.facts)


def _facts(
    model: object, data: Data, target: np.ndarray, initial: dict[str, object], epochs: float
) -> dict[str, float]:
    of = indicators.of(model, data, target, initial=initial)  # type: ignore[arg-type]
    right = accuracy(model, data.images, target)  # type: ignore[arg-type]
    return {
        "epochs": epochs,
        "accuracy": right,
        "reached": float(right >= REACHED),
        "accuracy_held_out": accuracy(model, data.held_out_images, data.held_out_labels),  # type: ignore[arg-type]
        **{name: of[name] for name in FACTS},
    }


def _matched(tables: dict[str, dict[str, pd.DataFrame]]) -> Iterator[dict[str, object]]:
    """Match both networks of the main contrast on rate, by true labels and each by its own."""
    if set(tables["label"]) != set(MAIN):
        return
    pairs = {
        "label": (tables["label"][MAIN[0]], tables["label"][MAIN[1]]),
        "trained": (tables["memorized"][MAIN[0]], tables["label"][MAIN[1]]),
    }
    for windows, (one, other) in pairs.items():
        values = {name: activity.rate_matched(one, other, name) for name in MATCHED}
        for place, state in enumerate(MAIN):
            yield {
                "state": state,
                "images": "train",
                "threshold": "0",
                "windows": f"{windows}, rate-matched",
                "layer": "network",
                **{f"{name}_mean": pair[place] for name, pair in values.items()},
            }
