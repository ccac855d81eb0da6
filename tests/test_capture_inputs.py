"""Inputs are recorded as they come, under the right name, and are found afterwards as they were."""

import dataclasses
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
import torch
from capture_sources import X, in_batches, make, record
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, Sampler, TensorDataset, default_collate

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning, InputsError, StoreError

N = 60
BIG = torch.randn(N, 6, generator=torch.Generator().manual_seed(5))
Y = torch.arange(N) % 3


def signs(x):
    return (x > 0).numpy().T


class Turning(DataLoader):
    """A loader that changes its batches, and stops early."""

    def __iter__(self):
        for number, (x, y) in enumerate(super().__iter__()):
            if number == 2:
                return
            yield -x, y


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("form", ["memory", "store"])
def test_a_loader_with_its_own_way_is_read_in_it(tmp_path, form):
    """What a subclass makes of the batches, and where it stops, is what is recorded and what calibrates."""
    loader = Turning(TensorDataset(BIG, Y), batch_size=8)
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    recording = record(nn.ReLU(), ann2neo.Inputs(loader), **options)
    assert (recording.raster("ReLU") == signs(-BIG[:16])).all()
    assert recording.trials["label"].tolist() == Y[:16].tolist()
    found = record(nn.ReLU(), BIG, threshold=ann2neo.Quantile(0.5, on=loader))
    assert (
        found.layers[0].thresholds == np.quantile((-BIG[:16]).relu().numpy(), 0.5, axis=0, method="inverted_cdf")
    ).all()


def test_a_loader_with_its_own_way_that_shuffles_is_told():
    """Which input is which cannot be known; labels come with the batches, and are refused from elsewhere."""
    loader = Turning(TensorDataset(BIG, Y), batch_size=8, shuffle=True)
    with pytest.warns(Ann2NeoWarning, match="__iter__ of its own"):
        record(nn.ReLU(), ann2neo.Inputs(loader))
    with pytest.raises(InputsError, match="at random"):
        record(nn.ReLU(), ann2neo.Inputs(loader, labels=Y[:16].tolist()))


@pytest.mark.parametrize(
    "labels", [Y, {"label": Y}, {"target_label": Y}, {"session": Y}], ids=["array", "label", "target", "other"]
)
@pytest.mark.parametrize("run", [record, ann2neo.plan], ids=["record", "plan"])
def test_labels_of_a_random_order_are_refused(labels, run):
    """A loader that draws at random has no order in which labels could be given."""
    for data in (TensorDataset(BIG), TensorDataset(BIG, (Y + 1) % 3)):
        with pytest.raises(InputsError, match=r"at random[\s\S]*data set"):
            run(nn.ReLU(), ann2neo.Inputs(DataLoader(data, batch_size=8, shuffle=True), labels=labels))


def test_labels_are_taken_where_the_order_is_known():
    """In a fixed order, and where the batches of a random one hold the same, labels are given as before."""
    fixed = DataLoader(TensorDataset(BIG), batch_size=8, sampler=list(range(N))[::-1])
    assert record(nn.ReLU(), ann2neo.Inputs(fixed, labels=Y)).trials["label"].tolist() == Y.tolist()
    drawn = DataLoader(TensorDataset(BIG, Y), batch_size=8, shuffle=True, generator=seeded())
    ids = record(nn.ReLU(), drawn).trials["stimulus_id"].to_numpy()
    columns = {"label": Y[torch.tensor(ids)], "stimulus": ids}
    recording = record(nn.ReLU(), ann2neo.Inputs(drawn, labels=columns))
    assert (recording.trials["stimulus"] == recording.trials["stimulus_id"]).all()


def test_few_inputs_in_random_order_are_noticed():
    """Two inputs come in the same order every second time."""
    for seed in range(20):
        torch.manual_seed(seed)
        with pytest.raises(InputsError, match="at random"):
            record(nn.ReLU(), ann2neo.Inputs(DataLoader(TensorDataset(BIG[:2]), shuffle=True), labels=[0, 1]))


def test_listed_lengths_of_a_random_order_are_refused():
    """Lengths belong to inputs, and it is not known which input comes when; equal ones do not matter."""
    x = BIG.reshape(N, 3, 2)
    loader = DataLoader(TensorDataset(x), batch_size=8, shuffle=True)
    lengths = torch.arange(N) % 3 + 1
    for threshold in (None, ann2neo.Quantile(0.5, on=loader)):
        with pytest.raises(InputsError, match=r"lengths are listed for 60[\s\S]*function"):
            record(nn.ReLU(), ann2neo.Inputs(loader), steps=ann2neo.Steps(1, lengths=lengths), threshold=threshold)
    same = record(nn.ReLU(), ann2neo.Inputs(loader), steps=ann2neo.Steps(1, lengths=[2] * N))
    assert same.n_bins == 2 * N


def test_images_follow_the_stimulus(tmp_path):
    """Images are those of the data set, whatever order a loader draws: each trial names its own."""
    pynwb = pytest.importorskip("pynwb")
    images = np.arange(20, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    loader = DataLoader(TensorDataset(BIG[:20]), batch_size=8, shuffle=True, generator=seeded())
    recording = ann2neo.export(nn.ReLU(), loader, tmp_path / "a.nwb", images=images, progress=False)
    with pynwb.NWBHDF5IO(str(tmp_path / "a.nwb"), "r") as io:
        file = io.read()
        stored = file.stimulus_template["images"].images
        shown = [int(stored[name].data[0, 0]) for name in file.trials["image"][:]]
    assert shown == recording.trials["stimulus_id"].tolist() != sorted(shown)


class Reshuffling(IterableDataset):
    def __iter__(self):
        return iter([(BIG[i], Y[i]) for i in torch.randperm(N).tolist()])


class Noisy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Dropout(0.5), nn.ReLU())


def again(change):
    """A function whose batches are others when they are read again."""
    n_read = iter(range(100))

    def batches():
        number = next(n_read)
        return iter([change(number, x, y) for x, y in zip(BIG.split(8), Y.split(8))])

    return batches


@pytest.mark.parametrize(
    "inputs",
    [
        lambda: DataLoader(Reshuffling(), batch_size=8),
        lambda: Turning(TensorDataset(BIG, Y), batch_size=8, shuffle=True),
        lambda: again(lambda number, x, y: (x, (y + number) % 3)),
        lambda: again(lambda number, x, y: (x + number, y)),
    ],
    ids=["reshuffling", "own way", "labels", "content"],
)
@pytest.mark.filterwarnings("ignore::ann2neo.errors.Ann2NeoWarning")
@pytest.mark.parametrize("form", ["memory", "store"])
def test_passes_over_other_inputs_are_refused(tmp_path, inputs, form):
    """A bin stands for the same input in each pass, or nothing is recorded."""
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    with pytest.raises(InputsError, match="pass 2"):
        record(Noisy(), ann2neo.Inputs(inputs()), passes=ann2neo.Passes(2), **options)


def test_passes_over_the_same_inputs_are_recorded():
    """What is the same when it is read again is recorded, and an order that was drawn once is kept."""
    for made in (again(lambda _, x, y: (x, y)), DataLoader(TensorDataset(BIG, Y), 8, shuffle=True)):
        recording = record(Noisy(), ann2neo.Inputs(made), passes=ann2neo.Passes(3))
        ids = torch.tensor(recording.trials["stimulus_id"].to_numpy())
        assert (recording.trials["label"].to_numpy() == Y[ids].numpy()).all()


IN_PLACE = {
    "first module": lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 4), nn.Tanh()),
    "forward": lambda: make(lambda self, x: self.act(self.fc(x.sub_(0.5))), fc=nn.Linear(6, 4), act=nn.Tanh()),
    "function": lambda: make(lambda self, x: torch.relu(self.fc(x.sub_(0.5))), fc=nn.Linear(6, 4)),
    "data": lambda: make(lambda self, x: self.act(self.fc(x.data.sub_(0.5))), fc=nn.Linear(6, 4), act=nn.Tanh()),
}
FORMS = {
    "tensor": lambda x: ann2neo.Inputs(x, batch_size=5),
    "array": lambda x: ann2neo.Inputs(x.numpy(), batch_size=5),
    "list": lambda x: list(x.split(5)),
    "mappings": lambda x: ann2neo.Inputs([{"x": part} for part in x.split(5)], forward=lambda m, batch: m(batch["x"])),
    "function": lambda x: lambda: iter(x.split(5)),
    "loader": lambda x: DataLoader(TensorDataset(x), batch_size=5),
}


@pytest.mark.parametrize("model", list(IN_PLACE))
@pytest.mark.parametrize("form", list(FORMS))
def test_a_model_that_works_in_place_leaves_the_inputs_as_they_were(tmp_path, model, form):
    """Data are found unchanged, and the bits are those of unchanged data: after plan, calibration, several passes and a store."""
    torch.manual_seed(1)
    network, x = IN_PLACE[model](), X.clone()
    plain = record(network, x.clone(), batch_size=5)
    layer = plain.layers[-1].name
    expected = in_batches(lambda part: network(part.clone()), X)
    assert (plain.raster(layer) == signs(expected)).all()
    ann2neo.plan(network, FORMS[form](x))
    every = [
        ann2neo.record(network, FORMS[form](x), progress=False),
        ann2neo.record(network, FORMS[form](x), store=tmp_path / "a.zarr", progress=False),
    ]
    quantile = record(network, x, batch_size=5, threshold=ann2neo.Quantile(0.5, on=FORMS[form](x)), layers=layer)
    assert (quantile.layers[0].thresholds == np.quantile(expected.numpy(), 0.5, axis=0, method="inverted_cdf")).all()
    assert all((one.raster(layer) == plain.raster(layer)).all() for one in every)
    assert torch.equal(x, X)


def test_a_model_that_works_in_place_repeats_itself():
    """Passes over data that would have been changed are those over unchanged data."""
    network, x = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.5), nn.ReLU()), X - 0.5
    recording = record(network, x, passes=ann2neo.Passes(2), layers=["0", "2"])
    first, second = np.split(recording.raster("0"), 2, axis=1)
    assert (first == signs(X - 0.5)).all()
    assert (first == second).all()


def test_a_loader_is_found_as_it_was():
    """The generators of a loader and of its samplers are not moved on, so that two recordings are the same."""

    class Own(Sampler):
        def __init__(self, rng):
            self.rng = rng

        def __iter__(self):
            return iter(self.rng.permutation(N).tolist())

        def __len__(self):
            return N

    data = TensorDataset(BIG, Y)
    loaders = {
        "generator": DataLoader(data, 8, shuffle=True, generator=seeded()),
        "own sampler": DataLoader(data, 8, sampler=Own(np.random.default_rng(0))),
        "batch sampler": DataLoader(data, batch_sampler=BatchSampler(Own(np.random.RandomState(0)), 8, True)),
        "iterable": DataLoader(Reshuffling(), 8, generator=seeded()),
    }
    for name, loader in loaders.items():
        states = torch.get_rng_state(), None if loader.generator is None else loader.generator.get_state()
        first = record(nn.ReLU(), ann2neo.Inputs(loader))
        ann2neo.plan(nn.ReLU(), loader)
        record(nn.ReLU(), BIG, threshold=ann2neo.Quantile(0.5, on=loader))
        assert record(nn.ReLU(), ann2neo.Inputs(loader)).trials.equals(first.trials), name
        assert torch.equal(torch.get_rng_state(), states[0])
        assert states[1] is None or torch.equal(loader.generator.get_state(), states[1])
        if loader.batch_sampler is not None and name != "iterable":
            ids = [i for batch in loader.batch_sampler for i in batch]
            assert first.trials["stimulus_id"].tolist() == ids


class InBatches(Dataset):
    """A data set of whole batches, of several sizes."""

    edges = np.array([0, 10, 25, 30, 48, 60])

    def __len__(self):
        return len(self.edges) - 1

    def __getitem__(self, i):
        part = slice(self.edges[i], self.edges[i + 1])
        return BIG[part], Y[part]


@pytest.mark.parametrize("form", ["memory", "store"])
def test_a_data_set_of_batches_in_random_order_is_traced(tmp_path, form):
    """Each bin can be traced to its input, and the order is told as in any shuffling loader."""
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    loader = DataLoader(InBatches(), batch_size=None, shuffle=True, generator=seeded(1))
    recording = record(nn.ReLU(), ann2neo.Inputs(loader), **options)
    ids = recording.trials["stimulus_id"].to_numpy()
    assert sorted(ids) == list(range(N))
    assert ids.tolist() != list(range(N))
    assert (recording.raster("ReLU") == signs(BIG)[:, ids]).all()
    assert (recording.trials["label"].to_numpy() == Y.numpy()[ids]).all()
    other = DataLoader(InBatches(), batch_size=None, shuffle=True, generator=seeded(4))
    if form == "store":
        with pytest.raises(StoreError, match=r"seed 1 there, RandomSampler, seed 4 here"):
            record(nn.ReLU(), ann2neo.Inputs(other), **options)
        again = DataLoader(InBatches(), batch_size=None, shuffle=True, generator=seeded(1))
        assert record(nn.ReLU(), ann2neo.Inputs(again), **options).identical(recording)
    plain = record(nn.ReLU(), ann2neo.Inputs(DataLoader(InBatches(), batch_size=None)))
    assert plain.trials["stimulus_id"].tolist() == list(range(N))


@pytest.mark.parametrize("form", ["memory", "store"])
def test_a_random_order_is_told(tmp_path, form):
    """The recording, its provenance and its table say that a loader shuffled, also after a way back from another order."""
    options = {} if form == "memory" else {"store": tmp_path / "a.zarr"}
    recording = record(nn.ReLU(), ann2neo.Inputs(DataLoader(TensorDataset(BIG, Y), 8, shuffle=True)), **options)
    assert recording.provenance["input_order"] == "loader's shuffled"
    assert "in loader's shuffled order" in repr(recording)
    with pytest.warns(Ann2NeoWarning, match="shuffling loader"):
        assert ann2neo.analyze(recording, windows=10, progress=False).attrs["order"] == "loader's shuffled"
    assert recording.arrange("label").arrange("presented").identical(recording)
    plain = record(nn.ReLU(), ann2neo.Inputs(DataLoader(TensorDataset(BIG, Y), 8)))
    assert plain.provenance["input_order"] == "presented"


class Pair(NamedTuple):
    x: torch.Tensor
    scale: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: torch.Tensor
    scale: torch.Tensor


@pytest.mark.parametrize("kind", [Pair, Frozen])
@pytest.mark.parametrize("works_in_place", [False, True])
def test_batches_may_be_named_tuples_and_dataclasses(kind, works_in_place, tmp_path):
    """Where the user says how the model is called; their tensors stay as they are, and other ones are another batch."""
    x, scale = torch.randn(10, 4), torch.rand(10, 1) - 0.5
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())

    def forward(network, batch):
        return network(batch.x.mul_(batch.scale) if works_in_place else batch.x * batch.scale)

    def given(scale):
        batches = [kind(x[i : i + 5].clone(), scale[i : i + 5].clone()) for i in (0, 5)]
        return ann2neo.Inputs(batches, forward=forward)

    recording = ann2neo.record(model, given(scale), store=tmp_path / "a.zarr", progress=False)
    assert (recording.raster("1") == (model(x * scale) > 0).numpy().T).all()
    with pytest.raises(StoreError, match="is not the one that was recorded"):
        ann2neo.record(model, given(-scale), store=tmp_path / "a.zarr", progress=False)


@pytest.mark.parametrize("store", [False, True])
def test_batches_that_lack_inputs_are_refused_at_once(store, tmp_path):
    """A collating function that drops inputs: those behind would have the names of others."""
    loader = DataLoader(
        TensorDataset(torch.randn(10, 4)), 5, collate_fn=lambda items: torch.stack([i[0] for i in items[1:]])
    )
    options = {"store": tmp_path / "a.zarr"} if store else {}
    with pytest.raises(InputsError, match="batch 0 has 4 inputs, but 5 were drawn"):
        ann2neo.record(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()), loader, progress=False, **options)


class Augmented(TensorDataset):
    """A data set that draws anew at each reading."""

    def __getitem__(self, index):
        return super().__getitem__(index)[0] + torch.rand(1)


def test_passes_over_augmented_inputs_are_refused():
    """Under one index there would be another input in each pass."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.ReLU())
    loader = DataLoader(Augmented(torch.randn(10, 4)), 5)
    with pytest.raises(InputsError, match="batch 0 holds other inputs or labels in pass 2"):
        ann2neo.record(model, loader, passes=ann2neo.Passes(2), progress=False)


def test_integers_of_a_later_batch_are_refused():
    """What was a layer of floating-point numbers in the first batch must stay one."""
    calls = []

    class Counting(nn.Module):
        def forward(self, x):
            calls.append(0)
            return x if len(calls) == 1 else x.int()

    with pytest.raises(ActivationError, match="int32"):
        ann2neo.record(
            nn.Sequential(Counting()), [torch.randn(4, 3)] * 2, layers="0", threshold=0.0, verify=False, progress=False
        )


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


@pytest.mark.parametrize(
    "form", [list, iter, lambda batches: lambda: iter(batches)], ids=["list", "iterator", "function"]
)
def test_batches_of_nothing_change_nothing(form, tmp_path):
    """Before, between and after others, in memory and in a store, for calibrating too: layers are found and verified as without them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), Swish(), nn.Linear(8, 4), nn.ReLU())
    x, y = torch.randn(23, 3), torch.arange(23) % 4
    edges = [0, 0, 9, 9, 23, 23]
    batches = [(x[first:stop], y[first:stop]) for first, stop in pairwise(edges)]
    whole = [batch for batch in batches if len(batch[0])]
    for rule in (None, "quantile", "mean"):
        kinds = {"quantile": ann2neo.Quantile, "mean": ann2neo.MeanPlusSd}
        expected, found = (
            {"threshold": None if rule is None else kinds[rule](0.5, on=form(some))} for some in (whole, batches)
        )
        of_whole = ann2neo.record(model, form(whole), progress=False, **expected)
        assert [layer.name for layer in of_whole.layers] == ["1", "3"]
        for store in (None, tmp_path / f"{rule}.zarr"):
            if rule is not None and form is iter:
                found["threshold"] = kinds[rule](0.5, on=iter(batches))
            recording = ann2neo.record(model, form(batches), progress=False, store=store, **found)
            assert recording.provenance["verified"] == of_whole.provenance["verified"]
            assert recording.trials["label"].tolist() == y.tolist()
            for layer in ("1", "3"):
                assert (recording.raster(layer) == of_whole.raster(layer)).all()
    for store in (None, tmp_path / "nothing.zarr"):
        with pytest.raises(InputsError, match="empty"):
            ann2neo.record(model, form([batches[0]]), progress=False, store=store)


class Uneven(Sampler):
    """Batches of inputs, some of none."""

    def __iter__(self):
        return iter([[], [0, 1, 2], [], [3, 4, 5, 6, 7, 8, 9], []])

    def __len__(self):
        return 5


def joined(items):
    """Put items together, also if there are none."""
    return default_collate(items) if items else (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))


@pytest.mark.parametrize("form", ["batch_sampler", "sampler"])
def test_a_sampler_that_draws_batches_of_nothing_is_read_as_without_them(form, tmp_path):
    """Their inputs are known by number, and a store is opened again."""
    torch.manual_seed(0)
    data, model = TensorDataset(torch.randn(10, 3), torch.arange(10) % 4), nn.Sequential(nn.Linear(3, 8), nn.ReLU())
    options = {"batch_sampler": Uneven()} if form == "batch_sampler" else {"sampler": Uneven(), "batch_size": None}
    loader = DataLoader(data, **options, collate_fn=joined if form == "batch_sampler" else None)
    expected = ann2neo.record(model, data.tensors[0], progress=False)
    for store in (None, tmp_path / "a.zarr", tmp_path / "a.zarr"):
        recording = ann2neo.record(model, loader, progress=False, store=store)
        assert recording.trials["stimulus_id"].tolist() == list(range(10))
        assert recording.trials["label"].tolist() == data.tensors[1].tolist()
        assert (recording.raster("1") == expected.raster("1")).all()
