"""Errors and pages name what is wrong, and nothing that a file says steers who reads it."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from strategies import small_recording

import ann2neo
from ann2neo.cli.terminal import printable
from ann2neo.errors import AnalysisError
from ann2neo.sharing.card import data_card
from ann2neo.sharing.metadata import Metadata

ESCAPE = "fc\x1b]0;owned\x07"


def table_of(seed):
    spikes = np.random.default_rng(seed).random((60, 4)) < 0.4
    return ann2neo.analyze(ann2neo.from_array(spikes), windows=10, progress=False)


def test_a_network_is_one_replicate():
    """Six times the same network are one; also where it stands in both groups, and where only its rows' attributes differ."""
    a, b, c = (table_of(seed) for seed in range(3))
    assert ann2neo.compare({"a": [a, b], "b": [c]}).attrs["n_networks"] == {"a": 2, "b": 1}
    with pytest.raises(AnalysisError, match=r"number 2 of 'a' is the same network as number 1 of 'a'(?s:.*)once"):
        ann2neo.compare({"a": [a] * 6, "b": [b] * 6})
    with pytest.raises(AnalysisError, match=r"number 1 of 'b' is the same network as number 2 of 'a'"):
        ann2neo.compare({"a": [a, b], "b": [b.copy(), c]})


def test_networks_that_say_nothing_may_be_alike():
    """Two dead networks are two networks."""
    dead = ann2neo.analyze(ann2neo.from_array(np.zeros((50, 4), bool)), windows=5, progress=False)
    assert ann2neo.compare({"a": [dead, dead.copy()]}).attrs["n_networks"] == {"a": 2}


def test_nothing_steers_the_terminal(tmp_path):
    """An escape in the name of a layer is shown as its code by `info`, and so is one in an error."""
    recording = ann2neo.from_array(np.eye(12, dtype=bool), layer=ESCAPE)
    ann2neo.save(recording, tmp_path / "a.mat")
    info = [sys.executable, "-m", "ann2neo", "info"]
    said = subprocess.run([*info, str(tmp_path / "a.mat")], capture_output=True, check=True).stdout
    assert b"\\x1b]0;owned\\x07" in said
    assert b"\x1b" not in said
    wrong = subprocess.run([*info, "none\x1b]0;x\x07.mat"], capture_output=True, check=False)
    assert wrong.returncode == 2
    assert b"\x1b" not in wrong.stderr
    assert printable("plain ☃\n\t") == "plain ☃\n\t"


def test_names_that_no_terminal_can_show(tmp_path):
    """A file name that is no UTF-8 ends no command in a traceback after its work."""
    path = tmp_path / "a\udcff.mat"
    ann2neo.save(small_recording(2, 30), path)
    command = [sys.executable, "-m", "ann2neo", "analyze", str(path), "-o", str(tmp_path / "out"), "--quiet"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-600:]
    assert b"\\udcff" in done.stdout


def test_a_data_card_holds_no_tag_of_anybody():
    """Names of columns are data: neither code that closes nor HTML that opens."""
    name = "a`<img src=x onerror=alert(1)>`b"
    recording = small_recording(2, 12)
    trials = recording.trials.assign(**{name: 1})
    card = data_card(replace(recording, trials=trials), "a.nwb", Metadata())
    line = next(line for line in card.splitlines() if line.startswith("Columns of the table"))
    assert "\\`\\<img" in line
    assert "`<" not in line.replace("\\`", "").replace("\\<", "")
