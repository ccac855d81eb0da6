"""Gains around labels: against a general optimiser on SciPy's laws, what is recovered on both piers, and how often chance is taken for a gain."""

import neo
import numpy as np
import pytest
import quantities as pq
from model_sources import recording_of
from scipy import optimize, special

from ann2neo import models
from ann2neo.errors import AnalysisError
from ann2neo.models.label_gain import label_gain_columns


def in_time(at, counts, size, condition):
    """Log-likelihood of gamma-Poisson counts by gamma functions; parameters are log variance and log rates."""
    v, rate = np.exp(at[0]), np.exp(at[1:])[condition]
    rising = special.gammaln(counts + 1 / v) - special.gammaln(1 / v)
    return -(rising + counts * np.log(v * rate) - (counts + 1 / v) * np.log1p(v * rate * size)).sum()


def on_bins(at, counts, size, condition):
    """Log-likelihood of beta-binomial counts by beta functions; parameters are log theta and logits."""
    theta, mu = np.exp(at[0]), special.expit(at[1:])[condition]
    a, b = mu / theta, (1 - mu) / theta
    return -(special.betaln(a + counts, b + size - counts) - special.betaln(a, b)).sum()


def drawn(lattice, strength, n_units, n_inputs, seed=0):
    """Counts of inputs of ragged size in three conditions, whose gains have this rho or variance."""
    rng, condition = np.random.default_rng(seed), np.arange(n_inputs) // 2 % 3
    shape = (n_units, n_inputs)
    if lattice:
        size, mu = np.resize([3, 9], n_inputs), np.array([0.1, 0.3, 0.6])[condition]
        p = (
            rng.beta(mu * (1 / strength - 1), (1 - mu) * (1 / strength - 1), shape)
            if strength
            else np.tile(mu, (n_units, 1))
        )
        return rng.binomial(size, p), size, condition
    size, rate = np.resize([0.3, 1.2], n_inputs), np.array([5.0, 20.0, 40.0])[condition]
    gain = rng.gamma(1 / strength, strength, shape) if strength else np.ones(shape)
    return rng.poisson(size * rate * gain), size, condition


@pytest.mark.parametrize("lattice", [False, True])
def test_a_general_optimiser_finds_the_same_maximum(lattice):
    """Estimate and likelihood of beta functions and gamma functions; the standard error is that of the numerical Hessian in all parameters."""
    counts, size, condition = drawn(lattice, 0.2, 3, 90)
    found = label_gain_columns(counts, size, condition, lattice=lattice)
    law, name = (on_bins, "rho") if lattice else (in_time, "var")
    for unit, own in enumerate(counts):
        start = [-1.0, -2.0, -1.0, 0.5] if lattice else [-1.0, 2.0, 3.0, 3.5]
        options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 8000, "maxfev": 8000}
        best = optimize.minimize(law, start, args=(own, size, condition), method="Nelder-Mead", options=options)
        theta, h = np.exp(best.x[0]), 1e-3
        estimate = theta / (1 + theta) if lattice else theta
        assert found["label_gain_loglik"][unit] == pytest.approx(-best.fun, abs=1e-7)
        assert found[f"label_gain_{name}"][unit] == pytest.approx(estimate, abs=1e-5)
        steps = h * np.eye(4)
        hessian = [
            [
                sum(s * t * law(best.x + s * a + t * b, own, size, condition) for s in (1, -1) for t in (1, -1))
                / (4 * h * h)
                for a in steps
            ]
            for b in steps
        ]
        error = np.sqrt(np.linalg.inv(hessian)[0, 0]) * (estimate * (1 - estimate) if lattice else estimate)
        assert found[f"label_gain_{name}_se"][unit] == pytest.approx(error, rel=2e-3)


@pytest.mark.parametrize("lattice", [False, True])
def test_gains_are_recovered_and_intervals_cover(lattice, slow):
    """Ragged steps and trials of unequal duration: 600 inputs, estimates within a tenth of a standard error, 95 % of intervals cover."""
    n_units = 4000 if slow else 400
    found = label_gain_columns(*drawn(lattice, 0.15, n_units, 600), lattice=lattice)
    name = "rho" if lattice else "var"
    estimate, error = found[f"label_gain_{name}"], found[f"label_gain_{name}_se"]
    assert abs(estimate.mean() - 0.15) < 0.1 * error.mean() + 4 * error.mean() / np.sqrt(n_units)
    assert error.mean() == pytest.approx(estimate.std(), rel=0.03 + 2.5 / np.sqrt(2 * n_units))
    assert abs(np.mean(np.abs(estimate - 0.15) < 1.96 * error) - 0.95) < 0.015 + 3 * np.sqrt(0.05 / n_units)


@pytest.mark.parametrize("lattice", [False, True])
def test_no_gain_is_found_at_the_level(lattice, slow):
    """Tuned units without a gain: no level is exceeded, estimates are 0 in about half, and the likelihood is that of labels there."""
    n_units = 8000 if slow else 600
    found = label_gain_columns(*drawn(lattice, 0.0, n_units, 240), lattice=lattice)
    for level in (0.05, 0.01):
        assert 0.2 * level < np.mean(found["label_gain_lr_p"] <= level) < level + 4 * np.sqrt(level / n_units)
    zero = found[f"label_gain_{'rho' if lattice else 'var'}"] == 0
    assert 0.45 < zero.mean() < 0.7
    assert (found["label_gain_lr_p"][zero] == 0.5).all()


def test_tuning_is_no_gain():
    """Inputs of six steps, tuned to labels and without a gain: `gain` finds one, `label_gain` none; it nests both `label` and `rate`."""
    rng, condition = np.random.default_rng(1), np.arange(120) % 4
    p = np.repeat(np.array([0.1, 0.2, 0.4, 0.7])[condition], 6)
    recording = recording_of(rng.random((200, p.size)) < p, condition, np.full(120, 6), 1)
    table = models.fit(recording, ("label", "gain", "label_gain"), progress=False)
    assert (table["gain_p"] < 1e-3).mean() > 0.99
    assert (table["label_gain_lr_p"] < 0.05).mean() < 0.1
    assert (table["label_gain_loglik"] >= table["label_loglik"] - 1e-9).all()
    assert (table["label_gain_k"] == 5).all()
    zero = table[table["label_gain_rho"] == 0]
    np.testing.assert_allclose(zero["label_gain_loglik"], zero["label_loglik"], rtol=1e-10)
    assert (table["best_bic"] == "label").mean() > 0.95
    assert table["label_gain_bic"].tolist() == pytest.approx(
        (5 * np.log(720) - 2 * table["label_gain_loglik"]).tolist()
    )


def test_cells_of_a_block_have_the_gain_of_their_trials():
    """Trials of unequal duration with gaps between them, one label unknown: the table is that of the counts of known trials."""
    rng, labels = np.random.default_rng(2), np.array(["a", "b", "c"])[np.arange(60) % 3]
    labels[7] = ""
    durations, starts = rng.uniform(0.3, 1.0, 60), np.arange(60) * 1.2
    segment, counts = neo.Segment(), []
    for _ in range(5):
        n = rng.poisson(durations * np.array([10, 20, 40])[np.arange(60) % 3] * rng.gamma(4, 0.25, 60))
        times = np.sort(np.repeat(starts, n) + rng.random(n.sum()) * np.repeat(durations, n))
        segment.spiketrains.append(neo.SpikeTrain(times * pq.s, t_stop=72 * pq.s))
        counts.append(n)
    segment.epochs.append(neo.Epoch(starts * pq.s, durations * pq.s, labels=labels, name="label"))
    table = models.fit(segment, ("label", "label_gain"), progress=False)
    known = labels != ""
    expected = label_gain_columns(
        np.array(counts)[:, known], durations[known], np.unique(labels[known], return_inverse=True)[1], lattice=False
    )
    for name in ("label_gain_var", "label_gain_var_se", "label_gain_loglik", "label_gain_lr_p"):
        np.testing.assert_allclose(table[name], expected[name], rtol=1e-6)
    assert (table["label_gain_var"] > 0.05).all()
    assert table["best_aic"].tolist() == ["label_gain"] * 5
    assert "label_gain_var_mean" in __import__("ann2neo").summarize(table)


def test_what_has_no_gain_is_undefined():
    """Silent and saturated units, inputs of one bin, one input per label; without labels the model is refused."""
    size, condition = np.full(6, 4), np.arange(6) % 2
    counts = np.array([[0] * 6, [4] * 6, [0, 4, 0, 4, 0, 4], [1, 2, 3, 0, 2, 4]])
    found = label_gain_columns(counts, size, condition, lattice=True)
    assert np.isnan(found["label_gain_loglik"][:2]).all()
    assert np.isfinite(found["label_gain_loglik"][2:]).all()
    assert found["label_gain_loglik"][2] == pytest.approx(0.0)
    assert np.isnan(label_gain_columns(counts, size, np.arange(6), lattice=True)["label_gain_rho"]).all()
    recording = recording_of(np.random.default_rng(0).random((3, 40)) < 0.4, np.arange(40) % 2, None, 1)
    table = models.fit(recording, ("label", "label_gain"), progress=False)
    assert table["label_gain_rho"].isna().all()
    assert "label_gain: every input is one bin" in table.attrs["undefined"]
    with pytest.raises(AnalysisError, match="by=None was given together with the model 'label_gain'"):
        models.fit(recording, ("label_gain",), by=None, progress=False)


def test_inputs_with_all_spikes_or_none_are_one_draw_each():
    """Rho is 1 with the likelihood of one coin per input and condition; such a table is drawn from; one bin less, and rho is below 1."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    whole = rng.random(60) < np.where(labels, 0.7, 0.2)
    dense = np.repeat(whole, 7)[None].repeat(2, axis=0)
    dense[1, 0] ^= True
    recording = recording_of(dense, labels, np.full(60, 7))
    table = models.fit(recording, ("label", "label_gain"), progress=False)
    assert table["label_gain_rho"][0] == 1
    assert 0.9 < table["label_gain_rho"][1] < 1
    assert table["label_gain_rho_se"].isna().tolist() == [True, False]
    hits = np.array([whole[labels == c].sum() for c in (0, 1)])
    expected = (special.xlogy(hits, hits / 30) + special.xlogy(30 - hits, 1 - hits / 30)).sum()
    assert table["label_gain_loglik"][0] == pytest.approx(expected, abs=1e-9)
    drawn = models.simulate(table, like=recording, model="label_gain", seed=0).layers[0].raster.dense()[0]
    assert np.isin(drawn.reshape(60, 7).sum(axis=1), [0, 7]).all()
    assert abs(drawn.reshape(60, 7)[labels == 1, 0].mean() - hits[1] / 30) < 0.3


def test_a_small_correlation_counts_in_long_inputs():
    """Rho of 1e-4 doubles the variance of 10,000 bins: it is found, as by a general optimiser, and not taken for 0."""
    rng = np.random.default_rng(1)
    size, condition = np.full(60, 10_000), np.arange(60) % 2
    inputs = rng.binomial(size, rng.beta(3e3, 7e3, (1, 60)))
    found = label_gain_columns(inputs, size, condition, lattice=True)
    best = optimize.minimize(
        on_bins,
        [-9, -0.8, -0.8],
        (inputs[0], size, condition),
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-8},
    )
    assert found["label_gain_rho"][0] == pytest.approx(np.exp(best.x[0]), rel=0.01)
    assert found["label_gain_rho"][0] < 1.2e-4
