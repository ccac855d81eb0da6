"""Surrogates keep what they promise and destroy the rest; bands and intervals hold the truth as often as they say."""

import itertools
import warnings

import jaxtyping
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from strategies import recordings, small_recording, trials_of

import ann2neo
from ann2neo import chance, figures
from ann2neo import raster as raster_module
from ann2neo.errors import AnalysisError, Ann2NeoWarning, RecordingError
from ann2neo.measures.bits import SpikeBits
from ann2neo.measures.bulk import measure_bits
from ann2neo.measures.indicators import PERMUTED as INDICATORS
from ann2neo.raster import Raster
from ann2neo.recording import Layer, Recording, make_trials
from ann2neo.surrogates import across_networks, jackknife, null_bands, permutations, permute
from ann2neo.surrogates.bands import rearranged


def shared_noise(rng, n_bins, n_units, *, tuning=0.0, labels=None, shared=1.0):
    """Units that all fire more to some inputs than to others, whatever the label."""
    gain = np.exp(shared * rng.standard_normal(n_bins) - shared**2 / 2)
    rate = np.full((n_bins, n_units), 0.2)
    if labels is not None:
        rate = rate * (1 + tuning * np.cos(labels[:, None] + np.arange(n_units)))
    return ann2neo.from_array(rng.random((n_bins, n_units)) < rate * gain[:, None], labels=labels)


def sequences(rng, lengths, n_units=4, n_passes=2):
    """Trials of several bins, in two passes, with labels."""
    n = len(lengths)
    dense = rng.random((n_units, int(np.sum(lengths)) * n_passes)) < 0.4
    layer = Layer(
        name="rnn",
        shape=(n_units,),
        dtype="float32",
        units=np.arange(n_units),
        thresholds=np.zeros(n_units),
        raster=Raster.from_dense(dense, n_passes=n_passes),
    )
    trials = make_trials(
        n, n_passes=n_passes, lengths=np.array(lengths), stimulus_id=np.arange(n), label=np.arange(n) % 2
    )
    return Recording(layers=(layer,), trials=trials, bin_size_ms=1.0, provenance={"input_order": "presented"})


def blocks(recording, layer):
    """What each unit does in each trial, in all passes together: [unit][trial] -> bytes."""
    rows = trials_of(recording)[["start_bin", "stop_bin"]].to_numpy()
    dense = recording.raster(layer).reshape(recording.layer(layer).n_units, recording.n_passes, -1)
    return [[dense[unit, :, a:b].tobytes() for a, b in rows] for unit in range(len(dense))]


def quietly(function, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ann2NeoWarning)
        return function(*args, **options, progress=False)


@pytest.fixture
def simulation():
    """Thousands of small measurements: their signatures are checked by all other tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


# permute


@given(recordings(), st.sampled_from(["jointly", "per_unit"]), st.integers(0, 5))
@settings(deadline=None, max_examples=40)
def test_trials_move_whole_and_nothing_else_changes(recording, how, seed):
    """Each unit has the same trials, each whole and of all passes, in another order; the table of trials is untouched."""
    lengths = trials_of(recording).eval("stop_bin - start_bin")
    if lengths.is_unique:
        with pytest.raises(AnalysisError, match="same number of bins"):
            permute(recording, how=how, seed=seed)
        return
    surrogate = quietly(permute, recording, how=how, seed=seed)
    assert surrogate.trials.equals(recording.trials)
    assert surrogate.provenance["surrogate"] == how
    for layer in recording.layers:
        before, after = blocks(recording, layer.name), blocks(surrogate, layer.name)
        assert [sorted(unit) for unit in before] == [sorted(unit) for unit in after]
        if how == "jointly":
            dense, moved = recording.raster(layer.name).astype(int), surrogate.raster(layer.name).astype(int)
            assert np.array_equal(dense @ dense.T, moved @ moved.T)
            assert sorted(zip(*before)) == sorted(zip(*after))


def test_jointly_keeps_what_layers_do_together_and_per_unit_destroys_it():
    """Two layers that are copies of each other stay copies, or become as unlike as chance makes them."""
    recording = small_recording(n_units=6, n_trials=400, n_passes=1)
    twin = recording.layers[1]
    copy = Layer(**{f: getattr(twin, f) for f in ("shape", "dtype", "units", "thresholds", "raster")}, name="copy")
    both = Recording(layers=(twin, copy), trials=recording.trials, bin_size_ms=1.0, provenance=recording.provenance)
    jointly = permute(both, how="jointly", seed=1)
    assert np.array_equal(jointly.raster("copy"), jointly.raster(twin.name))
    assert not np.array_equal(jointly.raster("copy"), both.raster("copy"))
    apart = permute(both, how="per_unit", seed=1, progress=False)
    a, b = apart.raster("copy")[2:].astype(float), apart.raster(twin.name)[2:].astype(float)
    across = [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b)]
    within = [np.corrcoef(a[i], a[j])[0, 1] for i, j in itertools.combinations(range(4), 2)]
    assert np.abs(across + within).max() < 5 / np.sqrt(400)


def test_a_unit_is_permuted_alike_in_any_company(monkeypatch):
    """Selecting, reordering and chunking units does not change a bit of any; another seed or number does."""
    recording = small_recording(n_units=10, n_trials=80)
    whole = permute(recording, how="per_unit", seed=3, progress=False)
    some = permute(recording.select(layers="fc*", units=[7, 2, 5]), how="per_unit", seed=3, progress=False)
    assert np.array_equal(some.raster("fc/relu:1"), whole.raster("fc/relu:1")[[7, 2, 5]])
    few = permute(recording.select(layers="fc*"), how="jointly", seed=3)
    assert np.array_equal(few.raster("fc/relu:1"), permute(recording, seed=3).raster("fc/relu:1"))
    monkeypatch.setattr(permutations, "CHUNK_BYTES", 8)
    assert permute(recording, how="per_unit", seed=3, progress=False).identical(whole)
    for other in ({"seed": 4}, {"seed": 3, "number": 1}):
        assert not np.array_equal(
            permute(recording, how="per_unit", progress=False, **other).raster("fc/relu:1"), whole.raster("fc/relu:1")
        )


def test_all_orders_are_equally_likely(simulation):
    """Over 1200 permutations of 4 inputs each of the 24 orders comes as often as chance has it."""
    recording = ann2neo.from_array(np.eye(4, dtype=bool))
    for how in ("jointly", "per_unit"):
        orders = []
        for number in range(1200):
            moved = permute(recording, how=how, seed=0, number=number, progress=False).raster("array")
            orders.append(tuple(np.argmax(moved, axis=1)) if how == "jointly" else (int(np.argmax(moved[1])),))
        _, counts = np.unique(orders, axis=0, return_counts=True)
        assert counts.size == (24 if how == "jointly" else 4)
        assert stats.chisquare(counts).pvalue > 0.001


def test_trials_of_unlike_length_are_told_of():
    """A trial without a partner keeps its spikes, and the user hears of it."""
    recording = sequences(np.random.default_rng(0), [3, 3, 3, 5])
    with pytest.warns(Ann2NeoWarning, match="1 of 4 trials"):
        surrogate = permute(recording, seed=0)
    assert np.array_equal(surrogate.raster("rnn")[:, 9:14], recording.raster("rnn")[:, 9:14])


def test_a_surrogate_of_a_surrogate_is_refused():
    """Its provenance could not tell how to make it again."""
    with pytest.raises(RecordingError, match="already a surrogate"):
        permute(permute(small_recording(), seed=0), seed=1)


# null_bands


def test_values_are_those_of_summarize():
    """The observed values, whatever the chunks, are what `summarize` says."""
    recording = small_recording(n_units=30, n_trials=90)
    bands = null_bands(recording, n_permutations=39, progress=False)
    summary = ann2neo.summarize(ann2neo.analyze(recording, progress=False)).set_index(["layer", "population"])
    assert len(bands) == len(summary) * len(INDICATORS)
    assert bands["layer"].iloc[-1] == "network"
    for row in bands.itertuples():
        expected = summary.loc[(row.layer, row.population), row.indicator]
        assert row.value == pytest.approx(expected, rel=1e-12, abs=1e-15), row


@pytest.mark.parametrize("windows", ["label", 15])
def test_bands_are_those_of_permuted_recordings(windows, monkeypatch):
    """Analyzing each joint surrogate by itself gives the same mean, sd, band and p; chunks do not matter."""
    recording = small_recording(n_units=14, n_trials=60)
    names = ["fano_mean", "fano_var", "cv_mean", "lv_mean", "label_share_adjusted_mean"]
    monkeypatch.setattr(raster_module, "CHUNK_BYTES", 600)
    bands = null_bands(
        recording, windows=windows, indicators=names, n_permutations=19, confidence=0.9, seed=5, progress=False
    )
    summaries = [
        ann2neo.summarize(ann2neo.analyze(permute(recording, seed=5, number=i), windows=windows, progress=False))
        for i in range(19)
    ]
    slow = pd.concat(summaries)
    for row in bands.itertuples():
        chosen = (slow["layer"] == row.layer) & (slow["population"] == row.population)
        null = slow.loc[chosen, row.indicator].to_numpy()
        assert [row.null_mean, row.null_sd, row.null_low, row.null_high] == pytest.approx(
            [null.mean(), null.std(ddof=1), null.min(), null.max()], rel=1e-9
        )
        assert row.p_greater == (1 + np.sum(null >= row.value - 1e-12)) / 20
        assert row.p_less == (1 + np.sum(null <= row.value + 1e-12)) / 20
        assert row.p == min(1, 2 * min(row.p_greater, row.p_less))


def test_the_mean_over_all_permutations_is_the_closed_form(simulation):
    """Over all 720 orders of 6 inputs the Fano factor and label share average to what `chance` expects, exactly."""
    window = np.array([0, 0, 0, 1, 1, 2])
    dense = np.array([[1, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0], [1, 1, 1, 1, 1, 0]], np.uint8)[None]
    spikes = SpikeBits(
        bits=np.packbits(dense, axis=2),
        pass_bins=6,
        bin_size_ms=1.0,
        stretch_edges=np.array([0, 6]),
        window=window,
        window_pass=np.zeros(3, int),
        label=window,
    )
    all_orders = itertools.permutations(range(6))
    found = [measure_bits(rearranged(spikes, dense, order=np.array(order))) for order in all_orders]
    n, bins = np.array([1, 3, 5]), np.array([3, 2, 1])
    fano = np.mean([measured["fano"] for measured in found], axis=0)
    assert fano == pytest.approx(chance.expected_fano(n[:, None], bins), rel=1e-12)
    share = np.mean([measured["label_share"] for measured in found], axis=0)
    assert share == pytest.approx(chance.expected_label_share(n, bins), rel=1e-12)


def test_surrogates_average_to_what_the_table_expects():
    """On a tuned population the null means are the mean expectations of its units, within the error of 199 draws."""
    rng = np.random.default_rng(2)
    recording = shared_noise(rng, 600, 40, tuning=0.8, labels=rng.integers(0, 6, 600))
    names = ["fano_mean", "cv_mean", "cv2_mean", "lv_mean", "label_share_mean"]
    bands = null_bands(recording, indicators=names, progress=False).set_index(["layer", "population", "indicator"])
    row = ann2neo.summarize(ann2neo.analyze(recording, progress=False)).iloc[0]
    for name in names:
        null = bands.loc[("array", "all", name)]
        expected = row[name.replace("_mean", "_expected_mean")]
        assert abs(null["null_mean"] - expected) < 4.5 * null["null_sd"] / np.sqrt(199) + 2e-3 * expected, name
    assert (bands.loc[("array", "all")].loc[["fano_mean", "label_share_mean"], "p"] == 0.01).all()


def test_p_is_uniform_where_inputs_mean_nothing(simulation):
    """Units with much noise in common but no tuning: p_greater is uniform, as it would not be for independent units."""
    rng = np.random.default_rng(0)
    found = {"fano_mean": [], "lv_mean": []}
    z = []
    for _ in range(60):
        recording = shared_noise(rng, 120, 30, labels=rng.permutation(np.arange(120) % 4))
        bands = null_bands(recording, indicators=list(found), n_permutations=19, confidence=0.9, progress=False)
        for name in found:
            row = bands[(bands["indicator"] == name) & (bands["layer"] == "array") & (bands["population"] == "all")]
            found[name].append(row["p_greater"].item())
        table = ann2neo.analyze(recording, progress=False)
        gap = table["fano"] - table["fano_expected"]
        z.append(gap.mean() / (gap.std() / np.sqrt(len(gap))))
    for name, p in found.items():
        counts = np.bincount(np.ceil(np.array(p) * 5 - 1e-9).astype(int) - 1, minlength=5)
        assert stats.chisquare(counts).pvalue > 0.001, name
    assert np.mean(np.abs(z) > 1.96) > 0.2  # what sd / sqrt(units) would have called significant at 5 %


def test_what_no_permutation_changes_has_no_band():
    """Rates never; intervals not where they lie inside trials; one-bin windows have no Fano factor at all."""
    bands = null_bands(small_recording(), windows="label", n_permutations=39, progress=False)
    rates = bands["indicator"].str.startswith(("firing_rate", "p_spike"))
    assert bands.loc[rates, "value"].notna().all()
    assert (
        bands.loc[rates, ["null_mean", "null_sd", "null_low", "null_high", "p_greater", "p_less", "p"]]
        .isna()
        .all()
        .all()
    )
    assert bands.loc[bands["indicator"] == "fano_mean", "p"].notna().all()
    inside = null_bands(sequences(np.random.default_rng(1), [8] * 12), n_permutations=39, progress=False)
    inside = inside[inside["layer"] == "rnn"].set_index(["population", "indicator"])["p"]["all"]
    assert inside[["cv_mean", "cv2_mean", "lv_mean"]].isna().all()
    assert inside[["fano_mean", "label_share_mean"]].notna().all()
    single = null_bands(small_recording(), windows="trial", indicators=["fano_mean"], n_permutations=39, progress=False)
    assert single[["value", "p"]].isna().all().all()


def test_the_value_is_outside_just_where_p_is_small():
    """Band and p value say the same, at two confidences."""
    recording = small_recording(n_units=8, n_trials=100, seed=4)
    for confidence in (0.8, 0.95):
        bands = null_bands(recording, windows=10, confidence=confidence, n_permutations=79, progress=False).dropna()
        outside = (bands["value"] < bands["null_low"]) | (bands["value"] > bands["null_high"])
        assert (outside == (bands["p"] <= 1 - confidence + 1e-9)).all()


def test_impossible_bands_are_refused():
    """Too few surrogates, an unknown indicator, none, a confidence of 1: each is named."""
    recording = small_recording()
    for options, message in (
        ({"n_permutations": 38}, "n_permutations=39"),
        ({"indicators": ["fano_means"]}, "Did you mean 'fano_mean'"),
        ({"indicators": []}, "`indicators` is empty"),
        ({"confidence": 1.0}, "between 0 and 1"),
    ):
        with pytest.raises(AnalysisError, match=message):
            null_bands(recording, progress=False, **options)


# jackknife


def test_leaving_out_one_input_gives_the_standard_error_of_a_mean():
    """For a mean rate the delete-one jackknife is sd / sqrt(inputs) of the population's rate, exactly."""
    recording = shared_noise(np.random.default_rng(0), 50, 30)
    row = jackknife(recording, windows=50, indicators=["p_spike_mean"], n_groups=50, progress=False).iloc[0]
    rate = recording.raster("array").mean(axis=0)
    assert row["standard_error"] == pytest.approx(rate.std(ddof=1) / np.sqrt(50), rel=1e-9)
    assert (row["low"], row["high"]) == pytest.approx(stats.t.interval(0.95, 49, row["value"], row["standard_error"]))


def test_leaving_out_is_recording_without():
    """Groups that are cut out of the bits give what recordings of the other inputs alone give."""
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.repeat([0, 1, 2], 20))
    dense = rng.random((60, 9)) < 0.3 + 0.2 * (labels == 1)[:, None]
    names = ["firing_rate_var", "p_spike_var", "label_share_mean", "label_share_adjusted_mean"]
    found = jackknife(ann2neo.from_array(dense, labels=labels), indicators=names, n_groups=5, progress=False)
    place = np.empty(60, int)
    for label in range(3):
        place[labels == label] = np.arange(20)
    slow = []
    for group in range(5):
        kept = place // 4 != group
        table = ann2neo.analyze(ann2neo.from_array(dense[kept], labels=labels[kept]), progress=False)
        slow.append(ann2neo.summarize(table).iloc[0][names].astype(float))
    spread = np.sqrt(4 / 5 * np.sum((np.array(slow) - np.mean(slow, axis=0)) ** 2, axis=0))
    assert found.iloc[:4]["standard_error"].to_numpy() == pytest.approx(spread, rel=1e-9)


def test_intervals_hold_the_truth_where_units_share_their_noise(simulation):
    """95 % intervals hold the true mean rate about that often; mean +- 2 sd / sqrt(units) rarely does."""
    rng = np.random.default_rng(1)
    labels = np.arange(160) % 4
    truth = 0.5 * (stats.norm.cdf(np.linspace(-1, 1, 4))).mean()
    covered, naive = [], []
    for _ in range(100):
        shared = rng.random(160) < 0.5
        rate = shared[:, None] * stats.norm.cdf(np.linspace(-1, 1, 4))[labels][:, None] * np.ones(40)
        recording = ann2neo.from_array(rng.random((160, 40)) < rate, labels=labels)
        row = jackknife(recording, indicators=["p_spike_mean"], n_groups=10, progress=False).iloc[0]
        covered.append(row["low"] <= truth <= row["high"])
        units = recording.raster("array").mean(axis=1)
        naive.append(abs(units.mean() - truth) <= stats.t.isf(0.025, 39) * units.std(ddof=1) / np.sqrt(40))
    assert 0.9 <= np.mean(covered) <= 0.99
    assert np.mean(naive) < 0.5


def test_intervals_of_other_indicators_hold_what_they_estimate(simulation):
    """Over many draws of inputs the interval of a tuned population's Fano factor, label share and Lv holds their mean."""
    rng = np.random.default_rng(5)
    names, labels = ["fano_mean", "label_share_mean", "lv_mean"], np.arange(300) % 5
    rng.shuffle(labels)
    drawn = []
    for _ in range(40):
        recording = shared_noise(rng, 300, 10, tuning=0.9, labels=labels, shared=0.3)
        drawn.append(
            jackknife(recording, indicators=names, n_groups=12, progress=False)
            .iloc[:3][["value", "low", "high"]]
            .to_numpy()
        )
    value, low, high = np.moveaxis(np.array(drawn), 2, 0)
    truth = value.mean(axis=0)
    held = ((low <= truth) & (truth <= high)).mean(axis=0)
    assert (held >= 0.85).all()
    assert ((high - low).mean(axis=0) / 2 < 1.5 * stats.t.isf(0.025, 11) * value.std(axis=0)).all()


@pytest.mark.parametrize("lengths", [[6] * 14, [4, 6, 5, 6, 4, 5, 7, 9, 3, 4]])
@pytest.mark.parametrize("windows", ["label", "trial", 3])
def test_sequences_and_passes_can_be_left_out(lengths, windows):
    """Trials of several bins are left out whole, in all passes; the value is that of the whole recording."""
    recording = sequences(np.random.default_rng(2), lengths)
    found = jackknife(recording, windows=windows, n_groups=5, progress=False)
    summary = ann2neo.summarize(ann2neo.analyze(recording, windows=windows, progress=False)).iloc[0]
    rows = found[(found["layer"] == "rnn") & (found["population"] == "all")].set_index("indicator")
    for name in INDICATORS:
        assert rows.loc[name, "value"] == pytest.approx(summary[name], nan_ok=True)
    assert (rows.loc[["firing_rate_mean", "cv_mean", "lv_mean", "fano_mean"], "standard_error"] > 0).all()


def test_impossible_groups_are_refused():
    """One group leaves nothing, more groups than inputs leave out nothing."""
    for n_groups in (1, 61):
        with pytest.raises(AnalysisError, match="60 trials"):
            jackknife(small_recording(), n_groups=n_groups, progress=False)


# across_networks


def tables_of(rates):
    """Networks that differ in their spikes, on the same inputs."""
    recordings = [small_recording(rate=rate) for rate in rates]
    return [ann2neo.analyze(recording, progress=False) for recording in recordings]


def test_the_network_is_the_replicate():
    """Mean and t interval over networks are SciPy's, from one number per network."""
    tables = tables_of([0.2, 0.3, 0.45, 0.5, 0.7])
    found = across_networks(tables, confidence=0.9)
    values = [ann2neo.summarize(table).iloc[2]["fano_var"] for table in tables]
    row = found[
        (found["layer"] == "fc/relu:1") & (found["population"] == "all") & (found["indicator"] == "fano_var")
    ].iloc[0]
    error = stats.sem(values)
    assert row["n_networks"] == 5
    assert (row["value"], row["standard_error"]) == pytest.approx((np.mean(values), error))
    assert (row["low"], row["high"]) == pytest.approx(stats.t.interval(0.9, 4, np.mean(values), error))
    assert found.equals(across_networks([ann2neo.summarize(table) for table in tables], confidence=0.9))
    assert found["layer"].iloc[-1] == "network"


def test_one_network_has_no_interval_and_unlike_ones_no_network_row():
    """An error needs two; networks of other layers are not pooled."""
    tables = tables_of([0.2, 0.5])
    alone = across_networks(tables[:1])
    assert alone["value"].notna().any()
    assert alone[["sd", "standard_error", "low", "high"]].isna().all().all()
    attrs, tables[1] = tables[1].attrs, tables[1][tables[1]["layer"] == "fc/relu:1"]
    tables[1].attrs = attrs
    found = across_networks(tables, indicators=["p_spike_mean"])
    assert found.loc[found["population"] == "all", ["layer", "n_networks"]].to_numpy().tolist() == [
        ["features.3", 1],
        ["fc/relu:1", 2],
    ]


def test_networks_measured_unlike_are_refused():
    """No mean of numbers that mean different things."""
    other = ann2neo.analyze(small_recording(), windows=10, progress=False)
    with pytest.raises(AnalysisError, match="'windows'"):
        across_networks([*tables_of([0.5]), other])
    with pytest.raises(AnalysisError, match="`tables` is empty"):
        across_networks([])


# figure


def test_the_figure_shows_bands_and_values():
    """A tuned layer is drawn outside its band; an indicator that was not computed is refused."""
    rng = np.random.default_rng(2)
    bands = null_bands(shared_noise(rng, 300, 10, tuning=0.9, labels=rng.integers(0, 4, 300)), progress=False)
    drawn = figures.null_band(bands)
    (legend,) = drawn.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "95 % of 199 surrogates",
        "their mean",
        "observed, outside",
    ]
    assert [tick.get_text() for tick in drawn.ax.get_yticklabels()] == ["array", "network"]
    assert figures.png(figures.null_band(bands, indicator="firing_rate_mean"))
    with pytest.raises(AnalysisError, match="isi"):
        figures.null_band(bands, indicator="isi_mean")
