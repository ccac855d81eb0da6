"""The analyses run from end to end on tiny settings, name their sources, and their account says what their tables say."""

import importlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "analyses").glob("[0-9]*.py"))
RESULTS = ROOT / "analyses" / "results"


def test_they_run_on_tiny_settings(tmp_path):
    """The same code path as the full run: networks, tables, figures, paragraphs, account; a second run trains nothing."""
    code = f"from pathlib import Path; from analyses.__main__ import run; run(Path({str(tmp_path / 'nets')!r}), Path({str(tmp_path / 'a' / 'results')!r}), 0, True)"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    assert "16 networks, 0 of them" in done.stdout
    results = tmp_path / "a" / "results"
    for script in SCRIPTS:
        for suffix in (".csv", ".png", ".md"):
            assert (results / f"{script.stem}{suffix}").stat().st_size > 100, script.stem
    states = pd.read_csv(results / "01_states.csv")
    assert set(states["split"]) == {"train", "held-out"}
    assert (states["n_memorizing"] == 2).all()
    assert "Made by `python -m analyses --smoke`" in (tmp_path / "a" / "README.md").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_each_names_its_question_its_data_and_its_source(script):
    """A neuroscientist can repeat it: what is asked, of which data, by which method, from which source, without torch."""
    text = script.read_text(encoding="utf-8")
    for word in ("Question", "Data:", "Method:", "Source:", "doi:", "def main(out: Path, networks: Path, seed"):
        assert word in text, word
    code = f"import sys, importlib; importlib.import_module('analyses.{script.stem}'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.skipif(not (RESULTS / "run.json").exists(), reason="the full run has not been committed")
def test_the_account_says_what_the_tables_say(monkeypatch):
    """Every paragraph of the committed account is made anew from the committed tables."""
    monkeypatch.syspath_prepend(str(ROOT))
    main = importlib.import_module("analyses.__main__")
    assert main.account(RESULTS) == (ROOT / "analyses" / "README.md").read_text(encoding="utf-8")
    states = importlib.import_module("analyses.01_states")
    table = pd.read_csv(RESULTS / "01_states.csv")
    assert states.paragraph(table) + "\n" == (RESULTS / "01_states.md").read_text(encoding="utf-8")
    orders = importlib.import_module("analyses.02_order_and_windows")
    means = pd.read_csv(RESULTS / "02_order_and_windows.csv")
    assert orders.paragraph(means) + "\n" == (RESULTS / "02_order_and_windows.md").read_text(encoding="utf-8")
