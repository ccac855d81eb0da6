"""What cannot be written is not taken for recorded, and what would not fit is not written."""

import numpy as np
import pytest
import torch
from store_sources import BATCH_SIZE, Stop, data, inputs, interrupted, model, record, same
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.dataloader import default_collate

import ann2neo
from ann2neo.errors import InputsError, StoreError
from ann2neo.store import check, layout

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_columns(monkeypatch):
    """Columns of 16 bins, so that little data fills many."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)


def markers(path):
    return sorted(file.name for file in (path / "log").glob("*.*.json"))


# Bits that cannot be written


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("n_passes", [None, 2])
def test_a_column_whose_bits_cannot_be_written_is_not_marked(tmp_path, layer, n_passes):
    """A chunk in whose place a folder lies fails, be it of the first layer or of the last: there is no marker, and the resumed recording is identical."""
    path, passes = tmp_path / "a.zarr", None if n_passes is None else ann2neo.Passes(n_passes)
    interrupted(path, 10, passes=passes)
    before = markers(path)
    number, pass_number = len(before) + 3, 0
    taken = path / f"layers/{layer}/bits/{pass_number}.0.{number}"
    taken.mkdir()
    with pytest.raises(StoreError, match=r"(?s)could not be written.*resumes where it stopped"):
        record(model(), inputs(), store=path, passes=passes)
    assert markers(path) == sorted(f"0.{n}.json" for n in range(number)), "only what came before it"
    assert not list(path.rglob("*.partial"))
    taken.rmdir()
    network = model()
    assert same(record(network, inputs(), store=path, passes=passes), record(model(), inputs(), passes=passes))
    assert network[0].n_calls < 44 * (n_passes or 1)
    check(path)


def test_the_first_column_may_fail(tmp_path):
    """Then nothing is marked, and the same call records all of it."""
    path = tmp_path / "a.zarr"
    interrupted(path, 1)
    taken = path / "layers/0/bits/0.0.0"
    taken.mkdir()
    with pytest.raises(StoreError, match="could not be written"):
        record(model(), inputs(), store=path)
    assert markers(path) == []
    taken.rmdir()
    assert same(record(model(), inputs(), store=path), record(model(), inputs()))
    check(path)


# Layers that are others, though weights, names and options are the same


def forwards(change):
    """The same inputs, which a changed function gives to the model."""
    x = inputs()
    return ann2neo.Inputs(x.data, batch_size=BATCH_SIZE, labels=x.labels, forward=change)


OTHER_LAYERS = {
    "a layer less": lambda network, x: network[:4](x),
    "another shape, the same bits": lambda network, x: network(x[:, None]),
    "another type, the same bits": lambda network, x: network[5](network[:5](x).double()),
}


@pytest.mark.parametrize("at", [1, 20], ids=["nothing recorded yet", "some columns recorded"])
@pytest.mark.parametrize("change", OTHER_LAYERS)
def test_other_layers_do_not_go_on(tmp_path, change, at):
    """Where there is no batch to compare with, and where its bits are the same, names, shapes and types tell."""
    path = tmp_path / "a.zarr"
    interrupted(path, at)
    before = markers(path)
    with pytest.raises(StoreError, match=r"(?s)the layers in .* are .*would not fit together"):
        record(model(), forwards(OTHER_LAYERS[change]), store=path)
    assert markers(path) == before
    assert same(record(model(), inputs(), store=path), record(model(), inputs()))


def soft(at=None, beta=1.0):
    """The small network with an activation function that does not show its parameter, of which its threshold is a function."""
    network = model(at)
    network[5] = nn.Softplus(beta)
    network[5].extra_repr = str
    return network


@pytest.mark.parametrize("at", [1, 20])
def test_other_thresholds_do_not_go_on(tmp_path, at):
    """What has the same name, and gives the same spikes, may have another threshold."""
    path = tmp_path / "a.zarr"
    with pytest.raises(Stop):
        record(soft(at), inputs(), store=path)
    before = markers(path)
    with pytest.raises(StoreError, match="units or thresholds are others"):
        record(soft(beta=2.0), inputs(), store=path)
    assert markers(path) == before
    assert same(record(soft(), inputs(), store=path), record(soft(), inputs()))


# Batches that are not as long as was known


def dropping(where):
    """A loader whose batches lack an input from a certain input on."""

    def collate(items):
        return default_collate([item for item in items if int(item[1]) != where])

    return DataLoader(TensorDataset(data(), torch.arange(300)), BATCH_SIZE, collate_fn=collate)


@pytest.mark.parametrize("where", [0, 100, 299])
def test_batches_that_lack_an_input_are_refused(tmp_path, where):
    """All inputs after it would lie in wrong places: of a store that says so nothing from there on is recorded."""
    path = tmp_path / "a.zarr"
    number, size = where // BATCH_SIZE, 6 if where // BATCH_SIZE == 42 else BATCH_SIZE
    match = f"batch {number} has {size - 1} inputs, but {size} were drawn"
    with pytest.raises(InputsError, match=match):
        record(model(), dropping(where), store=path)
    assert len(markers(path)) <= where // 16


def test_inputs_that_take_another_number_of_bins_are_refused(tmp_path):
    """Lengths that were listed are the lengths of the inputs: a batch with less inputs has other bins."""
    lengths = np.arange(300) % 3 + 1
    x = torch.randn(300, 3, 6, generator=torch.Generator().manual_seed(0))
    steps = ann2neo.Steps(1, lengths=lengths)
    loader = DataLoader(
        TensorDataset(x, torch.arange(300)),
        BATCH_SIZE,
        collate_fn=lambda items: default_collate([item for item in items if int(item[1]) != 299]),
    )
    with pytest.raises(InputsError, match="batch 42 has 5 inputs, but 6 were drawn"):
        record(model(), loader, steps=steps, store=tmp_path / "a.zarr")
