"""Dispersion over windows: its law against every arrangement, SciPy and simulation, with two windows and with many."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from scipy import stats

from ann2neo import analyze, chance, from_array
from ann2neo.chance.count_laws import _n_ways, _reach, _scale, _ways

LEVELS = (0.05, 0.01, 1e-3, 1e-4)


def dispersion(counts, sizes, n):
    bins = sizes.sum()
    expected = sizes * n / bins
    return np.sum((counts - expected) ** 2 / (expected * (bins - n) / (bins - 1)), axis=-1)


def tails(statistic, chances):
    """Chance of a value no larger, and of a larger one where an equal one counts half, in plain loops."""
    close = np.isclose(statistic[:, None], statistic, rtol=1e-9, atol=1e-9)
    larger = (statistic[None, :] > statistic[:, None]) & ~close
    lower = ((~larger) * chances).sum(axis=1)
    upper = (larger * chances).sum(axis=1) + (close * chances).sum(axis=1) / 2
    return lower, upper


def arrangements(sizes, n):
    """Counts in windows of every arrangement of n spikes on the bins."""
    window = np.repeat(np.arange(sizes.size), sizes)
    return np.array(
        [np.bincount(window[list(one)], minlength=sizes.size) for one in combinations(range(sizes.sum()), n)]
    )


@pytest.mark.parametrize("sizes", [[6, 6], [3, 9], [3, 4, 4], [2, 3, 3, 4], [2, 2, 2, 2, 3]])
@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_the_law_is_that_of_all_arrangements(sizes, n):
    """With few windows, even and uneven, few spikes and few empty bins, both p values are exact."""
    sizes = np.array(sizes)
    counts = arrangements(sizes, n)
    lower, upper = tails(dispersion(counts, sizes, n), np.full(len(counts), 1 / len(counts)))
    np.testing.assert_allclose(chance.overdispersion_test(counts, sizes), upper, atol=1e-9)
    truth = np.minimum(2 * np.minimum(lower, upper), 1)
    np.testing.assert_allclose(chance.dispersion_test(counts, sizes), truth, atol=1e-9)


@pytest.mark.parametrize("sizes", [[6, 6], [3, 4, 4], [2, 3, 3, 4]])
def test_the_mean_of_the_continuous_law_is_that_of_all_arrangements(sizes):
    """Its scale is the one by which squared deviations have a mean of one less than windows."""
    sizes = np.array(sizes)
    squares = ((arrangements(sizes, 5) - sizes * 5 / sizes.sum()) ** 2 / sizes).sum(axis=1)
    assert squares.mean() / _scale(5, float(sizes.sum()), lattice=True) == pytest.approx(sizes.size - 1, rel=1e-12)


@pytest.mark.parametrize("lattice", [True, False])
@pytest.mark.parametrize("sizes", [[1, 1], [2, 2], [1, 3], [3, 1, 2], [1, 1, 2, 1]])
def test_no_way_to_deal_spikes_is_left_out(sizes, lattice):
    """All ways are listed once, and below a dispersion those that have at most this one: windows of one bin, empty and full ones included."""
    sizes = np.array(sizes)
    for n in range(1, sizes.sum()):
        most = [min(n, size) if lattice else n for size in sizes]
        every = [way for way in product(*(range(k + 1) for k in most)) if sum(way) == n]
        expected = sizes * n / sizes.sum()
        spread = [((np.array(way) - expected) ** 2 / sizes).sum() for way in every]
        for limit in (np.inf, np.median(spread) + 1e-6):
            ways = _ways(n, sizes, limit, lattice=lattice, bounded=False)
            found = sorted(map(tuple, ways[((ways - expected) ** 2 / sizes).sum(axis=1) <= limit].tolist()))
            assert found == [way for way, value in zip(every, spread) if value <= limit]


@pytest.mark.parametrize(
    ("n", "sizes"), [(5, (10, 20, 30)), (400, (1000,) * 3), (30, (9, 10, 300, 50)), (1000, (2000, 10, 3000))]
)
@pytest.mark.parametrize("lattice", [True, False])
def test_counts_beyond_the_reach_do_not_happen(n, sizes, lattice):
    """By SciPy's laws of the count of one window they have a chance below 1e-15; the reach is not much wider than nine standard deviations."""
    for reach, size in zip(_reach(n, np.array(sizes, float), lattice=lattice), sizes):
        law = stats.hypergeom(sum(sizes), size, n) if lattice else stats.binom(n, size / sum(sizes))
        counts = np.arange(n + 1)
        assert law.pmf(counts[np.abs(counts - law.mean()) > reach]).sum() < 1e-15
        assert reach < 9 * law.std() + 13


@pytest.mark.parametrize("lattice", [True, False])
def test_the_number_of_ways_to_deal_spikes_is_foreseen(lattice):
    """A few spikes in long windows are a multiset of windows; of many no fewer ways are foreseen than are listed, and at most half as many again."""
    for n, n_windows in product(range(1, 5), range(3, 6)):
        assert _n_ways(n, (60,) * n_windows, lattice) == pytest.approx(comb(n + n_windows - 1, n), rel=1e-9)
    for n, sizes in ((400, (1000, 1000, 1000)), (60, (30, 100, 500)), (30, (100, 200, 300, 50))):
        listed = len(_ways(n, np.array(sizes), np.inf, lattice=lattice))
        assert listed <= _n_ways(n, sizes, lattice) <= 1.5 * listed


@pytest.mark.parametrize("lattice", [True, False])
def test_windows_without_bins_change_nothing(lattice):
    """A window in which nothing can happen tells nothing, wherever it lies; a unit that has its spikes in one window is left with two."""
    counts, sizes = np.array([[25, 25, 34], [60, 25, 5], [9, 0, 0]]), np.array([100, 100, 120])
    places = [0, 1, 1, 3]
    with_empty, sizes_with_empty = np.insert(counts, places, 0, axis=1), np.insert(sizes, places, 0)
    for test in (chance.dispersion_test, chance.overdispersion_test):
        np.testing.assert_array_equal(
            test(with_empty, sizes_with_empty, lattice=lattice), test(counts, sizes, lattice=lattice)
        )
    upper = np.array([stats.chisquare(one, one.sum() * sizes / sizes.sum()).pvalue for one in counts])
    naive = chance.dispersion_test_naive(with_empty, sizes_with_empty)
    np.testing.assert_allclose(naive, 2 * np.minimum(upper, 1 - upper), atol=1e-12)


@pytest.mark.parametrize("n", [7, 100, 1000])
def test_two_windows_are_the_hypergeometric_and_binomial_law(n):
    """SciPy's laws of one of two counts give both tails, at every count, on bins and in time."""
    first = np.arange(max(0, n - 1400), min(n, 1600) + 1)
    counts = np.column_stack([first, n - first])
    for law, lattice, sizes in (
        (stats.hypergeom(3000, 1600, n), True, np.array([1600, 1400])),
        (stats.binom(n, 0.25), False, np.array([1.0, 3.0])),
    ):
        away = np.abs(first - n * sizes[0] / sizes.sum())
        lower, upper = tails(away, law.pmf(first))
        both, more = chance.dispersion_tests(counts, sizes, lattice=lattice)
        np.testing.assert_allclose(more, upper, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(both, np.minimum(2 * np.minimum(lower, upper), 1), rtol=1e-6, atol=1e-12)


def test_a_balanced_unit_is_not_called_tuned():
    """Labels that alternate, as left and right trials do: no untuned unit survives the correction, none has p = 0."""
    x = np.random.default_rng(0).random((1000, 3000)) < np.random.default_rng(1).uniform(0.1, 0.9, 3000)
    table = analyze(from_array(x, labels=np.arange(1000) % 2), windows="label", tests=True, progress=False)
    for name in ("dispersion_p", "overdispersion_p"):
        assert table[f"{name}_corrected"].min() > 0.05
        assert table[name].min() > 1e-5


@pytest.mark.parametrize("sizes", [[400, 300], [300, 300, 200], [200, 150, 250, 200], [100, 150, 120, 180, 250]])
def test_full_windows_agree_with_simulation(sizes):
    """Where windows expect many spikes both tails are those of 400,000 draws of the hypergeometric law."""
    sizes = np.array(sizes)
    n = int(sizes.sum() * 0.4)
    rng = np.random.default_rng(5)
    drawn = np.sort(dispersion(rng.multivariate_hypergeometric(sizes, n, size=400_000), sizes, n))
    counts = rng.multivariate_hypergeometric(sizes, n, size=60)
    own = dispersion(counts, sizes, n)
    upper = 1 - (np.searchsorted(drawn, own - 1e-9) + np.searchsorted(drawn, own + 1e-9)) / 2 / drawn.size
    np.testing.assert_allclose(chance.overdispersion_test(counts, sizes), upper, atol=0.006)


def test_dispersion_in_time_is_nearly_scipys_chi_squared():
    """Where windows expect many spikes the Poisson p value is SciPy's chi-squared one; the naive test is just that."""
    counts = np.array([[200, 310, 240, 250], [400, 220, 240, 140]])
    upper = stats.chisquare(counts, axis=1).pvalue
    np.testing.assert_allclose(
        chance.overdispersion_test(counts, np.ones(4), lattice=False), upper, rtol=0.1, atol=1e-3
    )
    truth = 2 * np.minimum(upper, 1 - upper)
    np.testing.assert_allclose(chance.dispersion_test_naive(counts, np.full(4, 50)), truth, atol=1e-12)


def test_extremes_beyond_the_draws_are_found():
    """A sparse unit that spikes in one window only has a p value far below one over the number of draws."""
    counts = np.zeros((1, 40), int)
    counts[0, 0] = 20
    assert chance.dispersion_test(counts, np.full(40, 25))[0] < 1e-8


def test_even_counts_are_found():
    """A unit with equal counts in ten windows is less dispersed than by chance, and not more."""
    counts = np.full((1, 10), 30)
    assert chance.dispersion_test(counts, np.full(10, 100))[0] < 1e-6
    assert chance.overdispersion_test(counts, np.full(10, 100))[0] > 0.999


def drawn_counts(rng, sizes, rate, n_units, *, lattice):
    """Counts of units whose spikes know nothing of the windows."""
    draw = rng.binomial if lattice else lambda size, p, n: rng.poisson(size * p, n)
    return np.stack([draw(size, rate, n_units) for size in sizes], axis=1)


def excess(p_values, n_units):
    """How far the share of rejected units is above each level, in standard errors of a true level."""
    known = p_values[~np.isnan(p_values)]
    return [(np.mean(known <= a) - a) / np.sqrt(a / n_units) for a in LEVELS]


SHAPES = [(W, p, lattice) for W in (2, 3, 4, 5, 6, 10, 100) for p in (0.02, 0.5) for lattice in (True, False)]


@pytest.mark.parametrize(
    ("n_windows", "rate", "lattice"),
    [
        pytest.param(
            *shape, marks=[pytest.mark.slow("numbers of windows between the others")] * (shape[0] in (3, 4, 6))
        )
        for shape in SHAPES
    ],
)
def test_type_one_error_down_to_one_in_ten_thousand(n_windows, rate, lattice, slow):
    """Whatever the number of windows, equal or not, on bins or in time, no level is exceeded beyond sampling error."""
    n_units = 400_000 if slow else 40_000
    rng = np.random.default_rng((n_windows, int(100 * rate), lattice))
    for sizes in (
        np.full(n_windows, 1200 // n_windows),
        (40 if n_windows < 100 else 4) + np.arange(n_windows) * 2400 // n_windows**2,
    ):
        counts = drawn_counts(rng, sizes, rate, n_units, lattice=lattice)
        for p in chance.dispersion_tests(counts, sizes if lattice else sizes.astype(float), lattice=lattice):
            assert max(excess(p, n_units)) < 5, (sizes[:3], excess(p, n_units))


@pytest.mark.parametrize("n_windows", [2, 3, 5, 10])
def test_power_is_that_of_a_test_that_knows_the_law(n_windows):
    """Units tuned to one window are found nearly as often as by the chi-squared test of SciPy at its own level."""
    sizes = np.full(n_windows, 200)
    rates = np.where(np.arange(n_windows) == 0, 0.32, 0.2)
    counts = np.random.default_rng(7).binomial(sizes, rates, (2000, n_windows))
    tables = np.stack([counts, sizes - counts], axis=1)
    known = np.mean([stats.chi2_contingency(table, correction=False).pvalue <= 0.05 for table in tables])
    assert np.mean(chance.overdispersion_test(counts, sizes) <= 0.05) > known - 0.02
    assert known > 0.7


def test_many_windows_do_not_overflow():
    """With a thousand windows the number of ways to deal spikes to them does not fit into a float."""
    counts = np.random.default_rng(0).binomial(10, 0.3, (2, 1000))
    p = chance.overdispersion_test(counts, np.full(1000, 10))
    assert ((p > 0.001) & (p < 0.999)).all()
