"""What both engines share: units, which windows belong together, and measures that need counts only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Num

from ann2neo.errors import AnalysisError, WindowError
from ann2neo.windows import Repeats

Over = Literal["windows", "passes"]


def milliseconds_per(time_unit: str) -> float:
    """Say how many milliseconds a unit of time lasts, as `quantities` rescales it.

    Raises
    ------
    AnalysisError
        If it is no unit of time.

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
            f"{time_unit!r} is no unit of time.", "Rates and intervals would have no unit.", "Use 'ms', 's' or 'us'."
        ) from error


def per_second(time_unit: str) -> float:
    """Give the factor that turns a number per unit of time into Hz.

    Examples
    --------
    >>> per_second("ms")
    1000.0
    """
    return 1000.0 / milliseconds_per(time_unit)


def spikes_per_bin(
    n_spikes: Int[np.ndarray, " unit"], stretch_bins: Int[np.ndarray, " stretch"] | None
) -> Float[np.ndarray, " unit"]:
    """Divide the spikes of each unit by the bins of all stretches; NaN where the source has no lattice or no bin.

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
    r"""Share of a unit's variance over bins that the label explains (eta squared, the correlation ratio).

    With :math:`r_c` the share of bins of class c, of :math:`w_c` bins, in which the unit spiked, and :math:`r` the
    share over all :math:`L = \sum_c w_c` labelled bins, it is :math:`\sum_c (w_c / L) (r_c - r)^2 / (r (1 - r))`: 0
    where all classes are alike, 1 where each class has either a spike in every bin or none. NaN for units that are
    silent or saturated in the labelled bins, and where there are fewer than two classes. Classes without bins do not
    count.

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
    """Say whether the Fano factor carries no information, because no window covers more than one bin.

    A bin holds one spike or none, so that over one-bin windows the Fano factor is exactly 1 - p, whatever the unit
    does. Both engines give NaN then. Over the passes or repeats of a window it is 1 - p of what the window shows, which
    differs from input to input and is a number of its own. Sources without bins are never concerned.

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
    """Groups of windows over each of which a Fano factor is taken, and sets of groups over which factors are averaged.

    The result is the mean over sets of the mean over the groups of a set; what has no spikes is left out of both.

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
    """Say over which windows each Fano factor is taken, and how factors are averaged.

    Windows without duration do not exist and count nowhere; one window alone has no variance and is no group. With
    ``repeats`` a group is the windows of one condition and position, and the groups of a condition are a set; else all
    groups of `window_groups` are one set.

    Parameters
    ----------
    window_pass
        Pass of each window, shape (window,).
    durations
        Bins or duration of each window, shape (window,).
    over
        Whether a Fano factor is taken over the windows of each pass, or over the passes of each window.
    repeats
        Which windows repeat each other; None where that is not asked.

    Raises
    ------
    WindowError
        As `window_groups`.

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
    """Average over the groups of each set, then over sets, leaving NaN out; NaN where nothing is left.

    Parameters
    ----------
    values
        One value per unit and group, shape (unit, group).
    set_edges
        Groups at which sets begin, and the end, shape (set + 1,).

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
    """Say over which windows each Fano factor is taken; the factors are then averaged over groups.

    Over windows, a group is all windows of a pass. Over passes, a group is one window as it recurs in each pass:
    windows are numbered pass after pass, so that window ``w`` of pass ``p`` has id ``p * windows_per_pass + w``.

    Raises
    ------
    WindowError
        If there is only one pass to go over, or passes differ in their windows.
    AnalysisError
        If ``over`` is neither of its two values.

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
            f"over={over!r} is unknown.", "Nothing was computed.", "Use over='windows' or over='passes'."
        )
    if passes.size < 2:
        raise WindowError(
            f"The number of passes with windows is {passes.size}.",
            "A variance over passes needs at least two.",
            "Record with passes=Passes(n), n >= 2, or use over='windows'.",
        )
    if (n_windows != n_windows[0]).any() or (np.diff(window_pass) < 0).any():
        raise WindowError(
            f"Passes have {n_windows.min()} to {n_windows.max()} windows, or are not numbered pass after pass.",
            "It is unclear which window of a pass recurs in the next.",
            "Give every pass the same windows in the same order.",
        )
    return list(np.arange(window_pass.size).reshape(passes.size, -1).T)
