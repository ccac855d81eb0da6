"""Which arrival process describes a unit, and what a simulation from label tuning alone has of each indicator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

import ann2neo
from analyses.networks import activity, states
from analyses.plan import Cell

STATES = ("untrained", "memorizing", "generalizing-long")
MODELS = ("rate", "label", "markov", "gain", "renewal")
N_UNITS, WINDOW = 32, 50
INDICATORS = ("firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var", "label_share_mean")
ORDERS = ("shuffled", "label")


def run(cell: Cell, folder: Path, seeds: Sequence[int], smoke: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """Describe the networks of the study of states, which are trained if they are not there."""
    of = replace(cell, study="states")
    states.train(of, folder, seeds, smoke)
    data = states.data_of(of, smoke)
    for seed in seeds:
        memorized = states.permuted_labels(data, seed)
        rows: list[dict[str, object]] = []
        for state, (model, _) in states.networks(of, folder, seed, data).items():
            if state in STATES:
                target = memorized if state == "memorizing" else data.labels
                layers = _drawn(activity.activations(model, data.images))
                for rule in activity.THRESHOLDS:
                    rows += [
                        {"state": state, "threshold": rule} | row
                        for row in _rows(layers, rule, data.labels, target, seed)
                    ]
        yield seed, pd.DataFrame(rows).assign(seed=seed, **cell.facts)


def _drawn(layers: activity.Activations) -> activity.Activations:
    """Draw units of each layer, the same in all networks of an architecture."""
    chosen = {
        name: np.random.default_rng(0).permutation(outputs.shape[1])[:N_UNITS] for name, outputs in layers.items()
    }
    return {name: outputs[:, np.sort(chosen[name])] for name, outputs in layers.items()}


def _rows(
    layers: activity.Activations,
    rule: str,
    labels: Int[np.ndarray, " image"],
    target: Int[np.ndarray, " image"],
    seed: int,
) -> Iterator[dict[str, object]]:
    """Fit, test and simulate at one threshold: rows of each order and layer, and of each simulated indicator."""
    columns = {"label": labels, "target_label": target}
    for order, arranged in orders(target, seed).items():
        recording = activity.recording(layers, rule, columns, order=arranged)
        fitted = ann2neo.models.fit(recording, MODELS, by="target_label", windows=WINDOW, progress=False)
        tests = ann2neo.analyze(recording, windows="target_label", tests=True, progress=False)
        for layer, units in fitted.groupby("layer", sort=False):
            of_layer = tests[tests["layer"] == layer]
            yield {"what": "process", "order": order, "layer": layer, **_shares(units), **_rejected(of_layer)}
        if order == ORDERS[0]:
            yield from _simulated(recording, fitted, seed)


def orders(target: Int[np.ndarray, " image"], seed: int) -> dict[str, Int[np.ndarray, " image"]]:
    """Arrange images by chance, and by the label trained with; images of one label are in the order of chance, because MNIST's file lies sorted by class.

    Examples
    --------
    >>> arranged = orders(np.array([0, 0, 1, 1, 0]), 0)
    >>> arranged["shuffled"], arranged["label"]
    (array([2, 4, 3, 0, 1]), array([4, 0, 1, 2, 3]))
    """
    shuffled = np.random.default_rng(seed).permutation(len(target))
    return dict(zip(ORDERS, (shuffled, shuffled[np.argsort(target[shuffled], kind="stable")])))


def _shares(units: pd.DataFrame) -> dict[str, float]:
    known = units[units["best_bic"].isin(MODELS)]
    best = {f"best_{name}": float((known["best_bic"] == name).mean()) if len(known) else np.nan for name in MODELS}
    return {
        "n_units": len(units),
        "n_described": len(known),
        **best,
        "label_bits": float(units["label_bits_corrected"].mean()),
        "label_explained": float(units["label_explained"].mean()),
        "markov_memory": float(units["markov_memory"].mean()),
        "gain_rho": float(units["gain_rho"].mean()),
    }


def _rejected(units: pd.DataFrame) -> dict[str, float]:
    found = {}
    for name in ("isi_law_p", "overdispersion_p"):
        known = units.loc[units["quality"] == "good", name].dropna()
        found[f"rejected_{name}"] = float((known <= 0.05).mean()) if len(known) else np.nan
        found[f"tested_{name}"] = float(len(known))
    return found


def _simulated(recording: ann2neo.Recording, fitted: pd.DataFrame, seed: int) -> Iterator[dict[str, object]]:
    """Compare indicators of a simulation with those observed, windows by the trained label, over the drawn units of all layers."""
    for model in ("rate", "label"):
        simulated = ann2neo.models.simulate(fitted, like=recording, model=model, seed=seed)
        both = [_network(of) for of in (recording, simulated)]
        for name in INDICATORS:
            yield {
                "what": "simulated",
                "order": ORDERS[0],
                "layer": "network",
                "model": model,
                "indicator": name,
                "observed": both[0][name],
                "simulated": both[1][name],
            }


def _network(recording: ann2neo.Recording) -> pd.Series:
    summary = ann2neo.summarize(ann2neo.analyze(recording, windows="target_label", progress=False))
    return summary[(summary["layer"] == "network") & (summary["population"] == "all")].iloc[0]
