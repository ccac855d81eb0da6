"""Rates of labels when trials of unequal duration are dealt to labels: plain permutations and enumeration."""

from itertools import permutations

import numpy as np
import pytest

from ann2neo import chance


def permuted_sd(counts, sizes, code, n_draws, seed=0):
    """Standard deviation of each label's rate over plain permutations of the labels, and its own standard error."""
    rng, rates = np.random.default_rng(seed), []
    for _ in range(n_draws):
        own = np.eye(code.max() + 1)[rng.permutation(code)]
        rates.append((counts @ own) / (sizes @ own))
    seen = np.array(rates)
    centred = (seen - seen.mean(axis=0)) ** 2
    return seen.std(axis=0), centred.std(axis=0) / (2 * seen.std(axis=0) * np.sqrt(n_draws))


def test_few_trials_are_enumerated():
    """Every arrangement of seven trials of unequal duration gives the standard deviation, to the last digits."""
    rng = np.random.default_rng(1)
    sizes, code = rng.uniform(0.2, 5.0, 7), np.array([0, 0, 1, 1, 1, 1, 2])
    counts = rng.poisson(4 * sizes, (3, 7))
    seen = []
    for order in permutations(range(7)):
        own = np.eye(3)[code[list(order)]]
        seen.append((counts @ own) / (sizes @ own))
    got = chance.sd_of_dealt_rates(counts, sizes, np.bincount(code))
    np.testing.assert_allclose(got, np.std(seen, axis=0), rtol=1e-12)


@pytest.mark.parametrize("n_trials", [[3, 30, 9], [150, 40, 200], [1, 60], [300, 300]])
def test_unequal_durations_agree_with_permutations(n_trials):
    """Durations that differ a hundredfold, units with and without a rate of their own per trial: as 4,000 permutations have it."""
    rng = np.random.default_rng(len(n_trials))
    code = rng.permutation(np.repeat(np.arange(len(n_trials)), n_trials))
    sizes = np.exp(rng.normal(0, 1.0, code.size))
    rate = np.stack([np.full(code.size, 8.0), rng.gamma(2, 4, code.size), 6 / sizes])
    counts = rng.poisson(rate * sizes)
    got = chance.sd_of_dealt_rates(counts, sizes, np.array(n_trials))
    known, error = permuted_sd(counts, sizes, code, 4000)
    assert (np.abs(got - known) < 4.5 * error + 0.012 * known).all(), (got, known)


def test_equal_durations_have_the_hypergeometric_variance():
    """Trials of one bin: the variance of sampling without replacement; labels without trials are undefined."""
    counts = np.array([[1, 1, 0, 0, 0, 1, 0, 0], [0] * 8])
    got = chance.sd_of_dealt_rates(counts, np.full(8, 2.0), np.array([3, 5, 0]))
    p, m = 3 / 8, np.array([3, 5])
    np.testing.assert_allclose(got[0, :2], np.sqrt(p * (1 - p) * (8 - m) / (m * 7)) / 2)
    assert got[1, :2].tolist() == [0.0, 0.0]
    assert np.isnan(got[:, 2]).all()


def test_the_middle_of_a_rounded_unit_is_not_noise():
    """A unit with one rate in every trial has no spread, whatever the durations."""
    sizes = np.array([1.0, 2.0, 3.0, 10.0, 4.0])
    got = chance.sd_of_dealt_rates((3 * sizes[None]).astype(int), sizes, np.array([2, 3]))
    np.testing.assert_allclose(got, 0, atol=1e-12)
