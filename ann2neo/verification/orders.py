"""Orders in which the inputs of a batch are run again: halves of them, shuffled so that rows which are exchanged are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, product

import numpy as np
import torch

from ann2neo.verification.comparison import KEPT_INPUTS

N_SHUFFLES, FEW = 32, 5
# Of inputs, for places to tell exchanged rows from rows that depend on others.
FEWEST = 7


def halves(n_inputs: int) -> tuple[list[int], list[int]]:
    """Cut the inputs of a batch into two random halves, the same every time.

    Examples
    --------
    >>> [sorted(half) for half in halves(5)]
    [[0, 4], [1, 2, 3]]
    """
    order = _permutation(n_inputs, 0)
    return list(order[: n_inputs // 2]), list(order[n_inputs // 2 :])


def places_within(n_inputs: int) -> list[int]:
    """Choose places within a batch of which no usual permutation of rows maps most onto each other; none in a batch of less than seven.

    In a large batch differences of two places are all different (a Golomb ruler), so that a shift maps no more than one onto another; no two of three are turned into each other.

    Examples
    --------
    >>> places_within(64), places_within(7), places_within(6)
    ([30, 31, 34, 36], [1, 3, 4], [])
    """
    if n_inputs > 12:
        return [n_inputs // 2 - 2 + place for place in (0, 1, 4, 6)]
    if n_inputs < FEWEST:
        return []
    usual = usual_permutations(n_inputs)
    triples = combinations(range(1, n_inputs - 1), 3)
    # In a batch of eight no three are told apart by all; then by those that are more usual.
    return list(min(triples, key=lambda three: [len({*three} & {*one[[*three]].tolist()}) > 1 for one in usual]))


def usual_permutations(n_inputs: int) -> list[np.ndarray]:
    """List permutations of rows, whatever is in them, that networks make: turned round, shifted, neighbours exchanged, every other one first, and back."""
    places = np.arange(n_inputs)
    every_other = np.concatenate([places[::2], places[1::2]])
    shifts = sorted({1, 2, n_inputs // 2, n_inputs - 2, n_inputs - 1} - {0})
    neighbours = np.where(places ^ 1 < n_inputs, places ^ 1, places)
    found = [
        places[::-1],
        *(np.roll(places, shift) for shift in shifts),
        neighbours,
        every_other,
        np.argsort(every_other),
    ]
    return [one for one in found if (one != places).any()]


def kept_inputs(n_inputs: int) -> list[int]:
    """Choose the inputs of which all values are kept: as many of either half.

    Examples
    --------
    >>> len(kept_inputs(64)), kept_inputs(1)
    (8, [0])
    """
    first, second = halves(n_inputs)
    return sorted([*first[: KEPT_INPUTS // 2], *second[: KEPT_INPUTS // 2]])


def drawn(n_inputs: int, n_places: int) -> list[int]:
    """Choose inputs of a batch for another one with `n_places` places, shuffled, each at most once if there are no more places than inputs.

    Examples
    --------
    >>> len(set(drawn(9, 4))), sorted(drawn(2, 5)) in ([0, 0, 0, 1, 1], [0, 0, 1, 1, 1])
    (4, True)
    """
    every = shuffled(list(range(n_inputs)))
    return every[:n_places] if n_places <= n_inputs else shuffled([k % n_inputs for k in range(n_places)])


def mixed(half: Sequence[int], n_inputs: int) -> list[int]:
    """Fill a batch with half of its inputs, shuffled so that a network which turns, shifts or exchanges its rows, whatever is in them, is told apart from one that does not.

    Rows that go through such a permutation follow their inputs all the same where the order that is chosen commutes with it.

    Examples
    --------
    >>> order = mixed([1, 3, 2], 5)
    >>> sorted(order), [4 - order[4 - k] for k in range(5)] == order
    ([1, 1, 2, 3, 3], False)
    """
    return list(_mixed(tuple(half), n_inputs))


@lru_cache(64)
def _mixed(half: tuple[int, ...], n_inputs: int) -> list[int]:
    """Find the order, once for batches of a size: in a sweep over small networks it is a good part of a recording."""
    every = [half[k % len(half)] for k in range(n_inputs)]
    usual = usual_permutations(n_inputs)
    if n_inputs <= FEW:
        # Of so few rows two neighbours alone may be exchanged without being seen.
        usual += [np.array([*range(k), k + 1, k, *range(k + 2, n_inputs)]) for k in range(n_inputs - 1)]
    best, most = every, -1
    for seed in range(1, N_SHUFFLES):
        order = shuffled(every, seed=seed)
        n_shown = _n_shown(order, usual)
        if n_shown > most:
            best, most = order, n_shown
        # More of them show no more.
        if most >= max(1, n_inputs // 4):
            break
    if most < 1 and n_inputs <= FEW:
        # Not each of them as often as the others: then more is shown.
        words = (list(one) for one in product(half, repeat=n_inputs) if set(one) == set(half))
        best = next((one for one in words if _n_shown(one, usual) > 0), best)
    return best


def apart(items: Sequence[int], order: Sequence[int]) -> list[int]:
    """Shuffle some inputs so that as few places as can be hold the same one that held the same one in another order.

    Examples
    --------
    >>> apart([0, 2, 0, 2], [3, 3, 1, 1])[:2] in ([0, 2], [2, 0])
    True
    """
    before = np.equal.outer(order, order)

    def n_same(seed: int) -> int:
        here = np.asarray(shuffled(items, seed=seed))
        return int((before & np.equal.outer(here, here)).sum())

    # In a large batch, of the first few orders, few places are.
    seeds = range(1, N_SHUFFLES if len(items) < 64 else 2)
    return shuffled(items, seed=min(seeds, key=n_same))


def _n_shown(order: Sequence[int], usual: Sequence[np.ndarray]) -> int:
    """Count the places at which an order shows that rows were permuted, for the permutation that it shows at the fewest."""
    here = np.asarray(order)
    return min((int((here[one] != one[here]).sum()) for one in usual), default=0)


def shuffled(items: Sequence[int], *, seed: int = 1) -> list[int]:
    """Shuffle, the same way every time, so that it is another order if that is possible."""
    found = [items[k] for k in _permutation(len(items), seed)]
    return found if found != list(items) else found[::-1]


@lru_cache(64)
def _permutation(n: int, seed: int) -> tuple[int, ...]:
    """Draw a permutation of this many places, once for batches of a size."""
    return tuple(torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist())
