"""Spikes from any other source: a spiking network, a simulator, a boolean array."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from ann2neo.errors import InputsError
from ann2neo.raster import Raster
from ann2neo.recording import SCHEMA, Layer, Recording, make_trials, order_sha256
from ann2neo.versions import software


def from_array(
    spikes: Bool[np.ndarray, "bin unit"],
    *,
    labels: Shaped[np.ndarray, " bin"] | list[int] | None = None,
    layer: str = "array",
    shape: tuple[int, ...] | None = None,
    bin_size_ms: float = 1.0,
    provenance: Mapping[str, str | int | float | bool] | None = None,
) -> Recording:
    """Make a recording of spikes that some other source gave, one trial per bin.

    Parameters
    ----------
    spikes
        Whether each unit spiked in each bin, shape (bin, unit).
    labels
        True class of each bin, integers, shape (bin,).
    layer
        Name of the population.
    shape
        How the units are laid out, for instance (channel, row, col); their product is the number of units.
    bin_size_ms
        Size of a bin in milliseconds.
    provenance
        What is known of the source.

    Raises
    ------
    InputsError
        If there is no bin or no unit, or labels and bins differ in number.

    Examples
    --------
    >>> from_array(np.eye(3, dtype=bool), labels=[0, 1, 1])
    Recording(3 units in 1 layer, 3 bins of 1.0 ms, 3 trials in presented order)
    """
    if spikes.size == 0:
        raise InputsError(
            f"an array of shape {spikes.shape} holds no bins or no units.",
            "There is nothing to record.",
            "Give (bin, unit).",
        )
    n_bins, n_units = spikes.shape
    if labels is not None and len(labels) != n_bins:
        raise InputsError(
            f"there are {len(labels)} labels for {n_bins} bins.",
            "It is unclear which label belongs to which bin.",
            "Give one label for each bin.",
        )
    columns: dict[str, Any] = {} if labels is None else {"label": np.asarray(labels, np.int64)}
    ids = np.arange(n_bins)
    return Recording(
        layers=(
            Layer(
                name=layer,
                shape=(n_units,) if shape is None else shape,
                dtype="bool",
                units=np.arange(n_units),
                thresholds=np.zeros(n_units),
                raster=Raster.from_dense(np.ascontiguousarray(spikes.T)),
            ),
        ),
        trials=make_trials(n_bins, stimulus_id=ids, **columns),
        bin_size_ms=bin_size_ms,
        provenance={
            "schema": SCHEMA,
            "input_order": "presented",
            "input_order_sha256": order_sha256(ids),
            "software": software("numpy"),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            **(provenance or {}),
        },
    )
