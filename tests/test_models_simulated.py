"""Simulated recordings: what was fitted comes back, bit by bit the same whatever is read beside it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from model_sources import recording_of

import ann2neo
from ann2neo import models
from ann2neo.errors import AnalysisError, Ann2NeoWarning
from ann2neo.models import simulated as room


def fit(recording, *args, **options):
    return models.fit(recording, *args, progress=False, **options)


@pytest.fixture(scope="module")
def ragged():
    """Two passes of trials of 3 to 40 steps, some of unknown label, units of any rate and memory."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 40, 60)
    labels = rng.permutation(np.arange(60) % 4) - 1
    p = np.repeat(rng.uniform(0.1, 0.9, (40, 4))[:, labels], lengths, axis=1)
    dense = rng.random((40, 2 * lengths.sum())) < np.tile(p, 2)
    dense[0], dense[1] = False, True
    return recording_of(dense, labels, lengths, 2)


@pytest.mark.parametrize("model", ["rate", "label", "markov"])
def test_the_parameters_come_back(ragged, model):
    """Of a simulation the same model is fitted within four standard errors, and the standardized errors have variance 1."""
    fitted = fit(ragged)
    found = fit(models.simulate(fitted, like=ragged, model=model, seed=1))
    names = {"rate": ["rate_p"], "label": [f"label_p[{c}]" for c in range(3)], "markov": ["markov_p01", "markov_p11"]}[
        model
    ]
    for name in names:
        stem, _, condition = name.partition("[")
        error = found[f"{stem}_se" + (f"[{condition}" if condition else "")]
        z = ((found[name] - fitted[name]) / error).iloc[2:]
        assert (abs(z) < 4).all()
        assert 0.5 < (z**2).mean() < 1.7
    assert found["quality"].tolist()[:2] == ["silent", "saturated"]


def test_each_bin_is_drawn_from_its_law(ragged):
    """Bit by bit, a loop over the unit's own stream of numbers gives the same spikes, also for chains of order 2."""
    fitted = fit(ragged, order=2)
    for model in ("label", "markov"):
        spikes = models.simulate(fitted, like=ragged, model=model, seed=3).layers[0].raster.dense()
        assert not spikes[0].any()
        assert spikes[1].all()
        for unit in (2, 17):
            row = fitted.iloc[unit]
            key = int(room.unit_keys(fitted.iloc[[unit]], 3)[0])
            numbers = np.random.Generator(np.random.Philox(key=key)).random(ragged.n_bins)
            for trial in ragged.trials.itertuples():
                for t in range(trial.start_bin, trial.stop_bin):
                    p = row["rate_p"] if model == "markov" or trial.label < 0 else row[f"label_p[{trial.label}]"]
                    if model == "markov" and t - trial.start_bin >= 2:
                        p = row[f"markov_p{int(spikes[unit, t - 2])}{int(spikes[unit, t - 1])}1"]
                    assert spikes[unit, t] == (numbers[t] < p)


def test_bits_depend_on_nothing_but_unit_and_seed(ragged, monkeypatch):
    """Selecting units, smaller chunks and a trip through a file change no bit; another seed does."""
    fitted = fit(ragged)
    for model in ("rate", "label", "markov"):
        whole = models.simulate(fitted, like=ragged, model=model, seed=5)
        some = ragged.select(units=[30, 4])
        part = models.simulate(fit(some), like=some, model=model, seed=5)
        np.testing.assert_array_equal(part.raster("hidden"), whole.raster("hidden")[[30, 4]])
        monkeypatch.setattr(room, "_NUMBERS_AT_ONCE", 3 * ragged.n_bins)
        assert models.simulate(fitted, like=ragged, model=model, seed=5).identical(whole)
        monkeypatch.undo()
        other = models.simulate(fitted, like=ragged, model=model, seed=6)
        assert not np.array_equal(other.raster("hidden"), whole.raster("hidden"))


def test_a_table_from_a_file_simulates_the_same(ragged, tmp_path):
    """Parameters are columns, so that a table that went through a CSV file, without its attributes, is as good."""
    fitted = fit(ragged)
    fitted.to_csv(tmp_path / "fitted.csv", index=False)
    read = pd.read_csv(tmp_path / "fitted.csv")
    assert not read.attrs
    for model in ("label", "markov"):
        one, two = (models.simulate(each, like=ragged, model=model, seed=0) for each in (fitted, read))
        assert one.identical(two)


def test_a_simulation_is_a_recording_of_the_same_trials(ragged, tmp_path):
    """Trials and layers are those of the original, the provenance says what it is, and it is analyzed and saved as any other."""
    made = models.simulate(fit(ragged), like=ragged, model="label", seed=0)
    pd.testing.assert_frame_equal(made.trials, ragged.trials)
    assert (made.provenance["simulated"], made.provenance["simulated_seed"]) == ("label", 0)
    assert len(made.provenance["simulated_from"]) == 64
    table = ann2neo.analyze(made, progress=False)
    assert table["unit"].tolist() == list(range(40))
    ann2neo.save(made, tmp_path / "made.nwb")
    assert ann2neo.load(tmp_path / "made.nwb").identical(made)


def test_label_tuning_alone_keeps_tuning_and_loses_memory(slow):
    """A chain whose rate follows the label: simulated as its tuning it keeps the label share and has no memory left."""
    rng = np.random.default_rng(2)
    n = 200 if slow else 40
    labels = np.arange(100) % 2
    dense = np.empty((n, 3000), bool)
    for t in range(3000):
        fresh = rng.random(n) < np.where(labels[t // 30], 0.6, 0.3)
        keep = (rng.random(n) < 0.6) & (t % 30 > 0)
        dense[:, t] = np.where(keep, dense[:, t - 1], fresh)
    original = recording_of(dense, labels, np.full(100, 30))
    fitted = fit(original)
    found = fit(models.simulate(fitted, like=original, model="label", seed=0))
    assert abs(found["label_bits"].mean() / fitted["label_bits"].mean() - 1) < 0.1
    assert fitted["markov_memory"].mean() > 0.55
    assert abs(found["markov_memory"].mean() - 0.09) < 0.02  # what two rates mixed leave: their variance over p (1 - p)
    chain = fit(models.simulate(fitted, like=original, model="markov", seed=0))
    assert abs(chain["markov_memory"].mean() - fitted["markov_memory"].mean()) < 0.02
    assert chain["label_bits_corrected"].mean() < 0.1 * fitted["label_bits"].mean()


def test_bins_without_trials():
    """A number of bins is enough for rates and chains; units and layers are those of the table."""
    recording = recording_of(np.random.default_rng(0).random((3, 400)) < 0.3, np.arange(400) % 2)
    fitted = fit(recording)
    short, long = (models.simulate(fitted, n_bins=n, model="markov", seed=0) for n in (50, 90))
    np.testing.assert_array_equal(long.raster("hidden")[:, :50], short.raster("hidden"))
    assert "label" not in long.trials
    assert long.n_units == 3


def test_units_without_a_chain_are_counted():
    """Where a context never came the rate is followed, and the provenance says for how many."""
    dense = np.zeros((2, 40), bool)
    dense[0, 39], dense[1, ::3] = True, True
    recording = recording_of(dense, np.arange(40) % 2)
    made = models.simulate(fit(recording), like=recording, model="markov", seed=0)
    assert made.provenance["simulated_by_rate"] == 1


def test_what_cannot_be_simulated_is_refused():
    """Missing conditions, units, models and sizes are errors that say what to do; rates in Hz are no probabilities."""
    rng = np.random.default_rng(0)
    recording = recording_of(rng.random((3, 60)) < 0.5, np.arange(60) % 3)
    fitted = fit(recording)
    fewer = recording_of(rng.random((3, 60)) < 0.5, np.arange(60) % 4)
    for table, options, words in (
        (fitted, {"like": recording, "model": "lable"}, "Did you mean 'label'"),
        (fitted, {"like": fewer, "model": "label"}, r"no column 'label_p\[3\]'"),
        (fitted, {"n_bins": 9, "model": "label"}, "conditions of trials"),
        (fitted, {"model": "rate"}, "exactly one of like and n_bins"),
        (fitted, {"like": recording, "n_bins": 3, "model": "rate"}, "exactly one"),
        (fitted, {"n_bins": 0, "model": "rate"}, "at least 1"),
        (fitted, {"n_bins": 10**13, "model": "rate"}, "would not fit into memory"),
        (fitted.iloc[:0], {"n_bins": 9, "model": "rate"}, "no rows"),
        (fitted.assign(unit=["0", "x", "1"]), {"n_bins": 9, "model": "rate"}, "1 of 3 rows name no layer"),
        (fitted.assign(unit=[0, 0.5, np.nan]), {"n_bins": 9, "model": "rate"}, "2 of 3 rows name no layer"),
        (fitted.assign(layer=None), {"n_bins": 9, "model": "rate"}, "3 of 3 rows name no layer"),
        (fitted, {"like": recording, "model": "gain"}, "no column 'gain_rho'"),
        (fitted.assign(rate_p="x"), {"n_bins": 9, "model": "rate"}, "3 of 3 values of 'rate_p' are not probabilities"),
        (fitted.iloc[:2], {"like": recording, "model": "rate"}, "1 of 3 units are not in the table"),
        (pd.concat([fitted, fitted]), {"like": recording, "model": "rate"}, "more than one row"),
        (fit(recording, ("rate",)), {"like": recording, "model": "markov"}, "no column 'markov_p01'"),
        (fitted.assign(rate_p=2.0), {"like": recording, "model": "rate"}, "are not probabilities"),
        (fitted.rename(columns={"rate_p": "rate_hz"}), {"like": recording, "model": "rate"}, "in Hz"),
    ):
        with pytest.raises(AnalysisError, match=words):
            models.simulate(table, seed=0, **options)
    with pytest.raises(AnalysisError, match="seed=-1"):
        models.simulate(fitted, like=recording, model="rate", seed=-1)


def test_conditions_that_are_missing_are_unknown(tmp_path):
    """NaN is no condition: the others have their means, also for strings of any kind and after a trip through CSV."""
    rng = np.random.default_rng(0)
    dense = rng.random((2, 60)) < 0.5
    for side in (np.tile([0.5, np.nan, 2.0], 20), np.tile(["a,b]", "01", 'nan "x"'], 20)):
        recording = recording_of(dense, np.zeros(60, int), side=side)
        fitted = fit(recording, ("label",), by="side")
        known = [value for value in side[:3].tolist() if value == value]
        assert [name for name in fitted if name.startswith("label_p[")] == [f"label_p[{v}]" for v in sorted(known)]
        for value in known:
            np.testing.assert_allclose(fitted[f"label_p[{value}]"], dense[:, side == value].mean(axis=1))
        ann2neo.write_table(fitted, tmp_path / f"{len(known)}.csv")
        made, again = (
            models.simulate(table, like=recording, model="label", seed=0)
            for table in (fitted, ann2neo.read_table(tmp_path / f"{len(known)}.csv"))
        )
        assert made.identical(again)


def test_negative_conditions_are_told_once_and_text_is_not_negative():
    """-1 is an unknown label; other negative numbers may be conditions, which the cure makes of them."""
    angles = np.tile([-45, 0, 45], 20)
    recording = recording_of(np.random.default_rng(0).random((2, 60)) < 0.5, np.zeros(60, int), angle=angles)
    with pytest.warns(Ann2NeoWarning, match=r"20 of 60 trials have a negative angle \(-45\)") as told:
        fitted = fit(recording, ("label",), by="angle")
    assert len(told) == 1
    assert fitted.attrs["conditions"] == [0, 45]
    cure = str(told[0].message).split("such as ")[1].rstrip(".")
    mended = replace(recording, trials=eval(cure, {"trials": recording.trials}))
    assert fit(mended, ("label",), by="angle").attrs["conditions"] == ["-45", "0", "45"]
    unknown = recording_of(recording.raster("hidden"), np.tile([-1, 0, 1], 20))
    assert fit(unknown, ("label",)).attrs["conditions"] == [0, 1]


def test_a_condition_that_was_not_fitted_is_no_misspelling():
    """The message names no other condition, and its cure leads to a simulation."""
    dense = np.random.default_rng(0).random((2, 60)) < 0.5
    fitted, recording = fit(recording_of(dense, np.arange(60) % 2)), recording_of(dense, np.arange(60) % 3)
    with pytest.raises(AnalysisError, match=r"no column 'label_p\[2\]'") as told:
        models.simulate(fitted, like=recording, model="label", seed=0)
    assert "mean" not in str(told.value)
    cure = str(told.value).split("`")[1]
    again = eval(cure, {"ann2neo": ann2neo, "recording": recording})
    assert models.simulate(again, like=recording, model="label", seed=0).n_units == 2


@pytest.fixture(scope="module")
def gained(ragged):
    """The trials of `ragged`, with gains around labels and a few bursts; all models fitted."""
    rng, lengths = np.random.default_rng(4), np.diff(ragged.stretches)[:60]
    labels = ragged.trials["label"].to_numpy()[:60]
    mean = rng.uniform(0.15, 0.8, (40, 4))[:, labels]
    p = np.repeat(rng.beta(mean * 5, (1 - mean) * 5), lengths, axis=1)
    dense = rng.random((40, 2 * lengths.sum())) < np.tile(p, 2)
    dense[0], dense[1] = False, True
    recording = recording_of(dense, labels, lengths, 2)
    return recording, fit(recording, ("label", "gain", "label_gain", "renewal"))


@pytest.mark.parametrize(
    ("model", "names"),
    [("gain", ["gain_mu", "gain_rho"]), ("label_gain", ["label_gain_rho"]), ("renewal", ["renewal_r", "renewal_mean"])],
)
def test_gains_and_intervals_come_back(gained, model, names, tmp_path):
    """What shares a window, or lies between spikes, is fitted again within four standard errors, also after a trip through a file, in any chunk."""
    recording, fitted = gained
    simulated = models.simulate(fitted, like=recording, model=model, seed=1)
    found = fit(simulated, ("label", model))
    for name in names:
        z = ((found[name] - fitted[name]) / found[f"{name}_se"]).iloc[2:]
        assert (abs(z) < 4).all()
        assert 0.4 < (z**2).mean() < 2.2
    assert found["quality"].tolist()[:2] == ["silent", "saturated"]
    assert simulated.provenance["simulated_by_rate"] == 2
    ann2neo.write_table(fitted, tmp_path / "fitted.csv")
    again = models.simulate(ann2neo.read_table(tmp_path / "fitted.csv"), like=recording, model=model, seed=1)
    dense = simulated.layers[0].raster.dense()
    assert (again.layers[0].raster.dense() == dense).all()
    few = recording.select(units=[3, 30])
    assert (models.simulate(fitted, like=few, model=model, seed=1).layers[0].raster.dense() == dense[[3, 30]]).all()


def test_windows_of_a_gain_are_those_that_were_fitted(gained):
    """Windows of five bins share a probability, longer ones do not; without the attribute nothing is guessed."""
    recording, _ = gained
    fitted = fit(recording, ("gain",), windows=5)
    fitted["gain_rho"], fitted["gain_mu"] = 0.95, 0.5
    dense = models.simulate(fitted, like=recording, model="gain", seed=2).layers[0].raster.dense()[2:]
    known = np.repeat(recording.trials["label"].to_numpy() >= 0, np.diff(recording.stretches))
    place = np.arange(known.size) - np.repeat(recording.stretches[:-1], np.diff(recording.stretches))
    within = np.flatnonzero(known[1:] & (place[1:] % 5 > 0))
    across = np.flatnonzero(known[1:] & (place[1:] % 5 == 0) & (place[1:] > 0))
    same = dense[:, 1:] == dense[:, :-1]
    assert same[:, within].mean() > 0.95
    assert 0.4 < same[:, across].mean() < 0.6
    fitted.attrs = {}
    with pytest.raises(AnalysisError, match="do not name the windows of the gain"):
        models.simulate(fitted, like=recording, model="gain", seed=2)


@pytest.mark.parametrize("r", [0.4, 3.0, np.inf])
def test_a_renewal_process_begins_at_an_arbitrary_moment(r):
    """In every bin of a stretch a spike is as likely, and intervals within are those of SciPy's law."""
    from scipy import stats

    one = ann2neo.from_array(np.zeros((4000, 12, 1), bool), trial_axis=0)
    fitted = fit(one, ("rate", "renewal"), by=None).assign(rate_p=0.25, renewal_r=r, renewal_mean=4.0)
    dense = models.simulate(fitted, like=one, model="renewal", seed=0).layers[0].raster.dense()[0].reshape(4000, 12)
    assert (abs(dense.mean(axis=0) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)).all()
    law = stats.poisson(3.0) if np.isinf(r) else stats.nbinom(r, r / (r + 3.0))
    starts = np.flatnonzero(dense[:, 0])
    after = np.where(dense[starts, 1:].any(axis=1), dense[starts, 1:].argmax(axis=1), 11)
    share = np.bincount(after, minlength=12)[:6] / starts.size
    assert (abs(share - law.pmf(np.arange(6))) < 4 * np.sqrt(0.25 / starts.size)).all()
