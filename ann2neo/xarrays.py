"""A recording as an xarray, in Brain-Score's vocabulary: presentation x neuroid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Shaped, UInt

from ann2neo.extras import require
from ann2neo.measures.quality import quality
from ann2neo.outline import time_axis
from ann2neo.recording import AXES, Layer, Recording, as_recording

if TYPE_CHECKING:
    import xarray

# Brain-Score's names of the second and third axis of an activation, which it orders as (channel, y, x).
BRAIN_SCORE_AXES = {"row": "channel_y", "col": "channel_x"}


def to_xarray(recording: Recording) -> xarray.DataArray:
    """Return the number of spikes of each unit in each presentation of an input, with the metadata of both.

    A presentation is a trial of a pass, in the recording's order. Where a trial is one bin, which it is unless inputs have steps, the value is 1 or 0. Coordinates of
    a presentation: all columns of the table of trials, and ``repetition`` (the pass, in Brain-Score's words). Coordinates of a neuroid: ``neuroid_id`` (the name
    of the unit), ``neuroid_num`` (its number), ``layer``, ``model`` (where the provenance states its class), ``node_id`` (its place in the flattened activation),
    ``channel``, ``row``, ``col`` and the same as ``channel_y``, ``channel_x`` (-1 where the layer lacks this axis), ``threshold``, ``quality``. Attributes are the
    provenance.

    The array takes a byte per unit and presentation, eight times as much memory as the recording; select units first if that is too much.

    Parameters
    ----------
    recording
        A recording.

    Returns
    -------
    xarray.DataArray
        Shape (presentation, neuroid), of unsigned integers.

    Raises
    ------
    MissingPackage
        If xarray is not installed.

    See Also
    --------
    ann2neo.to_block, ann2neo.from_array

    References
    ----------
    Schrimpf et al. (2020). Integrative benchmarking to advance neurally mechanistic models of human intelligence. Neuron 108(3). doi:10.1016/j.neuron.2020.07.040

    Examples
    --------
    >>> import numpy as np
    >>> import ann2neo
    >>> array = to_xarray(ann2neo.from_array(np.eye(3, dtype=bool), labels=[4, 4, 7], layer="relu"))
    >>> array.sel(presentation=array["label"] == 7).values
    array([[0, 0, 1]], dtype=uint8)
    >>> array["neuroid_id"].values.tolist()
    ['relu[0]', 'relu[1]', 'relu[2]']
    """
    xarray = require("xarray", to="`ann2neo.to_xarray`")
    as_recording(recording)
    coordinates = _of_presentations(recording) | _of_neuroids(recording)
    return xarray.DataArray(
        _counts(recording),
        dims=("presentation", "neuroid"),
        coords=coordinates,
        name="spikes",
        attrs={
            **recording.provenance,
            "bin_size_ms": recording.bin_size_ms,
            "units": "spikes in a presentation",
            "time": time_axis(recording),
        },
    )


def _of_presentations(recording: Recording) -> dict[str, tuple[str, Shaped[np.ndarray, " trial"]]]:
    columns = {str(name): np.array(column.tolist()) for name, column in recording.trials.items()}
    return {name: ("presentation", values) for name, values in {**columns, "repetition": columns["pass"]}.items()}


def _of_neuroids(recording: Recording) -> dict[str, tuple[str, Shaped[np.ndarray, " unit"]]]:
    layers = recording.layers
    places = {axis: np.concatenate([_place(layer, axis) for layer in layers]) for axis in AXES}
    n_spikes = np.concatenate([layer.raster.n_spikes() for layer in layers])
    known: dict[str, Any] = {
        "neuroid_id": np.array([name for layer in layers for name in layer.unit_names], str),
        "neuroid_num": np.arange(recording.n_units),
        "layer": np.repeat([layer.name for layer in layers], [layer.n_units for layer in layers]),
        "node_id": np.concatenate([layer.units for layer in layers]),
        "threshold": np.concatenate([layer.thresholds for layer in layers]).astype(np.float64),
        "quality": quality(n_spikes, recording.n_bins),
        **places,
        **{theirs: places[ours] for ours, theirs in BRAIN_SCORE_AXES.items()},
    }
    if "model_class" in recording.provenance:
        known["model"] = np.full(recording.n_units, str(recording.provenance["model_class"]))
    return {name: ("neuroid", values) for name, values in known.items()}


def _place(layer: Layer, axis: str) -> Shaped[np.ndarray, " unit"]:
    return layer.coordinates.get(axis, np.full(layer.n_units, -1))


def _counts(recording: Recording) -> UInt[np.ndarray, "trial unit"]:
    """Count spikes in trials, some units at a time."""
    start = recording.trials["start_bin"].to_numpy(np.int64)
    longest = int((recording.trials["stop_bin"].to_numpy(np.int64) - start).max())
    dtype = np.min_scalar_type(longest)
    counts = np.empty((start.size, recording.n_units), dtype)
    first = 0
    for layer in recording.layers:
        for units in layer.raster.chunks():
            dense = layer.raster.dense(units)
            # Trials follow one another without gaps, so that each sum ends where the next begins.
            parts = dense.view(np.uint8) if longest == 1 else np.add.reduceat(dense, start, axis=1, dtype=dtype)
            counts[:, first + units.start : first + units.stop] = parts.T
        first += layer.n_units
    return counts
