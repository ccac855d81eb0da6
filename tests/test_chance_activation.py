"""What few bins do to the distribution of activation probabilities: all arrangements by enumeration, and units that are all alike by simulation."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from ann2neo import chance
from ann2neo.chance.activation import _absolute_difference
from ann2neo.errors import AnalysisError


@pytest.mark.parametrize(("n_units", "n_bins"), [(1, 4), (2, 3), (3, 3), (4, 2)])
def test_expectations_are_those_of_all_arrangements(n_units, n_bins):
    """Every way to deal the spikes to the bins of all units, one by one."""
    for spikes in range(1, n_units * n_bins + 1):
        found = []
        for places in combinations(range(n_units * n_bins), spikes):
            p = np.bincount(np.array(places) // n_bins, minlength=n_units) / n_bins
            pairs = np.abs(p[:, None] - p).sum() / (2 * n_units**2 * p.mean())
            found.append((pairs, np.mean(p < 0.4)))
        n = np.bincount(np.arange(spikes) // n_bins, minlength=n_units)
        expected = chance.expected_gini(n, n_bins=n_bins), chance.expected_rare_share(n, n_bins=n_bins, below=0.4)
        assert expected == pytest.approx(np.mean(found, axis=0), abs=1e-12)


def test_the_absolute_difference_is_a_sum_over_the_law():
    """The closed form is what adding up all counts gives, in layers of a size that is met."""
    for n_bins in (2, 7, 1000):
        together = np.unique(np.linspace(0, 2 * n_bins, 60).astype(int))
        count = np.arange(n_bins + 1)
        law = [np.abs(2 * count - t) @ stats.hypergeom.pmf(count, 2 * n_bins, t, n_bins) for t in together]
        np.testing.assert_allclose(_absolute_difference(together, n_bins), law, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("p", [0.01, 0.05, 0.5, 0.97])
def test_units_that_are_alike_have_the_expected_inequality(p):
    """Over many layers of one probability, the mean coefficient and share are those expected given the spikes: no bias."""
    rng, gaps = np.random.default_rng(0), []
    for n in rng.binomial(300, p, (200, 40)):
        gini = chance.gini(n / 300) - chance.expected_gini(n, n_bins=300)
        rare = np.mean(n / 300 < 0.05) - chance.expected_rare_share(n, n_bins=300)
        gaps.append((gini, rare))
    gaps = np.array(gaps)
    assert (np.abs(gaps.mean(axis=0)) <= 4 * gaps.std(axis=0) / np.sqrt(200) + 1e-4).all()


def test_the_reference_is_finite_in_large_layers():
    """A million units over a million bins: the square root law of a normal approximation."""
    p, n_bins = 0.03, 1_000_000
    found = chance.expected_gini(np.full(1_000_000, round(p * n_bins)), n_bins=n_bins)
    assert found == pytest.approx(np.sqrt((1 - p) / (np.pi * p * n_bins)), rel=1e-3)


def test_the_coefficient_at_its_edges():
    """Equal units have none, one unit with all spikes has 1 - 1 / N, bounded probabilities reach 1 - mean; silent ones have no coefficient."""
    assert chance.gini(np.full(7, 0.3)) == 0
    assert chance.gini(np.array([0, 0, 0, 0.9])) == pytest.approx(0.75)
    assert chance.gini(np.repeat([0.0, 1.0], [3, 1])) == pytest.approx(1 - 0.25)
    assert np.isnan(chance.gini(np.zeros(3)))
    assert np.isnan(chance.gini(np.zeros(0)))
    assert np.isnan(chance.expected_gini(np.zeros(3, int), n_bins=5))
    assert np.isnan(chance.expected_rare_share(np.zeros(0, int), n_bins=5))
    with pytest.raises(AnalysisError, match="more spikes than bins"):
        chance.expected_gini(np.array([7]), n_bins=5)
