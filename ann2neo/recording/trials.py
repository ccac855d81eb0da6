"""The table of trials: which input was presented in which bins, pass by pass."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from ann2neo.errors import RecordingError
from ann2neo.recording.bins import is_of_steps

# Meanings of a stimulus_id, as they are written in the provenance.
COUNTED, PLACES, TRACED = "counted as presented", "places in the data", "places in the data, found by content"
# Columns that hold classes.
CLASSES = ("label", "target_label")


def make_trials(
    n_trials: int, *, n_passes: int = 1, lengths: Int[np.ndarray, " trial"] | None = None, **columns: Any
) -> pd.DataFrame:
    """Build the table of trials in presented order; columns hold one value per trial of a pass, or one per pass and trial."""
    length = np.ones(n_trials, np.int64) if lengths is None else lengths
    return _table(length, n_passes, columns)


def _table(length: Int[np.ndarray, " trial"], n_passes: int, columns: Mapping[str, Any]) -> pd.DataFrame:
    n_trials, bins = length.size, np.tile(length, n_passes).astype(np.int64, copy=False)
    stop = np.cumsum(bins)
    table = {
        "pass": np.repeat(np.arange(n_passes), n_trials),
        "trial": np.tile(np.arange(n_trials), n_passes),
        "start_bin": stop - bins,
        "stop_bin": stop,
    }
    for name, values in columns.items():
        array = np.asarray(values)
        table[name] = np.tile(array, n_passes) if array.size == n_trials else array
    if all(values.dtype == np.int64 for values in table.values()):
        # pandas takes a single block of numbers without a copy, in a fifth of the time.
        return pd.DataFrame(np.stack(list(table.values())).T, columns=_names(*table).view(), copy=False)
    return pd.DataFrame(table)


@lru_cache(64)
def _names(*columns: str) -> pd.Index:
    """Make an index of names of columns, once for tables that have the same: it is most of what a small table takes."""
    return pd.Index(columns)


def with_bins(trials: pd.DataFrame) -> pd.DataFrame:
    """Renumber the bins of the trials in the order of the rows."""
    length = (trials["stop_bin"] - trials["start_bin"]).to_numpy(np.int64)
    stop = np.cumsum(length)
    return trials.assign(start_bin=stop - length, stop_bin=stop)


def join_passes(
    passes: Sequence[Mapping[str, Any]],
    *,
    lengths: Sequence[np.ndarray],
    stimulus_ids: Int[np.ndarray, " trial"],
    n_outputs: int | None = None,
) -> pd.DataFrame:
    """Build the table of trials from the columns of each pass; only predictions may differ from pass to pass.

    ``correct`` is whether the predicted class is the label: truth values, or 1, 0 and NaN if some labels are negative (unknown).

    Parameters
    ----------
    passes
        Columns of each pass. All but ``predicted_label`` are taken from the first pass.
    lengths
        Number of bins of each input in each pass, each of shape (trial,).
    stimulus_ids
        Input that each trial presented, shape (trial,).
    n_outputs
        Number of outputs, the largest of which gave the predicted class. Outputs are class scores only if their number is that of the classes (largest label + 1);
        otherwise the prediction is left out. None if the prediction is known to be a class.

    Raises
    ------
    RecordingError
        If the number of bins or the label of an input differs between passes.

    Examples
    --------
    >>> one = {"label": np.array([4, 7]), "predicted_label": np.array([4, 4])}
    >>> join_passes([one], lengths=[np.array([1, 1])], stimulus_ids=np.array([0, 1]))["correct"].tolist()
    [True, False]
    """
    if any(not np.array_equal(other, lengths[0]) for other in lengths[1:]):
        raise RecordingError(
            "the number of bins of some inputs differs between the first pass and a later one.",
            "The passes have no common pseudo-time axis.",
            "Present the same inputs, of the same lengths, in every pass.",
        )
    # Values per step belong in the table of bins.
    passes = [{name: v for name, v in known.items() if not is_of_steps(np.asarray(v))} for known in passes]
    labels = [known["label"] for known in passes if "label" in known]
    if any(not np.array_equal(other, labels[0]) for other in labels[1:]):
        raise RecordingError(
            "the label of some inputs differs between the first pass and a later one.",
            "The same bin would mean a different input in each pass.",
            "Present the same inputs, in the same order, in every pass.",
        )
    columns: dict[str, Any] = {name: values for name, values in passes[0].items() if name != "predicted_label"}
    if all("predicted_label" in known for known in passes) and n_outputs in (None, n_classes(columns)):
        columns["predicted_label"] = np.concatenate([known["predicted_label"] for known in passes])
        if "label" in columns:
            columns["correct"] = _correct(columns["predicted_label"], np.tile(columns["label"], len(passes)))
    return _table(lengths[0], len(passes), {"stimulus_id": stimulus_ids} | columns)


def n_classes(columns: Mapping[str, Any]) -> int:
    """Count the classes as the largest label + 1; 0 if no label is known.

    Examples
    --------
    >>> n_classes({"label": np.array([0, 2, -1])}), n_classes({"label": np.array([0, 2]), "target_label": np.array([4, 0])}), n_classes({})
    (3, 5, 0)
    """
    return 1 + max((int(np.max(columns[name], initial=-1)) for name in CLASSES if name in columns), default=-1)


def _correct(predicted: Int[np.ndarray, " trial"], label: Int[np.ndarray, " trial"]) -> np.ndarray:
    right = predicted == label
    return np.where(label < 0, np.nan, right.astype(float)) if (label < 0).any() else right


def presented_order(stimulus_ids: np.ndarray) -> dict[str, str]:
    """Describe, for the provenance, the order in which inputs were presented: their ids ascend unless a loader shuffled them.

    Examples
    --------
    >>> presented_order(np.array([2, 0, 1]))["input_order"], presented_order(np.array([0, 1, 2]))["input_order"]
    ("loader's shuffled", 'presented')
    """
    drawn = bool((stimulus_ids[1:] < stimulus_ids[:-1]).any())
    return {
        "input_order": "loader's shuffled" if drawn else "presented",
        "input_order_sha256": order_sha256(stimulus_ids),
    }


def order_sha256(stimulus_ids: np.ndarray) -> str:
    """Hash the order of inputs: the SHA-256 of their ids as 64-bit little-endian integers.

    Examples
    --------
    >>> order_sha256(np.array([0, 1, 2]))[:8]
    'ab25350e'
    """
    return hashlib.sha256(np.ascontiguousarray(stimulus_ids, "<i8").tobytes()).hexdigest()


def check_trials(trials: pd.DataFrame) -> None:
    """Check that the bins of the trials follow one another, pass by pass.

    Raises
    ------
    RecordingError
        If columns or rows are missing, or bins or passes are out of order.
    """
    columns = trials.columns
    missing = [c for c in ("pass", "trial", "start_bin", "stop_bin", "stimulus_id") if c not in columns]
    if missing or not len(trials):
        raise RecordingError(
            f"the table of trials has {len(trials)} rows and lacks {missing or 'no column'}.",
            "Bins cannot be assigned to inputs.",
            "Give at least one trial, with the columns pass, trial, start_bin, stop_bin and stimulus_id.",
        )
    start, stop = trials["start_bin"].to_numpy(), trials["stop_bin"].to_numpy()
    if start[0] != 0 or (start[1:] != stop[:-1]).any() or (stop <= start).any():
        raise RecordingError(
            "the bins of the trials do not follow one another from 0.",
            "Spikes would be assigned to the wrong input.",
            "Number the bins in the order of the rows (`with_bins`).",
        )
    number = trials["pass"].to_numpy()
    steps = number[1:] - number[:-1]
    if number[0] != 0 or ((steps != 0) & (steps != 1)).any():
        raise RecordingError(
            "passes are not numbered from 0 in the order of the rows.",
            "Bins cannot be assigned to passes.",
            "Keep the rows of each pass together, and number the passes 0, 1, ...",
        )


def same_trials(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Whether two tables hold the same columns and values."""
    if list(a.columns) != list(b.columns) or len(a) != len(b):
        return False
    return all(_same(a[c].to_numpy(), b[c].to_numpy()) for c in a.columns)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f" and b.dtype.kind == "f")
