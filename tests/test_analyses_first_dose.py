"""Question 5: doses permute what they say, trends are Page's and Spearman's, and a detection limit has no exception above it."""

import importlib
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from analyses.first.networks.dose import EPOCHS, N_SEEDS, NOISES, cells, permuted

RESULTS = Path(__file__).parent.parent / "analyses" / "first" / "results"
dose = importlib.import_module("analyses.first.05_dose")
# Distinct small numbers and ties alike.
values = hnp.arrays(float, st.tuples(st.integers(2, 4), st.integers(3, 7)), elements=st.integers(-4, 4).map(float))


@given(st.integers(0, 200), st.floats(0, 1), st.integers(0, 9))
def test_a_dose_permutes_that_share_among_themselves_and_nothing_else(n, share, seed):
    """Each class keeps its number; at most the chosen share changes; 0 changes nothing; the labels given stay as they are."""
    labels = np.random.default_rng(1).integers(0, 10, n)
    given_labels = labels.copy()
    changed = permuted(labels, share=share, rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(np.sort(changed), np.sort(labels))
    assert (changed != labels).sum() <= round(share * n)
    np.testing.assert_array_equal(labels, given_labels)


def test_larger_doses_contain_the_smaller_ones():
    """Images that a dose may change are among those that a larger dose may change, and nine tenths of them do change."""
    labels = np.repeat(np.arange(10), 200)
    unique = np.arange(2000)
    moved = [set(np.flatnonzero(permuted(unique, share=s, rng=np.random.default_rng(3)) != unique)) for s in (0.2, 0.6)]
    assert len(moved[0] - moved[1]) <= 3  # an image may be dealt its own label
    wrong = (permuted(labels, share=0.5, rng=np.random.default_rng(3)) != labels).mean()
    assert wrong == pytest.approx(0.45, abs=0.02)


def test_the_plan_holds_every_dose_of_every_seed_once():
    """Equally long for all doses of an architecture, because the number of epochs is the architecture's."""
    planned = cells(False)
    assert len({cell.name for cell in planned}) == len(planned) == sum(N_SEEDS.values()) * len(NOISES)
    assert {cell.architecture for cell in planned} == set(EPOCHS)


@given(values)
def test_rho_is_spearmans_in_every_seed(observed):
    """Mean, least and largest of SciPy's correlation; 0 where a seed does not vary."""
    doses = np.arange(observed.shape[1])
    slow = [0.0 if len(set(row)) == 1 else stats.spearmanr(row, doses).statistic for row in observed]
    found = dose.trend(observed)
    assert (found["rho_mean"], found["rho_min"], found["rho_max"]) == pytest.approx(
        (np.mean(slow), min(slow), max(slow)), abs=1e-12
    )


@given(values)
def test_a_trend_turned_around_is_the_same_trend(observed):
    """Two-sided: from high to low doses rho changes its sign and p stays."""
    there, back = dose.trend(observed), dose.trend(observed[:, ::-1])
    assert there["rho_mean"] == pytest.approx(-back["rho_mean"], abs=1e-12)
    assert there["p"] == back["p"]


def test_p_is_that_of_permuted_doses():
    """By permuting the doses within each seed: the share of permutations whose mean rho is as far from 0."""
    rng = np.random.default_rng(2)
    observed = np.arange(11) * 0.12 + rng.normal(size=(3, 11))
    found = dose.trend(observed)
    shuffled = np.argsort(rng.random((20_000, 3, 11)), axis=2) - 5.0
    rho = (shuffled * (np.arange(11) - 5.0)).sum(axis=2).mean(axis=1) / 110
    assert found["p"] == pytest.approx((np.abs(rho) >= abs(found["rho_mean"]) - 1e-9).mean(), abs=0.01)
    assert 0.001 < found["p"] < 0.5


def test_a_value_that_is_missing_leaves_no_trend():
    """A Fano factor is NaN where all units are silent."""
    assert all(math.isnan(number) for number in dose.trend(np.array([[1.0, np.nan, 2.0], [1.0, 2.0, 3.0]])).values())


@given(values)
def test_the_detection_limit_has_no_exception_above_it(observed):
    """By a slow loop over doses, sides and networks."""
    doses = np.arange(observed.shape[1]) * 10.0
    first = observed[:, 0]
    slow = math.nan
    for k in range(observed.shape[1] - 1, 0, -1):
        later = observed[:, k:]
        if later.min() > first.max() or later.max() < first.min():
            slow = doses[k]
    assert dose.detection_limit(observed, doses) == pytest.approx(slow, nan_ok=True)


def test_outside_by_chance_as_often_as_said():
    """Of equal networks: all of one dose above or all below the others."""
    drawn = np.random.default_rng(0).random((40_000, 6))
    one, other = drawn[:, :3], drawn[:, 3:]
    outside = (one.min(axis=1) > other.max(axis=1)) | (one.max(axis=1) < other.min(axis=1))
    assert outside.mean() == pytest.approx(dose.chance_of(3), abs=0.005)


def test_monotone_is_steep_in_every_seed_and_from_the_first_dose_on():
    """Falling all the way; with one flat seed; rising at first; rising all the way."""
    table = pd.DataFrame(
        {
            "rho_mean": [-0.95, -0.9, -0.95, 0.97],
            "rho_min": [-1.0, -1.0, -1.0, 0.95],
            "rho_max": [-0.9, -0.8, -0.9, 1.0],
            "mean_at_0": [5.0, 5.0, 5.0, 1.0],
            "mean_at_10": [4.0, 4.0, 6.0, 2.0],
            "mean_at_100": [0.0, 0.0, 0.0, 9.0],
        }
    )
    assert [dose._monotone(table.iloc[[i]]) for i in range(4)] == [1, 0, 0, 1]
    assert dose._against(table).tolist() == [False, False, True, False]


@pytest.mark.skipif(not (RESULTS / "05_dose.csv").exists(), reason="the full run has not been committed")
def test_the_paragraph_says_what_the_table_says():
    """Made anew from the committed table."""
    table = pd.read_csv(RESULTS / "05_dose.csv")
    assert dose.paragraph(table) + "\n" == (RESULTS / "05_dose.md").read_text(encoding="utf-8")
