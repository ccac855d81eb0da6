"""The five networks of a seed: untrained, memorizing and, along one training with true labels, generalizing, matched and long (`design.md`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int

from analyses.networks.architectures import make
from analyses.networks.data import MAX_TRAIN, Data, load
from analyses.networks.group import MAX_EPOCHS, SMOKE_EPOCHS, Epoch, Weights, train_group
from analyses.networks.training import REACHED, settle_batch_norm
from analyses.plan import Cell

N_TRAIN_DEEP = 1000
SIDE_DEEP = 16
STATES = ("untrained", "memorizing", "generalizing", "generalizing-matched", "generalizing-long")
# Losses at which a network with true labels is kept, so that one of them can be matched: between them a tenth.
LARGEST_KEPT, STEP = 1.0, 0.9


@dataclass(slots=True)
class _Pair:
    """What is known of the two trainings of a seed so far."""

    found: dict[str, Weights] = field(default_factory=dict)
    epochs: dict[str, int] = field(default_factory=dict)
    passed: list[tuple[float, int, Weights]] = field(default_factory=list)


def data_of(cell: Cell, smoke: bool) -> Data:
    """Read the images of a setting."""
    n_train = N_TRAIN_DEEP if cell.architecture == "vit" else MAX_TRAIN
    return load(cell.data, smoke, n_train=n_train, side=SIDE_DEEP if cell.architecture == "resnet18" else None)


def permuted_labels(data: Data, seed: int) -> Int[np.ndarray, " image"]:
    """Labels of the memorizing network of a seed."""
    return np.random.default_rng(seed + 1).permutation(data.labels)


def initial(cell: Cell, data: Data, seed: int) -> torch.nn.Module:
    """Make the untrained network of a seed; statistics of batch normalization are those of the training images."""
    torch.manual_seed(seed)
    model = make(cell.architecture, data.images.shape[-1])
    settle_batch_norm(model, data.images, seed=seed)
    return model


def train(cell: Cell, folder: Path, seeds: Sequence[int], smoke: bool) -> None:
    """Train the seeds that are not there in one group and write ``SEED.pt``, the states of the five networks and their epochs, as each seed is finished."""
    seeds = [seed for seed in seeds if not (folder / cell.name / f"{seed}.pt").exists()]
    if not seeds:
        return
    data = data_of(cell, smoke)
    models = [initial(cell, data, seed) for seed in seeds]
    pairs = {seed: _Pair(found={"untrained": model.state_dict()}) for seed, model in zip(seeds, models)}
    (folder / cell.name).mkdir(parents=True, exist_ok=True)
    longest = SMOKE_EPOCHS if smoke else MAX_EPOCHS

    def after_epoch(epoch: Epoch) -> Bool[np.ndarray, " network"]:
        leave = np.zeros(len(epoch.members), bool)
        for place, member in enumerate(epoch.members):
            seed, memorizes = seeds[member // 2], member % 2 == 0
            if memorizes and (epoch.accuracy[place] >= REACHED or epoch.number == longest):
                other = int(np.flatnonzero(epoch.members == member + 1)[0])
                _notice(pairs[seed], epoch, other)
                _finish(pairs[seed], epoch, place, other)
                _write(pairs.pop(seed), folder / cell.name / f"{seed}.pt")
                leave[[place, other]] = True
            elif not memorizes and not leave[place]:
                _notice(pairs[seed], epoch, place)
        return leave

    labels = np.stack([some for seed in seeds for some in (permuted_labels(data, seed), data.labels)])
    train_group(
        [model for model in models for _ in range(2)],
        data.images,
        labels,
        seeds=[seed for seed in seeds for _ in range(2)],
        after_epoch=after_epoch,
        optimizer=cell.optimizer,
    )


def _notice(pair: _Pair, epoch: Epoch, place: int) -> None:
    """Keep a network with true labels when it first gets them right, and whenever its loss falls by a tenth."""
    loss = float(epoch.loss[place])
    if epoch.accuracy[place] >= REACHED and "generalizing" not in pair.found:
        pair.found["generalizing"], pair.epochs["generalizing"] = epoch.weights(place), epoch.number
    lowest = pair.passed[-1][0] if pair.passed else LARGEST_KEPT
    if loss <= STEP * lowest:
        pair.passed.append((loss, epoch.number, epoch.weights(place)))


def _finish(pair: _Pair, epoch: Epoch, memorizing: int, generalizing: int) -> None:
    """Keep both networks as they are at the end, and of those kept on the way the first whose loss is at most the memorizing one's."""
    wanted = float(epoch.loss[memorizing])
    pair.found["memorizing"] = epoch.weights(memorizing)
    pair.found["generalizing-long"] = epoch.weights(generalizing)
    pair.epochs |= {"memorizing": epoch.number, "generalizing-long": epoch.number}
    matched = next(((number, weights) for loss, number, weights in pair.passed if loss <= wanted), None)
    if matched is not None:
        pair.epochs["generalizing-matched"], pair.found["generalizing-matched"] = matched


def _write(pair: _Pair, path: Path) -> None:
    """Write beside the place and move there, so that half a file never counts."""
    partial = path.with_suffix(".partial")
    torch.save({"states": pair.found, "epochs": pair.epochs}, partial)
    partial.replace(path)


def networks(cell: Cell, folder: Path, seed: int, data: Data) -> dict[str, tuple[torch.nn.Module, float]]:
    """Read the networks of a seed, in evaluation mode, each with the epochs that it took (untrained: 0)."""
    kept = torch.load(folder / cell.name / f"{seed}.pt", weights_only=True)
    found = {}
    for state in STATES:
        if state in kept["states"]:
            model = initial(cell, data, seed)
            model.load_state_dict(kept["states"][state])
            found[state] = (model.eval(), float(kept["epochs"].get(state, 0 if state == "untrained" else math.nan)))
    return found
