"""Gains: beta-binomial counts against SciPy, what is recovered, and how often chance is taken for a gain."""

import numpy as np
import pytest
from model_sources import recording_of
from scipy import optimize, special, stats

from ann2neo import models
from ann2neo.errors import AnalysisError


def fit(recording, *args, **options):
    return models.fit(recording, *args, progress=False, **options)


def of_windows(n_units, size, mu, rho, seed=0, passes=1):
    """Windows (inputs of ragged steps) whose probabilities have a beta law; rho 0 is one probability."""
    rng = np.random.default_rng(seed)
    a, b = (each * (1 / rho - 1) if rho else np.nan for each in (mu, 1 - mu))
    p = rng.beta(a, b, (n_units, size.size)) if rho else np.full((n_units, size.size), mu)
    p = np.tile(np.repeat(p, size, axis=1), passes)
    lengths = None if (size == 1).all() else size
    return recording_of(rng.random(p.shape) < p, np.arange(size.size) % 2, lengths, passes)


def negative(at, counts, size):
    """Log-likelihood by SciPy's beta function, without the ways to arrange spikes."""
    mu, theta = special.expit(at[0]), np.exp(at[1])
    a, b = mu / theta, (1 - mu) / theta
    return -(special.betaln(a + counts, b + size - counts) - special.betaln(a, b)).sum()


def test_scipy_finds_the_same_maximum_and_the_same_curvature():
    """Estimates and likelihood are those of a general optimiser on beta functions; standard errors those of its numerical Hessian."""
    size = np.resize([3, 8, 12], 60)
    recording = of_windows(8, size, 0.3, 0.2)
    table = fit(recording, ("gain",))
    dense = recording.layers[0].raster.dense().astype(int)
    counts = np.add.reduceat(dense, np.cumsum(size) - size, axis=1)
    for unit, own in enumerate(counts):
        best = optimize.minimize(
            negative, [-1, -1], args=(own, size), method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}
        )
        row = table.iloc[unit]
        assert row["gain_loglik"] == pytest.approx(-best.fun, abs=1e-8)
        assert row["gain_mu"] == pytest.approx(special.expit(best.x[0]), abs=1e-5)
        theta = np.exp(best.x[1])
        assert row["gain_rho"] == pytest.approx(theta / (1 + theta), abs=1e-5)
        whole = stats.betabinom.logpmf(
            own, size, special.expit(best.x[0]) / theta, special.expit(-best.x[0]) / theta
        ).sum()
        assert row["gain_loglik"] == pytest.approx(whole - np.log(special.comb(size, own)).sum(), abs=1e-8)

        def of_rho(rho, mu, own=own):
            return negative([special.logit(mu), np.log(rho / (1 - rho))], own, size)

        h, rho, mu = 1e-4, row["gain_rho"], row["gain_mu"]
        hessian = np.empty((2, 2))
        for i, di in enumerate(([h, 0], [0, h])):
            for j, dj in enumerate(([h, 0], [0, h])):
                signs = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
                hessian[i, j] = sum(
                    c * of_rho(rho + s * di[0] + t * dj[0], mu + s * di[1] + t * dj[1]) for s, t, c in signs
                ) / (4 * h * h)
        covariance = np.linalg.inv(hessian)
        np.testing.assert_allclose([row["gain_rho_se"], row["gain_mu_se"]], np.sqrt(np.diag(covariance)), rtol=2e-3)
        slope = np.array([(1 - mu) / mu, -rho / mu**2])
        assert row["gain_var"] == pytest.approx(rho * (1 - mu) / mu)
        assert row["gain_var_se"] == pytest.approx(np.sqrt(slope @ covariance @ slope), rel=2e-3)


@pytest.mark.parametrize(("kind", "passes"), [("steps", 1), ("passes", 6), ("ragged", 2)])
def test_gains_are_recovered_and_intervals_cover(kind, passes, slow):
    """With steps, passes and ragged lengths: means within four standard errors, 95 % of intervals cover, the Fano factor is that of the formula."""
    n_units, windows = 8000 if slow else 1500, 400
    size = np.resize({"steps": [10], "passes": [1], "ragged": [3, 9]}[kind], windows)
    table = fit(of_windows(n_units, size, 0.3, 0.15, passes=passes), ("gain",))
    for name, truth in (("gain_mu", 0.3), ("gain_rho", 0.15), ("gain_var", 0.15 * 0.7 / 0.3)):
        error = table[f"{name}_se"]
        assert abs(table[name].mean() - truth) < 4 * error.mean() / np.sqrt(n_units) + 0.02 * error.mean()
        assert abs((abs(table[name] - truth) < 1.96 * error).mean() - 0.95) < 0.015 + (0 if slow else 0.007)
    assert (table["gain_p"] < 0.05).mean() > 0.99
    assert (table["gain_loglik"] > table["rate_loglik"]).mean() > 0.99
    assert (table["best_bic"] == "gain").mean() > 0.95
    assert table.attrs["n_windows"] == windows


def test_the_fano_factor_of_windows_is_that_of_the_formula():
    """(1 - mu)(1 + (w - 1) rho), measured on counts."""
    recording = of_windows(2000, np.full(300, 20), 0.2, 0.1)
    table = fit(recording, ("gain",))
    counts = recording.layers[0].raster.dense().reshape(2000, 300, 20).sum(axis=2)
    measured = (counts.var(axis=1) / counts.mean(axis=1)).mean()
    formula = ((1 - table["gain_mu"]) * (1 + 19 * table["gain_rho"])).mean()
    assert measured == pytest.approx(formula, rel=0.02)
    assert formula == pytest.approx(0.8 * 2.9, rel=0.02)


@pytest.mark.parametrize(
    ("windows", "size", "mu", "passes"),
    [(300, [1], 0.3, 5), (20, [5], 0.3, 1), (500, [28], 0.005, 1), (60, [2, 30], 0.1, 1), (50, [4], 0.9, 2)],
)
def test_independent_bins_have_a_gain_at_the_nominal_level(windows, size, mu, passes, slow):
    """With passes, few windows, few spikes, ragged lengths and few gaps 5 % and 1 % are rejected; half of the estimates are 0."""
    n_units = 20_000 if slow else 5000
    table = fit(of_windows(n_units, np.resize(size, windows), mu, 0.0, passes=passes), ("gain",))
    p = table["gain_p"][table["quality"] == "good"]
    for level in (0.05, 0.01):
        assert abs((p <= level).mean() - level) < 4 * np.sqrt(level / p.size) + 0.2 * level
    assert 0.35 < (table["gain_rho"] == 0).mean() < 0.75
    zero = table[table["gain_rho"] == 0]
    np.testing.assert_allclose(zero["gain_loglik"], zero["rate_loglik"], rtol=1e-12)
    assert (table["gain_loglik"] >= table["rate_loglik"] - 1e-9).all()


def test_the_error_of_no_gain_is_that_of_its_moments():
    """At rho = 0 the spread of the unrestricted moment estimate is the standard error that is returned."""
    recording = of_windows(4000, np.full(200, 8), 0.3, 0.0)
    table = fit(recording, ("gain",))
    counts = recording.layers[0].raster.dense().reshape(4000, 200, 8).sum(axis=2)
    mu = counts.mean(axis=1) / 8
    moments = (counts.var(axis=1, ddof=1) / (8 * mu * (1 - mu)) - 1) / 7
    error = table["gain_rho_se"][table["gain_rho"] == 0].iloc[0]
    assert moments.std() == pytest.approx(error, rel=0.05)


def test_windows_of_a_number_of_bins():
    """Consecutive bins of a stretch are a window, the last ones fewer; inputs of one bin have none without them, and the table says why."""
    rng = np.random.default_rng(3)
    slow_rate = np.repeat(rng.choice([0.1, 0.6], (5, 40)), 25, axis=1)
    recording = recording_of(rng.random((5, 1000)) < slow_rate, np.arange(1000) % 3)
    without = fit(recording, ("gain",))
    assert without.filter(regex="^gain_(?!k)").isna().all(axis=None)
    assert "one bin" in without.attrs["undefined"]
    assert without["best_aic"].tolist() == ["rate"] * 5
    table = fit(recording, ("gain",), windows=25)
    assert table.attrs["n_windows"] == 40
    assert table.attrs["undefined"].startswith("best_cv: no left-out likelihood of gain ")
    assert table["best_cv"].tolist() == ["undefined"] * 5
    assert fit(recording, ("rate",)).attrs["undefined"] is None
    np.testing.assert_allclose(table["gain_bic"] - table["gain_aic"], 2 * np.log(1000) - 4)
    assert (table["gain_p"] < 1e-6).all()
    ragged = fit(recording.select(units=[0]), ("gain",), windows=30)
    assert ragged.attrs["n_windows"] == 34
    assert ragged["gain_loglik"][0] > ragged["rate_loglik"][0]


def test_units_without_a_gain_are_nan():
    """Silent and saturated units have none; one window has none; a unit whose windows are all full or all empty has the largest."""
    size = np.full(20, 5)
    dense = np.zeros((4, 100), bool)
    dense[1], dense[2, :50], dense[3, ::2] = True, True, True
    table = fit(recording_of(dense, np.arange(20) % 2, size), ("gain",))
    assert table["gain_rho"].isna().tolist() == [True, True, False, False]
    assert table["quality"].tolist() == ["silent", "saturated", "good", "good"]
    assert table["gain_rho"][2] > 0.99
    assert np.isnan(table["gain_rho_se"][2])
    assert table["gain_rho"][3] == 0
    alone = fit(recording_of(dense, [1], np.array([100])), ("gain",))
    assert alone["gain_rho"].isna().all()
    with pytest.raises(AnalysisError, match="windows=0"):
        fit(recording_of(dense, np.arange(100) % 2), ("gain",), windows=0)
