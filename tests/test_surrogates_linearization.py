"""Errors of Fano factors over labels by linearization: against redraws of the inputs, where groups do not divide a label."""

from __future__ import annotations

import numpy as np
import pytest

import ann2neo
from ann2neo.analysis.lattice import recording_source
from ann2neo.surrogates import jackknife
from ann2neo.surrogates.linearization import fano_errors

N_UNITS, N_LABELS = 40, 4


def redrawn(seed, tuning, per_label, n_steps=1):
    """Units that share half of their noise answer other inputs of the same labels."""
    rng, label = np.random.default_rng(seed), np.repeat(np.arange(N_LABELS), per_label)
    means = np.random.default_rng(7).normal(0, tuning, (N_UNITS, N_LABELS))
    weights = np.random.default_rng(3).normal(size=(N_UNITS, 3))
    drive = (
        means[:, label] + rng.normal(size=(N_UNITS, label.size)) / 2 + weights @ rng.normal(size=(3, label.size)) / 2
    )
    if n_steps == 1:
        return ann2neo.from_array((drive > 0.3).T, labels=label)
    noisy = drive.T[:, None] + rng.normal(size=(label.size, n_steps, N_UNITS))
    return ann2neo.from_array(noisy > 0.3, trial_axis=0, labels=label)


def factors_of(recording):
    """Fano factor of each unit that spikes, over its counts in the bins of each label, which lie together."""
    counts = recording.raster("array").reshape(N_UNITS, N_LABELS, -1).sum(axis=2)
    spiking = counts[counts.any(axis=1)]
    return spiking.var(axis=1) / spiking.mean(axis=1)


@pytest.mark.parametrize(("tuning", "per_label", "n_steps"), [(0.0, 30, 1), (1.0, 30, 1), (1.0, 50, 1), (0.4, 30, 3)])
def test_errors_are_those_of_redraws(tuning, per_label, n_steps, slow):
    """Tuned or not, the standard error is the spread over other inputs, and intervals cover; from groups it was 1.6 times that."""
    draws = 400 if slow else 50
    values, errors = {"fano_mean": [], "fano_var": []}, {"fano_mean": [], "fano_var": []}
    for seed in range(draws):
        recording = redrawn(seed, tuning, per_label, n_steps)
        found = fano_errors(recording_source(recording, "label"), 10)["array", "all"]
        factors = factors_of(recording)
        if seed == 0:
            row = ann2neo.summarize(ann2neo.analyze(recording, progress=False)).iloc[0]
            assert row["fano_mean"] == pytest.approx(factors.mean(), rel=1e-12)
            assert row["fano_var"] == pytest.approx(factors.var(), rel=1e-12)
        values["fano_mean"].append(factors.mean())
        values["fano_var"].append(factors.var())
        for name in values:
            errors[name].append(found[name])
    for name, own in values.items():
        ratio = np.mean(errors[name]) / np.std(own, ddof=1)
        assert 0.94 - 2.5 / np.sqrt(2 * draws) < ratio < 1.12 + 2.5 / np.sqrt(2 * draws), (name, ratio)
        covered = np.mean(np.abs(own - np.mean(own)) < 1.96 * np.array(errors[name]))
        assert covered > 0.92 - 3 * np.sqrt(0.05 / draws), (name, covered)


def test_first_derivatives_are_those_of_differences():
    """What an input contributes to the mean factor is the change when a little of it is taken away, in plain NumPy."""
    rng, label = np.random.default_rng(1), np.repeat([0, 1, 2], [5, 7, 9])
    counts = rng.integers(0, 5, (6, 21)).astype(float)

    def mean_factor(weights):
        own = np.stack([(counts * weights)[:, label == one].sum(axis=1) for one in range(3)], axis=1)
        return np.mean(own.var(axis=1) / own.mean(axis=1))

    from ann2neo.surrogates.linearization import Labels, _sums

    labels = Labels(known=np.arange(21), code=label, inputs=np.bincount(label), paired=np.arange(21))
    sums = _sums(counts[:, None], labels)
    step = 1e-5
    slope = np.array([mean_factor(1 + step * np.eye(21)[i]) - mean_factor(1 - step * np.eye(21)[i]) for i in range(21)])
    slope /= 2 * step
    # Deviations from the label's mean: what the label as a whole contributes is taken off.
    within = np.array([slope[label == one].mean() for one in range(3)])[label]
    np.testing.assert_allclose(sums.first[0] / 6, slope - within, atol=1e-6)


def test_the_jackknife_gives_them():
    """jackknife writes these errors for Fano factors over labels, normal intervals around the values, others as before."""
    recording = redrawn(0, 1.0, 30)
    result = jackknife(recording, indicators=["fano_mean", "p_spike_mean"], progress=False)
    errors = fano_errors(recording_source(recording, None), 10)
    row = result[(result["layer"] == "array") & (result["population"] == "all")].set_index("indicator")
    assert row.loc["fano_mean", "standard_error"] == pytest.approx(errors["array", "all"]["fano_mean"])
    assert row.loc["fano_mean", "high"] - row.loc["fano_mean", "value"] == pytest.approx(
        1.96 * errors["array", "all"]["fano_mean"], rel=1e-3
    )
    assert row.loc["p_spike_mean", "standard_error"] > 0
    assert errors["network", "all"] == pytest.approx(errors["array", "all"])


def test_other_windows_keep_the_groups():
    """Windows of bins are no labels: nothing is linearized."""
    assert fano_errors(recording_source(redrawn(0, 1.0, 30), 10), 10) is None
