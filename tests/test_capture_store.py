"""A recording into a store survives whatever stops it."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from store_sources import Stop, data, inputs, model, record_slowly, same
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import ann2neo
from ann2neo.errors import (
    Ann2NeoWarning,
    FormatError,
    InputsError,
    OutputExists,
    RecordingError,
    StoreError,
)
from ann2neo.store import check, layout

HERE = Path(__file__).parent
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_columns(monkeypatch):
    """Columns of 16 bins, so that little data fills many."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)


def record(network, x, **options):
    return ann2neo.record(network, x, progress=False, **options)


def interrupted(path, at, x=None, **options):
    """Record until the model fails at a call."""
    with pytest.raises(Stop) as caught:
        record(model(at), inputs() if x is None else x, store=path, **options)
    assert "the same call goes on with the rest" in caught.value.__notes__[0]


class Batches:
    """Batches that can only be read one after another, and come to an end that is not known."""

    def __init__(self, x, sizes):
        self.x, self.sizes = x, sizes

    def __iter__(self):
        first = 0
        for size in self.sizes:
            yield self.x[first : first + size], torch.arange(first, first + size)
            first += size


class Counting(Dataset):
    """Counts which items are read."""

    def __init__(self, x):
        self.x, self.read = x, []

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        self.read.append(index)
        return self.x[index], index


@st.composite
def sources(draw):
    """Inputs of every kind: how to make them anew, and how many batches there are."""
    sizes = draw(st.lists(st.integers(1, 40), min_size=1, max_size=9))
    n = sum(sizes)
    kind = draw(st.sampled_from(["array", "labels", "loader", "drawn", "list", "iterable", "generators"]))
    size, seed = sizes[0], draw(st.integers(0, 3))
    x = data(n)
    drawn = np.split(np.random.default_rng(seed).permutation(n), np.cumsum(sizes)[:-1])
    made = {
        "array": lambda: ann2neo.Inputs(x.numpy(), batch_size=size),
        "labels": lambda: ann2neo.Inputs(x, batch_size=size, labels={"label": np.arange(n), "name": ["a"] * n}),
        "loader": lambda: DataLoader(TensorDataset(x, torch.arange(n)), size),
        "drawn": lambda: DataLoader(TensorDataset(x, torch.arange(n)), batch_sampler=[b.tolist() for b in drawn]),
        "list": lambda: list(Batches(x, sizes)),
        "iterable": lambda: Batches(x, sizes),
        "generators": lambda: lambda: iter(Batches(x, sizes)),
    }[kind]
    return made, -(-n // size) if kind in ("array", "labels", "loader") else len(sizes)


@given(sources(), st.sampled_from([None, 1, 2, 3]), st.data())
@settings(max_examples=15, deadline=None)
def test_interrupted_anywhere_and_resumed(tmp_path_factory, source, n_passes, drawn):
    """Whatever the inputs, passes and interruptions, the store holds the recording that memory holds."""
    made, n_batches = source
    passes = None if n_passes is None else ann2neo.Passes(n_passes)
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    whole = record(model(), made(), passes=passes)
    total = n_batches * (n_passes or 1)
    for at in drawn.draw(st.lists(st.integers(0, total - 1), max_size=3)):
        with suppress(Stop):
            record(model(at), made(), passes=passes, store=path)
    last = model()
    assert same(record(last, made(), passes=passes, store=path), whole)
    check(path)
    calls = last[0].n_calls
    again = record(last, made(), passes=passes, store=path)
    assert same(again, whole)
    assert last[0].n_calls == calls


@given(
    st.lists(st.integers(1, 30), min_size=3, max_size=12),
    st.sampled_from(["array", "function", "all", "calls"]),
    st.integers(1, 5),
    st.integers(0, 11),
    st.sampled_from([None, 2]),
)
@settings(max_examples=15, deadline=None)
def test_steps_of_any_length(tmp_path_factory, lengths, kind, batch_size, at, n_passes):
    """Inputs of several bins, which columns cut anywhere, are resumed too, whether their lengths are known before or not."""
    n, longest = len(lengths), max(lengths)
    x = torch.randn(n, longest, 4, generator=torch.Generator().manual_seed(0))
    x[:, 0, 0] = torch.tensor(lengths, dtype=x.dtype)
    given_lengths = {"array": lengths, "function": lambda batch: batch[:, 0, 0].long(), "all": None, "calls": lengths}
    steps = ann2neo.Steps("calls" if kind == "calls" else 1, given_lengths[kind])
    options = {"steps": steps, "passes": None if n_passes is None else ann2neo.Passes(n_passes)}

    def network(at=None):
        generator = torch.Generator().manual_seed(0)
        cell = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 5), nn.ReLU())
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        cell.n_calls = 0

        def forward(module, batch):
            module.n_calls += 1
            if at is not None and module.n_calls > at:
                raise Stop
            return [module(batch[:, i]) for i in range(longest)] if kind == "calls" else module(batch)

        return cell, ann2neo.Inputs(x, batch_size=batch_size, forward=forward, labels=range(n))

    path = tmp_path_factory.mktemp("store") / "a.zarr"
    whole = record(*network(), **options)
    try:
        record(*network(at), store=path, **options)
    except Stop:
        if path.exists() and list((path / "log").glob("*.*.json")):
            _check_unfinished(path, whole)
    assert same(record(*network(), store=path, **options), whole)
    check(path)


def _check_unfinished(path, whole):
    """What an interrupted store shows is the beginning of what the whole one will."""
    n_columns = sum((path / f"log/0.{number}.json").exists() for number in range(20))
    if whole.trials["stop_bin"].iloc[0] > 16 * n_columns:
        with pytest.raises(StoreError, match="before a whole"):
            ann2neo.load(path)
        return
    with pytest.warns(Ann2NeoWarning, match="was interrupted"):
        opened = ann2neo.load(path)
    n = len(opened.trials)
    assert opened.trials.equals(whole.trials.iloc[:n][opened.trials.columns])
    for layer in opened.layers:
        assert np.array_equal(opened.raster(layer.name), whole.raster(layer.name)[:, : opened.n_bins])
        assert np.array_equal(layer.raster.bits(slice(1, 3)), np.packbits(_by_pass(opened, layer)[:, 1:3], axis=2))
        assert np.array_equal(layer.raster.n_spikes(), opened.raster(layer.name).sum(axis=1))


def _by_pass(recording, layer):
    dense = recording.raster(layer.name)
    return np.stack(np.split(dense, recording.n_passes, axis=1))


def test_an_interrupted_store_is_opened_as_far_as_it_goes(tmp_path):
    """A whole pass is shown before a part of the next; of a first pass its beginning."""
    whole = record(model(), inputs(), passes=ann2neo.Passes(3))
    for at, n_trials in ((20, 128), (43, 300), (70, 300), (100, 600)):
        path = tmp_path / f"{at}.zarr"
        interrupted(path, at, passes=ann2neo.Passes(3))
        _check_unfinished(path, whole)
        with pytest.warns(Ann2NeoWarning):
            opened = ann2neo.load(path)
        assert len(opened.trials) == n_trials
        ann2neo.analyze(opened, progress=False)
        ann2neo.save(opened, tmp_path / f"{at}.copy.zarr")
        assert ann2neo.load(tmp_path / f"{at}.copy.zarr").identical(opened)


def test_nothing_to_open_yet(tmp_path):
    """A store without a column is no recording."""
    interrupted(tmp_path / "a.zarr", 1)
    with pytest.raises(StoreError, match="before a whole column"):
        ann2neo.load(tmp_path / "a.zarr")


def test_an_interrupted_store_that_lost_a_chunk_is_refused(tmp_path):
    """A lost chunk does not read as silence."""
    interrupted(tmp_path / "a.zarr", 20)
    (tmp_path / "a.zarr/layers/1/bits/0.0.3").unlink()
    with pytest.raises(StoreError, match=r"lacks 1 chunks of layer '5', such as 0\.0\.3"):
        ann2neo.load(tmp_path / "a.zarr")


def test_what_was_recorded_is_not_run_again(tmp_path):
    """After an interruption only batches of columns that lack are read and run."""
    interrupted(tmp_path / "a.zarr", 30)
    network, dataset = model(), Counting(data())
    with pytest.raises(StoreError):
        record(network, DataLoader(dataset, 7), store=tmp_path / "a.zarr")
    path = tmp_path / "b.zarr"
    interrupted(path, 30, DataLoader(Counting(data()), 7))
    n_columns = len(list((path / "log").glob("*.*.json")))
    assert n_columns == 30 * 7 // 16
    dataset.read.clear()
    record(network, DataLoader(dataset, 7), store=path)
    first = n_columns * 16 // 7 * 7
    assert dataset.read == [*range(7), *range(first, 300)]
    assert network[0].n_calls == -(-300 // 7) - first // 7


def test_a_column_in_the_middle_that_lacks_is_recorded(tmp_path):
    """The log says what is missing, wherever it is; what cannot be read in it is missing too."""
    path = tmp_path / "a.zarr"
    whole = record(model(), inputs(), store=path)
    bits = whole.layers[0].raster.bits()
    (path / "log/0.4.json").unlink()
    (path / "log/0.9.json").write_text('{"pass": 0, "col')
    zarr.open_array(str(path / "layers/0/bits"), mode="r+")[0, :, 8:10] = 255
    zarr.open_group(str(path), mode="r+").attrs["complete"] = False
    (path / "layers/0/bits/0.0.4.abc.partial").write_text("left behind")
    resumed = record(model(), inputs(), store=path)
    assert np.array_equal(resumed.layers[0].raster.bits(), bits)
    assert resumed.identical(record(model(), inputs(), store=path))
    assert not list(path.rglob("*.partial"))


def test_a_shuffled_order_is_kept(tmp_path):
    """An order that is drawn anew in each process is taken from the store; one that is fixed and another is refused."""
    dataset = TensorDataset(data(), torch.arange(300))
    path = tmp_path / "a.zarr"
    torch.manual_seed(5)
    whole = record(model(), DataLoader(dataset, 7, shuffle=True))
    torch.manual_seed(5)
    interrupted(path, 20, DataLoader(dataset, 7, shuffle=True))
    torch.manual_seed(6)
    with pytest.raises(StoreError, match="order"):
        record(model(), DataLoader(dataset, 7, sampler=list(range(300))), store=path)
    assert same(record(model(), DataLoader(dataset, 7, shuffle=True), store=path), whole)
    assert same(record(model(), DataLoader(dataset, 7, shuffle=True), store=path), whole)


class Other(nn.Sequential):
    pass


DIFFERENCES = {
    "weights": {"network": lambda: model(seed=1)},
    "model": {"network": lambda: Other(*model())},
    "layers": {"layers": "2"},
    "threshold rule": {"threshold": 0.25},
    "units": {"units": [0, 1]},
    "number of passes (1 there, 2 here), stochastic modules, seed (None there, 0 here)": {
        "passes": ann2neo.Passes(2),
    },
    "steps": {"steps": ann2neo.Steps("calls")},
    "type of numbers": {
        "network": lambda: model().double(),
        "x": lambda: ann2neo.Inputs(data().double(), batch_size=7),
    },
    "bin size (1.0 there, 2.0 here)": {"bin_size_ms": 2.0},
    "batch size (7 there, 8 here)": {"x": lambda: inputs(batch_size=8)},
    "number of inputs (300 there, 299 here)": {"x": lambda: inputs(299)},
    "labels": {"x": lambda: ann2neo.Inputs(data(), batch_size=7, labels=np.arange(300) % 4)},
    "data set": {"x": lambda: ann2neo.Inputs(data(), batch_size=7, labels=np.arange(300) % 3, dataset="mnist")},
    "batch 0 is not the one": {"x": lambda: ann2neo.Inputs(data(seed=9), batch_size=7, labels=np.arange(300) % 3)},
}


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("what", DIFFERENCES)
def test_another_recording_is_refused(tmp_path, what, complete):
    """The message says in what it differs, and what is there stays."""
    path = tmp_path / "a.zarr"
    if complete:
        record(model(), inputs(), store=path)
    else:
        interrupted(path, 20)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    options = dict(DIFFERENCES[what])
    network, x = options.pop("network", model)(), options.pop("x", inputs)()
    with pytest.raises(StoreError) as caught:
        record(network, x, store=path, **options)
    assert what in str(caught.value)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


def test_other_batches_are_noticed_where_only_their_content_tells(tmp_path):
    """Batches of an iterable are compared with their check sums, when it is resumed and when it is opened."""
    path, x = tmp_path / "a.zarr", data()
    other = x.clone()
    other[10] += 1
    interrupted(path, 20, Batches(x, [7] * 40))
    with pytest.raises(StoreError, match="batch 1 is not the one"):
        record(model(), Batches(other, [7] * 40), store=path)
    record(model(), Batches(x, [7] * 40), store=path)
    for inputs_of_others in (Batches(other, [7] * 40), Batches(x, [7] * 39), Batches(x, [7] * 41)):
        with pytest.raises(StoreError, match="is not the one"):
            record(model(), inputs_of_others, store=path)


def test_lengths_that_change_from_pass_to_pass(tmp_path):
    """Passes over other inputs have no common pseudo-time, in memory as in a store."""
    sizes = iter([[7] * 10, [7] * 9] * 2)

    def changing():
        return iter(Batches(data(), next(sizes)))

    with pytest.raises(RecordingError, match="in a later pass"):
        record(model(), changing, passes=ann2neo.Passes(2))
    with pytest.raises(RecordingError, match="in a later pass"):
        record(model(), changing, passes=ann2neo.Passes(2), store=tmp_path / "a.zarr")


@pytest.mark.parametrize("labels", [range(299), range(301)])
@pytest.mark.parametrize("made", [lambda: data(300), lambda: Batches(data(300), [7] * 42 + [6])])
def test_labels_that_do_not_fit(tmp_path, labels, made):
    """There is one label for each input, whether their number is known before or not."""
    with pytest.raises(InputsError, match=r"300 inputs were presented|shape"):
        record(model(), ann2neo.Inputs(made(), labels=list(labels)), store=tmp_path / "a.zarr")


def test_export_into_a_store(tmp_path):
    """Export grows the store; only on request is another one replaced, and never a folder of other things."""
    path = tmp_path / "a.zarr"
    first = ann2neo.export(model(), inputs(), path, progress=False)
    assert ann2neo.load(path).identical(first)
    assert ann2neo.export(model(), inputs(), path, progress=False).identical(first)
    with pytest.raises(StoreError, match="weights"):
        ann2neo.export(model(seed=1), inputs(), path, progress=False)
    other = ann2neo.export(model(seed=1), inputs(), path, overwrite=True, progress=False)
    assert same(other, record(model(seed=1), inputs()))
    ann2neo.save(other, tmp_path / "saved.zarr")
    with pytest.raises(StoreError, match="column by column"):
        ann2neo.export(model(seed=1), inputs(), tmp_path / "saved.zarr", progress=False)
    (tmp_path / "b.zarr").mkdir()
    (tmp_path / "b.zarr/mine.txt").write_text("mine")
    with pytest.raises(OutputExists):
        ann2neo.export(model(), inputs(), tmp_path / "b.zarr", overwrite=True, progress=False)
    with pytest.raises(FormatError, match=r"\.zarr"):
        record(model(), inputs(), store=tmp_path / "a.nwb")


def test_the_store_is_what_saving_gives(tmp_path):
    """Attributes, units, thresholds and trials are those of a store that was saved as a whole; the chunks of bits differ."""
    recording = record(model(), inputs(), store=tmp_path / "a.zarr")
    ann2neo.save(recording, tmp_path / "b.zarr")
    grown, saved = (zarr.open_group(str(tmp_path / name), mode="r") for name in ("a.zarr", "b.zarr"))
    assert dict(grown.attrs) == dict(saved.attrs)
    for name in ("layers/0/bits", "layers/1/thresholds", "layers/1/units", "trials/3", "trials/7"):
        assert grown[name].dtype == saved[name].dtype
        assert np.array_equal(grown[name][:], saved[name][:])
    assert sorted(grown["trials"]) == sorted(saved["trials"])


def test_damage_is_found(tmp_path):
    """A bit that fell over shows against the check sum."""
    path = tmp_path / "a.zarr"
    record(model(), inputs(), store=path)
    check(path)
    zarr.open_array(str(path / "layers/1/bits"), mode="r+")[0, 2, 11] ^= 4
    with pytest.raises(StoreError, match="column 5 of pass 0, layer '5'"):
        check(path)


def test_the_log_holds_what_is_known(tmp_path):
    """A marker names its inputs, labels, predictions, check sums."""
    record(model(), inputs(), store=tmp_path / "a.zarr")
    marker = json.loads((tmp_path / "a.zarr/log/0.2.json").read_text())
    assert (marker["n_inputs"], marker["lengths"], marker["last"]) == (16, None, False)
    assert marker["known"]["label"]["values"] == [i % 3 for i in range(32, 48)]
    assert [number for number, _ in marker["batches"]] == [4, 5, 6]
    assert marker["after"] == [6, 42, 42]
    assert len(marker["crc32"]) == 2


def test_the_commit_of_the_model_is_known(tmp_path, monkeypatch):
    """A model whose file git knows carries its commit; torch's own classes carry none."""
    monkeypatch.syspath_prepend(tmp_path)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    (tmp_path / "mynet_in_git.py").write_text("from torch import nn\nclass Net(nn.ReLU): pass\n")
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "net"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True, capture_output=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True)
    from mynet_in_git import Net

    assert record(Net(), data()).provenance["git_commit"] == head.stdout.strip()
    assert "git_commit" not in record(nn.ReLU(), data()).provenance


@pytest.fixture(scope="module")
def processes():
    """Processes that begin quickly because one of them has loaded everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["store_sources", "ann2neo.capture.storing"])
    return context


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


def test_ctrl_c_leaves_a_store_that_goes_on(tmp_path):
    """The command line says what is kept; the same command completes it."""
    (tmp_path / "nets.py").write_text(NETS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}
    command = [sys.executable, "-m", "ann2neo", "export", "nets.py:model", "nets.py:inputs", "-o", "a.zarr", "--quiet"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    while len(list(tmp_path.glob("a.zarr/log/*.*.json"))) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130, message
    assert "columns that were recorded; the same call goes on with the rest" in message
    command[4] = "nets.py:fast"
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert same(ann2neo.load(tmp_path / "a.zarr"), record(model(), inputs()))


def test_a_full_disk(tmp_path):
    """Columns that fitted are kept; with more room the same call goes on."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no small disk can be made here")
    try:
        with pytest.raises(StoreError, match=r"(?s)could not be written \(No space left.*goes on where it stopped"):
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
