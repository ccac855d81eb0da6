"""Tutorial 1: from a torch model to a raster of its spikes, in ten lines."""

import torch
from sklearn.datasets import load_digits

import ann2neo

digits = load_digits()
images = torch.tensor(digits.data / 16, dtype=torch.float32)
model = torch.nn.Sequential(torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
recording = ann2neo.record(model, ann2neo.Inputs(images, labels=digits.target))
raster = ann2neo.figures.raster(recording.arrange("label"))
raster.savefig("raster.png")
raster

# %%
# The recording holds one bit for each unit and image: whether the activation exceeded its threshold.
print(recording)
print(recording.layers[0].name, "has threshold", recording.layers[0].thresholds[0])

# %%
# Save it to an NWB file, which the tools of neuroscience can open, or convert it to neo objects.
ann2neo.save(recording, "digits.nwb", overwrite=True)
block = ann2neo.to_block(recording)
train = block.segments[0].spiketrains[0]
print(f"{train.name}: {len(train)} spikes in {train.t_stop}, the first at {train[:4]}")

# %%
# Analyze it: the numbers are Elephant's, each with its expectation by chance for the same number of spikes in random order.
table = ann2neo.analyze(recording, windows="label")
print(
    table[["unit", "firing_rate", "cv", "cv_expected", "fano", "fano_expected", "quality"]]
    .head()
    .round(2)
    .to_string(index=False)
)
print(ann2neo.summarize(table)[["layer", "population", "firing_rate_mean", "fano_mean", "fano_expected_mean"]].round(2))

# %%
# Each point is a unit. Spike counts in windows of one digit vary more than chance predicts: units distinguish digits, even in a network that has learned nothing.
drawn = ann2neo.figures.fano_against_rate(table)
drawn.savefig("fano.png")
drawn
