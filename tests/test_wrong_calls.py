"""Wrong calls are refused with an error of ours, and what the error advises works."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import wrong_calls

SCRIPT = Path(wrong_calls.__file__)
LINES = list(wrong_calls.rows(wrong_calls.TABLE.read_text()))


@pytest.fixture(scope="module")
def tally():
    """Run the whole table in a process without checks of types, as users do."""
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parent.parent)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, env=environment, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_every_wrong_call_is_refused_and_its_cure_works(tally):
    """Each line has the class and the words of its error; advice that can be executed is executed."""
    assert not tally["failures"], "\n".join(tally["failures"])
    assert tally["refused"] == tally["calls"] == len(LINES)


def test_the_table_covers_the_library_and_the_command_line(tally):
    """The table is large, says something of every error, and its cures are executed often."""
    assert tally["calls"] >= 1000
    assert tally["cures"] >= 270
    assert all(error and said for _, _, error, said, _ in LINES)
    begins = Counter(call.split("(")[0] for _, call, *_ in LINES)
    assert begins["cli"] >= 150
    assert sum(n for name, n in begins.items() if name.startswith("chance.")) >= 100


@pytest.mark.parametrize(
    ("call", "said", "what"),
    [
        ("flat.layer('array')", "x", "accepted"),
        ("flat.layer('arra')", "there is no such text", "does not say"),
        ("flat.layer('arra')", "no layer matches", "not OutputExists"),
    ],
)
def test_the_script_notices(tmp_path, monkeypatch, call, said, what):
    """A call that is accepted, another message or another class of error is a failure; so is a cure that fails."""
    monkeypatch.chdir(tmp_path)
    known = {"flat": wrong_calls.ann2neo.from_array([[1, 0], [0, 1]], labels=[0, 1])}
    error = "OutputExists" if what.startswith("not ") else "LayerNotFound"
    assert what in str(wrong_calls.verdict(call, error, said, "", known)[0])
    useless = wrong_calls.verdict("flat.layer('arra')", "LayerNotFound", "no layer matches", "flat.layer('x')", known)
    assert "fails" in str(useless[0])
