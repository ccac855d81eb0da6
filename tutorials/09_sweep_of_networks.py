"""Tutorial 9: sixty networks, one tidy table: width, share of permuted labels, seed.

Each network is one replicate. It is recorded with notes that identify it, and `ann2neo.collect` reads these notes, so that the names of files do not matter.
"""

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

import ann2neo

digits = load_digits()
images = torch.tensor(digits.data / 16, dtype=torch.float32)
folder = Path("sweep")
folder.mkdir(exist_ok=True)

# %%
# Train each network on 400 digits with a share of permuted labels: the larger this share, the more the network has to memorize. All networks are recorded over the same 400 digits.
truth = torch.tensor(digits.target[:400])


def trained(width: int, noise: float, seed: int) -> torch.nn.Module:
    """Train a network on labels of which a share ``noise`` is permuted."""
    rng = np.random.default_rng(seed)
    labels, wrong = truth.clone(), np.flatnonzero(rng.random(400) < noise)
    labels[wrong] = labels[rng.permutation(wrong)]
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Linear(width, 10))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images[:400]), labels).backward()
        optimizer.step()
    return model


# %%
# Record 2 widths x 3 shares of permuted labels x 10 seeds.
inputs = ann2neo.Inputs(images[:400], labels=truth.numpy(), batch_size=400)
for width in (32, 128):
    for noise in (0.0, 0.5, 1.0):
        for seed in range(10):
            notes = {"width": width, "noise": noise, "seed": seed}
            recording = ann2neo.record(trained(width, noise, seed), inputs, notes=notes, progress=False)
            ann2neo.save(recording, folder / f"{len(list(folder.iterdir())):02}.zarr")

# %%
# Collect all files into one table, with a row for each layer of each network. On the command line: `ann2neo collect sweep/*.zarr`.
table = ann2neo.collect(sorted(folder.glob("*.zarr")), windows="label", progress=False)
layers = table[(table["layer"] != "network") & (table["population"] == "all")]
columns = ["p_spike_mean", "fano_mean", "label_share_mean"]
print(layers.groupby(["notes_width", "notes_noise"])[columns].agg(["mean", "std"]).round(3).to_string())

# %%
# Is a difference larger than that between seeds? `compare` takes one table of units per network, and permutes networks. Here it compares wide networks, with windows by the true label.
groups = {"true labels": [], "permuted": []}
for path in sorted(folder.glob("*.zarr")):
    recording = ann2neo.load(path)
    if recording.provenance["notes_width"] == 128 and recording.provenance["notes_noise"] in (0.0, 1.0):
        name = "true labels" if recording.provenance["notes_noise"] == 0.0 else "permuted"
        groups[name].append(ann2neo.analyze(recording, windows="label", progress=False))
compared = ann2neo.compare(groups)
chosen = compared[(compared["layer"] == "1") & (compared["population"] == "all")]
print(chosen[["indicator", "difference", "p", "p_corrected"]].to_string(index=False, float_format="{:.3g}".format))

# %%
# The indicators of both groups, layer by layer.
summaries = {name: [ann2neo.summarize(table) for table in tables] for name, tables in groups.items()}
drawn = ann2neo.figures.indicators(summaries)
drawn.savefig("indicators.png")
drawn
