"""Recording: one network observed over one set of inputs, as packed spikes, a table of trials and provenance."""

from ann2neo.recording.bins import is_of_steps, join_bins, per_input
from ann2neo.recording.layers import AXES, Layer, matches
from ann2neo.recording.recording import NOTES, SCHEMA, Provenance, Recording, as_recording, notes_of
from ann2neo.recording.trials import (
    COUNTED,
    PLACES,
    TRACED,
    join_passes,
    make_trials,
    n_classes,
    order_sha256,
    presented_order,
    with_bins,
)

__all__ = [
    "COUNTED",
    "PLACES",
    "TRACED",
    "AXES",
    "NOTES",
    "SCHEMA",
    "Layer",
    "Provenance",
    "Recording",
    "as_recording",
    "is_of_steps",
    "join_bins",
    "join_passes",
    "make_trials",
    "n_classes",
    "matches",
    "notes_of",
    "order_sha256",
    "per_input",
    "presented_order",
    "with_bins",
]
