"""Which trains belong to the same unit, in whatever container they come."""

import elephant.trials
import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from test_cells_trials import analyze, block, poisson, quiet, session, trials

import ann2neo
from ann2neo import population
from ann2neo.errors import AnalysisError


def named(seed, name, rate=20.0, **more):
    return poisson(seed, stop=50.0, rate=rate, name=name, **more)


def test_units_are_matched_by_name_across_segments():
    """Names that contradict positions win; a unit that a segment lacks was not observed there."""
    found = analyze(
        block(session([named(0, "a", 5), named(1, "b", 50)]), session([named(2, "b", 50), named(3, "c", 20)])),
        windows=1 * pq.s,
    )
    assert found["name"].tolist() == ["a", "b", "c"]
    rates = dict(zip(found["name"], found["firing_rate"]))
    assert rates["a"] == pytest.approx(len(named(0, "a", 5)) / 50)
    assert rates["b"] == pytest.approx((len(named(1, "b", 50)) + len(named(2, "b", 50))) / 100)
    assert rates["c"] == pytest.approx(len(named(3, "c", 20)) / 50)


def test_a_permutation_of_segments_keeps_the_pooled_result():
    """The units of a Block are a set."""
    segments = [session([named(k, name) for name in names]) for k, names in enumerate(("abc", "cab", "bd"))]
    first = analyze(block(*segments), windows=1 * pq.s).set_index("name")
    other = analyze(block(*segments[::-1]), windows=1 * pq.s).set_index("name")
    columns = ["n_spikes", "firing_rate", "fano", "lv"]
    np.testing.assert_allclose(
        first[columns].to_numpy(float), other.loc[first.index, columns].to_numpy(float), rtol=1e-12
    )


BAD = {
    "twice the same name": (["aab", "aab"], "such as 'a'"),
    "names that some lack, against positions": ([["a", None], ["b", None]], "'a', 'b'"),
    "no names and other numbers": ([[None, None], [None]], r"\[1, 2\]"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_who_is_who_is_never_guessed(case):
    """Refused where names say nothing, or too much."""
    names, match = BAD[case]
    with pytest.raises(AnalysisError, match=match):
        analyze(
            block(*(session([named(k, name) for name in of_segment]) for k, of_segment in enumerate(names))),
            windows=1 * pq.s,
        )


def test_numbers_of_other_programs_match_units_without_names():
    """PyNN's source_id, Phy's cluster_id."""
    segments = [
        session([poisson(k + n, stop=9.0, rate=5.0 * n, source_id=n) for n in order])
        for k, order in enumerate(([1, 9], [9, 1]))
    ]
    found = analyze(block(*segments), windows=1 * pq.s)
    assert found["source_id"].tolist() == [1, 9]
    assert found["n_spikes"].tolist() == [
        sum(len(t) for s in segments for t in s.spiketrains if t.annotations["source_id"] == n) for n in (1, 9)
    ]


def test_names_and_annotations_are_in_the_table():
    """Also a channel that is called 'A-012'; what is called like a column gets a prefix."""
    trains = [
        named(k, f"cluster {k}", id=k, channel=f"A-{k:03}", quality="mua", snr=1.5 * k, row="DG", tags=["x"])
        for k in (241, 17)
    ]
    table = analyze(trains, windows=1 * pq.s)
    assert table["name"].tolist() == ["cluster 241", "cluster 17"]
    assert table["id"].tolist() == [241, 17]
    assert table["channel"].tolist() == [-1, -1]
    assert table["unit_channel"].tolist() == ["A-241", "A-017"]
    assert table["unit_quality"].tolist() == ["mua", "mua"]
    assert table["unit_row"].tolist() == ["DG", "DG"]
    assert "tags" not in table
    ann2neo.summarize(table)


@pytest.fixture
def made():
    """Two units in three trials."""
    return [[poisson(10 * k + u, stop=2.0) for u in range(2)] for k in range(3)]


def containers(made):
    whole = block(*(session(of_trial) for of_trial in made))
    group = neo.Group([train for segment in whole.segments for train in segment.spiketrains], name="V1")
    return {
        "lists of lists": made,
        "tuples": tuple(map(tuple, made)),
        "Segments": list(whole.segments),
        "TrialsFromLists": elephant.trials.TrialsFromLists(made),
        "TrialsFromBlock": elephant.trials.TrialsFromBlock(whole),
        "Group": group,
    }


@pytest.mark.parametrize(
    "kind", ["lists of lists", "tuples", "Segments", "TrialsFromLists", "TrialsFromBlock", "Group"]
)
def test_elephants_containers_give_what_the_block_gives(made, kind):
    """A list of trains is a trial, a Group the area V1."""
    expected = analyze(
        block(*(session([train.copy() for train in of_trial]) for of_trial in made)), windows=500 * pq.ms
    )
    found = analyze(containers(made)[kind], windows=500 * pq.ms)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    histogram = population.time_histogram(containers(made)[kind], bin_size=500 * pq.ms)
    assert histogram["n_spikes"].sum() == expected["n_spikes"].sum()


def test_a_dict_of_times_says_its_unit_and_its_end():
    """Neither is guessed."""
    times = {"a": np.array([0.5, 2.5, 1.5]) * pq.s, "b": np.array([100.0]) * pq.ms}
    table = analyze({**times, "t_stop": 4 * pq.s}, windows=1 * pq.s)
    assert table["name"].tolist() == ["a", "b"]
    assert table["firing_rate"].tolist() == [0.75, 0.25]
    for wrong, match in (
        (times, "t_stop"),
        ({"a": [1.0], "t_stop": 4 * pq.s}, "no unit"),
        ({"t_stop": 4 * pq.s}, "no spike trains"),
    ):
        with pytest.raises(AnalysisError, match=match):
            analyze(wrong)


def test_a_group_of_pynapple_brings_its_support_and_metadata():
    """Its time support is observed time, its metadata are annotations."""
    nap = pytest.importorskip("pynapple")
    support = nap.IntervalSet([0, 5], [3, 9])
    group = nap.TsGroup(
        {3: nap.Ts([1.0, 2.0, 6.0]), 7: nap.Ts([1.5])}, time_support=support, metadata={"area": ["V1", "LM"]}
    )
    table = analyze(group, windows=1 * pq.s)
    assert table["name"].tolist() == ["3", "7"]
    assert table["area"].tolist() == ["V1", "LM"]
    assert table["firing_rate"].to_numpy() == pytest.approx([3 / 7, 1 / 7])


def test_what_neo_left_in_the_file_is_read(tmp_path):
    """Lazy Blocks hold proxies."""
    made = block(session([poisson(k, stop=5.0) for k in range(2)]))
    with neo.NixIO(str(tmp_path / "a.nix"), "ow") as io:
        io.write_block(made)
    expected = analyze(made, windows=1 * pq.s)

    class Proxy:
        def __init__(self, train):
            self.train = train

        def load(self):
            return self.train

    Proxy.__name__ = "SpikeTrainProxy"
    found = analyze([Proxy(train) for train in made.segments[0].spiketrains], windows=1 * pq.s)
    pd.testing.assert_frame_equal(found, expected)


def test_unequal_trains_in_trials_of_a_condition():
    """A unit that is held for half a session has its own trials in every table."""
    start = np.arange(0, 50, 1.0)
    trains = [named(0, "a"), poisson(1, stop=25.0, name="b")]
    table = quiet(population.fano, session(trains, trials(start, 0.5, kind=np.tile([1, 2], 25))), within="kind")
    assert table.groupby("unit")["n_trials"].sum().tolist() == [50, 25]


def test_a_raster_of_cells_shows_what_was_observed():
    """Rates over time, segment after segment; grey where a unit was not observed. Our own trains are drawn as a recording."""
    half = poisson(1, stop=25.0, name="b")
    ax = ann2neo.figures.raster(block(session([named(0, "a"), half]), session([named(2, "a")]))).ax
    first, second = (image.get_array() for image in ax.images)
    assert first.shape == (2, 500)
    assert not np.ma.getmaskarray(first)[0].any()
    assert np.ma.getmaskarray(first)[1].tolist() == [False] * 250 + [True] * 250
    assert first[1, :250].mean() == pytest.approx(len(half) / 25)
    assert np.ma.getmaskarray(second)[1].all()
    assert "2 segments" in ax.get_xlabel()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    recording = ann2neo.from_array(np.random.default_rng(0).random((40, 3)) < 0.4)
    assert "pseudo-time" in ann2neo.figures.raster(ann2neo.to_block(recording)).ax.get_xlabel()
