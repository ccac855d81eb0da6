"""Tutorial 2: a biological recording and a network, analyzed by the same code, each with its own reference.

The cells are auditory receptor neurons of a grasshopper, recorded while a sound of random amplitude was played for ten seconds; their spike times come with
nitime. Any other file that neo reads can be analyzed in the same way.
"""

from pathlib import Path

import neo
import nitime
import numpy as np
import pandas as pd
import quantities as pq
import torch
from sklearn.datasets import load_digits

import ann2neo

# %%
# Two cells as a laboratory would store them: spike times in microseconds, in a NIX file.
block = neo.Block(name="grasshopper receptors")
segment = neo.Segment()
for number in (1, 2):
    path = Path(nitime.__file__).parent / "data" / f"grasshopper_spike_times{number}.txt"
    times = np.loadtxt(path) * pq.us
    segment.spiketrains.append(neo.SpikeTrain(times, t_stop=1e7 * pq.us, name=f"receptor {number}"))
block.segments.append(segment)
with neo.NixIO("cells.nix", "ow") as file:
    file.write_block(block)

# %%
# A network on real images, exported to an NWB file.
digits = load_digits()
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 50), torch.nn.ReLU(), torch.nn.Linear(50, 10))
inputs = ann2neo.Inputs(torch.tensor(digits.data / 16, dtype=torch.float32), labels=digits.target)
ann2neo.export(model, inputs, "network.nwb", overwrite=True)

# %%
# Both are analyzed by the same function. A cell has no bins: its reference is a Poisson process. A unit spikes at most once per bin: its reference is Bernoulli.
cells = ann2neo.analyze(neo.NixIO("cells.nix", "ro").read_block(), windows=500 * pq.ms, tests=True)
units = ann2neo.analyze(ann2neo.load("network.nwb"), windows=100, tests=True)
columns = ["firing_rate", "cv", "cv_expected", "lv", "lv_expected", "fano", "fano_expected", "isi_law_p", "quality"]
together = pd.concat({"cells": cells, "network": units}, names=["source"])[columns]
print(together.groupby("source").head(3).round(3).to_string())
together.to_csv("cells-and-network.csv")
drawing = ann2neo.figures.beside_chance({"cells": cells, "network": units})
drawing.savefig("cells-and-network.png")
drawing

# %%
# On the command line: ann2neo analyze cells.nix network.nwb -o results
