"""Expectations given the number of spikes: enumeration, simulation, closed forms, edges."""

import warnings
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ann2neo import chance
from ann2neo.chance.sampled_cv import few_intervals
from ann2neo.errors import AnalysisError


def pooled_isis(trains):
    return np.concatenate([np.diff(train) for train in trains])


def pair_mean(trains, value):
    pairs = [value(a, b) for train in trains for a, b in zip(np.diff(train)[:-1], np.diff(train)[1:])]
    return np.mean(pairs) if pairs else np.nan


def lvr_pair(a, b, refractoriness):
    return 3 * (a - b) ** 2 / (a + b) ** 2 * (1 + 4 * refractoriness / (a + b))


MEASURES = {
    "isi_mean": lambda trains: np.mean(pooled_isis(trains)),
    "isi_var": lambda trains: np.var(pooled_isis(trains)),
    "cv": lambda trains: np.std(pooled_isis(trains)) / np.mean(pooled_isis(trains)),
    "cv2": lambda trains: pair_mean(trains, lambda a, b: 2 * abs(a - b) / (a + b)),
    "lv": lambda trains: pair_mean(trains, lambda a, b: lvr_pair(a, b, 0)),
    "lvr": lambda trains: pair_mean(trains, lambda a, b: lvr_pair(a, b, 1.5)),
    "ir": lambda trains: pair_mean(trains, lambda a, b: abs(np.log(a / b))),
}
EXPECTED = {name: getattr(chance, f"expected_{name}") for name in MEASURES}
EXPECTED["lvr"] = lambda n, bins: chance.expected_lvr(n, bins, refractoriness_bins=1.5)


def every_arrangement(n, bins):
    """All ways to put n[s] spikes on bins[s] bins, stretch by stretch."""
    return product(*(list(combinations(range(size), count)) for count, size in zip(n, bins)))


SMALL = [((n,), (bins,)) for bins in (1, 4, 7) for n in range(bins + 1)] + [
    ((3, 2), (5, 4)),
    ((2, 2), (4, 3)),
    ((4, 0, 3), (6, 2, 4)),
    ((1, 3), (3, 6)),
]


@pytest.mark.parametrize(("n", "bins"), SMALL)
@pytest.mark.parametrize("name", ["isi_mean", "isi_var", "cv2", "lv", "lvr", "ir"])
def test_expectations_are_the_mean_over_all_arrangements(name, n, bins):
    """Exact expectations equal the mean of the measure over every arrangement, and are NaN where the measure is."""
    with warnings.catch_warnings(action="ignore"):
        truth = np.mean([MEASURES[name](trains) for trains in every_arrangement(n, bins)])
    np.testing.assert_allclose(EXPECTED[name](np.array([n]), np.array(bins))[0], truth, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("n", range(2, 13))
def test_cv_is_the_mean_over_all_arrangements(n):
    """The sampled CV lies within 0.001 of the mean over every arrangement, also where almost all bins hold spikes."""
    truth = np.mean([MEASURES["cv"](trains) for trains in every_arrangement((n,), (12,))])
    assert abs(chance.expected_cv(np.array([[n]]), np.array([12]))[0] - truth) < 1e-3


def random_trains(n, bins, rng):
    return [np.sort(rng.choice(size, count, replace=False)) for count, size in zip(n, bins)]


@pytest.mark.parametrize(
    ("n", "bins", "tolerance"),
    [
        ((10,), (1797,), 0.004),
        ((64,), (1797,), 0.003),
        ((65,), (1797,), 0.003),
        ((1700,), (1797,), 0.001),
        ((300, 320), (1000, 1000), 0.002),
        ((4, 7, 9, 2) * 5, (16,) * 20, 0.004),
    ],
)
def test_cv_agrees_with_simulation(n, bins, tolerance):
    """The expected CV is that of simulated trains, sampled or in closed form, over one stretch or many."""
    rng = np.random.default_rng(1)
    values = [MEASURES["cv"](random_trains(n, bins, rng)) for _ in range(3000)]
    error = np.mean(values) - chance.expected_cv(np.array([n]), np.array(bins))[0]
    assert abs(error) < tolerance
    assert abs(error) < 4 * np.std(values) / np.sqrt(len(values)) + 1e-3


def test_finite_cv_is_far_below_its_limit():
    """On 1797 bins, 10 spikes give a CV near 0.86 and 90 spikes near 0.96, not sqrt(1 - p)."""
    cv = chance.expected_cv(np.array([[10], [90]]), np.array([1797]))
    np.testing.assert_allclose(cv, [0.861, 0.961], atol=0.004)


def test_expectations_tend_to_the_bernoulli_limits():
    """At many bins the expectations given n are the closed forms given p."""
    p, bins = np.array([0.01, 0.05, 0.2, 0.5, 0.9, 0.999]), 200_000
    n = (p * bins).astype(int)[:, None]
    size = np.array([bins])
    np.testing.assert_allclose(chance.expected_isi_mean(n, size), chance.bernoulli_isi_mean(p), rtol=1e-3)
    np.testing.assert_allclose(chance.expected_isi_var(n, size), chance.bernoulli_isi_var(p), rtol=2e-3)
    np.testing.assert_allclose(chance.expected_cv(n, size), chance.bernoulli_cv(p), atol=1e-3)
    np.testing.assert_allclose(chance.expected_cv2(n, size), chance.bernoulli_cv2(p), atol=1e-4)
    np.testing.assert_allclose(chance.expected_lv(n, size), chance.bernoulli_lv(p), atol=1e-4)
    np.testing.assert_allclose(chance.expected_fano(n, np.full(1000, 200)), chance.bernoulli_fano(p), atol=2e-3)


def test_bernoulli_limits_are_the_published_table():
    """Closed forms give the known values at five rates, and are continuous where a series takes over."""
    p = np.array([0.01, 0.05, 0.2, 0.5, 0.9])
    np.testing.assert_allclose(chance.bernoulli_cv(p), [0.995, 0.975, 0.894, 0.707, 0.316], atol=6e-4)
    np.testing.assert_allclose(chance.bernoulli_cv2(p), [0.990, 0.952, 0.819, 0.549, 0.127], atol=6e-4)
    np.testing.assert_allclose(chance.bernoulli_lv(p), [0.981, 0.911, 0.701, 0.386, 0.068], atol=6e-4)
    np.testing.assert_allclose(chance.bernoulli_fano(p), [0.99, 0.95, 0.80, 0.50, 0.10], atol=1e-12)
    near = np.array([0.999 - 1e-9, 0.999 + 1e-9])
    for limit in (chance.bernoulli_cv2, chance.bernoulli_lv):
        assert np.ptp(limit(near)) < 1e-8


def fano(counts):
    return np.var(counts) / np.mean(counts)


@pytest.mark.parametrize("windows", [(2, 2, 2), (1, 2, 4), (1, 6), (3, 3), (7,)])
def test_fano_is_the_mean_over_all_arrangements(windows):
    """The Fano factor expected given n is its mean over every arrangement, for equal and unequal windows."""
    bins = sum(windows)
    borders = np.cumsum((0, *windows))
    for n in range(1, bins + 1):
        truth = np.mean([fano(np.histogram(one, borders)[0]) for one in combinations(range(bins), n)])
        got = chance.expected_fano(np.array([[n]]), np.array(windows))[0]
        np.testing.assert_allclose(got, truth, rtol=1e-12, atol=1e-14)


def test_fano_over_several_passes_is_the_mean_over_passes_with_spikes():
    """A silent pass does not count, and each pass has its own windows."""
    windows, passes = np.array([2, 2, 1, 3]), np.array([0, 0, 1, 1])
    n = np.array([[2, 0], [0, 0], [2, 3]])
    first = chance.expected_fano(n[:, :1], windows[:2])
    second = chance.expected_fano(n[:, 1:], windows[2:])
    got = chance.expected_fano(n, windows, passes)
    np.testing.assert_array_equal(got, [first[0], np.nan, (first[2] + second[2]) / 2])


def test_fano_of_known_unequal_windows():
    """Ten labels of unequal size at p = 0.5 raise the expected Fano factor well above 0.45."""
    sizes = np.random.default_rng(0).multinomial(2000, np.full(10, 0.1))
    assert chance.expected_fano(np.array([[1000]]), np.full(10, 200))[0] == pytest.approx(0.45, abs=1e-3)
    assert chance.expected_fano(np.array([[1000]]), sizes)[0] > 0.5


def test_fano_over_passes_agrees_with_permuted_passes():
    """Permuting the passes of every bin on its own gives the expected Fano factor across passes."""
    rng = np.random.default_rng(2)
    hits, window, n_passes = np.array([[4, 0, 1, 2, 5, 3], [0, 0, 0, 1, 1, 0]]), np.array([1, 1, 0, 0, 0, -1]), 5
    blocks = np.arange(n_passes) < hits[..., None]
    values = []
    for _ in range(4000):
        spikes = rng.permuted(blocks, axis=-1)
        counts = np.stack([spikes[:, window == w].sum(axis=1) for w in (0, 1)])
        with np.errstate(invalid="ignore"):
            values.append(np.nanmean(counts.var(axis=-1) / counts.mean(axis=-1), axis=0))
    got = np.nanmean(chance.expected_fano_of_passes(hits, window, n_passes=n_passes)[0], axis=1)
    assert np.all(np.abs(np.mean(values, axis=0) - got) < 4 * np.std(values, axis=0) / np.sqrt(4000) + 1e-12)


def test_one_bin_windows_over_passes_have_a_known_fano_factor():
    """Where every window is one bin the expectation is 1 - h / R, the observed value itself."""
    hits = np.array([[1, 2, 3]])
    got, totals = chance.expected_fano_of_passes(hits, np.arange(3), n_passes=4)
    np.testing.assert_allclose(got, 1 - hits / 4)
    assert totals.tolist() == hits.tolist()


def test_label_share_is_the_mean_over_all_arrangements():
    """The share of variance that labels explain by chance is (W - 1) / (N - 1) at any rate, unequal labels included."""
    sizes = np.array([1, 2, 4, 0])
    label = np.repeat(np.arange(4), sizes)
    for n in range(1, 7):
        shares = []
        for one in combinations(range(7), n):
            rate = np.bincount(label[list(one)], minlength=4)[:3] / sizes[:3]
            shares.append(np.sum(sizes[:3] / 7 * (rate - n / 7) ** 2) / (n / 7 * (1 - n / 7)))
        np.testing.assert_allclose(chance.expected_label_share(np.array([n]), sizes), np.mean(shares))
    adjusted = chance.adjust_label_share(np.array([1.0, 1 / 3]), np.full(2, 1 / 3))
    np.testing.assert_allclose(adjusted, [1.0, 0.0], atol=1e-15)


@pytest.mark.parametrize("n", [(5,), (3, 8), (60, 90)])
def test_poisson_expectations_agree_with_simulation(n):
    """In continuous time the expectations are those of uniform spike times, CV2 and Lv exactly 1 at any count."""
    rng, durations = np.random.default_rng(3), np.array([10.0, 4.0])[: len(n)]
    draws = [[np.sort(rng.uniform(0, d, k)) for k, d in zip(n, durations)] for _ in range(3000)]
    count = np.array([n])
    expected = {
        "isi_mean": chance.poisson_expected_isi_mean(count, durations),
        "isi_var": chance.poisson_expected_isi_var(count, durations),
        "cv": chance.poisson_expected_cv(count, durations),
        "cv2": chance.poisson_expected_cv2(count),
        "lv": chance.poisson_expected_lv(count),
        "ir": chance.poisson_expected_ir(count),
    }
    for name, value in expected.items():
        seen = np.array([MEASURES[name](trains) for trains in draws])
        slack = 0.004 if name == "cv" else 0.0
        assert abs(seen.mean() - value[0]) < 4 * seen.std() / np.sqrt(seen.size) + slack, name


@pytest.mark.parametrize(("n", "bins"), [(3, 1797), (900, 1797), (40, 100_000)])
def test_ir_on_many_bins_agrees_with_simulation(n, bins):
    """The closed form in log factorials, where arrangements cannot be enumerated; rare spikes tend to 2 log 2."""
    rng = np.random.default_rng(6)
    seen = np.array([MEASURES["ir"]([np.sort(rng.choice(bins, n, replace=False))]) for _ in range(1500)])
    value = chance.expected_ir(np.array([[n]]), np.array([bins]))[0]
    assert abs(seen.mean() - value) < 4 * seen.std() / np.sqrt(seen.size)
    assert value < chance.poisson_expected_ir(np.array([[n]]))[0] == pytest.approx(2 * np.log(2), rel=1e-15)


def test_poisson_lvr_agrees_with_simulation():
    """LvR grows by 4 R n / T."""
    rng = np.random.default_rng(4)
    seen = [pair_mean([np.sort(rng.uniform(0, 10, 20))], lambda a, b: lvr_pair(a, b, 0.1)) for _ in range(4000)]
    value = chance.poisson_expected_lvr(np.array([[20]]), np.array([10.0]), refractoriness=0.1)[0]
    assert value == pytest.approx(1.8)
    assert abs(np.mean(seen) - value) < 4 * np.std(seen) / np.sqrt(len(seen))


def test_poisson_fano_agrees_with_multinomial_counts():
    """Unequal windows raise the Fano factor of a Poisson unit in proportion to its count."""
    rng, durations = np.random.default_rng(5), np.array([1.0, 2.0, 5.0])
    counts = rng.multinomial(40, durations / durations.sum(), size=20_000)
    seen = counts.var(axis=1) / counts.mean(axis=1)
    value = chance.expected_fano(np.array([[40], [0]]), durations, lattice=False)
    assert abs(seen.mean() - value[0]) < 4 * seen.std() / np.sqrt(seen.size)
    assert np.isnan(value[1])


PER_UNIT = [*EXPECTED.values()]


@settings(max_examples=40, deadline=None)
@given(data=st.data(), bins=arrays(np.int64, st.integers(1, 3), elements=st.integers(1, 60)))
def test_a_unit_does_not_see_its_neighbours(data, bins):
    """Any chunking and order of units gives the same bits."""
    n = data.draw(arrays(np.int64, (5, bins.size), elements=st.integers(0, int(bins.min()))))
    for function in PER_UNIT:
        whole = function(n, bins)
        parts = np.concatenate([function(n[3:], bins), function(n[:3], bins)])
        np.testing.assert_array_equal(whole, np.roll(parts, 3))


@settings(max_examples=30, deadline=None)
@given(n=arrays(np.int64, (4, 2), elements=st.integers(0, 30)), bins=st.integers(30, 90))
def test_expectations_are_defined_where_the_measures_are(n, bins):
    """Intervals need two spikes in a stretch, pairs of intervals three; all else is NaN, nothing is infinite."""
    size = np.full(2, bins)
    for name, function in EXPECTED.items():
        value = function(n, size)
        needed = 2 if name in ("isi_mean", "isi_var", "cv") else 3
        np.testing.assert_array_equal(np.isfinite(value), (n >= needed).any(axis=1))
        assert np.all(value[np.isfinite(value)] >= 0)


def test_saturated_units_have_intervals_of_one_bin():
    """A spike in every bin leaves nothing to chance."""
    n, bins = np.array([[50, 30]]), np.array([50, 30])
    assert [EXPECTED[name](n, bins)[0] for name in MEASURES] == [1.0, *[0.0] * 6]


def test_no_units_give_empty_arrays():
    """A layer without units is no error."""
    n, bins = np.zeros((0, 2), int), np.array([5, 6])
    for function in PER_UNIT:
        assert function(n, bins).shape == (0,)
    assert chance.expected_fano(n, np.array([2, 2, 3]), np.array([0, 1, 1])).shape == (0,)


def test_impossible_counts_are_refused():
    """More spikes than bins, or fewer than none, end in an error that says so."""
    with pytest.raises(AnalysisError, match="more spikes than bins: 2 too many"):
        chance.expected_isi_mean(np.array([[7]]), np.array([5]))
    with pytest.raises(AnalysisError, match="A unit has -1 spikes"):
        chance.expected_cv(np.array([[-1]]), np.array([5]))
    with pytest.raises(AnalysisError, match="passes 0 to 3"):
        chance.expected_fano(np.array([[1]]), np.array([2, 2]), np.array([0, 3]))
    with pytest.raises(AnalysisError, match="counted in 2 passes"):
        chance.expected_fano(np.array([[1, 1]]), np.array([2, 2]))
    with pytest.raises(
        AnalysisError, match=r"Use n\[:, None\] where there is one pass, or n\[None\] where there is one unit"
    ):
        chance.expected_fano(np.array([1, 1]), np.array([2, 2]))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (np.array([[3.5]]), "numbers of type float64"),
        (np.array([[3j]]), "numbers of type complex128"),
        ("three", "'three'"),
        (None, "None"),
    ],
)
def test_what_is_no_count_is_named(given, named):
    """Numbers of another kind are told by their type, anything else as it was written: a type such as '<U5' helps nobody."""
    with pytest.raises(AnalysisError) as told:
        chance.expected_cv(given, np.array([5]))
    assert str(told.value).splitlines()[0] == f"`n` must hold whole numbers, got {named}."


SPARSE = [
    ((2, 2), (100, 1000)),
    ((2, 2), (28, 28)),
    ((2, 2, 2, 2), (197,) * 4),
    ((3, 3), (10, 10)),
    ((3, 4, 2, 1, 4, 2, 0), (10, 50, 100, 90, 200, 400, 30)),
    ((20, 20, 20), (50, 100, 400)),
]


def test_few_intervals_are_those_of_all_stretches():
    """A stretch of n spikes has n - 1 intervals, an empty one none: the law is sampled up to 64 of them, not for 65."""
    n = np.array([[33, 33, 1, 0], [34, 33, 1, 0], [2, 64, 0, 0], [3, 64, 0, 0], [17, 17, 17, 17], [17, 17, 17, 18]])
    single, several = few_intervals(n)
    assert not single.any()
    assert several.tolist() == [True, False] * 3


@pytest.mark.parametrize(("n", "bins"), SPARSE)
@pytest.mark.parametrize("lattice", [True, False])
def test_cv_of_few_intervals_in_many_stretches_agrees_with_simulation(n, bins, lattice):
    """A few intervals in several stretches, on bins and in time: the error is that of simulation, not 0.16."""
    rng, draws = np.random.default_rng(2), 20_000
    parts = []
    for count, size in zip(n, bins):
        if lattice:
            keys = rng.random((draws, size))
            times = np.sort(np.argpartition(keys, count - 1, axis=1)[:, :count] if count else keys[:, :0], axis=1)
        else:
            times = np.sort(rng.random((draws, count)) * size, axis=1)
        parts.append(np.diff(times, axis=1))
    isis = np.concatenate(parts, axis=1)
    cv = isis.std(axis=1) / isis.mean(axis=1)
    if lattice:
        expected = chance.expected_cv(np.array([n]), np.array(bins))[0]
    else:
        expected = chance.poisson_expected_cv(np.array([n]), np.array(bins, float))[0]
    assert abs(cv.mean() - expected) < 4 * cv.std() / np.sqrt(draws) + 0.002


def test_a_sampled_cv_does_not_depend_on_other_units():
    """The value of a unit is its own, whatever units and chunks are beside it."""
    n = np.random.default_rng(1).binomial(12, 0.1, (30, 20))
    bins = np.full(20, 12)
    whole = chance.expected_cv(n, bins)
    np.testing.assert_array_equal(
        whole[::-1], np.concatenate([chance.expected_cv(n[::-1][i : i + 7], bins) for i in range(0, 30, 7)])
    )
