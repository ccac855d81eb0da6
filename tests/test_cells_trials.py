"""One rule of trials and conditions, wherever cells are analyzed: only what was observed counts, and a condition is what it is."""

import warnings

import neo
import numpy as np
import pytest
import quantities as pq
from elephant.conversion import BinnedSpikeTrain
from elephant.statistics import fanofactor
from hypothesis import given, settings
from hypothesis import strategies as st

import ann2neo
from ann2neo import population
from ann2neo.errors import AnalysisError, Ann2NeoWarning, SpikeTrainError, WindowError


def poisson(seed, stop=100.0, rate=20.0, start=0.0, **more):
    rng = np.random.default_rng(seed)
    times = np.sort(start + rng.random(rng.poisson(rate * (stop - start))) * (stop - start))
    return neo.SpikeTrain(times * pq.s, t_start=start * pq.s, t_stop=stop * pq.s, **more)


def session(trains, *epochs, events=()):
    segment = neo.Segment()
    segment.spiketrains.extend(list(trains))
    segment.epochs.extend(list(epochs))
    segment.events.extend(list(events))
    return segment


def block(*segments):
    found = neo.Block()
    found.segments.extend(list(segments))
    return found


def trials(start, duration, labels=None, name="trials", **columns):
    start = np.asarray(start, float)
    lasting = np.broadcast_to(np.asarray(duration, float), start.shape)
    text = {} if labels is None else {"labels": np.asarray(labels, "U")}
    return neo.Epoch(
        start * pq.s,
        lasting * pq.s,
        name=name,
        array_annotations={k: np.asarray(v) for k, v in columns.items()},
        **text,
    )


def quiet(call, *given, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ann2NeoWarning)
        return call(*given, **options)


def analyze(spikes, **options):
    return quiet(ann2neo.analyze, spikes, progress=False, **options)


def counts_of(train, start, stop):
    times = train.magnitude
    return np.array([np.count_nonzero((times >= a) & (times < b)) for a, b in zip(start, stop)])


# --- observed time


def test_trials_that_were_not_observed_are_no_silent_trials():
    """Of trials that lie after the end only the observed ones count, for all units or for one; one warning tells how many."""
    start = np.arange(0, 150, 1.0)
    epoch = trials(start, 0.5, np.tile(["a", "b"], 75))
    trains = [poisson(0), poisson(1), poisson(2, stop=50.0)]
    with pytest.warns(Ann2NeoWarning, match=r"up to 100 of 150 intervals .* 3 of 3 units") as told:
        table = ann2neo.analyze(session(trains, epoch), windows="trial", progress=False)
    assert len(told) == 1
    for unit, n in enumerate((100, 100, 50)):
        counts = counts_of(trains[unit], start[:n], start[:n] + 0.5)
        assert table["fano"][unit] == pytest.approx(fanofactor([np.arange(c) for c in counts]), rel=1e-9)
        assert table["fano_expected"][unit] == pytest.approx(1 - 1 / n)
        assert table["firing_rate"][unit] == pytest.approx(len(trains[unit]) / (100, 100, 50)[unit])
    assert (table.attrs["n_windows"], table.attrs["n_windows_min"]) == (100, 50)
    assert "left_out" in table.attrs
    with pytest.warns(Ann2NeoWarning, match="up to 100 of 150 trials"):
        tuned = population.tuning(session(trains, epoch))
    assert tuned.groupby("unit")["n_trials"].sum().tolist() == [100, 100, 50]
    for unit, n in enumerate((100, 100, 50)):
        own = tuned[tuned["unit"] == unit].set_index("label")
        rate = counts_of(trains[unit], start[:n:2], start[:n:2] + 0.5).sum() / (n / 2 * 0.5)
        assert own.loc["a", "rate_hz"] == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize(
    "measure",
    [
        lambda b: analyze(b, windows="trial"),
        lambda b: quiet(population.tuning, b, by="trial"),
        lambda b: quiet(population.fano, b, within="kind"),
    ],
)
def test_trials_on_another_clock_are_an_error(measure):
    """A table in milliseconds beside spikes in seconds shows nothing of them."""
    epoch = trials(np.arange(10) * 1000.0 + 500, 400.0, kind=[1, 2] * 5)
    with pytest.raises((WindowError, AnalysisError), match="clock"):
        measure(session([poisson(0)], epoch))


def test_a_trial_without_an_end_is_left_out():
    """NaN is no duration, and a window that ends nowhere holds no spikes."""
    start = np.arange(10.0)
    duration = np.where(start == 4, np.nan, np.where(start == 7, 0.0, 0.5))
    train = poisson(3)
    with pytest.warns(Ann2NeoWarning, match="up to 2 of 10"):
        table = ann2neo.analyze(session([train], trials(start, duration)), windows="trial", progress=False)
    kept = np.delete(start, [4, 7])
    assert table["fano"][0] == pytest.approx(
        fanofactor([np.arange(c) for c in counts_of(train, kept, kept + 0.5)]), rel=1e-9
    )
    assert table.attrs["window_min_ms"] == pytest.approx(500)
    assert quiet(population.tuning, session([train], trials(start, duration, kind=[1] * 10)), by="kind")[
        "n_trials"
    ].tolist() == [8]


def test_windows_of_a_duration_lie_in_observed_time():
    """They are cut from the beginning of each piece, and none reaches into a gap."""
    times = np.sort(
        np.random.default_rng(0).choice([*np.arange(0.05, 10, 0.11), *np.arange(20.05, 27.9, 0.07)], 120, replace=False)
    )
    train = neo.SpikeTrain(times * pq.s, t_stop=28.0, obs_intervals=np.array([[0, 10.2], [20, 28]]))
    table = analyze([train], windows=500 * pq.ms)
    counts = [*np.histogram(times, np.arange(0, 10.1, 0.5))[0], *np.histogram(times, np.arange(20, 28.1, 0.5))[0]]
    assert table.attrs["n_windows"] == 20 + 16
    assert table["fano"][0] == pytest.approx(fanofactor([np.arange(c) for c in counts]), rel=1e-9)
    assert table["firing_rate"][0] == pytest.approx(120 / 18.2)
    isis = np.concatenate([np.diff(times[times < 11]), np.diff(times[times > 11])])
    assert table["isi_var"][0] == pytest.approx(1e6 * isis.var(), rel=1e-9)


@pytest.mark.parametrize("bad", [15.0, 29.0])
def test_spikes_outside_observed_time_are_an_error(bad):
    """In a gap as after the end."""
    train = neo.SpikeTrain(np.sort([1.0, 5.0, bad]) * pq.s, t_stop=30.0, obs_intervals=np.array([[0, 10], [20, 28]]))
    with pytest.raises(SpikeTrainError, match=r"1 of 3 spikes outside its observed time"):
        analyze([train])
    with pytest.raises(SpikeTrainError, match="outside"):
        population.time_histogram([train], bin_size=1 * pq.s)


def test_units_are_compared_in_the_time_that_all_share():
    """Correlations take the trials, histograms the time, that every unit was observed in; nothing in common is refused."""
    start = np.arange(0, 100, 1.0)
    epoch = trials(start, 0.5, kind=np.tile([1, 2], 50))
    trains = [poisson(0), poisson(1, stop=50.0)]
    found = quiet(population.correlations, session(trains, epoch), by="kind", n_permutations=0)
    assert found.n_trials.tolist() == [25, 25]
    cut = [train.time_slice(0 * pq.s, 50 * pq.s) for train in trains]
    expected = population.correlations(
        session(cut, trials(start[:50], 0.5, kind=np.tile([1, 2], 25))), by="kind", n_permutations=0
    )
    np.testing.assert_allclose(found.noise, expected.noise)
    with pytest.warns(Ann2NeoWarning, match="50000 of 100000 ms"):
        histogram = population.time_histogram(trains, bin_size=1 * pq.s)
    assert histogram["n_spikes"].tolist() == population.time_histogram(cut, bin_size=1 * pq.s)["n_spikes"].tolist()
    with pytest.raises(AnalysisError, match="no time was observed of all"):
        population.covariance([poisson(0, stop=10.0), poisson(1, start=20.0, stop=30.0)], bin_size=1 * pq.s)


@settings(max_examples=40, deadline=None)
@given(
    start=st.sampled_from([0.0, -3.7, 1234.5, 1e4 + 1 / 3]),
    unit=st.sampled_from(["s", "ms", "us"]),
    width_ms=st.sampled_from([1.0, 5.0, 20.0, 100.0, 333.0]),
    ticks=st.lists(st.integers(0, 60_000), min_size=1, max_size=80, unique=True),
)
def test_spikes_at_borders_fall_as_in_elephants_bins(start, unit, width_ms, ticks):
    """Times on a grid of 0.1 ms lie on every border; the counts of windows are those of BinnedSpikeTrain at any t_start, in any unit of time."""
    scale = {"s": 1e3, "ms": 1.0, "us": 1e-3}[unit]
    times = (start * 1e3 + np.sort(ticks) * 0.1) / scale
    t_start, t_stop = start * 1e3 / scale, (start * 1e3 + 6000.0) / scale
    train = neo.SpikeTrain(np.clip(times, t_start, t_stop), units=unit, t_start=t_start, t_stop=t_stop)
    table = analyze([train], windows=width_ms * pq.ms)
    binned = BinnedSpikeTrain([train], bin_size=width_ms * pq.ms, tolerance=1e-8)
    counts = binned.to_array()[0]
    assert table.attrs["n_windows"] == counts.size
    expected = counts.var() / counts.mean() if counts.sum() and counts.size > 1 else np.nan
    assert table["fano"][0] == pytest.approx(expected, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("start", [0.0, -3.7, 1e4 + 1 / 3])
@pytest.mark.parametrize("width", [1.0, 5.0, 20.0])
def test_a_spike_on_every_border_is_in_the_bin_that_begins_there(start, width):
    """One spike per millisecond, on all borders of bins: every bin holds as many, as Elephant finds too; rounding down would move hundreds of them."""
    train = neo.SpikeTrain(start + np.arange(6000) / 1000, units="s", t_start=start, t_stop=start + 6.0)
    assert (BinnedSpikeTrain([train], bin_size=width * pq.ms).to_array() == width).all()
    assert analyze([train], windows=width * pq.ms)["fano"].tolist() == [0.0]


@pytest.mark.parametrize("start", [0.0, 1e4 + 1 / 3])
def test_trials_and_histograms_have_elephants_borders_too(start):
    """Spikes on every border of trials and of bins within them: counts are those of BinnedSpikeTrain of each trial."""
    onset = start + 1.0 + 0.7 * np.arange(10)
    times = np.sort(np.concatenate([onset + 0.1 * k for k in range(5)]))
    train = neo.SpikeTrain(times * pq.s, t_start=start * pq.s, t_stop=(start + 10) * pq.s)
    segment = session([train], trials(onset, 0.5, kind=[1, 2] * 5))
    binned = [
        BinnedSpikeTrain([train], bin_size=100 * pq.ms, t_start=t * pq.s, t_stop=(t + 0.5) * pq.s).to_array()[0]
        for t in onset
    ]
    found = population.psth(segment, by="kind", bin_size=100 * pq.ms)
    for label, first in ((1, 0), (2, 1)):
        np.testing.assert_allclose(found.loc[found["label"] == label, "mean"], np.mean(binned[first::2], axis=0))
    assert population.tuning(segment, by="kind")["n_spikes"].tolist() == [np.sum(binned[0::2]), np.sum(binned[1::2])]


# --- conditions


def tuned(values, **options):
    """Tuning to a column of trials of a second each."""
    epoch = trials(np.arange(len(values)), 0.9, kind=values)
    return quiet(population.tuning, session([poisson(0, stop=float(len(values)))], epoch), by="kind", **options)


CONDITIONS = {
    "negative numbers": ([-1, 1, -1, 1, 0], [-1, 0, 1], [2, 1, 2]),
    "NaN": ([0.2, np.nan, 0.2, 1.0, np.nan], [0.2, 1.0], [2, 1]),
    "numbers in order": ([90, 45, 180, 90, 5], [5, 45, 90, 180], [1, 1, 2, 1]),
    "empty text": (["b", "", "a", "b", " "], ["a", "b"], [1, 2]),
    "text of NaN": (["b", "nan", "a", "b", "NaN"], ["a", "b"], [1, 2]),
    "truth values": ([True, False, True, True, False], [False, True], [2, 3]),
    "bytes": ([b"x", b"y", b"x", b"", b"x"], ["x", "y"], [3, 1]),
    "one trial each": ([3, 2, 1, 5, 4], [1, 2, 3, 4, 5], [1] * 5),
}


@pytest.mark.parametrize("case", list(CONDITIONS))
def test_conditions_keep_their_type_and_order(case):
    """Only NaN and empty text are unknown; numbers sort as numbers; analyze and population agree."""
    values, names, n_trials = CONDITIONS[case]
    table = tuned(values)
    assert table["label"].tolist() == names
    assert [type(label) for label in table["label"].tolist()] == [type(name) for name in names]
    assert table["n_trials"].tolist() == n_trials
    epoch = trials(np.arange(len(values)), 0.9, kind=values)
    assert analyze(session([poisson(0, stop=float(len(values)))], epoch), windows="kind").attrs["n_windows"] == len(
        names
    )


def test_all_unknown_is_an_error():
    """There is nothing to compare."""
    for values in ([np.nan] * 4, [""] * 4):
        with pytest.raises(AnalysisError, match="no trial has a known 'kind'"):
            tuned(values)
        with pytest.raises(WindowError, match="unknown"):
            analyze(session([poisson(0)], trials(np.arange(4), 0.9, kind=values)), windows="kind")
        with pytest.raises(WindowError, match="two trials"):
            analyze(session([poisson(0)], trials(np.arange(4), 0.9, kind=values)), windows="trial", within="kind")


def test_numbers_are_equal_across_segments_and_text_is_not_a_number():
    """45 and 45.0 are one condition; '45' beside 45 is refused."""
    segments = [
        session([poisson(k, stop=4.0, name="a")], trials(np.arange(4), 0.9, kind=values))
        for k, values in enumerate(([45, 90, 45, 90], [45.0, 22.5, 90.0, 45.0]))
    ]
    found = population.tuning(block(*segments), by="kind")
    assert found["label"].tolist() == [22.5, 45.0, 90.0]
    assert found["n_trials"].tolist() == [1, 4, 3]
    mixed = [
        segments[0],
        session([poisson(5, stop=4.0, name="a")], trials(np.arange(4), 0.9, kind=["45", "90", "45", "90"])),
    ]
    for measure in (lambda b: population.tuning(b, by="kind"), lambda b: analyze(b, windows="kind")):
        with pytest.raises(WindowError, match="numbers and text"):
            measure(block(*mixed))


def test_the_same_tuning_of_cells_and_of_a_network_has_the_same_labels():
    """A column of orientations joins both tables."""
    angles = np.tile([0, 45, 90, 135], 10)
    cells = tuned(angles)
    network = population.tuning(ann2neo.from_array(np.random.default_rng(0).random((40, 2)) < 0.4, labels=angles))
    assert set(cells["label"]) == set(network["label"])


def test_unsorted_trials_are_the_same_trials():
    """The order of rows means nothing."""
    rng = np.random.default_rng(0)
    start, kind = np.arange(20.0), rng.integers(0, 3, 20)
    order = rng.permutation(20)
    trains = [poisson(1, stop=20.0), poisson(2, stop=20.0)]
    a, b = (session(trains, trials(start[o], 0.9, kind=kind[o])) for o in (np.arange(20), order))
    for options in (
        {"windows": "kind"},
        {"windows": "trial", "within": "kind"},
        {"windows": 300 * pq.ms, "within": "kind"},
    ):
        np.testing.assert_allclose(analyze(a, **options)["fano"], analyze(b, **options)["fano"], rtol=1e-12)
    np.testing.assert_allclose(population.tuning(a, by="kind")["rate_hz"], population.tuning(b, by="kind")["rate_hz"])


def test_labels_are_of_the_epoch_called_trials_or_of_a_column_that_is_named():
    """Labels of any other Epoch are no default; an Epoch without labels is taken interval by interval; two meanings are told."""
    train = poisson(0)
    drug = trials([0, 50], 50, ["baseline", "drug"], name="epochs")
    assert analyze(session([train], drug)).attrs["windows"] == "1000 ms"
    unnamed = trials([0, 50], 50, ["baseline", "drug"], name=None)
    assert analyze(session([train], unnamed)).attrs["windows"] == "1000 ms"
    named = session([train], trials(np.arange(0, 100, 2), 1.0, np.tile(["x", "y"], 25)), drug)
    assert analyze(named).attrs["windows"] == "label"
    assert analyze(named).attrs["n_windows"] == 2
    ripples = session([train], trials(np.arange(0, 90, 3), 0.5, name="ripples"))
    assert analyze(ripples, windows="ripples").attrs["n_windows"] == 30
    both = session(
        [train], trials(np.arange(5), 0.5, tags=[1] * 5), trials(np.arange(5), 0.5, tags=[1] * 5, name="other")
    )
    with pytest.raises(WindowError, match=r"2 meanings .*'trials'.*'other'"):
        analyze(both, windows="tags")


def test_segments_that_are_trials_carry_their_condition():
    """An annotation of segments is a condition for analyze as for population: neo's own convention."""
    rng = np.random.default_rng(0)
    segments, counts = [], {"left": [], "right": []}
    for k in range(20):
        train = poisson(k, stop=1.0, rate=rng.choice([10, 30]))
        segment = session([train])
        direction = ["left", "right"][k % 2]
        segment.annotate(direction=direction)
        counts[direction].append(len(train))
        segments.append(segment)
    table = analyze(block(*segments), windows="direction")
    totals = [sum(counts[name]) for name in ("left", "right")]
    assert table["fano"][0] == pytest.approx(np.var(totals) / np.mean(totals))
    within = analyze(block(*segments), within="direction")
    assert within["fano"][0] == pytest.approx(np.mean([np.var(c) / np.mean(c) for c in counts.values()]), rel=1e-9)
    assert (within["n_conditions"][0], within["n_trials_min"][0]) == (2, 10)
