"""Tests of fit given the number of spikes: SciPy, enumeration, laws, edges."""

from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import hermite_e
from scipy import stats

import ann2neo
from ann2neo import analyze, chance
from ann2neo.chance.p_values import normal_two_sided, sampled_tails
from ann2neo.chance.runs import _folded_law
from ann2neo.chance.stationarity import stationarity_test_of_inputs
from ann2neo.errors import AnalysisError


def mid_p(law, place):
    """Two-sided mid-p of one place of a law."""
    return min(1.0, 2 * min(law[:place].sum() + law[place] / 2, law[place + 1 :].sum() + law[place] / 2))


@pytest.mark.parametrize(
    ("n", "bins", "tolerance"), [(10, 20, 1e-12), (300, 1797, 1e-9), (900, 1797, 6e-4), (1000, 5000, 6e-4)]
)
def test_runs_follow_the_hypergeometric_law(n, bins, tolerance):
    """Every p-value is the mid-p of SciPy's hypergeometric law, nearly so in the normal branch."""
    law = stats.hypergeom.pmf(np.arange(n + 1), bins, bins - n + 1, n)
    places = np.flatnonzero(law > 1e-9)
    got = chance.runs_test(places, np.full((places.size, 1), n), np.array([bins]))
    np.testing.assert_allclose(got, [mid_p(law, place) for place in places], atol=tolerance)


def test_runs_of_several_stretches_follow_the_convolution():
    """Runs summed over stretches follow the convolution of the stretches' laws."""
    n, bins = np.array([6, 1, 9, 0]), np.array([14, 9, 30, 5])
    laws = [stats.hypergeom.pmf(np.arange(k + 1), size, size - k + 1, k) for k, size in zip(n, bins)]
    law = laws[0]
    for other in laws[1:]:
        law = np.convolve(law, other)
    places = np.flatnonzero(law > 1e-12)
    got = chance.runs_test(places, np.tile(n, (places.size, 1)), bins)
    np.testing.assert_allclose(got, [mid_p(law, place) for place in places], atol=1e-12)


@pytest.mark.parametrize(("n", "bins"), [(1, 9), (3, 12), (6, 12), (11, 12)])
def test_stationarity_is_exact_for_few_spikes(n, bins):
    """The p-value is the share of all arrangements whose rank sum is at least as far from the mean."""
    sums = np.array([sum(one) for one in combinations(range(bins), n)])
    away = np.abs(2 * sums - n * (bins - 1))
    places = np.unique(sums)
    got = chance.stationarity_test(places, np.full(places.size, n), n_bins=bins)
    np.testing.assert_allclose(got, [np.mean(away >= abs(2 * one - n * (bins - 1))) for one in places], atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 19])
def test_stationarity_of_one_spike_keeps_its_level(n):
    """Over all arrangements of few spikes, or empty bins, on 20 bins no level is exceeded."""
    sums = np.array([sum(one) for one in combinations(range(20), n)])
    p = chance.stationarity_test(sums, np.full(sums.size, n), n_bins=20)
    for level in (0.01, 0.05, 0.1, 0.5):
        assert np.mean(p <= level) <= level


@pytest.mark.parametrize("n", [25, 500, 1775])
def test_stationarity_agrees_with_scipy(n):
    """For many spikes the p-value is that of SciPy's Mann-Whitney test but for its continuity correction."""
    rng = np.random.default_rng(n)
    for _ in range(5):
        spikes = rng.random(1797).argsort()[:n]
        others = np.setdiff1d(np.arange(1797), spikes)
        truth = stats.mannwhitneyu(spikes, others, use_continuity=False, method="asymptotic").pvalue
        got = chance.stationarity_test(np.array([spikes.sum()]), np.array([n]), n_bins=1797)[0]
        assert got == pytest.approx(truth, abs=3e-3)


def test_few_spikes_on_many_bins_are_nearly_continuous():
    """The law on many bins, exact or continuous, is that of a sum of uniform numbers."""
    n, away = np.array([1, 3, 8, 20]), np.array([0.3, 0.9, 1.1, 3.0])
    continuous = chance.stationarity_test_poisson(n / 2 - away, n, duration=1.0)
    for bins in (10_000, 1_000_000):
        sums = np.round((n / 2 - away) * bins - n / 2).astype(int)
        np.testing.assert_allclose(chance.stationarity_test(sums, n, n_bins=bins), continuous, rtol=0.01)


def test_laplace_test_joins_its_two_branches():
    """Exact (20 spikes) and series (21) p-values of equal standardized distance are close."""
    n = np.array([20, 21])
    for z in (0.5, 2.0, 3.0):
        p = chance.stationarity_test_poisson(n / 2 - z * np.sqrt(n / 12), n, duration=1.0)
        assert p[0] == pytest.approx(p[1], rel=0.03)


def test_an_observation_is_one_more_draw():
    """Whichever of 51 values is the observed one, ranks from either side are uniform: 1, 2, ... of 51, of which the upper one counts half; ties count half."""
    values = np.random.default_rng(0).permutation(51) / 7.0
    tails = np.array([np.ravel(sampled_tails(np.sort(np.delete(values, i)), values[i : i + 1])) for i in range(51)])
    np.testing.assert_allclose(np.sort(tails[:, 0]), np.arange(1, 52) / 51)
    np.testing.assert_allclose(np.sort(tails[:, 1]), (np.arange(51) + 0.5) / 51)
    lower, upper = sampled_tails(np.array([1.0, 2.0, 2.0, 2.0, 5.0]), np.array([2.0]))
    assert (lower[0], upper[0]) == ((4 + 1) / 6, (1 + 3 / 2 + 1 / 2) / 6)


@pytest.mark.parametrize(("skewness", "excess"), [(0.4, 0.0), (0.0, -0.3), (0.5, 0.2)])
def test_the_logarithm_of_a_tail_is_corrected_by_edgeworths_series(skewness, excess):
    """The series has NumPy's Hermite polynomials, multiplied by the moments of the law; far out its first order is that of the tail."""
    z = np.concatenate([np.linspace(-3, -0.8, 12), np.linspace(0.8, 3, 12)])
    series = hermite_e.hermeval(z, [0, 0, skewness / 6, excess / 24, 0, skewness**2 / 72])
    tail = stats.norm.sf(np.abs(z))
    got = normal_two_sided(z, skewness=skewness, excess=excess)
    np.testing.assert_allclose(np.log(got / (2 * tail)), np.sign(z) * stats.norm.pdf(z) * series / tail, rtol=1e-9)


def test_sums_that_spikes_cannot_have_are_named():
    """The first unit that is wrong is told with the largest sum that its spikes can have."""
    with pytest.raises(AnalysisError, match="`bin_sums` has 30 where the spikes of a unit sum up to 27 at most"):
        chance.stationarity_test(np.array([5, 30]), np.array([3, 3]), n_bins=10)
    with pytest.raises(
        AnalysisError, match=r"`time_sums` has -1\.0 where the spikes of a unit sum up to 20\.0 at most"
    ):
        chance.stationarity_test_poisson(np.array([-1.0]), np.array([2]), duration=10.0)


def test_exponential_test_is_scipys():
    """The naive interval test is SciPy's exact Kolmogorov-Smirnov test with the mean taken from the data."""
    isis = np.random.default_rng(0).geometric(0.05, 80)
    truth = stats.kstest(isis, stats.expon(scale=isis.mean()).cdf, method="exact").pvalue
    got = chance.isi_law_test_exponential_naive(isis, np.array([0, 80]))[0]
    assert got == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize("n_intervals", [1, 2, 3, 5])
def test_the_interval_between_two_poisson_spikes_has_kolmogorovs_law(n_intervals):
    """The only interval of a stretch of duration T exceeds t with chance (1 - t / T)^2; silent stretches and single spikes add none."""
    rng = np.random.default_rng(n_intervals)
    n, durations = np.zeros((40, 3 * n_intervals), int), rng.uniform(1, 9, 3 * n_intervals)
    n[:, 0::3], n[:, 1::3] = 2, 1
    shares = rng.beta(1, 2, (40, n_intervals))
    isis = (shares * durations[0::3]).ravel()
    got = chance.isi_law_test_poisson(isis, np.arange(41) * n_intervals, n, durations)
    truth = [stats.kstest((1 - own) ** 2, "uniform", method="exact").pvalue for own in shares]
    np.testing.assert_allclose(got, truth, atol=0.03)


def test_interval_law_is_that_of_all_arrangements():
    """Over all arrangements of 3 spikes on 6 bins the p-value of the interval test is uniform."""
    trains = np.array(list(combinations(range(6), 3)) * 100)
    units = len(trains)
    isis = np.diff(trains, axis=1).ravel()
    p = chance.isi_law_test(
        isis, np.arange(units + 1) * 2, np.full((units, 1), 3), np.array([6]), keys=np.arange(units)
    )
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_false_discovery_is_scipys_without_undefined_units():
    """Undefined p-values stay NaN and do not count."""
    p = np.array([0.01, np.nan, 0.2, 0.03, np.nan])
    for method in ("bh", "by"):
        got = chance.false_discovery(p, method=method)
        np.testing.assert_array_equal(got[[0, 2, 3]], stats.false_discovery_control(p[[0, 2, 3]], method=method))
        assert np.isnan(got[[1, 4]]).all()
    assert np.isnan(chance.false_discovery(np.full(3, np.nan))).all()


def p_values_of(spikes, keys):
    """All p-values of units in one stretch, shape (test, unit)."""
    n_bins = spikes.shape[1]
    n, bins, windows = spikes.sum(axis=1), np.array([n_bins]), np.array([n_bins // 2, n_bins - n_bins // 2])
    counts = np.stack([spikes[:, : windows[0]].sum(axis=1), spikes[:, windows[0] :].sum(axis=1)], axis=1)
    isis = np.concatenate([np.diff(np.flatnonzero(unit)) for unit in spikes] + [np.zeros(0, int)])
    offsets = np.concatenate(([0], np.cumsum(np.maximum(n - 1, 0))))
    n_runs = np.diff(spikes.astype(int), axis=1, prepend=0).clip(min=0).sum(axis=1)
    return np.stack(
        [
            chance.dispersion_test(counts, windows),
            chance.dispersion_test(counts, windows.astype(float), lattice=False),
            chance.dispersion_test_naive(counts, windows),
            chance.runs_test(n_runs, n[:, None], bins),
            chance.isi_law_test(isis, offsets, n[:, None], bins, keys=keys),
            chance.isi_law_test_poisson(isis.astype(float), offsets, n[:, None], bins.astype(float)),
            chance.isi_law_test_exponential_naive(isis, offsets),
            chance.stationarity_test(spikes @ np.arange(n_bins), n, n_bins=n_bins),
            chance.stationarity_test_poisson(spikes @ np.arange(n_bins) + 0.5 * n, n, duration=float(n_bins)),
        ]
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 8))
def test_chunks_and_order_of_units_do_not_change_a_bit(seed, cut):
    """Any chunking and any order of units gives the same p-values, bit for bit; all lie in 0 ... 1 or are NaN."""
    rng = np.random.default_rng(seed)
    spikes = rng.random((8, 40)) < rng.choice([0.0, 0.02, 0.3, 0.9, 1.0], (8, 1))
    keys = rng.integers(-(2**63), 2**63 - 1, 8)
    whole = p_values_of(spikes, keys)
    np.testing.assert_array_equal(
        whole, np.concatenate([p_values_of(spikes[:cut], keys[:cut]), p_values_of(spikes[cut:], keys[cut:])], axis=1)
    )
    order = rng.permutation(8)
    np.testing.assert_array_equal(whole[:, order], p_values_of(spikes[order], keys[order]))
    assert np.all(np.isnan(whole) | ((whole >= 0) & (whole <= 1)))


def test_undefined_units_are_nan():
    """Silent units have no test, saturated ones none on bins, and one spike has neither runs nor intervals to test."""
    spikes = np.zeros((3, 40), bool)
    spikes[1] = True
    spikes[2, 7] = True
    undefined = np.isnan(p_values_of(spikes, np.arange(3)))
    assert undefined[:, 0].all()
    np.testing.assert_array_equal(undefined[:, 1], [True, False, False, True, True, False, False, True, False])
    np.testing.assert_array_equal(undefined[:, 2], [False, False, False, True, True, True, True, False, False])


def test_no_units_give_no_p_values():
    """A layer without units is no error."""
    assert p_values_of(np.zeros((0, 40), bool), np.zeros(0, int)).shape == (9, 0)


def test_narrow_integers_do_not_overflow():
    """Counts of a million bins in 32-bit integers give the p-values of 64-bit ones."""
    n, bins = np.array([[300_000], [999_000]]), np.array([1_000_000])
    counts, windows = np.array([[150_500, 149_500], [499_400, 499_600]]), np.array([500_000, 500_000])
    narrow = np.int32
    np.testing.assert_array_equal(
        chance.runs_test(np.array([210_100, 999], narrow), n.astype(narrow), bins.astype(narrow)),
        chance.runs_test(np.array([210_100, 999]), n, bins),
    )
    np.testing.assert_array_equal(
        chance.dispersion_test(counts.astype(narrow), windows.astype(narrow)), chance.dispersion_test(counts, windows)
    )
    sums = np.array([150_000_000_000, 499_500_000_000])
    np.testing.assert_array_equal(
        chance.stationarity_test(sums, n[:, 0].astype(narrow), n_bins=1_000_000),
        chance.stationarity_test(sums, n[:, 0], n_bins=1_000_000),
    )
    for expected in (chance.expected_isi_mean, chance.expected_isi_var, chance.expected_cv, chance.expected_lv):
        np.testing.assert_array_equal(expected(n.astype(narrow), bins.astype(narrow)), expected(n, bins))
    np.testing.assert_array_equal(
        chance.expected_fano(n.astype(narrow), windows.astype(narrow)), chance.expected_fano(n, windows)
    )


def test_the_key_decides_the_randomness():
    """The randomised interval test repeats itself with the same key and differs with another."""
    isis = np.random.default_rng(0).geometric(0.3, 40)
    n, bins = np.full((3, 1), 41), np.array([1000])
    p = chance.isi_law_test(np.tile(isis, 3), np.arange(4) * 40, n, bins, keys=np.array([5, 5, 6]))
    assert p[0] == p[1] != p[2]


def test_intervals_that_do_not_fit_are_refused():
    """Intervals of other trains than the counted ones end in an error that says what fits."""
    with pytest.raises(AnalysisError, match="Give n - 1 intervals"):
        chance.isi_law_test(np.array([1, 2]), np.array([0, 2]), np.array([[5]]), np.array([9]), keys=np.array([0]))
    with pytest.raises(AnalysisError, match="more spikes than bins"):
        chance.dispersion_test(np.array([[3, 1]]), np.array([2, 2]))


@pytest.mark.parametrize("lengths", [np.full(6, 4), np.array([1, 9, 2, 4, 3])])
def test_the_trend_over_few_inputs_is_that_of_all_their_orders(lengths):
    """Up to seven inputs the chance of a trend is that over every order, each input with its spikes and its bins."""
    spikes = np.random.default_rng(lengths.size).binomial(lengths, [[0.3], [0.6], [0.8]] * np.ones(lengths.size))
    got = stationarity_test_of_inputs(spikes, lengths)
    for unit, own in enumerate(spikes):
        rate = own.sum() / lengths.sum()
        trends = [
            abs(sum(k * (own[i] - rate * lengths[i]) for k, i in enumerate(order)))
            for order in permutations(range(lengths.size))
        ]
        assert got[unit] == pytest.approx(np.mean(np.array(trends) >= trends[0] - 1e-9))


def test_the_trend_over_many_inputs_is_that_of_drawn_orders():
    """Thirty inputs of one to eight bins, few and many spikes: within sampling error of drawn orders."""
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 9, 30)
    spikes = np.sort(rng.binomial(lengths, rng.beta(0.5, 1, (12, 30))), axis=1)
    spikes = np.minimum(np.where(np.arange(12)[:, None] % 3, rng.permuted(spikes, axis=1), spikes), lengths)
    e = spikes - (spikes.sum(axis=1) / lengths.sum())[:, None] * lengths
    place = np.arange(30) - 14.5
    drawn = np.abs(e @ rng.permuted(np.tile(place, (20_000, 1)), axis=1).T)
    value = np.abs(e @ place)[:, None]
    known = (drawn > value + 1e-9).mean(axis=1) + (np.abs(drawn - value) < 1e-9).mean(axis=1) / 2
    np.testing.assert_allclose(stationarity_test_of_inputs(spikes, lengths), known, atol=0.02)


@pytest.mark.parametrize("n_steps", [5, 28])
def test_inputs_of_many_rates_have_no_trend(n_steps):
    """Units that answer inputs of several steps differently, in random order, are rejected at the level; bin by bin it was 10 to 18 %."""
    rng = np.random.default_rng(n_steps)
    rates = rng.beta(1, 2, (60, 1500))
    spikes = rng.random((60, n_steps, 1500)) < rates[:, None]
    table = analyze(ann2neo.from_array(spikes, trial_axis=0), windows=1, tests=True, progress=False)
    for level in (0.05, 0.01):
        rejected = np.mean(table["stationarity_p"] <= level)
        assert level / 3 < rejected < level + 4 * np.sqrt(level / 1500)


def test_a_trend_over_inputs_is_found():
    """Inputs of six steps whose rate rises from 0.2 to 0.6."""
    rng = np.random.default_rng(0)
    spikes = rng.random((80, 6, 50)) < np.linspace(0.2, 0.6, 80)[:, None, None]
    table = analyze(ann2neo.from_array(spikes, trial_axis=0), windows=6, tests=True, progress=False)
    assert np.mean(table["stationarity_p"] < 0.01) > 0.9


@pytest.mark.parametrize("bins", [1, 2, 5, 8])
def test_spikes_that_follow_a_spike_are_counted_over_all_arrangements(bins):
    """No spike, one run of all spikes, and as many runs as there is place for are as likely as they are."""
    law = _folded_law(np.arange(bins + 1), bins)
    np.testing.assert_allclose(law.sum(axis=1), 1)
    for n in range(bins + 1):
        joined = [sum(b - a == 1 for a, b in pairwise(places)) for places in combinations(range(bins), n)]
        truth = np.bincount(joined, minlength=bins) / len(joined)
        np.testing.assert_allclose(law[n, np.arange(bins) % law.shape[1]], truth, atol=1e-12)
