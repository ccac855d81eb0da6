"""Small networks on real digits: with random weights, generalizing, and memorizing permuted labels."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from ann2neo.errors import Ann2NeoError
from ann2neo.progress import progress_bar

N_CLASSES = 10
STATES = ("random", "generalizing", "memorizing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """Images of handwritten digits, shape (input, 1, 8, 8), and their labels, shape (input,)."""

    images: Float[torch.Tensor, "input 1 row col"]
    labels: Int[np.ndarray, " input"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network of the demo in one state: its training labels, number of epochs, and accuracies."""

    architecture: str
    state: str
    model: nn.Module
    target: Int[np.ndarray, " input"]
    epochs: int
    accuracies: dict[str, float]

    @property
    def name(self) -> str:
        """Name of the files of the network."""
        return f"{self.architecture}-{self.state}"


def load_digits() -> Digits:
    """Read the 1,797 digits that come with scikit-learn, scaled to [0, 1]."""
    from sklearn.datasets import load_digits as read

    data: Any = read()
    return Digits(
        images=torch.tensor(data.images[:, None] / 16.0, dtype=torch.float32), labels=data.target.astype(np.int64)
    )


def permuted(labels: Int[np.ndarray, " input"], *, seed: int) -> Int[np.ndarray, " input"]:
    """Permute labels at random: each label is as frequent as before, but unrelated to the image."""
    return np.random.default_rng(seed).permutation(labels)


def make_mlp() -> nn.Module:
    """Make a perceptron with three hidden layers of 128 units."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(64, 128),
            relu1=nn.ReLU(),
            fc2=nn.Linear(128, 128),
            relu2=nn.ReLU(),
            fc3=nn.Linear(128, 128),
            relu3=nn.ReLU(),
            out=nn.Linear(128, N_CLASSES),
        )
    )


def make_cnn() -> nn.Module:
    """Make a convolutional network: 8 and 16 channels, then 64 units."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 3, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(8, 16, 3, stride=2, padding=1),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc=nn.Linear(256, 64),
            relu3=nn.ReLU(),
            out=nn.Linear(64, N_CLASSES),
        )
    )


ARCHITECTURES = {"mlp": make_mlp, "cnn": make_cnn}


def train(
    model: nn.Module,
    images: torch.Tensor,
    labels: Int[np.ndarray, " input"],
    *,
    seed: int,
    accuracy: float = 1.0,
    max_epochs: int = 400,
    name: str = "",
    progress: bool = True,
) -> int:
    """Train with Adam until the model predicts every label, and return the number of epochs.

    Raises
    ------
    Ann2NeoError
        If the accuracy is not reached: the network would not be in the state that the demo needs.
    """
    targets = torch.as_tensor(labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(seed)
    with progress_bar(shown=progress, desc=f"training {name}", unit="epoch", total=max_epochs) as bar:
        for epoch in range(max_epochs):
            for batch in torch.randperm(len(images), generator=generator).split(64):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(images[batch]), targets[batch]).backward()
                optimizer.step()
            reached = accuracy_of(model, images, labels)
            bar.set_postfix(accuracy=f"{reached:.1%}")
            bar.update()
            if reached >= accuracy:
                return epoch + 1
    raise Ann2NeoError(
        f"network {name!r} reached an accuracy of {reached:.1%} in {max_epochs} epochs, not {accuracy:.1%}.",
        "It has not learned its labels.",
        "Use another seed.",
    )


def accuracy_of(model: nn.Module, images: torch.Tensor, labels: Int[np.ndarray, " input"]) -> float:
    """Compute the share of inputs whose label the model predicts."""
    with torch.no_grad():
        return float((model(images).argmax(1) == torch.as_tensor(labels)).float().mean())
