"""Tutorial 7: a transformer, token by token, with a label for each token.

A small GPT-2 learns to predict the next character of a text that comes with Python: the source of its module `textwrap`. Each character is a bin, and each line of 32
characters an input. The label of a *bin* is the kind of its character. Do units of the network distinguish kinds of characters more than expected by chance?
"""

import inspect
import textwrap

import numpy as np
import torch
import transformers

import ann2neo

transformers.logging.set_verbosity_error()
text = inspect.getsource(textwrap)
alphabet = sorted(set(text))
tokens = torch.tensor([alphabet.index(character) for character in text])
lines = tokens[: len(tokens) // 32 * 32].view(-1, 32)
print(len(lines), "inputs of 32 characters out of", len(alphabet))

# %%
# Assign a kind to each character: letter, digit, white space, or other.
KINDS = ["letter", "digit", "space", "other"]


def kind(character: str) -> int:
    """Return the number of a character's kind."""
    return 0 if character.isalpha() else 1 if character.isdigit() else 2 if character.isspace() else 3


kinds = np.array([kind(character) for character in alphabet])[lines.numpy()]
print({name: int((kinds == number).sum()) for number, name in enumerate(KINDS)})

# %%
# Train on three quarters of the lines, and keep the others for the recording.
torch.manual_seed(0)
config = transformers.GPT2Config(
    vocab_size=len(alphabet), n_positions=32, n_embd=48, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
)
model = transformers.GPT2LMHeadModel(config)
untrained = transformers.GPT2LMHeadModel(config)
shuffled = torch.randperm(len(lines))
seen, held_out = shuffled[: len(lines) * 3 // 4], shuffled[len(lines) * 3 // 4 :]
optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
for _ in range(150):
    batch = lines[seen[torch.randint(len(seen), (32,))]]
    loss = model(batch, labels=batch).loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("loss", round(loss.item(), 2), "nats; guessing", round(float(np.log(len(alphabet))), 2))

# %%
# `Steps(1)` makes each character a bin; labels of shape (input, step) belong to these bins. Kind 1 (digits) is rare, which does no harm, since
# chance is computed for exactly these labels.
inputs = ann2neo.Inputs(lines[held_out], labels=kinds[held_out])
recordings = {
    name: ann2neo.record(network, inputs, layers="*.mlp.act", steps=ann2neo.Steps(1), progress=False)
    for name, network in {"trained": model, "untrained": untrained}.items()
}
print(recordings["trained"])

# %%
# The characters of a line are not exchangeable: a unit may spike at the beginning of each line, where indentation is frequent. The null distribution therefore exchanges whole
# sequences of kinds between lines, and keeps the spikes of each line unchanged.
tables = {
    name: ann2neo.analyze(recording, windows="label", tests=True, progress=False)
    for name, recording in recordings.items()
}
for name, table in tables.items():
    good = table[table["quality"] == "good"]
    print(name)
    print(good.groupby("layer")[["p_spike", "label_share", "label_share_expected"]].mean().round(3))
    print("tuned at a false discovery rate of 5 %:", f"{(good['overdispersion_p_corrected'] < 0.05).mean():.0%}")

# %%
# Which kinds? For the five most tuned units of the last layer, the table lists the probability of a spike for each kind, with its expectation by chance.
layer = recordings["trained"].layers[-1].name
best = tables["trained"].query("layer == @layer").nlargest(5, "label_share_adjusted")["unit"].to_numpy()
tuning = ann2neo.population.tuning(recordings["trained"], by="label", layer=layer)
print(tuning[tuning["unit"].isin(best)].head(8).round(3).to_string())

# %%
# An untrained network distinguishes kinds as well: its input contains the character, and random features of the character carry its kind. Compare trained networks with untrained
# ones, not with zero.
ann2neo.save(recordings["trained"], "characters.nwb", overwrite=True)
raster = ann2neo.figures.raster(recordings["trained"], layer=layer)
raster.savefig("characters.png")
raster
