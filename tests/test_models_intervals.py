"""Renewal in time: gamma and inverse Gaussian intervals of cells, against SciPy's laws and simulated cells."""

import neo
import numpy as np
import pytest
import quantities as pq
from scipy import integrate, optimize, stats

import ann2neo
from ann2neo import figures, models
from ann2neo.errors import AnalysisError

LAWS = ("gamma", "inverse_gaussian")


def scipys(law, shape, mean):
    if law == "gamma":
        return stats.gamma(shape, scale=mean / shape)
    return stats.invgauss(1 / shape, scale=shape * mean)


def drawn(rng, law, shape, mean, durations):
    """Spikes of pieces of time that begin at any moment of a renewal process: each from the middle of its own long one."""
    found = []
    for duration in durations:
        skip = rng.uniform(30, 60) * mean
        # SciPy draws the same numbers, one unit of scale at a time, in ten times as long.
        n = int((skip + duration) / mean * 2) + 60
        intervals = rng.gamma(shape, mean / shape, n) if law == "gamma" else rng.wald(mean, shape * mean, n)
        times = np.cumsum(intervals) - skip
        found.append(times[(times >= 0) & (times < duration)])
    return found


def block_of(units, durations, start=0.0):
    """Pieces of time are segments; each begins on a clock of its own."""
    block = neo.Block()
    for piece, duration in enumerate(durations):
        segment, begin = neo.Segment(), start * piece
        for number, trains in enumerate(units):
            stop = (begin + duration) * pq.s
            train = neo.SpikeTrain(
                (begin + trains[piece]) * pq.s, t_start=begin * pq.s, t_stop=stop, name=f"cell {number}"
            )
            segment.spiketrains.append(train)
        block.segments.append(segment)
    return block


def fit(block, names=LAWS):
    return models.fit(block, names, by=None, progress=False)


@pytest.mark.parametrize("law", LAWS)
def test_scipy_finds_the_same_maximum(law):
    """A general optimiser on SciPy's densities, survival functions and their integral, over pieces of which some are empty or have one spike."""
    rng, durations = np.random.default_rng(0), np.array([3.0, 0.4, 0.2, 2.0, 0.25, 0.3] * 3)
    trains = [drawn(rng, law, 2.5, 0.3, durations) for _ in range(2)]
    counts = [[times.size for times in unit] for unit in trains]
    assert min(map(min, counts)) == 0
    table = fit(block_of(trains, durations, 5.0))
    for unit, row in table.iterrows():

        def negative(at, unit=unit):
            chosen, m, found = scipys(law, *np.exp(at)), np.exp(at[1]), 0.0
            for times, duration in zip(trains[unit], durations):
                if times.size:
                    found += chosen.logsf(times[0]) - np.log(m) + chosen.logsf(duration - times[-1])
                    found += chosen.logpdf(np.diff(times)).sum()
                else:
                    found += np.log(integrate.quad(chosen.sf, duration, np.inf)[0] / m)
            return -found

        options = {"xatol": 1e-7, "fatol": 1e-9}
        best = optimize.minimize(negative, [0.5, -1.0], method="Nelder-Mead", options=options)
        assert row[f"{law}_loglik"] == pytest.approx(-best.fun, abs=1e-5)
        assert row[f"{law}_shape"] == pytest.approx(np.exp(best.x[0]), rel=1e-3)
        assert row[f"{law}_mean_ms"] == pytest.approx(1e3 * np.exp(best.x[1]), rel=1e-3)
        assert row[f"{law}_cv"] == pytest.approx(row[f"{law}_shape"] ** -0.5)


@pytest.mark.parametrize(("law", "shape"), [("gamma", 3.0), ("gamma", 0.6), ("inverse_gaussian", 2.0)])
def test_parameters_are_recovered_and_intervals_cover(law, shape, slow):
    """In one long and several short pieces: means within four standard errors, 95 % of intervals cover, and the law is told from one rate."""
    n, durations, rng = 1000 if slow else 200, np.array([60.0, *[1.0] * 20]), np.random.default_rng(1)
    table = fit(block_of([drawn(rng, law, shape, 0.2, durations) for _ in range(n)], durations))
    for name, truth in ((f"{law}_shape", shape), (f"{law}_mean_ms", 200.0)):
        error = table[f"{name}_se"]
        assert abs(table[name].mean() - truth) < 4 * table[name].std() / np.sqrt(n) + 0.2 * error.mean(), name
        assert abs((abs(table[name] - truth) < 1.96 * error).mean() - 0.95) < 4 * np.sqrt(0.0475 / n) + 0.01, name
    assert (table["best_aic"] == law).mean() > 0.75


def test_one_rate_is_called_regular_or_bursting_at_the_nominal_level(slow):
    """Poisson cells in short pieces: 5 % are rejected, the likelihood never is below that of the rate, and the shape is 1."""
    n, durations, rng = 2000 if slow else 400, np.tile([2.0, 0.5], 20), np.random.default_rng(2)
    trains = [[np.sort(rng.uniform(0, d, rng.poisson(4 * d))) for d in durations] for _ in range(n)]
    table = fit(block_of(trains, durations), ("gamma",))
    assert (table["gamma_loglik"] >= table["rate_loglik"] - 1e-6).all()
    assert abs((table["gamma_lr_p"] <= 0.05).mean() - 0.05) < 4 * np.sqrt(0.0475 / n) + 0.005
    assert abs(table["gamma_shape"].median() - 1) < 0.05


def test_bic_counts_spikes_and_finds_the_law(slow):
    """Whatever the number of pieces, all models are penalised by the same number of spikes; a criterion that one model lacks names none."""
    rng = np.random.default_rng(3)
    n = 400 if slow else 60
    for durations in (np.array([60.0]), np.full(30, 2.0)):
        poisson = fit(
            block_of([[np.sort(rng.uniform(0, d, rng.poisson(5 * d))) for d in durations] for _ in range(n)], durations)
        )
        assert (poisson["best_bic"] == "rate").mean() > 0.9
        regular = fit(block_of([drawn(rng, "gamma", 4.0, 0.2, durations) for _ in range(n)], durations))
        assert (regular["best_bic"] != "rate").all()
        assert (regular["best_bic"] == "gamma").mean() > 0.6
        for model, k in (("rate", 1), ("gamma", 2), ("inverse_gaussian", 2)):
            expected = k * np.log(regular["n_spikes"]) - 2 * regular[f"{model}_loglik"]
            np.testing.assert_allclose(regular[f"{model}_bic"], expected)
        assert set(regular["best_cv"]) == {"undefined"}
        assert regular.attrs["undefined"].startswith("best_cv: no left-out likelihood of gamma, inverse_gaussian ")
        assert (
            figures.best_models(regular, criterion="cv").ax.texts[0].get_text()
            == "no unit of which all models have a left-out likelihood"
        )


def test_one_spike_has_no_bic_and_a_condition_of_one_trial_no_left_out_likelihood():
    """Numbers that do not exist decide nothing."""
    one = models.fit(
        block_of([[np.array([1.0])], [np.array([1.0, 2.0])]], [100.0]), ("gamma",), by=None, progress=False
    )
    assert one["best_bic"].tolist() == ["undefined", "rate"]
    assert one["best_aic"].tolist() == ["rate", "rate"]
    block = block_of(
        [[np.linspace(0.1, 0.9, 9), np.linspace(0.1, 0.9, 30), np.linspace(0.1, 0.9, 30)]], [1.0, 1.0, 1.0], 5.0
    )
    for segment, side in zip(block.segments, ("left", "right", "right")):
        segment.annotate(side=side)
    table = models.fit(block, ("label",), by="side", progress=False)
    assert np.isfinite(table["label_loglik"]).all()
    assert table["label_loglik_cv"].isna().all()
    assert table["best_cv"].tolist() == ["undefined"]


def test_what_has_no_shape_is_nan_and_clocks_are_regular():
    """Silent cells, one interval, two spikes at one time; clocks have an infinite shape; long silence has a finite likelihood."""
    clock, late = np.arange(0.05, 100, 0.1), np.linspace(0.01, 1, 50) ** 1.5
    cells = [[np.zeros(0)], [np.array([1.0, 2.0])], [np.array([1.0, 1.0, 2.0, 4.0])], [clock], [late]]
    table = fit(block_of(cells, [100.0]))
    assert table["gamma_shape"].isna().tolist() == [True, True, True, False, False]
    assert table["best_aic"].tolist()[:3] == ["undefined", "rate", "rate"]
    assert table["gamma_shape"][3] == np.inf
    assert np.isnan(table["gamma_shape_se"][3])
    assert np.isfinite(table.loc[4, ["gamma_loglik", "inverse_gaussian_loglik"]].to_numpy(float)).all()


def test_trials_and_bins_have_no_such_model():
    """Conditions of trials are refused with their cure; a recording leaves the model out and says why."""
    block = block_of([[np.array([0.5, 1.0, 1.5])]], [4.0])
    epoch = neo.Epoch([0, 2] * pq.s, [2, 2] * pq.s, labels=np.array(["a", "b"]), name="side")
    epoch.array_annotate(side=np.array(["a", "b"]))
    block.segments[0].epochs.append(epoch)
    with pytest.raises(AnalysisError, match="Use by=None"):
        models.fit(block, ("gamma",), by="side", progress=False)
    recording = ann2neo.from_array(np.random.default_rng(0).random((40, 2)) < 0.5)
    table = fit(recording)
    assert "gamma_shape" not in table
    assert table.attrs["left_out"] == "gamma, inverse_gaussian: no time is known within bins"
