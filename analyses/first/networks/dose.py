"""Networks trained on labels of which a share is wrong: 0, 10, ..., 100 % of them permuted among themselves.

All networks of a seed begin with the same weights and see the same batches for the same number of epochs: otherwise the dose would also be a length of training. The
number is what the slowest dose needs to get 99.9 % of its labels right, with a reserve; that is not 100 %, but some 20 to 60 %, where the wrong labels contradict what
the right ones teach. As the control, each network is also exported as it was when it had first got 99.9 % of its own labels right, on the way there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import nn

from analyses.first.networks.cell import Cell, number_of
from analyses.first.networks.exporting import export
from analyses.networks.architectures import make
from analyses.networks.data import load
from analyses.networks.training import REACHED, accuracy, train

NOISES = tuple(range(0, 101, 10))
N_SEEDS = {"mlp": 5, "cnn": 3}
EPOCHS = {"mlp": 120, "cnn": 220}
SMOKE_EPOCHS = 40


def cells(smoke: bool) -> list[Cell]:
    """List the networks."""
    seeds = {"mlp": 2} if smoke else N_SEEDS
    noises = (0, 50, 100) if smoke else NOISES
    return [
        Cell(study="dose", data="digits", architecture=architecture, state="noisy", seed=seed, noise=noise)
        for architecture, n_seeds in seeds.items()
        for seed in range(n_seeds)
        for noise in noises
    ]


def run(cell: Cell, out: Path, seed: int, smoke: bool) -> dict[str, object]:
    """Train and export one network at its end and, as the control, when it first got its labels right; give its facts."""
    number = number_of(cell, seed)
    data = load(cell.data, smoke)
    target = permuted(data.labels, share=(cell.noise or 0) / 100, rng=np.random.default_rng(number + 1))
    torch.manual_seed(number)
    model = make(cell.architecture, data.images.shape[-1])
    reached: list[int] = []

    def control(epoch: int, trained: nn.Module) -> None:
        if not reached and accuracy(trained, data.images, target) >= REACHED:
            reached.append(epoch)
            export(trained, data, target, out, f"{cell.name}-reached")

    epochs = SMOKE_EPOCHS if smoke else EPOCHS[cell.architecture]
    train(model, data.images, target, seed=number, epochs=epochs, optimizer=cell.optimizer, after_epoch=control)
    if not reached:
        export(model, data, target, out, f"{cell.name}-reached")
    export(model, data, target, out, cell.name)
    return {
        "share_wrong": float((target != data.labels).mean()),
        "epochs": epochs,
        "epochs_reached": reached[0] if reached else np.nan,
        "accuracy_target": accuracy(model, data.images, target),
        "accuracy_true": accuracy(model, data.images, data.labels),
        "accuracy_held_out": accuracy(model, data.held_out_images, data.held_out_labels),
    }


def permuted(labels: Int[np.ndarray, " image"], *, share: float, rng: np.random.Generator) -> Int[np.ndarray, " image"]:
    """Permute a share of the labels among themselves: each class keeps its number of images, so that windows by label keep their lengths.

    About a tenth of the permuted labels stay right by chance with ten classes. Larger shares contain the smaller ones of the same generator's state.

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
