"""Verdicts, texts and contrasts of questions 1 and 2, on tables whose answer is known, and the examples in the analyses' docstrings."""

import doctest
import importlib
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ann2neo
from analyses.first.claims import DOES_NOT_HOLD, HOLDS, WITH_CONDITIONS, judge
from analyses.first.states_account import CONTROL, CONVENTIONS, INDICATORS, paragraph
from analyses.replicates import corrected, measure, networks_of, written

ROOT = Path(__file__).parent.parent
WITH_EXAMPLES = sorted(path for path in (ROOT / "analyses").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))


def _layers(g, p):
    named = {"data": "digits", "architecture": "mlp", "optimizer": "adam", "layer": [f"relu{i}" for i in range(len(g))]}
    return pd.DataFrame(named | {"hedges_g": g, "p_corrected": p})


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_say_what_happens(path):
    """Every example in a docstring of the analyses."""
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    failed, tried = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert tried
    assert not failed


@pytest.mark.parametrize(
    ("g", "p", "word", "direction", "exceptions"),
    [
        ([-1, -2, -3, -4, -5], [0.01] * 5, HOLDS, "lower", 0),
        ([1, 2, 3, 4, 5], [0.05] * 5, HOLDS, "higher", 0),
        ([-1, -2, -3, -4, 5], [0.01] * 4 + [0.06], WITH_CONDITIONS, "lower", 1),
        ([-1, -2, -3, -4, -5], [0.01] * 3 + [0.2, 0.2], WITH_CONDITIONS, "lower", 2),
        ([-1, -2, -3, -4, -5], [0.01] * 2 + [0.2] * 3, DOES_NOT_HOLD, "lower", 3),
        ([-1, -2, -3, -4, 5], [0.01] * 5, DOES_NOT_HOLD, "lower", 1),
        ([-1, -2, -3, 4, 5], [0.01] * 3 + [0.9] * 2, DOES_NOT_HOLD, "lower", 2),
        ([-1, -2, -3, -4, np.nan], [0.01] * 4 + [np.nan], WITH_CONDITIONS, "lower", 1),
        ([-1, -2, -3, -4, 0], [0.01] * 5, WITH_CONDITIONS, "lower", 1),
    ],
)
def test_the_rule_is_applied_as_it_is_written(g, p, word, direction, exceptions):
    """Same sign and decided everywhere; or mostly, and never decided the other way; at the limits themselves too."""
    verdict = judge(_layers(g, p))
    assert (verdict.word, verdict.direction, len(verdict.exceptions)) == (word, direction, exceptions)
    assert verdict.n_cells == len(g)


def _table(exploratory=False, *, left_out=0):
    """A table in which the Fano factor by trained label alone is lower in memorizing networks."""
    rows = []
    for (split, windows), layer, population, indicator in product(
        (*CONVENTIONS, CONTROL), ("relu1", "relu2", "network"), ("all", "good"), INDICATORS
    ):
        lower = indicator == "fano_mean" and windows == "target_label"
        rows.append(
            {
                "exploratory": exploratory,
                "data": "digits",
                "architecture": "mlp",
                "optimizer": "sgd" if exploratory else "adam",
            }
            | {"split": split, "windows": windows, "layer": layer, "population": population, "indicator": indicator}
            | {"n_memorizing": 5 - left_out, "n_generalizing": 5, "left_out_memorizing": left_out, "p": 0.01}
            | {"hedges_g": -3.0 if lower else 0.5, "hedges_g_low": -4.0, "hedges_g_high": 1.0}
            | {"p_corrected": 0.02 if lower else 0.8, "position_random": np.nan if windows == "target_label" else 0.5}
            | {
                "accuracy_target_memorizing": 1,
                "accuracy_held_out_memorizing": 0.1,
                "accuracy_held_out_generalizing": 0.9,
            }
        )
    return pd.DataFrame(rows)


def test_the_text_says_what_the_table_says():
    """Which indicator holds under which convention, and that the claim holds for nothing else."""
    text = paragraph(_table())
    assert (
        "| fano_mean | does not hold (0 lower, 0 higher, 2 undecided) | holds (2 lower, 0 higher, 0 undecided) |"
        in text
    )
    assert text.count("holds (2 lower") == 1
    assert (
        "holds with conditions, only for fano_mean (train images, by trained label); under the other 11 of 12" in text
    )
    assert "in memorizing networks fano_mean 0 lower, 0 higher, 2 undecided" in text
    assert "For fano_mean by trained label the control **disagrees**: in the same windows it is higher" in text
    assert "None had to be left out." in text
    assert "Exploratory" not in text


def test_networks_that_were_left_out_are_named():
    """Never silently."""
    text = paragraph(pd.concat([_table(), _table(True, left_out=2)], ignore_index=True))
    assert "Left out, because they did not learn 99.9 % of their labels: 2 of digits mlp SGD." in text
    assert "None had to be left out." in text
    assert "Exploratory: memorizing against equally long generalizing networks, 3 v 5 in each of 1 setting" in text


def test_correction_leaves_unknown_cells_out():
    """NaN stays and is not counted."""
    p = np.array([0.01, np.nan, 0.02, 0.03])
    np.testing.assert_allclose(corrected(p), [0.03, np.nan, 0.03, 0.03])
    assert np.isnan(corrected(np.full(2, np.nan))).all()


def test_rows_of_networks_are_found_among_other_tables(tmp_path):
    """By their columns and by their name: a table of curves or a copy is no network."""
    columns = "study,data,architecture,optimizer,state,seed,noise,name,epochs\n"
    (tmp_path / "a.csv").write_text(columns + "states,digits,mlp,adam,random,0,,a,3\n")
    (tmp_path / "b.csv").write_text(columns + "dose,digits,mlp,adam,noisy,0,10,b,3\n")
    (tmp_path / "copy.csv").write_text(columns + "states,digits,mlp,adam,random,0,,a,3\n")
    (tmp_path / "curve.csv").write_text("study,share,accuracy\nstates,1,0.5\n")
    assert networks_of(tmp_path, "states")["name"].tolist() == ["a"]
    with pytest.raises(FileNotFoundError, match="pruning"):
        networks_of(tmp_path, "pruning")


def test_tables_are_spoken_of_as_they_were_written(tmp_path):
    """Six digits in the file are six digits in the text."""
    read = written(pd.DataFrame({"x": [1 / 3], "flag": [True]}), tmp_path / "t.csv")
    assert read["x"].item() == 0.333333
    assert read["flag"].dtype == bool


def test_measuring_checks_itself_against_elephant(monkeypatch):
    """If the two engines differ by one bit in a unit that is looked at, it says so."""
    rng = np.random.default_rng(0)
    recording = ann2neo.from_array(rng.random((60, 8)) < 0.4)
    table = measure(recording, 10, 0)
    assert len(table) == 8
    real = ann2neo.analyze

    def off(recording, *, engine="bulk", **options):
        found = real(recording, engine=engine, **options)
        return found.assign(fano=np.nextafter(found["fano"], 0)) if engine == "elephant" else found

    monkeypatch.setattr(ann2neo, "analyze", off)
    with pytest.raises(AssertionError):
        measure(recording, 10, 0)


def test_the_rates_part_is_what_the_shuffled_recording_says():
    """Taken away network by network; nothing of the shuffled order is left."""
    orders = importlib.import_module("analyses.first.02_order_and_windows")
    rows = pd.DataFrame(
        {"data": "digits", "architecture": "mlp", "group": group, "seed": seed, "layer": "relu1", "windows": 10}
        | {
            "order": order,
            "fano_mean": value + seed,
            "fano_var": 1.0,
            "fano_expected_mean": 1.0,
            "label_share_mean": 0.1,
        }
        for group in ("memorizing", "generalizing")
        for seed in range(3)
        for order, value in (("label", 5.0 - (group == "memorizing")), ("shuffled", 1.0))
    )
    less = orders.less_rate(rows)
    by_order = less.groupby(["order", "group"])["fano_mean less the rate's part"].agg(["min", "max"])
    assert by_order.loc[("label", "memorizing")].tolist() == [3, 3]
    assert by_order.loc[("label", "generalizing")].tolist() == [4, 4]
    table = orders.contrasts(less)
    raw = table[(table["order"] == "label") & (table["indicator"] == "fano_mean")].iloc[0]
    assert (raw["mean_memorizing"], raw["mean_generalizing"]) == (5, 6)
    assert raw["hedges_g"] < 0
    assert not (table["indicator"].str.endswith("part") & (table["order"] == "shuffled")).any()


def test_the_control_uses_the_memorizing_networks_labels(tmp_path):
    """Both groups get the same windows."""
    script = importlib.import_module("analyses.first.01_states")
    labels = np.arange(30) % 3
    memorized = np.random.default_rng(1).permutation(labels)
    spikes = np.random.default_rng(0).random((30, 4)) < 0.5
    plain = ann2neo.from_array(spikes, labels=labels)
    memorizing = replace(plain, trials=plain.trials.assign(target_label=memorized))
    ann2neo.save(memorizing, tmp_path / "m.nwb")
    other = replace(plain, trials=plain.trials.assign(target_label=labels))
    seen = script._with_memorized(other, tmp_path / "m.nwb")
    np.testing.assert_array_equal(seen.trials["memorized_label"], memorized)
    table = ann2neo.analyze(seen, windows="memorized_label", progress=False)
    expected = ann2neo.analyze(memorizing, windows="target_label", progress=False)
    np.testing.assert_array_equal(table["fano"], expected["fano"])
    cell = pd.Series({"name": "digits-mlp-sgd-generalizing-long-3", "state": "generalizing-long", "seed": 3})
    assert script._memorizing(next(cell.to_frame().T.itertuples())) == "digits-mlp-sgd-memorizing-3"
