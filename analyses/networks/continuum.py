"""Networks between memorizing and generalizing: few or many training images, none to all of their labels permuted (`design.md`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Int

from analyses.networks import activity, indicators, states
from analyses.networks.data import Data
from analyses.networks.group import MAX_EPOCHS, SMOKE_EPOCHS, Epoch, train_group
from analyses.networks.training import REACHED, accuracy
from analyses.plan import NOISES, SIZES, Cell

SMOKE_SIZES, SMOKE_NOISES = (50, 200), (0, 50, 100)
Found = list[tuple[torch.nn.Module, int]]


def permuted(labels: Int[np.ndarray, " image"], *, share: float, rng: np.random.Generator) -> Int[np.ndarray, " image"]:
    """Permute a share of the labels among themselves; about a tenth of these stay right by chance with ten classes.

    Parameters
    ----------
    labels
        Class of each image, shape (image,).
    share
        Share of the images whose labels are permuted, rounded to whole images.
    rng
        Source of chance.

    Examples
    --------
    >>> permuted(np.arange(10), share=0.3, rng=np.random.default_rng(0))
    array([0, 1, 6, 3, 4, 5, 2, 7, 8, 9])
    """
    chosen = rng.permutation(len(labels))[: round(share * len(labels))]
    changed = labels.copy()
    changed[chosen] = labels[rng.permutation(chosen)]
    return changed


def run(cell: Cell, folder: Path, seeds: Sequence[int], smoke: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """Train and measure all sizes and shares of each seed: a group of networks for each size."""
    data = states.data_of(cell, smoke)
    sizes, noises = (SMOKE_SIZES, SMOKE_NOISES) if smoke else (SIZES, NOISES)
    for seed in seeds:
        rows: list[dict[str, object]] = []
        order = np.random.default_rng(seed).permutation(len(data.labels))
        for size in dict.fromkeys(min(size, len(data.labels)) for size in sizes):
            own = order[:size]
            part = replace(data, images=data.images[own], labels=data.labels[own])
            targets = [
                permuted(part.labels, share=noise / 100, rng=np.random.default_rng(seed + 1)) for noise in noises
            ]
            models = [states.initial(cell, data, seed) for _ in noises]
            trained = train_until(
                models,
                part.images,
                np.stack(targets),
                seeds=[seed] * len(noises),
                optimizer=cell.optimizer,
                smoke=smoke,
            )
            for noise, target, (model, epochs) in zip(noises, targets, trained):
                first = {"size": size, "noise": noise, "epochs": epochs}
                rows += [
                    first | row
                    for row in _rows(model, part, target, states.initial(cell, data, seed).state_dict(), seed)
                ]
        yield seed, pd.DataFrame(rows).assign(seed=seed, **cell.facts)


def train_until(
    models: Sequence[torch.nn.Module],
    images: torch.Tensor,
    labels: Int[np.ndarray, "network image"],
    *,
    seeds: Sequence[int],
    optimizer: str,
    smoke: bool,
) -> Found:
    """Train a group until each network gets 99.9 % of its own labels right, or the longest time is over; give them with their epochs."""
    longest = SMOKE_EPOCHS if smoke else MAX_EPOCHS
    epochs = np.zeros(len(models), int)

    def after_epoch(epoch: Epoch) -> Bool[np.ndarray, " network"]:
        leave = (epoch.accuracy >= REACHED) | (epoch.number == longest)
        for place in np.flatnonzero(leave):
            models[epoch.members[place]].load_state_dict(epoch.weights(place))
            epochs[epoch.members[place]] = epoch.number
        return leave

    train_group(models, images, labels, seeds=seeds, after_epoch=after_epoch, optimizer=optimizer)
    return [(model.eval(), int(number)) for model, number in zip(models, epochs)]


def _rows(
    model: torch.nn.Module, part: Data, target: Int[np.ndarray, " image"], initial: dict[str, torch.Tensor], seed: int
) -> Iterator[dict[str, object]]:
    """Measure one network on the held-out images by true label and on its own by trained label, and what else is known of it."""
    seen = {
        "held-out": (part.held_out_images, part.held_out_labels),
        "train": (part.images, target),
    }
    for name, (images, labels) in seen.items():
        layers = activity.activations(model, images)
        for row in activity.rows(layers, {"label": labels}, seed=seed, orders=False):
            if row["layer"] == "network":
                yield {"images": name, **row}
    right, held_out = accuracy(model, part.images, target), accuracy(model, part.held_out_images, part.held_out_labels)
    yield {
        "images": "none",
        "windows": "facts",
        "layer": "network",
        "share_wrong": float((target != part.labels).mean()),
        "accuracy": right,
        "reached": float(right >= REACHED),
        "accuracy_held_out": held_out,
        "gap": right - held_out,
        **{
            name: value
            for name, value in indicators.of(model, part, target, initial=initial).items()
            if ":" not in name
        },
    }
