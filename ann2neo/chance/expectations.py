"""What a unit's measures would be if its inputs came in random order: expectations given its number of spikes.

A deterministic network whose inputs are shuffled puts each unit's n spikes on its L bins with equal chance for every
arrangement, so these are the values against which an observed measure must be held. Intervals are in bins: multiply by
the bin size, or its square for the variance.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from jaxtyping import Float, Int

from ann2neo.chance.margins import Bins, Spikes, check_spikes, look_up, ratio, weighted_mean
from ann2neo.chance.pairs import cv2_of_stretch, lvr_of_stretch
from ann2neo.chance.sampled_cv import SAMPLED_UP_TO, sampled_cv
from ann2neo.chance.spacings import cv_from_moments, isi_sums, mean_and_variance, pooled_variance
from ann2neo.errors import AnalysisError

PerUnit = Float[np.ndarray, " unit"]


def expected_isi_mean(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the mean inter-spike interval in bins, exactly.

    A stretch of L bins with n spikes has n - 1 intervals of expectation (L + 1) / (n + 1); stretches are pooled. NaN
    without intervals.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    Examples
    --------
    >>> expected_isi_mean(np.array([[2], [1]]), np.array([3]))
    array([1.33333333,        nan])
    """
    check_spikes(n, bins)
    return weighted_mean(mean_and_variance(n, bins, lattice=True)[0], np.maximum(n - 1, 0))


def expected_isi_var(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the variance (ddof 0) of the pooled inter-spike intervals in squared bins, exactly.

    NaN without intervals, 0 for a single one.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    Examples
    --------
    >>> expected_isi_var(np.array([[3], [2], [1]]), np.array([4]))  # intervals (1,1), (1,2), (2,1), (1,1)
    array([0.125, 0.   ,   nan])
    """
    check_spikes(n, bins)
    return pooled_variance(n, bins, lattice=True)


def expected_cv(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the coefficient of variation of the pooled inter-spike intervals.

    It is far below its limit sqrt(1 - n / L) where spikes are few. Units whose intervals lie in one stretch and that
    have at most 64 spikes are sampled with a fixed seed (standard error below 0.0005; exact up to 3 spikes); all others
    use a closed approximation, see `cv_from_moments`. NaN without intervals, 0 for a single one.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    Examples
    --------
    >>> expected_cv(np.array([[900], [10]]), np.array([1797])).round(2)
    array([0.71, 0.86])
    """
    check_spikes(n, bins)
    cv = cv_from_moments(isi_sums(n, bins, lattice=True))
    few = (n > 1).sum(axis=1) == 1
    few &= n.max(axis=1, initial=0) <= SAMPLED_UP_TO
    only = np.where(n[few] > 1, n[few], 0)
    cv[few] = np.where(only > 1, look_up(partial(sampled_cv, lattice=True), only, bins), 0.0).sum(axis=1)
    return cv


def expected_cv2(n: Spikes, bins: Bins) -> PerUnit:
    """Expect CV2, the mean of ``2 |I1 - I2| / (I1 + I2)`` over pairs of successive intervals, exactly.

    Given the sum s of two successive intervals the first is uniform on 1 ... s - 1, and s has the chance (s - 1) C(L -
    s, n - 2) / C(L, n). Stretches are weighted by their number of pairs, n - 2. NaN where no stretch has three spikes.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    References
    ----------
    Holt, Softky, Koch & Douglas 1996, doi:10.1152/jn.1996.75.5.1806

    Examples
    --------
    >>> expected_cv2(np.array([[3], [2]]), np.array([4]))  # intervals (1,1), (1,2), (2,1), (1,1)
    array([0.33333333,        nan])
    """
    check_spikes(n, bins)
    return weighted_mean(look_up(cv2_of_stretch, n, bins), np.maximum(n - 2, 0))


def expected_lv(n: Spikes, bins: Bins) -> PerUnit:
    """Expect the local variation Lv, exactly: the mean of ``3 (I1 - I2)^2 / (I1 + I2)^2`` over successive intervals.

    Weighted and undefined as `expected_cv2`.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    References
    ----------
    Shinomoto, Shima & Tanji 2003, doi:10.1162/089976603322518759

    Examples
    --------
    >>> expected_lv(np.array([[3], [2]]), np.array([4]))  # intervals (1,1), (1,2), (2,1), (1,1)
    array([0.16666667,        nan])
    """
    return expected_lvr(n, bins, refractoriness_bins=0.0)


def expected_lvr(n: Spikes, bins: Bins, *, refractoriness_bins: float) -> PerUnit:
    """Expect the revised local variation LvR, exactly.

    LvR is the mean of ``3 (I1 - I2)^2 / (I1 + I2)^2 * (1 + 4 R / (I1 + I2))`` over pairs of successive intervals.

    Weighted and undefined as `expected_cv2`.

    Parameters
    ----------
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).
    refractoriness_bins
        The refractoriness constant R in bins.

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, or a negative number.

    References
    ----------
    Shinomoto et al. 2009, doi:10.1371/journal.pcbi.1000433

    Examples
    --------
    >>> expected_lvr(np.array([[3]]), np.array([4]), refractoriness_bins=0.75)
    array([0.33333333])
    """
    check_spikes(n, bins)
    values = look_up(partial(lvr_of_stretch, refractoriness_bins=refractoriness_bins), n, bins)
    return weighted_mean(values, np.maximum(n - 2, 0))


def expected_fano(
    n: Int[np.ndarray, "unit pass"],
    window_bins: Int[np.ndarray, " window"],
    window_pass: Int[np.ndarray, " window"] | None = None,
) -> PerUnit:
    """Expect the Fano factor (variance, ddof 0, over mean) of the counts in windows, exactly.

    With N bins in the windows of a pass and the share f of each, it is ``(N - n) / (N - 1) * (1 - sum f^2) + n (sum f^2
    - 1 / W)``: the second term is what unequal windows add. Passes without spikes are left out of the mean over passes;
    NaN where none has spikes.

    Parameters
    ----------
    n
        Spikes of each unit inside the windows of each pass, shape (unit, pass).
    window_bins
        Bins of each window, shape (window,).
    window_pass
        Pass of each window, 0 ... pass - 1, shape (window,); None where there is one pass.

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins in the windows of a pass, or a window is of no pass.

    Examples
    --------
    >>> expected_fano(np.array([[2], [0]]), np.array([2, 2]))  # counts (1,1) in 4 of 6 cases, (2,0) or (0,2) in 2
    array([0.33333333,        nan])
    """
    passes = np.zeros(window_bins.size, int) if window_pass is None else window_pass
    check_windows(passes, n.shape[1])
    by_pass = [_fano_of_pass(n[:, one], window_bins[passes == one]) for one in range(n.shape[1])]
    return weighted_mean(np.stack(by_pass, axis=1) if by_pass else np.empty(n.shape), (n > 0).astype(int))


def check_windows(window_pass: Int[np.ndarray, " window"], n_passes: int) -> None:
    """Refuse windows that belong to no pass.

    Parameters
    ----------
    window_pass
        Pass of each window, shape (window,).
    n_passes
        Number of passes.

    Raises
    ------
    AnalysisError
        If a pass lies outside 0 ... n_passes - 1.

    Examples
    --------
    >>> check_windows(np.array([0, 0, 1]), 2)
    """
    if window_pass.size and not 0 <= window_pass.min() <= window_pass.max() < n_passes:
        raise AnalysisError(
            f"Windows lie in passes {window_pass.min()} to {window_pass.max()}, spikes in {n_passes} passes.",
            "Counts and windows do not belong together.",
            "Count the spikes inside the windows of every pass.",
        )


def _fano_of_pass(n: Int[np.ndarray, " unit"], window_bins: Int[np.ndarray, " window"]) -> PerUnit:
    bins = int(window_bins.sum())
    check_spikes(n, bins)
    if bins == 0:
        return np.full(n.size, np.nan)
    squares = np.sum((window_bins / bins) ** 2)
    return (bins - n) / max(bins - 1, 1) * (1 - squares) + n * (squares - 1 / window_bins.size)


def expected_fano_over_passes(
    hits: Int[np.ndarray, "unit bin"], window: Int[np.ndarray, " bin"], *, n_passes: int
) -> PerUnit:
    """Expect the Fano factor across passes if each bin's passes were drawn independently of all other bins, exactly.

    A bin that spikes in h of R passes has variance (h / R) (1 - h / R) across them whatever the other bins do, so a
    window of bins has the factor ``1 - sum h^2 / (R sum h)``. Windows without a spike in any pass are left out of the
    mean over windows; NaN where none has one.

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

    Examples
    --------
    >>> expected_fano_over_passes(np.array([[1, 2, 0], [0, 0, 0]]), np.array([0, 0, 1]), n_passes=2)
    array([0.16666667,        nan])
    """
    check_spikes(hits, n_passes)
    order = np.argsort(window, kind="stable")
    order = order[np.searchsorted(window[order], 0) :]
    if order.size == 0:
        return np.full(hits.shape[0], np.nan)
    starts = np.flatnonzero(np.diff(window[order], prepend=-1))
    sorted_hits = hits[:, order].astype(np.int64)
    totals = np.add.reduceat(sorted_hits, starts, axis=1)
    fano = 1 - ratio(np.add.reduceat(sorted_hits**2, starts, axis=1), n_passes * totals)
    return weighted_mean(fano, (totals > 0).astype(int))


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

    Examples
    --------
    >>> expected_label_share(np.array([0, 3, 11]), np.array([5, 6]))
    array([nan, 0.1, nan])
    """
    bins = int(label_bins.sum())
    check_spikes(n, bins)
    varies = (n > 0) & (n < bins)
    return np.where(varies, (np.count_nonzero(label_bins) - 1) / max(bins - 1, 1), np.nan)


def adjust_label_share(share: PerUnit, expected: PerUnit) -> PerUnit:
    """Rescale label shares so that chance is 0 and full explanation 1; NaN where chance is already 1.

    Parameters
    ----------
    share
        Share of variance that the label explains, shape (unit,).
    expected
        Its expectation by chance, shape (unit,).

    References
    ----------
    Kelley 1935, doi:10.1073/pnas.21.9.554

    Examples
    --------
    >>> adjust_label_share(np.array([0.1, 0.55, 1.0]), np.array([0.1, 0.1, 0.1]))
    array([0. , 0.5, 1. ])
    """
    return ratio(share - expected, 1 - expected)
