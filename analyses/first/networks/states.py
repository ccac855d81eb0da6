"""The study of states: random, generalizing, memorizing and equally long generalizing networks.

States: ``random`` (initial weights; batch-norm statistics settled on the training images), ``generalizing`` (true labels, until 99.9 % of the training images are
right), ``memorizing`` (a permutation of the labels, until 99.9 % of them are right), ``generalizing-long`` (true labels, for as many epochs as the memorizing
network of the same seed took: the fair control). All four begin with the same weights. A network that is not right after 600 epochs says so (``reached``).

Primary, fixed beforehand: perceptron and convolutional network, digits and MNIST, Adam, five seeds. Exploratory, four seeds: the same with SGD; a residual network and
a vision transformer; Fashion-MNIST; and data given by path.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from analyses.first.networks.cell import PRIMARY, STATES, Cell, number_of
from analyses.first.networks.exporting import export
from analyses.networks import indicators
from analyses.networks.architectures import make
from analyses.networks.data import MAX_TRAIN, Data, available, load
from analyses.networks.training import REACHED, accuracy, settle_batch_norm, train

# Of 4 against 4 networks an exact p can fall to 0.029, of 3 against 3 to no less than 0.1, which could never count.
N_SEEDS, N_EXPLORATORY_SEEDS = 5, 4
DEEP = ("resnet", "vit")
N_TRAIN_DEEP = 1000
SETTINGS = (
    ("digits", "mlp", "sgd"),
    ("digits", "cnn", "sgd"),
    ("mnist", "mlp", "sgd"),
    ("mnist", "cnn", "sgd"),
    ("digits", "resnet", "adam"),
    ("digits", "vit", "adam"),
    ("mnist", "resnet", "adam"),
    ("mnist", "vit", "adam"),
    ("fashion", "mlp", "adam"),
    ("fashion", "cnn", "adam"),
)


def cells(smoke: bool) -> list[Cell]:
    """List the networks: the primary ones, then the exploratory ones; in smoke mode one data set, two seeds and one exploratory setting."""
    if smoke:
        return [*_of(PRIMARY[:2], 2), *_of((("digits", "resnet", "adam"),), 2)]
    there = [setting for setting in SETTINGS if available(setting[0])]
    return [*_of(PRIMARY, N_SEEDS), *_of(there, N_EXPLORATORY_SEEDS)]


def given(idx: Mapping[str, tuple[str, str]], smoke: bool) -> list[Cell]:
    """List the networks for data that are given by path."""
    seeds = 2 if smoke else N_EXPLORATORY_SEEDS
    return [
        cell
        for name, files in idx.items()
        for cell in _of(((name, "mlp", "adam"), (name, "cnn", "adam")), seeds, idx=files)
    ]


def run(cell: Cell, out: Path, seed: int, smoke: bool) -> dict[str, object]:
    """Train one network, export it, and give what is known of it.

    Parameters
    ----------
    cell
        The network.
    out
        Folder to write into; the row of the memorizing network of the same seed is there if `cell` is its equally long control.
    seed
        Seed of the whole run.
    smoke
        Whether few images are enough.
    """
    number = number_of(cell, seed)
    data = load(cell.data, smoke, n_train=N_TRAIN_DEEP if cell.architecture in DEEP else MAX_TRAIN, idx=cell.idx)
    torch.manual_seed(number)
    model = make(cell.architecture, data.images.shape[-1])
    initial = copy.deepcopy(model.state_dict())
    target = targets(cell, data, number)
    epochs = _trained(model, cell, data, target, out, number)
    export(model, data, None if cell.state == "random" else target, out, cell.name)
    right = accuracy(model, data.images, target)
    return {
        "exploratory": (cell.data, cell.architecture, cell.optimizer) not in PRIMARY,
        "n_train": len(data.labels),
        "epochs": epochs,
        "accuracy_target": right,
        "accuracy_true": accuracy(model, data.images, data.labels),
        "accuracy_held_out": accuracy(model, data.held_out_images, data.held_out_labels),
        "reached": cell.state == "random" or right >= REACHED,
        **indicators.of(model, data, target, initial=initial),
    }


def targets(cell: Cell, data: Data, number: int) -> np.ndarray:
    """Labels that a network is trained on: the classes, or a permutation of them."""
    permuted = np.random.default_rng(number + 1).permutation(data.labels)
    return permuted if cell.state == "memorizing" else data.labels


def _trained(model: nn.Module, cell: Cell, data: Data, target: np.ndarray, out: Path, number: int) -> int:
    """Train as the state asks; give the number of epochs."""
    if cell.state == "random":
        settle_batch_norm(model, data.images, seed=number)
        return 0
    known = _epochs_of_memorizing(cell, out) if cell.state == "generalizing-long" else None
    return train(model, data.images, target, seed=number, epochs=known, optimizer=cell.optimizer)


def _epochs_of_memorizing(cell: Cell, out: Path) -> int:
    """Look up how long the memorizing network of the same seed took."""
    name = cell.name.replace("-generalizing-long-", "-memorizing-")
    return int(pd.read_csv(out / f"{name}.csv")["epochs"].iloc[0])


def _of(
    settings: tuple[tuple[str, str, str], ...] | list[tuple[str, str, str]],
    seeds: int,
    idx: tuple[str, str] | None = None,
) -> Iterator[Cell]:
    return (
        Cell(data=data, architecture=architecture, optimizer=optimizer, state=state, seed=seed, idx=idx)
        for data, architecture, optimizer in settings
        for seed in range(seeds)
        for state in STATES
    )
