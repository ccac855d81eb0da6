"""Question 3's classes, its control and its power are what they are called, and its networks are written as its script reads them."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import ann2neo
from analyses.first.rejection import (
    LEVEL,
    NAIVE,
    SOUND,
    Power,
    arranged,
    classes,
    cut_off,
    groups_of_bins,
    modulated,
    power,
    unit_p_values,
)
from ann2neo import chance
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials

RESULTS = Path(__file__).parent.parent / "analyses" / "first" / "results"
poisson = importlib.import_module("analyses.first.03_poisson")


def sequences(spikes, n_steps):
    """Make a recording whose trials last several bins each."""
    n_units, n_bins = spikes.shape
    n_trials = n_bins // n_steps
    trials = make_trials(
        n_trials, lengths=np.full(n_trials, n_steps), stimulus_id=np.arange(n_trials), label=np.arange(n_trials) % 3
    )
    layer = Layer(
        name="gru",
        shape=(n_units,),
        dtype="float32",
        units=np.arange(n_units),
        thresholds=np.zeros(n_units),
        raster=Raster.from_dense(spikes),
    )
    return Recording(layers=(layer,), trials=trials, bin_size_ms=1.0, provenance={})


@pytest.mark.slow("simulates 400 units of the first edition")
def test_bernoulli_units_reject_the_bernoulli_model_at_most_at_the_nominal_rate():
    """The control: independent bins, any rate; and where spikes are many the naive tests reject nearly all of them."""
    rng = np.random.default_rng(1)
    rates = rng.uniform(0.3, 0.7, 400)
    units = unit_p_values(ann2neo.from_array(rng.random((1000, 400)) < rates), 50, 0)
    assert 0.01 < (units["bernoulli_p"] <= LEVEL).mean() < 0.08
    assert (units["poisson_p"] <= LEVEL).mean() > 0.95


def test_a_shuffle_of_all_bins_removes_order_and_one_within_trials_keeps_the_rates_of_trials():
    """Steps that lean to the beginning of each trial: shuffled within trials only the counts of trials are left to tell, shuffled altogether nothing."""
    rng = np.random.default_rng(2)
    chances = np.tile([0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.1, 0.1], 150)
    by_trial = np.repeat(rng.choice([0.1, 1.0], 150), 8)
    recording = sequences(rng.random((60, 1200)) < chances * by_trial, 8)
    rejects = {
        order: (unit_p_values(arranged(recording, order, 3), "trial", 0)[[*SOUND]] <= LEVEL).mean()
        for order in ("presented", "shuffled within trials", "shuffled")
    }
    assert (rejects["presented"][["runs_p", "isi_law_p"]] > 0.9).all()
    assert (rejects["shuffled within trials"][["runs_p", "isi_law_p"]] < 0.2).all()
    assert rejects["shuffled within trials"]["dispersion_p"] > 0.9
    assert (rejects["shuffled"] < 0.2).all()


@pytest.mark.parametrize("order", ["presented", "label", "shuffled"])
def test_an_arrangement_keeps_every_units_spikes(order):
    """Orders move spikes, they never make or lose them; labels move with their inputs where inputs move."""
    rng = np.random.default_rng(3)
    recording = ann2neo.from_array(rng.random((200, 5)) < 0.4, labels=rng.integers(0, 3, 200))
    view = arranged(recording, order, 7)
    assert np.array_equal(view.raster("array").sum(axis=1), recording.raster("array").sum(axis=1))
    if order == "label":
        assert (np.diff(view.trials["label"]) >= 0).all()


def test_naive_tests_are_those_of_a_slow_loop():
    """Windows count what lies in them, intervals end at the borders of trials, and p is chi-squared's and Kolmogorov's."""
    rng = np.random.default_rng(4)
    spikes = rng.random((6, 160)) < 0.45
    units = unit_p_values(sequences(spikes, 8), "trial", 0)
    for row, (dispersion, isi) in zip(spikes, units[[*NAIVE]].to_numpy()):
        trials = row.reshape(-1, 8)
        counts = trials.sum(axis=1)
        expected = counts.mean()
        statistic = ((counts - expected) ** 2 / expected).sum()
        law = stats.chi2(len(counts) - 1)
        assert dispersion == pytest.approx(2 * min(law.cdf(statistic), law.sf(statistic)))
        isis = np.concatenate([np.diff(np.flatnonzero(trial)) for trial in trials])
        assert isi == pytest.approx(stats.kstest(isis, stats.expon(scale=isis.mean()).cdf).pvalue, rel=1e-6)


def test_p_of_a_model_is_the_smallest_of_its_tests_times_their_number():
    """Bonferroni over the tests that are defined."""
    rng = np.random.default_rng(5)
    units = unit_p_values(ann2neo.from_array(rng.random((300, 30)) < 0.3), 50, 0)
    assert np.allclose(units["bernoulli_p"], np.minimum(3 * units[[*SOUND]].min(axis=1), 1))
    assert np.allclose(units["poisson_p"], np.minimum(2 * units[[*NAIVE]].min(axis=1), 1))


def test_units_without_spikes_enough_have_no_test_but_a_class():
    """Silent, saturated and rare units are named so, and every unit has one class."""
    spikes = np.random.default_rng(6).random((300, 5)) < 0.5
    spikes[:, 0], spikes[:, 1], spikes[9:, 2] = False, True, False
    units = unit_p_values(ann2neo.from_array(spikes), 50, 0)
    assert classes(units).tolist()[:3] == ["silent", "saturated", "too_few"]
    assert units.loc[:2, [*SOUND, *NAIVE, "bernoulli_p", "poisson_p"]].isna().all().all()
    found = poisson.shares(units, {0.05: Power(rates=np.array([0.5]), p=np.array([[0.01, 0.5]]))})
    assert sum(found[name] for name in (*poisson.MASKED, *poisson.CLASSES)) == pytest.approx(1)
    assert found["silent"] == pytest.approx(0.2)


def test_the_cut_off_is_where_the_false_discovery_rate_rejects():
    """At the cut-off all that is rejected lies, and nothing else."""
    rng = np.random.default_rng(7)
    p = np.concatenate([rng.random(80), rng.random(20) * 1e-3, [np.nan]])
    assert np.array_equal(p <= cut_off(p), chance.false_discovery(p) <= LEVEL)


@pytest.mark.slow("simulates units of the first edition")
def test_power_grows_with_the_label_share_and_is_the_level_where_order_means_nothing():
    """Units in label order are found by their labels; shuffled, what the labels do is invisible."""
    labels = np.random.default_rng(8).integers(0, 10, 1000)
    recording = ann2neo.from_array(np.ones((1000, 1), bool), labels=labels)
    at = np.array([0.5])
    how = {"windows": 50, "n_units": 40, "seed": 0}
    weak, strong = (float(power(recording, "label", share=share, **how).at(at, LEVEL)[0]) for share in (0.01, 0.05))
    none = power(recording, "shuffled", share=0.05, **how)
    assert weak < strong
    assert strong > 0.8
    assert np.mean(none.p <= LEVEL) < 0.09


def test_modulated_units_have_the_share_that_was_asked_for():
    """The label explains, adjusted for chance, what it was said to explain, at any rate."""
    rng = np.random.default_rng(9)
    groups = np.arange(5000) % 10
    for rate in (0.05, 0.5):
        table = ann2neo.analyze(
            ann2neo.from_array(modulated(groups, rate, 0.05, 300, rng).T, labels=groups),
            windows="label",
            progress=False,
        )
        assert table["label_share_adjusted"].mean() == pytest.approx(0.05, rel=0.15)
        assert table["p_spike"].mean() == pytest.approx(rate, rel=0.1)


def test_groups_are_labels_of_inputs_or_steps_of_sequences():
    """What may modulate a bin follows from how long trials are."""
    assert groups_of_bins(sequences(np.zeros((1, 24), bool), 8).trials).tolist() == [*range(8)] * 3


def test_the_average_is_over_networks_and_keeps_their_range():
    """Two seeds of a cell become one row."""
    first = dict(zip(poisson.CELL, ("digits", "mlp", "random", "zero", "label", "relu1"))) | {"windows": 50}
    table = poisson.averaged(
        pd.DataFrame([first | {"seed": s, "rejects_bernoulli": r} for s, r in ((0, 0.2), (1, 0.4))])
    )
    row = table.iloc[0]
    assert (row["n_networks"], row["rejects_bernoulli_low"], row["rejects_bernoulli_high"]) == (2, 0.2, 0.4)
    assert row["rejects_bernoulli"] == pytest.approx(0.3)


def test_networks_are_written_at_every_threshold_and_recurrent_ones_step_by_step(tmp_path):
    """The files hold what the script expects: eight bins per image of 8x8, and a quantile as threshold leaves a tenth of the bins."""
    study = importlib.import_module("analyses.first.networks.poisson")
    cell = next(one for one in study.cells(True) if one.architecture == "gru")
    study.run(cell, tmp_path, 0, True)
    recordings = {name: ann2neo.load(tmp_path / f"{cell.name}-{name}-train.nwb") for name in study.THRESHOLDS}
    assert {one.n_bins for one in recordings.values()} == {8 * 200}
    assert recordings["q90"].raster("gru").mean(axis=1) == pytest.approx(0.1, abs=1e-3)
    assert recordings["median"].raster("gru").mean(axis=1) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.skipif(not (RESULTS / "03_poisson.csv").exists(), reason="the full run has not been committed")
def test_the_paragraph_says_what_the_table_says():
    """It is made anew from the committed table."""
    table = pd.read_csv(RESULTS / "03_poisson.csv")
    assert poisson.paragraph(table) + "\n" == (RESULTS / "03_poisson.md").read_text(encoding="utf-8")
