"""Definitions that both engines share: units, groups of windows, and measures that are computed from counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Num

from ann2neo.errors import AnalysisError, WindowError
from ann2neo.windows import Repeats

Over = Literal["windows", "passes"]


# quantities parses the name of a unit at every look-up, which took half the time of an analysis.
@lru_cache(maxsize=16)
def milliseconds_per(time_unit: str) -> float:
    """Return the number of milliseconds in a unit of time, according to `quantities`.

    Raises
    ------
    AnalysisError
        If it is not a unit of time.

    Examples
    --------
    >>> milliseconds_per("s"), milliseconds_per("ms")
    (1000.0, 1.0)
    """
    import quantities as pq

    try:
        return float(pq.Quantity(1.0, time_unit).rescale("ms").magnitude)
    except (LookupError, ValueError) as error:
        raise AnalysisError(
            f"the unit must be one of time, got {time_unit!r}.",
            "Rates and intervals would have no unit.",
            "Use 'ms', 's' or 'us'.",
        ) from error


def per_second(time_unit: str) -> float:
    """Return the factor that converts a number per unit of time to Hz.

    Examples
    --------
    >>> per_second("ms")
    1000.0
    """
    return 1000.0 / milliseconds_per(time_unit)


def spikes_per_bin(
    n_spikes: Int[np.ndarray, " unit"], stretch_bins: Int[np.ndarray, " stretch"] | None
) -> Float[np.ndarray, " unit"]:
    """Divide the spikes of each unit by the bins of all stretches; NaN if the source has no bins.

    Examples
    --------
    >>> spikes_per_bin(np.array([0, 3]), np.array([4, 2]))
    array([0. , 0.5])
    """
    if stretch_bins is None or stretch_bins.sum() == 0:
        return np.full(n_spikes.size, np.nan)
    return n_spikes / stretch_bins.sum()


def label_share(
    counts: Int[np.ndarray, "unit class"], label_bins: Int[np.ndarray, " class"]
) -> Float[np.ndarray, " unit"]:
    r"""Compute the share of a unit's variance over bins that the label explains (eta squared, the correlation ratio).

    With :math:`r_c` the share of the :math:`w_c` bins of class c in which the unit spiked, and :math:`r` the share of all
    :math:`L = \sum_c w_c` labelled bins, it is :math:`\sum_c (w_c / L) (r_c - r)^2 / (r (1 - r))`: 0 if all classes are
    alike, 1 if each class has either a spike in every bin or none at all. It is NaN for units that are silent or
    saturated in the labelled bins, and with fewer than two classes. Classes without bins are ignored.

    Parameters
    ----------
    counts
        Spikes of each unit in the bins of each class, shape (unit, class).
    label_bins
        Number of bins of each class, shape (class,).

    References
    ----------
    Olejnik & Algina (2003), Generalized eta and omega squared statistics, doi:10.1037/1082-989X.8.4.434

    Examples
    --------
    >>> label_share(np.array([[2, 0], [1, 1], [0, 0]]), np.array([2, 2]))
    array([ 1.,  0., nan])
    """
    present = label_bins > 0
    bins, total = label_bins[present].astype(np.float64), float(label_bins.sum())
    counts = np.ascontiguousarray(counts[:, present])
    rate = counts.sum(axis=1) / max(total, 1.0)
    between = np.sum((bins / max(total, 1.0)) * np.square(counts / bins - rate[:, None]), axis=1)
    undefined = (rate <= 0.0) | (rate >= 1.0) | (np.count_nonzero(present) < 2)
    return np.where(undefined, np.nan, between / np.where(undefined, 1.0, rate * (1.0 - rate)))


def fano_is_fixed(
    window_bins: Int[np.ndarray, " window"] | None, over: Over = "windows", repeats: Repeats | None = None
) -> bool:
    """Whether the Fano factor carries no information, because all windows have at most one bin.

    A bin holds one spike or none, so over one-bin windows the Fano factor is exactly 1 - p for every unit; both engines
    then return NaN. Over the passes or repeats of a window it is 1 - p for the input of the window, which differs from
    input to input and is informative. For sources without bins the answer is always False.

    Examples
    --------
    >>> fano_is_fixed(np.array([1, 1, 1])), fano_is_fixed(np.array([1, 2])), fano_is_fixed(None)
    (True, False, False)
    >>> fano_is_fixed(np.array([1, 1, 1]), over="passes")
    False
    """
    if over != "windows" or repeats is not None:
        return False
    return window_bins is not None and window_bins.size > 0 and int(window_bins.max()) <= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowGroups:
    """Groups of windows, each with one Fano factor, and sets of groups over which factors are averaged.

    The result is the mean over sets of the mean over the groups of a set; groups and sets without spikes are left out.

    Parameters
    ----------
    members
        Windows of each group.
    set_edges
        Groups of set ``s`` are ``members[set_edges[s]:set_edges[s + 1]]``, shape (set + 1,).
    """

    members: Sequence[Int[np.ndarray, " _"]]
    set_edges: Int[np.ndarray, " set_plus_one"]


def groups_of_windows(
    window_pass: Int[np.ndarray, " window"],
    durations: Num[np.ndarray, " window"],
    over: Over,
    repeats: Repeats | None = None,
) -> WindowGroups:
    """Group windows for Fano factors, and groups into sets for averaging.

    Windows without duration are ignored. A single window has no variance and does not form a group. With ``repeats`` a
    group consists of the windows of one condition and position, and the groups of a condition form a set; otherwise all
    groups of `window_groups` form one set.

    Parameters
    ----------
    window_pass
        Pass of each window, shape (window,).
    durations
        Bins or duration of each window, shape (window,).
    over
        Whether Fano factors are computed over the windows of each pass, or over the passes of each window.
    repeats
        Which windows repeat each other; None if Fano factors are not computed over repeats.

    Raises
    ------
    WindowError
        As in `window_groups`.

    Examples
    --------
    >>> groups = groups_of_windows(np.array([0, 0, 0, 1, 1, 1]), np.array([2, 0, 2, 2, 1, 0]), "windows")
    >>> groups.members, groups.set_edges
    ([array([0, 2]), array([3, 4])], array([0, 2]))
    >>> repeats = Repeats(condition=np.array([7, 7, 3, 7, 3, 3]), position=np.array([0, 1, 0, 0, 1, 0]))
    >>> groups = groups_of_windows(np.zeros(6, int), np.ones(6), "windows", repeats)
    >>> groups.members, groups.set_edges
    ([array([2, 5]), array([0, 3])], array([0, 1, 2]))
    """
    present = durations > 0
    if repeats is None:
        groups = [group[present[group]] for group in window_groups(window_pass, over)]
        groups = [group for group in groups if group.size > 1]
        return WindowGroups(members=groups, set_edges=np.array([0, len(groups)] if groups else [0]))
    known = np.flatnonzero(present & (repeats.condition >= 0))
    condition, position = repeats.condition[known], repeats.position[known]
    order = np.lexsort((position, condition))
    changes = (np.diff(condition[order]) != 0) | (np.diff(position[order]) != 0)
    groups = [g for g in np.split(known[order], np.flatnonzero(changes) + 1) if g.size > 1]
    of_group = np.array([repeats.condition[group[0]] for group in groups], np.int64)
    edges = [0, *(np.flatnonzero(np.diff(of_group)) + 1), len(groups)] if groups else [0]
    return WindowGroups(members=groups, set_edges=np.array(edges, np.int64))


def sums_of_groups(
    counts: Int[np.ndarray, "unit window"], groups: WindowGroups
) -> tuple[Int[np.ndarray, "unit group"], Int[np.ndarray, "unit group"]]:
    """Sum the counts, and their squares, over the windows of each group.

    Parameters
    ----------
    counts
        Spikes of each unit in each window, shape (unit, window).
    groups
        Groups of windows.

    Examples
    --------
    >>> groups = WindowGroups(members=[np.array([0, 1]), np.array([2, 3])], set_edges=np.array([0, 2]))
    >>> sums_of_groups(np.array([[1, 3, 0, 2]]), groups)
    (array([[4, 2]]), array([[10,  4]]))
    """
    if not groups.members:
        return np.zeros((len(counts), 0), np.int64), np.zeros((len(counts), 0), np.int64)
    starts = np.cumsum([0, *(members.size for members in groups.members[:-1])])
    own = counts[:, np.concatenate(groups.members)].astype(np.int64)
    return np.add.reduceat(own, starts, axis=1), np.add.reduceat(own * own, starts, axis=1)


def mean_of_groups(
    values: Float[np.ndarray, "unit group"], set_edges: Int[np.ndarray, " set_plus_one"]
) -> Float[np.ndarray, " unit"]:
    """Average over the groups of each set, then over sets, ignoring NaN; NaN if no value remains.

    Parameters
    ----------
    values
        One value per unit and group, shape (unit, group).
    set_edges
        First group of each set, and the end of the last one, shape (set + 1,).

    Examples
    --------
    >>> mean_of_groups(np.array([[1.0, 3.0, 5.0, np.nan]]), np.array([0, 2, 4]))
    array([3.5])
    """
    if values.shape[1] == 0:
        return np.full(len(values), np.nan)
    known = ~np.isnan(values)
    total = np.add.reduceat(np.where(known, values, 0.0), set_edges[:-1], axis=1)
    n = np.add.reduceat(known.astype(np.int64), set_edges[:-1], axis=1)
    n_sets = (n > 0).sum(axis=1)
    of_sets = (total / np.maximum(n, 1)).sum(axis=1)
    return np.where(n_sets > 0, of_sets / np.maximum(n_sets, 1), np.nan)


def window_groups(window_pass: Int[np.ndarray, " window"], over: Over) -> list[Int[np.ndarray, " _"]]:
    """Group the windows over which each Fano factor is computed; factors are then averaged over groups.

    Over windows, a group consists of all windows of a pass. Over passes, a group consists of the same window in each
    pass: windows are numbered pass by pass, so that window ``w`` of pass ``p`` has id ``p * windows_per_pass + w``.

    Raises
    ------
    WindowError
        If ``over="passes"`` and there is only one pass, or passes differ in their windows.
    AnalysisError
        If ``over`` is unknown.

    Examples
    --------
    >>> window_groups(np.array([0, 0, 1, 1]), "windows")
    [array([0, 1]), array([2, 3])]
    >>> window_groups(np.array([0, 0, 1, 1]), "passes")
    [array([0, 2]), array([1, 3])]
    """
    passes, n_windows = np.unique(window_pass, return_counts=True)
    if over == "windows":
        return [np.flatnonzero(window_pass == number) for number in passes]
    if over != "passes":
        raise AnalysisError(
            f"`over` must be 'windows' or 'passes', got {over!r}.",
            "Nothing was computed.",
            "Use over='windows' or over='passes'.",
        )
    if passes.size < 2:
        raise WindowError(
            f"The number of passes with windows is {passes.size}.",
            "A variance over passes needs at least two.",
            "Record with passes=Passes(n), n >= 2, or use over='windows'.",
        )
    if (n_windows != n_windows[0]).any() or (np.diff(window_pass) < 0).any():
        raise WindowError(
            f"Passes have {n_windows.min()} to {n_windows.max()} windows, or windows are not numbered pass by pass.",
            "It is unclear which windows of different passes correspond to each other.",
            "Give every pass the same windows in the same order.",
        )
    return list(np.arange(window_pass.size).reshape(passes.size, -1).T)
