"""The trials, as a table for people and pynapple and as epochs for neo, and the table of bins where steps have labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hdmf.common import VectorData
from pynwb.epoch import TimeIntervals

from ann2neo.formats.nwb.clock import edges_s
from ann2neo.formats.nwb.late_columns import column
from ann2neo.outline import time_axis, trial_names
from ann2neo.recording import Recording

TRIAL_COLUMNS = {
    "pass": "run through all inputs",
    "trial": "place of the input in the order in which it was presented",
    "start_bin": "first bin of the trial, counted over all passes",
    "stop_bin": "bin after the last one of the trial",
    "stimulus_id": "number of the input in its data set",
    "label": "true class of the input",
    "label_name": "name of the true class",
    "target_label": "class that the network was trained to give for this input",
    "predicted_label": "class that the network gave",
    "correct": "whether the class that the network gave is the true one",
    "image": "name of the image of the input in /stimulus/templates/images",
}
BIN_COLUMNS = {"label": "true class of the step; negative where it is unknown"}


def trials_table(recording: Recording, more: Mapping[str, list[str]]) -> TimeIntervals:
    """Make the table of trials, with all columns of the recording's table and more that only the file has."""
    trials, edges = recording.trials, edges_s(recording)
    columns = {str(name): _values(trials[name]) for name in trials.columns} | dict(more)
    return TimeIntervals(
        name="trials",
        description=f"one row for each input that was presented; {time_axis(recording)}",
        id=np.arange(len(trials)),
        columns=[
            VectorData(
                name="start_time", description="where the trial begins in seconds", data=edges[trials["start_bin"]]
            ),
            VectorData(name="stop_time", description="where the trial ends in seconds", data=edges[trials["stop_bin"]]),
            *(column(name, TRIAL_COLUMNS.get(name, name), values) for name, values in columns.items()),
        ],
    )


def bins_table(recording: Recording) -> TimeIntervals | None:
    """Make the table of bins, one row for each bin of each pass; None where steps have no labels."""
    if recording.bins is None:
        return None
    edges, n = edges_s(recording), recording.n_passes
    return TimeIntervals(
        name="bins",
        description=f"one row for each step of each input in each pass, with what is known of it; {time_axis(recording)}",
        id=np.arange(recording.n_bins),
        columns=[
            VectorData(name="start_time", description="where the bin begins in seconds", data=edges[:-1]),
            VectorData(name="stop_time", description="where the bin ends in seconds", data=edges[1:]),
            *(column(str(m), BIN_COLUMNS.get(str(m), str(m)), np.tile(c, n)) for m, c in recording.bins.items()),
        ],
    )


def _values(values: Any) -> Any:
    array = values.to_numpy()
    return array if array.dtype.kind in "biuf" else values.tolist()


def epochs_table(recording: Recording) -> TimeIntervals:
    """Make the table that neo reads as Epochs: the trials, each tagged with its label, and with its target label if it has one."""
    trials, edges = recording.trials, edges_s(recording)
    tags = {"trials": trial_names(trials)}
    if "target_label" in trials.columns:
        tags["target_label"] = trial_names(trials, "target_label")
    n_rows = len(trials) * len(tags)
    # The rows of each trial follow one another, because start times must ascend.
    columns = {
        "start_time": ("where the trial begins in seconds", np.repeat(edges[trials["start_bin"]], len(tags))),
        "stop_time": ("where the trial ends in seconds", np.repeat(edges[trials["stop_bin"]], len(tags))),
        "tags": ("label of the trial", [tag for of_trial in zip(*tags.values()) for tag in of_trial]),
        "_name": ("the name attribute of the Epoch: what the tags are", list(tags) * len(trials)),
        "segment": ("the name of the Neo Segment to which the Epoch belongs", ["all passes"] * n_rows),
        "block": ("the name of the Neo Block to which the Epoch belongs", ["ann2neo"] * n_rows),
    }
    epochs: Any = TimeIntervals(
        name="epochs",
        description="the trials once more, for neo; tagged with their labels",
        id=np.arange(n_rows),
        columns=[column(name, text, values) for name, (text, values) in columns.items()],
    )
    # The format allows tags without an index, one per row, and only then does neo read them as plain labels; but pynwb looks for the index.
    epochs.tags_index = None
    return epochs
