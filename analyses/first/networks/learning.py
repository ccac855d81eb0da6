"""Networks of question 4: recorded inside the training loop, before the first epoch, after each of the first 30 and after every tenth.

Every network sees the same fixed probes, 500 training and 250 held-out images of digits, exported as ``NAME-epoch-012-train.nwb`` and ``NAME-epoch-012-held-out.nwb``. States:
"generalizing" (true labels), "memorizing" (a permutation of the labels) and "noisy" (half of the labels permuted among themselves); held-out images carry as target labels
what the same procedure makes of their classes. All networks of an architecture train for the same number of epochs, long enough for the memorizing ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

import ann2neo
from analyses.first.networks.cell import Cell, number_of
from analyses.networks.architectures import make
from analyses.networks.data import Data, load
from analyses.networks.training import accuracy, train

EPOCHS = {"mlp": 75, "cnn": 200}
SEEDS = {"generalizing": 5, "memorizing": 5, "noisy": 3}
NOISE = {"generalizing": 0.0, "memorizing": 1.0, "noisy": 0.5}
N_PROBES = {"train": 500, "held-out": 250}
EVERY_EPOCH_UNTIL, THEN_EVERY = 30, 10
SMOKE_EPOCHS, SMOKE_SEEDS = 3, {"generalizing": 2, "memorizing": 2, "noisy": 1}


def cells(smoke: bool) -> list[Cell]:
    """List the networks: both architectures in three states, or perceptrons with two seeds."""
    seeds = SMOKE_SEEDS if smoke else SEEDS
    return [
        Cell(study="learning", data="digits", architecture=architecture, state=state, seed=seed)
        for architecture in (("mlp",) if smoke else tuple(EPOCHS))
        for state in seeds
        for seed in range(seeds[state])
    ]


def recorded(epoch: int, last: int) -> bool:
    """Whether the network is recorded after an epoch (0: before the first).

    Examples
    --------
    >>> [epoch for epoch in range(28, 56) if recorded(epoch, 55)]
    [28, 29, 30, 40, 50, 55]
    """
    return epoch <= EVERY_EPOCH_UNTIL or epoch % THEN_EVERY == 0 or epoch == last


def relabelled(labels: Int[np.ndarray, " image"], share: float, rng: np.random.Generator) -> Int[np.ndarray, " image"]:
    """Permute a share of the labels among themselves.

    Parameters
    ----------
    labels
        True classes, shape (image,).
    share
        Share of the labels that change places; some get their own class back.
    rng
        Source of the permutation.

    Examples
    --------
    >>> labels = np.arange(10)
    >>> int((relabelled(labels, 0.5, np.random.default_rng(0)) != labels).sum())
    4
    """
    some = rng.permutation(labels.size)[: round(share * labels.size)]
    changed = labels.copy()
    changed[some] = labels[rng.permutation(some)]
    return changed


def run(cell: Cell, out: Path, seed: int, smoke: bool) -> dict[str, object]:
    """Train a network, record it after its epochs, and give its row of facts, with the time that recording took."""
    number, data = number_of(cell, seed), load(cell.data, smoke)
    last = SMOKE_EPOCHS if smoke else EPOCHS[cell.architecture]
    torch.manual_seed(number)
    model = make(cell.architecture, data.images.shape[-1])
    rng = np.random.default_rng(number + 1)
    target = relabelled(data.labels, NOISE[cell.state], rng)
    probes = _probes(data, target, relabelled(data.held_out_labels, NOISE[cell.state], rng))
    spent: dict[str, list[float]] = {"recording": [], "saving": []}
    after = _recorder(probes, out, cell.name, last, spent)
    after(0, model)
    started, before = time.perf_counter(), sum(map(sum, spent.values()))
    train(model, data.images, target, seed=number, epochs=last, after_epoch=after)
    training = time.perf_counter() - started - (sum(map(sum, spent.values())) - before)
    per_epoch = training / last
    return {
        "epochs": last,
        "accuracy_target": accuracy(model, data.images, target),
        "accuracy_true": accuracy(model, data.images, data.labels),
        "accuracy_held_out": accuracy(model, data.held_out_images, data.held_out_labels),
        "seconds_training": training,
        "recording_per_epoch_of_training": float(np.median(spent["recording"])) / per_epoch,
        "saving_per_epoch_of_training": float(np.median(spent["saving"])) / per_epoch,
    }


def _probes(
    data: Data, target: Int[np.ndarray, " image"], held_out_target: Int[np.ndarray, " held_out"]
) -> dict[str, ann2neo.Inputs]:
    """Choose the images that every network of every state is shown, in the order of the file."""
    chosen = np.sort(np.random.default_rng(0).permutation(len(data.labels))[: N_PROBES["train"]])
    held = slice(N_PROBES["held-out"])
    return {
        "train": ann2neo.Inputs(
            data.images[chosen],
            labels={"label": data.labels[chosen], "target_label": target[chosen]},
            dataset=data.name,
            dataset_split="train",
        ),
        "held-out": ann2neo.Inputs(
            data.held_out_images[held],
            labels={"label": data.held_out_labels[held], "target_label": held_out_target[held]},
            dataset=data.name,
            dataset_split="held-out",
        ),
    }


def _recorder(
    probes: dict[str, ann2neo.Inputs], out: Path, name: str, last: int, spent: dict[str, list[float]]
) -> Callable[[int, nn.Module], None]:
    """Make what the training loop calls after each epoch: it records both probes, and notes how long that takes."""

    def after_epoch(epoch: int, model: nn.Module) -> None:
        if not recorded(epoch, last):
            return
        started = time.perf_counter()
        recordings = {split: ann2neo.record(model, inputs, progress=False) for split, inputs in probes.items()}
        spent["recording"].append(time.perf_counter() - started)
        started = time.perf_counter()
        for split, recording in recordings.items():
            ann2neo.save(recording, out / f"{name}-epoch-{epoch:03d}-{split}.nwb", overwrite=True)
        spent["saving"].append(time.perf_counter() - started)

    return after_epoch
