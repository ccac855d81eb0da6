"""Tutorial 6: fit models to every unit of a network, simulate units from their tuning alone, and find what is missing.

A perceptron that has learned digits is recorded, fitted and simulated. Label tuning explains what the simulation reproduces; the rest must depend on the images themselves.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits

import ann2neo
from ann2neo import figures, models, population

# 1. A network learns 1,000 digits and is recorded over the other 797.
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
# 2. Fit three models to every unit: one rate, a rate for each digit, and a Markov chain. Which model describes a unit best, and how much information does it give about a spike?
fitted = models.fit(recording, progress=False)
summary = ann2neo.summarize(fitted)
shown = ["layer", "population", "rate_p_mean", "label_bits_per_spike_cv_mean", "best_bic_share[label]"]
print(summary[shown].round(3).to_string(index=False))
figures.best_models(fitted).savefig("best_models.png")
bits = figures.bits_per_spike(fitted)
bits.savefig("bits_per_spike.png")
bits

# %%
# 3. Summarize the network: the shares of silent and saturated units, and the distribution of activation probabilities of the others.
print(models.fit_population(fitted)[["layer", "silent_share", "saturated_share", "p_mean", "p_sd"]].round(3))

# %%
# 4. Simulate the network from the tuning of its units. The result is a recording like any other.
tuning = models.simulate(fitted, like=recording, model="label", seed=0)
ann2neo.save(tuning, "tuning.nwb", overwrite=True)

# %%
# 5. The simulation reproduces firing rates, Fano factors over labels, and the share of variance that the label explains.
shown = ["layer", "firing_rate_mean", "fano_mean", "label_share_adjusted_mean"]
for name, each in (("network", recording), ("its tuning", tuning)):
    table = ann2neo.analyze(each, windows="label", progress=False)
    print(f"{name}:", ann2neo.summarize(table).query("population == 'all'")[shown].round(3), sep="\n")

# %%
# 6. It does not reproduce what units share beyond the digit. Noise correlations, within a digit, are due to the images; in the simulation they are 0.
last = recording.layers[-1].name
for name, each in (("network", recording), ("its tuning", tuning)):
    found = population.correlations(each, layer=last, n_permutations=0).pairs()
    print(f"{name}: noise correlations of {last} have a standard deviation of {found['noise'].std():.3f}")
    print(f"  (independent units: {np.sqrt((found['noise_null_sd'] ** 2).mean()):.3f})")

# %%
# 7. Does a model predict when spikes occur? If it does, points lie on the diagonal. Images were presented in random order, so a single rate does as well as the tuning here: this test
# is sensitive only to time.
some = recording.select(layers=[last], units=list(range(0, 80, 4)))
rescaled = {name: models.rescaled(some, fitted, model=name, n_draws=39, progress=False) for name in ("rate", "label")}
print({name: f"{(table['ks_p'] <= 0.05).mean():.0%} of units rejected" for name, table in rescaled.items()})
drawn = figures.qq(rescaled)
drawn.savefig("qq.png")
drawn
