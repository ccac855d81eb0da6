"""What spike counts in windows and labels would be if inputs came in random order, given a unit's spikes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Num

from ann2neo.arguments import check_whole
from ann2neo.chance.axes import by_annotation
from ann2neo.chance.margins import check_spikes, ratio, weighted_mean
from ann2neo.errors import AnalysisError

PerUnit = Float[np.ndarray, " unit"]


@by_annotation
def expected_fano(
    n: Int[np.ndarray, "unit pass"],
    sizes: Num[np.ndarray, " window"],
    window_pass: Int[np.ndarray, " window"] | None = None,
    *,
    lattice: bool = True,
) -> PerUnit:
    """Expect the mean over passes of the Fano factor of the counts in windows, exactly; see `expected_fano_of_groups`.

    Passes without spikes are left out of the mean; NaN where none has spikes.

    Parameters
    ----------
    n
        Spikes of each unit inside the windows of each pass, shape (unit, pass).
    sizes
        Bins or duration of each window; windows of size 0 do not count, shape (window,).
    window_pass
        Pass of each window, 0 ... pass - 1, shape (window,); None where there is one pass.
    lattice
        Whether spikes lie on bins or anywhere in continuous time.

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins in the windows of a pass, or a window is of no pass.

    See Also
    --------
    ann2neo.chance.expected_fano_of_groups, ann2neo.chance.expected_fano_of_inputs, ann2neo.chance.bernoulli_fano

    Examples
    --------
    >>> expected_fano(np.array([[2], [0]]), np.array([2, 2]))  # counts (1,1) in 4 of 6 cases, (2,0) or (0,2) in 2
    array([0.33333333,        nan])
    >>> expected_fano(np.array([[20]]), np.ones(4), lattice=False)
    array([0.75])
    """
    if window_pass is None and n.shape[1] != 1:
        raise AnalysisError(
            f"Spikes are counted in {n.shape[1]} passes, and of no window is it said in which pass it lies.",
            "All windows would be taken for those of the first pass.",
            "Give window_pass; of one pass use n.sum(axis=1, keepdims=True).",
        )
    passes = np.zeros(sizes.size, int) if window_pass is None else window_pass
    if passes.size and not 0 <= passes.min() <= passes.max() < n.shape[1]:
        raise AnalysisError(
            f"Windows lie in passes {passes.min()} to {passes.max()}, spikes in {n.shape[1]} passes.",
            "Counts and windows do not belong together.",
            "Count the spikes inside the windows of every pass.",
        )
    counted = [one for one in range(n.shape[1]) if sizes[passes == one].sum() > 0]
    groups = GroupSizes.of([sizes[passes == one][sizes[passes == one] > 0] for one in counted])
    fano = expected_fano_of_groups(n[:, counted], groups, lattice=lattice)
    return weighted_mean(fano, (n[:, counted] > 0).astype(int))


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSizes:
    """Sizes of groups of windows, as far as expectations need them.

    Parameters
    ----------
    whole
        Bins or duration of all windows of each group together, shape (group,).
    squares
        Sum of the squared shares of its windows, shape (group,).
    n_windows
        Number of windows of each group, shape (group,).

    See Also
    --------
    ann2neo.chance.expected_fano_of_groups

    Examples
    --------
    >>> GroupSizes.of([np.array([1, 3])]).squares
    array([0.625])
    """

    whole: Float[np.ndarray, " group"]
    squares: Float[np.ndarray, " group"]
    n_windows: Int[np.ndarray, " group"]

    def __post_init__(self) -> None:
        shapes = {name: np.shape(getattr(self, name)) for name in ("whole", "squares", "n_windows")}
        if len(set(shapes.values())) != 1:
            raise AnalysisError(
                f"the sizes of groups have the shapes {shapes}.",
                "They do not belong to the same groups.",
                "Use GroupSizes.of([sizes of the windows of each group]).",
            )

    @classmethod
    def of(cls, sizes: Sequence[Num[np.ndarray, " _"]]) -> GroupSizes:
        """Take the sizes of groups from the bins or duration of the windows of each."""
        whole = np.array([one.sum() for one in sizes], np.float64)
        squares = np.array([np.sum((one / one.sum()) ** 2) for one in sizes], np.float64)
        return cls(whole=whole, squares=squares, n_windows=np.array([one.size for one in sizes], np.int64))


@by_annotation
def expected_fano_of_groups(
    n: Int[np.ndarray, "unit group"], sizes: GroupSizes, *, lattice: bool = True
) -> Float[np.ndarray, "unit group"]:
    """Expect the Fano factor (variance, ddof 0, over mean) of the counts in each group of windows, exactly.

    With N bins in the R windows of a group and the share f of each, it is ``(N - n) / (N - 1) * (1 - sum f^2) + n (sum
    f^2 - 1 / R)``; without bins the first fraction is 1. NaN where a group has no spike. Over repeats of equal duration
    that is 1 - 1 / R without bins, and over R windows of one bin 1 - n / R, which is also what is measured.

    Parameters
    ----------
    n
        Spikes of each unit in the windows of each group, shape (unit, group).
    sizes
        Sizes of the windows of each group.
    lattice
        Whether spikes lie on bins or anywhere in continuous time.

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins in the windows of a group.

    See Also
    --------
    ann2neo.chance.expected_fano, ann2neo.chance.GroupSizes

    Examples
    --------
    >>> expected_fano_of_groups(np.array([[1], [0]]), GroupSizes.of([np.array([1, 1, 1, 1])]))
    array([[0.75],
           [ nan]])
    >>> expected_fano_of_groups(np.array([[11]]), GroupSizes.of([np.array([10.0, 1.0])]), lattice=False).round(3)
    array([[3.847]])
    """
    check_spikes(n, sizes.whole if lattice else None)
    free = (sizes.whole - n) / np.maximum(sizes.whole - 1, 1) if lattice else 1.0
    fano = free * (1 - sizes.squares) + n * (sizes.squares - 1 / sizes.n_windows)
    return np.where(n > 0, fano, np.nan)


@by_annotation
def expected_fano_of_passes(
    hits: Int[np.ndarray, "unit bin"], window: Int[np.ndarray, " bin"], *, n_passes: int
) -> tuple[Float[np.ndarray, "unit window"], Int[np.ndarray, "unit window"]]:
    """Expect the Fano factor across passes in each window with bins, exactly, and count its spikes.

    Each bin's passes are drawn independently of all other bins: a bin that spikes in h of R passes has variance (h / R)
    (1 - h / R) across them for any content of the other bins, so a window of bins has the factor ``1 - sum h^2 / (R sum h)``.
    NaN where no pass has a spike.

    Parameters
    ----------
    hits
        Number of passes in which each bin of each unit holds a spike, shape (unit, bin).
    window
        Window of each bin, -1 for none, shape (bin,).
    n_passes
        Number of passes.

    Raises
    ------
    AnalysisError
        If a bin has more hits than passes.

    See Also
    --------
    ann2neo.chance.expected_fano, ann2neo.chance.expected_fano_of_sequences

    Examples
    --------
    >>> expected_fano_of_passes(np.array([[1, 2, 0]]), np.array([0, 0, 1]), n_passes=2)[0]
    array([[0.16666667,        nan]])
    """
    check_whole(n_passes, "n_passes")
    check_spikes(hits, n_passes)
    order = np.argsort(window, kind="stable")
    order = order[np.searchsorted(window[order], 0) :]
    if order.size == 0:
        return np.empty((hits.shape[0], 0)), np.empty((hits.shape[0], 0), np.int64)
    starts = np.flatnonzero(np.diff(window[order], prepend=-1))
    sorted_hits = hits[:, order].astype(np.int64)
    totals = np.add.reduceat(sorted_hits, starts, axis=1)
    return 1 - ratio(np.add.reduceat(sorted_hits**2, starts, axis=1), n_passes * totals), totals


@by_annotation
def expected_label_share(n: Int[np.ndarray, " unit"], label_bins: Int[np.ndarray, " class"]) -> PerUnit:
    """Expect the share of a unit's variance that the label explains, exactly: (W - 1) / (N - 1) for W labels on N bins.

    NaN for silent and for saturated units, whose variance is 0.

    Parameters
    ----------
    n
        Spikes of each unit in labelled bins, shape (unit,).
    label_bins
        Bins of each label, shape (class,); labels without bins do not count.

    Raises
    ------
    AnalysisError
        If a unit has more spikes than labelled bins.

    See Also
    --------
    ann2neo.chance.adjust_label_share, ann2neo.chance.expected_label_shares_of_inputs

    Examples
    --------
    >>> expected_label_share(np.array([0, 3, 11]), np.array([5, 6]))
    array([nan, 0.1, nan])
    """
    bins = int(label_bins.sum())
    check_spikes(n, bins)
    varies = (n > 0) & (n < bins)
    return np.where(varies, (np.count_nonzero(label_bins) - 1) / max(bins - 1, 1), np.nan)


@by_annotation
def adjust_label_share(share: PerUnit, expected: PerUnit) -> PerUnit:
    """Rescale label shares so that chance is 0 and full explanation 1; NaN where chance is already 1.

    Parameters
    ----------
    share
        Share of variance that the label explains, shape (unit,).
    expected
        Its expectation by chance, shape (unit,).

    See Also
    --------
    ann2neo.chance.expected_label_share

    References
    ----------
    Kelley 1935, doi:10.1073/pnas.21.9.554

    Examples
    --------
    >>> adjust_label_share(np.array([0.1, 0.55, 1.0]), np.array([0.1, 0.1, 0.1]))
    array([0. , 0.5, 1. ])
    """
    return ratio(share - expected, 1 - expected)
