"""Several processes record into one store what one process records."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from store_sources import inputs, model, same

import ann2neo
from ann2neo.capture.distributed import Processes, deal
from ann2neo.errors import Ann2NeoWarning
from ann2neo.store import check
from ann2neo.store.growing import Growing
from ann2neo.store.schedule import BatchEdges, cut_spans

HERE = Path(__file__).parent
torch.set_num_threads(1)


def torchrun(*arguments, cwd):
    """Start two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow("two processes of torch are started")
def test_two_processes_record_what_one_does(tmp_path):
    """Passes, what is recorded already, steps, shuffled and plain inputs, one after another; what is wrong is wrong in all processes."""
    checks = [
        "check_identical",
        "check_steps",
        "check_shuffled",
        "check_errors",
        "check_other_in_one",
        "check_own_group",
        "check_overwriting",
    ]
    done = torchrun(str(HERE / "distributed_checks.py"), str(tmp_path), *checks, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for path in tmp_path.glob("*.zarr"):
        check(path)


@pytest.mark.slow("two processes of torch are started")
def test_processes_that_differ(tmp_path):
    """Parts of one data set are recorded whole; other inputs, other stores and processes that do not come are told in all of them, soon."""
    checks = [
        "check_parts_of_one_set",
        "check_other_inputs",
        "check_other_stores",
        "check_other_notes",
        "check_one_alone",
    ]
    done = torchrun(str(HERE / "distributed_checks.py"), str(tmp_path), *checks, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for path in tmp_path.glob("*.zarr"):
        check(path)


LEFT_OVER = """
import os, sys, store_sources, ann2neo
from ann2neo.capture import distributed
distributed.SECONDS_TO_JOIN, distributed.SECONDS_OF_SILENCE = 2.0, 0.5
for rank in ("1", "0", "2", "abc"):
    os.environ["RANK"] = rank
    options = {"store": f"{rank}.zarr"}
    try:
        store_sources.record(store_sources.model(), store_sources.inputs(), **options)
    except ann2neo.errors.Ann2NeoError as error:
        print(rank, type(error).__name__, str(error).replace(chr(10), " "))
    print(store_sources.record(store_sources.model(), store_sources.inputs(), processes=1, **options))
"""


@pytest.mark.slow("waits for processes that do not come")
def test_an_environment_that_was_left_over(tmp_path):
    """Variables of processes that are not there end in an error of ours; processes=1 records all the same."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    environment = os.environ | variables | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    command = [sys.executable, "-W", "ignore", "-c", LEFT_OVER]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told, recorded = done.stdout.splitlines()[::2], done.stdout.splitlines()[1::2]
    expected = ["1 StoreError ", "0 StoreError waited for process 1 of 2", "2 InputsError ", "abc InputsError "]
    for line, begin in zip(told, expected, strict=True):
        assert line.startswith(begin)
        assert "nset" in line
        assert "processes=1" in line
    assert all(line.startswith("Recording(14 units in 2 layers, 300 bins") for line in recorded)


NETS = """
import torch, store_sources
torch.set_num_threads(1)
def model(): return store_sources.model()
def inputs(): return store_sources.inputs(5000)
"""


@pytest.mark.slow("two processes of torch are started")
def test_the_command_line_under_torchrun(tmp_path):
    """The same command, started twice by torchrun, makes one store and speaks once."""
    (tmp_path / "nets.py").write_text(NETS)
    done = torchrun("-m", "ann2neo", "export", "nets.py:model", "nets.py:inputs", "-o", "a.zarr", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("a.zarr: Recording(14 units in 2 layers, 5000 bins") == 1
    assert same(ann2neo.load(tmp_path / "a.zarr"), ann2neo.record(model(), inputs(5000), progress=False))


@pytest.mark.slow("four processes of torch are started")
def test_a_process_that_dies_leaves_a_store_that_goes_on(tmp_path):
    """Whatever columns the others recorded are kept, and any number of processes completes the rest."""
    done = torchrun(str(HERE / "distributed_checks.py"), str(tmp_path), "die", cwd=tmp_path)
    assert done.returncode != 0
    path = tmp_path / "dying.zarr"
    n_columns = len(list((path / "log").glob("*.*.json")))
    assert 0 < n_columns < 19
    with pytest.warns(Ann2NeoWarning, match="was interrupted"):
        ann2neo.load(path)
    network = model()
    resumed = ann2neo.record(network, inputs(), store=path, progress=False)
    assert same(resumed, ann2neo.record(model(), inputs(), progress=False))
    assert network[0].n_calls < 43
    check(path)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=40),
    st.sampled_from([8, 16, 64]),
    st.integers(1, 3),
    st.integers(1, 5),
    st.data(),
)
def test_every_column_is_dealt_once(sizes, column_bins, n_passes, n_processes, drawn):
    """All processes together get each column that lacks once, and begin each span with the batch in which it begins."""
    edges = np.concatenate([[0], np.cumsum(sizes)])
    layout = BatchEdges(inputs=edges, bins=edges)
    growing = Growing(
        path=Path("a.zarr"),
        identity={},
        column_bins=column_bins,
        n_bins=layout.n_bins,
        n_passes=n_passes,
        layers=(),
        order=None,
    )
    every = [(p, c) for p in range(n_passes) for c in range(growing.n_columns)]
    todo = [place for place in every if drawn.draw(st.booleans())]
    spans = cut_spans(todo, growing, layout, n_processes)
    parts = [deal(spans, Processes(rank=rank, n=n_processes)) for rank in range(n_processes)]
    assert sorted((s.pass_number, c) for part in parts for s in part for c in range(s.first, s.stop)) == todo
    for span in spans:
        assert span.start.first_bin <= span.first * column_bins < edges[span.start.batch + 1]
        assert edges[span.start.batch] == span.start.first_bin == span.start.first_input


def test_spans_begin_with_batches_where_there_are_enough():
    """Spans of the least common multiple of batch and column run no batch twice."""
    edges = np.arange(0, 24 * 100 + 1, 24)
    growing = Growing(path=Path("a"), identity={}, column_bins=16, n_bins=2400, n_passes=1, layers=(), order=None)
    spans = cut_spans([(0, c) for c in range(150)], growing, BatchEdges(inputs=edges, bins=edges), 2)
    assert all((s.first * 16) % 48 == 0 and s.start.first_bin == s.first * 16 for s in spans)
    assert len(spans) == 50
