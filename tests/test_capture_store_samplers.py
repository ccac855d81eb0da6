"""A store is known by what draws its inputs: another sampler, or the same one with other settings, is another recording."""

import random

import numpy as np
import pytest
import torch
from store_sources import Failing, Stop, data, model, record, same
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

import ann2neo
from ann2neo.capture.inputs import as_inputs, open_source
from ann2neo.capture.store.samplers import sampler_of
from ann2neo.errors import StoreError

torch.set_num_threads(1)

N = 30
DATASET = TensorDataset(data(N), torch.arange(N) % 3)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class Own(Sampler):
    """Draws by a function of its number of inputs, once for each iteration; counts them."""

    def __init__(self, draw, **attributes):
        self.draw, self.epoch = draw, 0
        self.__dict__.update(attributes)

    def __len__(self):
        return N

    def __iter__(self):
        self.epoch += 1
        return iter(self.draw(N))


class InPlace(Sampler):
    """Shuffles its own list, as many samplers do."""

    def __init__(self, inputs):
        self.inputs = list(inputs)

    def __len__(self):
        return len(self.inputs)

    def __iter__(self):
        random.shuffle(self.inputs)
        return iter(self.inputs)


class OwnBatches(Sampler):
    """Draws whole batches of five."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __len__(self):
        return N // 5

    def __iter__(self):
        order = list(self.sampler)
        return iter([order[start : start + 5] for start in range(0, N, 5)])


def of_numpy(n):
    return np.random.permutation(n).tolist()  # noqa: NPY002


def of_weights(weights, seed=None, **options):
    generator = None if seed is None else seeded(seed)
    return WeightedRandomSampler(weights, N, generator=generator, **options)


def loader(sampler=None, **options):
    return DataLoader(DATASET, **({"batch_size": 5} | options), sampler=sampler)


RANDOM = {
    "weighted": lambda: loader(of_weights([1.0] * N)),
    "weighted and seeded": lambda: loader(of_weights([1.0] * N, 4)),
    "subset": lambda: loader(SubsetRandomSampler(list(range(N)))),
    "NumPy": lambda: loader(Own(of_numpy)),
    "Python": lambda: loader(InPlace(range(N))),
    "a generator of its own": lambda: loader(Own(lambda n: of_numpy(n), generator=seeded(1))),
    "batches of a random sampler": lambda: DataLoader(
        DATASET, batch_sampler=BatchSampler(RandomSampler(DATASET), 5, False)
    ),
    "batches of an own sampler": lambda: DataLoader(DATASET, batch_sampler=BatchSampler(Own(of_numpy), 5, False)),
    "own batches": lambda: DataLoader(DATASET, batch_sampler=OwnBatches(Own(of_numpy))),
    "lists of inputs": lambda: loader(BatchSampler(Own(of_numpy), 5, False), batch_size=None),
}


@pytest.mark.parametrize("name", RANDOM)
def test_inputs_in_the_order_of_the_data_set_are_not_those_of_a_random_sampler(tmp_path, name):
    """A store of the data set's own order is refused for whatever draws at random, and replaced where that is allowed."""
    path = tmp_path / "a.zarr"
    record(model(), loader(), store=path)
    with pytest.raises(StoreError, match="drawing"):
        record(model(), RANDOM[name](), store=path)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    replaced = ann2neo.export(model(), RANDOM[name](), path, overwrite=True, progress=False)
    assert replaced.trials["stimulus_id"].tolist() != list(range(N))


@pytest.mark.parametrize("name", ["weighted and seeded", "subset", "Python", "a generator of its own", "own batches"])
def test_the_same_random_sampler_goes_on(tmp_path, name):
    """A sampler that is made again opens and resumes its store, in the order that was drawn then."""
    path = tmp_path / "a.zarr"
    with pytest.raises(Stop):
        record(torch.nn.Sequential(Failing(5), *model()), RANDOM[name](), store=path, layers="3", verify=False)
    network = torch.nn.Sequential(Failing(), *model())
    resumed = record(network, RANDOM[name](), store=path, layers="3", verify=False)
    order = resumed.trials["stimulus_id"].to_numpy()
    assert np.array_equal(resumed.raster("3"), record(network, data(N), layers="3").raster("3")[:, order])
    assert same(record(network, RANDOM[name](), store=path, layers="3", verify=False), resumed)


OTHERS = {
    "weights": (lambda: loader(of_weights([1.0] * N)), lambda: loader(of_weights(range(N)))),
    "weights, one seed": (lambda: loader(of_weights([1.0] * N, 3)), lambda: loader(of_weights(range(N), 3))),
    "replacement": (
        lambda: loader(of_weights([1.0] * N, replacement=False)),
        lambda: loader(of_weights([1.0] * N)),
    ),
    "with replacement": (
        lambda: loader(RandomSampler(DATASET)),
        lambda: loader(RandomSampler(DATASET, replacement=True)),
    ),
    "indices": (
        lambda: loader(SubsetRandomSampler(range(N), seeded(2))),
        lambda: loader(SubsetRandomSampler(range(N)[::-1], seeded(2))),
    ),
    "own weights": (
        lambda: loader(Own(of_numpy, weights=np.ones(N))),
        lambda: loader(Own(of_numpy, weights=np.arange(N))),
    ),
    "classes in lists": (
        lambda: loader(Own(of_numpy, classes={0: [1, 2], 1: [3]})),
        lambda: loader(Own(of_numpy, classes={0: [1], 1: [2, 3]})),
    ),
    "a sampler within": (
        lambda: DataLoader(DATASET, batch_sampler=OwnBatches(Own(of_numpy, share=0.5))),
        lambda: DataLoader(DATASET, batch_sampler=OwnBatches(Own(of_numpy, share=0.75))),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_settings_of_a_sampler_are_another_recording(tmp_path, name):
    """The type of a sampler and its seed do not say what it draws."""
    path = tmp_path / "a.zarr"
    before, now = OTHERS[name]
    record(model(), before(), store=path)
    with pytest.raises(StoreError, match="holds another recording: drawing"):
        record(model(), now(), store=path)
    assert record(model(), before(), store=path).n_bins == N


@pytest.mark.parametrize("indices", [list(range(N)), torch.arange(N), np.arange(N)])
def test_indices_in_another_container_are_the_same(tmp_path, indices):
    """It is numbers that are compared, not in what they lie; and without a seed, not their order."""
    path = tmp_path / "a.zarr"
    record(model(), loader(SubsetRandomSampler(range(N), seeded(2))), store=path)
    assert record(model(), loader(SubsetRandomSampler(indices, seeded(2))), store=path).n_bins == N
    path = tmp_path / "b.zarr"
    record(model(), loader(SubsetRandomSampler(range(N))), store=path)
    again = record(model(), loader(SubsetRandomSampler(sorted(indices, reverse=True))), store=path)
    assert sorted(again.trials["stimulus_id"]) == list(range(N))


def test_samplers_in_the_order_of_the_data_set_are_one(tmp_path):
    """What never draws another order than the data set's own is no other recording, whatever its type."""
    path = tmp_path / "a.zarr"
    record(model(), loader(), store=path)
    for sampler in (list(range(N)), Own(range), torch.utils.data.SequentialSampler(DATASET)):
        assert record(model(), loader(sampler), store=path).n_bins == N
    assert record(model(), DataLoader(DATASET, batch_sampler=OwnBatches(Own(range))), store=path).n_bins == N


def test_a_sampler_counts_its_own_iterations_alone(tmp_path):
    """Draws that only show whether it is random are not counted by it."""
    sampler = Own(of_numpy)
    record(model(), loader(sampler), store=tmp_path / "a.zarr")
    assert sampler.epoch == 1


def test_few_batches_that_a_sampler_drew_in_order_keep_their_sampler():
    """Two whole batches come in order half of the time; read again they would come in another one."""
    batches = TensorDataset(data(10).reshape(2, 5, -1))
    given = DataLoader(batches, batch_size=None, sampler=RandomSampler(batches))
    for seed in range(6):
        torch.manual_seed(seed)
        source = open_source(as_inputs(given))
        assert source.stimulus_ids is not None
        first = [batch[0] for batch in source.batches(0)]
        assert all(torch.equal(one, batch[0]) for _ in range(4) for one, batch in zip(first, source.batches(0)))
    assert isinstance(sampler_of(given), RandomSampler)
