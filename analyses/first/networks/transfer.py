"""Networks pre-trained on the classes 0 to 4 and tuned on a few images of the classes 5 to 9, with every choice of frozen hidden layers.

The networks are exported over the images of the pre-training, before and after it, so that scripts can measure how far each layer moved from its random state and
look up what freezing it does. Before tuning, the output layer gets new weights; a frozen layer keeps weights and biases.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import nn

import ann2neo
from analyses.first.networks.cell import Cell, number_of
from analyses.first.networks.pruning import hidden
from analyses.networks.architectures import make
from analyses.networks.data import Data, load
from analyses.networks.training import MAX_EPOCHS, accuracy, train

STATES = ("random", "generalizing", "memorizing")
FIRST_NEW_CLASS = 5
N_TUNING_IMAGES = 100
TUNING_EPOCHS, SMOKE_TUNING_EPOCHS = 60, 5
SMOKE_EPOCHS = 20
FOLDER = "transfer"


def cells(smoke: bool) -> list[Cell]:
    """List the networks: those of a seed begin with the same weights, and the random ones are never pre-trained."""
    data, seeds = (("digits",), 2) if smoke else (("digits", "mnist"), 5)
    return [
        Cell(study="transfer", data=name, architecture=architecture, state=state, seed=seed)
        for name in data
        for architecture in (("mlp",) if smoke else ("mlp", "cnn"))
        for seed in range(seeds)
        for state in STATES
    ]


def run(cell: Cell, out: Path, seed: int, smoke: bool) -> dict[str, object]:
    """Pre-train, export before and after, and tune with every set of frozen layers; write the accuracies as a table of their own, and give the facts."""
    number = number_of(cell, seed)
    old, new = halves(load(cell.data, smoke))
    memorizing = cell.state == "memorizing"
    target = np.random.default_rng(number + 1).permutation(old.labels) if memorizing else old.labels
    torch.manual_seed(number)
    model = make(cell.architecture, old.images.shape[-1])
    taken = 0
    if cell.state != "random":
        _export(model, old, out / f"{cell.name}-before.nwb")
        longest = SMOKE_EPOCHS if smoke else MAX_EPOCHS
        taken = train(model, old.images, target, seed=number, epochs=None, optimizer=cell.optimizer, max_epochs=longest)
        _export(model, old, out / f"{cell.name}-after.nwb")
    rows = [
        {
            "frozen": "+".join(frozen),
            "accuracy_held_out": tuned(model, new, frozen, number, SMOKE_TUNING_EPOCHS if smoke else TUNING_EPOCHS),
        }
        for frozen in subsets(list(hidden(model)))
    ]
    (out / FOLDER).mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(out / FOLDER / f"{cell.name}.csv", index=False, float_format="%.6g")
    return {
        "epochs": taken,
        "accuracy_target": accuracy(model, old.images, target),
        "accuracy_true": accuracy(model, old.images, old.labels),
        "accuracy_held_out": accuracy(model, old.held_out_images, old.held_out_labels),
    }


def halves(data: Data) -> tuple[Data, Data]:
    """Part a data set by class: 0 to 4 to train before, 5 to 9 to tune on."""
    return _those(data, data.labels < FIRST_NEW_CLASS, data.held_out_labels < FIRST_NEW_CLASS), _those(
        data, data.labels >= FIRST_NEW_CLASS, data.held_out_labels >= FIRST_NEW_CLASS
    )


def subsets(layers: Sequence[str]) -> list[tuple[str, ...]]:
    """List all sets of layers, none and all of them included.

    Examples
    --------
    >>> subsets(["a", "b"])
    [(), ('a',), ('b',), ('a', 'b')]
    """
    return [chosen for size in range(len(layers) + 1) for chosen in combinations(layers, size)]


def few(labels: Int[np.ndarray, " image"], n_images: int, rng: np.random.Generator) -> Int[np.ndarray, " chosen"]:
    """Choose images at random, equally many of each class, in ascending order."""
    classes = np.unique(labels)
    each = n_images // len(classes)
    return np.sort(np.concatenate([rng.permutation(np.flatnonzero(labels == label))[:each] for label in classes]))


def tuned(model: nn.Module, data: Data, frozen: Sequence[str], number: int, epochs: int) -> float:
    """Tune a copy of a network on a few images, some layers frozen, and give its held-out accuracy.

    Every set of frozen layers meets the same images, batches and new output weights.
    """
    chosen = few(data.labels, N_TUNING_IMAGES, np.random.default_rng(number + 2))
    student = copy.deepcopy(model)
    torch.manual_seed(number + 3)
    n_classes, width = student.get_submodule("out").get_parameter("weight").shape
    student.set_submodule("out", nn.Linear(width, n_classes))
    freeze(student, frozen)
    train(student, data.images[chosen], data.labels[chosen], seed=number + 4, epochs=epochs)
    return accuracy(student, data.held_out_images, data.held_out_labels)


def freeze(model: nn.Module, layers: Sequence[str]) -> None:
    """Keep training from changing the module that leads into each of these activation functions."""
    before = hidden(model)
    for layer in layers:
        before[layer].requires_grad_(False)


def _those(data: Data, train_images: np.ndarray, held_out: np.ndarray) -> Data:
    return Data(
        name=data.name,
        images=data.images[train_images],
        labels=data.labels[train_images],
        held_out_images=data.held_out_images[held_out],
        held_out_labels=data.held_out_labels[held_out],
    )


def _export(model: nn.Module, data: Data, path: Path) -> None:
    inputs = ann2neo.Inputs(data.images, labels={"label": data.labels}, dataset=data.name, dataset_split="train")
    ann2neo.export(model, inputs, path, overwrite=True, progress=False)
