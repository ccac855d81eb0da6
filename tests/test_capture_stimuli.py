"""`stimulus_id` says which input came out, not which one the sampler drew."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

import ann2neo
from ann2neo.capture.inputs import as_inputs, open_source, order_comes_again, read_batches
from ann2neo.capture.inputs.collation import TracedCollation
from ann2neo.errors import ActivationError, Ann2NeoWarning, InputsError
from ann2neo.recording import COUNTED, PLACES, TRACED

N, LONGEST = 18, 7
RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, LONGEST + 1, N)
SEQUENCES = [torch.from_numpy(RNG.standard_normal((n, 3))).float() for n in LENGTHS]
X = torch.stack([F.pad(x, (0, 0, 0, LONGEST - len(x))) for x in SEQUENCES])


class Padded(nn.Module):
    """Pads each batch to the same length, so that the oracle does not depend on the batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.act = nn.Linear(3 * LONGEST, 5), nn.ReLU()

    def forward(self, x):
        return self.act(self.fc(F.pad(x, (0, 0, 0, LONGEST - x.shape[1])).flatten(1)))


MODEL = Padded()
with torch.no_grad():
    BITS = (MODEL(X) > 0).numpy()
DATA = [(x, int(10 * i)) for i, x in enumerate(SEQUENCES)]


def padded(items):
    n = max(len(x) for x, _ in items)
    return torch.stack([F.pad(x, (0, 0, 0, n - len(x))) for x, _ in items]), torch.tensor([y for _, y in items])


def padded_before(items):
    n = max(len(x) for x, _ in items)
    return torch.stack([F.pad(x, (0, 0, n - len(x), 0)) for x, _ in items]), torch.tensor([y for _, y in items])


def longest_first(items):
    return padded(sorted(items, key=lambda item: -len(item[0])))


def sorted_in_place(items):
    items.sort(key=lambda item: len(item[0]))
    return padded(items)


def refilled(items):
    good = [item for item in items if len(item[0]) > 2]
    return padded(good + good[:1] * (len(items) - len(good)))


def turned(items):
    return {"x": padded(items[::-1])[0], "label": torch.tensor([y for _, y in items[::-1]])}


COLLATES = [padded, longest_first, sorted_in_place, refilled, turned]


def record(inputs, model=MODEL, **options):
    return ann2neo.record(model, inputs, progress=False, **options)


@pytest.mark.parametrize("collate", COLLATES)
@pytest.mark.parametrize("form", ["memory", "store"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_an_input_goes_by_its_own_number_whatever_collates_it(collate, form, shuffle, tmp_path):
    """The spikes in the bin of stimulus i are those of input i; labels, which the collating function moves too, say the same."""
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    loader = DataLoader(DATA, batch_size=7, shuffle=shuffle, collate_fn=collate)
    recording = record(
        ann2neo.Inputs(loader, forward=lambda m, b: m(b["x"])) if collate is turned else loader, **options
    )
    ids = recording.trials["stimulus_id"].to_numpy()
    assert (recording.trials["label"] == 10 * ids).all()
    assert (recording.raster("act") == BITS[ids].T).all()
    assert recording.provenance["stimulus_ids"] == TRACED
    if collate is not refilled:
        assert sorted(ids) == list(range(N))
    if form == "store":
        again = record(
            ann2neo.Inputs(loader, forward=lambda m, b: m(b["x"])) if collate is turned else loader, **options
        )
        assert again.identical(recording)


def test_workers_trace_too():
    """The collating function runs in the workers, and so does what traces it."""
    loader = DataLoader(DATA, batch_size=7, shuffle=True, collate_fn=longest_first, num_workers=2)
    recording = record(loader)
    ids = recording.trials["stimulus_id"].to_numpy()
    assert (recording.trials["label"] == 10 * ids).all()
    assert (recording.raster("act") == BITS[ids].T).all()


def blended(items):
    x, y = padded(items)
    return 0.5 * x + 0.5 * x.roll(1, 0), y


def noisy(items):
    x, y = padded(items)
    return x + torch.rand_like(x), y


def standardized(items):
    x, y = padded(items)
    return (x - x.mean()) / x.std(), y


@pytest.mark.parametrize("collate", [blended, noisy, standardized])
@pytest.mark.parametrize("form", ["memory", "store"])
def test_inputs_that_are_no_longer_those_of_the_data_set_are_counted(collate, form, tmp_path):
    """One warning says that it is not known which is which; the labels are right, and so is what the model saw."""
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    loader = DataLoader(DATA, batch_size=8, shuffle=True, collate_fn=collate)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        recording = record(loader, **options)
    assert ["collate_fn" in str(one.message) for one in said] == [True]
    assert recording.trials["stimulus_id"].tolist() == list(range(N))
    assert recording.provenance["stimulus_ids"] == COUNTED
    assert recording.provenance["input_order"] == "presented"
    assert sorted(recording.trials["label"]) == [10 * i for i in range(N)]


def test_labels_that_a_collating_function_exchanges_are_not_called_right():
    """Nothing shows which input a label belongs to where inputs and labels of a batch are those of no item."""

    def exchanged(items):
        x, y = padded(items)
        return x, y.roll(1)

    with pytest.warns(Ann2NeoWarning, match="nothing shows whether they are those of these inputs"):
        record(DataLoader(DATA, batch_size=8, collate_fn=exchanged))


def test_one_batch_that_cannot_be_traced_makes_all_ids_counts(tmp_path):
    """Ids of two kinds in one column would name two inputs alike."""

    def sometimes(items):
        return noisy(items) if items[0][1] == 160 else padded(items)

    loader = DataLoader(DATA, batch_size=8, collate_fn=sometimes)
    for options in ({}, {"store": tmp_path / "a.zarr"}):
        with pytest.warns(Ann2NeoWarning, match="batch 2"):
            assert record(loader, **options).trials["stimulus_id"].tolist() == list(range(N))


class Masking:
    """Draws from a generator of its own and from torch's, and counts its calls."""

    def __init__(self):
        self.rng, self.n = np.random.default_rng(0), 0

    def __call__(self, items):
        self.n += 1
        x, y = padded(items)
        return x * float(self.rng.integers(1, 3)) * (torch.rand(1) > 0.5), y


@pytest.mark.filterwarnings("ignore::ann2neo.errors.Ann2NeoWarning")
def test_tracing_changes_nothing_that_a_collating_function_draws():
    """The batches are those that the loader alone gives, and so is its state afterwards."""
    seen = []

    class Seeing(Padded):
        def forward(self, x):
            seen.append(x.clone())
            return super().forward(x)

    own, plain, model = Masking(), Masking(), Seeing()
    torch.manual_seed(3)
    record(DataLoader(DATA, batch_size=8, collate_fn=own), model, verify=False)
    torch.manual_seed(3)
    alone = [x for x, _ in DataLoader(DATA, batch_size=8, collate_fn=plain)]
    assert all(torch.equal(a, b) for a, b in zip(seen, alone))
    assert own.n == plain.n
    assert own.rng.integers(1 << 30) == plain.rng.integers(1 << 30)


@pytest.mark.parametrize("collate", [padded, padded_before, longest_first, refilled])
def test_places_are_those_of_a_slow_search(collate):
    """Each row that came out is the item at its place, and no item that fits better lies elsewhere."""
    for first in range(0, N, 6):
        items = DATA[first : first + 6]
        found = TracedCollation(collate)(list(items))
        (_, y), places = found.batch, found.places
        assert y.tolist() == [items[place][1] for place in places]


def test_items_that_are_alike_keep_their_places():
    """Where two inputs hold the same, each keeps its own number."""
    data = [(torch.ones(2), 0)] * 6
    recording = ann2neo.record(
        nn.ReLU(),
        DataLoader(data, batch_size=3, collate_fn=lambda items: padded([(x[:, None], y) for x, y in items])),
        progress=False,
    )
    assert recording.trials["stimulus_id"].tolist() == list(range(6))


class Graph:
    """A graph, and a batch of several, as graph libraries have them: keys and items, and no tensor along the graphs."""

    def __init__(self, **parts):
        self.__dict__.update(parts)

    def keys(self):
        return list(self.__dict__)

    def __getitem__(self, key):
        return self.__dict__[key]

    def __setitem__(self, key, value):
        self.__dict__[key] = value


class GraphBatch(Graph):
    @property
    def num_graphs(self):
        return int(self.batch.max()) + 1


def joined(graphs):
    sizes = [len(g.x) for g in graphs]
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    return GraphBatch(
        x=torch.cat([g.x for g in graphs]),
        edge_index=torch.cat([g.edge_index + start for g, start in zip(graphs, starts)], dim=1),
        batch=torch.repeat_interleave(torch.arange(len(graphs)), torch.tensor(sizes)),
    )


class GraphNet(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.act = nn.Linear(3, 4), nn.ReLU()

    def forward(self, x, edge_index, batch, n):
        x = x + torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])
        return self.act(self.fc(torch.zeros(n, 3).index_add(0, batch, x)))


GRAPHS = [Graph(x=x, edge_index=torch.from_numpy(RNG.integers(0, len(x), (2, 4)))) for x in SEQUENCES]


@pytest.mark.parametrize("n_inputs", [None, lambda batch: batch.num_graphs])
@pytest.mark.parametrize("form", ["loader", "list"])
@pytest.mark.parametrize("batch_size", [5, 2])
def test_batches_of_graphs_are_recorded_graph_by_graph(n_inputs, form, batch_size):
    """The batch says how many graphs it holds, or the user does; no tensor has them along an axis."""
    loader = DataLoader(GRAPHS, batch_size=batch_size, collate_fn=joined)
    model = GraphNet()
    inputs = ann2neo.Inputs(
        loader if form == "loader" else list(loader),
        forward=lambda m, b: m(b.x, b.edge_index, b.batch, b.num_graphs),
        n_inputs=n_inputs,
    )
    recording = record(inputs, model)
    with torch.no_grad():
        expected = torch.cat(
            [model(b.x, b.edge_index, b.batch, b.num_graphs) for b in map(joined, ([g] for g in GRAPHS))]
        )
    assert (recording.raster("act") == (expected > 0).numpy().T).all()
    assert recording.trials["stimulus_id"].tolist() == list(range(N))
    assert recording.provenance["stimulus_ids"] == (TRACED if form == "loader" else COUNTED)


def test_the_number_of_inputs_is_what_the_user_says():
    """Where the first array of a batch lies along something else; what is said must be a number of inputs."""
    batches = [{"edges": torch.zeros(2, 9), "x": x} for x in X.flatten(1).split(8)]
    inputs = ann2neo.Inputs(batches, forward=lambda m, b: m(b["x"]), n_inputs=lambda b: len(b["x"]))
    assert record(inputs, nn.Sequential(nn.Linear(21, 4), nn.ReLU())).n_bins == N
    with pytest.raises(ActivationError, match="n_inputs=lambda batch"):
        record(ann2neo.Inputs(batches, forward=lambda m, b: m(b["x"])), nn.Sequential(nn.Linear(21, 4), nn.ReLU()))
    for wrong in (lambda b: 0, lambda b: None, lambda b: b["x"], lambda b: 2.5):
        with pytest.raises(InputsError, match="n_inputs="):
            record(ann2neo.Inputs(batches, forward=lambda m, b: m(b["x"]), n_inputs=wrong))


class Stream(IterableDataset):
    """An iterable data set that each worker reads as a whole, or its share of."""

    def __init__(self, *, shares=False, shuffles=False, n=N):
        self.shares, self.shuffles, self.n = shares, shuffles, n

    def __iter__(self):
        worker = get_worker_info()
        order = range(self.n)
        if self.shuffles:
            order = np.random.default_rng(0 if worker is None else worker.id).permutation(self.n).tolist()
        if self.shares and worker is not None:
            order = order[worker.id :: worker.num_workers]
        return ((X[i].flatten(), i % 3) for i in order)


FLAT = nn.Sequential(nn.Linear(21, 4), nn.ReLU())


@pytest.mark.parametrize(("shuffles", "n", "batch_size"), [(False, N, 4), (False, N, 1), (True, N, 4), (False, 3, 3)])
@pytest.mark.parametrize("form", ["memory", "store"])
def test_workers_that_read_the_same_stream_are_refused(shuffles, n, batch_size, form, tmp_path):
    """Each input would count once per worker: in the same order at once, in another at the end."""
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    loader = DataLoader(Stream(shuffles=shuffles, n=n), batch_size=batch_size, num_workers=2)
    with pytest.raises(InputsError, match=r"2 workers[\s\S]*num_workers=0"):
        record(loader, FLAT, **options)


def test_workers_that_share_a_stream_are_recorded():
    """And so is one that reads alone, and workers whose inputs are all alike."""
    for loader in (
        DataLoader(Stream(shares=True), batch_size=4, num_workers=2),
        DataLoader(Stream(), batch_size=4, num_workers=1),
        DataLoader(Stream(), batch_size=4),
    ):
        recording = record(loader, FLAT)
        assert recording.n_bins == N
        assert recording.provenance["stimulus_ids"] == COUNTED


class Shards(IterableDataset):
    """A shard for each worker."""

    def __init__(self, *shards):
        self.shards = shards

    def __iter__(self):
        return ((X[i].flatten(), i % 3) for i in self.shards[get_worker_info().id])


@pytest.mark.parametrize(
    ("shards", "n"),
    [
        ((range(10), range(8, N)), 2),
        ((range(9), range(8, N)), 1),
        ((range(7), range(6, 13), range(12, N)), 2),
        ((range(9), [*range(9, N), *range(3)]), 3),
    ],
)
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_shards_that_overlap_are_told(shards, n):
    """Inputs at the ends of two workers' shares count twice: how many is said."""
    loader = DataLoader(Shards(*shards), batch_size=4, num_workers=len(shards))
    with pytest.warns(Ann2NeoWarning, match=rf"^{n} of the {N + n} inputs hold the same as one that another"):
        record(loader, FLAT)


def test_inputs_that_the_data_repeat_are_no_overlap():
    """They come again within a worker's share as well."""
    loader = DataLoader(Shards([*range(9), 0, 1], [9, 1, *range(10, N), 9]), batch_size=4, num_workers=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert record(loader, FLAT).n_bins == N + 4


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("form", ["memory", "store"])
def test_a_sampler_of_batches_is_traced(shuffle, form, tmp_path):
    """With batch_size=None the data set takes lists of places, and knows their inputs."""
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    data = TensorDataset(X.flatten(1), torch.arange(N) * 10 % 70)
    order = torch.randperm(N).tolist() if shuffle else range(N)
    loader = DataLoader(data, batch_size=None, sampler=BatchSampler(order, 5, False))
    recording = record(loader, FLAT, **options)
    assert recording.trials["stimulus_id"].tolist() == list(order)
    assert (recording.raster("1") == (FLAT(X.flatten(1)) > 0).numpy()[list(order)].T).all()
    assert recording.provenance["stimulus_ids"] == PLACES


class Rows(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, i):
        return X[i].flatten(), i % 3


def test_ids_of_other_inputs_are_as_before():
    """Arrays and loaders of torch's own collating function name places, batches that only come are counted."""
    for inputs, known_as in (
        (X.flatten(1), PLACES),
        (DataLoader(Rows(), 5), PLACES),
        (Rows(), PLACES),
        ([X.flatten(1)], COUNTED),
        (iter([X.flatten(1)]), COUNTED),
    ):
        recording = record(inputs, FLAT)
        assert recording.trials["stimulus_id"].tolist() == list(range(N))
        assert recording.provenance["stimulus_ids"] == known_as


class Whole(Rows):
    """A data set that reads whole batches at once, in this order."""

    def __init__(self, order):
        self.order = order

    def __getitems__(self, places):
        return [self[place] for place in self.order(places)]


def test_a_data_set_that_reads_batches_in_another_order_is_refused():
    """What it gives under each place alone is compared with what it gives of several at once."""
    for order in (sorted, lambda places: places[::-1]):
        with pytest.raises(InputsError, match=r"__getitems__[\s\S]*order"):
            record(DataLoader(Whole(order), 5, sampler=[3, 1, 2, *range(4, N), 0]), FLAT)
    recording = record(DataLoader(Whole(list), 5, shuffle=True), FLAT)
    ids = recording.trials["stimulus_id"].to_numpy()
    assert (recording.trials["label"] == ids % 3).all()


class Sampled:
    """Draws an order with a generator of its own, or from the global random state."""

    def __init__(self, rng):
        self.rng = rng

    def __iter__(self):
        return iter(self.rng.permutation(N).tolist())

    def __len__(self):
        return N


def test_it_is_known_whether_an_order_comes_again():
    """A fixed order, and one that a generator draws that the loader or its sampler holds; not one of the global random state."""
    again = [
        X,
        Rows(),
        DataLoader(Rows(), 5),
        DataLoader(Rows(), 5, sampler=list(range(N))[::-1]),
        DataLoader(Rows(), 5, shuffle=True, generator=torch.Generator().manual_seed(3)),
        DataLoader(Rows(), 5, sampler=Sampled(np.random.default_rng(0))),
    ]
    never = [DataLoader(Rows(), 5, shuffle=True), DataLoader(Rows(), 5, sampler=Sampled(np.random))]
    assert [order_comes_again(open_source(as_inputs(data))) for data in again] == [True] * len(again)
    assert [order_comes_again(open_source(as_inputs(data))) for data in never] == [False] * len(never)


def test_repeated_inputs_have_the_same_check_sum():
    """Whatever batch and form they lie in; labels do not count, and graphs are more than their rows."""
    order = [0, 1, 2, 0, 3, 1, 0]
    for data in (X[order], [(X[order][:4], torch.zeros(4).int()), (X[order][4:], torch.ones(3).int())]):
        inputs = ann2neo.Inputs(data, batch_size=2)
        sums = np.concatenate([batch.checksums for batch in read_batches(open_source(inputs), inputs)])
        assert [int(np.flatnonzero(sums == one)[0]) for one in sums] == [0, 1, 2, 0, 4, 1, 0]
    inputs = ann2neo.Inputs([joined(GRAPHS[:3])], forward=lambda model, batch: batch)
    assert next(read_batches(open_source(inputs), inputs)).checksums is None
