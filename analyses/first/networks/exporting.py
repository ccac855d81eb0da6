"""What is written of a network: its spike trains over the training images and over the held-out ones, in presented order, as NWB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int
from torch import nn

import ann2neo
from analyses.networks.data import Data

SPLITS = ("train", "held-out")


def export(model: nn.Module, data: Data, target: Int[np.ndarray, " image"] | None, out: Path, name: str) -> None:
    """Export a network as ``NAME-train.nwb`` and ``NAME-held-out.nwb``.

    Parameters
    ----------
    model
        The network; it is recorded in evaluation mode.
    data
        Images and their classes, exported as the column "label".
    target
        Labels that the network was trained on, exported as "target_label"; None if it was not trained.
    out
        Folder to write into.
    name
        Beginning of the files' names.
    """
    trained = {} if target is None else {"target_label": target}
    parts = {
        "train": (data.images, {"label": data.labels, **trained}),
        "held-out": (data.held_out_images, {"label": data.held_out_labels}),
    }
    for split, (images, columns) in parts.items():
        inputs = ann2neo.Inputs(images, labels=columns, dataset=data.name, dataset_split=split)
        ann2neo.export(model, inputs, out / f"{name}-{split}.nwb", overwrite=True, progress=False)
