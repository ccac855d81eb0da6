"""Networks whose hidden units are silenced, the ones that a ranking puts last first, and what they still get right.

In every hidden layer the same share of units is silenced. A unit is a channel of a convolution or a single unit of a linear layer; silencing sets its output to zero.
Firing statistics come from the exported file, read and analyzed like any other; a channel's is the mean over its places. Ranking by firing rate is
ranking by the average percentage of zeros.

References: Hu, Peng, Tai & Tang (2016), arXiv:1607.03250 (percentage of zeros). Li, Kadav, Durdanovic, Samet & Graf (2017), arXiv:1608.08710 (norm of the weights).
Morcos, Barrett, Rabinowitz & Botvinick (2018), arXiv:1803.06959 (memorizing networks rely on single units).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import nn

import ann2neo
from analyses.first.networks.cell import Cell, number_of
from analyses.first.networks.exporting import export
from analyses.networks.architectures import make
from analyses.networks.data import Data, load
from analyses.networks.training import MAX_EPOCHS, accuracy, train

STATES = ("generalizing", "memorizing")
SPARSITIES = tuple(round(0.1 * step, 1) for step in range(10))
N_RANDOM = 10
SMOKE_EPOCHS = 30
FOLDER = "pruning"

Scores = Mapping[str, Float[np.ndarray, " unit"]]


def cells(smoke: bool) -> list[Cell]:
    """List the networks: both states of each seed begin with the same weights."""
    data, seeds = (("digits",), 2) if smoke else (("digits", "mnist"), 5)
    return [
        Cell(study="pruning", data=name, architecture=architecture, state=state, seed=seed)
        for name in data
        for architecture in (("mlp",) if smoke else ("mlp", "cnn"))
        for seed in range(seeds)
        for state in STATES
    ]


def run(cell: Cell, out: Path, seed: int, smoke: bool) -> dict[str, object]:
    """Train, export, rank and silence one network; write its curves as a table of their own, and give its facts."""
    number = number_of(cell, seed)
    data = load(cell.data, smoke)
    memorizing = cell.state == "memorizing"
    target = np.random.default_rng(number + 1).permutation(data.labels) if memorizing else data.labels
    torch.manual_seed(number)
    model = make(cell.architecture, data.images.shape[-1])
    longest = SMOKE_EPOCHS if smoke else MAX_EPOCHS
    taken = train(model, data.images, target, seed=number, epochs=None, optimizer=cell.optimizer, max_epochs=longest)
    export(model, data, target, out, cell.name)
    scores = {**firing_scores(out / f"{cell.name}-train.nwb"), "magnitude": magnitudes(model)}
    rankings = [(name, 0, score) for name, score in scores.items()]
    rankings += [("random", draw, _random(scores["magnitude"], number + 2 + draw)) for draw in range(N_RANDOM)]
    rows = [
        {"ranking": name, "draw": draw, **row}
        for name, draw, score in rankings
        for row in curve(model, data, target, score)
    ]
    (out / FOLDER).mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(out / FOLDER / f"{cell.name}.csv", index=False, float_format="%.6g")
    return {
        "epochs": taken,
        "accuracy_target": accuracy(model, data.images, target),
        "accuracy_true": accuracy(model, data.images, data.labels),
        "accuracy_held_out": accuracy(model, data.held_out_images, data.held_out_labels),
    }


def firing_scores(path: Path) -> dict[str, Scores]:
    """Score units by what a neo file says of them; what has the lowest score goes first.

    ``rate``: firing rate; ``rate, highest first``: its opposite; ``variance``: p (1 - p) for a share p of bins with a spike, so that units which fire never or always
    go first; ``fano``: Fano factor over windows by the label trained with, silent units, which have none, before all others.
    """
    table = ann2neo.analyze(ann2neo.load(path), windows="target_label", progress=False)
    channel = table["channel"].where(table["channel"].notna(), table["unit"]).astype(int)
    p = table["p_spike"]
    scores = pd.DataFrame(
        {
            "rate": p,
            "rate, highest first": -p,
            "variance": p * (1 - p),
            "fano": table["fano"].fillna(-1.0),
        }
    )
    means = scores.groupby([table["layer"], channel], sort=True).mean()
    layers = list(dict.fromkeys(table["layer"]))
    return {str(name): {layer: means.loc[layer, name].to_numpy(np.float64) for layer in layers} for name in scores}


def magnitudes(model: nn.Module) -> Scores:
    """Score the units of each hidden layer by the Euclidean norm of their incoming weights."""
    weights = {layer: part.get_parameter("weight").detach() for layer, part in hidden(model).items()}
    return {layer: values.flatten(1).double().norm(dim=1).numpy() for layer, values in weights.items()}


def hidden(model: nn.Module) -> dict[str, nn.Module]:
    """Give, for the name of each activation function, the module before it, whose weights lead into its units."""
    parts = list(model.named_children())
    return {name: before for (_, before), (name, part) in pairwise(parts) if isinstance(part, nn.ReLU)}


def curve(
    model: nn.Module, data: Data, target: Int[np.ndarray, " image"], scores: Scores
) -> Iterator[dict[str, float]]:
    """Silence growing shares of units, lowest scores first, and measure what is still right."""
    for sparsity in SPARSITIES:
        kept = {layer: keep(values, sparsity) for layer, values in scores.items()}
        with silenced(model, kept):
            yield {
                "sparsity": sparsity,
                "accuracy_target": accuracy(model, data.images, target),
                "accuracy_held_out": accuracy(model, data.held_out_images, data.held_out_labels),
            }


def keep(scores: Float[np.ndarray, " unit"], sparsity: float) -> Bool[np.ndarray, " unit"]:
    """Say which units stay when a share of them, rounded to whole units, goes, the lowest scores first and, among equals, the first.

    Examples
    --------
    >>> keep(np.array([3.0, 1.0, 2.0, 9.0]), 0.5)
    array([ True, False, False,  True])
    """
    kept = np.ones(len(scores), bool)
    kept[np.argsort(scores, kind="stable")[: round(sparsity * len(scores))]] = False
    return kept


@contextmanager
def silenced(model: nn.Module, kept: Mapping[str, Bool[np.ndarray, " unit"]]) -> Iterator[None]:
    """Set the outputs of all other units to zero, for as long as the context lasts."""
    with ExitStack() as hooks:
        for layer, mask in kept.items():
            factor = torch.as_tensor(mask, dtype=torch.float32)
            part = model.get_submodule(layer)
            hooks.callback(part.register_forward_hook(_multiplier(factor)).remove)
        yield


def _multiplier(factor: Float[torch.Tensor, " unit"]) -> Callable[[nn.Module, Any, Any], torch.Tensor]:
    def multiply(_part: nn.Module, _inputs: Any, output: Any) -> torch.Tensor:
        return output * factor.reshape(1, -1, *[1] * (output.ndim - 2))

    return multiply


def _random(scores: Scores, seed: int) -> Scores:
    rng = np.random.default_rng(seed)
    return {layer: rng.random(len(values)) for layer, values in scores.items()}
