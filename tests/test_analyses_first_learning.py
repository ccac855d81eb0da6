"""Question 4: recordings inside the loop are of the epoch they name, and flags are where an indicator leaves the range for good."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ann2neo
from analyses.first.flags import counts, flags, from_then_on, outside, separations

RESULTS = Path(__file__).parent.parent / "analyses" / "first" / "results"
learning = importlib.import_module("analyses.first.04_learning")
study = importlib.import_module("analyses.first.networks.learning")


def values(**states):
    """Put the epochs of networks side by side, as the script does; each state a list of networks."""
    columns = {(state, seed): one for state, networks in states.items() for seed, one in enumerate(networks)}
    frame = pd.DataFrame(columns, index=pd.Index(range(len(next(iter(columns.values())))), name="epoch"), dtype=float)
    frame.columns.names = ["state", "seed"]
    return frame


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_from_then_on_is_the_first_place_without_a_later_exception(true):
    """By a slow loop over all places."""
    slow = next((i for i in range(len(true)) if all(true[i:])), -1)
    assert from_then_on(np.array(true)) == slow


def test_a_flag_is_raised_where_a_network_leaves_the_range_for_good():
    """Leaving and coming back does not count; the widened range is left later; the gap must lie above."""
    cells = values(
        generalizing=[[0, 0, 0, 0], [1, 1, 1, 1]], memorizing=[[2, 0.5, 1.5, 3], [0.5, 0.5, 0.5, 0.5], [-9, -9, -9, -9]]
    )
    found = flags(cells, "range", above_only=False)["memorizing"]
    assert found[:1] == [2]
    assert np.isnan(found[1])
    assert found[2] == 0
    assert flags(cells, "widened", above_only=False)["memorizing"][0] == 3
    assert np.isnan(flags(cells, "range", above_only=True)["memorizing"][2])
    assert flags(cells, "online", above_only=False)["memorizing"][2] == 0
    there_and_back = values(generalizing=[[0, 0, 0], [1, 1, 1]], memorizing=[[0, 3, 0]])
    assert flags(there_and_back, "online", above_only=False)["memorizing"] == [1]
    assert np.isnan(flags(there_and_back, "widened", above_only=False)["memorizing"][0])


def test_false_alarms_are_of_generalizing_networks_against_the_others():
    """Of distinct numbers the lowest and the highest lie outside the range of the others, whatever they are."""
    cells = values(generalizing=np.random.default_rng(0).random((5, 6)).tolist(), memorizing=[[0] * 6])
    found = flags(cells, "range", above_only=False)["generalizing"]
    assert np.isfinite(found).sum() == 2
    assert np.isfinite(flags(cells, "range", above_only=True)["generalizing"]).sum() == 1


def test_a_missing_indicator_flags_nothing():
    """A Fano factor is NaN where all units are silent: no alarm then."""
    nan = np.full((3, 2), np.nan)
    assert not outside(np.array([1.0, 2.0, 3.0]), nan, "range", False).any()
    assert not outside(np.full(3, np.nan), np.zeros((3, 2)), "widened", False).any()


def test_a_flag_is_early_between_the_start_of_training_and_the_gap():
    """Before training it is not about learning; at the gap's epoch it is not before the gap; a gap that never flags comes last."""
    nan = float("nan")
    row = counts(
        {"generalizing": [nan, 5.0], "memorizing": [0.0, 2.0, 4.0, 3.0, nan]}, {"memorizing": [4.0, 4.0, 4.0, nan, 1.0]}
    )
    assert (row["early_memorizing"], row["at_start_memorizing"], row["flagged_memorizing"]) == (2, 1, 4)
    assert (row["false_alarms"], row["n_generalizing"]) == (1, 2)
    assert (row["first_memorizing"], row["median_memorizing"], row["last_memorizing"]) == (0, 2.5, 4)


def test_separated_means_all_on_one_side():
    """Two networks on different sides of the range are not separated from it."""
    generalizing = [[0, 0, 0], [1, 1, 1]]
    one = values(generalizing=generalizing, memorizing=[[0, 2, 3], [2, 2, 3]])
    assert separations(one)["separated_memorizing"] == 1
    both = values(generalizing=generalizing, memorizing=[[2, 2, 2], [-1, -1, -1]])
    assert np.isnan(separations(both)["separated_memorizing"])


@given(st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_relabelling_keeps_how_often_each_label_is_given(n, seed):
    """A permutation among some of the images: label windows keep their sizes; nothing changes at a share of 0."""
    labels = np.arange(n) % 7
    for share in (0.0, 0.5, 1.0):
        changed = study.relabelled(labels, share, np.random.default_rng(seed))
        assert np.array_equal(np.sort(changed), np.sort(labels))
        assert (changed != labels).sum() <= round(share * n)


@pytest.mark.slow("trains a network of the first edition twice")
def test_recordings_in_the_loop_are_of_the_epoch_they_name_and_change_nothing(tmp_path):
    """The last epoch's files are the final network, the first ones the initial one, and a network that nobody records learns the same."""
    cell = study.cells(True)[0]
    row = study.run(cell, tmp_path, 0, True)
    epochs = [epoch for epoch in range(study.SMOKE_EPOCHS + 1) if study.recorded(epoch, study.SMOKE_EPOCHS)]
    assert len(list(tmp_path.glob(f"{cell.name}-epoch-*-train.nwb"))) == len(epochs)
    torch.manual_seed(study.number_of(cell, 0))
    data = study.load(cell.data, True)
    model = study.make(cell.architecture, data.images.shape[-1])
    same(model, data, tmp_path / f"{cell.name}-epoch-000-held-out.nwb")
    study.train(model, data.images, data.labels, seed=study.number_of(cell, 0), epochs=study.SMOKE_EPOCHS)
    same(model, data, tmp_path / f"{cell.name}-epoch-{study.SMOKE_EPOCHS:03d}-held-out.nwb")
    assert study.accuracy(model, data.images, data.labels) == row["accuracy_target"]


def same(model, data, path):
    """Hold a file against a recording made now."""
    expected = ann2neo.record(model, data.held_out_images[: study.N_PROBES["held-out"]], progress=False)
    for layer in ann2neo.load(path).layers:
        assert np.array_equal(layer.raster.dense(), expected.raster(layer.name))


def test_the_gap_is_that_of_the_labels_the_network_is_trained_on():
    """Of the predictions in the files: training accuracy less held-out accuracy."""
    train = pd.DataFrame({"predicted_label": [1, 1, 0, 0], "target_label": [1, 1, 0, 1]})
    held_out = pd.DataFrame({"predicted_label": [1, 0], "target_label": [0, 0]})
    found = {row["indicator"]: row["value"] for row in learning._outcomes(train, held_out)}
    assert found == {"gap": 0.25, "train_accuracy": 0.75, "held_out_accuracy": 0.5}


@pytest.mark.skipif(not (RESULTS / "04_learning.csv").exists(), reason="the full run has not been committed")
def test_the_paragraph_says_what_the_table_says():
    """It is made anew from the committed table."""
    table = pd.read_csv(RESULTS / "04_learning.csv")
    assert learning.paragraph(table) + "\n" == (RESULTS / "04_learning.md").read_text(encoding="utf-8")
