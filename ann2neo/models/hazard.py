"""Probability of a spike in a bin given all bins before it, for models that give no bin a probability of its own."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from ann2neo.compiled import compiled
from ann2neo.models.gain import gain_columns
from ann2neo.models.gap_kernels import log_ratio, log_tails
from ann2neo.models.label_gain import label_gain_columns
from ann2neo.models.processes import Gains, Renewals
from ann2neo.models.renewal import gaps_of, renewal_columns

Values = Float[np.ndarray, " parameter"]
Spikes = Bool[np.ndarray, " bin"]
PerBin = Float[np.ndarray, " bin"]


def predict(law: Gains | Renewals, values: Values, spikes: Spikes, numbers: PerBin | None = None) -> PerBin:
    r"""Return the probability of a spike in each bin, given the spikes before it.

    Gains: after k spikes in j bins of its window :math:`p_t = ((1 - \rho) \mu + \rho k) / (1 - \rho + \rho j)`, the mean of the beta law given these bins.
    Renewals: x bins after the last spike :math:`p_t = P(I = x) / P(I \ge x)`; in bin f of a stretch without a spike so far :math:`P(I \ge f) / \sum_{x \ge f} P(I \ge x)`, because
    stretches begin at an arbitrary moment.

    Parameters
    ----------
    law
        Windows or stretches.
    values
        Parameters of one unit, in the order of ``law.parameters``.
    spikes
        Whether there is a spike in each bin, shape (bin,); overwritten where numbers are given.
    numbers
        If given, spikes are drawn: where the number of a bin is below its probability, shape (bin,).

    Examples
    --------
    An urn of 1 : 1 balls, where each bin adds one like it:

    >>> urn = Gains(
    ...     p=np.full((1, 2), 0.5), rho=np.full(1, 1 / 3), window=np.array([0, 0, 0, 1]), condition=np.zeros(2, int), follows_rate=np.zeros(1, bool)
    ... )
    >>> predict(urn, urn.parameters[0], np.array([1, 0, 1, 0], bool)).round(3)  # 1/2, 2/3, 2/4 and 1/2
    array([0.5  , 0.667, 0.5  , 0.5  ])
    """
    p, draws = np.empty(spikes.size), numbers is not None
    numbers = p if numbers is None else numbers
    if isinstance(law, Gains):
        mean = values[:-1][np.append(law.condition, values.size - 2)]
        follow_gain(mean, float(values[-1]), law.window, numbers, draws, spikes, p)
    else:
        first, after = hazards(float(values[0]), float(values[1]), int(np.diff(law.edges).max(initial=1)))
        follow_renewal(first, after, law.edges, numbers, draws, spikes, p)
    return p


def estimates(
    law: Gains | Renewals, model: str, dense: Bool[np.ndarray, "draw bin"], counted: Spikes
) -> Float[np.ndarray, "draw parameter"]:
    """Estimate the parameters again from draws, by the estimators of `fit`, in the order of ``law.parameters``; NaN where they cannot be.

    Parameters
    ----------
    law
        Windows or stretches.
    model
        "gain", "label_gain" or "renewal".
    dense
        Draws, shape (draw, bin).
    counted
        Whether each bin is counted, shape (bin,).
    """
    n, total = np.count_nonzero(dense & counted, axis=1), int(counted.sum())
    rate = n / total
    if isinstance(law, Renewals):
        begins = np.isin(np.arange(counted.size), law.edges) | ~np.append(False, counted[:-1])
        found = renewal_columns(gaps_of(dense, np.where(counted, np.cumsum(begins), -1)), n, total)
        return np.stack([found["renewal_r"], found["renewal_mean"], rate], axis=1)
    inside, n_windows = law.window >= 0, law.condition.size
    counts = np.array([np.bincount(law.window[row & inside], minlength=n_windows) for row in dense])
    size = np.bincount(law.window[inside], minlength=n_windows)
    if model == "gain":
        found = gain_columns(counts, size)
        return np.stack([found["gain_mu"], rate, found["gain_rho"]], axis=1)
    kinds = np.eye(law.p.shape[1] - 1)[law.condition]
    rho = label_gain_columns(counts, size, law.condition, lattice=True)["label_gain_rho"]
    return np.concatenate([counts @ kinds / (size @ kinds), rate[:, None], rho[:, None]], axis=1)


@compiled
def hazards(r: float, mean: float, longest: int) -> tuple[PerBin, PerBin]:
    """Return the probability of a spike in bin 0, 1, ... of a stretch without one before, and of 0, 1, ... bins after that which follows a spike.

    Parameters
    ----------
    r, mean
        Shape of the negative binomial law, infinite for Poisson's, 0 for stretches that are full or empty, and mean interval.
    longest
        Number of bins.

    Examples
    --------
    >>> [each.round(3).tolist() for each in hazards(1.0, 4.0, 3)]
    [[0.25, 0.25, 0.25], [0.25, 0.25, 0.25]]
    >>> [each.round(3).tolist() for each in hazards(3.0, 4.0, 3)]
    [[0.25, 0.292, 0.324], [0.125, 0.214, 0.273]]
    """
    first, after = np.empty(longest), np.empty(longest)
    if r == 0.0:
        first[:], after[:] = 0.0, 1.0
        first[:1] = 1.0 / mean
        return first, after
    at_least, further = np.empty(longest + 1), np.empty(longest + 1)
    log_tails(r, mean, longest, at_least, further)
    log_p = 1.0 - mean if np.isinf(r) else -r * np.log1p((mean - 1.0) / r)
    for x in range(1, longest + 1):
        first[x - 1], after[x - 1] = np.exp(at_least[x] - further[x]), min(np.exp(log_p - at_least[x]), 1.0)
        log_p += log_ratio(r, mean, x, x + 1)
    return first, after


@compiled
def follow_gain(
    mean: Float[np.ndarray, " window_plus_one"],
    rho: float,
    window: Int[np.ndarray, " bin"],
    numbers: PerBin,
    draws: bool,
    spikes: Spikes,
    p: PerBin,
) -> None:
    """Write into ``p`` the probability of each bin given those of its window before it, and draw spikes on request; see `predict`.

    Parameters
    ----------
    mean
        Mean probability of each window, the last one outside windows; 0 and 1 stay as they are, shape (window + 1,).
    rho
        Correlation of the bins of a window.
    window
        Window of each bin, -1 for none, shape (bin,).
    numbers, draws
        Whether ``spikes`` are drawn: where the number is below the probability, shape (bin,).
    spikes, p
        Spikes, and output, shape (bin,).

    Examples
    --------
    >>> p, spikes = np.empty(3), np.array([1, 1, 0], bool)
    >>> follow_gain(np.array([0.5, 0.1]), 0.5, np.array([0, 0, -1]), p, False, spikes, p)
    >>> p
    array([0.5 , 0.75, 0.1 ])
    """
    hits, seen = np.zeros(mean.size), np.zeros(mean.size)
    for t in range(window.size):
        own = window[t] if window[t] >= 0 else mean.size - 1
        p[t] = mean[own]
        if window[t] >= 0 and seen[own] > 0 and 0 < mean[own] < 1:
            p[t] = ((1.0 - rho) * mean[own] + rho * hits[own]) / (1.0 - rho + rho * seen[own])
        if draws:
            spikes[t] = numbers[t] < p[t]
        hits[own] += spikes[t]
        seen[own] += 1


@compiled
def follow_renewal(
    first: PerBin,
    after: PerBin,
    edges: Int[np.ndarray, " edge"],
    numbers: PerBin,
    draws: bool,
    spikes: Spikes,
    p: PerBin,
) -> None:
    """Write into ``p`` the probability of each bin given those of its stretch before it, and draw spikes on request; see `predict`.

    Parameters
    ----------
    first, after
        What `hazards` returned.
    edges
        Where stretches begin and the last one ends, shape (stretch + 1,).
    numbers, draws
        Whether ``spikes`` are drawn: where the number is below the probability, shape (bin,).
    spikes, p
        Spikes, and output, shape (bin,).

    Examples
    --------
    >>> p, spikes = np.empty(3), np.array([0, 1, 0], bool)
    >>> follow_renewal(np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.5, 0.6]), np.array([0, 3]), p, False, spikes, p)
    >>> p
    array([0.1, 0.2, 0.4])
    """
    for stretch in range(edges.size - 1):
        since, spiked = 0, False
        for t in range(edges[stretch], edges[stretch + 1]):
            p[t] = after[since] if spiked else first[since]
            if draws:
                spikes[t] = numbers[t] < p[t]
            since += 1
            if spikes[t]:
                since, spiked = 0, True
