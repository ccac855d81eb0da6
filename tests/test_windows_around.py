"""Windows about events, and Fano factors over the repeats of a condition, beside loops by hand and Elephant's fanofactor."""

import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from elephant.statistics import fanofactor
from test_cells_trials import analyze, block, poisson, quiet, session, trials

import ann2neo
from ann2neo import Around, population
from ann2neo.errors import AnalysisError, WindowError


def by_hand(train, events, before, after, kind):
    """Mean over conditions of Elephant's Fano factor of counts from ``before`` to ``after`` seconds about events."""
    times = train.magnitude
    counts = np.array([np.count_nonzero((times >= e + before) & (times < e + after)) for e in events])
    found = [
        fanofactor([np.arange(n) for n in counts[kind == c]])
        for c in np.unique(kind)
        if np.count_nonzero(kind == c) > 1 and counts[kind == c].any()
    ]
    return np.mean(found)


def recorded(seed=0, n=120, **more):
    """Two cells in trials with a condition, a cue within each, and an Event as well."""
    rng = np.random.default_rng(seed)
    start = 1.0 + 2 * np.arange(n) + rng.random(n) * 0.3
    cue = start + 0.3 + 0.2 * rng.random(n)
    kind = rng.choice([-45, 0, 45], n)
    trains = [poisson(seed + k, stop=2.0 * n + 4, rate=rate, name=f"cell {k}") for k, rate in enumerate((12.0, 30.0))]
    events = [neo.Event(times=(cue + 0.1) * pq.s, name="reward", array_annotations={"size": rng.choice([1, 2], n)})]
    found = session(
        trains,
        trials(start, 1.2, kind=kind, cue=cue, **more),
        trials(cue, 0.4, name="stimuli", angle=kind),
        events=events,
    )
    return found, trains, start, cue, kind


AROUND = {
    "a column": (Around("cue", -200 * pq.ms, 0.5 * pq.s), "kind", lambda start, cue: (cue, -0.2, 0.5)),
    "the start": (Around("start_time", 0 * pq.s, 500 * pq.ms), "kind", lambda start, cue: (start, 0.0, 0.5)),
    "the end": (Around("stop_time", -0.4 * pq.s, 100_000 * pq.us), "kind", lambda start, cue: (start + 1.2, -0.4, 0.1)),
    "an Epoch": (Around("stimuli", 0 * pq.ms, 400 * pq.ms), "angle", lambda start, cue: (cue, 0.0, 0.4)),
}


@pytest.mark.parametrize("engine", ["bulk", "elephant"])
@pytest.mark.parametrize("case", list(AROUND))
def test_windows_around_events_within_conditions(case, engine):
    """Columns of times, borders of trials and Epochs: the mean over conditions of Elephant's Fano factor; its expectation is 1 - 1 / R."""
    windows, within, where = AROUND[case]
    segment, trains, start, cue, kind = recorded()
    table = analyze(segment, windows=windows, within=within, engine=engine, tests=True)
    events, before, after = where(start, cue)
    for unit, train in enumerate(trains):
        assert table["fano"][unit] == pytest.approx(by_hand(train, events, before, after, kind), rel=1e-9)
    expected = np.mean([1 - 1 / np.count_nonzero(kind == c) for c in np.unique(kind)])
    np.testing.assert_allclose(table["fano_expected"], expected)
    assert table["n_conditions"].tolist() == [3, 3]
    assert table["n_trials_min"].tolist() == [min(np.count_nonzero(kind == c) for c in np.unique(kind))] * 2
    assert table["dispersion_p"].isna().all()
    assert table["isi_law_p"].notna().all()


def test_windows_around_a_neo_event():
    """An Event has columns too."""
    segment, trains, _, cue, _ = recorded()
    size = segment.events[0].array_annotations["size"]
    table = analyze(segment, windows=Around("reward", 0 * pq.ms, 300 * pq.ms), within="size")
    assert table["fano"][0] == pytest.approx(by_hand(trains[0], cue + 0.1, 0.0, 0.3, size), rel=1e-9)


def test_windows_may_overlap():
    """A spike counts in every window that holds it; chance says nothing of such counts."""
    segment, trains, start, _, kind = recorded()
    table = analyze(segment, windows=Around("start_time", -2 * pq.s, 2 * pq.s), within="kind")
    inside = (start - 2 >= 0) & (start + 2 <= float(trains[0].t_stop))
    assert table["fano"][1] == pytest.approx(by_hand(trains[1], start[inside], -2.0, 2.0, kind[inside]), rel=1e-9)
    assert table["fano_expected"].isna().all()
    plain = analyze(segment, windows=Around("start_time", -2 * pq.s, 2 * pq.s))
    assert plain["fano"][0] == pytest.approx(
        by_hand(trains[0], start[inside], -2.0, 2.0, np.zeros(inside.sum())), rel=1e-9
    )


def test_events_at_no_time_have_no_window():
    """NaN events are left out, and so are windows that leave observed time."""
    segment, trains, start, cue, kind = recorded()
    cue = cue.copy()
    cue[::7] = np.nan
    segment.epochs[0].array_annotations["cue"] = cue
    known = ~np.isnan(cue)
    table = analyze(segment, windows=Around("cue", -100 * pq.ms, 100 * pq.ms), within="kind")
    assert table["fano"][0] == pytest.approx(by_hand(trains[0], cue[known], -0.1, 0.1, kind[known]), rel=1e-9)
    late = analyze(segment, windows=Around("stop_time", 0 * pq.s, 10 * pq.s), within="kind")
    seen = start + 1.2 + 10 <= float(trains[0].t_stop)
    assert late["fano"][0] == pytest.approx(by_hand(trains[0], (start + 1.2)[seen], 0.0, 10.0, kind[seen]), rel=1e-9)


def test_trials_are_cut_from_their_start():
    """Places within the trial are averaged within a condition, conditions after that; the last incomplete window is dropped."""
    segment, trains, start, _, kind = recorded()
    table = analyze(segment, windows=500 * pq.ms, within="kind")
    long = population.fano(segment, windows=0.5 * pq.s, within="kind")
    assert set(long["position"]) == {0, 1}
    for unit, train in enumerate(trains):
        groups = {
            (c, k): by_hand(train, start[kind == c], 0.5 * k, 0.5 * (k + 1), np.zeros(np.count_nonzero(kind == c)))
            for c in np.unique(kind)
            for k in (0, 1)
        }
        own = long[long["unit"] == unit].set_index(["condition", "position"])
        for key, value in groups.items():
            assert own.loc[key, "fano"] == pytest.approx(value, rel=1e-9)
            assert own.loc[key, "n_trials"] == np.count_nonzero(kind == key[0])
        mean = np.mean([np.mean([groups[c, 0], groups[c, 1]]) for c in np.unique(kind)])
        assert table["fano"][unit] == pytest.approx(mean, rel=1e-9)


def test_whole_trials_of_unequal_length_are_refused():
    """Their counts differ for that reason alone; the cure works."""
    start = np.arange(0, 60, 2.0)
    segment = session([poisson(0)], trials(start, np.where(np.arange(30) % 2, 1.0, 1.5), kind=np.tile([1, 2, 3], 10)))
    with pytest.raises(WindowError, match=r"1000 to 1500 ms[\s\S]*Around"):
        analyze(segment, windows="trial", within="kind")
    assert analyze(segment, windows=Around("start_time", 0 * pq.ms, 500 * pq.ms), within="kind")["fano"].notna().all()


def test_segments_are_pooled_within_a_condition():
    """A trial is a repeat wherever it was recorded."""
    parts = [recorded(seed) for seed in (0, 10)]
    table = analyze(block(*(part[0] for part in parts)), windows=Around("cue", 0 * pq.s, 0.4 * pq.s), within="kind")
    for unit in range(2):
        counts = np.concatenate(
            [
                [np.count_nonzero((trains[unit].magnitude >= e) & (trains[unit].magnitude < e + 0.4)) for e in cue]
                for _, trains, _, cue, _ in parts
            ]
        )
        kind = np.concatenate([part[4] for part in parts])
        assert table["fano"][unit] == pytest.approx(
            np.mean([counts[kind == c].var() / counts[kind == c].mean() for c in np.unique(kind)]), rel=1e-9
        )


def test_two_meanings_of_an_event_are_named():
    """A column and an Epoch of one name."""
    segment, *_ = recorded(stimuli=np.arange(120.0))
    with pytest.raises(WindowError, match=r"column 'stimuli'.* and the Epoch 'stimuli'"):
        analyze(segment, windows=Around("stimuli", 0 * pq.s, 1 * pq.s))


BAD = {
    "no event": (lambda: (Around("cues", 0 * pq.s, 1 * pq.s), None), "Did you mean 'cue'"),
    "no times": (lambda: (Around("word", 0 * pq.s, 1 * pq.s), None), "holds no times"),
    "no column": (lambda: (Around("cue", 0 * pq.s, 1 * pq.s), "kinds"), "Did you mean 'kind'"),
    "the windows' own column": (lambda: ("kind", "kind"), "all of the trials of a condition"),
    "another column": (lambda: ("word", "kind"), "not a window within a trial"),
    "a number of bins": (lambda: (5, "kind"), "not a window within a trial"),
    "longer than a trial": (lambda: (5 * pq.s, "kind"), "no windows"),
    "no duration": (lambda: (0 * pq.s, "kind"), "no duration"),
    "every trial its own": (lambda: ("trial", "cue"), "two trials"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_windows_that_cannot_be(case):
    """Each ends in one error with a cure."""
    make, match = BAD[case]
    segment, *_ = recorded(word=np.tile(["a", "b"], 60))
    windows, within = make()
    with pytest.raises(WindowError, match=match):
        analyze(segment, windows=windows, within=within)


@pytest.mark.parametrize(
    ("start", "stop"),
    [(1 * pq.s, 0 * pq.s), (0, 1), (0 * pq.s, 1 * pq.mV), (0 * pq.s, np.inf * pq.s), (1 * pq.s, 1000 * pq.ms)],
)
def test_around_needs_two_times(start, stop):
    """Quantities of time, the earlier one first."""
    with pytest.raises(WindowError, match="Around"):
        Around("cue", start, stop)


def test_networks_have_repeats_and_no_events():
    """Passes repeat each input: within stimulus_id the factor is 1 - p of each; around an event there is nothing."""
    rng = np.random.default_rng(0)
    from population_sources import network

    dense = rng.random((3, 4 * 50)) < np.array([0.2, 0.5, 0.7])[:, None]
    recording = network(dense, rng.integers(0, 3, 50), n_passes=4)
    table = analyze(recording, windows="trial", within="stimulus_id")
    by_input = dense.reshape(3, 4, 50).astype(float)
    shown = by_input.mean(axis=1)
    with np.errstate(invalid="ignore"):
        expected = np.nanmean(np.where(shown > 0, by_input.var(axis=1) / shown, np.nan), axis=1)
    np.testing.assert_allclose(table["fano"], expected, rtol=1e-9)
    pd.testing.assert_series_equal(table["fano"], analyze(recording, windows="stimulus_id")["fano"])
    long = population.fano(recording, within="stimulus_id")
    np.testing.assert_allclose(long.groupby("unit")["fano"].mean(), expected, rtol=1e-9)
    np.testing.assert_allclose(long["fano"], long["fano_expected"])
    with pytest.raises(WindowError, match='windows="trial"'):
        analyze(recording, windows=Around("start_time", 0 * pq.ms, 5 * pq.ms), within="label")
    with pytest.raises(WindowError, match="one count of each trial"):
        analyze(recording, windows="label", within="label")
    with pytest.raises(AnalysisError, match="repeats of their condition"):
        analyze(recording, windows="trial", within="label", over="passes")


def test_steps_of_inputs_are_places_within_the_trial():
    """A number of bins cuts each input of several steps from its first."""
    rng = np.random.default_rng(1)
    from population_sources import network

    dense = rng.random((2, 30 * 6)) < 0.4
    label = rng.integers(0, 3, 30)
    recording = network(dense, label, lengths=np.full(30, 6))
    table = analyze(recording, windows=4, within="label")
    counts = dense.reshape(2, 30, 6)[:, :, :4].sum(axis=2)
    expected = [np.mean([c[label == k].var() / c[label == k].mean() for k in range(3)]) for c in counts]
    np.testing.assert_allclose(table["fano"], expected, rtol=1e-9)


def test_without_a_condition_there_are_no_repeats():
    """population.fano asks for it."""
    with pytest.raises(WindowError, match='within="orientation"'):
        population.fano(session([poisson(0)]))


def test_poisson_cells_have_the_fano_factor_that_is_expected():
    """Over many units the mean is that of chance, whatever the tuning."""
    rng = np.random.default_rng(0)
    start, kind = 2.0 * np.arange(200), rng.integers(0, 5, 200)
    trains = []
    for _ in range(60):
        n = rng.poisson(2.0 + 6 * kind)
        times = np.concatenate([s + 0.999 * np.sort(rng.random(k)) for s, k in zip(start, n)])
        trains.append(neo.SpikeTrain(times * pq.s, t_stop=402.0))
    segment = session(trains, trials(start, 1.0, kind=kind))
    table = quiet(ann2neo.analyze, segment, windows="trial", within="kind", progress=False)
    difference = table["fano"] - table["fano_expected"]
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(60)
    assert quiet(ann2neo.analyze, segment, windows="trial", progress=False)["fano"].min() > 2


def test_histograms_about_events():
    """A neo Event is a stimulus onset for psth too; times are relative to it, and a network has none."""
    segment, trains, _, cue, _ = recorded()
    size = segment.events[0].array_annotations["size"]
    around = Around("reward", -0.2 * pq.s, 0.3 * pq.s)
    found = population.psth(segment, by="size", windows=around, bin_size=100 * pq.ms)
    own = found[(found["unit"] == 1) & (found["label"] == 2)]
    np.testing.assert_allclose(own["start_ms"], [-200, -100, 0, 100, 200], atol=1e-9)
    edges = (cue + 0.1)[size == 2][:, None] + np.arange(-2, 4) * 0.1
    counts = np.diff(np.searchsorted(trains[1].magnitude, edges), axis=1)
    np.testing.assert_allclose(own["mean"], counts.mean(axis=0))
    with pytest.raises(WindowError, match="every input is a trial"):
        population.psth(ann2neo.from_array(np.eye(4, dtype=bool), labels=[0, 1, 0, 1]), windows=around)
