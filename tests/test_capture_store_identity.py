"""A store goes on with the recording that it holds, and with no other."""

import json

import numpy as np
import pytest
import torch
from store_sources import BATCH_SIZE, Batches, Failing, Stop, data, inputs, interrupted, model, record, same
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, Sampler, Subset, SubsetRandomSampler, TensorDataset

import ann2neo
from ann2neo.capture.store.identity import Identity
from ann2neo.errors import InputsError, RecordingError, StoreError
from ann2neo.store import layout

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def small_columns(monkeypatch):
    """Columns of 16 bins, so that little data fills many."""
    monkeypatch.setattr(layout, "MIN_COLUMN_BINS", 16)
    monkeypatch.setattr(layout, "MAX_COLUMN_BINS", 16)


def test_a_shuffled_order_is_kept(tmp_path):
    """An order that is drawn anew in each process is taken from the store; one that is fixed and another is refused."""
    dataset = TensorDataset(data(), torch.arange(300) % 7)
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


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize(
    ("loader", "what"),
    [
        (lambda d: DataLoader(d, 14, shuffle=True), "sizes of batches"),
        (lambda d: DataLoader(d, 7, shuffle=True, drop_last=True), r"number of inputs .*\(300 there, 294 here\)"),
        (lambda d: DataLoader(Subset(d, range(200)), 7, shuffle=True), "number of inputs"),
        (lambda d: DataLoader(d, 7, sampler=SubsetRandomSampler(range(20, 320))), "inputs are not those"),
    ],
)
def test_a_shuffling_loader_of_other_inputs_is_refused(tmp_path, loader, what, complete):
    """The order may be drawn anew; which inputs, how many and in which batches may not."""
    dataset = TensorDataset(torch.randn(320, 6, generator=torch.Generator().manual_seed(0)))
    path, first = tmp_path / "a.zarr", DataLoader(Subset(dataset, range(300)), 7, shuffle=True)
    if complete:
        record(model(), first, store=path)
    else:
        interrupted(path, 20, first)
    given = dataset if what.startswith("inputs") else Subset(dataset, range(300))
    with pytest.raises(StoreError, match=what):
        record(model(), loader(given), store=path)


def test_draws_that_differ_in_their_inputs_are_taken_up(tmp_path):
    """Draws with replacement share nothing but their number."""
    path, dataset = tmp_path / "a.zarr", TensorDataset(data())

    def loader():
        return DataLoader(dataset, 7, sampler=RandomSampler(dataset, replacement=True, num_samples=150))

    interrupted(path, 10, loader())
    assert record(model(), loader(), store=path).n_bins == 150


def shuffled(seed=None):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return DataLoader(TensorDataset(data(), torch.arange(300) % 7), 7, shuffle=True, generator=generator)


class Turned(Sampler):
    """Draws with a generator of NumPy."""

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def __len__(self):
        return 300

    def __iter__(self):
        return iter(self.generator.permutation(300).tolist())


def turned(seed=None):
    return DataLoader(TensorDataset(data()), 7, sampler=Turned(seed))


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize(
    ("before", "now", "what"),
    [
        (
            lambda: DataLoader(TensorDataset(data(), torch.arange(300) % 7), 7),
            shuffled,
            "data set's own order there, RandomSampler here",
        ),
        (lambda: list(data().split(7)), lambda: turned(), "order"),
        (lambda: shuffled(0), lambda: shuffled(1), "RandomSampler, seed 0 there, RandomSampler, seed 1 here"),
        (shuffled, lambda: shuffled(1), "RandomSampler there, RandomSampler, seed 1 here"),
        (lambda: turned(0), lambda: turned(1), "Turned, seed 0 there, Turned, seed 1 here"),
        (shuffled, lambda: DataLoader(TensorDataset(data(), torch.arange(300) % 7), 7), "order"),
    ],
)
def test_another_order_is_refused(tmp_path, before, now, what, complete):
    """Another sampler, or the same one with another seed, is another order, in a store that is complete or not."""
    path = tmp_path / "a.zarr"
    if complete:
        record(model(), before(), store=path)
    else:
        interrupted(path, 20, before())
    with pytest.raises(StoreError, match=rf"holds another recording: .*{what}"):
        record(model(), now(), store=path)


@pytest.mark.parametrize("made", [lambda: shuffled(3), lambda: turned(3), turned])
def test_the_same_draw_goes_on(tmp_path, made):
    """With the same seed, or with one that nobody gave, the order of the store is gone on with."""
    path = tmp_path / "a.zarr"
    interrupted(path, 20, made())
    resumed = record(model(), made(), store=path)
    assert sorted(resumed.trials["stimulus_id"]) == list(range(300))
    order = resumed.trials["stimulus_id"].to_numpy()
    assert np.array_equal(resumed.raster("2"), record(model(), data()).raster("2")[:, order])


def test_what_was_verified_is_part_of_the_identity():
    """Layers of which something else was found are named; nothing verified is another recording than something verified."""
    given = dict.fromkeys(["weights", "model", "layers", "threshold_rule", "units", "type_of_numbers", "labels"], "")
    given |= dict.fromkeys(["steps", "stochastic_modules", "seed", "data_set", "data_set_split"])
    given |= {"number_of_passes": 1, "bin_size": 1.0}
    one, other = (Identity(**given, verified={"fc": text, "out": "kept"}) for text in ("kept", "mates"))
    assert one.differences(other) == ("verified of 'fc' (kept there, mates here)",)
    assert Identity(**given).differences(one) == ("verified (layers were not verified there, verified here)",)
    assert one.differences(Identity(**given)) == ("verified (layers were verified there, not verified here)",)
    assert Identity.from_facts(json.loads(json.dumps(one.facts()))) == one


class Other(nn.Sequential):
    pass


DIFFERENCES = {
    "weights": {"network": lambda: model(seed=1)},
    "model": {"network": lambda: Other(*model())},
    "layers": {"layers": "2"},
    "threshold rule": {"threshold": 0.25},
    "units": {"units": [0, 1]},
    "number of passes (1 there, 2 here), stochastic modules (None there, 'dropout' here), seed (None there, 0 here)": {
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

    with pytest.raises(RecordingError, match="between the first pass and a later one"):
        record(model(), changing, passes=ann2neo.Passes(2))
    with pytest.raises(RecordingError, match="between the first pass and a later one"):
        record(model(), changing, passes=ann2neo.Passes(2), store=tmp_path / "a.zarr")


@pytest.mark.parametrize("labels", [range(299), range(301)])
@pytest.mark.parametrize("made", [lambda: data(300), lambda: Batches(data(300), [7] * 42 + [6])])
def test_labels_that_do_not_fit(tmp_path, labels, made):
    """There is one label for each input, whether their number is known before or not."""
    with pytest.raises(InputsError, match=r"300 inputs were presented|shape"):
        record(model(), ann2neo.Inputs(made(), labels=[i % 5 for i in labels]), store=tmp_path / "a.zarr")


class Twice(nn.Module):
    """A block of a function that is called twice."""

    def __init__(self, at=None):
        super().__init__()
        torch.manual_seed(0)
        self.gate, self.block, self.back = Failing(at), Block(), nn.Linear(5, 6)

    def forward(self, x):
        return self.block(self.back(self.block(self.gate(x))))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 5)

    def forward(self, x):
        return torch.relu(self.fc(x))


@pytest.mark.parametrize("layers", ["block.*:1", "block.*", "block.relu:1"])
def test_calls_of_functions_are_counted_anew_when_a_store_goes_on(tmp_path, layers):
    """Batches that were run again before do not count as calls."""
    path = tmp_path / "a.zarr"
    with pytest.raises(Stop):
        record(Twice(25), inputs(), layers=layers, store=path)
    assert same(record(Twice(), inputs(), layers=layers, store=path), record(Twice(), inputs(), layers=layers))


def test_batches_are_run_again_as_they_lay_in_memory(tmp_path):
    """On strides depend the last bits of sums; here a whole spike."""
    path, x = tmp_path / "a.zarr", torch.randn(300, 12, generator=torch.Generator().manual_seed(0))[:, ::2]
    forward = lambda network, batch: network(batch if batch.stride(0) == 12 else -batch)  # noqa: E731
    given = ann2neo.Inputs(x, BATCH_SIZE, forward=forward)
    interrupted(path, 20, given)
    assert same(record(model(), given, store=path), record(model(), given))
