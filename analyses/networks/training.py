"""Training until a share of the labels is right, and what is measured of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

MAX_EPOCHS = 600
REACHED = 0.999
BATCH = 64


def train(
    model: nn.Module,
    images: Float[torch.Tensor, "image 1 row column"],
    labels: Int[np.ndarray, " image"],
    *,
    seed: int,
    epochs: int | None,
    optimizer: str = "adam",
    after_epoch: Callable[[int, nn.Module], object] | None = None,
    max_epochs: int = MAX_EPOCHS,
) -> int:
    """Train for a number of epochs, or until 99.9 % of the labels are right or the longest time is over; give the number of epochs.

    Parameters
    ----------
    model
        The network, changed in place.
    images
        Images, shape (image, 1, row, column).
    labels
        Labels to learn, shape (image,).
    seed
        Seed of the batches.
    epochs
        How many epochs; None trains until the labels are right.
    optimizer
        "adam" (learning rate 0.001) or "sgd" (0.02, momentum 0.9).
    after_epoch
        Called with the number of the epoch (from 1) and the network after each epoch.
    max_epochs
        Longest time, where `epochs` is None; whether it sufficed is seen in the accuracy.
    """
    targets = torch.as_tensor(labels)
    stepper = _optimizer(optimizer, model)
    generator = torch.Generator().manual_seed(seed)
    last = max_epochs if epochs is None else epochs
    for epoch in range(1, last + 1):
        for batch in torch.randperm(len(images), generator=generator).split(BATCH):
            stepper.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), targets[batch]).backward()
            stepper.step()
        if after_epoch is not None:
            after_epoch(epoch, model)
        if epochs is None and accuracy(model, images, labels) >= REACHED:
            return epoch
    return last


def accuracy(
    model: nn.Module, images: Float[torch.Tensor, "image 1 row column"], labels: Int[np.ndarray, " image"]
) -> float:
    """Share of images that get their label, the network in evaluation mode."""
    was = model.training
    model.eval()
    with torch.no_grad():
        right = float((model(images).argmax(1) == torch.as_tensor(labels)).float().mean())
    model.train(was)
    return right


def settle_batch_norm(model: nn.Module, images: Float[torch.Tensor, "image 1 row column"], *, seed: int) -> None:
    """Set the statistics of batch normalization to those of the images, without changing a weight: an untrained network has none otherwise.

    Their means over one epoch of batches, drawn as in training, are kept.
    """
    norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then takes the plain mean over batches
    was = model.training
    model.train()
    with torch.no_grad():
        for batch in torch.randperm(len(images), generator=torch.Generator().manual_seed(seed)).split(BATCH):
            model(images[batch])
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    model.train(was)


def _optimizer(name: str, model: nn.Module) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    return torch.optim.Adam(model.parameters(), lr=1e-3)
