"""Inputs that cannot be read, and what is said of them: items that are not put together, parts of a batch, loaders without an end, tensors that are nested or hold no numbers."""

import numpy as np
import pytest
import torch
from capture_sources import X, bits, make, record
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, Subset, TensorDataset, default_collate

import ann2neo
from ann2neo.capture.inputs import loaders
from ann2neo.errors import ActivationError, Ann2NeoWarning, InputsError

N = len(X)
MODEL = nn.Sequential(nn.ReLU())


class Items(Dataset):
    """A data set of whatever a function gives for each place."""

    def __init__(self, item):
        self.item = item

    def __len__(self):
        return N

    def __getitem__(self, place):
        return self.item(place)


@pytest.mark.parametrize("workers", [0, 1])
def test_items_that_are_none_are_told_with_a_cure(workers):
    """In the place of inputs or of labels, read by workers or not."""
    unread, unlabelled = Items(lambda k: None if k == 3 else X[k]), Items(lambda k: (X[k], None))
    for data in (unread, unlabelled):
        with pytest.raises(
            InputsError,
            match=r"cannot be put together.*NoneType(.|\n)*if data\[k\] is not None.*one\[0\] for one in items",
        ):
            record(MODEL, DataLoader(data, batch_size=N, num_workers=workers))
    read = Subset(unread, [k for k in range(len(unread)) if unread[k] is not None])
    assert (record(MODEL, DataLoader(read, batch_size=N)).raster("0") == bits(X[[0, 1, 2, *range(4, N)]])).all()
    alone = DataLoader(unlabelled, batch_size=64, collate_fn=lambda items: default_collate([one[0] for one in items]))
    assert (record(MODEL, alone).raster("0") == bits(X)).all()


def test_images_that_are_not_tensors_are_told_with_a_cure():
    """Images of PIL are made into tensors as the message says."""
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (N, 4, 5, 3), dtype=np.uint8)
    with pytest.raises(InputsError, match=r"PIL.*\n.*\n.*permute\(2, 0, 1\) / 255"):
        record(MODEL, Items(lambda k: (image.fromarray(pixels[k]), 1)))
    tensors = Items(lambda k: (torch.as_tensor(np.array(image.fromarray(pixels[k]))).permute(2, 0, 1) / 255, 1))
    assert (record(MODEL, tensors).raster("0") == (pixels.transpose(0, 3, 1, 2) > 0).reshape(N, -1).T).all()


def test_sequences_of_several_lengths_are_told_with_a_cure():
    """They are padded, with their lengths, as the message says."""
    lengths = [k % 3 + 1 for k in range(N)]
    data = Items(lambda k: X[k, : lengths[k], None])
    with pytest.raises(InputsError, match=r"equal size(.|\n)*pad_sequence"):
        record(MODEL, data)
    loader = DataLoader(data, batch_size=64, collate_fn=lambda s: nn.utils.rnn.pad_sequence(s, batch_first=True))
    found = ann2neo.record(MODEL, loader, steps=ann2neo.Steps(1, lengths=lengths), progress=False)
    assert (found.raster("0")[0] == (torch.cat([X[k, :n] for k, n in enumerate(lengths)]) > 0).numpy()).all()


@pytest.mark.parametrize(
    "data", [[[X, X - 1]], [[X[:1], X[:1] - 1]], TensorDataset(X, X - 1)], ids=["list", "one", "set"]
)
def test_a_model_that_takes_both_parts_as_one_list_is_told_how_it_is_called(data):
    """The second part is taken for what comes beside the inputs; the message's `forward` runs."""

    def both(self, parts):
        first, second = parts
        return self.act(first + second)

    model = make(both, act=nn.ReLU())
    with pytest.raises(InputsError, match="first part of a batch of two") as error:
        record(model, data)
    assert "forward=lambda model, batch: model(batch)" in str(error.value)
    found = ann2neo.record(model, ann2neo.Inputs(data, forward=lambda model, batch: model(batch)), progress=False)
    assert (found.raster("act") == bits(2 * X - 1)[:, : found.n_bins]).all()


def test_an_error_of_the_model_with_labels_is_raised_as_it_is():
    """Where the second part is a label nothing says that the model takes it."""

    def fails(self, x):
        raise IndexError("of the model's own")

    with pytest.raises(IndexError, match="of the model's own"):
        record(make(fails, act=nn.ReLU()), [(X, torch.arange(N))])


def test_a_loader_that_gives_more_than_its_length_warns_once():
    """All batches are recorded; one that keeps to its length says nothing."""

    class Stream(IterableDataset):
        def __len__(self):
            return 4

        def __iter__(self):
            yield from X[: self.n]

    stream = Stream()
    stream.n = N
    with pytest.warns(
        Ann2NeoWarning, match="more than 2 batches, although its Stream says that it has 4 inputs"
    ) as said:
        assert record(MODEL, DataLoader(stream, batch_size=2)).n_bins == N
    assert len(said) == 1
    stream.n = 4
    assert record(MODEL, DataLoader(stream, batch_size=2)).n_bins == 4


def test_a_sampler_that_does_not_end_is_told_and_can_be_interrupted(monkeypatch):
    """Its order is drawn before anything is recorded; after many draws this is said once."""

    class Endless(Sampler):
        def __iter__(self):
            for k in range(5000):
                yield k % N
            raise KeyboardInterrupt

    monkeypatch.setattr(loaders, "MANY", 1000)
    loader = DataLoader(TensorDataset(X), batch_sampler=Batches(Endless()))
    told = "Batches has drawn 1024 times, though the data set has 13 inputs"
    with pytest.warns(Ann2NeoWarning, match=told) as said, pytest.raises(KeyboardInterrupt):
        record(MODEL, loader)
    assert len(said) == 1


class Batches(Sampler):
    """Batches of one input from a sampler that does not say how many it draws."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __iter__(self):
        for place in self.sampler:
            yield [place]


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_activations_are_recorded_with_lengths(layout):
    """Each input has the bins of its own steps; without lengths the padding is refused."""
    lengths = [1, 3, 2, 3, 1, 2, 2, 3, 3, 1]
    x = torch.randn(10, 3, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(3) < torch.tensor(lengths)[:, None]

    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.linear, self.act = nn.Linear(4, 3), nn.ReLU()

        def forward(self, x, mask):
            return self.act(self.linear(torch.nested.nested_tensor([a[b] for a, b in zip(x, mask)], layout=layout)))

    model = Nested()
    batches = [{"x": x[:8], "mask": mask[:8]}, {"x": x[8:], "mask": mask[8:]}]
    with torch.no_grad():
        expected = torch.cat([model.linear(one[:n]) for one, n in zip(x, lengths)]) > 0
    for given in (lengths, "mask"):
        found = ann2neo.record(model, batches, steps=ann2neo.Steps(1, lengths=given), progress=False)
        assert (found.raster("act") == expected.numpy().T).all()
    with pytest.raises(ActivationError, match=r"nested tensors it is the padding.*Steps\(1, lengths"):
        ann2neo.record(model, batches, verify=False, progress=False)


def test_what_lies_on_the_meta_device_is_refused():
    """A layer without numbers is told, and left out as the message says; inputs without numbers are told."""

    def forward(self, x):
        self.shape(x.to("meta"))
        return self.act(x)

    model = make(forward, act=nn.ReLU(), shape=nn.ReLU())
    with pytest.raises(ActivationError, match=r"meta device(.|\n)*layers='!shape'"):
        record(model)
    assert (record(model, layers="!shape").raster("act") == bits(X)).all()
    with pytest.raises(InputsError, match=r"inputs of shape .* meta device"):
        record(MODEL, X.to("meta"))
