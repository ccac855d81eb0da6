"""Rescaled intervals are uniform where the model holds, whatever the data, and tell where it does not."""

import numpy as np
import pandas as pd
import pytest
from model_sources import recording_of
from scipy import special, stats

import ann2neo
from ann2neo import models
from ann2neo.analysis.goodness import unit_keys
from ann2neo.errors import AnalysisError
from ann2neo.models import hazard
from ann2neo.models.processes import process_of


def rescaled(recording, model, fitted=None, **options):
    fitted = models.fit(recording, progress=False) if fitted is None else fitted
    return models.rescaled(recording, fitted, model=model, progress=False, **options)


def simulated(model, n_units, seed=0, rate=0.3):
    """Ragged steps, two passes, some labels unknown, units of different parameters that follow a model exactly."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 12, 60)
    labels = np.arange(60) % 4 - 1
    n_bins = 2 * lengths.sum()
    like = recording_of(rng.random((n_units, n_bins)) < 0.5, labels, lengths, 2)
    p = rng.beta(rate * 6, (1 - rate) * 6, (n_units, 6)).clip(1e-3, 1 - 1e-3)
    table = pd.DataFrame({"layer": "hidden", "unit": np.arange(n_units), "rate_p": p[:, 0]})
    table = table.assign(**{f"label_p[{c}]": p[:, 1 + c] for c in range(3)}, markov_p01=p[:, 4], markov_p11=p[:, 5])
    if model == "markov":  # its first bins have the rate of all bins, which of a chain is this
        table["rate_p"] = p[:, 4] / (1 + p[:, 4] - p[:, 5])
    rho = rng.uniform(0.02, 0.4, n_units)
    table = table.assign(gain_mu=p[:, 0], gain_rho=rho, label_gain_rho=rho)
    table = table.assign(renewal_r=rng.choice([0.5, 3, np.inf], n_units), renewal_mean=1 / p[:, 0])
    table.attrs["gain_windows"] = "inputs"
    return models.simulate(table, like=like, model=model, seed=seed)


@pytest.mark.parametrize("model", ["rate", "label", "markov"])
@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_a_model_that_holds_is_rejected_at_the_nominal_level(model, rate, slow):
    """With parameters estimated from the same spikes, over ragged steps, passes and unknown labels, 5 % are rejected; with few spikes fewer, never more."""
    n_units = 2000 if slow else 300
    table = rescaled(simulated(model, n_units, rate=rate), model, n_draws=59)
    p = table["ks_p"].dropna()
    assert p.size > n_units / 2
    for level in (0.05, 0.5):
        lowest = level / 3 if rate < 0.1 else level
        deviation = 4 * np.sqrt(level * (1 - level) / p.size)
        assert lowest - deviation < (p <= level).mean() < level + deviation


@pytest.mark.parametrize("model", ["gain", "label_gain", "renewal"])
@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_a_process_that_holds_is_rejected_at_the_nominal_level(model, rate, slow):
    """The same where the past decides: drawn from beta laws and intervals, not bin by bin."""
    n_units, n_draws = (2000, 59) if slow else (60, 19)
    recording = simulated(model, n_units, rate=rate)
    fitted = models.fit(recording, ("label", model) if model == "label_gain" else (model,), progress=False)
    table = rescaled(recording, model, fitted, n_draws=n_draws)
    p = table["ks_p"].dropna()
    assert p.size > n_units / 4
    # Distances are smaller where the parameters come from the same spikes; with known ones the bound is 1.36.
    assert rate < 0.1 or (table["ks_bound"] * np.sqrt(table["n_intervals"])).median() < 1.25
    for level in (0.05, 0.5):
        lowest = level / 3 if rate < 0.1 else level / 1.5
        deviation = 4 * np.sqrt(level * (1 - level) / p.size)
        assert lowest - deviation < (p <= level).mean() < level + deviation


@pytest.mark.parametrize("model", ["gain", "label_gain", "renewal"])
def test_probabilities_given_the_past_multiply_to_the_likelihood(model):
    """Over ragged inputs in two passes: SciPy's beta-binomial law of counts, and the likelihood of intervals that `fit` reports."""
    recording = simulated(model, 6, seed=3)
    by = None if model == "renewal" else "label"
    fitted = models.fit(
        recording, ("label", model) if by and model == "label_gain" else (model,), by=by, progress=False
    )
    law = process_of(fitted, recording, model, by, fitted)
    inputs = recording.trials["stimulus_id"].repeat(recording.trials["stop_bin"] - recording.trials["start_bin"])
    for unit, spikes in enumerate(recording.layers[0].raster.dense()):
        row, p = fitted.iloc[unit], hazard.predict(law, law.parameters[unit], spikes)
        ours = np.log(np.where(spikes, p, 1 - p))
        if model == "renewal":
            assert ours.sum() == pytest.approx(row["renewal_loglik"], rel=1e-9)
            continue
        rho = row[f"{model}_rho"]
        for one in range(60):
            own, label = (inputs == one).to_numpy(), one % 4 - 1
            k, n = int(spikes[own].sum()), int(own.sum())
            if label < 0:
                theirs = stats.bernoulli(row["rate_p"]).logpmf(spikes[own]).sum()
            else:
                mu = row["gain_mu"] if model == "gain" else row[f"label_p[{label}]"]
                each = (
                    stats.binom(n, mu)
                    if rho == 0 or mu in (0, 1)
                    else stats.betabinom(n, mu * (1 / rho - 1), (1 - mu) * (1 / rho - 1))
                )
                theirs = each.logpmf(k) - np.log(special.comb(n, k))
            assert ours[own].sum() == pytest.approx(theirs, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("r", [0.3, 4.0, 900.0, np.inf])
def test_hazards_are_those_of_scipy(r):
    """Law of an interval over its tail; in a stretch's first bin 1 / mean; far out in the tail a number, not 0 / 0."""
    first, after = hazard.hazards(r, 6.0, 3000)
    law = stats.poisson(5.0) if np.isinf(r) else stats.nbinom(r, r / (r + 5.0))
    x = np.arange(25)
    tail = law.sf(np.arange(-1, 400))
    np.testing.assert_allclose(after[:25], law.pmf(x) / tail[:25], rtol=1e-9)
    np.testing.assert_allclose(first[:25], tail[:25] / tail[::-1].cumsum()[::-1][:25], rtol=1e-9)
    assert first[0] == pytest.approx(1 / 6)
    assert ((after > 0) & (after <= 1)).all()


@pytest.mark.parametrize("model", ["rate", "label", "markov"])
def test_the_distance_is_that_of_a_loop_over_bins_and_of_scipy(model):
    """From the formula: sums of q over bins of known label, one after another, and SciPy's distance; z itself by its quantiles."""
    recording = simulated(model, 6)
    fitted = models.fit(recording, progress=False)
    table = rescaled(recording, model, fitted, n_draws=19, seed=4)
    spikes = recording.layers[0].raster.dense()
    for unit in range(6):
        key = int(unit_keys(fitted.iloc[[unit]], 4)[0])
        u = np.random.Generator(np.random.Philox(key=[key, 0x5CA1ED])).random(recording.n_bins)
        row, total, z = fitted.iloc[unit], 0.0, []
        for trial in recording.trials.itertuples():
            for t in range(trial.start_bin, trial.stop_bin):
                p = row["rate_p"] if model == "rate" or trial.label < 0 else row[f"label_p[{trial.label}]"]
                if model == "markov":
                    p = row["rate_p"] if t == trial.start_bin else row[f"markov_p{int(spikes[unit, t - 1])}1"]
                if trial.label < 0:
                    continue
                q = -np.log1p(-p)
                if spikes[unit, t]:
                    z.append(1 - np.exp(-(total - np.log(1 - u[t] * (1 - np.exp(-q))))))
                    total = 0.0
                else:
                    total += q
        assert table["n_intervals"][unit] == len(z)
        assert table["ks"][unit] == pytest.approx(stats.kstest(z, "uniform").statistic, abs=1e-12)
        assert table["rescaled[0.35]"][unit] == pytest.approx(np.quantile(z, 0.35), abs=1e-12)


def test_what_a_model_lacks_is_found():
    """A chain with memory is no rate; tuned units are no rate, but follow their labels; both agree with the test of intervals."""
    rng = np.random.default_rng(1)
    labels = np.arange(20) % 2
    tuned = rng.random((100, 2000)) < np.repeat(np.where(labels, 0.7, 0.1), 100)
    recording = recording_of(tuned, labels, np.full(20, 100))
    assert (rescaled(recording, "rate", n_draws=19)["ks_p"] <= 0.05).mean() > 0.95
    assert (rescaled(recording, "label", n_draws=19)["ks_p"] <= 0.05).mean() < 0.2
    chain = np.empty((100, 2000), bool)
    for t in range(2000):
        chain[:, t] = rng.random(100) < (0.3 if t == 0 else np.where(chain[:, t - 1], 0.55, 0.2))
    recording = ann2neo.from_array(chain.T)
    fitted = models.fit(recording, by=None, progress=False)
    by_rate = rescaled(recording, "rate", fitted, n_draws=19)
    assert (by_rate["ks_p"] <= 0.05).mean() > 0.95
    assert (rescaled(recording, "markov", fitted, n_draws=19)["ks_p"] <= 0.05).mean() < 0.2
    lengths = ann2neo.analyze(recording, tests=True, progress=False)["isi_law_p"]
    assert (lengths <= 0.05).mean() > 0.95


def test_what_a_process_lacks_is_found():
    """Regular intervals are not a gain; a gain of each input is not a renewal; a rate that changes within inputs is neither."""
    rng = np.random.default_rng(5)
    labels, lengths = np.arange(40) % 2, np.full(40, 50)
    places = (1 + rng.poisson(4, (12, 500))).cumsum(axis=1)
    regular = np.array([np.isin(np.arange(2000), each) for each in places])
    moving = rng.random((12, 2000)) < np.repeat(rng.beta(1, 3, (12, 40)), 50, axis=1)
    within = rng.random((12, 2000)) < np.tile(np.repeat([0.1, 0.6], 25), 40)
    for dense, model, wrong in (
        (regular, "gain", True), (regular, "renewal", False), (moving, "gain", False), (moving, "label_gain", False),
        (moving, "renewal", True), (within, "label_gain", True),
    ):  # fmt: skip
        recording = recording_of(dense, labels, lengths)
        fitted = models.fit(recording, ("label", model) if model == "label_gain" else (model,), progress=False)
        p = rescaled(recording, model, fitted, n_draws=19)["ks_p"]
        assert ((p <= 0.05).mean() > 0.6) == wrong
        assert wrong or (p <= 0.05).mean() < 0.3


def test_one_rate_agrees_with_the_test_of_intervals():
    """Given the number of spikes the law of intervals is the same question: both p values go together, unit by unit."""
    rng = np.random.default_rng(2)
    memory = rng.uniform(-0.1, 0.1, 200)
    dense = np.empty((200, 1500), bool)
    for t in range(1500):
        before = dense[:, t - 1] if t else rng.random(200) < 0.3
        dense[:, t] = rng.random(200) < 0.3 + memory * (before - 0.3)
    recording = ann2neo.from_array(dense.T)
    ours = rescaled(recording, "rate", models.fit(recording, ("rate",), by=None, progress=False), n_draws=199)["ks_p"]
    theirs = ann2neo.analyze(recording, tests=True, progress=False)["isi_law_p"]
    assert stats.spearmanr(ours, theirs).statistic > 0.7


def test_units_that_cannot_be_rescaled_are_nan():
    """Silent and saturated units, and units without a chain, have no distance; a unit's numbers do not depend on others."""
    dense = np.zeros((4, 200), bool)
    dense[1], dense[2, 199], dense[3, ::3] = True, True, True
    recording = recording_of(dense, np.arange(200) % 2)
    table = rescaled(recording, "markov", n_draws=19)
    assert table["ks_p"].isna().tolist() == [True, True, True, False]
    assert table["quality"].tolist() == ["silent", "saturated", "too_few", "good"]
    assert table["n_intervals"].tolist() == [0, 200, 1, 67]
    alone = rescaled(recording.select(units=[3]), "markov", n_draws=19)
    pd.testing.assert_frame_equal(alone, table.iloc[[3]].reset_index(drop=True))
    for options, words in (({"n_draws": 5}, "at least 19"), ({"seed": -1}, "seed=-1")):
        with pytest.raises(AnalysisError, match=words):
            rescaled(recording, "rate", **options)
    for absent, words in (
        ("gamma", "no model 'gamma'"),
        ("renewal", "no column 'renewal_r'"),
        ("gain", "Fit the model 'gain' first"),
    ):
        with pytest.raises(AnalysisError, match=words):
            rescaled(recording, absent)
