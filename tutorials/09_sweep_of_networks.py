"""Tutorial 9: sixty networks, one tidy table: width, share of permuted labels, seed.

Each network is one replicate. It is recorded with notes that say which it is, and `ann2neo.collect` reads the notes back, so that names of files carry nothing.
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
# Train on 400 digits, of whose labels a share is permuted: the more, the more has to be memorized. All are shown the same 400 digits afterwards.
truth = torch.tensor(digits.target[:400])


def trained(width: int, noise: float, seed: int) -> torch.nn.Module:
    """Return a network that fits its labels, permuted ones included."""
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
# 2 widths x 3 shares of noise x 10 seeds.
inputs = ann2neo.Inputs(images[:400], labels=truth.numpy(), batch_size=400)
for width in (32, 128):
    for noise in (0.0, 0.5, 1.0):
        for seed in range(10):
            notes = {"width": width, "noise": noise, "seed": seed}
            recording = ann2neo.record(trained(width, noise, seed), inputs, notes=notes, progress=False)
            ann2neo.save(recording, folder / f"{len(list(folder.iterdir())):02}.zarr")

# %%
# One call for all files, also on the command line: `ann2neo collect sweep/*.zarr`. A row for each layer of each network.
table = ann2neo.collect(sorted(folder.glob("*.zarr")), windows="label", progress=False)
layers = table[(table["layer"] != "network") & (table["population"] == "all")]
columns = ["p_spike_mean", "fano_mean", "label_share_mean"]
print(layers.groupby(["notes_width", "notes_noise"])[columns].agg(["mean", "std"]).round(3).to_string())

# %%
# Is a difference more than one of seeds? `compare` takes tables of units, one for each network, and permutes networks: by the true label, wide networks.
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
