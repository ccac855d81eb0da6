"""Recordings with trials of any length, passes and labels, made of a boolean array."""

import numpy as np

from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials, order_sha256


def recording_of(dense, labels, lengths=None, n_passes=1, **columns):
    """Spikes of shape (unit, bin), bins of all passes one after another."""
    labels = np.asarray(labels)
    trials = make_trials(
        labels.size, n_passes=n_passes, lengths=lengths, stimulus_id=np.arange(labels.size), label=labels, **columns
    )
    layer = Layer(
        name="hidden",
        shape=(len(dense),),
        dtype="bool",
        units=np.arange(len(dense)),
        thresholds=np.zeros(len(dense)),
        raster=Raster.from_dense(np.asarray(dense, bool), n_passes=n_passes),
    )
    order = {"input_order": "presented", "input_order_sha256": order_sha256(np.arange(labels.size))}
    return Recording(layers=(layer,), trials=trials, bin_size_ms=1.0, provenance={"schema": "ann2neo/1", **order})
