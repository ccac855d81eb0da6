r"""What windows of step labels would show if inputs exchanged their sequences of labels at random.

Where a label belongs to a step of an input (a token, a phoneme), neither steps nor their labels are exchangeable: a unit may fire at the beginning of every
sequence, and some labels stand there; steps that follow one another depend on each other, and so do their labels. Inputs are exchangeable. So chance leaves the
spikes of each input as they are, in all its steps and passes, and gives it the whole sequence of labels of another input, uniformly at random among the inputs of
its group: those with as many bins and with known labels at the same positions. Each label keeps its number of bins, at each position and in all; what depends on
position alone is part of what chance predicts. An input that is alone in its group keeps its own labels. Where no group has two inputs with different labels
nothing could be exchanged: NaN.

The spikes of label c are then :math:`C_c = \sum_i a_c(i, \pi(i))` with :math:`a_c(i, j) = \sum_t S_{it} [l_{jt} = c]`, over the inputs i and j of a group. Their
mean is that of :math:`a_c` over all pairs, times the number of inputs M, and their variance (Hoeffding)

.. math:: \frac{1}{M - 1} \sum_{ij} d_c(i, j)^2 = \frac{1}{M - 1} \sum_{tt'} K_{tt'} L^c_{tt'}

with :math:`d_c` the deviations of :math:`a_c` from its row and column means, and K and L the sums of products of deviations of spikes and of labels at two positions.
Groups are independent: means and variances add up.

References
----------
Hoeffding 1951, doi:10.1214/aoms/1177729545
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from ann2neo.chance.margins import ratio
from ann2neo.chance.p_values import both_sides, sampled_tails, where_defined

PerUnit = Float[np.ndarray, " unit"]
Groups = Sequence[Int[np.ndarray, "_ _"]]
DRAWS = 1024


def can_exchange(groups: Groups, label: Int[np.ndarray, " bin"]) -> bool:
    """Whether there is a group in which two inputs have different sequences of labels.

    See Also
    --------
    ann2neo.chance.has_repeats, ann2neo.chance.exchanged_labels

    Examples
    --------
    >>> groups = [np.array([[0, 1], [2, 3]])]
    >>> can_exchange(groups, np.array([0, 1, 1, 0])), can_exchange(groups, np.array([0, 1, 0, 1]))
    (True, False)
    """
    return any((label[group] != label[group[:1]]).any() for group in groups)


def mean_of_sequences(
    spikes: Int[np.ndarray, "unit bin"], groups: Groups, label: Int[np.ndarray, " bin"]
) -> Float[np.ndarray, "unit label"]:
    """Expect the spikes of each label if inputs exchanged their sequences of labels, exactly.

    Parameters
    ----------
    spikes
        Spikes of each unit in each bin, one pass or the sum of several, shape (unit, bin).
    groups
        Bins of the inputs of each group, shape (input, position).
    label
        Class of each bin, -1 for none, shape (bin,).

    See Also
    --------
    ann2neo.chance.variance_of_sequences, ann2neo.chance.expected_fano_of_sequences

    Examples
    --------
    >>> mean_of_sequences(np.array([[1, 1, 0, 0]]), [np.array([[0, 1], [2, 3]])], np.array([0, 0, 1, 1]))
    array([[1., 1.]])
    """
    n_labels = int(label.max(initial=-1)) + 1
    mean = np.zeros((len(spikes), n_labels))
    for group in groups:
        by_position = spikes[:, group].sum(axis=1, dtype=np.float64) / len(group)
        for position, column in enumerate(group.T):
            mean += by_position[:, position, None] * np.bincount(label[column], minlength=n_labels)
    return mean


def variance_of_sequences(
    spikes: Int[np.ndarray, "unit bin"], groups: Groups, label: Int[np.ndarray, " bin"]
) -> Float[np.ndarray, "unit label"]:
    """Compute the variance of the spikes of each label if inputs exchanged their sequences of labels, exactly.

    Parameters
    ----------
    spikes, groups, label
        As for `mean_of_sequences`.

    See Also
    --------
    ann2neo.chance.mean_of_sequences

    Examples
    --------
    >>> variance_of_sequences(np.array([[1, 1, 0, 0]]), [np.array([[0, 1], [2, 3]])], np.array([0, 0, 1, 1]))
    array([[1., 1.]])
    """
    n_labels = int(label.max(initial=-1)) + 1
    variance = np.zeros((len(spikes), n_labels))
    for group in (group for group in groups if len(group) > 1):
        products = _products(spikes, group)
        for code in np.unique(label[group]):
            own = (label[group] == code).astype(np.float64)
            own -= own.mean(axis=0)
            variance[:, code] += np.einsum("utv,tv->u", products, own.T @ own) / (len(group) - 1)
    # Where nothing varies, rounding may leave a little less than nothing.
    return np.maximum(variance, 0.0)


def expected_label_share_of_sequences(
    spikes: Int[np.ndarray, "unit bin"], groups: Groups, label: Int[np.ndarray, " bin"], *, n_passes: int = 1
) -> PerUnit:
    r"""Expect the share of a unit's variance over bins that step labels explain, exactly.

    It is :math:`\sum_c (\mathrm{Var}\, C_c + (\mathrm{E}\, C_c - r w_c)^2) / w_c \big/ L r (1 - r)` with :math:`w_c` of all L bins of label c and the rate r over these.

    Parameters
    ----------
    spikes
        Spikes of each unit in each bin of a pass, the sum over all passes, shape (unit, bin).
    groups, label
        As for `mean_of_sequences`.
    n_passes
        Number of passes.

    See Also
    --------
    ann2neo.chance.expected_label_share

    Examples
    --------
    >>> groups = [np.array([[0, 1], [2, 3]])]
    >>> expected_label_share_of_sequences(np.array([[1, 1, 0, 0], [1, 0, 1, 0]]), groups, np.array([0, 0, 1, 1]))
    array([1., 0.])
    """
    if not can_exchange(groups, label):
        return np.full(len(spikes), np.nan)
    bins = np.bincount(label[label >= 0], minlength=int(label.max()) + 1) * float(n_passes)
    mean = mean_of_sequences(spikes, groups, label)
    rate = mean.sum(axis=1) / bins.sum()
    weights = _inverse(bins)
    between = ((mean - rate[:, None] * bins) ** 2 * weights).sum(axis=1)
    between += _weighted_variances(spikes, groups, label, weights)
    inside = (rate > 0) & (rate < 1)
    return ratio(between, np.where(inside, bins.sum() * rate * (1 - rate), 0.0))


def expected_fano_of_sequences(
    spikes: Int[np.ndarray, "unit bin"], groups: Groups, label: Int[np.ndarray, " bin"]
) -> PerUnit:
    """Expect the Fano factor (variance, ddof 0, over mean) of the spikes of step labels in one pass, exactly; NaN without spikes.

    Parameters
    ----------
    spikes, groups, label
        As for `mean_of_sequences`, of one pass.

    See Also
    --------
    ann2neo.chance.expected_fano, ann2neo.chance.mean_of_sequences, ann2neo.chance.variance_of_sequences

    Examples
    --------
    >>> groups = [np.array([[0, 1], [2, 3]])]
    >>> expected_fano_of_sequences(np.array([[1, 1, 0, 0]]), groups, np.array([0, 0, 1, 1]))  # (2, 0) or (0, 2)
    array([1.])
    """
    if not can_exchange(groups, label):
        return np.full(len(spikes), np.nan)
    mean = mean_of_sequences(spikes, groups, label)
    squares = (mean**2).sum(axis=1) + _weighted_variances(spikes, groups, label, np.ones(mean.shape[1]))
    overall = mean.mean(axis=1)
    return ratio(squares / mean.shape[1] - overall**2, overall)


def exchanged_labels(groups: Groups, label: Int[np.ndarray, " bin"]) -> Iterator[Int[np.ndarray, " bin"]]:
    """Draw 1,024 exchanges of sequences, with a fixed seed: the class of each bin in each.

    See Also
    --------
    ann2neo.chance.can_exchange, ann2neo.population.selectivity

    Examples
    --------
    >>> drawn = list(exchanged_labels([np.array([[0, 1], [2, 3]])], np.array([0, 0, 1, 1])))
    >>> len(drawn), sorted({tuple(one.tolist()) for one in drawn})
    (1024, [(0, 0, 1, 1), (1, 1, 0, 0)])
    """
    rng = np.random.default_rng((label.size, len(groups), DRAWS))
    for _ in range(DRAWS):
        dealt = label.copy()
        for group in groups:
            dealt[group] = label[group[rng.permutation(len(group))]]
        yield dealt


def sequence_dispersion_tests(
    counts: Int[np.ndarray, "unit label"],
    mean: Float[np.ndarray, "unit label"],
    bins: Int[np.ndarray, " label"],
    drawn: Iterator[Int[np.ndarray, "unit label"]],
) -> tuple[PerUnit, PerUnit]:
    r"""Test whether spikes vary over step labels as by chance, and whether they vary more than chance and position make them.

    The statistic is :math:`\sum_c (C_c - \mathrm{E}\, C_c)^2 / w_c`. Its law is sampled, with an exponential tail beyond the ten largest draws. NaN where no draw
    differs from another.

    Parameters
    ----------
    counts
        Spikes of each label, shape (unit, label).
    mean
        What `mean_of_sequences` expects, shape (unit, label).
    bins
        Bins of each label, shape (label,).
    drawn
        Yields the spikes of each label for each of `exchanged_labels`.

    Returns
    -------
    tuple
        Two-sided p values, and one-sided ones of an excess (mid-p), each of shape (unit,).

    See Also
    --------
    ann2neo.chance.dispersion_tests

    References
    ----------
    Pitman 1938, doi:10.1093/biomet/29.3-4.322
    """
    weight = _inverse(bins.astype(np.float64))
    null = np.sort(np.stack([((one - mean) ** 2 * weight).sum(axis=1) for one in drawn], axis=1), axis=1)
    value = ((counts - mean) ** 2 * weight).sum(axis=1)
    defined = null[:, -1] - null[:, 0] > 1e-9 * np.maximum(null[:, -1], 1e-300)
    tails = [np.concatenate(sampled_tails(row, one[None])) for row, one in zip(null[defined], value[defined])]
    lower, upper = np.array(tails).reshape(-1, 2).T
    return where_defined(defined, both_sides(lower, upper)), where_defined(defined, upper)


def _inverse(bins: Float[np.ndarray, " label"]) -> Float[np.ndarray, " label"]:
    """Weigh labels by their bins; those without any do not count."""
    return np.divide(1.0, bins, out=np.zeros_like(bins), where=bins > 0)


def _products(
    spikes: Int[np.ndarray, "unit bin"], group: Int[np.ndarray, "_ _"]
) -> Float[np.ndarray, "unit position other"]:
    """Sum products of deviations of spikes at two positions over the inputs of a group."""
    own = spikes[:, group].astype(np.float64)
    own -= own.mean(axis=1, keepdims=True)
    return own.transpose(0, 2, 1) @ own


def _weighted_variances(
    spikes: Int[np.ndarray, "unit bin"],
    groups: Groups,
    label: Int[np.ndarray, " bin"],
    weights: Float[np.ndarray, " label"],
) -> PerUnit:
    """Sum the variances of all labels, each times its weight, in memory that does not grow with the number of labels."""
    total = np.zeros(len(spikes))
    for group in (group for group in groups if len(group) > 1):
        own, n = label[group], len(group)
        agree = np.zeros((own.shape[1], own.shape[1]))
        for sequence in own:
            agree += np.where(sequence[:, None] == sequence, weights[sequence], 0.0)
        present, codes = np.unique(own, return_inverse=True)
        codes = codes.reshape(own.shape)
        of_position = np.stack([np.bincount(column, minlength=present.size) for column in codes.T])
        agree -= (of_position * weights[present]) @ of_position.T / n
        deviations = spikes[:, group].astype(np.float64)
        deviations -= deviations.mean(axis=1, keepdims=True)
        total += ((deviations @ agree) * deviations).sum(axis=(1, 2)) / (n - 1)
    return total
