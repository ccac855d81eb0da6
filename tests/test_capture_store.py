"""A recording into a store survives whatever stops it, and shows what it has."""

from contextlib import suppress

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from store_sources import Batches, Counting, Stop, data, inputs, interrupted, model, record, same, unfinish
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ann2neo
from ann2neo.errors import Ann2NeoWarning, StoreError
from ann2neo.store import check, layout

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_columns(monkeypatch):
    """Columns of 16 bins, so that little data fills many."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)


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
        "loader": lambda: DataLoader(TensorDataset(x, torch.arange(n) % 7), size),
        "drawn": lambda: DataLoader(TensorDataset(x, torch.arange(n) % 7), batch_sampler=[b.tolist() for b in drawn]),
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
    assert last[0].n_calls == calls + 1


@pytest.mark.slow("stores of many lengths, interrupted and resumed")
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
    """After an interruption only batches of columns that lack are run, and the first and the last recorded one again; of those that are recorded a few more are read and compared."""
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
    compared, run = dataset.read[: first - 300], dataset.read[first - 300 :]
    batches = compared[::7]
    assert compared == [number for batch in batches for number in range(batch, batch + 7)]
    assert batches == sorted(batches)
    assert (batches[0], batches[-1]) == (0, first)
    assert len(batches) <= 10
    assert run == list(range(first, 300))
    assert network[0].n_calls == 2 + -(-300 // 7) - first // 7


def test_a_column_in_the_middle_that_lacks_is_recorded(tmp_path):
    """The log says what is missing, wherever it is; what cannot be read in it is missing too."""
    path = tmp_path / "a.zarr"
    whole = record(model(), inputs(), store=path)
    bits = whole.layers[0].raster.bits()
    (path / "log/0.4.json").unlink()
    (path / "log/0.9.json").write_text('{"pass": 0, "col')
    zarr.open_array(str(path / "layers/0/bits"), mode="r+")[0, :, 8:10] = 255
    unfinish(path)
    (path / "layers/0/bits/0.0.4.abc.partial").write_text("left behind")
    resumed = record(model(), inputs(), store=path)
    assert np.array_equal(resumed.layers[0].raster.bits(), bits)
    assert resumed.identical(record(model(), inputs(), store=path))
    assert not list(path.rglob("*.partial"))
