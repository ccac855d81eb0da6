"""Designs for generalized linear models: what statsmodels fits on them is what models.fit finds in closed form."""

import numpy as np
import pytest
from model_sources import recording_of

import ann2neo
from ann2neo import models
from ann2neo.errors import AnalysisError, WindowError


@pytest.fixture(scope="module")
def ragged():
    """Two passes of trials of 1 to 6 steps, a quarter of unknown label, two units whose rate follows the label."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 7, 60)
    labels = rng.permutation(np.arange(60) % 4) - 1
    p = np.tile(np.repeat(0.2 + 0.2 * (labels % 3), lengths), 2)
    return recording_of(rng.random((2, p.size)) < p, labels, lengths, 2)


def logistic(regressors, counts, **options):
    import statsmodels.api as api

    return api.GLM(counts, regressors, family=api.families.Binomial()).fit(**options)


def expit(x):
    return 1 / (1 + np.exp(-x))


def test_statsmodels_finds_the_probabilities_of_labels(ragged):
    """With indicators alone the coefficients are the logits of label_p, and the likelihood is that of the label model."""
    table, design = models.fit(ragged, progress=False), models.to_design(ragged)
    for unit in range(2):
        found = logistic(*design.of_unit(unit))
        expected = table.loc[unit, [f"label_p[{c}]" for c in range(3)]].to_numpy(float)
        np.testing.assert_allclose(expit(found.params.to_numpy()), expected, rtol=1e-6)
        assert found.params.index.tolist() == ["label[0]", "label[1]", "label[2]"]
        assert found.llf == pytest.approx(table["label_loglik"][unit], rel=1e-8)


def test_statsmodels_clusters_by_input(ragged):
    """Grouped by stimulus, its sandwich is that of models.fit but for the factor of few groups."""
    table, design = models.fit(ragged, progress=False), models.to_design(ragged)
    options = {"cov_type": "cluster", "cov_kwds": {"groups": design.bins["stimulus_id"], "use_correction": False}}
    for unit in range(2):
        found = logistic(*design.of_unit(unit), **options)
        for c in range(3):
            p, inputs = table[f"label_p[{c}]"][unit], (ragged.trials["label"] == c).sum() / 2
            error = p * (1 - p) * found.bse[f"label[{c}]"] * np.sqrt(inputs / (inputs - 1))
            assert table[f"label_p_se[{c}]"][unit] == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_statsmodels_finds_the_chain(ragged, order):
    """An intercept and the lags, with their product, are the chain: its contexts' probabilities."""
    table = models.fit(ragged, ("markov",), by=None, order=order, progress=False)
    design = models.to_design(ragged, by=None, order=order)
    for unit in range(2):
        regressors, counts = design.of_unit(unit)
        if order == 2:
            regressors["both"] = regressors["spike[-1]"] * regressors["spike[-2]"]
        b = logistic(regressors, counts).params
        if order == 1:
            expected = {"markov_p01": b["one"], "markov_p11": b.sum()}
        else:
            one, near, far = b["one"], b["spike[-1]"], b["spike[-2]"]
            expected = {"markov_p001": one, "markov_p011": one + near, "markov_p101": one + far, "markov_p111": b.sum()}
        for name, logit in expected.items():
            assert table[name][unit] == pytest.approx(expit(logit), rel=1e-6)


def test_every_row_is_that_of_a_loop_over_bins(ragged):
    """Rows, indicators and history bin by bin: nothing of another trial, unknown labels are history and not rows."""
    design, spikes = models.to_design(ragged, order=2), ragged.raster("hidden")
    rows = []
    for place, trial in enumerate(ragged.trials.itertuples()):
        for t in range(trial.start_bin + 2, trial.stop_bin):
            if trial.label >= 0:
                past = [spikes[:, t - 1], spikes[:, t - 2]]
                rows.append((t, place, trial[1], trial.stimulus_id, trial.label, spikes[:, t], np.stack(past, axis=1)))
    bins, trials, passes, stimuli, labels, counts, history = zip(*rows)
    np.testing.assert_array_equal(design.bins, np.stack([bins, trials, passes, stimuli], axis=1))
    np.testing.assert_array_equal(design.conditions, np.eye(3)[list(labels)])
    np.testing.assert_array_equal(design.counts, np.stack(counts))
    np.testing.assert_array_equal(design.history, np.stack(history))


def test_one_bin_trials_are_one_stretch_and_layers_keep_their_units():
    """A pass of trials of one bin is one stretch; columns name layer and unit, also of a selection."""
    dense = np.random.default_rng(1).random((5, 12)) < 0.5
    recording = recording_of(dense, np.arange(6) % 2, None, 2).select(units=[4, 1])
    design = models.to_design(recording, order=1)
    assert design.counts.columns.tolist() == [("hidden", 4), ("hidden", 1)]
    assert design.bins["bin"].tolist() == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    np.testing.assert_array_equal(design.history[:, 0, 0], dense[4, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]])


def test_labels_of_steps_are_conditions_and_models_fit_says_where_to_go():
    """Each bin has the label of its step; fit, which deals inputs to labels, refuses them and names what does it."""
    rng = np.random.default_rng(2)
    labels = rng.integers(-1, 3, (20, 5))
    spikes = rng.random((20, 5, 2)) < np.clip(0.2 + 0.2 * labels, 0.1, 1)[..., None]
    recording = ann2neo.from_array(spikes, trial_axis=0, labels=labels)
    design, known = models.to_design(recording), labels.ravel() >= 0
    np.testing.assert_array_equal(design.conditions, np.eye(3)[labels.ravel()[known]])
    np.testing.assert_array_equal(design.counts, spikes.reshape(100, 2)[known])
    shares = [spikes[labels == c][:, 0].mean() for c in range(3)]
    np.testing.assert_allclose(expit(logistic(*design.of_unit(0)).params), shares, rtol=1e-6)
    with pytest.raises(WindowError, match=r"belongs to the bins(.|\n)*to_design"):
        models.fit(recording, progress=False)
    assert models.fit(recording, by=None, progress=False)["markov_p01"].notna().all()
    with pytest.raises(AnalysisError, match="All 100 bins have an unknown label"):
        models.to_design(ann2neo.from_array(spikes, trial_axis=0, labels=np.full((20, 5), -1)))
