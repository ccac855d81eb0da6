"""Compiled distances of intervals from their law by chance: those of NumPy and SciPy, bit for bit."""

import numpy as np
import pytest
from scipy import stats

from ann2neo.chance.distance import SALT, largest_distance, lattice_distances


def numbers(key, count):
    """The random numbers of a unit, from NumPy's own generator."""
    generator = np.random.SFC64()
    state = generator.state
    state["state"]["state"] = np.array([key % 2**64, SALT, 0, 1], np.uint64)
    generator.state = state
    generator.random_raw(12)
    return np.random.Generator(generator).random(count)


def through_law(isis, n, size, spread):
    """Intervals of one stretch mapped through the law of chance, from its definition."""
    left = size - np.arange(isis.max(initial=0))
    exceed = np.concatenate(([1.0], np.cumprod((left - n) / left)))
    return exceed[isis] + spread * (exceed[isis - 1] - exceed[isis])


def slow_distance(parts, key):
    """The distance by SciPy, of numbers by NumPy; parts are the intervals of each stretch, its spikes and its size."""
    spread = numbers(key, sum(isis.size for isis, _, _ in parts))
    borders = np.cumsum([isis.size for isis, _, _ in parts])[:-1]
    uniform = [through_law(*part, own) for part, own in zip(parts, np.split(spread, borders))]
    return stats.kstest(np.concatenate(uniform), "uniform").statistic


def trains(rng, n_units, sizes):
    """Intervals of each stretch of units that are random, regular or in bursts, and the numbers of their spikes."""
    found, n = [], np.zeros((n_units, len(sizes)), int)
    for unit in range(n_units):
        own = []
        for stretch, size in enumerate(sizes):
            kind = unit % 4
            spikes = rng.random(size) < rng.choice([0.002, 0.05, 0.5, 0.95, 1.0])
            if kind == 1:
                spikes = np.arange(size) % rng.integers(1, 40) == 0
            elif kind == 2:
                spikes = (np.arange(size) % 100 < 10) & (rng.random(size) < 0.9)
            elif kind == 3:
                spikes = rng.random(size) < np.linspace(0, 1, size) ** 3
            n[unit, stretch] = spikes.sum()
            own.append((np.diff(np.flatnonzero(spikes)), n[unit, stretch], size))
        found.append(own)
    return found, n


@pytest.mark.parametrize("sizes", [[2], [7], [3000], [40, 1000, 5], [12] * 60])
def test_distances_are_scipys_of_numpys_numbers(sizes):
    """Random, regular, bursting and drifting units, sparse or nearly saturated: every bit is that of the definition."""
    rng = np.random.default_rng(len(sizes))
    keys = rng.integers(0, 2**62, 64)
    found, n = trains(rng, keys.size, sizes)
    isis = np.concatenate([isis for own in found for isis, _, _ in own])
    offsets = np.cumsum([0, *(sum(isis.size for isis, _, _ in own) for own in found)])
    got = lattice_distances(isis, offsets, n, np.array(sizes), keys=keys)
    varies = ((n > 1) & (n < sizes)).any(axis=1)
    np.testing.assert_array_equal(np.isnan(got), ~varies)
    truth = [slow_distance(found[unit], int(keys[unit])) for unit in np.flatnonzero(varies)]
    np.testing.assert_array_equal(got[varies], truth)


def test_threads_and_neighbours_change_nothing():
    """Cut among threads, or alone, each unit has the same distance."""
    rng = np.random.default_rng(3)
    spikes = rng.random((1300, 90)) < rng.random((1300, 1))
    n = spikes.sum(axis=1)
    isis = np.concatenate([np.diff(np.flatnonzero(unit)) for unit in spikes])
    offsets = np.cumsum([0, *np.maximum(n - 1, 0)])
    whole = lattice_distances(isis, offsets, n[:, None], np.array([90]), keys=np.arange(1300), n_threads=2)
    for unit in (0, 511, 512, 1299):
        own = isis[offsets[unit] : offsets[unit + 1]]
        alone = lattice_distances(
            own, np.array([0, own.size]), n[unit : unit + 1, None], np.array([90]), keys=np.array([unit])
        )
        np.testing.assert_array_equal(alone, whole[unit : unit + 1])


@pytest.mark.parametrize("uniform", [[1.0], [0.0] * 3, [1.0] * 9, [0.0, 0.4, 0.5, 1.0, 1.0, 1.0]])
def test_numbers_at_the_borders_are_counted(uniform):
    """An interval that is mapped to 1, as rounding may do, or to 0 belongs to the last or first cell; SciPy counts it alike."""
    count = len(uniform)
    cell_of, (upto, sorted_out) = np.zeros(count, np.uint32), np.zeros((2, count + 3), np.int32)
    found = largest_distance(np.array(uniform), count, cell_of, upto, sorted_out, np.zeros(count + 1))
    assert found == stats.kstest(uniform, "uniform").statistic
