"""Slow loops in plain Python that compute the same numbers in the most obvious way."""

from __future__ import annotations

import itertools
import math

NAN = float("nan")


def mean(values):
    """Mean of a list, NaN for none."""
    return math.fsum(values) / len(values) if values else NAN


def variance(values):
    """Population variance of a list, NaN for none."""
    middle = mean(values)
    return mean([(value - middle) ** 2 for value in values])


def intervals(times, stretches):
    """Intervals of each stretch that has spikes, as a list of lists."""
    parts = {}
    for time, stretch in zip(times, stretches):
        parts.setdefault(stretch, []).append(time)
    return [[b - a for a, b in itertools.pairwise(part)] for _, part in sorted(parts.items())]


def pair_weighted(parts, of_pair, scale):
    """Mean over all pairs of successive intervals, no pair across stretches."""
    return scale * mean([of_pair(first, second) for part in parts for first, second in itertools.pairwise(part)])


def interval_measures(times, stretches, period=0.0):
    """Mean, variance and CV of pooled intervals; CV2, Lv and LvR over all pairs within stretches."""
    parts = intervals(times, stretches)
    pooled = [value for part in parts for value in part]
    return {
        "isi_mean": mean(pooled),
        "isi_var": variance(pooled),
        "cv": math.sqrt(variance(pooled)) / mean(pooled) if pooled else NAN,
        "cv2": pair_weighted(parts, lambda a, b: abs(b - a) / (a + b), 2),
        "lv": pair_weighted(parts, lambda a, b: ((b - a) / (a + b)) ** 2, 3),
        "ir": pair_weighted(parts, lambda a, b: abs(math.log(b / a)), 1),
        "lvr": pair_weighted(parts, lambda a, b: (1 - 4 * a * b / (a + b) ** 2) * (1 + 4 * period / (a + b)), 3),
    }


def count(ids, n_ids):
    """How often each id occurs; negative ones are not counted."""
    counts = [0] * n_ids
    for number in ids:
        if number >= 0:
            counts[number] += 1
    return counts


def fano(counts, groups):
    """Mean over groups with spikes of variance / mean, and the number of groups without."""
    factors = []
    for group in groups:
        of_group = [counts[member] for member in group]
        if sum(of_group):
            factors.append(variance(of_group) / mean(of_group))
    return mean(factors), len(groups) - len(factors)


def label_share(spiked, labels):
    """Variance over bins of the class means divided by the variance over bins; bins without a label left out.

    NaN below two classes.
    """
    known = [(int(spike), label) for spike, label in zip(spiked, labels) if label >= 0]
    total = variance([spike for spike, _ in known])
    if len({label for _, label in known}) < 2 or total == 0:
        return NAN
    means = {label: mean([spike for spike, other in known if other == label]) for _, label in known}
    return variance([means[label] for _, label in known]) / total


def runs(spiked, stretches, n_stretches):
    """Number of runs of successive spikes in each stretch."""
    counts = [0] * n_stretches
    for i, (spike, stretch) in enumerate(zip(spiked, stretches)):
        if spike and not (i and spiked[i - 1] and stretches[i - 1] == stretch):
            counts[stretch] += 1
    return counts
