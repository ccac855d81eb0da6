"""One writer at a time, whatever becomes of it, and a store that was replaced is not written into."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from store_sources import Batches, data, inputs, model, record, record_slowly, same

import ann2neo
from ann2neo.errors import StoreError
from ann2neo.store import check, layout, lock
from ann2neo.store.lock import lock_path, locked

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


def started(processes, path, seconds=0.02):
    """A process that records slowly and has columns on the disk."""
    process = processes.Process(target=record_slowly, args=(str(path), seconds))
    process.start()
    deadline = time.monotonic() + 60
    while len(list(path.glob("log/*.*.json"))) < 3 and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    return process


PASSES = {"passes": ann2neo.Passes(2)}


def test_two_recordings_into_one_store(tmp_path, processes):
    """The second one, the same or another that may overwrite, is told at once who records; the first one is not disturbed."""
    path = tmp_path / "a.zarr"
    process = started(processes, path)
    begin = time.monotonic()
    for network, options in [(model(), {}), (model(seed=1), {"overwrite": True})]:
        with pytest.raises(
            StoreError, match=rf"(?s)recorded into by process {process.pid} on .*, for \d+ s.*Wait until"
        ):
            ann2neo.export(network, inputs(), path, progress=False, **PASSES, **options)
        assert network[0].n_calls == 0
    assert time.monotonic() - begin < 5
    assert process.is_alive()
    process.join()
    assert process.exitcode == 0
    assert not lock_path(path).exists()
    assert same(record(model(at=1), inputs(), store=path, **PASSES), record(model(), inputs(), **PASSES))
    check(path)


def test_a_killed_process_leaves_no_lock_that_stops_others(tmp_path, processes):
    """The file may stay, the lock does not; it is taken over and removed."""
    path = tmp_path / "a.zarr"
    process = started(processes, path)
    process.kill()
    process.join()
    assert lock_path(path).exists()
    assert same(record(model(), inputs(), store=path, **PASSES), record(model(), inputs(), **PASSES))
    assert not lock_path(path).exists()


def test_sigterm_cleans_up_as_ctrl_c_does(tmp_path, processes):
    """What is recorded stays, nothing half written does, and the exit code is that of the signal."""
    path, before = tmp_path / "a.zarr", signal.getsignal(signal.SIGTERM)
    process = started(processes, path)
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert process.exitcode == 143
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.zarr"]
    assert not list(path.rglob("*.partial"))
    assert len(list(path.glob("log/*.*.json"))) >= 3
    assert same(record(model(), inputs(), store=path, **PASSES), record(model(), inputs(), **PASSES))
    assert signal.getsignal(signal.SIGTERM) is before


def test_threads_exclude_one_another_too(tmp_path):
    """The operating system tells only processes apart."""
    path = tmp_path / "a.zarr"
    with locked(path):
        assert json.loads(lock_path(path).read_text())["pid"] == os.getpid()
        with pytest.raises(StoreError, match="another thread"), locked(tmp_path / "b/../a.zarr"):
            pass
        with locked(tmp_path / "b.zarr"):
            pass
    with locked(path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ('{"pid": 7, "host": "far", "since": 1e99}', "process 7 on far, for 0 s"),
        ('{"pid": 7, "host": "far", "since": -Infinity}', "another process"),
        ('{"pid": 1e999, "host": "far", "since": 1}', "another process"),
        ("[" * 4000, "another process"),
        ("", "another process"),
    ],
)
def test_whatever_a_lock_says_of_its_holder_it_holds(tmp_path, text, owner):
    """A clock that was set back, another host and damage change the message at most."""
    path = tmp_path / "a.zarr"
    with locked(path):
        descriptor = os.open(lock_path(path), os.O_RDWR)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)
        assert lock._owner(descriptor) == owner
        os.close(descriptor)
    with locked(path):
        assert json.loads(lock_path(path).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("replaced", [True, False])
def test_a_store_that_was_replaced_is_not_written_into(tmp_path, replaced):
    """Whoever ignores the lock and puts another store in its place finds it unharmed."""
    path, other = tmp_path / "a.zarr", tmp_path / "b.zarr"
    theirs = record(model(seed=1), inputs(), store=other)

    def batches():
        for number, batch in enumerate(Batches(data(), [7] * 42)):
            if number == 20:
                shutil.copytree(other, tmp_path / "c.zarr")
                path.rename(tmp_path / "aside.zarr")
                if replaced:
                    (tmp_path / "c.zarr").rename(path)
            yield batch

    with pytest.raises(StoreError, match="replaced by another|was removed" if replaced else "was removed"):
        record(model(), batches(), store=path)
    if replaced:
        check(path)
        assert same(ann2neo.load(path), theirs)
    else:
        assert not path.exists()


def test_a_complete_store_is_opened_by_many(tmp_path):
    """To read it nobody needs the lock."""
    path = tmp_path / "a.zarr"
    first = record(model(), inputs(), store=path)
    with locked(Path(path)):
        assert record(model(), inputs(), store=path).identical(first)
