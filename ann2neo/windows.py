"""Orders of trials, stretches of contiguous bins, and windows in which spikes are counted, all as integer arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Int, Shaped

from ann2neo.arguments import check_seed
from ann2neo.errors import WindowError, suggestion

Order = Literal["presented", "label", "shuffled"]

STIMULUS = "stimulus_id"
"""Column whose windows are trials; counts are compared over the repeats of each stimulus."""

TRIAL_COLUMNS_OF_TIME = ("pass", "trial", "start_bin", "stop_bin", "stimulus_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """Which windows repeat each other: those of the same condition at the same position within their trial.

    Parameters
    ----------
    condition
        Condition of each window, -1 for none, shape (window,).
    position
        Position of each window within its trial, 0, 1, ..., shape (window,).

    Raises
    ------
    WindowError
        If the two arrays differ in length.
    """

    condition: Int[np.ndarray, " window"]
    position: Int[np.ndarray, " other_window"]

    def __post_init__(self) -> None:
        if self.condition.size != self.position.size:
            raise WindowError(
                f"Windows have {self.condition.size} conditions, but {self.position.size} positions.",
                "It is unclear which windows repeat each other.",
                "Give one condition and one position for each window.",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Sets of bins in which spikes are counted.

    Parameters
    ----------
    kind
        How the windows were made: a column of the trials table, "trial", or "n bins".
    ids
        Window of each bin, -1 for none, shape (bin,). Windows are numbered pass by pass.
    n_bins
        Number of bins of each window, shape (window,).
    of_pass
        Pass to which each window belongs, shape (window,).
    names
        Name of each window: its label, or its number.
    repeats
        Which windows repeat each other, if counts are compared over repeats; otherwise None.
    """

    kind: str
    ids: Int[np.ndarray, " bin"]
    n_bins: Int[np.ndarray, " window"]
    of_pass: Int[np.ndarray, " window"]
    names: tuple[str, ...]
    repeats: Repeats | None = None


def trial_order(trials: pd.DataFrame, by: Order, *, seed: int | None = None) -> Int[np.ndarray, " trial"]:
    """Return the order in which the trials of one pass are read.

    ``"presented"`` sorts by ``trial``; ``"label"`` sorts by ``label`` and keeps the presented order within a label; ``"shuffled"`` is a uniformly
    random permutation of the presented order.

    Parameters
    ----------
    trials
        Rows of one pass.
    by
        Name of the order.
    seed
        Seed of the shuffle; required for ``"shuffled"``, refused otherwise.

    Raises
    ------
    WindowError
        If the trials have no labels to order by, the order is unknown, or a seed is missing or superfluous.

    Examples
    --------
    >>> trials = pd.DataFrame({"trial": [0, 1, 2, 3], "label": [1, 0, 1, 0]})
    >>> trial_order(trials, "label")
    array([1, 3, 0, 2])
    """
    presented = np.argsort(trials["trial"].to_numpy(), kind="stable")
    if (by == "shuffled") != (seed is not None):
        raise WindowError(
            f"the order {by!r} was requested with seed={seed}.",
            "A shuffle without a seed cannot be repeated, and a seed without a shuffle has no effect.",
            "Use arrange('shuffled', seed=0), or omit the seed.",
        )
    if by == "presented":
        return presented
    if by == "label":
        return presented[np.argsort(column_of(trials, "label")[presented], kind="stable")]
    if by == "shuffled":
        return presented[np.random.default_rng(check_seed(seed, error=WindowError)).permutation(presented.size)]
    raise WindowError(f"There is no order {by!r}.", "Nothing was arranged.", "Use 'presented', 'label' or 'shuffled'.")


def order_words(trials: pd.DataFrame, provenance: Mapping[str, Any]) -> str:
    """Describe the order of the inputs: a loader that shuffles presents them in another order than that of their data set.

    If the provenance does not tell, the stimulus ids do: in presented order they ascend unless a loader shuffled the inputs.

    Examples
    --------
    >>> trials = pd.DataFrame({"pass": [0, 0], "stimulus_id": [1, 0]})
    >>> order_words(trials, {"input_order": "presented"}), order_words(trials, {"input_order": "label"})
    ("loader's shuffled", 'label')
    """
    known = str(provenance.get("input_order", "presented"))
    ids = trials["stimulus_id"].to_numpy()[trials["pass"].to_numpy() == 0]
    return "loader's shuffled" if known == "presented" and (np.diff(ids) < 0).any() else known


def column_of(trials: pd.DataFrame, name: str, *, known: Sequence[str] | None = None) -> np.ndarray:
    """Return a column of the trials table by which trials can be grouped.

    Columns to group by are those in ``known``; if it is None, all columns except those of time and identity.

    Raises
    ------
    WindowError
        If the column does not exist; the message lists those that do.
    """
    known = [c for c in trials.columns if c not in TRIAL_COLUMNS_OF_TIME] if known is None else known
    if name not in known:
        raise WindowError(
            f"The trials have no column {name!r} (columns to group by: {', '.join(map(repr, known)) or 'none'})."
            + suggestion(name, known),
            "Trials cannot be ordered or grouped by it.",
            "Give labels when recording (`Inputs(data, labels=...)`), or use windows of a number of bins.",
        )
    return trials[name].to_numpy()


def stretch_edges(trials: pd.DataFrame) -> Int[np.ndarray, " edge"]:
    """Return the first bin of each stretch of contiguous time, and the end of the last one, shape (stretch + 1,).

    A stretch is a pass, or a trial if trials have several bins.

    Examples
    --------
    >>> stretch_edges(pd.DataFrame({"pass": [0, 0, 1, 1], "start_bin": [0, 1, 2, 3], "stop_bin": [1, 2, 3, 4]}))
    array([0, 2, 4])
    >>> stretch_edges(pd.DataFrame({"pass": [0, 0], "start_bin": [0, 5], "stop_bin": [5, 8]}))
    array([0, 5, 8])
    """
    start, stop = trials["start_bin"].to_numpy(np.int64), trials["stop_bin"].to_numpy(np.int64)
    if (stop - start != 1).any():
        return np.append(start, stop[-1])
    first = np.flatnonzero(np.diff(trials["pass"].to_numpy(), prepend=-1))
    return np.append(start[first], stop[-1])


def windows_by_column(trials: pd.DataFrame, name: str) -> Windows:
    """Make one window per pass for each value of a trials column; its bins need not be contiguous, and negative values have no window.

    Examples
    --------
    >>> trials = pd.DataFrame({"pass": [0, 0, 0], "start_bin": [0, 1, 2], "stop_bin": [1, 2, 3], "label": [7, 3, 7]})
    >>> windows = windows_by_column(trials, "label")
    >>> windows.ids, windows.n_bins, windows.names
    (array([1, 0, 1]), array([1, 2]), ('3', '7'))
    """
    codes, known = codes_of_column(trials, name)
    if not known.size:
        raise WindowError(
            f"All {len(trials)} trials have an unknown {name} (a negative number).",
            "Without windows, spikes cannot be counted.",
            "Use windows of a number of bins, or record with labels.",
        )
    return _windows_of_trials(trials, codes, tuple(str(value) for value in known), name)


def codes_of_column(trials: pd.DataFrame, name: str) -> tuple[Int[np.ndarray, " trial"], np.ndarray]:
    """Number the values of a trials column in ascending order; negative and missing values are unknown and get -1."""
    values = column_of(trials, name)
    there, codes = ~pd.isna(values), np.full(values.size, -1)
    known, codes[there] = np.unique(values[there], return_inverse=True)
    if np.issubdtype(known.dtype, np.number):
        n_unknown = int(np.count_nonzero(known < 0))
        known, codes = known[n_unknown:], np.maximum(codes - n_unknown, -1)
    return codes.astype(np.int64), known


def windows_by_trial(trials: pd.DataFrame) -> Windows:
    """Make each trial a window (of one bin, unless trials have several steps)."""
    codes = trials.groupby("pass").cumcount().to_numpy()
    names = tuple(str(trial) for trial in trials["trial"].to_numpy()[: codes.max() + 1])
    return _windows_of_trials(trials, codes, names, "trial")


def windows_within(trials: pd.DataFrame, name: str, n_bins: int | None = None) -> Windows:
    """Make each trial a window, or divide it into windows of ``n_bins``; windows at the same position of trials that share a value repeat each other.

    The repeats of a value may lie in one pass or in several. A value that is shown once has no repeats and is not counted;
    nor are negative values, which are unknown. Bins after the last complete window of a trial belong to no window.

    Raises
    ------
    WindowError
        If no value has two trials, whole trials of a value differ in length, or no trial is as long as a window.

    Examples
    --------
    >>> trials = pd.DataFrame({"pass": [0, 0, 1, 1], "trial": [0, 1, 0, 1], "start_bin": [0, 1, 2, 3]})
    >>> trials = trials.assign(stop_bin=trials["start_bin"] + 1, stimulus_id=[4, 5, 4, 5])
    >>> windows_within(trials, "stimulus_id").repeats.condition
    array([0, 1, 0, 1])
    """
    values = column_of(trials, name, known=[*trials.columns])
    known, codes = np.unique(values, return_inverse=True)
    if np.issubdtype(known.dtype, np.number):
        codes = np.where(known[codes] < 0, -1, codes)
    if np.unique(codes[codes >= 0], return_counts=True)[1].max(initial=0) < 2:
        raise WindowError(
            f"No {name} has two trials ({len(trials)} trials, {known.size} values).",
            "A variance over repeats needs at least two.",
            "Record with passes=Passes(n), n >= 2, or count in other windows, such as windows='label'.",
        )
    if n_bins is not None:
        return _cut_trials(trials, codes.astype(np.int64), n_bins, name)
    windows = windows_by_trial(trials)
    _check_equal_lengths(codes, windows.n_bins, name)
    repeats = Repeats(condition=codes.astype(np.int64), position=np.zeros(codes.size, np.int64))
    return replace(windows, kind=name, repeats=repeats)


def _cut_trials(trials: pd.DataFrame, codes: Int[np.ndarray, " trial"], n_bins: int, name: str) -> Windows:
    """Divide each trial into windows of ``n_bins``, from its first bin on."""
    length = (trials["stop_bin"] - trials["start_bin"]).to_numpy(np.int64)
    per_trial = length // n_bins if n_bins > 0 else np.zeros(length.size, np.int64)
    if per_trial.sum() == 0:
        raise WindowError(
            f"No trial (longest: {length.max()} bins) holds a window of {n_bins} bins.",
            "Without windows, spikes cannot be counted.",
            f"Use windows of 1 to {length.max()} bins, or 'trial'.",
        )
    first, trial = np.cumsum(per_trial) - per_trial, np.repeat(np.arange(length.size), per_trial)
    of_bin = np.repeat(np.arange(length.size), length)
    number = (np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)) // n_bins
    position = np.arange(trial.size) - first[trial]
    return Windows(
        kind=f"{n_bins} bins of a trial",
        ids=np.where(number < per_trial[of_bin], number + first[of_bin], -1).astype(np.int64),
        n_bins=np.full(trial.size, n_bins, np.int64),
        of_pass=trials["pass"].to_numpy(np.int64)[trial],
        names=tuple(str(window) for window in range(trial.size)),
        repeats=Repeats(condition=codes[trial], position=position.astype(np.int64)),
    )


def _check_equal_lengths(codes: Int[np.ndarray, " trial"], n_bins: Int[np.ndarray, " window"], name: str) -> None:
    """Check that repeats have equal lengths: otherwise their counts would differ for that reason alone."""
    known = codes >= 0
    shortest, longest = np.full(codes.max() + 1, n_bins.max()), np.zeros(codes.max() + 1, np.int64)
    np.minimum.at(shortest, codes[known], n_bins[known])
    np.maximum.at(longest, codes[known], n_bins[known])
    unequal = np.count_nonzero(shortest < longest)
    if unequal:
        raise WindowError(
            f"The trials of {unequal} values of {name} have unequal numbers of bins.",
            "Their counts would differ for that reason alone.",
            "Record inputs of equal length, or cut them with Steps(lengths=...).",
        )


def windows_of_length(trials: pd.DataFrame, n_bins: int) -> Windows:
    """Divide each stretch into windows of ``n_bins``; an incomplete last window of a stretch is dropped.

    Raises
    ------
    WindowError
        If no stretch holds a complete window.
    """
    edges = stretch_edges(trials)
    lengths = np.diff(edges)
    # Compared first: a whole number of Python may be larger than any of NumPy's.
    if not 1 <= n_bins <= lengths.max():
        wanted = str(n_bins) if n_bins < 10**15 else "more than 10^15"
        raise WindowError(
            f"No stretch of contiguous bins (longest: {lengths.max()}) holds a window of {wanted} bins.",
            "Without windows, spikes cannot be counted.",
            f"Use windows of 1 to {lengths.max()} bins.",
        )
    per_stretch = lengths // n_bins
    within = np.arange(edges[-1]) - np.repeat(edges[:-1], lengths)
    number = within // n_bins
    ids = np.where(
        number < np.repeat(per_stretch, lengths), number + np.repeat(np.cumsum(per_stretch) - per_stretch, lengths), -1
    )
    pass_of_stretch = trials["pass"].to_numpy()[np.searchsorted(trials["start_bin"].to_numpy(), edges[:-1])]
    return Windows(
        kind=f"{n_bins} bins",
        ids=ids.astype(np.int64),
        n_bins=np.full(per_stretch.sum(), n_bins, np.int64),
        of_pass=np.repeat(pass_of_stretch, per_stretch).astype(np.int64),
        names=tuple(str(i) for i in range(per_stretch.sum())),
    )


def make_windows(trials: pd.DataFrame, windows: Any) -> Windows:
    """Make the requested windows; None stands for windows by label if there are labels, and for 100 bins otherwise.

    Raises
    ------
    WindowError
        If the trials do not support such windows.
    """
    if windows is None:
        windows = "label" if "label" in trials.columns and codes_of_column(trials, "label")[1].size else 100
    if (
        isinstance(windows, bool)
        or not isinstance(windows, (str, int, np.integer, float))
        or (isinstance(windows, float) and not windows.is_integer())
    ):
        raise WindowError(
            f"`windows` must be a name or a whole number of bins, got {windows!r}.",
            "Spikes cannot be counted.",
            "Use 'label', another column of the trials, 'trial', 'stimulus_id' (over the repeats of each stimulus), or a number of bins.",
        )
    if isinstance(windows, str):
        if windows == STIMULUS:
            return windows_within(trials, STIMULUS)
        return windows_by_trial(trials) if windows == "trial" else windows_by_column(trials, windows)
    return windows_of_length(trials, int(windows))


def _windows_of_trials(
    trials: pd.DataFrame, codes: Int[np.ndarray, " trial"], names: tuple[str, ...], kind: str
) -> Windows:
    """Assign the code of its trial to every bin, with separate numbers in each pass."""
    passes = trials["pass"].to_numpy(np.int64)
    length = (trials["stop_bin"] - trials["start_bin"]).to_numpy(np.int64)
    n_passes = int(passes.max()) + 1
    of_trial = np.where(codes >= 0, codes + passes * len(names), -1)
    counted = of_trial >= 0
    return Windows(
        kind=kind,
        ids=np.repeat(of_trial, length).astype(np.int64),
        n_bins=np.bincount(of_trial[counted], weights=length[counted], minlength=n_passes * len(names)).astype(
            np.int64
        ),
        of_pass=np.repeat(np.arange(n_passes), len(names)),
        names=names * n_passes,
    )


def sums_by_code(
    counts: Shaped[np.ndarray, "unit place"], codes: Int[np.ndarray, " place"], n_codes: int
) -> Int[np.ndarray, "unit code"]:
    """Sum the counts of each unit over the places of each code; memory grows with places and codes, not with their product.

    The sum of a code without places is 0.

    Examples
    --------
    >>> sums_by_code(np.array([[1, 2, 4]]), np.array([2, 0, 2]), 4)
    array([[2, 0, 5, 0]])
    """
    sums = np.zeros((counts.shape[0], n_codes), np.int64)
    if codes.size:
        order = np.argsort(codes, kind="stable")
        begin = np.flatnonzero(np.diff(codes[order], prepend=-1))
        sums[:, codes[order][begin]] = np.add.reduceat(counts[:, order], begin, axis=1, dtype=np.int64)
    return sums
