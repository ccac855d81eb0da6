"""The study runs from end to end on tiny settings, goes on after a stop, names its sources, and its account says what its tables say."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analyses import beside
from analyses.contrasts import LONG, MEMORIZING, PRIMARY_ESTIMATES, UNTRAINED, estimate, ratio_table, reached
from analyses.plan import ADAM, PRIMARY, SECONDARY, SEEDS, STUDIES, cells

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "analyses").glob("[0-9]*.py"))
RESULTS = ROOT / "analyses" / "results"
WHOLE = pytest.mark.slow("the tiny plan trains some thirty networks, in about a minute")


@WHOLE
def test_it_runs_on_tiny_settings_and_goes_on_after_a_stop(tmp_path):
    """The same code path as the full run; a seed without its table is made again, the same, and nothing else; a budget of no time starts nothing."""
    networks, out = tmp_path / "networks", tmp_path / "analyses" / "results"
    said = _run(networks, out, "--minutes", "0")
    assert "states/digits-mlp-adam: 2 of 2 seeds to run" in said
    assert not (out / "cells").exists()
    _run(networks, out)
    for cell in cells(True):
        assert cell.missing(networks, out) == ()
        assert len(pd.read_csv(out / cell.table, low_memory=False)) > 20
    for script in SCRIPTS[:7]:
        assert (out / f"{script.stem}.md").stat().st_size > 100, script.stem
    assert "Finished: 6 of 6 cells" in (out.parent / "README.md").read_text()
    cell = cells(True)[0]
    whole, kept = pd.read_csv(out / cell.table), (networks / cell.file(1)).stat().st_mtime_ns
    (out / cell.table).unlink()
    (networks / cell.file(0)).unlink()
    _run(networks, out, "--only", cell.name)
    again = pd.read_csv(out / cell.table)
    pd.testing.assert_frame_equal(
        again.drop(columns="cpu_seconds"), whole.drop(columns="cpu_seconds"), check_exact=True
    )
    assert (networks / cell.file(1)).stat().st_mtime_ns == kept


def test_the_plan_is_what_was_decided():
    """8 primary settings of ten seeds, 4 secondary ones, 20 primary estimates; every name once."""
    wanted = cells()
    assert len({cell.name for cell in wanted}) == len(wanted)
    states = [cell for cell in wanted if cell.study == "states"]
    assert [cell.primary for cell in states] == [True] * 8 + [False] * 4
    assert all(cell.seeds == SEEDS for cell in states)
    assert (len(SEEDS), len(PRIMARY), len(SECONDARY), len(ADAM)) == (10, 8, 4, 4)
    assert len(set(PRIMARY_ESTIMATES)) == 20
    assert {cell.study for cell in wanted} == set(STUDIES)


def _states(ratio, *, n_settings=3, lost=()):
    """A table of networks in which memorizing ones have a share of the others' Fano mean by true label at the median, and nothing else differs."""
    rng, rows = np.random.default_rng(0), []
    for number in range(n_settings):
        for seed in range(6):
            for state in (UNTRAINED, MEMORIZING, LONG):
                reached = float((number, seed) not in lost)
                first = {"setting": f"s{number}", "seed": seed, "state": state, "images": "train", "layer": "network"}
                rows.append(first | {"windows": "facts", "threshold": np.nan, "reached": reached})
                for threshold in ("0", "median", "q90"):
                    for windows in ("label", "memorized"):
                        value = 10 * np.exp(rng.normal(0, 0.05, 5))
                        if (state, threshold, windows) == (MEMORIZING, "median", "label"):
                            value[2] *= ratio
                        names = ("firing_rate_mean", "firing_rate_var", "fano_mean", "fano_var", "label_share_mean")
                        rows.append(first | {"windows": windows, "threshold": threshold} | dict(zip(names, value)))
    return pd.DataFrame(rows)


def test_a_difference_is_found_where_it_is():
    """Of the 20 estimates one holds, at its ratio; seeds that did not learn their labels are left out and counted."""
    kept = reached(_states(0.5, lost={(0, 1)}))
    assert kept.attrs["left_out"] == 1
    assert len(kept[kept["setting"] == "s0"]["seed"].unique()) == 5
    table = ratio_table(kept, planned=3).set_index(["threshold", "windows", "indicator"])
    found = table.loc[("median", "true", "fano_mean")]
    assert found["verdict"] == "lower: holds"
    assert found["low"] < 0.5 < found["high"]
    assert (found["n_lower"], found["n_lower_decided"]) == (3, 2)  # of five seeds no p is below 1/16
    assert (table["verdict"] != "undecided").sum() == 1
    assert set(ratio_table(kept, planned=8)["verdict"]) == {"undecided", "lower: so far"}  # three of eight settings


def test_what_chance_makes_is_told_from_what_was_learned():
    """The floor is the untrained network's over the generalizing one's; an adjusted share around 0 is at chance, and the ratio of rates is that of the networks."""
    table = _states(1.0)
    table["label_share_adjusted_mean"] = 0.0
    for state, share in ((MEMORIZING, 0.01), (LONG, 0.5)):
        where = table["state"] == state
        table.loc[where, "label_share_adjusted_mean"] = share
        table.loc[where, "label_share_mean"] = share + 0.01
    table.loc[table["state"] == UNTRAINED, "label_share_mean"] = 0.2  # by the true label
    table.loc[(table["state"] == UNTRAINED) & (table["windows"] == "memorized"), "label_share_mean"] = 0.0051
    first = (table["state"] == MEMORIZING) & (table["setting"] == "s1")
    table.loc[first, "label_share_adjusted_mean"] *= np.where(table.loc[first, "seed"] % 2, 1, -1)
    table["firing_rate_mean"] = table["state"].map({UNTRAINED: 2.0, MEMORIZING: 3.0, LONG: 6.0, "none": 1.0})
    rows = {row["setting"]: row for row in beside.floors(table) if row["threshold"] == "median"}
    assert rows["s0"]["share_floor"] == pytest.approx(0.01)
    assert rows["s0"]["share_ratio"] == pytest.approx(0.02 / 0.51)
    assert rows["s0"]["adjusted_ratio"] == pytest.approx(0.02)
    assert [rows[f"s{k}"]["above_chance"] for k in range(3)] == [True, False, True]
    rate = next(beside.rates(table))
    names = ("memorizing_untrained", "long_untrained", "memorizing_long")
    assert [rate[name] for name in names] == pytest.approx([1.5, 3, 0.5])
    assert np.isnan(rate["memorizing_generalizing"])  # there are none in this table


def test_layers_weigh_the_same_where_they_are_said_to():
    """Two layers whose ratios are 1/4 and 1, of equal values else: their means have the ratio 5/8, whatever their numbers of units."""
    whole = _states(1.0)
    parts = []
    for layer, ratio in (("relu1", 0.25), ("relu2", 1.0)):
        part = whole[whole["windows"] != "facts"].assign(layer=layer, fano_mean=8.0)
        part.loc[part["state"] == MEMORIZING, "fano_mean"] *= ratio
        part["fano_mean"] *= np.exp(np.random.default_rng(2).normal(0, 1e-3, len(part)))
        parts.append(part)
    found = [row for row in beside.equal_layers(pd.concat([whole, *parts])) if row["indicator"] == "fano_mean"]
    assert len(found) == 6
    for row in found:
        assert row["ratio"] == pytest.approx(5 / 8, rel=2e-3)


def test_a_gain_is_measured_from_the_untrained_network():
    """Difference in differences: 0 if training adds the same in both, whatever the windows are."""
    script = importlib.import_module("analyses.03_controls")
    table, noise = _states(1.0), np.random.default_rng(1)
    table["setting"] = table["setting"].replace({f"s{k}": f"digits {k} adam" for k in range(3)})
    for state, windows, added in ((MEMORIZING, "memorized", 2.0), (LONG, "label", 5.0)):
        base = table[(table["state"] == UNTRAINED) & (table["windows"] == windows)].set_index(
            ["setting", "seed", "threshold"]
        )
        where = (table["state"] == state) & (table["windows"] == windows)
        keys = pd.MultiIndex.from_frame(table.loc[where, ["setting", "seed", "threshold"]])
        table.loc[where, "label_share_mean"] = (
            base.loc[keys, "label_share_mean"].to_numpy() + added + noise.normal(0, 1e-3, int(where.sum()))
        )
    for setting, gained in script.gain(table, MEMORIZING, "label_share_mean", "median", "memorized").items():
        np.testing.assert_allclose(gained, 2.0, atol=0.01, err_msg=setting)
    row = next(row for row in script._gains(table) if row["indicator"] == "label_share_mean")
    assert row["gain_generalizing"] == pytest.approx(5, abs=0.01)
    assert row["mean"] == pytest.approx(-3, abs=0.01)


def test_settings_are_counted_by_their_own_seeds():
    """Below and above zero, and which of them their seeds decide."""
    rng = np.random.default_rng(0)
    found = estimate({"a": rng.normal(-1, 0.1, 10), "b": rng.normal(0.01, 1, 10), "c": rng.normal(2, 0.1, 10)})
    assert (found["n_lower"] + found["n_higher"], found["n_lower_decided"], found["n_higher_decided"]) == (3, 1, 1)
    assert found["n"] == 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_each_names_its_question_its_data_its_source_and_its_limits(script):
    """A reader can repeat it, without torch."""
    text = script.read_text(encoding="utf-8")
    for word in ("Question", "Data:", "Method:", "Source:", "Limits:", "doi:", "def main(out: Path, smoke: bool"):
        assert word in text, word
    code = f"import sys, importlib; importlib.import_module('analyses.{script.stem}'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_account_is_made_of_the_committed_paragraphs():
    """The committed page is made anew from what lies in the folder of results."""
    account = importlib.import_module("analyses.account")
    assert account.account(RESULTS) == (ROOT / "analyses" / "README.md").read_text(encoding="utf-8")


def test_the_project_page_says_what_the_account_says():
    """Every ratio with its interval, and every other share, in its section on memorization is in the account's first five sentences or its tables."""
    section = (
        (ROOT / "README.md")
        .read_text(encoding="utf-8")
        .split("## Memorization against generalization")[1]
        .split("\n## ")[0]
    )
    page = (ROOT / "analyses" / "README.md").read_text(encoding="utf-8")
    ratios = re.findall(r"\d\.\d+ \(\d\.\d+ to \d\.\d+\)", section)
    assert len(ratios) == 8
    for ratio in ratios:
        assert ratio in page, ratio
    others = re.findall(r"\d+ of \d+ settings|\d+/\d+ layers", section) + ["untrained network with 0.88"]
    assert len(others) == 3
    for words in others:
        assert words in page, words
    said = {name: [f"{row['indicator']} at {row['threshold']}" for row in rows] for name, rows in _verdicts().items()}
    assert {"firing_rate_mean at 0", "fano_mean at 0 trained", "label_share_mean at 0 trained"} <= set(
        said["lower: holds"]
    )
    assert {"firing_rate_var at 0", "fano_mean at 0 true", "fano_mean at median true", "fano_mean at q90 true"} <= set(
        said["undecided"]
    )


def _verdicts():
    """Primary estimates by verdict."""
    table = pd.read_csv(RESULTS / "02_networks.csv", dtype={"threshold": str})
    rate = table["indicator"].str.startswith("firing")
    table["threshold"] += (" " + table["windows"]).where(~rate, "")
    return {str(name): rows.to_dict("records") for name, rows in table.groupby("verdict")}


@pytest.mark.slow("the tables of all finished cells are read and their bootstrap repeated")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_paragraphs_are_made_of_the_committed_cells(script, tmp_path):
    """Every paragraph follows from the cells alone."""
    (tmp_path / "cells").symlink_to(RESULTS / "cells")
    text = importlib.import_module(f"analyses.{script.stem}").main(tmp_path)
    committed = RESULTS / f"{script.stem}.md"
    assert (text + "\n" if text else "") == (committed.read_text(encoding="utf-8") if committed.exists() else "")


def _run(networks, out, *options):
    """Run the command on tiny settings, and give what it printed."""
    command = [sys.executable, "-m", "analyses", "--smoke", "--networks", str(networks), "--out", str(out), *options]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=900, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_answers_say_no_more_than_their_tables(tmp_path):
    """Without tables nothing is concluded; a gain whose interval holds 0 is not called one, and a layer against the review's finding unsays it."""
    answers = importlib.import_module("analyses.answers")
    assert answers.summary(tmp_path) == []
    assert sum("ot finished" in line for line in answers.answers(tmp_path)) == 4
    gains = pd.DataFrame(
        {
            "threshold": ["0", "median", "q90"],
            "indicator": "label_share_mean",
            "mean": -0.1,
            "low": -0.2,
            "high": [-0.05, -0.01, 0.01],
            "n_lower": 8,
            "n_lower_decided": 7,
            "n": 8,
        }
    )
    gains.to_csv(tmp_path / "03_controls.csv")
    assert "is not known to differ from 0 at the 90 % quantile" in answers._gains(tmp_path)
    gains.assign(high=-0.01).to_csv(tmp_path / "03_controls.csv")
    assert "all three intervals exclude 0" in answers._gains(tmp_path)
    assert "cannot separate" in answers._gains(tmp_path)
    layers = pd.DataFrame(
        [
            {
                "setting": "s",
                "layer": "relu1",
                "windows": "true",
                "indicator": name,
                "threshold": rule,
                "log_ratio": -1.0,
            }
            for name in ("fano_mean", "label_share_mean", "fano_var")
            for rule in ("0", "median", "q90")
        ]
    )
    assert "no verdict: at both quantiles both are lower in all 1 layers" in answers._thresholds(layers)
    assert "1 of 4 values are not lower" in answers._thresholds(layers.assign(log_ratio=[-1] * 5 + [0.1] + [-1] * 3))


def test_a_simulation_is_held_against_what_it_should_give():
    """Labels drawn from fitted shares: the label share of a simulation is the expected one, which is not the observed one; shares of units are pooled."""
    script, rng = importlib.import_module("analyses.07_models"), np.random.default_rng(0)
    labels = np.arange(1000) % 10
    n_images, rows = len(labels), []

    def share(bits):
        p = np.stack([bits[labels == label].mean(0) for label in range(10)])
        return (p.var(0) / (bits.mean(0) * (1 - bits.mean(0)))).mean(), p[labels]

    for _ in range(3):
        observed, p = share(rng.random((n_images, 200)) < 0.3)
        simulated, _ = share(rng.random((n_images, 200)) < p)
        facts = {"what": "simulated", "data": "digits", "model": "label", "state": "memorizing", "threshold": "0"}
        rows.append(facts | {"indicator": "label_share_mean", "observed": observed, "simulated": simulated})
    script.N_IMAGES["digits"], kept = n_images, script.N_IMAGES["digits"]
    try:
        found = script._simulated(pd.DataFrame(rows)).iloc[0]
    finally:
        script.N_IMAGES["digits"] = kept
    assert found["median"] > 1.8
    assert found["found_over_expected_median"] == pytest.approx(1, abs=0.05)
    pooled = script._pooled(pd.DataFrame({"n": [1, 3, 0], "share": [1.0, 0.0, np.nan]}), [("n", ["share"])])
    assert pooled == {"share": 0.25}


def test_layers_of_the_larger_network_are_counted():
    """The counts of layers in the paragraph on the ResNet-18 are those of a plain loop over its table."""
    table = pd.read_csv(RESULTS / "08_larger_resnet.csv", dtype={"threshold": str}, low_memory=False)
    table["threshold"] = table["threshold"].replace("0.0", "0")
    table = table[(table["images"] == "train") & (table["layer"] != "network")]
    text = (RESULTS / "08_larger.md").read_text()
    for windows, kind in (("memorized", "each by the label trained with"), ("label", "both by the true label")):
        said = text.split(kind)[1]
        for indicator, name in (("fano_mean", "Fano mean"), ("label_share_mean", "label share")):
            for place, threshold in enumerate(("0", "median", "q90")):
                of = table[table["threshold"] == threshold]
                one = of[(of["state"] == MEMORIZING) & (of["windows"] == windows)].set_index("layer")[indicator]
                other = of[(of["state"] == LONG) & (of["windows"] == "label")].set_index("layer")[indicator]
                below = sum(one[layer] < other[layer] for layer in one.index)
                counts = said.split(name)[1].split("(at 0")[0].split(", ")
                assert counts[place].strip() == f"{below} of {len(one)}", (windows, name, threshold)
    assert len(one) == 17
