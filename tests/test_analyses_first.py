"""The analyses run from end to end on tiny settings, name their sources, and their account says what their tables say."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "analyses" / "first").glob("[0-9]*.py"))
RESULTS = ROOT / "analyses" / "first" / "results"


WHOLE = pytest.mark.slow("the tiny plan trains more than a hundred networks")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """Run everything on tiny settings, and give the folder of networks and that of results."""
    folder = tmp_path_factory.mktemp("smoke")
    networks, out = folder / "networks", folder / "analyses" / "results"
    return networks, out, _run(networks, out)


@WHOLE
def test_they_run_on_tiny_settings(smoke):
    """The same code path as the full run: networks, tables, figures, paragraphs, account; then nothing is left to be trained."""
    networks, results, said = smoke
    assert "states: 24 networks, 24 of them to be trained" in said
    planner = importlib.import_module("analyses.first.networks.plan")
    assert planner.missing(planner.cells(True), networks) == []
    for script in SCRIPTS:
        for suffix in (".csv", ".png", ".md"):
            assert (results / f"{script.stem}{suffix}").stat().st_size > 100, script.stem
    states = pd.read_csv(results / "01_states.csv")
    assert set(states["split"]) == {"train", "held-out"}
    assert (states["n_memorizing"] == 2).all()
    assert "Made by `python -m analyses.first --smoke`" in (results.parent / "README.md").read_text()


@WHOLE
def test_what_a_killed_run_left_out_is_made_again_and_nothing_else(smoke, tmp_path):
    """Without its row a network is not finished; two processes make it the same again and leave the others alone."""
    networks, _, _ = smoke
    lost = ["digits-mlp-memorizing-0", "digits-cnn-random-1"]
    before = {path.name: path.stat().st_mtime_ns for path in networks.glob("*.csv")}
    rows = {name: pd.read_csv(networks / f"{name}.csv") for name in lost}
    for name in lost:
        (networks / f"{name}.csv").unlink()
    said = _run(networks, tmp_path / "results", "--workers", "2", "--only", "02")
    assert "states: 24 networks, 2 of them to be trained" in said
    after = {path.name: path.stat().st_mtime_ns for path in networks.glob("*.csv")}
    assert {name for name in before if before[name] != after[name]} == {f"{name}.csv" for name in lost}
    for name, row in rows.items():
        again = pd.read_csv(networks / f"{name}.csv")
        pd.testing.assert_frame_equal(again.drop(columns="seconds"), row.drop(columns="seconds"), check_exact=True)
    assert not list(networks.glob("*.partial*"))


@WHOLE
def test_networks_of_another_run_are_not_mixed_with_these(smoke):
    """The names are the same with every seed and size of plan, so that a folder belongs to one of them."""
    trainer = importlib.import_module("analyses.first.networks")
    with pytest.raises(ValueError, match="another folder"):
        trainer.main(smoke[0], 1, True, studies=("states",))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_each_names_its_question_its_data_and_its_source(script):
    """A neuroscientist can repeat it: what is asked, of which data, by which method, from which source, without torch."""
    text = script.read_text(encoding="utf-8")
    for word in ("Question", "Data:", "Method:", "Source:", "doi:", "def main(out: Path, networks: Path, seed"):
        assert word in text, word
    code = (
        f"import sys, importlib; importlib.import_module('analyses.first.{script.stem}'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.skipif(not (RESULTS / "run.json").exists(), reason="the full run has not been committed")
def test_the_account_says_what_the_tables_say(monkeypatch):
    """The committed account is made anew from the committed tables and paragraphs."""
    monkeypatch.syspath_prepend(str(ROOT))
    account = importlib.import_module("analyses.first.account").account(RESULTS)
    assert account == (ROOT / "analyses" / "first" / "README.md").read_text(encoding="utf-8")
    for script in SCRIPTS:
        assert (RESULTS / f"{script.stem}.md").read_text(encoding="utf-8") in account


@pytest.mark.parametrize("name", ["01_states", "02_order_and_windows"])
@pytest.mark.skipif(not (RESULTS / "run.json").exists(), reason="the full run has not been committed")
def test_the_paragraphs_of_states_and_order_are_made_from_their_tables(name):
    """Every sentence follows from the committed table alone."""
    table = pd.read_csv(RESULTS / f"{name}.csv")
    script = importlib.import_module(f"analyses.first.{name}")
    assert script.paragraph(table) + "\n" == (RESULTS / f"{name}.md").read_text(encoding="utf-8")


def _run(networks, out, *options):
    """Run the command on tiny settings, and give what it printed."""
    command = [
        sys.executable,
        "-m",
        "analyses.first",
        "--smoke",
        "--networks",
        str(networks),
        "--out",
        str(out),
        *options,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
