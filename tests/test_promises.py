"""Promises that no other test would miss: order within a label, seeds of drawn permutations."""

import numpy as np

import ann2neo


def test_within_a_label_the_order_is_as_presented():
    """Among many trials, where an unstable sort would show."""
    labels = np.random.default_rng(0).integers(0, 3, 500)
    recording = ann2neo.from_array(np.eye(500, 4, dtype=bool), labels=labels)
    trials = recording.arrange("label").trials
    for label in range(3):
        ids = trials.loc[trials["label"] == label, "stimulus_id"].to_numpy()
        assert np.array_equal(ids, np.flatnonzero(labels == label))


def test_the_seed_draws_the_permutations():
    """Where not all divisions of the networks can be tried, p follows from the seed and from nothing else."""
    rng = np.random.default_rng(0)
    tables = [
        ann2neo.analyze(ann2neo.from_array(rng.random((40, 3)) < rate), windows=10, progress=False)
        for rate in rng.uniform(0.2, 0.6, 24)
    ]
    groups = {"a": tables[:12], "b": tables[12:]}
    p = [ann2neo.compare(groups, seed=seed)["p"].to_numpy() for seed in (0, 0, 1)]
    assert np.array_equal(p[0], p[1], equal_nan=True)
    assert not np.array_equal(p[0], p[2], equal_nan=True)
