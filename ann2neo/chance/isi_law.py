"""Do inter-spike intervals follow the law of chance? Kolmogorov-Smirnov tests given the number of spikes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, Num
from scipy import stats

from ann2neo.chance.axes import by_annotation
from ann2neo.chance.distance import lattice_distances
from ann2neo.chance.margins import Bins, Durations, Spikes, check_spikes
from ann2neo.chance.p_values import sampled_tails
from ann2neo.chance.sampled_cv import random_gaps
from ann2neo.errors import AnalysisError
from ann2neo.threads import over_units

PValues = Float[np.ndarray, " unit"]
_DRAWS = 16384
# From about 100 intervals on the modified statistic no longer depends on their number, only on spikes per bin.
_LONGEST = 100


@by_annotation
def isi_law_test(
    isis: Int[np.ndarray, " isi"],
    offsets: Int[np.ndarray, " unit_plus_one"],
    n: Spikes,
    bins: Bins,
    *,
    keys: Int[np.ndarray, " unit"],
) -> PValues:
    """Test whether intervals on bins follow the law of chance, which is nearly geometric.

    With n spikes on L bins an interval exceeds k bins with the chance C(L - k, n) / C(L, n) of its own stretch. Each
    interval is mapped through that law to a uniform number, spread at random within the step of the law that it sits
    on, and the numbers are compared with the uniform law by Kolmogorov and Smirnov. As n fixes the mean interval, the
    textbook p-value would be far too large; the distance's law is therefore sampled given n and L (16,384 draws, fixed
    seed) on a grid of n, between which p-values are interpolated. Over several stretches the law is sampled for as many
    stretches of the (interval-weighted) mean size, which is rounded to a power of 1.2 with the same spikes per bin where
    stretches differ in size. NaN without intervals and for saturated units.

    Parameters
    ----------
    isis
        Inter-spike intervals in bins, unit after unit and within a unit stretch after stretch, shape (isi,).
    offsets
        Intervals of unit ``u`` are ``isis[offsets[u]:offsets[u + 1]]``, shape (unit + 1,).
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    bins
        Bins of each stretch, shape (stretch,).
    keys
        One integer per unit from which its randomness follows, so that chunks and order of units do not matter, shape
        (unit,).

    Raises
    ------
    AnalysisError
        If a unit has more spikes than bins, a number of intervals that does not fit its spikes, or an interval of 0 bins.

    See Also
    --------
    ann2neo.chance.isi_law_test_poisson, ann2neo.chance.isi_law_test_exponential_naive, ann2neo.figures.isi_law

    References
    ----------
    Haslinger, Pipa & Brown 2010, doi:10.1162/NECO_a_00015; Stephens 1970, doi:10.1111/j.2517-6161.1970.tb00821.x

    Examples
    --------
    >>> regular = np.full(99, 10)
    >>> isi_law_test(regular, np.array([0, 99]), np.array([[100]]), np.array([1000]), keys=np.array([7])) < 1e-6
    array([ True])
    """
    check_spikes(n, bins)
    _check_intervals(offsets, n, isis, bins)
    distances = lattice_distances(isis, offsets, n, bins, keys=keys)
    return _calibrated(distances, n, bins, lattice=True)


@by_annotation
def isi_law_test_poisson(
    isis: Float[np.ndarray, " isi"], offsets: Int[np.ndarray, " unit_plus_one"], n: Spikes, durations: Durations
) -> PValues:
    """Test whether intervals follow the law that chance gives them in continuous time: nearly exponential.

    An interval exceeds t with the chance (1 - t / T)^n of its own stretch; otherwise as `isi_law_test`, without
    randomness. NaN without intervals.

    Parameters
    ----------
    isis
        Inter-spike intervals, unit after unit and within a unit stretch after stretch, shape (isi,).
    offsets
        Intervals of unit ``u`` are ``isis[offsets[u]:offsets[u + 1]]``, shape (unit + 1,).
    n
        Spikes of each unit in each stretch, shape (unit, stretch).
    durations
        Duration of each stretch in the same unit of time, shape (stretch,).

    Raises
    ------
    AnalysisError
        If a unit has a number of intervals that does not fit its spikes.

    See Also
    --------
    ann2neo.chance.isi_law_test

    References
    ----------
    Brown et al. 2002, doi:10.1162/08997660252741149; Lilliefors 1969, doi:10.1080/01621459.1969.10500983

    Examples
    --------
    >>> regular = np.full(99, 10.0)
    >>> isi_law_test_poisson(regular, np.array([0, 99]), np.array([[100]]), np.array([1000.0])) < 1e-6
    array([ True])
    """
    check_spikes(n)
    _check_intervals(offsets, n, isis, durations)
    distances = np.full(n.shape[0], np.nan)
    for unit, own in _units_with_intervals(offsets, n):
        active = n[unit] > 1
        counts, sizes = n[unit][active], durations[active]
        share = isis[own] / np.repeat(sizes, counts - 1)
        distances[unit] = _distance(np.clip(1 - share, 0, 1)[None] ** np.repeat(counts, counts - 1))[0]
    return _calibrated(distances, n, durations, lattice=False)


@by_annotation
def isi_law_test_exponential_naive(
    isis: Num[np.ndarray, " isi"], offsets: Int[np.ndarray, " unit_plus_one"]
) -> PValues:
    """Test intervals as the literature does, against the exponential law. Wrong for bins, for comparison.

    The law is that of the intervals' own mean, the distance Kolmogorov and Smirnov's. But intervals on bins are
    geometric: from 0.2 spikes per bin on this rejects every true chance unit of a few hundred spikes; and the mean is
    taken from the data, which the p-value ignores. Use `isi_law_test`. NaN without intervals.

    Parameters
    ----------
    isis
        Inter-spike intervals in bins or time, unit after unit, shape (isi,).
    offsets
        Intervals of unit ``u`` are ``isis[offsets[u]:offsets[u + 1]]``, shape (unit + 1,).

    See Also
    --------
    ann2neo.chance.isi_law_test

    References
    ----------
    Lilliefors 1969, doi:10.1080/01621459.1969.10500983

    Examples
    --------
    >>> isi_law_test_exponential_naive(np.array([1, 1, 1, 1, 1, 1]), np.array([0, 6, 6])).round(3)
    array([0.007,   nan])
    """
    _check_places(offsets, isis.size)
    n_isis = np.diff(offsets)
    distances = np.full(n_isis.shape, np.nan)
    for unit in np.flatnonzero(n_isis):
        own = isis[offsets[unit] : offsets[unit + 1]]
        distances[unit] = _distance(np.exp(-own / own.mean())[None])[0]
    return stats.kstwo.sf(distances, np.maximum(n_isis, 1))


def _check_intervals(
    offsets: Int[np.ndarray, " unit_plus_one"],
    n: Spikes,
    isis: Num[np.ndarray, " isi"],
    sizes: Num[np.ndarray, " stretch"],
) -> None:
    if isis.size and isis.max() > sizes.max(initial=0):
        raise AnalysisError(
            f"An interval of {isis.max()} is longer than the longest stretch, {sizes.max(initial=0)}.",
            "Intervals and stretches do not belong together.",
            "Give both in the same unit, and intervals that cross no border of a stretch.",
        )
    _check_places(offsets, isis.size)
    given, needed = np.diff(offsets), np.maximum(n - 1, 0).sum(axis=1)
    if given.shape != needed.shape or np.any(given != needed):
        raise AnalysisError(
            f"There are {given.sum()} intervals of {given.size} units, but spikes for {needed.sum()} of {needed.size}.",
            "Intervals and numbers of spikes do not belong together.",
            "Give n - 1 intervals for each stretch of n > 0 spikes.",
        )


def _check_places(offsets: Int[np.ndarray, " unit_plus_one"], n_isis: int) -> None:
    if not offsets.size or offsets[0] != 0 or offsets[-1] != n_isis or np.any(np.diff(offsets) < 0):
        raise AnalysisError(
            f"offsets do not lead from 0 to the {n_isis} intervals in ascending order.",
            "Units would be given the intervals of others.",
            "Use np.concatenate(([0], np.cumsum(number of intervals of each unit))).",
        )


def _units_with_intervals(offsets: Int[np.ndarray, " unit_plus_one"], n: Spikes) -> Iterator[tuple[int, slice]]:
    for unit in np.flatnonzero((n > 1).any(axis=1)):
        yield int(unit), slice(int(offsets[unit]), int(offsets[unit + 1]))


def _distance(uniform: Float[np.ndarray, "case isi"]) -> Float[np.ndarray, " case"]:
    """Largest distance between the distribution of the numbers and the uniform one."""
    count = uniform.shape[-1]
    ordered = np.sort(uniform, axis=-1)
    steps = np.arange(count + 1) / count
    return np.maximum(ordered - steps[:-1], steps[1:] - ordered).max(axis=-1)


def _chances_to_exceed(n: int, bins: int, longest: int) -> Float[np.ndarray, " length"]:
    """Chance that an interval is longer than 0, 1, ... bins."""
    left = bins - np.arange(longest)
    return np.concatenate(([1.0], np.cumprod((left - n) / left)))


def _spread_within_steps(
    isis: Int[np.ndarray, "*case isi"], exceed: Float[np.ndarray, " length"], spread: Float[np.ndarray, "*case isi"]
) -> Float[np.ndarray, "*case isi"]:
    above = exceed[isis]
    return above + spread * (exceed[isis - 1] - above)


def _calibrated(
    distances: Float[np.ndarray, " unit"], n: Spikes, sizes: Num[np.ndarray, " stretch"], *, lattice: bool
) -> PValues:
    """P-values of distances, from the laws sampled at the two numbers of spikes of the grid around the unit's."""
    p = np.full(distances.shape, np.nan)
    known = np.flatnonzero(~np.isnan(distances))
    isis = np.maximum(n[known] - 1, 0).astype(np.int64)
    n_isis = isis.sum(axis=1)
    mean_n = (n[known] * isis.astype(float)).sum(axis=1) / n_isis
    mean_size = np.zeros(known.size)
    if lattice:
        # In stretches of unequal size every unit has a mean size of its own, and would need a law of its own.
        mean_size = (sizes * isis).sum(axis=1) / n_isis
        like = _like_size(mean_size)
        mean_n, mean_size = np.clip(mean_n * like / mean_size, 2, like), like
    stretches = _coarse(np.minimum((isis > 0).sum(axis=1), np.ceil(_LONGEST / (mean_n - 1))))
    modified = _modified(distances[known], n_isis) ** 2
    kinds, kind = np.unique(np.stack([mean_size, stretches]), axis=1, return_inverse=True)
    for one, (size, count) in enumerate(kinds.T.astype(int)):
        own = kind.ravel() == one
        p[known[own]] = _between_nodes(modified[own], mean_n[own], int(size), int(count), lattice=lattice)
    return p


def _between_nodes(
    modified: Float[np.ndarray, " case"], n: Float[np.ndarray, " case"], size: int, stretches: int, *, lattice: bool
) -> PValues:
    nodes = _nodes(size if lattice else 1 << 31)
    below = np.clip(np.searchsorted(nodes, n, side="right") - 1, 0, max(nodes.size - 2, 0))
    above = np.minimum(below + 1, nodes.size - 1)
    gap = np.log(nodes[above] / nodes[below])
    part = np.clip(np.log(n / nodes[below]) / np.where(gap > 0, gap, 1), 0, 1)
    needed = np.unique([below, above])
    # Each law is drawn with a seed of its own, and NumPy draws without Python's lock: several at a time, kept for the loop below.
    over_units(
        lambda first, last: [_null(int(node), size, stretches, lattice) for node in nodes[needed[first:last]]],
        needed.size,
        units_per_task=1,
    )
    at_node = np.zeros((2, n.size))
    for row, places in enumerate((below, above)):
        for place in np.unique(places):
            null = _null(int(nodes[place]), size, stretches, lattice)
            at_node[row, places == place] = sampled_tails(null, modified[places == place])[1]
    return (1 - part) * at_node[0] + part * at_node[1]


def _coarse(count: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    """Round larger numbers to powers of 1.5, to sample fewer laws."""
    return np.where(count < 6, count, np.round(1.5 ** np.round(np.log(np.maximum(count, 1)) / np.log(1.5))))


def _like_size(size: Float[np.ndarray, " unit"]) -> Float[np.ndarray, " unit"]:
    """Round a size that is not a whole number to a power of 1.2.

    The law depends on spikes per bin, which stay, and hardly on the size.
    """
    whole = np.abs(size - np.round(size)) < 1e-9
    coarse = np.round(1.2 ** np.round(np.log(size) / np.log(1.2)))
    return np.where(whole, np.round(size), np.maximum(coarse, 2))


@lru_cache(maxsize=1024)
def _nodes(size: int) -> Int[np.ndarray, " node"]:
    """Numbers of spikes at which laws are sampled: dense where spikes, or empty bins, are few."""
    steps = np.round(2 * 1.3 ** np.arange(np.ceil(np.log(max(size, 2)) / np.log(1.3)))).astype(int)
    nodes = np.unique(np.concatenate((steps[2 * steps <= size], size - steps[2 * steps <= size], [2, size - 1, size])))
    return nodes[nodes >= 2]


def _modified(
    distance: Float[np.ndarray, "*case"], n_isis: Int[np.ndarray, "*case"] | int
) -> Float[np.ndarray, "*case"]:
    root = np.sqrt(n_isis)
    return distance * (root + 0.12 + 0.11 / root)


@lru_cache(maxsize=512)
def _null(n: int, size: int, stretches: int, lattice: bool) -> Float[np.ndarray, " draw"]:
    """Sorted squares of the modified distance under chance; large n keep their spikes per bin with fewer spikes."""
    rng = np.random.default_rng((n, size, stretches, lattice))
    fewer = max(min(n, _LONGEST // stretches + 1), 2)
    room = size if fewer == n else max(round(size * fewer / n), fewer)
    uniform = [_random_uniforms(fewer, room, rng, lattice=lattice) for _ in range(stretches)]
    squares = _modified(_distance(np.concatenate(uniform, axis=1)), stretches * (fewer - 1)) ** 2
    return np.sort(squares)


def _random_uniforms(n: int, size: int, rng: np.random.Generator, *, lattice: bool) -> Float[np.ndarray, "draw isi"]:
    if not lattice:
        return (1 - random_gaps(n, 1.0, _DRAWS, rng, lattice=False)[:, 1:-1]) ** n
    isis = random_gaps(n, size, _DRAWS, rng, lattice=True)[:, 1:-1].astype(np.int64)
    return _spread_within_steps(isis, _chances_to_exceed(n, size, int(isis.max())), rng.random(isis.shape))
