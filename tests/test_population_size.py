"""Measures of labels take memory that grows with trials, and not with trials times labels."""

import subprocess
import sys

import numpy as np
import pytest

import ann2neo
from ann2neo import population
from ann2neo.windows import sums_by_code

MANY = """
import resource, numpy as np, ann2neo, warnings
warnings.simplefilter("ignore")
from ann2neo import figures, population
rng = np.random.default_rng(0)
small = ann2neo.from_array(rng.random((40, 4)) < 0.3, labels=np.arange(40) % 3)
population.tuning(small), population.psth(small), figures.label_rates(small, "array")
recording = ann2neo.from_array(rng.random((40_000, 4)) < 0.3, labels=rng.permutation(40_000) % 20_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
population.tuning(recording)
population.psth(recording)
figures.label_rates(recording, "array")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_sums_by_code_are_those_of_a_loop():
    """Against one sum after the other; codes that nobody has sum to nothing."""
    rng = np.random.default_rng(0)
    counts, codes = rng.integers(0, 9, (5, 200)), rng.integers(0, 30, 200) * 2
    expected = np.array([[row[codes == code].sum() for code in range(64)] for row in counts])
    assert np.array_equal(sums_by_code(counts, codes, 64), expected)
    assert sums_by_code(counts[:, :0], codes[:0], 3).tolist() == [[0, 0, 0]] * 5


def test_many_labels_fit_into_memory():
    """A table of trials by labels would take 6,400 MB for 40,000 trials of 20,000 labels; all three together take less than a twentieth."""
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 300


@pytest.mark.parametrize("measure", [population.tuning, population.psth])
def test_expected_values_are_those_of_all_permutations(measure):
    """What is said of chance holds over every permutation of the labels."""
    from itertools import permutations

    spikes = np.array([[1, 0], [1, 1], [0, 1], [0, 0], [1, 0]], bool)
    labels = [0, 0, 1, 1, 1]
    found = measure(ann2neo.from_array(spikes, labels=labels))
    column = "rate_hz" if measure is population.tuning else "mean"
    scale = 1000.0 if measure is population.tuning else 1.0
    for unit in range(2):
        rates = np.array(
            [[spikes[np.array(p) == k, unit].mean() * scale for k in (0, 1)] for p in permutations(labels)]
        )
        rows = found[found.unit == unit]
        assert np.allclose(rows["expected"], rates.mean(axis=0))
        assert np.allclose(rows["chance_sd"], rates.std(axis=0))
        assert np.allclose(rows[column], [spikes[np.array(labels) == k, unit].mean() * scale for k in (0, 1)])
