"""Rescaled intervals of cells over trials: from the definition, at the nominal level, and with power."""

import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from scipy import stats

from ann2neo import models
from ann2neo.errors import AnalysisError

RATES = np.array([5.0, 20.0, 60.0])


def session(n_units, seed=0, n_segments=2, n_trials=24, rates=RATES, within=None):
    """Segments with trials of unequal duration, gaps between them with other rates, the last one of unknown condition."""
    rng, block = np.random.default_rng(seed), neo.Block()
    for number in range(n_segments):
        durations, gaps = rng.uniform(0.2, 1.5, n_trials), rng.uniform(0.0, 0.4, n_trials)
        start = 3.0 * number + np.cumsum(gaps + durations) - durations
        codes = rng.permutation(n_trials) % rates.size
        codes[-1] = -1
        segment = neo.Segment()
        stop = float(start[-1] + durations[-1] + 0.5)
        for unit in range(n_units):
            times = [rng.uniform(3.0 * number, stop, rng.poisson(30 * (stop - 3.0 * number)))]
            between = ((times[0][:, None] >= start) & (times[0][:, None] < start + durations)).any(axis=1)
            times = [times[0][~between]]
            for begin, duration, code in zip(start, durations, codes):
                spread = rng.random(rng.poisson(rates[code] * duration))
                times.append(begin + duration * (spread if within is None else within(spread)))
            train = np.sort(np.concatenate(times)) * pq.s
            segment.spiketrains.append(
                neo.SpikeTrain(train, t_start=3.0 * number * pq.s, t_stop=stop * pq.s, name=f"cell {unit}")
            )
        segment.epochs.append(neo.Epoch(start * pq.s, durations * pq.s, labels=codes.astype(str), name="trials"))
        segment.epochs[0].array_annotate(side=np.where(codes < 0, np.nan, codes))
        block.segments.append(segment)
    return block


def fit(block, *names):
    return models.fit(block, names or ("label",), by="side", progress=False)


def rescaled(block, fitted, model, **options):
    return models.rescaled(block, fitted, model=model, progress=False, **{"n_draws": 19, **options})


@pytest.mark.parametrize("model", ["rate", "label"])
def test_intervals_are_those_of_a_slow_loop(model):
    """Trial after trial, the rate of its condition adds up since the preceding spike, across borders; what lies between trials is left out."""
    block = session(3)
    fitted = fit(block)
    table = rescaled(block, fitted, model)
    for unit in range(3):
        row, z, passed = fitted.iloc[unit], [], 0.0
        for segment in block.segments:
            epoch, train = segment.epochs[0], segment.spiketrains[unit].rescale("s").magnitude
            for begin, duration, code in zip(
                epoch.times.magnitude, epoch.durations.magnitude, epoch.array_annotations["side"]
            ):
                if np.isnan(code):
                    continue
                rate, since = row["rate_hz"] if model == "rate" else row[f"label_hz[{code}]"], begin
                for time in train[(train >= begin) & (train < begin + duration)]:
                    z.append(stats.expon.cdf(passed + rate * (time - since)))
                    passed, since = 0.0, time
                passed += rate * (begin + duration - since)
        assert table["n_intervals"][unit] == len(z) == row["n_spikes"]
        assert table["ks"][unit] == pytest.approx(stats.kstest(z, "uniform").statistic, abs=1e-6)
        assert table["rescaled[0.35]"][unit] == pytest.approx(np.quantile(z, 0.35), abs=1e-6)
    assert table.attrs["by"] == "side"


def test_rates_that_hold_are_rejected_at_the_nominal_level(slow):
    """With rates of three conditions from the same spikes; also with some 15 spikes of a cell."""
    n_units = 1000 if slow else 60
    for rates in (RATES, RATES / 40):
        block = session(n_units, seed=1, n_segments=1, rates=rates)
        p = rescaled(block, fit(block), "label")["ks_p"].dropna()
        assert len(p) > 0.98 * n_units
        for level in (0.05, 0.5):
            assert abs((p <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / len(p))


def test_what_is_no_rate_of_the_condition_is_rejected():
    """Tuning under one rate, and spikes that come late in trials under the rate of the condition; tuning under its own rates is not."""
    block = session(10, seed=2)
    fitted = fit(block)
    assert (rescaled(block, fitted, "rate")["ks_p"] <= 0.05).all()
    assert (rescaled(block, fitted, "label")["ks_p"] <= 0.05).mean() < 0.4
    late = session(10, seed=3, within=lambda spread: spread ** (1 / 6))
    assert (rescaled(late, fit(late), "label")["ks_p"] <= 0.05).all()


def test_a_cell_has_its_own_stream_and_tables_of_files_are_as_good(tmp_path):
    """Silent cells are NaN; what belongs to other conditions or models is refused."""
    block = session(3)
    for segment in block.segments:
        segment.spiketrains[1] = segment.spiketrains[1][:0]
    fitted = fit(block)
    table = rescaled(block, fitted, "label", seed=3)
    assert table["ks_p"].isna().tolist() == [False, True, False]
    fitted.to_csv(tmp_path / "fitted.csv", index=False)
    again = rescaled(block, pd.read_csv(tmp_path / "fitted.csv"), "label", seed=3, by="side")
    np.testing.assert_allclose(again["ks_p"], table["ks_p"])
    with pytest.raises(AnalysisError, match="no column 'label_hz"):
        rescaled(block, pd.read_csv(tmp_path / "fitted.csv"), "rate")
    few = fit(block).drop(columns="label_hz[2.0]")
    for wrong, options, words in (
        (few, {"model": "label"}, r"no column 'label_hz\[2.0\]'"),
        (fitted, {"model": "gamma"}, "fitted with by='side'"),
        (fitted, {"model": "label", "by": "hand"}, "fitted with by='side'"),
        (fitted.iloc[:2], {"model": "label"}, "3 units have spikes, and the table has 2 rows"),
    ):
        with pytest.raises(AnalysisError, match=words):
            models.rescaled(block, wrong, progress=False, **options)
