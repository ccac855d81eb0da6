"""Tests of fit keep their level on trains that are truly random, and find what is not random."""

import numpy as np
import pytest
from scipy import stats

from ann2neo.chance import (
    dispersion_test,
    isi_law_test,
    isi_law_test_poisson,
    rejection_rates,
    runs_test,
    stationarity_test_poisson,
)
from ann2neo.errors import WindowError

N_UNITS, N_BINS = 2000, 1797
LABELS = np.random.default_rng(0).multinomial(N_BINS, np.full(10, 0.1))
EQUAL = np.full(18, 99)
SOUND = ("dispersion", "runs", "isi_law", "stationarity")
# One-sided 99.9 % bounds: about fifty rates are compared.
LOWEST, HIGHEST = stats.binom.ppf([0.001, 0.999], N_UNITS, 0.05) / N_UNITS


def bernoulli(p, n_units=N_UNITS, n_bins=N_BINS, seed=0):
    return np.random.default_rng((seed, int(1e6 * np.mean(p)))).random((n_units, n_bins)) < p


@pytest.mark.parametrize("windows", [LABELS, EQUAL], ids=["unequal", "equal"])
@pytest.mark.parametrize("p", [0.002, 0.02, 0.2, 0.5, 0.8, 0.98])
def test_random_units_are_rejected_at_the_nominal_rate(p, windows):
    """No test rejects more than 5 % of random units at any rate; nor clearly fewer from 0.2 to 0.8."""
    rates = rejection_rates(bernoulli(p), windows)
    for name in SOUND:
        assert rates[name] <= HIGHEST, name
        if 0.2 <= p <= 0.8:
            assert rates[name] >= LOWEST, name


def test_the_tests_of_the_literature_reject_random_units():
    """Poisson's law is wrong for bins: the naive tests reject far more than 5 % of random units at p = 0.5."""
    rates = rejection_rates(bernoulli(0.5, n_units=300), LABELS)
    assert rates["isi_law_exponential_naive"] == 1.0
    assert rates["dispersion_naive"] > 0.12


def chain(p, stay, rng):
    """Markov chains of rate p in which a spike is followed by another with probability ``stay``."""
    numbers = rng.random((300, N_BINS))
    spikes = np.empty(numbers.shape, bool)
    spikes[:, 0] = numbers[:, 0] < p
    for one in range(1, N_BINS):
        spikes[:, one] = numbers[:, one] < np.where(spikes[:, one - 1], stay, p * (1 - stay) / (1 - p))
    return spikes


def test_bursts_are_found():
    """At p = 0.2, spikes that follow a spike with probability 0.35 are found in most units."""
    rates = rejection_rates(chain(0.2, 0.35, np.random.default_rng(1)), LABELS)
    assert rates["runs"] > 0.95
    assert rates["isi_law"] > 0.8


def test_refractoriness_is_found():
    """At p = 0.2, spikes that follow a spike with probability 0.1 only are found by runs in most units."""
    rates = rejection_rates(chain(0.2, 0.1, np.random.default_rng(2)), LABELS)
    assert rates["runs"] > 0.9
    assert rates["isi_law"] > 0.6


def test_drift_is_found():
    """A rate that grows from 0.15 to 0.25 over the recording is found by the rank test in most units."""
    rates = rejection_rates(bernoulli(np.linspace(0.15, 0.25, N_BINS), n_units=300), EQUAL)
    assert rates["stationarity"] > 0.8


def test_tuning_is_found():
    """One label of ten at 0.4 and the others at 0.2 is found by the dispersion over labels in nearly all units."""
    rate = np.where(np.repeat(np.arange(10), LABELS) == 3, 0.4, 0.2)
    assert rejection_rates(bernoulli(rate, n_units=300), LABELS)["dispersion"] > 0.95


@pytest.mark.parametrize(("stretches", "bins", "p"), [(3, 600, 0.2), (100, 16, 0.3), (20, 50, 0.8)])
def test_random_units_of_several_stretches_are_rejected_at_the_nominal_rate(stretches, bins, p):
    """Runs and intervals keep their level where no interval may cross a border."""
    spikes = np.random.default_rng(3).random((N_UNITS, stretches, bins)) < p
    n, size = spikes.sum(axis=2), np.full(stretches, bins)
    unit, stretch, place = np.nonzero(spikes)
    isis = np.diff(place)[(np.diff(unit) == 0) & (np.diff(stretch) == 0)]
    offsets = np.concatenate(([0], np.cumsum(np.maximum(n - 1, 0).sum(axis=1))))
    n_runs = np.diff(spikes.astype(int), axis=2, prepend=0).clip(min=0).sum(axis=(1, 2))
    for p_values in (runs_test(n_runs, n, size), isi_law_test(isis, offsets, n, size, keys=np.arange(N_UNITS))):
        assert LOWEST - 0.005 <= np.mean(p_values <= 0.05) <= HIGHEST + 0.005


@pytest.mark.parametrize("n", [4, 30, 400])
def test_random_units_without_bins_are_rejected_at_the_nominal_rate(n):
    """In continuous time the tests keep their level given the number of spikes."""
    rng, windows = np.random.default_rng(4), np.array([1.0, 2.0, 1.5, 0.5, 3.0])
    times = np.sort(rng.uniform(0, 8, (N_UNITS, n)), axis=1)
    edges = np.concatenate(([0], np.cumsum(windows)))
    counts = np.diff([np.searchsorted(unit, edges) for unit in times], axis=1)
    count, offsets = np.full((N_UNITS, 1), n), np.arange(N_UNITS + 1) * (n - 1)
    p_values = {
        "dispersion": dispersion_test(counts, windows, lattice=False),
        "isi_law": isi_law_test_poisson(np.diff(times, axis=1).ravel(), offsets, count, np.array([8.0])),
        "stationarity": stationarity_test_poisson(times.sum(axis=1), count[:, 0], duration=8.0),
    }
    for name, p in p_values.items():
        assert np.mean(p <= 0.05) <= HIGHEST, name
        if n >= 30:
            assert np.mean(p <= 0.05) >= LOWEST, name


def test_small_p_values_keep_their_meaning():
    """Far out the p-values stay calibrated: at level 0.001 no test rejects clearly more than 0.1 % of random units."""
    spikes = np.concatenate([bernoulli(p, n_units=3000, n_bins=600, seed=5) for p in (0.01, 0.5)])
    highest = stats.binom.ppf(0.9995, len(spikes), 0.001) / len(spikes)
    rates = rejection_rates(spikes, np.full(10, 60), level=0.001)
    for name in SOUND:
        assert rates[name] <= highest, name


def test_windows_beyond_the_bins_are_refused():
    """Windows that need more bins than there are end in an error that names both numbers."""
    with pytest.raises(WindowError, match="Windows of 30 bins were asked for, but there are 20 bins"):
        rejection_rates(np.ones((1, 20), bool), np.array([10, 20]))


@pytest.mark.slow("laws of 1,500 units are sampled")
def test_stretches_of_unequal_size_share_their_laws():
    """Every unit has a mean stretch of its own; laws are sampled for like ones together, and the level is kept."""
    from ann2neo.chance.isi_law import _null

    rng, bins, n_units = np.random.default_rng(6), np.array([300, 600, 900, 2000]), 1500
    rates = rng.uniform(0.02, 0.6, n_units)
    parts = [rng.random((n_units, size)) < rates[:, None] for size in bins]
    n = np.stack([part.sum(axis=1) for part in parts], axis=1)
    isis = [np.concatenate([np.diff(np.flatnonzero(part[unit])) for part in parts]) for unit in range(n_units)]
    offsets = np.cumsum([0, *(one.size for one in isis)])
    before = _null.cache_info().misses
    p = isi_law_test(np.concatenate(isis), offsets, n, bins, keys=np.arange(n_units))
    assert _null.cache_info().misses - before < 120
    assert LOWEST - 0.006 < np.mean(p <= 0.05) < HIGHEST + 0.006
