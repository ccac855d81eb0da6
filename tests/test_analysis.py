"""One table from any source: the same numbers by either engine, from a recording, its files, or neo objects of others."""

import inspect
import itertools
import warnings
from dataclasses import replace

import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import recordings, small_recording
from torch import nn

import ann2neo
from ann2neo.errors import AnalysisError, Ann2NeoWarning, SpikeTrainError, WindowError

slow = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def analyze(spikes, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ann2NeoWarning)
        return ann2neo.analyze(spikes, progress=False, **options)


def assert_same(a, b):
    """Equal bit for bit, NaN for NaN."""
    pd.testing.assert_frame_equal(a, b, check_exact=True)


@slow
@given(recordings(), st.sampled_from([None, "trial", 1, 2, "label"]))
def test_the_engines_agree_bit_for_bit(recording, windows):
    """Elephant on spike trains and the bulk engine on bits give one table, or refuse alike."""
    try:
        bulk = analyze(recording, windows=windows, engine="bulk")
    except WindowError:
        with pytest.raises(WindowError):
            analyze(recording, windows=windows, engine="elephant")
        return
    elephant = analyze(recording, windows=windows, engine="elephant")
    assert_same(bulk, elephant)
    assert {**bulk.attrs, "engine": ""} == {**elephant.attrs, "engine": ""}


@slow
@given(recordings(max_trials=8), st.randoms(use_true_random=False))
def test_a_permutation_of_units_permutes_the_table(recording, random):
    """A unit's row does not depend on its neighbours."""
    layer = recording.layers[0]
    order = random.sample(range(layer.n_units), layer.n_units)
    try:
        table = analyze(recording.select(layers=None), windows="trial")
    except WindowError:
        return
    permuted = analyze(recording.select(units={layer.name: order}), windows="trial")
    own = table[table["layer"] == layer.name].reset_index(drop=True)
    assert_same(
        permuted[permuted["layer"] == layer.name].reset_index(drop=True), own.iloc[order].reset_index(drop=True)
    )


@pytest.mark.parametrize("suffix", [".nwb", ".nix", ".zarr"])
@pytest.mark.parametrize("order", ["presented", "label"])
def test_files_give_the_table_of_the_recording(tmp_path, suffix, order):
    """What was saved and loaded, and a Block of it, are analyzed to the same bits."""
    recording = small_recording().arrange(order)
    ann2neo.save(recording, tmp_path / f"rec{suffix}")
    table = analyze(recording)
    assert_same(analyze(ann2neo.load(tmp_path / f"rec{suffix}")), table)
    assert_same(analyze(ann2neo.to_block(recording)), table)


def test_chunks_do_not_change_the_table(monkeypatch):
    """Chunk by chunk is the whole."""
    recording = small_recording(n_units=10)
    whole = analyze(recording)
    monkeypatch.setattr("ann2neo.raster.CHUNK_BYTES", 1)
    assert_same(analyze(recording), whole)


def test_the_order_of_trials_matters_for_intervals_and_not_for_label_windows():
    """Label windows hold the same spikes in any order; intervals do not."""
    recording = small_recording(n_passes=1)
    presented, by_label = analyze(recording), analyze(recording.arrange("label"))
    for column in ("n_spikes", "firing_rate", "fano", "label_share", "fano_expected"):
        assert np.array_equal(presented[column], by_label[column], equal_nan=True)
    assert not np.array_equal(presented["isi_var"], by_label["isi_var"], equal_nan=True)
    assert presented.attrs["order"] == "presented"
    assert by_label.attrs["order"] == "label"


def raw_measures(active, labels):
    """Measures of one unit by a plain loop over its raw activations; no ann2neo, no neo, no Elephant."""
    bins = [k for k, spike in enumerate(active) if spike]
    gaps = [float(b - a) for a, b in itertools.pairwise(bins)]
    pairs = list(itertools.pairwise(gaps))
    counts = [sum(spike for spike, label in zip(active, labels) if label == c) for c in sorted(set(labels))]
    mean, mean_count = sum(gaps) / len(gaps) if gaps else np.nan, sum(counts) / len(counts)
    variance = sum((g - mean) ** 2 for g in gaps) / len(gaps) if gaps else np.nan
    return {
        "n_spikes": len(bins),
        "firing_rate": 1000.0 * len(bins) / len(active),
        "isi_mean": mean,
        "isi_var": variance,
        "cv": variance**0.5 / mean if gaps else np.nan,
        "cv2": sum(2 * abs(b - a) / (a + b) for a, b in pairs) / len(pairs) if pairs else np.nan,
        "lv": sum(3 * ((b - a) / (a + b)) ** 2 for a, b in pairs) / len(pairs) if pairs else np.nan,
        "fano": sum((c - mean_count) ** 2 for c in counts) / len(counts) / mean_count if bins else np.nan,
    }


def test_elephant_on_the_file_gives_what_a_loop_over_raw_activations_gives(tmp_path):
    """From a network to NWB, through neo's own reader and Elephant, every unit has the numbers of its raw activations."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images, labels = torch.tensor(data.images[:400, None], dtype=torch.float32) / 16, data.target[:400]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(18, 8), nn.Tanh())
    ann2neo.export(model, ann2neo.Inputs(images, labels=labels), tmp_path / "rec.nwb", progress=False)
    block = neo.io.NWBIO(str(tmp_path / "rec.nwb"), "r").read_block()
    table = analyze(block, windows="label", engine="elephant", bin_size_ms=1.0)
    with torch.no_grad():
        active = torch.cat([(model[:2](images) > 0).flatten(1), model(images) > 0], dim=1).numpy()
    assert len(table) == active.shape[1] == 26
    assert table["layer"].tolist() == ["1"] * 18 + ["4"] * 8
    assert table["unit"].tolist() == [*range(18), *range(8)]
    for unit in range(len(table)):
        for column, value in raw_measures(active[:, unit], labels.tolist()).items():
            assert table[column][unit] == pytest.approx(value, rel=1e-9, nan_ok=True), (column, unit)


@pytest.fixture
def cells():
    """Two cells in two trials of 2 and 3 s, in seconds, as another laboratory would hand them over."""
    rng = np.random.default_rng(5)
    block = neo.Block()
    for stop in (2.0, 3.0):
        segment = neo.Segment()
        for rate in (20, 50):
            times = np.sort(rng.uniform(0.5, 0.5 + stop, rng.poisson(rate * stop)))
            segment.spiketrains.append(neo.SpikeTrain(times * pq.s, t_start=0.5 * pq.s, t_stop=(0.5 + stop) * pq.s))
        block.segments.append(segment)
    return block


@pytest.mark.parametrize("engine", ["elephant", "bulk"])
def test_foreign_blocks_are_analyzed_by_their_own_times(cells, engine):
    """Segments are stretches; numbers are those of Elephant on the user's own trains."""
    from elephant import statistics

    table = analyze(cells, windows=500 * pq.ms, engine=engine)
    assert table.attrs["reference"].startswith("Poisson")
    assert table.attrs["window_min_ms"] == 500
    assert table["p_spike"].isna().all()
    assert table["label_share"].isna().all()
    for unit in range(2):
        trains = [segment.spiketrains[unit] for segment in cells.segments]
        intervals = np.concatenate([statistics.isi(train).magnitude for train in trains])
        pairs = [len(train) - 2 for train in trains]
        assert table["n_spikes"][unit] == sum(map(len, trains))
        assert table["firing_rate"][unit] == pytest.approx(sum(map(len, trains)) / 5)
        assert table["isi_mean"][unit] == pytest.approx(1000 * intervals.mean())
        assert table["cv"][unit] == pytest.approx(statistics.cv(intervals))
        assert table["lv"][unit] == pytest.approx(
            np.average([statistics.lv(statistics.isi(t)) for t in trains], weights=pairs)
        )
        counts = [
            np.histogram(t.magnitude, np.arange(0.5, 0.5 + stop + 1e-9, 0.5))[0] for t, stop in zip(trains, (2, 3))
        ]
        assert table["fano"][unit] == pytest.approx(
            np.mean([statistics.fanofactor([np.arange(n) for n in c]) for c in counts])
        )
    assert table["cv2_expected"].tolist() == [1.0, 1.0]
    assert table["fano_expected"].to_numpy() == pytest.approx(np.mean([3 / 4, 5 / 6]))


def test_trials_of_a_cell_give_a_fano_factor_over_passes():
    """The textbook Fano factor: over trials, segment by segment."""
    rng = np.random.default_rng(0)
    block, counts = neo.Block(), []
    for _ in range(30):
        times = np.sort(rng.uniform(0, 1, rng.poisson(12)))
        counts.append(times.size)
        segment = neo.Segment()
        segment.spiketrains.append(neo.SpikeTrain(times * pq.s, t_stop=1 * pq.s))
        block.segments.append(segment)
    table = analyze(block, windows=1 * pq.s, over="passes")
    assert table["fano"][0] == pytest.approx(np.var(counts) / np.mean(counts))
    assert table["fano_expected"][0] == pytest.approx(29 / 30)


def test_epochs_of_any_source_are_label_windows(cells):
    """Intervals with labels are windows, wherever they lie; spikes outside of them are not counted."""
    segment = cells.segments[0]
    segment.epochs.append(
        neo.Epoch([0.5, 1.0, 2.0] * pq.s, durations=[0.5, 0.5, 0.25] * pq.s, labels=["a", "b", "a"], name="cue")
    )
    table = analyze(segment, windows="cue")
    assert table.attrs["n_windows"] == 2
    assert (table.attrs["window_min_ms"], table.attrs["window_max_ms"]) == (500, 750)
    for unit, train in enumerate(segment.spiketrains):
        t = train.magnitude
        a, b = ((t < 1.0) | ((t >= 2.0) & (t < 2.25))).sum(), ((t >= 1.0) & (t < 1.5)).sum()
        assert table["fano"][unit] == pytest.approx(np.var([a, b]) / np.mean([a, b]))


def test_default_windows_of_a_foreign_source(cells):
    """Without labels and bins, windows last a second; with bins, a hundred of them."""
    assert analyze(cells).attrs["windows"] == "1000 ms"
    lattice = neo.SpikeTrain(np.array([3.25, 100.25, 250.25]) * pq.ms, t_stop=300 * pq.ms)
    table = analyze([lattice], bin_size_ms=1.0)
    assert table.attrs["windows"] == "100 bins"
    assert table.attrs["reference"].startswith("Bernoulli")
    assert table["p_spike"].tolist() == [0.01]


def test_trains_of_different_duration_keep_their_own_rates():
    """Rate is spikes over what was observed of this train; units stay in their order."""
    trains = [neo.SpikeTrain([1, 2, 3] * pq.s, t_stop=stop * pq.s) for stop in (4, 8, 4)]
    table = analyze(trains, windows=2 * pq.s)
    assert table["firing_rate"].tolist() == [0.75, 0.375, 0.75]
    assert table["unit"].tolist() == [0, 1, 2]


def test_masks_and_silent_units():
    """Silent units have a rate of 0 and nothing else; saturated ones no label share."""
    spikes = np.zeros((40, 4), bool)
    spikes[:, 1], spikes[::2, 2], spikes[5, 3] = True, True, True
    table = analyze(ann2neo.from_array(spikes, labels=np.arange(40) % 4))
    assert table["quality"].tolist() == ["silent", "saturated", "good", "too_few"]
    assert table["firing_rate"].tolist() == [0.0, 1000.0, 500.0, 25.0]
    assert table.loc[0, ["isi_mean", "cv", "cv2", "lv", "fano", "label_share"]].isna().all()
    assert np.isnan(table["label_share"][1])
    assert table["fano"][1] == 0.0
    assert table["label_share"][2] == 1.0


def test_one_bin_windows_have_no_fano_factor_and_say_why():
    """Over one-bin windows the Fano factor is 1 - p for every unit."""
    table = analyze(small_recording(), windows="trial")
    assert table["fano"].isna().all()
    assert "1 - p_spike" in table.attrs["masked"]


def test_shuffled_inputs_are_warned_of():
    """A shuffled order has no temporal information: asking for it is answered once, with the reason."""
    with pytest.warns(Ann2NeoWarning, match="no temporal information"):
        ann2neo.analyze(small_recording().arrange("shuffled", seed=0), progress=False)


def unsorted():
    return neo.SpikeTrain([3, 1] * pq.s, t_stop=4 * pq.s)


def beyond():
    train = neo.SpikeTrain([1, 3] * pq.s, t_stop=4 * pq.s)
    train.t_stop = 2 * pq.s
    return train


def uneven():
    block = neo.Block()
    for n in (1, 2):
        segment = neo.Segment()
        segment.spiketrains.extend([neo.SpikeTrain([1] * pq.s, t_stop=2 * pq.s) for _ in range(n)])
        block.segments.append(segment)
    return block


def overlapping():
    segment = neo.Segment()
    segment.spiketrains.append(neo.SpikeTrain([1] * pq.s, t_stop=4 * pq.s))
    segment.epochs.append(neo.Epoch([0, 1] * pq.s, durations=[2, 2] * pq.s, labels=["a", "b"], name="trials"))
    return segment


def two_in_a_bin():
    return [neo.SpikeTrain([1.1, 1.2] * pq.ms, t_stop=4 * pq.ms)]


BAD = {
    "nothing": (list, {}, AnalysisError, "no spike trains"),
    "numbers": (lambda: [1, 2], {}, AnalysisError, "no spike trains"),
    "no segments": (neo.Block, {}, AnalysisError, "no segments"),
    "uneven segments": (uneven, {}, AnalysisError, r"\[1, 2\]"),
    "unsorted": (lambda: [unsorted()], {}, SpikeTrainError, "not sorted"),
    "beyond its end": (lambda: [beyond()], {}, SpikeTrainError, "outside"),
    "overlapping epochs": (overlapping, {}, WindowError, "overlap"),
    "bins without bins": (two_in_a_bin, {"windows": 100}, WindowError, "no bins"),
    "two spikes in a bin": (two_in_a_bin, {"bin_size_ms": 1.0, "windows": 2}, AnalysisError, "in one bin"),
    "no such epoch": (two_in_a_bin, {"windows": "label"}, WindowError, "label"),
    "too long": (two_in_a_bin, {"windows": 5 * pq.ms}, WindowError, "longest: 4"),
    "no duration": (two_in_a_bin, {"windows": 0 * pq.ms}, WindowError, "no duration"),
    "another bin size": (small_recording, {"bin_size_ms": 2.0}, AnalysisError, "cannot be changed"),
    "half a bin": (small_recording, {"windows": 1.5 * pq.ms}, WindowError, "whole bins"),
    "no such column": (small_recording, {"windows": "labels"}, WindowError, "Did you mean 'label'"),
    "one pass": (lambda: small_recording(n_passes=1), {"over": "passes"}, WindowError, "at least two"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_bad_sources_end_in_a_clear_error(case):
    """Fact and cure, in our own tree of errors."""
    make, options, error, match = BAD[case]
    with pytest.raises(error, match=match):
        analyze(make(), **options)


def test_millivolts_are_no_times():
    """neo accepts trains in any unit; a rate per millivolt is refused."""
    train = neo.SpikeTrain([1.0] * pq.mV, t_start=0 * pq.mV, t_stop=2 * pq.mV)
    with pytest.raises(AnalysisError, match="must be one of time"):
        analyze([train])


def test_tests_are_those_of_the_chance_room():
    """Each p value is what the test gives for plain arrays made of the raster by hand; corrected ones count good units only."""
    from ann2neo import chance

    rng = np.random.default_rng(1)
    spikes = rng.random((400, 30)) < np.linspace(0, 1, 30)
    spikes[:, 1] = np.arange(400) % 80 == 0  # too few to count as a test, but enough for a p value
    labels = np.arange(400) % 8
    table = analyze(ann2neo.from_array(spikes, labels=labels), tests=True)
    n = spikes.sum(axis=0)
    counts = np.array([spikes[labels == c].sum(axis=0) for c in range(8)]).T
    runs = (spikes & ~np.vstack([np.zeros(30, bool), spikes[:-1]])).sum(axis=0)
    bins = [np.flatnonzero(column) for column in spikes.T]
    expected = {
        "dispersion_p": chance.dispersion_test(counts, np.full(8, 50)),
        "runs_p": chance.runs_test(runs, n[:, None], np.array([400])),
        "stationarity_p": chance.stationarity_test(np.array([b.sum() for b in bins]), n, n_bins=400),
    }
    for name, values in expected.items():
        assert np.array_equal(table[name], values, equal_nan=True), name
    assert (table["isi_law_p"].notna() == (table["n_spikes"].between(2, 399))).all()
    good = table["quality"] == "good"
    assert table.loc[1, ["quality", "runs_p"]].notna().all()
    assert table.loc[~good, "runs_p_corrected"].isna().all()
    assert np.array_equal(
        table.loc[good, "runs_p_corrected"], chance.false_discovery(table.loc[good, "runs_p"].to_numpy())
    )


def test_tests_do_not_depend_on_chunks_units_or_further_passes(monkeypatch):
    """The randomness of a unit is its own, and repeated inputs are no new evidence of order."""
    recording = small_recording(n_units=20, n_trials=200, n_passes=2)
    whole = analyze(recording, tests=True, seed=4)
    monkeypatch.setattr("ann2neo.raster.CHUNK_BYTES", 1)
    assert_same(analyze(recording, tests=True, seed=4), whole)
    few = analyze(recording.select(units=[5, 2]), tests=True, seed=4)
    assert few["isi_law_p"].tolist()[:2] == [whole["isi_law_p"][5], whole["isi_law_p"][2]]
    once = replace(
        recording,
        layers=tuple(replace(x, raster=replace(x.raster, packed=x.raster.packed[:1])) for x in recording.layers),
        trials=recording.trials[recording.trials["pass"] == 0],
    )
    for name in ("runs_p", "isi_law_p", "stationarity_p"):
        assert np.array_equal(analyze(once, tests=True, seed=4)[name], whole[name], equal_nan=True)
    assert analyze(recording, tests=True, seed=5)["isi_law_p"].tolist() != whole["isi_law_p"].tolist()


def test_a_cell_is_tested_against_poisson(cells):
    """Without bins the references are those of continuous time, and runs are undefined."""
    from ann2neo import chance

    table = analyze(cells, windows=500 * pq.ms, tests=True)
    assert table["runs_p"].isna().all()
    counts, rng = [], np.random.default_rng(0)
    for unit in range(2):
        a, b = (segment.spiketrains[unit].magnitude - 0.5 for segment in cells.segments)
        counts.append([*np.histogram(a, np.arange(0, 2.1, 0.5))[0], *np.histogram(b, np.arange(0, 3.1, 0.5))[0]])
    assert table["dispersion_p"].to_numpy() == pytest.approx(
        chance.dispersion_test(np.array(counts), np.full(10, 0.5), lattice=False)
    )
    for unit, own in enumerate(np.array(counts)):
        orders = np.array([rng.permutation(own) for _ in range(20_000)]) @ np.arange(10)
        away = np.abs(own @ np.arange(10) - own.sum() * 4.5)
        assert table["stationarity_p"][unit] == pytest.approx(
            np.mean(np.abs(orders - own.sum() * 4.5) >= away), abs=0.04
        )
    assert table["isi_law_p"].between(0, 1).all()


def test_lvr_needs_bins_on_a_lattice():
    """On bins the column comes with R > 0 only; R = 0 would be Lv again."""
    recording = small_recording()
    assert "lvr" not in analyze(recording)
    table, elephant = (analyze(recording, refractoriness=2, engine=engine) for engine in ("bulk", "elephant"))
    assert_same(table, elephant)
    assert table.columns.tolist().index("lvr") == table.columns.tolist().index("lv") + 1
    assert table.attrs["refractoriness_ms"] == 2.0
    for wrong in (0, -1, 5 * pq.ms):
        with pytest.raises(AnalysisError, match="number of bins"):
            analyze(recording, refractoriness=wrong)


def test_lvr_of_cells_is_elephants(cells):
    """Without bins R is Elephant's 5 ms, or what the caller says."""
    from elephant import statistics

    segment = cells.segments[0]
    for options, period in (({}, 5.0 * pq.ms), ({"refractoriness": 0.002 * pq.s}, 2.0 * pq.ms)):
        table = analyze(segment, windows=500 * pq.ms, **options)
        expected = [statistics.lvr(statistics.isi(train), R=period) for train in segment.spiketrains]
        assert table["lvr"].to_numpy() == pytest.approx(np.array(expected))
        rates = np.array([len(train) for train in segment.spiketrains]) / 2
        assert table["lvr_expected"].to_numpy() == pytest.approx(1 + 4 * float(period.rescale("s")) * rates)
    with pytest.raises(AnalysisError, match="duration"):
        analyze(segment, refractoriness=2)


def test_every_column_is_defined():
    """No number without its definition, and no measure without its source."""
    from ann2neo.analysis import define

    table = analyze(small_recording(), tests=True, refractoriness=1, over="passes")
    for column in table.columns:
        assert len(define(column).definition) > 20, column
        if column in ("cv", "cv2", "lv", "lvr", "fano", "isi_law_p", "runs_p"):
            assert define(column).doi.startswith("10."), column
    with pytest.raises(AnalysisError, match="Did you mean 'fano'"):
        define("fanoo")


def test_the_label_share_pools_passes():
    """Over several passes a class is one class: eta squared is that of all bins of a label, by hand."""
    recording = small_recording(n_units=8, n_passes=2)
    table = analyze(recording)
    label = recording.trials["label"].to_numpy()
    for unit, spikes in enumerate(recording.raster("fc/relu:1").astype(float)):
        between = sum((label == c).mean() * (spikes[label == c].mean() - spikes.mean()) ** 2 for c in set(label))
        expected = between / spikes.var() if 0 < spikes.mean() < 1 else np.nan
        assert table["label_share"][8 + unit] == pytest.approx(expected, nan_ok=True)


def test_a_single_window_has_no_fano_factor():
    """The variance of one count is 0 whatever the unit does: no number, and the table says why."""
    table = analyze(small_recording(n_trials=60, n_passes=1), windows=59)
    assert table["fano"].isna().all()
    assert table["fano_expected"].isna().all()
    assert "One window" in table.attrs["masked"]


@pytest.mark.parametrize("windows", [True, 2.5, [3]])
def test_windows_of_another_kind_are_refused(windows):
    """A truth value is no number of bins; a whole floating-point number is."""
    with pytest.raises(WindowError, match="whole number of bins"):
        analyze(small_recording(), windows=windows)
    assert_same(analyze(small_recording(), windows=5.0), analyze(small_recording(), windows=5))


def test_a_shuffling_loader_is_warned_of():
    """Inputs that came in random order are as shuffled as arranged ones, and known by their ids."""
    recording = small_recording(n_passes=1)
    ids = np.random.default_rng(0).permutation(len(recording.trials))
    with pytest.warns(Ann2NeoWarning, match="shuffling loader"):
        ann2neo.analyze(replace(recording, trials=recording.trials.assign(stimulus_id=ids)), progress=False)


def test_segments_are_joined_by_name_where_names_tell():
    """The same cells in another order are the same cells."""
    block = neo.Block()
    for names in ("ab", "ba"):
        segment = neo.Segment()
        spikes = {"a": [1, 2, 3], "b": [1]}
        segment.spiketrains.extend([neo.SpikeTrain(spikes[n] * pq.s, t_stop=4 * pq.s, name=n) for n in names])
        block.segments.append(segment)
    assert analyze(block, windows=2 * pq.s)["n_spikes"].tolist() == [6, 2]


def test_unknown_corrections_are_refused_before_any_work():
    """A misspelt method is an error of ours."""
    with pytest.raises(AnalysisError, match="'bh' or 'by'"):
        inspect.unwrap(ann2neo.analyze)(small_recording(), tests=True, method="bonferroni", progress=False)
