"""Batches that are lists with one entry for each input, as images of several sizes and sequences of several lengths come: entries are inputs, and change places as such."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning


class Detector(nn.Module):
    """Puts images into one frame, as detectors do; in their order, or in another one."""

    def __init__(self, arrange=lambda images: images):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act, self.head, self.out = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 6), nn.Tanh()
        self.arrange = arrange

    def forward(self, images):
        frame = torch.zeros(len(images), 3, 12, 12)
        for row, one in zip(frame, self.arrange(list(images))):
            row[:, : one.shape[1], : one.shape[2]] = one
        return self.out(self.head(self.act(self.conv(frame)).mean((2, 3))))


class Reader(nn.Module):
    """Reads sequences one by one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.gru, self.act = nn.GRU(5, 8, batch_first=True), nn.ReLU()

    def forward(self, sequences):
        return self.act(torch.stack([self.gru(one[None])[0][0, -1] for one in sequences]))


def images(n, *, same=False):
    generator = torch.Generator().manual_seed(n)
    return [torch.randn(3, 8 if same else 5 + k % 7, 9, generator=generator) for k in range(n)]


def record(model, data, **options):
    return ann2neo.record(model.eval(), data, progress=False, **options)


def is_one_by_one(recording, model, inputs, layer="act"):
    """Oracle: each input alone in its batch."""
    seen = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _module, _args, output: seen.append(output))
    with torch.no_grad():
        for one in inputs:
            model([one])
    handle.remove()
    return np.array_equal(recording.raster(layer), (torch.cat(seen) > 0).flatten(1).numpy().T)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("n", [3, 4, 7])
@pytest.mark.parametrize("form", ["list", "labels", "targets", "mapping", "said"])
def test_images_in_lists_count_by_their_number(form, n, same):
    """Not by their channels, of which there may be as many."""
    model, some = Detector(), images(n, same=same)
    data = {
        "list": [some],
        "labels": [(some, torch.arange(n) % 2)],
        "targets": [(tuple(some), tuple({"boxes": torch.zeros(k, 4)} for k in range(n)))],
        "mapping": [{"images": some}],
        "said": ann2neo.Inputs([some], n_inputs=len),
    }[form]
    recording = record(model, data)
    assert recording.provenance["verified"].startswith("rows follow")
    assert is_one_by_one(recording, model, some)


@pytest.mark.parametrize("arrange", [lambda x: x[::-1], lambda x: sorted(x, key=lambda one: one.sum())])
@pytest.mark.parametrize("n", [3, 6])
def test_entries_that_change_places_inside_are_refused(arrange, n):
    """Each entry is an input, and moves as one."""
    for data in ([images(n)], ann2neo.Inputs([images(n)], n_inputs=len)):
        with pytest.raises(ActivationError, match="row k is not input k"):
            record(Detector(arrange), data)


class Stream(IterableDataset):
    """Images that come one after another."""

    def __iter__(self):
        yield from images(7)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7])
def test_loaders_that_collate_into_lists_are_traced(batch_size):
    """Also batches of two, which are no inputs and labels, and of one; labels, targets and places are known."""
    model, some = Detector(), images(7)
    assert is_one_by_one(record(model, DataLoader(some, batch_size=batch_size, collate_fn=list)), model, some)
    assert is_one_by_one(record(model, DataLoader(Stream(), batch_size=batch_size, collate_fn=list)), model, some)
    pairs = [(one, {"boxes": torch.zeros(k, 4)}) for k, one in enumerate(some)]
    loader = DataLoader(pairs, batch_size=batch_size, collate_fn=lambda items: tuple(zip(*items)), shuffle=True)
    recording = record(model, loader)
    ids = recording.trials["stimulus_id"].tolist()
    assert sorted(ids) == list(range(7))
    assert is_one_by_one(recording, model, [some[k] for k in ids])


def test_sequences_of_several_lengths_are_inputs():
    """Without a word said: they cannot lie side by side along one axis of inputs."""
    model = Reader()
    some = [torch.randn(3 + k, 5, generator=torch.Generator().manual_seed(k)) for k in range(6)]
    assert is_one_by_one(record(model, [some]), model, some)
    assert is_one_by_one(record(model, DataLoader(some, batch_size=2, collate_fn=list)), model, some)


def test_what_a_model_takes_side_by_side_is_not_taken_for_inputs():
    """As many parts as inputs, with inputs along the first axis of each."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU())
    some = [torch.randn(3, 4, generator=torch.Generator().manual_seed(k)) for k in range(3)]
    inputs = ann2neo.Inputs([some], forward=lambda model, parts: model(torch.cat(parts, 1)))
    recording = record(model, inputs)
    with torch.no_grad():
        expected = (model(torch.cat(some, 1)) > 0).numpy().T
    assert np.array_equal(recording.raster("2"), expected)


def test_inputs_that_are_in_no_tensor_are_told():
    """Once: nothing of the batch could change places."""
    model = nn.Sequential(nn.Linear(15, 8), nn.ReLU())
    inputs = ann2neo.Inputs(
        [{"x": torch.randn(12, 5)}], n_inputs=lambda _: 4, forward=lambda model, batch: model(batch["x"].view(4, 15))
    )
    with pytest.warns(
        Ann2NeoWarning, match="could not be verified: no tensor of the batch has an axis of inputs"
    ) as said:
        record(model, inputs)
    assert len(said) == 1
