"""Processes that are killed or interrupted, and disks that are full, leave a store that goes on."""

import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from store_sources import inputs, model, record, record_slowly, same

import ann2neo
from ann2neo.cli import main
from ann2neo.errors import StoreError
from ann2neo.store import check, layout

HERE = Path(__file__).parent
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_columns(monkeypatch):
    """Columns of 16 bins, so that little data fills many."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)


@pytest.fixture(scope="module")
def processes():
    """Processes that begin quickly because one of them has loaded everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["store_sources", "ann2neo.capture.store.session"])
    return context


@pytest.mark.slow("processes are started, killed and started again")
def test_killed_at_any_moment(tmp_path, processes):
    """Processes killed without warning, again and again, between writes and within, leave a store that is resumed to the same recording."""
    moments, n_killed = random.Random(0), 0
    path = tmp_path / "a.zarr"
    for _ in range(8):
        n_before = len(list(path.glob("log/*.*.json")))
        process = processes.Process(target=record_slowly, args=(str(path), 0.0))
        process.start()
        deadline = time.monotonic() + 60
        while len(list(path.glob("log/*.*.json"))) == n_before and process.is_alive() and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(moments.random() * 0.03)
        process.kill()
        process.join()
        n_killed += process.exitcode == -signal.SIGKILL
    assert n_killed >= 2
    whole = record(model(), inputs(), passes=ann2neo.Passes(2))
    assert same(record(model(), inputs(), passes=ann2neo.Passes(2), store=path), whole)
    check(path)


NETS = """
import time, torch, store_sources
store_sources.small_columns()
torch.set_num_threads(1)
def model(): return store_sources.model(seconds=0.02)
def fast(): return store_sources.model()
def inputs(): return store_sources.inputs()
"""


def heed_ctrl_c():
    """Tests that run in the background of a shell have been told to ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_leaves_a_store_that_goes_on(tmp_path, monkeypatch):
    """The command line says what is kept; the same command completes it."""
    (tmp_path / "nets.py").write_text(NETS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    command = [sys.executable, "-m", "ann2neo", "export", "nets.py:model", "nets.py:inputs", "-o", "a.zarr", "--quiet"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=heed_ctrl_c
    )
    while len(list(tmp_path.glob("a.zarr/log/*.*.json"))) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130, message
    assert "columns that were recorded; the same call goes on with the rest" in message
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ann2neo", command[3], "nets.py:fast", *command[5:]])
    main()
    assert same(ann2neo.load(tmp_path / "a.zarr"), record(model(), inputs(), verify=True))


def test_a_full_disk(tmp_path):
    """Columns that fitted are kept; with more room the same call goes on."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be made here")
    try:
        with pytest.raises(StoreError, match=r"(?s)could not be written \(No space left.*resumes where it stopped"):
            record(model(), inputs(), store=small / "a.zarr", passes=ann2neo.Passes(3))
        assert 2 < len(list((small / "a.zarr/log").glob("*.*.json"))) < 57
        assert not list(small.rglob("*.partial"))
        subprocess.run(["mount", "-o", "remount,size=5m", str(small)], check=True)
        resumed = record(model(), inputs(), store=small / "a.zarr", passes=ann2neo.Passes(3))
        assert same(resumed, record(model(), inputs(), passes=ann2neo.Passes(3)))
        shutil.copytree(small / "a.zarr", tmp_path / "a.zarr")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
    check(tmp_path / "a.zarr")
