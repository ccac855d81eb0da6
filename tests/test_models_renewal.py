"""Renewal on bins: likelihoods against sums over arrangements, what is recovered, and nesting."""

from itertools import product

import numpy as np
import pytest
from model_sources import recording_of
from scipy import optimize, stats

from ann2neo import models
from ann2neo.models import renewal


def fit(recording, *args, **options):
    return models.fit(recording, *args, progress=False, **options)


def chances(r, m, longest):
    """Chance of an interval of 0, 1, ... bins, by SciPy's negative binomial law."""
    return np.concatenate([[0.0], stats.nbinom.pmf(np.arange(longest), r, r / (r + m - 1))])


def chance_of(spikes, r, m, longest=4000):
    """Chance of a stretch of bins, from the definition of a process that is seen from any moment on."""
    law = chances(r, m, longest)
    at_least = law[::-1].cumsum()[::-1]
    places = np.flatnonzero(spikes) + 1
    if not places.size:
        return at_least[len(spikes) + 1 :].sum() / m
    found = at_least[places[0]] / m * at_least[len(spikes) - places[-1] + 1]
    return found * np.prod(law[np.diff(places)])


def likelihood(rows, stretch, r, m):
    gaps = renewal.gaps_of(np.asarray(rows, bool), stretch)
    n = len(rows)
    return renewal.log_likelihood_of_renewal(gaps, np.arange(n), np.full(n, float(r)), np.full(n, float(m)))


@pytest.mark.parametrize(("r", "m"), [(0.4, 3.0), (1.0, 4.0), (5.0, 2.5), (30.0, 8.0)])
def test_the_likelihood_is_that_of_the_definition_and_sums_to_one(r, m):
    """Of all arrangements of a stretch of 7 bins, each has the chance of the definition, and all together have the chance 1."""
    rows = np.array(list(product([0, 1], repeat=7)), bool)
    found = likelihood(rows, np.zeros(7, np.int64), r, m)
    np.testing.assert_allclose(np.exp(found), [chance_of(row, r, m) for row in rows], rtol=1e-8)
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-9)


def test_one_rate_is_a_renewal_process_whatever_the_borders():
    """With r = 1 the likelihood is n ln p + (L - n) ln(1 - p), over stretches, holes and stretches without a spike."""
    rng = np.random.default_rng(0)
    rows = rng.random((20, 60)) < 0.2
    stretch = np.repeat([0, 1, -1, 2, 3], [10, 3, 7, 30, 10])
    n, total = rows[:, stretch >= 0].sum(axis=1), 53
    expected = n * np.log(0.2) + (total - n) * np.log(0.8)
    np.testing.assert_allclose(likelihood(rows, stretch, 1.0, 5.0), expected, rtol=1e-9)


def drawn(rng, n_units, r, m, lengths):
    """Stretches that begin at any moment of a renewal process: each from the middle of its own long one."""
    dense = np.zeros((n_units, sum(lengths)), bool)
    for unit in range(n_units):
        for first, length in zip(np.cumsum(lengths) - lengths, lengths):
            skip = int(rng.integers(40 * m, 60 * m))
            times = np.cumsum(1 + rng.negative_binomial(r, r / (r + m - 1), int((skip + length) / m * 4) + 60)) - skip
            dense[unit, first + times[(times >= 0) & (times < length)]] = True
    return dense


@pytest.mark.parametrize(("r", "m", "lengths"), [(3.0, 4.0, (1500,)), (0.5, 5.0, (1500,)), (2.0, 4.0, (30, 60) * 20)])
def test_parameters_are_recovered_and_intervals_cover(r, m, lengths, slow):
    """Of one stretch and of ragged steps, regular and bursting: means within four standard errors, 95 % of intervals cover."""
    n_units = 2000 if slow else 250
    lengths = np.array(lengths)
    dense = drawn(np.random.default_rng(1), n_units, r, m, lengths)
    steps = lengths if lengths.size > 1 else None
    labels = np.arange(lengths.size if steps is not None else 1500) % 2
    table = fit(recording_of(dense, labels, steps), ("renewal",), by=None)
    for name, truth in (("renewal_r", r), ("renewal_mean", m)):
        error = table[f"{name}_se"]
        assert abs(table[name].mean() - truth) < 4 * table[name].std() / np.sqrt(n_units) + 0.2 * error.mean(), name
        assert abs((abs(table[name] - truth) < 1.96 * error).mean() - 0.95) < 4 * np.sqrt(0.0475 / n_units) + 0.01, name
    cv = np.sqrt((m - 1) + (m - 1) ** 2 / r) / m
    assert table["renewal_cv"].mean() == pytest.approx(cv, rel=0.03)
    assert (table["best_bic"] == "renewal").mean() > 0.95
    assert (table["renewal_lr_p"] < 0.01).mean() > 0.95


@pytest.mark.parametrize("lengths", [None, (8, 20)])
def test_one_rate_is_called_regular_or_bursting_at_the_nominal_level(lengths, slow):
    """Independent bins, in one stretch and in short ragged ones: 5 % are rejected, and the likelihood never is below that of the rate."""
    n_units = 5000 if slow else 800
    steps = None if lengths is None else np.resize(lengths, 60)
    n_bins = 800 if steps is None else int(steps.sum())
    rng = np.random.default_rng(2)
    labels = np.arange(60 if steps is not None else n_bins) % 2
    table = fit(recording_of(rng.random((n_units, n_bins)) < 0.2, labels, steps), ("renewal",), by=None)
    assert (table["renewal_loglik"] >= table["rate_loglik"] - 1e-6).all()
    assert abs((table["renewal_lr_p"] <= 0.05).mean() - 0.05) < 4 * np.sqrt(0.0475 / n_units) + 0.005


def test_scipy_finds_the_same_maximum():
    """A general optimiser on the definition ends at the same parameters, with passes, unknown labels and steps."""
    rng = np.random.default_rng(3)
    lengths = np.resize([9, 14], 12)
    dense = drawn(rng, 3, 2.0, 3.0, np.tile(lengths, 2))
    labels = np.arange(12) % 3 - 1
    table = fit(recording_of(dense, labels, lengths, 2), ("renewal",))
    first = np.concatenate([[0], np.cumsum(np.tile(lengths, 2))])
    known = np.flatnonzero(np.tile(labels >= 0, 2))
    for unit, row in enumerate(dense):

        def negative(at, row=row):
            r, m = np.exp(at[0]), 1 + np.exp(at[1])
            return -sum(np.log(chance_of(row[first[k] : first[k + 1]], r, m, 600)) for k in known)

        best = optimize.minimize(negative, [0.0, 0.5], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
        assert table["renewal_loglik"][unit] == pytest.approx(-best.fun, abs=1e-5)
        assert table["renewal_r"][unit] == pytest.approx(np.exp(best.x[0]), rel=1e-3)
        assert table["renewal_mean"][unit] == pytest.approx(1 + np.exp(best.x[1]), rel=1e-3)


def test_units_without_intervals_are_nan_and_clocks_are_regular():
    """Silent, saturated and rare units have no shape; intervals that are all alike have an infinite one, without an error."""
    dense = np.zeros((4, 200), bool)
    dense[1], dense[2, [3, 90]], dense[3, ::8] = True, True, True
    table = fit(recording_of(dense, np.arange(200) % 2), ("renewal",))
    assert table["renewal_r"].isna().tolist() == [True, True, True, False]
    assert table["renewal_r"][3] == np.inf
    assert np.isnan(table["renewal_r_se"][3])
    assert table["renewal_mean"][3] == pytest.approx(8, abs=0.2)
    assert table["best_bic"][3] == "renewal"
    law, m = stats.poisson(table["renewal_mean"][3] - 1), table["renewal_mean"][3]
    assert table["renewal_loglik"][3] == pytest.approx(24 * law.logpmf(7) - np.log(m) + law.logsf(6), abs=1e-9)
    assert table["renewal_mean_se"][3] > 0


def test_stretches_that_are_full_or_empty_are_one_draw_each():
    """Shape 0 with the likelihood of a coin, in closed form; what is drawn is full or empty; one bin less, and the shape is above 0."""
    dense = np.repeat((np.arange(60) % 3 == 0), 7)[None].repeat(2, axis=0)
    dense[1, 0] = False
    recording = recording_of(dense, np.arange(60) % 2, np.full(60, 7))
    table = fit(recording, ("renewal", "gain"), by=None)
    assert table["renewal_r"][0] == 0
    assert 0 < table["renewal_r"][1] < 0.01
    assert table["renewal_mean"][0] == pytest.approx(3, rel=1e-6)
    assert table["renewal_mean_se"][0] == pytest.approx(3 * np.sqrt(2 / 3 / 20), rel=1e-3)
    assert table["renewal_loglik"][0] == pytest.approx(20 * np.log(1 / 3) + 40 * np.log(2 / 3), abs=1e-8)
    assert table["gain_rho"][0] == pytest.approx(1, abs=1e-9)
    for model in ("renewal", "gain"):
        drawn = models.simulate(table, like=recording, model=model, seed=0).layers[0].raster.dense()[0].reshape(60, 7)
        assert np.isin(drawn.sum(axis=1), [0, 7]).all()
        assert 10 < drawn[:, 0].sum() < 32
    assert models.rescaled(recording, table, model="renewal", progress=False)["ks_p"].between(0, 1).all()


@pytest.mark.parametrize(("r", "m"), [(1e-6, 1.001), (0.02, 3.0), (4.0, 6.0), (900.0, 6.0), (np.inf, 6.0)])
def test_no_tail_is_too_small(r, m):
    """Long after the last spike, where probabilities are below the smallest number: SciPy's logarithms."""
    row = np.zeros(2400, bool)
    row[[3, 4, 400, 410]] = True
    law = stats.poisson(m - 1) if np.isinf(r) else stats.nbinom(r, r / (r + m - 1))
    # Of the tail after x bins only the logarithm of its first part is a number; the rest is its multiple.
    x = 2400 - 411
    ratio = [(m - 1) / y if np.isinf(r) else (r + y - 1) / y * (m - 1) / (r + m - 1) for y in range(x + 1, x + 40_000)]
    tail = law.logpmf(x) + np.log1p(np.cumprod(ratio).sum())
    first = np.log(law.sf(2)) - np.log(m)
    expected = first + law.logpmf([0, 395, 9]).sum() + tail
    found = likelihood(row[None], np.zeros(2400, np.int64), r, m)[0]
    assert np.isfinite(expected)
    assert found == pytest.approx(expected, rel=1e-8)


def test_a_long_burst_with_one_pause_has_a_shape_below_one_thousandth():
    """No lower limit holds the shape back: a general optimiser on SciPy's law finds the same."""
    dense = np.ones((1, 20_000), bool)
    dense[0, 7000:7100] = False
    found = fit(recording_of(dense, np.arange(20_000) % 2), ("renewal",), by=None).iloc[0]

    def negative(at):
        law = stats.nbinom(np.exp(at[0]), 1 / (1 + np.exp(at[1] - at[0])))
        return -(19_898 * law.logpmf(0) + law.logpmf(100) - np.log1p(np.exp(at[1])))

    best = optimize.minimize(negative, [-8, -5], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10})
    assert found["renewal_r"] == pytest.approx(np.exp(best.x[0]), rel=1e-3)
    assert found["renewal_r"] < 1e-4
    assert found["renewal_loglik"] == pytest.approx(-best.fun, abs=1e-6)


@pytest.mark.parametrize(("p01", "p11"), [(0.1, 0.5), (0.4, 0.1)])
def test_a_chain_has_the_variability_of_its_memory(p01, p11):
    """A chain is a renewal process: of fitted p and memory m, CV^2 = (1 - p)(1 + m) / (1 - m), and the Fano factor of w bins is that of the sum of m^k."""
    import ann2neo

    rng, w = np.random.default_rng(0), 20
    dense = np.empty((300, 6000), bool)
    dense[:, 0] = rng.random(300) < p01 / (1 - p11 + p01)
    for t in range(1, 6000):
        dense[:, t] = rng.random(300) < np.where(dense[:, t - 1], p11, p01)
    recording = ann2neo.from_array(dense.T)
    fitted = models.fit(recording, ("markov",), by=None, progress=False)
    measured = ann2neo.analyze(recording, windows=w, progress=False)
    p, m = fitted["rate_p"], fitted["markov_memory"]
    limit = (1 - p) * (1 + m) / (1 - m)
    of_windows = (1 - p) * ((1 + m) / (1 - m) - 2 * m * (1 - m**w) / (w * (1 - m) ** 2))
    assert (measured["cv"] ** 2).mean() == pytest.approx(limit.mean(), rel=0.01)
    # ddof 0 over 300 windows.
    assert measured["fano"].mean() == pytest.approx(of_windows.mean() * (1 - 1 / 300), rel=0.02)
    assert of_windows.mean() != pytest.approx(limit.mean(), rel=0.03)
    truth = p01 / (1 - p11 + p01)
    assert p.mean() == pytest.approx(truth, rel=0.01)
