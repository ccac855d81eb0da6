"""Exchangeable units of permutation tests: inputs, each with all its bins, are exchanged between classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int, Num

from ann2neo.step_labels import Sequences
from ann2neo.windows import STIMULUS, codes_of_column


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Inputs that are exchangeable under the null hypothesis (trials, in recordings of cells), each with all its bins in all passes.

    Parameters
    ----------
    ids
        Input of each bin, or of each spike, -1 for none, shape (item,).
    label
        Class of each input, -1 if it is unknown, shape (input,).
    size
        Number of bins or duration of each input over all passes, shape (input,).
    labels_are_windows
        Whether the windows of a pass are the classes.
    first_pass_only
        Whether the class of an input differs from pass to pass, so that only bins of the first pass are assigned to inputs.
    over_passes
        In this case, the exchangeable sequences of classes that inputs have over all passes, for the bins of all passes; otherwise None.
    of_pass
        Pass of each input, in whose windows it counts, shape (input,); None where an input returns in every pass.
    """

    ids: Int[np.ndarray, " item"]
    label: Int[np.ndarray, " input"]
    size: Num[np.ndarray, " input"]
    labels_are_windows: bool
    first_pass_only: bool = False
    over_passes: Sequences | None = None
    of_pass: Int[np.ndarray, " input"] | None = None

    @property
    def one_bin(self) -> bool:
        """Whether every input has a single bin, so that bins are exchangeable."""
        return np.issubdtype(self.size.dtype, np.integer) and bool((self.size <= 1).all())


def exchange_by_column(trials: pd.DataFrame, name: str, *, labels_are_windows: bool) -> Exchange:
    """Assign bins to exchangeable inputs, and a class to each input.

    Rows with the same stimulus id are one input, in all passes. If their class differs within a pass, an input is a presentation instead: the first,
    second, ... of its stimulus in a pass. If their class differs from pass to pass, as predictions of a network with dropout do, inputs and classes are those of
    the first pass, by the same rule, and the bins of the other passes belong to no input.

    Examples
    --------
    >>> trials = pd.DataFrame({"pass": [0, 0, 1, 1], "start_bin": [0, 2, 3, 5], "stop_bin": [2, 3, 5, 6]})
    >>> trials = trials.assign(label=[7, 3, 7, 3], predicted_label=[7, 7, 7, 3], stimulus_id=[0, 1, 0, 1])
    >>> exchange = exchange_by_column(trials, "label", labels_are_windows=True)
    >>> exchange.ids, exchange.label, exchange.size
    (array([0, 0, 1, 0, 0, 1]), array([1, 0]), array([4, 2]))
    >>> exchange_by_column(trials, "predicted_label", labels_are_windows=True).ids
    array([ 0,  0,  1, -1, -1, -1])
    """
    codes = codes_of_column(trials, name)[0]
    stimulus, occurrence = trials[STIMULUS].to_numpy(), trials.groupby(["pass", STIMULUS]).cumcount().to_numpy()
    every, first = np.ones(len(trials), np.bool_), (trials["pass"] == trials["pass"].iloc[0]).to_numpy()
    for named, keys in (
        (every, [stimulus]),
        (every, [stimulus, occurrence]),
        (first, [stimulus]),
        (first, [stimulus, occurrence]),
    ):
        inputs = np.full(len(trials), -1, np.int64)
        inputs[named] = np.unique(np.stack(keys)[:, named], axis=1, return_inverse=True)[1].ravel()
        label = np.full(inputs.max() + 1, -2, np.int64)
        label[inputs[named]] = codes[named]
        if (label[inputs[named]] == codes[named]).all():
            break
    length = (trials["stop_bin"] - trials["start_bin"]).to_numpy(np.int64)
    return Exchange(
        ids=np.repeat(inputs, length).astype(np.int64),
        label=label.astype(np.int64),
        size=np.bincount(inputs[named], weights=length[named]).astype(np.int64),
        labels_are_windows=labels_are_windows,
        first_pass_only=not bool(named.all()),
        over_passes=None
        if named.all()
        else sequences_over_passes(trials, codes, labels_are_windows=labels_are_windows),
    )


def sequences_over_passes(
    trials: pd.DataFrame, codes: Int[np.ndarray, " trial"], *, labels_are_windows: bool
) -> Sequences:
    """Take the classes of a stimulus in all its trials, pass after pass, for one sequence that inputs like it can have instead.

    Inputs are alike whose trials have as many bins, one after another, and known classes in the same ones.

    Examples
    --------
    >>> trials = pd.DataFrame({"pass": [0, 0, 1, 1], "start_bin": [0, 2, 4, 6], "stop_bin": [2, 4, 6, 8], "stimulus_id": [0, 1, 0, 1]})
    >>> found = sequences_over_passes(trials, np.array([0, 1, 1, 1]), labels_are_windows=True)
    >>> [group.tolist() for group in found.groups], found.label
    ([[[0, 1, 4, 5], [2, 3, 6, 7]]], array([0, 0, 1, 1, 1, 1, 1, 1]))
    """
    start, stop = trials["start_bin"].to_numpy(np.int64), trials["stop_bin"].to_numpy(np.int64)
    alike: dict[tuple[tuple[int, int, bool], ...], list[np.ndarray]] = {}
    for rows in trials.groupby(STIMULUS).indices.values():
        known = [row for row in rows if codes[row] >= 0]
        if known:
            key = tuple(
                zip(
                    trials["pass"].to_numpy()[rows].tolist(), (stop - start)[rows].tolist(), (codes[rows] >= 0).tolist()
                )
            )
            alike.setdefault(key, []).append(np.concatenate([np.arange(start[row], stop[row]) for row in known]))
    return Sequences(
        groups=tuple(np.stack(alike[key]) for key in sorted(alike)),
        label=np.repeat(codes, stop - start).astype(np.int64),
        labels_are_windows=labels_are_windows,
    )
