"""What label windows would show if inputs, each with all its bins, were dealt to labels at random.

Inputs are exchangeable; the bins of one input are not, be they steps of a sequence or passes of a stochastic network:
what an input does to a unit shows in all of them. So chance deals inputs to labels, as many as each label has. An input
with spikes S in m bins (or in the time m) deviates by ``e = S - r m`` from the unit's rate r over all M inputs.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num

from ann2neo.chance.axes import by_annotation
from ann2neo.chance.dealt_sizes import mean_squares_over_size
from ann2neo.chance.margins import check_spikes, ratio

PerUnit = Float[np.ndarray, " unit"]


@by_annotation
def has_repeats(label: Int[np.ndarray, " input"]) -> bool:
    """Whether dealing inputs to labels can change anything: two labels or more, and one with two inputs or more.

    Parameters
    ----------
    label
        Class of each input, -1 for none, shape (input,).

    See Also
    --------
    ann2neo.chance.can_exchange

    Examples
    --------
    >>> has_repeats(np.array([0, 1, 1])), has_repeats(np.array([0, 1, -1])), has_repeats(np.array([2, 2]))
    (True, False, False)
    """
    inputs = np.unique(label[label >= 0], return_counts=True)[1]
    return inputs.size > 1 and int(inputs.max()) > 1


def deviations(
    spikes: Int[np.ndarray, "unit input"], size: Num[np.ndarray, " input"]
) -> Float[np.ndarray, "unit input"]:
    """Spikes of each input less what the unit's rate over all inputs gives; their sum is 0.

    Parameters
    ----------
    spikes
        Spikes of each unit in each input, shape (unit, input).
    size
        Bins or duration of each input, shape (input,).

    Examples
    --------
    >>> deviations(np.array([[3, 1]]), np.array([2, 2]))
    array([[ 1., -1.]])
    """
    return spikes - (spikes.sum(axis=1) / max(size.sum(), 1e-300))[:, None] * size


@by_annotation
def label_share_of_inputs(
    spikes: Int[np.ndarray, "unit input"], size: Num[np.ndarray, " input"], label: Int[np.ndarray, " input"]
) -> PerUnit:
    r"""Share of the variance of an input's rate (spikes per bin or time) that the label explains, inputs weighted by size.

    It is :math:`\sum_c E_c^2 / w_c \big/ \sum_i e_i^2 / m_i`, with :math:`E_c` the sum of the deviations of the inputs of
    label c and :math:`w_c` their size: 0 where all labels have one rate, 1 where all inputs of a label have one. Where
    each input has one bin it is the label share of bins. NaN where all inputs have one rate, and below two labels.

    Parameters
    ----------
    spikes
        Spikes of each unit in each input, shape (unit, input).
    size
        Bins or duration of each input, shape (input,).
    label
        Class of each input, -1 for none, shape (input,).

    See Also
    --------
    ann2neo.chance.expected_label_shares_of_inputs, ann2neo.chance.adjust_label_share

    References
    ----------
    Olejnik & Algina (2003), doi:10.1037/1082-989X.8.4.434

    Examples
    --------
    >>> label_share_of_inputs(np.array([[2, 2, 0, 0], [2, 1, 1, 0]]), np.full(4, 2), np.array([0, 0, 1, 1]))
    array([1. , 0.5])
    """
    known = (label >= 0) & (size > 0)
    names, code = np.unique(label[known], return_inverse=True)
    if names.size < 2:
        return np.full(len(spikes), np.nan)
    deviation, own = deviations(spikes[:, known], size[known]), size[known]
    between = (_sums_by(deviation, code) ** 2 / np.bincount(code, weights=own)).sum(axis=1)
    whole = (deviation**2 / own).sum(axis=1)
    return ratio(between, np.where(whole > 1e-9 * np.maximum(spikes.sum(axis=1), 1e-300), whole, 0.0))


@by_annotation
def expected_label_shares_of_inputs(
    spikes: Int[np.ndarray, "unit input"], size: Num[np.ndarray, " input"], label: Int[np.ndarray, " input"]
) -> tuple[PerUnit, PerUnit]:
    r"""Expect two label shares if inputs were dealt to labels at random: that of bins, and that of inputs.

    With W labels the variance between labels is expected to be :math:`(W - 1) / (M - 1) \cdot M \sum_i e_i^2 / L` over
    all L bins. Divided by :math:`L r (1 - r)` that is the share of bins, :math:`(W - 1) / (M - 1)` of the variance that
    the input explains; divided by :math:`\sum_i e_i^2 / m_i` it is the share of inputs. Where inputs differ in size a
    label's size changes with the inputs that are dealt to it, and the mean over all ways to deal them takes the place of
    that formula, which would be up to a third too small (see `ann2neo.chance.dealt_sizes`). Exact; with more than 128
    different sizes to 0.1 %. NaN where the share is undefined, and where no label has two inputs, so that nothing could be
    dealt otherwise.

    Parameters
    ----------
    spikes
        Spikes of each unit in each input, shape (unit, input).
    size
        Bins or duration of each input, shape (input,). In time the share of bins is NaN.
    label
        Class of each input, -1 for none, shape (input,).

    Returns
    -------
    tuple
        Expected share of bins and expected share of inputs, each of shape (unit,).

    See Also
    --------
    ann2neo.chance.label_share_of_inputs, ann2neo.chance.expected_label_share

    References
    ----------
    Pitman 1938, doi:10.1093/biomet/29.3-4.322

    Examples
    --------
    >>> of_bins, of_inputs = expected_label_shares_of_inputs(
    ...     np.array([[2, 2, 0, 0], [2, 1, 1, 0]]), np.full(4, 2), np.array([0, 0, 1, 1]))
    >>> of_bins.round(3), of_inputs.round(3)
    (array([0.333, 0.167]), array([0.333, 0.333]))
    """
    known = (label >= 0) & (size > 0)
    nothing = np.full(len(spikes), np.nan)
    if not has_repeats(label[known]):
        return nothing, nothing
    own, whole = size[known].astype(np.float64), float(size[known].sum())
    deviation = deviations(spikes[:, known], own)
    rate = spikes[:, known].sum(axis=1) / whole
    inputs = np.unique(label[known], return_counts=True)[1]
    # Durations that others compute from borders are equal but for rounding.
    if own.max() - own.min() <= 1e-9 * own.max():
        between = (inputs.size - 1) / (own.size - 1) * own.size * (deviation**2).sum(axis=1) / whole
    else:
        between = mean_squares_over_size(deviation, own, inputs)
    inside = (rate > 0) & (rate < 1) & np.issubdtype(size.dtype, np.integer)
    of_bins = ratio(between, np.where(inside, whole * rate * (1 - rate), 0.0))
    whole_inputs = (deviation**2 / own).sum(axis=1)
    return of_bins, ratio(between, np.where(whole_inputs > 1e-9 * np.maximum(rate * whole, 1e-300), whole_inputs, 0.0))


@by_annotation
def expected_fano_of_inputs(spikes: Int[np.ndarray, "unit input"], label: Int[np.ndarray, " input"]) -> PerUnit:
    r"""Expect the Fano factor (variance, ddof 0, over mean) of the counts of labels if inputs were dealt at random, exactly.

    With :math:`M_c` inputs of label c, :math:`n = \sum_i S_i` and :math:`Q = \sum_i S_i^2` the expected square of a
    label's count is :math:`M_c Q / M + M_c (M_c - 1) (n^2 - Q) / (M (M - 1))`. NaN without spikes, and where no label
    has two inputs.

    Parameters
    ----------
    spikes
        Spikes of each unit in each input, shape (unit, input).
    label
        Class of each input, -1 for none, shape (input,).

    See Also
    --------
    ann2neo.chance.expected_fano, ann2neo.chance.input_dispersion_tests

    Examples
    --------
    >>> expected_fano_of_inputs(np.array([[2, 2, 0, 0]]), np.array([0, 0, 1, 1]))  # (2, 2) in 4 of 6 cases, (4, 0) in 2
    array([0.66666667])
    """
    known = label >= 0
    if not has_repeats(label):
        return np.full(len(spikes), np.nan)
    own = spikes[:, known].astype(np.float64)
    inputs = np.unique(label[known], return_counts=True)[1].astype(np.float64)
    n, squares, whole = own.sum(axis=1), (own**2).sum(axis=1), own.shape[1]
    pairs = np.sum(inputs * (inputs - 1)) / (whole * (whole - 1))
    mean = n / inputs.size
    return ratio((squares + pairs * (n**2 - squares)) / inputs.size - mean**2, mean)


def check_inputs(spikes: Int[np.ndarray, "unit input"], size: Num[np.ndarray, " input"], *, lattice: bool) -> None:
    """Refuse more spikes in an input than it has bins.

    Raises
    ------
    AnalysisError
        If an input has more spikes than bins.
    """
    check_spikes(spikes, size if lattice else None)


def _sums_by(
    values: Float[np.ndarray, "unit input"], code: Int[np.ndarray, " input"]
) -> Float[np.ndarray, "unit label"]:
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    return np.add.reduceat(values[:, order], starts, axis=1)
