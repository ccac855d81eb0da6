"""Training until a share of the labels is right, and what is measured of it."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

MAX_EPOCHS = 600
REACHED = 0.999
BATCH = 64


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
