"""Rescaled intervals of cells: from the definition, at the nominal level, and with power."""

import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from scipy import integrate, stats
from test_models_intervals import block_of, drawn, scipys

from ann2neo import models
from ann2neo.errors import AnalysisError
from ann2neo.models.rescaled import _row
from ann2neo.models.rescaled_time import _drawn

DURATIONS = (1.5, 3.0, 0.2, 4.0)


def cells(law, shape, n_units, seed=0, durations=DURATIONS):
    rng = np.random.default_rng(seed)
    units = [drawn(rng, law, shape, 0.2, durations) for _ in range(n_units)]
    return units, block_of(units, durations)


def fit(block, *names):
    return models.fit(block, names, by=None, progress=False)


def rescaled(block, fitted, model, **options):
    return models.rescaled(block, fitted, model=model, progress=False, **{"n_draws": 19, **options})


@pytest.mark.parametrize("model", ["rate", "gamma", "inverse_gaussian"])
def test_intervals_are_rescaled_by_the_hazard_of_scipy(model):
    """Over four segments, one of them empty: minus the logarithm of SciPy's tail, at the begin of its integral, added up over borders."""
    units, _ = cells("gamma", 3.0, 2 if model == "rate" else 1, seed=1)
    for unit in units:
        unit[2] = np.zeros(0)
    block = block_of(units, DURATIONS)
    fitted = fit(block, model)
    table = rescaled(block, fitted, model)
    for place, unit in enumerate(units):
        row = fitted.iloc[place]
        law, m = (
            (stats.expon(scale=1 / row["rate_hz"]), 1 / row["rate_hz"])
            if model == "rate"
            else (scipys(model, row[f"{model}_shape"], row[f"{model}_mean_ms"] / 1000), row[f"{model}_mean_ms"] / 1000)
        )
        z, passed = [], 0.0
        for duration, times in zip(DURATIONS, unit):
            before = None
            for time in [*times, duration]:
                passed -= (
                    np.log(integrate.quad(law.sf, time, 60 * m)[0] / m) if before is None else law.logsf(time - before)
                )
                if time < duration:
                    z.append(1 - np.exp(-passed))
                    passed, before = 0.0, time
        assert table["n_intervals"][place] == len(z)
        assert table["ks"][place] == pytest.approx(stats.kstest(z, "uniform").statistic, abs=1e-6)
        assert table["rescaled[0.35]"][place] == pytest.approx(np.quantile(z, 0.35), abs=1e-6)


BOOTSTRAP = pytest.mark.slow("each draw of a cell is fitted by Newton's method")


@pytest.mark.parametrize(
    ("law", "shape", "model", "n_units"),
    [
        ("gamma", 1.0, "rate", 40),
        pytest.param("inverse_gaussian", 3.0, "inverse_gaussian", 150, marks=BOOTSTRAP),
        pytest.param("gamma", 3.0, "gamma", 40, marks=BOOTSTRAP),
    ],
)
def test_a_law_that_holds_is_rejected_at_the_nominal_level(law, shape, model, n_units, slow):
    """With parameters from the same spikes, over unequal segments; the bound is below that of known parameters."""
    n_units = max(n_units, 400) if slow and model == "rate" else n_units
    _, block = cells(law, shape, n_units, seed=2, durations=[2 * each for each in DURATIONS])
    fitted = fit(block, model)
    table = rescaled(block, fitted, model)
    assert table["ks_p"].notna().all()
    assert (table["ks_bound"] * np.sqrt(table["n_intervals"])).median() < 1.25
    for level in (0.05, 0.5):
        assert abs((table["ks_p"] <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / n_units)


def test_regular_cells_have_no_constant_rate():
    """Intervals of shape 4 are rejected under one rate, and not under their law; a rate that changes is rejected under both."""
    _, block = cells("inverse_gaussian", 4.0, 5, seed=3, durations=(3.0, 7.0, 0.2, 10.0))
    fitted = fit(block, "inverse_gaussian")
    assert (rescaled(block, fitted, "rate")["ks_p"] <= 0.05).all()
    assert (rescaled(block, fitted, "inverse_gaussian")["ks_p"] <= 0.05).mean() < 0.5
    rng = np.random.default_rng(4)
    trains = [np.concatenate([rng.uniform(0, 50, 25), rng.uniform(50, 100, 400)]) for _ in range(5)]
    moving = [neo.SpikeTrain(np.sort(each) * pq.s, t_start=0 * pq.s, t_stop=100 * pq.s) for each in trains]
    assert (rescaled(moving, fit(moving, "rate"), "rate")["ks_p"] <= 0.05).all()


def test_a_cell_has_its_own_stream_and_those_without_a_law_are_nan(tmp_path):
    """Silent cells and clocks have no distance; a trip through CSV and another unit of time change nothing."""
    rng = np.random.default_rng(5)
    times = [np.sort(rng.uniform(0, 20, 80)), np.zeros(0), np.arange(1, 200) / 10]
    trains = [neo.SpikeTrain(each * pq.s, t_start=0 * pq.s, t_stop=20 * pq.s) for each in times]
    fitted = fit(trains, "inverse_gaussian")
    table = rescaled(trains, fitted, "inverse_gaussian", seed=3)
    assert table["ks_p"].isna().tolist() == [False, True, True]
    assert table["n_intervals"].tolist() == [80, 0, 199]
    fitted.to_csv(tmp_path / "fitted.csv", index=False)
    again = rescaled(
        [each.rescale("ms") for each in trains], pd.read_csv(tmp_path / "fitted.csv"), "inverse_gaussian", seed=3
    )
    np.testing.assert_allclose(again["ks"], table["ks"], rtol=1e-6)
    for wrong, options, words in (
        (fitted.iloc[:2], {"model": "rate"}, "3 units have spikes, and the table has 2 rows"),
        (fitted, {"model": "label"}, "by=None"),
        (fitted, {"model": "gamma"}, "no column 'gamma_shape'"),
        (fitted, {"model": "rate", "by": "label"}, "by='label'"),
    ):
        with pytest.raises(AnalysisError, match=words):
            models.rescaled(trains, wrong, progress=False, **options)


def test_spikes_of_bursts_do_not_fall_together():
    """Gamma intervals of shape 0.1 are mostly shorter than a time's last digit; draws keep them apart, so that each can be fitted."""
    draws = _drawn(np.random.default_rng(0), "gamma", 0.1, 1.0, np.array([200.0]), 19)
    of = np.repeat(np.arange(19), np.diff(draws.offsets))
    assert (np.diff(draws.times) > 0)[np.diff(of) == 0].all()
    assert len(of) > 1000


def test_of_few_draws_nothing_is_concluded():
    """A p value without draws would be 1."""
    row = _row(np.linspace(0.1, 0.9, 30), np.full(9, 0.2))
    assert np.isnan(row[2:4]).all()
    assert _row(np.linspace(0.1, 0.9, 30), np.full(19, 0.2))[3] == 1.0
