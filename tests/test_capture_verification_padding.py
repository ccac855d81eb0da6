"""Lengths that only the padding of the inputs holds: where it was the same in the first batch, the first batch in which it differs is verified too."""

import warnings

import numpy as np
import pytest
import torch
from capture_sources import names
from torch import nn

import ann2neo
from ann2neo.errors import ActivationError
from ann2neo.verification.padding import Padding

LENGTHS = [2, 6, 3, 4, 6, 1, 5, 2]
GENERATOR = torch.Generator().manual_seed(0)
# Without a word that comes twice at an end.
IDS = torch.stack([1 + torch.randperm(29, generator=GENERATOR)[:6] for _ in range(24)])
VECTORS = torch.randn(24, 6, 5, generator=GENERATOR)


class Reader(nn.Module):
    """Sums what it reads; sorts by length, as before packing, if that is asked for."""

    def __init__(self, *, sorts):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.fc, self.act, self.sorts = (
            nn.Embedding(30, 5, padding_idx=0),
            nn.Linear(5, 8),
            nn.ReLU(),
            sorts,
        )

    def forward(self, x):
        if self.sorts:
            lengths = (x != 0).sum(1) if x.ndim == 2 else (x != 0).any(2).sum(1)
            x = x[lengths.argsort(descending=True, stable=True)]
        return self.act(self.fc((self.table(x) if x.ndim == 2 else x).sum(1)))


def padded(x, lengths=LENGTHS, *, before=False):
    """Batches of eight, of which the second one is padded."""
    batches = [one.clone() for one in x.split(8)]
    for row, length in zip(batches[1], lengths):
        row[length:] = 0
    return [one.flip(1) for one in batches] if before else batches


@pytest.mark.parametrize(
    "x", [IDS, VECTORS, VECTORS.bfloat16(), VECTORS.numpy()], ids=["ids", "float", "half", "NumPy"]
)
@pytest.mark.parametrize("before", [False, True])
def test_sorting_by_length_is_seen_in_the_first_batch_that_is_padded(x, before):
    """On either side; in the third batch nothing is run again, and what does not sort is no alarm."""
    batches = padded(torch.as_tensor(x), before=before)
    batches = [one.numpy() for one in batches] if isinstance(x, np.ndarray) else batches

    def model(*, sorts):
        return Reader(sorts=sorts).to(torch.bfloat16 if batches[0].dtype == torch.bfloat16 else torch.float32)

    with pytest.raises(ActivationError, match=r"as long as each other(?s:.*)row k is not input k"):
        ann2neo.record(model(sorts=True), batches, progress=False)
    assert names(ann2neo.record(model(sorts=True), batches, verify=False, progress=False)) == ["act"]
    reader, rows = model(sorts=False), []
    reader.register_forward_pre_hook(lambda _module, args: rows.append(len(args[0])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(ann2neo.record(reader, [*batches, *batches], progress=False)) == ["act"]
    # 1.5 for the first batch, 2.5 for the one that is padded, and the first one once more.
    assert sum(rows) == 6 * 8 + (8 + 4) + (8 + 8 + 4) + 8


def test_a_store_does_not_go_on_from_what_was_refused(tmp_path):
    """The same call again comes to the same batch."""
    for _ in range(2):
        with pytest.raises(ActivationError, match="row k is not input k"):
            ann2neo.record(Reader(sorts=True), padded(IDS), store=tmp_path / "a.zarr", progress=False)


def test_a_word_twice_is_no_padding():
    """If it occurs in the first batch, padding is verified all the same, but not every batch that is padded."""
    batches = padded(IDS)
    batches[0][3, -1] = batches[0][3, -2]
    with pytest.raises(ActivationError, match="row k is not input k"):
        ann2neo.record(Reader(sorts=True), batches, progress=False)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (torch.tensor([[1, 2, 3, 4], [1, 0, 0, 0]]), [3]),
        (torch.tensor([[1, 2, 3, 4], [1, 2, 3, 0]]), [1]),
        (torch.tensor([[1, 2, 3, 4], [0, 0, 0, 4]]), [3]),
        (torch.tensor([[1, 2, 3, 4], [9, 9, 9, 4]]), [3]),
        (torch.tensor([[1, 2, 0, 0], [3, 4, 0, 0]]), []),
        (torch.tensor([[[1, 0, 0]], [[1, 2, 3]]]), [2]),
        (torch.tensor([[[[1, 4, 0], [2, 3, 0]]], [[[1, 2, 3], [1, 4, 3]]]]), [1]),
        ({"x": torch.ones(2, 1), "ids": np.array([[7, 8, 9], [7, 9, 9]])}, [1]),
        (torch.tensor([[1, 2, 3, 4]]), []),
        (torch.zeros(2, 0), []),
        (torch.zeros(2, 3).to_sparse(), []),
        (["a", "b"], []),
    ],
)
def test_padding_is_measured_at_either_end(x, expected):
    """In positions, by which the inputs of a batch differ; of one input, and of what has no positions, there is none."""
    padding = Padding()
    padding.see(x, 1 if isinstance(x, torch.Tensor) and len(x) == 1 else 2)
    assert list(padding.known.values()) == expected


class Along(nn.Module):
    """Sorts inputs by how many positions along an axis are not 0."""

    def __init__(self, axis, inputs=0):
        super().__init__()
        self.axis, self.inputs, self.act = axis, inputs, nn.ReLU()

    def forward(self, x):
        lengths = (x != 0).movedim((self.inputs, self.axis), (0, 1)).flatten(2).any(2).sum(1)
        x = x.index_select(self.inputs, lengths.argsort(descending=True, stable=True))
        return self.act(x.movedim(self.inputs, 0).flatten(1))


@pytest.mark.parametrize(("shape", "axis"), [((24, 3, 6), 2), ((24, 1, 6, 5), 2), ((24, 1, 5, 6), 3), ((24, 1, 6), 2)])
def test_padding_along_any_axis_is_seen(shape, axis):
    """Of sequences whose channels come first, and of images."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for row, length in zip(x[8:16].movedim(axis, 1), LENGTHS):
        row[length:] = 0
    with pytest.raises(ActivationError, match="row k is not input k"):
        ann2neo.record(Along(axis), ann2neo.Inputs(x, batch_size=8), progress=False)


def test_padding_of_steps_that_come_before_inputs_is_seen():
    """In batches that are tensors."""
    batches = [one.swapaxes(0, 1).contiguous() for one in padded(VECTORS)]
    data = ann2neo.Inputs(batches, n_inputs=lambda batch: batch.shape[1])
    with pytest.raises(ActivationError, match=r"as long as each other(?s:.*)row k is not input k"):
        ann2neo.record(Along(0, inputs=1), data, progress=False)


def test_padding_of_one_position_is_seen_after_words_that_come_twice():
    """By the number that is there."""
    batches = padded(IDS, [5, 6, 5, 5, 6, 6, 6, 6])
    batches[0][3, -3:] = 7
    with pytest.raises(ActivationError, match="row k is not input k"):
        ann2neo.record(Reader(sorts=True), batches, progress=False)


def test_few_batches_are_verified_where_words_come_twice_by_chance():
    """However many do."""
    padding, n = Padding(), 0
    for k in range(1, 40):
        x = IDS.clone()
        x[k % 24, -2:] = 30 + k
        n += padding.differs(x, 24)
        padding.see(x, 24)
    assert 0 < n < 10


def of_zeros(x, axis, end):
    """Lengths of the runs of zeros at an end of an axis of each input, one after another."""
    found = []
    for row in np.moveaxis(x, axis, 1):
        row = row if end == "end" else row[::-1]
        n = 0
        while n < len(row) and not np.any(row[-1 - n]):
            n += 1
        found.append(n)
    return found


@pytest.mark.parametrize("shape", [(6, 9), (6, 7, 3), (5, 2, 6, 4)])
def test_zeros_are_measured_as_by_a_loop_over_rows(shape):
    """At either end of every axis, batch after batch: where they differ by more than twice as much as in those before."""
    rng, answers = np.random.default_rng(0), []
    for k in range(60):
        padding, known = (padding, known) if k % 6 else (Padding(), {})
        # No number comes twice.
        x = 1 + rng.permutation(np.prod(shape)).reshape(shape)
        for row in rng.integers(0, shape[0], rng.integers(0, 4)):
            axis = rng.integers(1, len(shape))
            n, part = rng.integers(0, shape[axis] // 2), np.moveaxis(x[row], axis - 1, 0)
            part[slice(len(part) - n, None) if rng.random() < 0.5 else slice(0, n)] = 0
        more = {}
        for axis in range(1, len(shape)):
            for end in ("start", "end"):
                runs = of_zeros(x, axis, end)
                if max(runs) - min(runs) > 2 * known.get((axis, end), 0):
                    more[axis, end] = max(runs) - min(runs)
        answers.append(bool(more))
        assert padding.differs(x, shape[0]) is bool(more)
        if rng.random() < 0.3:
            padding.see(x, shape[0])
            known |= more
    assert 10 < sum(answers) < 50
