"""Tutorial 5: networks with a time of their own: a recurrent one, whose steps are bins, and a spiking one of snnTorch.

Rows of an image are shown one after another. Each image is then a trial with a pseudo-time axis of its own, and no interval crosses from one to the next.
"""

import snntorch
import torch
from sklearn.datasets import load_digits

import ann2neo

digits = load_digits()
rows = torch.tensor(digits.images / 16, dtype=torch.float32)


class RowReader(torch.nn.Module):
    """Reads an image of 8 rows and says which digit it is."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.RNN(8, 32, nonlinearity="relu", batch_first=True)
        self.out = torch.nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores of images, shape (image, class)."""
        states, _ = self.rnn(x)
        return self.out(states[:, -1])


# %%
# A recurrent layer has no activation module: its states are asked for by its name. Axis 1 of what it gives is time.
torch.manual_seed(0)
recording = ann2neo.record(
    RowReader(), ann2neo.Inputs(rows, labels=digits.target), layers="rnn", steps=ann2neo.Steps(1)
)
print(recording)
table = ann2neo.analyze(recording, windows="label")
print(table[["unit", "p_spike", "cv2", "cv2_expected", "lv", "lv_expected"]].head())

# %%
# A spiking network has spikes already: time, batch, unit. One image after another becomes the recording that every tool here takes.
neurons, weights = snntorch.Leaky(beta=0.9), torch.nn.Linear(8, 20)
potential, spikes = neurons.init_leaky(), []
with torch.no_grad():
    for step in range(8):
        out, potential = neurons(3 * weights(rows[:, step]), potential)
        spikes.append(out)
spiking = ann2neo.from_array(torch.stack(spikes), trial_axis=1, labels=digits.target, layer="leaky")
print(spiking)
print(
    ann2neo.summarize(ann2neo.analyze(spiking, windows="label"))[
        ["population", "n_units", "firing_rate_mean", "fano_mean", "fano_expected_mean"]
    ]
)
ann2neo.save(spiking, "snn.nwb", overwrite=True)

# %%
# What it looks like: units sorted by the digit for which they spike most, in the half of the images that did not sort them.
raster = ann2neo.figures.raster(spiking.arrange("label"), sort="tuning")
raster.savefig("snn.png")
raster
