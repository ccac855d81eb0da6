"""Facts of the page besides the bits: names of units, inputs, labels and predictions."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt8

from ann2neo.recording import Recording
from ann2neo.viewer.rows import rows_by_label
from ann2neo.windows import order_words

CLASSES = ("label", "target_label", "predicted_label")


def known_of(recording: Recording, n_spikes: Int[np.ndarray, " unit"], images: Any = None) -> dict[str, Any]:
    """Collect the facts that the page shows about a recording, as values that JSON supports.

    Parameters
    ----------
    recording
        Recording to show.
    n_spikes
        Number of spikes of each unit, layer by layer, shape (unit,).
    images
        Images of the inputs, as `ann2neo.browse` takes them; None for none.

    Raises
    ------
    InputsError
        If ``images`` are not images, or images of some inputs are missing.

    Examples
    --------
    >>> import ann2neo
    >>> recording = ann2neo.from_array(np.eye(2, dtype=bool), labels=[7, -1], layer="fc")
    >>> known = known_of(recording, np.array([1, 1]))
    >>> known["layers"]
    [{'name': 'fc', 'shape': [2], 'n': 2, 'n_spikes': 2, 'units': None}]
    >>> known["trials"]["label"]
    {'codes': [0, -1], 'names': ['7']}
    """
    order, rows = order_words(recording.trials, recording.provenance), rows_by_label(recording)
    found: dict[str, Any] = {
        "layers": _layers(recording, n_spikes),
        "n_bins": recording.n_bins,
        "trials": _trials(recording.trials),
        "bins": None,
        "arranged": {"presented": "as presented", "label": "by label"}.get(order, order),
        "by_label": None if rows is None or order == "label" else rows.tolist(),
    }
    if recording.bins is not None and "label" in recording.bins:
        found["bins"] = coded(recording.bins["label"])
    if images is not None:
        from ann2neo.formats.nwb.images import presented_images

        ids, values = presented_images(images, recording)
        found["images"] = {"ids": ids.tolist(), "shape": list(values.shape[1:]), "values": deflated(values)}
    return found


def coded(values: pd.Series, names: pd.Series | None = None) -> dict[str, Any]:
    """Number the classes of a column in the order of their values; -1 if the class is unknown (a negative integer, NaN or an empty text).

    Examples
    --------
    >>> coded(pd.Series([9, 4, -1, 9]), pd.Series(["cat", "dog", "?", "cat"]))
    {'codes': [1, 0, -1, 1], 'names': ['4 (dog)', '9 (cat)']}
    """
    unknown = values.isna().to_numpy(bool) | (values.astype(str) == "").to_numpy(bool)
    if pd.api.types.is_integer_dtype(values.dtype):
        unknown |= (values < 0).to_numpy(bool)
    codes, classes = pd.factorize(values.where(~unknown), sort=True)
    codes = np.where(unknown, -1, codes)
    first = [int(np.flatnonzero(codes == code)[0]) for code in range(len(classes))]
    own = [str(values.iloc[row]) for row in first]
    if names is not None:
        own = [f"{name} ({names.iloc[row]})" for name, row in zip(own, first)]
    return {"codes": codes.tolist(), "names": own}


def deflated(values: UInt8[np.ndarray, ...]) -> str:
    """Compress bytes with zlib and encode them as base64, which browsers can decode without a library."""
    return base64.b64encode(zlib.compress(values.tobytes(), 6)).decode("ascii")


def _layers(recording: Recording, n_spikes: Int[np.ndarray, " unit"]) -> list[dict[str, Any]]:
    found, begin = [], 0
    for layer in recording.layers:
        counted = np.array_equal(layer.units, np.arange(layer.n_units))
        found.append(
            {
                "name": layer.name,
                "shape": [int(size) for size in layer.shape],
                "n": layer.n_units,
                "n_spikes": int(n_spikes[begin : begin + layer.n_units].sum()),
                "units": None if counted else layer.units.tolist(),
            }
        )
        begin += layer.n_units
    return found


def _trials(trials: pd.DataFrame) -> dict[str, Any]:
    found: dict[str, Any] = {"start": trials["start_bin"].tolist()}
    found |= {name: trials[name].tolist() for name in ("trial", "stimulus_id")}
    if trials["pass"].iloc[-1]:
        found["pass"] = trials["pass"].tolist()
    for name in CLASSES:
        if name in trials:
            found[name] = coded(
                trials[name], trials["label_name"] if name == "label" and "label_name" in trials else None
            )
    if "correct" in trials:
        right = trials["correct"].astype(float)
        found["correct"] = right.fillna(-1).astype(int).tolist()
    return found
