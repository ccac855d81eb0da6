"""Labels of steps: windows of bins that share a label, and the exchange of labels that belong to bins and not to inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int

from ann2neo.errors import WindowError
from ann2neo.windows import Windows


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sequences:
    """Inputs that are exchangeable under the null hypothesis if labels belong to bins: they exchange whole sequences of labels.

    Inputs are exchangeable, their bins are not. Two inputs are alike if they have the same number of bins, with known labels at the same positions. When
    inputs that are alike exchange their sequences, each label keeps its number of bins at each position, and thus in total. An input that is like no other
    keeps its own labels.

    Parameters
    ----------
    groups
        For each set of inputs that are alike, their labelled bins of a pass, shape (input, position).
    label
        Class of each bin of a pass, -1 where it is unknown, shape (bin,).
    labels_are_windows
        Whether the windows of a pass are the classes.
    """

    groups: tuple[Int[np.ndarray, "_ _"], ...]
    label: Int[np.ndarray, " bin"]
    labels_are_windows: bool

    @property
    def n_labels(self) -> int:
        """Number of classes."""
        return int(self.label.max(initial=-1)) + 1

    def keep(self, kept: Int[np.ndarray, " kept"]) -> Sequences:
        """View some bins of a pass, in the given order; inputs that lose a bin are left out."""
        place = np.full(self.label.size, -1, np.int64)
        place[kept] = np.arange(kept.size)
        moved = [place[group] for group in self.groups]
        whole = [group[(group >= 0).all(axis=1)] for group in moved]
        return Sequences(
            groups=tuple(group for group in whole if len(group)),
            label=self.label[kept],
            labels_are_windows=self.labels_are_windows,
        )


def step_codes(bins: pd.DataFrame, name: str) -> tuple[Int[np.ndarray, " bin"], np.ndarray]:
    """Number the values of a column of the table of bins in ascending order; negative values are unknown and get -1.

    Examples
    --------
    >>> step_codes(pd.DataFrame({"label": [7, -1, 3]}), "label")
    (array([ 1, -1,  0]), array([3, 7]))
    """
    known, codes = np.unique(bins[name].to_numpy(), return_inverse=True)
    n_unknown = int(np.count_nonzero(known < 0))
    return np.maximum(codes.astype(np.int64) - n_unknown, -1), known[n_unknown:]


def windows_of_steps(trials: pd.DataFrame, bins: pd.DataFrame, name: str) -> Windows:
    """Make one window per pass for each value in a column of the table of bins; bins with negative values are in no window.

    Raises
    ------
    WindowError
        If all values are unknown.

    Examples
    --------
    >>> trials = pd.DataFrame({"pass": [0, 1], "start_bin": [0, 3], "stop_bin": [3, 6]})
    >>> windows = windows_of_steps(trials, pd.DataFrame({"token": [7, 3, 7]}), "token")
    >>> windows.ids, windows.n_bins, windows.names
    (array([1, 0, 1, 3, 2, 3]), array([1, 2, 1, 2]), ('3', '7', '3', '7'))
    """
    codes, known = step_codes(bins, name)
    if not known.size:
        raise WindowError(
            f"All {len(bins)} bins have an unknown {name} (a negative number).",
            "Without windows, spikes cannot be counted.",
            "Use windows of a number of bins, or record with labels.",
        )
    n_passes = int(trials["pass"].iloc[-1]) + 1
    of_pass = np.repeat(np.arange(n_passes), known.size)
    ids = np.where(codes >= 0, codes + np.arange(n_passes)[:, None] * known.size, -1)
    return Windows(
        kind=name,
        ids=ids.ravel(),
        n_bins=np.tile(np.bincount(codes[codes >= 0], minlength=known.size), n_passes).astype(np.int64),
        of_pass=of_pass.astype(np.int64),
        names=tuple(str(value) for value in known) * n_passes,
    )


def sequences_of(trials: pd.DataFrame, bins: pd.DataFrame, name: str, *, labels_are_windows: bool) -> Sequences:
    """Find the inputs whose label sequences can be exchanged under the null hypothesis.

    Examples
    --------
    >>> trials = pd.DataFrame({"pass": [0, 0, 0], "start_bin": [0, 2, 4], "stop_bin": [2, 4, 5]})
    >>> found = sequences_of(trials, pd.DataFrame({"token": [5, 6, 6, 5, 5]}), "token", labels_are_windows=True)
    >>> [group.tolist() for group in found.groups], found.label
    ([[[4]], [[0, 1], [2, 3]]], array([0, 1, 1, 0, 0]))
    """
    codes = step_codes(bins, name)[0]
    first = trials[trials["pass"] == 0]
    alike: dict[tuple[int, bytes], list[np.ndarray]] = {}
    for start, stop in zip(first["start_bin"].tolist(), first["stop_bin"].tolist()):
        places = np.flatnonzero(codes[start:stop] >= 0)
        if places.size:
            alike.setdefault((stop - start, places.tobytes()), []).append(start + places)
    groups = tuple(np.stack(alike[key]) for key in sorted(alike))
    return Sequences(groups=groups, label=codes, labels_are_windows=labels_are_windows)
