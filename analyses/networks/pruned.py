"""Networks whose hidden units are taken away, the ones that a ranking puts last first, and what they still get right.

In every hidden layer the same share of units is taken away; a unit is a channel of a convolution or a unit of a linear layer. Its output is set to zero, or to its mean over training images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import nn

from analyses.networks import activity, states
from analyses.networks.training import accuracy
from analyses.plan import Cell

SHARES = tuple(round(0.1 * step, 1) for step in range(1, 10))
N_RANDOM = 5
STATES = ("memorizing", "generalizing-long")
ABLATIONS = ("zero", "mean")

Scores = Mapping[str, Float[np.ndarray, " unit"]]


def run(cell: Cell, folder: Path, seeds: Sequence[int], smoke: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """Prune the networks of the study of states, which are trained if they are not there."""
    of = replace(cell, study="states")
    states.train(of, folder, seeds, smoke)
    for seed in seeds:
        yield seed, pd.DataFrame(_rows(of, folder, seed, smoke)).assign(seed=seed, **cell.facts)


def _rows(cell: Cell, folder: Path, seed: int, smoke: bool) -> Iterator[dict[str, object]]:
    data = states.data_of(cell, smoke)
    memorized = states.permuted_labels(data, seed)
    shown = {
        # All of them: MNIST lies sorted by class, so that the first some would show some classes only.
        "memorizing": (data.images, memorized),
        "generalizing-long": (data.held_out_images, data.held_out_labels),
    }
    for state, (model, _) in states.networks(cell, folder, seed, data).items():
        if state not in STATES:
            continue
        layers = activity.activations(model, data.images)
        columns = {"label": data.labels, "trained": memorized if state == "memorizing" else data.labels}
        means = {name: torch.as_tensor(outputs.mean(axis=0)) for name, outputs in layers.items()}
        first = {"state": state, "accuracy_whole": accuracy(model, *shown[state])}
        for name, score in rankings(model, activity.unit_table(layers, columns, "0", "trained"), seed):
            for ablation in ABLATIONS:
                for share in SHARES:
                    kept = {layer: keep(values, share) for layer, values in score.items()}
                    with replaced(model, kept, means if ablation == "mean" else None):
                        right = accuracy(model, *shown[state])
                    yield first | {"ranking": name, "ablation": ablation, "share": share, "accuracy": right}


def rankings(model: nn.Module, table: pd.DataFrame, seed: int) -> Iterator[tuple[str, Scores]]:
    """Score units: what has the lowest score goes first; a channel's score is the mean over its places.

    ``rate`` p; ``variance`` p (1 - p); ``fano`` and ``label share`` in windows of the trained label, units without it first; ``magnitude``, the Euclidean norm of the incoming weights (Li et al. 2017, arXiv:1608.08710);
    ``random``, five times.
    """
    p = table["p_spike"]
    values = {
        "rate": p,
        "variance": p * (1 - p),
        "fano": table["fano"].fillna(-1.0),
        "label share": table["label_share"].fillna(-1.0),
    }
    shapes = {layer: len(part.get_parameter("weight")) for layer, part in hidden(model).items()}
    for name, of_units in values.items():
        yield name, {layer: _of_channels(of_units, table["layer"] == layer, n) for layer, n in shapes.items()}
    yield (
        "magnitude",
        {
            layer: part.get_parameter("weight").detach().flatten(1).norm(dim=1).numpy()
            for layer, part in hidden(model).items()
        },
    )
    for draw in range(N_RANDOM):
        rng = np.random.default_rng([seed, draw])
        yield "random", {layer: rng.random(n) for layer, n in shapes.items()}


def _of_channels(values: pd.Series, where: pd.Series, n: int) -> Float[np.ndarray, " unit"]:
    """Mean over the places of each channel, which follow one another."""
    return values[where].to_numpy(np.float64).reshape(n, -1).mean(axis=1)


def hidden(model: nn.Module) -> dict[str, nn.Module]:
    """Give, for the name of each activation function, the module before it, whose weights lead into its units."""
    parts = list(model.named_children())
    return {name: before for (_, before), (name, part) in pairwise(parts) if isinstance(part, nn.ReLU)}


def keep(scores: Float[np.ndarray, " unit"], share: float) -> Bool[np.ndarray, " unit"]:
    """Say which units stay when a share of them, rounded to whole units, goes, the lowest scores first and, among equals, the first.

    Examples
    --------
    >>> keep(np.array([3.0, 1.0, 2.0, 9.0]), 0.5)
    array([ True, False, False,  True])
    """
    kept = np.ones(len(scores), bool)
    kept[np.argsort(scores, kind="stable")[: round(share * len(scores))]] = False
    return kept


@contextmanager
def replaced(
    model: nn.Module, kept: Mapping[str, Bool[np.ndarray, " unit"]], means: Mapping[str, torch.Tensor] | None = None
) -> Iterator[None]:
    """Set the outputs of all other units to zero, or to their means, for as long as the context lasts.

    Parameters
    ----------
    model
        The network.
    kept
        Which channels, or units, of each layer stay.
    means
        Mean output of each unit, flattened, by layer; None for zero.
    """
    with ExitStack() as hooks:
        for layer, mask in kept.items():
            value = None if means is None else means[layer]
            hooks.callback(
                model.get_submodule(layer).register_forward_hook(_replacer(torch.as_tensor(mask), value)).remove
            )
        yield


def _replacer(mask: torch.Tensor, mean: torch.Tensor | None) -> Callable[[nn.Module, Any, torch.Tensor], torch.Tensor]:
    def replace_output(_part: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        shaped = mask.reshape(1, -1, *[1] * (output.ndim - 2))
        other = torch.zeros(()) if mean is None else mean.reshape(1, *output.shape[1:])
        return torch.where(shaped, output, other)

    return replace_output
