"""Orders, stretches and windows are what a slow loop over trials says."""

import inspect
import itertools

import neo
import numpy as np
import pandas as pd
import pytest
import quantities as pq
from hypothesis import given
from hypothesis import strategies as st

import ann2neo
from ann2neo.errors import WindowError
from ann2neo.recording import make_trials
from ann2neo.windows import make_windows, order_words, stretch_edges, trial_order, windows_by_column, windows_of_length


@st.composite
def trial_tables(draw):
    """Trials of one or two passes, one or several bins each, with labels of which some may be unknown."""
    n = draw(st.integers(1, 12))
    lengths = np.array(draw(st.lists(st.integers(1, 4), min_size=n, max_size=n))) if draw(st.booleans()) else None
    labels = np.array(draw(st.lists(st.integers(-1, 3), min_size=n, max_size=n)))
    return make_trials(n, n_passes=draw(st.integers(1, 2)), lengths=lengths, stimulus_id=np.arange(n), label=labels)


@given(trial_tables())
def test_label_windows_hold_the_bins_of_each_label(trials):
    """Every bin is in the window of its pass and label, and in none if the label is unknown; sizes are counts of bins."""
    if (trials["label"] < 0).all():
        with pytest.raises(WindowError, match="unknown label"):
            windows_by_column(trials, "label")
        return
    windows = windows_by_column(trials, "label")
    for _, trial in trials.iterrows():
        for k in range(trial["start_bin"], trial["stop_bin"]):
            if trial["label"] < 0:
                assert windows.ids[k] == -1
            else:
                assert windows.names[windows.ids[k]] == str(trial["label"])
                assert windows.of_pass[windows.ids[k]] == trial["pass"]
    assert (windows.n_bins == [(windows.ids == w).sum() for w in range(windows.n_bins.size)]).all()


@given(trial_tables(), st.integers(1, 5))
def test_fixed_windows_never_cross_a_stretch(trials, length):
    """Each fixed window is a run of its length inside one stretch, as many as fit, and nothing else is counted."""
    edges = stretch_edges(trials)
    if max(np.diff(edges)) < length:
        with pytest.raises(WindowError, match="longest"):
            windows_of_length(trials, length)
        return
    windows = windows_of_length(trials, length)
    expected = np.full(edges[-1], -1)
    number = 0
    for a, b in itertools.pairwise(edges):
        for first in range(a, b - length + 1, length):
            expected[first : first + length] = number
            number += 1
    assert (windows.ids == expected).all()
    assert windows.n_bins.tolist() == [length] * number


def test_an_incomplete_window_is_dropped():
    """Ten bins hold three windows of three; the tenth bin is in none."""
    windows = windows_of_length(make_trials(10, stimulus_id=np.arange(10)), 3)
    assert windows.ids.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, -1]


def test_windows_default_to_labels_then_to_a_hundred_bins():
    """Without a choice labels are used where there are any."""
    ids = np.arange(300)
    assert make_windows(make_trials(300, stimulus_id=ids, label=ids % 2), None).kind == "label"
    assert make_windows(make_trials(300, stimulus_id=ids), None).kind == "100 bins"


def test_orders():
    """Label order is stable, shuffles repeat with their seed and differ without, and the presented order is found again."""
    trials = pd.DataFrame({"trial": [3, 1, 0, 2], "label": [1, 0, 1, 0]})
    assert trials["trial"].to_numpy()[trial_order(trials, "presented")].tolist() == [0, 1, 2, 3]
    assert trials["trial"].to_numpy()[trial_order(trials, "label")].tolist() == [1, 2, 0, 3]
    many = pd.DataFrame({"trial": np.arange(50)})
    assert (trial_order(many, "shuffled", seed=1) == trial_order(many, "shuffled", seed=1)).all()
    assert (trial_order(many, "shuffled", seed=1) != trial_order(many, "shuffled", seed=2)).any()


@pytest.mark.parametrize(
    ("by", "seed", "match"),
    [("shuffled", None, "seed"), ("label", 0, "seed"), ("colour", None, "no order"), ("label", None, "'label'")],
)
def test_impossible_orders_are_refused(by, seed, match):
    """A shuffle needs its seed, others refuse one; unknown orders and missing labels are named."""
    with pytest.raises(WindowError, match=match):
        inspect.unwrap(trial_order)(pd.DataFrame({"trial": [0, 1]}), by, seed=seed)


def test_an_unknown_column_suggests_the_nearest():
    """A misspelt column is answered with the right one."""
    with pytest.raises(WindowError, match="Did you mean 'target_label'"):
        make_windows(make_trials(2, stimulus_id=[0, 1], target_label=[0, 1]), "target_labels")


def test_a_shuffling_loader_is_seen_by_its_stimulus_ids():
    """Ids that do not ascend in a presented order were drawn by a loader; later passes and other orders say nothing of it."""
    trials = pd.DataFrame({"pass": [0, 0, 1, 1], "stimulus_id": [3, 8, 3, 8]})
    assert order_words(trials, {"input_order": "presented"}) == "presented"
    assert order_words(trials, {}) == "presented"
    drawn = trials.assign(stimulus_id=[8, 3, 8, 3])
    assert order_words(drawn, {"input_order": "presented"}) == "loader's shuffled"
    assert order_words(drawn, {"input_order": "shuffled"}) == "shuffled"


def test_trials_of_a_block_are_the_intervals_of_its_epoch():
    """In foreign spike trains windows="trial" counts in each interval of the Epoch "trials", whatever its labels say; gaps are not counted."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 1000, 300))
    block, segment = neo.Block(), neo.Segment()
    block.segments.append(segment)
    segment.spiketrains.append(neo.SpikeTrain(times * pq.ms, t_stop=1000 * pq.ms))
    start = np.arange(0, 1000, 100)
    labels = np.array(["a", "b"] * 5)
    segment.epochs.append(neo.Epoch(start * pq.ms, durations=np.full(10, 60) * pq.ms, labels=labels, name="trials"))
    counts = np.array([np.count_nonzero((times >= t) & (times < t + 60)) for t in start])
    table = ann2neo.analyze(block, windows="trial", progress=False)
    assert table["fano"][0] == pytest.approx(counts.var() / counts.mean())
    assert table.attrs["n_windows"] == 10
    by_label = ann2neo.analyze(block, windows="label", progress=False)
    assert by_label.attrs["n_windows"] == 2
    assert ann2neo.analyze(segment.spiketrains, windows=100 * pq.ms, progress=False).attrs["n_windows"] == 10
