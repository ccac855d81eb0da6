"""What units do over some images, at several thresholds from one forward pass, and the indicators of it.

Outputs of all activation functions are kept for one pass; each threshold then makes a recording of them (`ann2neo.from_array`), which `ann2neo.analyze` and `ann2neo.summarize` measure.
The bits are those that `ann2neo.record` keeps with the same thresholds (tested).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

import ann2neo
from analyses.networks.indicators import layer_outputs

THRESHOLDS = ("0", "median", "q90")
QUANTILES = {"median": 0.5, "q90": 0.9}
ORDER_WINDOW = 50
BINS_OF_P = 20
RATE_COLUMNS = ("firing_rate_mean", "firing_rate_var", "p_spike_rare_share", "p_spike_gini")
COLUMNS = (*RATE_COLUMNS, "fano_mean", "fano_var", "label_share_mean", "label_share_adjusted_mean")

Activations = Mapping[str, Float[np.ndarray, "image unit"]]


def activations(
    model: nn.Module, images: Float[Tensor, "image 1 row column"]
) -> dict[str, Float[np.ndarray, "image unit"]]:
    """Outputs of all activation functions, flattened, by layer; the model is left in evaluation mode."""
    return layer_outputs(model.eval(), images)


def thresholds(outputs: Float[np.ndarray, "image unit"], rule: str) -> Float[np.ndarray, " unit"]:
    """Threshold of each unit: 0, its median or its 90 % quantile over these images.

    Examples
    --------
    >>> thresholds(np.array([[0.0], [1.0], [2.0]]), "median")
    array([1.])
    """
    if rule == "0":
        return np.zeros(outputs.shape[1], outputs.dtype)
    return np.quantile(outputs, QUANTILES[rule], axis=0).astype(outputs.dtype)


def recording(
    layers: Activations,
    rule: str,
    columns: Mapping[str, Int[np.ndarray, " image"]],
    *,
    order: Int[np.ndarray, " image"] | None = None,
) -> ann2neo.Recording:
    """Make a recording of all layers at a threshold, with columns of labels.

    Parameters
    ----------
    layers
        Outputs of each layer, shape (image, unit).
    rule
        One of `THRESHOLDS`.
    columns
        Labels of each image by column, among them "label".
    order
        Arrangement of the images, shape (image,).
    """
    places = np.arange(len(columns["label"])) if order is None else order
    made = [
        ann2neo.from_array((outputs > thresholds(outputs, rule))[places], labels=columns["label"][places], layer=name)
        for name, outputs in layers.items()
    ]
    trials = made[0].trials.assign(**{name: values[places] for name, values in columns.items()})
    return replace(made[0], layers=tuple(layer for one in made for layer in one.layers), trials=trials)


def rows(
    layers: Activations, columns: Mapping[str, Int[np.ndarray, " image"]], *, seed: int, orders: bool = True
) -> Iterator[dict[str, object]]:
    """Measure indicators at each threshold: one row for each kind of windows, layer, and the network.

    Parameters
    ----------
    layers
        Outputs of each layer, shape (image, unit).
    columns
        Labels that make windows, among them "label".
    seed
        Seed of the shuffled order.
    orders
        Whether windows of 50 images in label order and in shuffled order are counted, too.
    """
    n_images = len(columns["label"])
    arranged = {
        "label order": np.argsort(columns["label"], kind="stable"),
        "shuffled": np.random.default_rng(seed).permutation(n_images),
    }
    for rule in THRESHOLDS:
        plain = recording(layers, rule, columns)
        tied = {name: _tied(outputs, rule) for name, outputs in layers.items()}
        for windows in columns:
            yield from _summary(plain, windows, rule, windows, tied)
        if orders:
            for name, order in arranged.items():
                yield from _summary(recording(layers, rule, columns, order=order), ORDER_WINDOW, rule, name, tied)


def _summary(
    of: ann2neo.Recording, windows: str | int, rule: str, name: str, tied: Mapping[str, Bool[np.ndarray, " unit"]]
) -> Iterator[dict[str, object]]:
    table = ann2neo.analyze(of, windows=windows, progress=False)
    summary = ann2neo.summarize(table)
    for row in summary[summary["population"] == "all"].to_dict("records"):
        units = [tied[row["layer"]]] if row["layer"] in tied else list(tied.values())
        known = {column: row.get(column, np.nan) for column in COLUMNS}
        if rule != "0":
            known |= dict.fromkeys(RATE_COLUMNS, np.nan)
        yield {
            "threshold": rule,
            "windows": name,
            "layer": row["layer"],
            "n_units": row["n_units"],
            "tied_share": float(np.concatenate(units).mean()),
            "p_spike_mean": row["firing_rate_mean"] / 1000,
            **known,
        }


def _tied(outputs: Float[np.ndarray, "image unit"], rule: str) -> Bool[np.ndarray, " unit"]:
    """Which units' quantile is their smallest output, so that it does not fix the probability of a spike."""
    if rule == "0":
        return np.zeros(outputs.shape[1], bool)
    return thresholds(outputs, rule) <= outputs.min(axis=0)


def unit_table(
    layers: Activations, columns: Mapping[str, Int[np.ndarray, " image"]], rule: str, windows: str
) -> pd.DataFrame:
    """Measure all units of a network in label windows."""
    return ann2neo.analyze(recording(layers, rule, columns), windows=windows, progress=False)


def rate_matched(one: pd.DataFrame, other: pd.DataFrame, column: str) -> tuple[float, float]:
    """Means of a measure over the units of two networks, weighted so that both have the same histogram of spike probabilities.

    In each of 20 equal bins of p the weight of a network's units is the smaller of both counts over its own. Units without the measure are left out of both.
    NaN if no bin is common.

    References
    ----------
    Churchland et al. (2010), doi:10.1038/nn.2501 (mean matching; here by weights in place of draws).

    Examples
    --------
    >>> one = pd.DataFrame({"p_spike": [0.11, 0.12, 0.9], "fano": [1.0, 3.0, 9.0]})
    >>> other = pd.DataFrame({"p_spike": [0.13, 0.5], "fano": [5.0, 7.0]})
    >>> rate_matched(one, other, "fano")
    (2.0, 5.0)
    """
    known = [table[table[column].notna()] for table in (one, other)]
    places = [np.minimum((table["p_spike"].to_numpy() * BINS_OF_P).astype(int), BINS_OF_P - 1) for table in known]
    counts = [np.bincount(place, minlength=BINS_OF_P) for place in places]
    common = np.minimum(*counts)
    if not common.any():
        return np.nan, np.nan
    first, second = (
        float(np.average(table[column], weights=common[place] / count[place]))
        for table, place, count in zip(known, places, counts)
    )
    return first, second
