"""Tutorial 3: analyze the file of a network with neo, Elephant and pynapple.

The first part trains a network and writes the file. The analysis then uses only neo, Elephant and pynapple; the last lines do the same with ann2neo for all units at once.
"""

import warnings

import elephant
import matplotlib.pyplot as plt
import neo
import numpy as np
import pynapple as nap
import quantities as pq
import torch
from sklearn.datasets import load_digits

import ann2neo

# %%
# A perceptron learns 1,000 digits and is recorded over the other 797.
digits = load_digits()
images, labels = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 100), torch.nn.ReLU(), torch.nn.Linear(100, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(30):
    for batch in torch.randperm(1000).split(50):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
ann2neo.export(model, ann2neo.Inputs(images[1000:], labels=labels[1000:]), "digits.nwb", overwrite=True)

# %%
# 1. neo reads spike trains, their names and the label of every trial. One image is one bin of 1 ms. The time is called pseudo-time, since an image takes no time.
segment = neo.NWBIO("digits.nwb", mode="r").read_block().segments[0]
trains = segment.spiketrains
print(len(trains), "trains;", trains[0].name, "has", len(trains[0]), "spikes until", trains[0].t_stop)

# %%
# 2. Elephant, as on any recording: rate, intervals, local variation.
active = [train for train in trains if len(train) >= 10]
rates = [elephant.statistics.mean_firing_rate(train).rescale("Hz") for train in active]
intervals = [elephant.statistics.isi(train) for train in active]
print("mean rate", np.mean([rate.item() for rate in rates]).round(1), "Hz of pseudo-time")
print("mean CV", np.mean([elephant.statistics.cv(isi) for isi in intervals]).round(3))
print("mean Lv", np.mean([elephant.statistics.lv(isi) for isi in intervals]).round(3))

# %%
# 3. Binning recovers the images exactly, so correlations of counts are correlations of the network's responses.
binned = elephant.conversion.BinnedSpikeTrain(active, bin_size=1 * pq.ms, tolerance=None)
correlation = elephant.spike_train_correlation.correlation_coefficient(binned)
plt.imshow(correlation, cmap="RdBu_r", vmin=-1, vmax=1)
plt.colorbar(label="correlation of spike counts")
plt.xlabel("unit")
plt.ylabel("unit")
plt.savefig("correlation.png", dpi=160)

# %%
# 4. pynapple reads the same file: spikes by unit, trials by label, tuning as the probability of a spike for each digit.
data = nap.load_file("digits.nwb")
with warnings.catch_warnings():
    # pynapple moves borders of adjoining trials by a microsecond and says so; a spike lies a quarter of a bin after a border.
    warnings.simplefilter("ignore")
    units, trials = data["units"], data["trials"]
shown = {digit: trials[trials["label"] == digit] for digit in range(10)}
tuning = {digit: len(units[0].restrict(bins)) / len(bins) for digit, bins in shown.items()}
print("unit 0 spikes for a digit with probability", {digit: round(p, 2) for digit, p in tuning.items()})

# %%
# 5. The same measures for all units at once, with their expectation by chance for the same number of spikes in random order: here, a CV below 1 does not indicate regular firing.
table = ann2neo.analyze(ann2neo.load("digits.nwb"), windows="label")
print(
    table[table["quality"] == "good"][["cv", "cv_expected", "lv", "lv_expected", "fano", "fano_expected"]]
    .mean()
    .round(3)
)
