"""Tutorial 6: fit models to every unit of a network, simulate units that are no more than their tuning, and see what is lost.

A perceptron that has learned digits is recorded, fitted and simulated. What the simulation reproduces, label tuning alone accounts for; what it does not, units must owe to the images themselves.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits

import ann2neo
from ann2neo import figures, models, population

# 1. A network that has learned 1,000 digits, recorded over the other 797.
digits = load_digits()
images, labels = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(64, 80), torch.nn.ReLU(), torch.nn.Linear(80, 80), torch.nn.ReLU(), torch.nn.Linear(80, 10)
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for _ in range(30):
    for batch in torch.randperm(1000).split(50):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step()
recording = ann2neo.record(model, ann2neo.Inputs(images[1000:], labels=labels[1000:]), progress=False)

# %%
# 2. Three models of every unit: one rate, a rate for each digit, a chain. Which describes a unit best, and how much does it tell of a spike?
fitted = models.fit(recording, progress=False)
summary = ann2neo.summarize(fitted)
shown = ["layer", "population", "rate_p_mean", "label_bits_per_spike_cv_mean", "best_bic_share[label]"]
print(summary[shown].round(3).to_string(index=False))
figures.best_models(fitted).savefig("best_models.png")
figures.bits_per_spike(fitted).savefig("bits_per_spike.png")

# %%
# 3. What describes the network: how many units are silent or saturated, and how the activation probabilities of the others are distributed.
print(models.fit_population(fitted)[["layer", "silent_share", "saturated_share", "p_mean", "p_sd"]].round(3))

# %%
# 4. The same network if each unit were only its tuning. It is a recording like any other.
tuning = models.simulate(fitted, like=recording, model="label", seed=0)
ann2neo.save(tuning, "tuning.nwb", overwrite=True)

# %%
# 5. Reproduced: firing rates, Fano factors over labels, the share of variance that the label explains.
shown = ["layer", "firing_rate_mean", "fano_mean", "label_share_adjusted_mean"]
for name, each in (("network", recording), ("its tuning", tuning)):
    table = ann2neo.analyze(each, windows="label", progress=False)
    print(f"{name}:", ann2neo.summarize(table).query("population == 'all'")[shown].round(3), sep="\n")

# %%
# 6. Not reproduced: what units share beyond the digit. Noise correlations, within a digit, are those of the images: without them they are 0.
last = recording.layers[-1].name
for name, each in (("network", recording), ("its tuning", tuning)):
    found = population.correlations(each, layer=last, n_permutations=0).pairs()
    print(f"{name}: noise correlations of {last} have a standard deviation of {found['noise'].std():.3f}")
    print(f"  (independent units: {np.sqrt((found['noise_null_sd'] ** 2).mean()):.3f})")

# %%
# 7. Does a model say when spikes come? On the diagonal it does. Images came in random order, so that one rate does as well as the tuning here: this test sees only time.
some = recording.select(layers=[last], units=list(range(0, 80, 4)))
rescaled = {name: models.rescaled(some, fitted, model=name, n_draws=39, progress=False) for name in ("rate", "label")}
figures.qq(rescaled).savefig("qq.png")
print({name: f"{(table['ks_p'] <= 0.05).mean():.0%} of units rejected" for name, table in rescaled.items()})
