"""Make the picture of the README: `python tutorials/guide/pictures.py` writes `_static/rasters.png`.

Two perceptrons of 100 hidden units learn 400 digits, one with true labels, the other with permuted labels. Both are recorded over the same 400 digits, arranged by true
label, with units sorted in the same way. The first has learned classes, the second single inputs.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits

import ann2neo

digits = load_digits()
images, truth = torch.tensor(digits.data[:400] / 16, dtype=torch.float32), torch.tensor(digits.target[:400])
permuted = truth[torch.tensor(np.random.default_rng(0).permutation(400))]

figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
for ax, (title, labels) in zip(axes, {"trained on true labels": truth, "trained on permuted labels": permuted}.items()):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    recording = ann2neo.record(model, ann2neo.Inputs(images, labels=truth.numpy()), progress=False)
    table = ann2neo.analyze(recording, windows="label", progress=False)
    ann2neo.figures.raster(recording.arrange("label"), ax=ax, sort="tuning")
    ax.set_title(
        f"{title}: mean Fano factor {table['fano'].mean():.1f}, label share {table['label_share'].mean():.2f}",
        fontsize=10,
        pad=22,
    )
figure.savefig(Path(__file__).parent / "_static" / "rasters.png", dpi=110)
