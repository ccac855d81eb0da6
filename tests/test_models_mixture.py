"""Populations: the mixture against a general optimiser, what is recovered, and what cannot be told."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

import ann2neo
from ann2neo import models
from ann2neo.errors import AnalysisError


def table_of(n, total, layers=None):
    """Units with these numbers of spikes in so many bins."""
    layers = ["hidden"] * len(n) if layers is None else layers
    return pd.DataFrame({"layer": layers, "unit": np.arange(len(n)), "n_spikes": n, "rate_p": np.asarray(n) / total})


def drawn(rng, n_units, total, silent, saturated, a, b):
    kind = rng.choice(3, n_units, p=[silent, saturated, 1 - silent - saturated])
    n = rng.binomial(total, rng.beta(a, b, n_units))
    return np.where(kind == 0, 0, np.where(kind == 1, total, n))


def negative(at, n, total):
    """Log-likelihood of four free parameters, by SciPy's beta-binomial law."""
    shares = np.exp([at[0], at[1], 0])
    silent, saturated, rest = shares / shares.sum()
    a, b = np.exp(at[2:])
    logs = stats.betabinom.logpmf(n, total, a, b)
    return -np.log(silent * (n == 0) + saturated * (n == total) + rest * np.exp(logs)).sum()


@pytest.mark.parametrize(
    ("silent", "saturated", "a", "b"),
    [(0.2, 0.1, 2, 5), (0.3, 0.0, 0.4, 1.5), (0.0, 0.2, 5, 0.7), (0.0, 0.0, 0.5, 0.5)],
)
def test_a_general_optimiser_finds_no_better(silent, saturated, a, b):
    """All four parameters at once, from several starts, end at the same likelihood and the same parameters."""
    rng = np.random.default_rng(1)
    n = drawn(rng, 400, 60, silent, saturated, a, b)
    row = models.fit_population(table_of(n, 60)).iloc[0]
    found = []
    # The likelihood has several hills, one of them without saturated units.
    for start in ([-1, -1, 0, 0], [-1, -5, 0.5, 1], [-5, -1.5, 1.5, 0]):
        options = {"xatol": 1e-7, "fatol": 1e-10, "maxiter": 8000, "maxfev": 8000}
        found.append(optimize.minimize(negative, start, args=(n, 60), method="Nelder-Mead", options=options))
    best = min(found, key=lambda each: each.fun)
    ways = np.log(special.comb(60, n)).sum()
    assert row["loglik"] + ways >= -best.fun - 1e-6
    shares = np.exp([*best.x[:2], 0])
    np.testing.assert_allclose([row["silent_share"], row["saturated_share"]], shares[:2] / shares.sum(), atol=2e-3)
    np.testing.assert_allclose([row["p_a"], row["p_b"]], np.exp(best.x[2:]), rtol=1e-2)


@pytest.mark.parametrize(
    ("silent", "saturated", "a", "b", "total"), [(0.2, 0.1, 2, 5, 100), (0.25, 0.05, 0.8, 2.5, 200)]
)
def test_parameters_are_recovered_and_intervals_cover(silent, saturated, a, b, total, slow):
    """Of layers that are drawn again and again, means are within four standard errors and 95 % of intervals cover."""
    rng = np.random.default_rng(2)
    n_layers = 800 if slow else 50
    layers = np.repeat([f"layer {k}" for k in range(n_layers)], 600)
    n = np.concatenate([drawn(rng, 600, total, silent, saturated, a, b) for _ in range(n_layers)])
    found = models.fit_population(table_of(n, total, layers)).iloc[:-1]
    assert len(found) == n_layers
    truth = {"silent_share": silent, "saturated_share": saturated, "p_mean": a / (a + b), "p_rho": 1 / (a + b + 1)}
    for name, value in truth.items():
        error = found[f"{name}_se"]
        assert abs(found[name].mean() - value) < 4 * found[name].std() / np.sqrt(n_layers) + 0.05 * error.mean(), name
        assert abs((abs(found[name] - value) < 1.96 * error).mean() - 0.95) < 4 * np.sqrt(0.0475 / n_layers) + 0.01, (
            name
        )


def test_silence_by_chance_is_no_silent_unit():
    """Where the beta law accounts for all silent units, the share is 0 and has no standard error."""
    rng = np.random.default_rng(3)
    n = rng.binomial(20, rng.beta(0.7, 6, 3000))
    row = models.fit_population(table_of(n, 20)).iloc[0]
    assert row["n_silent"] > 800
    assert row["silent_share"] < 0.08
    assert row["saturated_share"] == 0
    assert np.isnan(row["saturated_share_se"])


def test_layers_and_the_network_have_rows_and_files_lose_nothing(tmp_path):
    """Each layer by itself, all units together last; a table of `analyze`, or one that went through a file, gives the same."""
    rng = np.random.default_rng(4)
    recording = ann2neo.from_array(rng.random((300, 80)) < np.where(np.arange(80) < 20, 0, rng.beta(2, 4, 80)))
    fitted = models.fit(recording, by=None, progress=False)
    found = models.fit_population(fitted)
    assert found["layer"].tolist() == ["array", "network"]
    assert found["n_silent"].tolist() == [20, 20]
    fitted.to_csv(tmp_path / "fitted.csv", index=False)
    pd.testing.assert_frame_equal(models.fit_population(pd.read_csv(tmp_path / "fitted.csv")), found)
    pd.testing.assert_frame_equal(models.fit_population(ann2neo.analyze(recording, progress=False)), found)


def test_too_few_units_have_no_distribution():
    """Layers of silent units, of few, and of units that are all alike are NaN with their quality; other tables are refused."""
    layers = ["silent"] * 30 + ["few"] * 9 + ["alike"] * 20
    n = [0] * 30 + list(range(1, 10)) + [7] * 20
    found = models.fit_population(table_of(n, 40, layers)).set_index("layer")
    assert found["quality"].tolist() == ["too_few"] * 3 + ["good"]
    assert found.loc[["silent", "few", "alike"], ["silent_share", "p_mean", "loglik"]].isna().all(axis=None)
    assert found.loc["silent", "n_silent"] == 30
    with pytest.raises(AnalysisError, match="spikes in bins"):
        models.fit_population(pd.DataFrame({"layer": ["a"]}))
    with pytest.raises(AnalysisError, match="same number of bins"):
        models.fit_population(table_of([3, 4], 10).assign(rate_p=[0.3, 0.5]))


def test_units_without_a_number_of_spikes_are_refused():
    """NaN is not a small number."""
    table = table_of(np.arange(1, 30), 40).astype({"n_spikes": float})
    table.loc[3, "n_spikes"] = np.nan
    with pytest.raises(AnalysisError, match="1 of 29 units have no number of spikes"):
        models.fit_population(table)


def test_counts_that_vary_no_more_than_binomial_ones_have_no_spread():
    """The limit of one probability, in closed form: beside silent units, by a truncated binomial law."""
    rng = np.random.default_rng(0)
    n = 500 + rng.integers(-2, 3, 200)
    alone = models.fit_population(table_of(n, 1000)).iloc[0]
    p = n.sum() / 200_000
    assert (alone["p_rho"], alone["p_sd"], alone["p_a"]) == (0, 0, np.inf)
    assert alone["p_mean"] == pytest.approx(p, abs=1e-8)
    assert alone["p_mean_se"] == pytest.approx(np.sqrt(p * (1 - p) / 200_000), rel=1e-3)
    assert alone["loglik"] == pytest.approx(stats.binom.logpmf(n, 1000, p).sum() - np.log(special.comb(1000, n)).sum())
    assert np.isnan(alone["p_rho_se"])
    few = np.concatenate([np.zeros(40, int), np.repeat([1, 2, 3], [30, 40, 5])])
    mixed = models.fit_population(table_of(few, 50)).iloc[0]

    def negative(at):
        share, q = special.expit(at)
        law = (1 - share) * stats.binom.pmf(few, 50, q) + share * (few == 0)
        return -np.log(law / special.comb(50, few)).sum()

    best = optimize.minimize(negative, [0.0, -3.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})
    assert mixed["p_rho"] == 0
    assert mixed["silent_share"] == pytest.approx(special.expit(best.x[0]), abs=1e-5)
    assert mixed["loglik"] == pytest.approx(-best.fun, abs=1e-6)
