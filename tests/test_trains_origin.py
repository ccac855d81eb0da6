"""Our own trains are known again in any container: right reference, stretches, passes and unknown labels; or what the reader lost is told."""

import elephant.trials
import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from population_sources import network
from strategies import small_recording
from test_cells_trials import analyze

import ann2neo
from ann2neo import population
from ann2neo.errors import AnalysisError, Ann2NeoWarning
from ann2neo.formats.origin import lattice_of

PASSES, STEPS, UNKNOWN = "passes", "steps", "unknown labels"


def recording(kind):
    """Recordings of which a reader that takes times for time makes other numbers."""
    rng = np.random.default_rng(0)
    if kind == PASSES:
        return small_recording(n_passes=3)
    dense = rng.random((4, 240)) < np.array([0.1, 0.3, 0.5, 0.7])[:, None]
    if kind == STEPS:
        return network(dense, rng.integers(0, 4, 40), lengths=np.full(40, 6))
    label = rng.integers(0, 4, 240)
    label[::5] = -1
    return network(dense, label)


def through_nwbio(recording, path):
    ann2neo.save(recording, path)
    return neo.io.NWBIO(str(path), "r").read_block()


def containers(block):
    trains = list(block.segments[0].spiketrains)
    return {
        "Block": block,
        "Segment": block.segments[0],
        "list": trains,
        "list of lists": [trains],
        "trials": elephant.trials.TrialsFromBlock(block),
    }


@pytest.mark.parametrize("kind", [PASSES, STEPS, UNKNOWN])
def test_trains_from_neos_reader_give_the_recordings_table(tmp_path, kind):
    """neo's NWBIO knows neither passes nor steps nor unknown labels; the file does, and is compared before it is believed."""
    own = recording(kind)
    expected = analyze(own, tests=True)
    block = through_nwbio(own, tmp_path / "a.nwb")
    for name, container in containers(block).items():
        pd.testing.assert_frame_equal(analyze(container, tests=True), expected, check_exact=True, obj=name)
    assert population.tuning(block)["n_spikes"].tolist() == population.tuning(own)["n_spikes"].tolist()
    with pytest.raises(AnalysisError, match="half-integer"):
        population.spike_time_tiling(block, dt=5 * pq.ms)


def test_some_trains_in_another_order_are_those_units(tmp_path):
    """Rows are those of the trains that were given."""
    own = recording(UNKNOWN)
    block = through_nwbio(own, tmp_path / "a.nwb")
    table = analyze([block.segments[0].spiketrains[k] for k in (3, 1)])
    expected = analyze(own).iloc[[3, 1]].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)


def test_passes_of_a_block_are_known_one_by_one():
    """A Segment of our Block is a pass, and its trains in a list are that pass."""
    own = recording(PASSES)
    block = ann2neo.to_block(own)
    table = analyze([list(segment.spiketrains) for segment in block.segments])
    pd.testing.assert_frame_equal(table, analyze(own), check_exact=True)
    one = analyze(block.segments[1])
    assert one.attrs["n_passes"] == 1
    n_bins = own.n_bins // 3
    for layer in own.layers:
        found = one.loc[one["layer"] == layer.name, "n_spikes"].tolist()
        assert found == layer.raster.dense()[:, n_bins : 2 * n_bins].sum(axis=1).tolist()


def bare(own, **changed):
    """Trains that belong to nothing any more."""
    return [
        neo.SpikeTrain(changed.get("move", lambda t: t)(train.times), t_stop=train.t_stop, name=train.name)
        for train in ann2neo.to_block(own).segments[0].spiketrains
    ]


def test_trains_that_lost_their_file_are_on_their_bins_and_say_what_is_lost():
    """The reference is Bernoulli on the bins that the times show; trials and labels are refused."""
    own = network(np.random.default_rng(0).random((4, 300)) < 0.4, bin_size_ms=2.0)
    with pytest.warns(Ann2NeoWarning, match="bins of 2 ms.*lost where passes"):
        table = ann2neo.analyze(bare(own), windows=10, progress=False)
    expected = analyze(own, windows=10)
    columns = ["cv", "cv_expected", "lv_expected", "fano", "fano_expected", "p_spike"]
    np.testing.assert_allclose(table[columns].to_numpy(float), expected[columns].to_numpy(float), rtol=1e-9)
    with pytest.raises(AnalysisError, match=r"ann2neo.load"):
        ann2neo.analyze(bare(own), windows="label")


def test_a_changed_file_is_not_believed(tmp_path):
    """Another recording under the same name has other spikes."""
    rng = np.random.default_rng(0)
    block = through_nwbio(network(rng.random((4, 300)) < 0.4), tmp_path / "a.nwb")
    ann2neo.save(network(rng.random((4, 300)) < 0.4), tmp_path / "a.nwb", overwrite=True)
    with pytest.warns(Ann2NeoWarning, match="lost"):
        ann2neo.analyze(list(block.segments[0].spiketrains), windows=10, progress=False)


def test_cells_are_not_taken_for_a_network():
    """Names like ours alone prove nothing, nor do times alone."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.random(200)) * 1000
    cell = neo.SpikeTrain(times * pq.ms, t_stop=1000.0, name="unit[3]")
    assert analyze([cell], windows=100 * pq.ms).attrs["reference"].startswith("Poisson")
    named = neo.SpikeTrain(np.arange(0.25, 900, 3) * pq.ms, t_stop=1000.0, name="simulated")
    assert analyze([named], windows=100 * pq.ms).attrs["reference"].startswith("Poisson")


@pytest.mark.parametrize("bin_size", [0.125, 0.5, 1.0, 2.0, 3.0, 10.0])
def test_the_bins_are_seen_in_the_times(bin_size):
    """Also of sparse spikes, in seconds."""
    rng = np.random.default_rng(1)
    bins = np.sort(rng.choice(4000, 150, replace=False))
    train = neo.SpikeTrain((bins + 0.25) * bin_size / 1000 * pq.s, t_stop=4000 * bin_size / 1000)
    assert lattice_of([train]) == bin_size
    off = neo.SpikeTrain((bins + 0.26) * bin_size / 1000 * pq.s, t_stop=4001 * bin_size / 1000)
    assert lattice_of([off]) is None
