"""What holds when files are hostile and processes are killed."""

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import neo
import numpy as np
import pytest
import scipy.io
from strategies import small_recording

import ann2neo
from ann2neo.errors import FormatError
from ann2neo.formats.laboratory import read_spikes
from ann2neo.store.growing import _read_order
from ann2neo.store.log import LOG, ORDER

ROOT = Path(__file__).parent.parent


class Hostile:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


@pytest.fixture
def trace(tmp_path):
    """The file that hostile code would make; the pickle below does make it."""
    trace = tmp_path / "executed"
    pickle.loads(pickle.dumps(Hostile(trace)))
    assert trace.exists()
    trace.unlink()
    return trace


@pytest.mark.parametrize("where", ["filters", "compressor"])
def test_a_store_with_a_pickle_in_a_chunk_runs_nothing(where, trace, tmp_path):
    """Zarr names in an array's description how its chunks are decoded, and knows pickles."""
    path = tmp_path / "a.zarr"
    ann2neo.save(small_recording(2, 12), path)
    described = path / "trials/0/.zarray"
    codec = {"id": "pickle", "protocol": 5}
    ways = {"filters": [codec], "compressor": None} if where == "filters" else {"filters": None, "compressor": codec}
    changed = json.loads(described.read_text()) | {"dtype": "|O", "fill_value": None} | ways
    described.write_text(json.dumps(changed))
    (path / "trials/0/0").write_bytes(pickle.dumps(Hostile(trace)))
    with pytest.raises(FormatError):
        ann2neo.load(path)
    assert not trace.exists()


def test_a_growing_store_with_a_pickle_in_its_log_runs_nothing(trace, tmp_path):
    """The order of inputs is an .npz file, in which NumPy can keep pickles."""
    (tmp_path / LOG).mkdir()
    np.savez(tmp_path / LOG / ORDER, ids=np.array([Hostile(trace)], object), sizes=np.array([1]))
    with pytest.raises(ValueError, match="allow_pickle"):
        _read_order(tmp_path)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".zarr", ".nwb", ".nix", ".mat"])
def test_a_pickle_under_our_suffix_runs_nothing(suffix, trace, tmp_path):
    """A file is read as what its suffix says, and as nothing else."""
    (tmp_path / f"a{suffix}").write_bytes(pickle.dumps(Hostile(trace)))
    with pytest.raises(FormatError):
        ann2neo.load(tmp_path / f"a{suffix}")
    with pytest.raises(FormatError):
        read_spikes(tmp_path / f"a{suffix}")
    assert not trace.exists()


@pytest.mark.parametrize("name", ["a.pkl", "a.pickle", "a.PKL"])
def test_pickles_are_refused(name, trace, tmp_path):
    """neo knows a reader of pickles; the command line never gives them to it."""
    (tmp_path / name).write_bytes(pickle.dumps(Hostile(trace)))
    with pytest.raises(FormatError, match=r"is a pickle(?s:.*)run the code"):
        read_spikes(tmp_path / name)
    assert not trace.exists()


def test_a_folder_of_pickles_is_not_opened(trace, tmp_path):
    """Nor are they found inside a folder."""
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells/a.pkl").write_bytes(pickle.dumps(Hostile(trace)))
    assert neo.io.PickleIO in neo.io.list_candidate_ios(tmp_path / "cells")
    with pytest.raises(FormatError, match="finds no spike trains"):
        read_spikes(tmp_path / "cells")
    assert not trace.exists()


def test_text_in_a_mat_file_is_only_text(tmp_path):
    """What stands in the outline is JSON and never code."""
    struct = {"annotations": {"recording_json": "__import__('pathlib').Path('executed').touch()"}, "segments": []}
    scipy.io.savemat(tmp_path / "a.mat", {"block": struct})
    with pytest.raises(FormatError, match="outline"):
        ann2neo.load(tmp_path / "a.mat")
    assert not Path("executed").exists()


def test_nothing_in_the_package_unpickles_a_file():
    """pickle, marshal, eval and whole torch objects appear nowhere where a file is read."""
    forbidden = re.compile(r"pickle\.load\(|marshal|\beval\(|\bexec\(|allow_pickle=True|weights_only=False|joblib")
    for path in (ROOT / "ann2neo").rglob("*.py"):
        code = path.read_text()
        assert not [line for line in code.splitlines() if forbidden.search(line) and ".eval()" not in line], path
        assert all("weights_only=True" in call for call in re.findall(r"torch\.load\([^)]*\)", code)), path


SAVE = """
import sys
import numpy as np
import ann2neo
from ann2neo import atomic
recording = ann2neo.from_array(np.random.default_rng(1).random((200, 20)) < 0.3)
put = atomic._put
def slow(part, path):
    print("written", flush=True)
    sys.stdin.readline()
    put(part, path)
# It can only be killed before the end.
atomic._put = slow
print("begins", flush=True)
ann2neo.save(recording, sys.argv[1], overwrite=True)
"""


@pytest.mark.parametrize("when", ["while it is written", "before it is named"])
@pytest.mark.parametrize("suffix", [".zarr", ".nwb", ".nix", ".mat"])
def test_a_killed_save_leaves_the_old_file(suffix, when, tmp_path):
    """Killed (kill -9) in the middle of writing, or at the last moment, a save leaves what was there, whole."""
    path = tmp_path / f"a{suffix}"
    old = small_recording(2, 12)
    ann2neo.save(old, path)
    command = [sys.executable, "-W", "ignore", "-c", SAVE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begins\n"
        if when == "before it is named":
            assert process.stdout.readline() == "written\n"
        else:
            _wait_for_part(tmp_path)
        os.kill(process.pid, signal.SIGKILL)
    assert list(tmp_path.glob(f".*.part{suffix}"))
    assert ann2neo.load(path).identical(old)


def test_a_killed_first_save_leaves_nothing_under_the_name(tmp_path):
    """Where there was nothing, there is nothing that could be taken for a recording."""
    path = tmp_path / "a.nwb"
    command = [sys.executable, "-c", SAVE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert [process.stdout.readline() for _ in range(2)] == ["begins\n", "written\n"]
        os.kill(process.pid, signal.SIGKILL)
    assert not path.exists()


def _wait_for_part(folder):
    """Wait until something is written under a temporary name."""
    deadline = time.monotonic() + 60
    while not list(folder.glob(".*.part*")) and time.monotonic() < deadline:
        time.sleep(0.0005)
