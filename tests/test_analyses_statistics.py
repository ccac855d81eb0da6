"""Estimates over settings and partial rank correlation, against statsmodels, SciPy, closed forms and slow loops, and their coverage."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from analyses.statistics import (
    area_under_curve,
    holm,
    mean_and_error,
    partial_tau,
    partial_tau_interval,
    random_effects,
    sign_flip_p,
)


@pytest.mark.parametrize("seed", range(6))
def test_random_effects_are_those_of_statsmodels(seed):
    """Mean, tau (Paule-Mandel) and the interval of Hartung and Knapp, where their factor exceeds 1."""
    from statsmodels.stats.meta_analysis import combine_effects

    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.05, 0.4, 8)
    effects = rng.normal(0.3, 0.5, 8) + errors * rng.normal(size=8)
    found = random_effects(effects, errors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = combine_effects(effects, errors**2, method_re="iterated", use_t=True)
    assert found.mean == pytest.approx(theirs.mean_effect_re, rel=1e-5)
    assert found.tau**2 == pytest.approx(theirs.tau2, rel=1e-4, abs=1e-12)
    # At Paule and Mandel's tau the factor is 1 by their equation, and theirs falls below where tau is 0.
    sd = math.sqrt(max(theirs.scale_hksj_re, 1) / theirs.weights_re.sum())
    assert found.high - found.mean == pytest.approx(stats.t.ppf(0.975, 7) * sd, rel=1e-5)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(found.mean) / sd, 7), rel=1e-4)


def test_equal_errors_give_the_plain_t_interval():
    """With the same error everywhere and more spread than that, the interval is that of the t test of the effects; the rest are closed forms."""
    effects, error = np.array([0.2, 0.9, 1.4, 0.5, 1.1]), 0.1
    found = random_effects(effects, np.full(5, error))
    low, high = stats.t.interval(0.95, 4, effects.mean(), effects.std(ddof=1) / math.sqrt(5))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p == pytest.approx(stats.ttest_1samp(effects, 0).pvalue)
    assert found.tau**2 == pytest.approx(effects.var(ddof=1) - error**2)
    assert found.i_squared == pytest.approx(1 - error**2 / effects.var(ddof=1))
    new = stats.t.ppf(0.975, 3) * math.sqrt(found.tau**2 + effects.var(ddof=1) / 5)
    assert found.new_high == pytest.approx(effects.mean() + new)


def test_settings_that_agree_too_well_do_not_narrow_the_interval():
    """Then tau is 0 and the factor 1; unknown settings are left out, and one setting has no interval."""
    found = random_effects(np.array([1.0, 1.0, 1.0, math.nan]), np.array([0.3, 0.3, 0.3, 0.1]))
    assert (found.tau, found.n) == (0, 3)
    assert found.high - 1 == pytest.approx(stats.t.ppf(0.975, 2) * 0.3 / math.sqrt(3))
    assert math.isnan(random_effects(np.array([1.0]), np.array([0.3])).high)


@pytest.mark.parametrize("tau", [0.0, 0.3])
def test_intervals_cover(tau, slow):
    """95 % for 8 settings of ten seeds each, whose errors are estimated: not less than 93 %."""
    rng, n = np.random.default_rng(1), 4000 if slow else 500
    truth = rng.normal(0.5, tau, (n, 8, 1))
    seeds = truth + rng.uniform(0.2, 0.8, (1, 8, 1)) * rng.normal(size=(n, 8, 10))
    inside = 0
    for one in seeds:
        means, errors = zip(*map(mean_and_error, one))
        found = random_effects(np.array(means), np.array(errors))
        inside += found.low <= 0.5 <= found.high
    assert inside / n > 0.93 - 2 * math.sqrt(0.05 * 0.95 / n)
    assert inside / n < 0.995


def _tau_by_pairs(x, y):
    """Tau-b by its definition."""
    pairs = [(i, j) for i in range(len(x)) for j in range(i)]
    up = sum(np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in pairs)
    return up / math.sqrt(sum(x[i] != x[j] for i, j in pairs) * sum(y[i] != y[j] for i, j in pairs))


@pytest.mark.parametrize("seed", range(4))
def test_partial_tau_is_made_of_three_taus(seed):
    """SciPy's tau-b, with and without ties, and the slow loop."""
    rng = np.random.default_rng(seed)
    x, y, z = (rng.integers(0, 12, 25).astype(float) if seed % 2 else rng.normal(size=25) for _ in range(3))
    taus = [stats.kendalltau(a, b).statistic for a, b in ((x, y), (x, z), (y, z))]
    assert taus == pytest.approx([_tau_by_pairs(a, b) for a, b in ((x, y), (x, z), (y, z))])
    expected = (taus[0] - taus[1] * taus[2]) / math.sqrt((1 - taus[1] ** 2) * (1 - taus[2] ** 2))
    assert partial_tau(x, y, z) == pytest.approx(expected)


def test_the_bootstrap_of_partial_tau_is_that_of_a_loop():
    """The same samples, each network written as often as it was drawn."""
    rng = np.random.default_rng(3)
    z = rng.normal(size=15)
    x, y = z + rng.normal(size=15), z + rng.normal(size=15)
    drawn = np.random.default_rng(7).multinomial(15, np.full(15, 1 / 15), size=40)
    values = []
    for times in drawn:
        a, b, c = (np.repeat(v, times) for v in (x, y, z))
        taus = [_tau_by_pairs(p, q) for p, q in ((a, b), (a, c), (b, c))]
        values.append((taus[0] - taus[1] * taus[2]) / math.sqrt((1 - taus[1] ** 2) * (1 - taus[2] ** 2)))
    found = partial_tau_interval(x, y, z, seed=7, n_samples=40)
    assert found == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))


def test_what_only_the_third_variable_joins_is_not_correlated(slow):
    """x and y follow z and each its own chance: partial tau is nearly 0, and its interval covers that in about 95 % of samples."""
    rng, n = np.random.default_rng(0), 400 if slow else 60
    inside = 0
    for _ in range(n):
        z = rng.normal(size=60)
        x, y = (0.3 * z + rng.normal(size=60) for _ in range(2))
        low, high = partial_tau_interval(x, y, z, n_samples=200)
        inside += low <= 0.01 <= high
    assert inside / n > 0.88


def test_nothing_is_said_of_constants():
    """NaN."""
    x = np.arange(5.0)
    assert math.isnan(partial_tau(x, np.ones(5), x[::-1].copy()))
    assert math.isnan(partial_tau(x, x**2, x))


def test_holm_is_that_of_statsmodels():
    """Also with ties and NaN."""
    from statsmodels.stats.multitest import multipletests

    p = np.array([0.001, 0.2, 0.04, 0.04, 0.9, 0.013])
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    np.testing.assert_allclose(holm(np.array([np.nan, *p]))[1:], holm(p))


def test_ten_seeds_reach_two_in_1024():
    """All differences on one side: the smallest p of a setting."""
    assert sign_flip_p(np.linspace(1, 2, 10)) == 2 / 1024


def test_areas_are_those_of_mann_whitney():
    """With ties; NaN scores are left out."""
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 9, 80).astype(float), rng.random(80) < 0.3
    u = stats.mannwhitneyu(scores[positive], scores[~positive]).statistic
    assert area_under_curve(scores, positive) == pytest.approx(u / (positive.sum() * (~positive).sum()))
    assert area_under_curve(np.append(scores, np.nan), np.append(positive, True)) == area_under_curve(scores, positive)
    assert math.isnan(area_under_curve(scores, np.ones(80, bool)))
