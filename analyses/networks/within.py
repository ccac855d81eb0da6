"""Networks that learned half of their labels wrong: are the patterns of the mislabelled images different from those of the others?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import nn

import ann2neo
from analyses.networks import activity, states
from analyses.networks.continuum import permuted, train_until
from analyses.networks.data import Data
from analyses.networks.indicators import margins
from analyses.networks.training import accuracy
from analyses.plan import Cell
from analyses.statistics import area_under_curve

SHARE = 0.5
# Added to spikes and to empty bins of a label: that of the left-out likelihood in `ann2neo.models.fit`.
PRIOR = 0.5


def run(cell: Cell, folder: Path, seeds: Sequence[int], smoke: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """Train all seeds in one group, then measure each."""
    data = states.data_of(cell, smoke)
    targets = [permuted(data.labels, share=SHARE, rng=np.random.default_rng(seed + 1)) for seed in seeds]
    models = [states.initial(cell, data, seed) for seed in seeds]
    trained = train_until(models, data.images, np.stack(targets), seeds=seeds, optimizer=cell.optimizer, smoke=smoke)
    for seed, target, (model, epochs) in zip(seeds, targets, trained):
        # The control that was added after the first cell was seen: images alone may tell which of them are mislabelled, without anything learned.
        seen = {"trained": model, "untrained": states.initial(cell, data, seed).eval()}
        rows = [{"state": state} | row for state, of in seen.items() for row in _rows(of, data, target)]
        yield seed, pd.DataFrame(rows).assign(epochs=epochs, seed=seed, **cell.facts)


def _rows(model: nn.Module, data: Data, target: Int[np.ndarray, " image"]) -> Iterator[dict[str, object]]:
    wrong = target != data.labels
    facts = {"n_wrong": int(wrong.sum()), "accuracy": accuracy(model, data.images, target)}
    facts |= {"accuracy_held_out": accuracy(model, data.held_out_images, data.held_out_labels)}
    with torch.no_grad():
        outputs = model(data.images).numpy()
    yield {
        "layer": "output",
        "threshold": "none",
        "score": "margin",
        "auc": area_under_curve(-margins(outputs, target), wrong),
        **facts,
    }
    layers = activity.activations(model, data.images)
    for rule in activity.THRESHOLDS:
        recording = activity.recording(layers, rule, {"label": data.labels, "target_label": target})
        for name, outputs in layers.items():
            bits = outputs > activity.thresholds(outputs, rule)
            for score, values in scores(recording, name, bits, target).items():
                yield {
                    "layer": name,
                    "threshold": rule,
                    "score": score,
                    "auc": area_under_curve(values, wrong),
                    **facts,
                }


def scores(
    recording: ann2neo.Recording, layer: str, bits: Bool[np.ndarray, "image unit"], target: Int[np.ndarray, " image"]
) -> dict[str, Float[np.ndarray, " image"]]:
    """Score each image: the larger, the less it lies with others of its trained label.

    ``hamming``: distance to the nearest image of the same trained label less that to the nearest of another; ``likelihood``: minus the left-out log-likelihood of its bits under its trained label; ``likelihood ratio``:
    the largest log-likelihood under another label less that.
    """
    nearest = ann2neo.population.nearest_inputs(recording, by="target_label", layer=layer)
    difference = nearest.sort_values("trial")["difference"].to_numpy(np.float64)
    likelihood = left_out_likelihood(bits, target)
    rows = np.arange(len(target))
    own = likelihood[rows, target]
    likelihood[rows, target] = -np.inf
    return {"hamming": -difference, "likelihood": -own, "likelihood ratio": likelihood.max(axis=1) - own}


def left_out_likelihood(
    bits: Bool[np.ndarray, "image unit"], labels: Int[np.ndarray, " image"]
) -> Float[np.ndarray, "image label"]:
    """Log-likelihood of each image's bits under each label, its units independent, at shares of the other images.

    With s spikes in m other images of a label, a unit spikes with probability (s + 1/2) / (m + 1): the left-out likelihood of the model "label" of `ann2neo.models.fit`, there summed over images, here over units.
    """
    spikes = bits.astype(np.float64)
    n_labels = int(labels.max()) + 1
    members = np.eye(n_labels)[labels]
    counts, sizes = members.T @ spikes, members.sum(axis=0)[:, None]
    p = (counts + PRIOR) / (sizes + 2 * PRIOR)
    found = spikes @ np.log(p).T + (1 - spikes) @ np.log1p(-p).T
    left = (counts[labels] - spikes + PRIOR) / (sizes[labels] - 1 + 2 * PRIOR)
    found[np.arange(len(labels)), labels] = np.where(bits, np.log(left), np.log1p(-left)).sum(axis=1)
    return found
