"""Beyond one machine: real worker processes give the same bits, even when one of them dies."""

import os
import signal
import threading
import time

import pandas as pd
import pytest
from dask.distributed import LocalCluster
from strategies import small_recording

import ann2neo
from ann2neo.errors import AnalysisError, SpikeTrainError


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


def analyze(spikes, **options):
    return ann2neo.analyze(spikes, progress=False, tests=True, **options)


@pytest.mark.parametrize("engine", ["bulk", "elephant"])
def test_two_workers_give_the_same_bits(cluster, tmp_path, monkeypatch, engine):
    """From memory, from a store and from neo objects: the table of the cluster is the table of this process."""
    monkeypatch.setattr("ann2neo.raster.CHUNK_BYTES", 1000)
    recording = small_recording(n_units=20, n_trials=100)
    ann2neo.save(recording, tmp_path / "rec.zarr")
    here = analyze(recording, engine=engine)
    for spikes in (recording, ann2neo.load(tmp_path / "rec.zarr"), ann2neo.to_block(recording)):
        there = analyze(spikes, engine=engine, scheduler=cluster.scheduler_address)
        pd.testing.assert_frame_equal(there, here, check_exact=True)


def test_two_workers_fit_the_same_models(cluster, tmp_path, monkeypatch):
    """The table of fitted models of a cluster is that of this process, attributes included."""
    monkeypatch.setattr("ann2neo.raster.CHUNK_BYTES", 1000)
    recording = small_recording(n_units=40, n_trials=200)
    ann2neo.save(recording, tmp_path / "rec.zarr")
    here = ann2neo.models.fit(recording, progress=False)
    for spikes in (recording, ann2neo.load(tmp_path / "rec.zarr")):
        there = ann2neo.models.fit(spikes, progress=False, scheduler=cluster.scheduler_address)
        pd.testing.assert_frame_equal(there, here, check_exact=True)
        assert there.attrs == here.attrs


def test_a_worker_that_is_killed_changes_nothing_but_the_time(cluster, monkeypatch):
    """Its tasks are run again by another worker."""
    monkeypatch.setattr("ann2neo.raster.CHUNK_BYTES", 1)
    recording = small_recording(n_units=60, n_trials=200)
    pids = [worker.pid for worker in cluster.workers.values()]
    killed = []

    def kill():
        time.sleep(0.5)
        os.kill(pids[0], signal.SIGKILL)
        killed.append(True)

    killer = threading.Thread(target=kill)
    killer.start()
    there = analyze(recording, engine="elephant", scheduler=cluster.scheduler_address)
    assert killed, "the work was done before the worker died"
    killer.join()
    pd.testing.assert_frame_equal(there, analyze(recording, engine="elephant"), check_exact=True)


def test_errors_of_ours_arrive_as_they_are(cluster):
    """What a worker refuses is refused here, with the same message."""
    import neo
    import quantities as pq

    with pytest.raises(SpikeTrainError, match="not sorted"):
        analyze([neo.SpikeTrain([3, 1] * pq.s, t_stop=4 * pq.s)], scheduler=cluster.scheduler_address)


def test_a_missing_scheduler_is_a_clear_error():
    """A wrong address is answered with what to do."""
    with pytest.raises(AnalysisError, match="no Dask scheduler"):
        analyze(small_recording(), scheduler="tcp://127.0.0.1:9")
