"""Networks of question 3: every one exported at three thresholds, the recurrent ones with one bin per row of the image.

Perceptrons and convolutional networks on digits (three seeds) and, where it is installed, on 1,000 images of Fashion-MNIST (two seeds); recurrent networks on digits (three seeds).
States: random, generalizing and memorizing (`states`), the latter two trained until 99.9 % of their labels are right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import ann2neo
from analyses.first.networks.cell import Cell, number_of
from analyses.networks.architectures import make
from analyses.networks.data import Data, available, load
from analyses.networks.training import accuracy, train

STATES = ("random", "generalizing", "memorizing")
SETTINGS = (
    ("digits", "mlp", 3),
    ("digits", "cnn", 3),
    ("digits", "gru", 3),
    ("fashion", "mlp", 2),
    ("fashion", "cnn", 2),
)
SMOKE_SETTINGS = (("digits", "mlp", 1), ("digits", "gru", 1))
SMOKE_STATES = {"mlp": STATES, "gru": STATES[-1:]}
THRESHOLDS = {"zero": None, "median": 0.5, "q90": 0.9}
N_FASHION, SMOKE_EPOCHS = 1000, 5


def cells(smoke: bool) -> list[Cell]:
    """List the networks: all of the plan whose data are there, or one perceptron in each state and one recurrent network."""
    return [
        Cell(study="poisson", data=data, architecture=architecture, state=state, seed=seed)
        for data, architecture, seeds in (SMOKE_SETTINGS if smoke else SETTINGS)
        if available(data)
        for seed in range(seeds)
        for state in (SMOKE_STATES[architecture] if smoke else STATES)
    ]


def run(cell: Cell, out: Path, seed: int, smoke: bool) -> dict[str, object]:
    """Train a network, export it over its training images at every threshold, and give its row of facts."""
    number = number_of(cell, seed)
    data = load(cell.data, smoke, n_train=N_FASHION) if cell.data == "fashion" else load(cell.data, smoke)
    torch.manual_seed(number)
    model = make(cell.architecture, data.images.shape[-1])
    permuted = np.random.default_rng(number + 1).permutation(data.labels)
    target = permuted if cell.state == "memorizing" else data.labels
    taken = 0
    if cell.state != "random":
        taken = train(model, data.images, target, seed=number, epochs=SMOKE_EPOCHS if smoke else None)
    for name, quantile in THRESHOLDS.items():
        _export(model, data, target, quantile, out / f"{cell.name}-{name}-train.nwb")
    return {
        "epochs": taken,
        "accuracy_target": accuracy(model, data.images, target),
        "accuracy_true": accuracy(model, data.images, data.labels),
        "accuracy_held_out": accuracy(model, data.held_out_images, data.held_out_labels),
    }


def _export(model: torch.nn.Module, data: Data, target: np.ndarray, quantile: float | None, path: Path) -> None:
    """Export with the activation's value at pre-activation 0 as threshold, or a quantile of each unit over the same images."""
    inputs = ann2neo.Inputs(
        data.images, labels={"label": data.labels, "target_label": target}, dataset=data.name, dataset_split="train"
    )
    rule = None if quantile is None else ann2neo.Quantile(quantile, on=data.images)
    sequence: dict[str, Any] = {"layers": "gru", "steps": ann2neo.Steps(1)} if hasattr(model, "gru") else {}
    ann2neo.export(model, inputs, path, threshold=rule, overwrite=True, progress=False, **sequence)
