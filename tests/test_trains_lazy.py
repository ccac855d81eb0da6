"""A lazy list is neo's list: the same trains, in whatever way they are touched."""

import copy
import gc
import itertools
import pickle
import tracemalloc

import neo
import numpy as np
import pytest
import quantities as pq
from hypothesis import HealthCheck, given, settings
from neo.core.spiketrainlist import SpikeTrainList
from strategies import recordings, small_recording

import ann2neo
from ann2neo.pseudotime import PseudoTime
from ann2neo.trains.lazy import LazySpikeTrainList


@pytest.fixture
def recording():
    return small_recording(n_units=6, n_trials=40, n_passes=1)


@pytest.fixture(params=["kept", "forgotten"])
def trains(recording, request, monkeypatch):
    if request.param == "forgotten":
        monkeypatch.setattr("ann2neo.trains.unit_trains.KEPT_BYTES", 0)
    return ann2neo.to_block(recording).segments[0].spiketrains


def by_neo(recording):
    """The same trains by neo's own constructor."""
    axis, made, number = PseudoTime(n_bins=recording.n_bins, bin_size_ms=recording.bin_size_ms), [], 0
    for layer in recording.layers:
        for unit, row in enumerate(layer.raster.dense()):
            place = {axis_name: int(at[unit]) for axis_name, at in layer.coordinates.items()}
            n = int(row.sum())
            quality = (
                "silent"
                if n == 0
                else "saturated"
                if n == row.size
                else "too_few"
                if min(n, row.size - n) < 10
                else "good"
            )
            made.append(
                neo.SpikeTrain(
                    axis.spike_times_ms(np.flatnonzero(row)) * pq.ms,
                    t_start=0 * pq.ms,
                    t_stop=axis.duration_ms * pq.ms,
                    sampling_rate=1000 / recording.bin_size_ms * pq.Hz,
                    name=layer.unit_names[unit],
                    layer=layer.name,
                    source_population=layer.name,
                    **place,
                    source_index=int(layer.units[unit]),
                    channel_id=number,
                    threshold=float(layer.thresholds[unit]),
                    n_spikes=n,
                    quality=quality,
                )
            )
            number += 1
    return made


def assert_equal_trains(a, b):
    """Every attribute that neo's constructor sets is the same, of the same type."""
    assert type(a) is type(b)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert np.array_equal(a.magnitude, b.magnitude)
    assert a.__dict__.keys() == b.__dict__.keys()
    for name, value in b.__dict__.items():
        if name == "segment":
            continue
        mine = getattr(a, name)
        assert isinstance(mine, type(value)), name
        assert np.all(mine == value), name
        if isinstance(value, pq.Quantity):
            assert mine.dimensionality == value.dimensionality, name
            assert mine.dtype == value.dtype, name


def test_trains_made_the_fast_way_are_those_of_neos_constructor(recording, trains):
    """Attribute by attribute, so that a release of neo that breaks the short cut is caught."""
    expected = by_neo(recording)
    assert len(trains) == len(expected)
    for a, b in zip(trains, expected):
        assert_equal_trains(a, b)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(recordings())
def test_any_recording_gives_its_own_bits(recording):
    """Pass by pass, and by trial, trains hold the bins of their Segment."""
    block = ann2neo.to_block(recording)
    dense = np.concatenate([layer.raster.dense() for layer in recording.layers])
    n = recording.n_bins // recording.n_passes
    for number, segment in enumerate(block.segments):
        for train, row in zip(segment.spiketrains, dense):
            own = row[number * n : (number + 1) * n]
            assert np.array_equal(train.magnitude / recording.bin_size_ms - 0.25, np.flatnonzero(own))


def test_a_train_is_the_same_while_it_is_held(trains):
    """Identity holds between list, slices and Groups, and a forgotten train keeps what was annotated."""
    held = trains[3]
    assert held is trains[3] is trains[2:5][1] is next(itertools.islice(trains, 3, None))
    assert held in trains
    held.annotate(checked=True)
    number = id(held)
    del held
    gc.collect()
    assert trains.lazy
    assert trains[3].annotations["checked"] is True
    assert "checked" not in trains[2].annotations
    assert isinstance(number, int)


def test_groups_hold_the_trains_of_the_segments(recording):
    """What a Group shows is what its Segment holds."""
    block = ann2neo.to_block(recording)
    for train in block.segments[0].spiketrains:
        assert any(train is other for group in block.groups for other in group.spiketrains)
        assert train.segment is block.segments[0]
    assert [len(group.spiketrains) for group in block.groups] == [6, 6]


def test_slices_are_lazy_and_right(trains):
    """Every slice is the slice of the list of trains."""
    names = [train.name for train in trains]
    for cut in (slice(None), slice(2, 9), slice(None, None, 3), slice(-4, None), slice(5, 5), slice(None, None, -1)):
        assert [train.name for train in trains[cut]] == names[cut]
    assert isinstance(trains[2:9][1:3], LazySpikeTrainList)
    assert trains[-1].name == names[-1]
    with pytest.raises(IndexError):
        trains[12]


def test_adding_to_lists(trains):
    """Sums are what sums of lists are."""
    extra = neo.SpikeTrain([1] * pq.ms, t_stop=2 * pq.ms)
    assert [t.name for t in [*trains]] == [t.name for t in [] + trains] == [t.name for t in trains + []]
    assert len(trains + [extra]) == len([extra] + trains) == 13
    assert isinstance(trains + trains[:1], SpikeTrainList)
    assert isinstance([extra] + trains, SpikeTrainList)
    assert ([extra] + trains)[0] is extra
    assert isinstance(trains + ["apple"], list)
    assert isinstance(["apple"] + trains, list)
    assert trains.lazy


def test_every_train_has_its_channel(trains):
    """The ids are the numbers of the units, as neo lists them, or what they were annotated to be."""
    assert trains.all_channel_ids == SpikeTrainList(items=list(trains)).all_channel_ids == list(range(12))
    trains[3].annotate(channel_id=77)
    assert trains.all_channel_ids[2:5] == [2, 77, 4]
    assert trains.lazy


def test_changing_the_list_makes_it_an_ordinary_one(trains):
    """Append, extend and assignment behave as in neo, and keep the trains."""
    extra = neo.SpikeTrain([1] * pq.ms, t_stop=2 * pq.ms)
    trains.append(extra)
    assert not trains.lazy
    assert trains[-1] is extra
    assert len(trains) == 13
    assert extra.segment is trains.segment
    trains[0] = extra
    assert trains[0] is extra


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_copies_of_a_block_are_whole(recording, how):
    """A Block that is pickled or copied is still lazy and holds the same trains, linked among themselves."""
    block = ann2neo.to_block(recording)
    block.segments[0].spiketrains[1].annotate(note="kept")
    copied = pickle.loads(pickle.dumps(block)) if how == "pickle" else copy.deepcopy(block)
    trains = copied.segments[0].spiketrains
    assert trains.lazy
    for a, b in zip(trains, block.segments[0].spiketrains):
        assert_equal_trains(a, b)
    assert trains[1].annotations["note"] == "kept"
    held = trains[0]
    assert held.segment is copied.segments[0]
    assert any(held is other for other in copied.groups[0].spiketrains)


def test_multiplexed_is_neos(trains):
    """All spikes as two arrays, as neo gives them."""
    units, times = trains.multiplexed
    expected_units, expected_times = SpikeTrainList(items=list(trains)).multiplexed
    assert np.array_equal(units, expected_units)
    assert np.array_equal(times.magnitude, expected_times.magnitude)
    assert times.dimensionality == expected_times.dimensionality
    assert (trains.t_start, trains.t_stop) == (0 * pq.ms, 40 * pq.ms)


def test_neos_and_elephants_functions_take_it(recording):
    """Filters, cutting, binning, trials, Fano factor, rates, correlation, GPFA's counts."""
    from elephant import spike_train_correlation, statistics
    from elephant.conversion import BinnedSpikeTrain
    from elephant.kernels import GaussianKernel
    from elephant.trials import TrialsFromBlock
    from neo.utils import cut_segment_by_epoch

    block = ann2neo.to_block(recording)
    trains = block.segments[0].spiketrains
    dense = np.concatenate([layer.raster.dense() for layer in recording.layers])
    assert (BinnedSpikeTrain(trains, bin_size=1 * pq.ms).to_array() == dense).all()
    assert len(block.filter(layer="features.3", objects=neo.SpikeTrain)) == 6
    pieces = cut_segment_by_epoch(block.segments[0], block.segments[0].epochs[0][:3], reset_time=True)
    assert [[len(t) for t in piece.spiketrains] for piece in pieces] == dense[:, :3].T.astype(int).tolist()
    labels = recording.trials["label"].to_numpy()
    by_label = ann2neo.to_block(recording, segment_by="label")
    trials = TrialsFromBlock(by_label)
    found = [[len(t) for t in trials.get_spiketrains_from_trial_as_list(i)] for i in range(trials.n_trials)]
    assert found == [dense[:, labels == c].sum(axis=1).tolist() for c in sorted(set(labels))]
    assert statistics.fanofactor(trains) == pytest.approx(dense.sum(axis=1).var() / dense.sum(axis=1).mean())
    assert statistics.instantaneous_rate(trains[2:4], 1 * pq.ms, kernel=GaussianKernel(5 * pq.ms)).shape[1] == 2
    matrix = spike_train_correlation.correlation_coefficient(BinnedSpikeTrain(trains[2:5], bin_size=1 * pq.ms))
    assert np.allclose(matrix, np.corrcoef(dense[2:5]))


def test_many_trains_are_not_kept_and_few_are(recording):
    """The threshold is the memory that all trains together would take."""
    few = ann2neo.to_block(recording).segments[0].spiketrains
    many = ann2neo.to_block(ann2neo.from_array(np.ones((1000, 20000), bool))).segments[0].spiketrains
    for trains, kept in ((few, True), (many, False)):
        trains[0].name = "renamed"
        gc.collect()
        assert (trains[0].name == "renamed") is kept


def test_neo_writes_and_reads_it(recording, tmp_path):
    """All writers of neo take the Block as it is."""
    block = ann2neo.to_block(recording)
    for name, writer in (
        ("a.nix", lambda p: neo.NixIO(p, "ow")),
        ("a.pkl", neo.io.PickleIO),
        ("a.mat", neo.io.NeoMatlabIO),
    ):
        io = writer(str(tmp_path / name))
        io.write_block(block)
        if name.endswith(".nix"):
            io.close()
        read = (
            neo.NixIO(str(tmp_path / name), "ro") if name.endswith(".nix") else writer(str(tmp_path / name))
        ).read_block()
        for a, b in zip(read.segments[0].spiketrains, block.segments[0].spiketrains):
            assert np.array_equal(a.rescale("ms").magnitude, b.magnitude)
            assert a.name == b.name


def test_borders_are_shared_and_guarded(trains):
    """A train's borders belong to all trains: changing them in place is refused, assigning others is not."""
    with pytest.raises(ValueError, match="read-only"):
        trains[0].t_stop += 1 * pq.ms
    train = trains[0]
    train.t_stop = 50 * pq.ms
    assert trains[1].t_stop == 40 * pq.ms


def test_memory_stays_flat_while_all_trains_are_touched(monkeypatch):
    """Of many trains, those that nobody holds are forgotten."""
    monkeypatch.setattr("ann2neo.trains.unit_trains.KEPT_BYTES", 0)
    rng = np.random.default_rng(0)
    block = ann2neo.to_block(ann2neo.from_array(rng.random((200, 5000)) < 0.3))
    sum(len(train) for train in block.segments[0].spiketrains[:50])
    tracemalloc.start()
    assert sum(len(train) for train in block.segments[0].spiketrains) > 0
    current, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert current < 2_500_000
