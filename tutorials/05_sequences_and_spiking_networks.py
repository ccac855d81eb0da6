"""Tutorial 5: networks with time steps: a recurrent network, whose steps are bins, and a spiking network of snnTorch.

The rows of an image are presented one after another. Each image is a trial of several bins, and no inter-spike interval crosses from one image to the next.
"""

import snntorch
import torch
from sklearn.datasets import load_digits

import ann2neo

digits = load_digits()
rows = torch.tensor(digits.images / 16, dtype=torch.float32)


class RowReader(torch.nn.Module):
    """Recurrent network that reads an image of 8 rows and classifies the digit."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = torch.nn.RNN(8, 32, nonlinearity="relu", batch_first=True)
        self.out = torch.nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return class scores of images, shape (image, class)."""
        states, _ = self.rnn(x)
        return self.out(states[:, -1])


# %%
# A recurrent layer has no activation module: its states are recorded if you name it. Axis 1 of its output is time.
torch.manual_seed(0)
recording = ann2neo.record(
    RowReader(), ann2neo.Inputs(rows, labels=digits.target), layers="rnn", steps=ann2neo.Steps(1)
)
print(recording)
table = ann2neo.analyze(recording, windows="label")
print(table[["unit", "p_spike", "cv2", "cv2_expected", "lv", "lv_expected"]].head())

# %%
# A spiking network already produces spikes, with axes (time, batch, unit). `from_array` converts them to a recording, in which one image follows another.
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
# The raster: units are sorted by the digit for which they spike most. The sorting uses one half of the images, the raster shows the other.
raster = ann2neo.figures.raster(spiking.arrange("label"), sort="tuning")
raster.savefig("snn.png")
raster
