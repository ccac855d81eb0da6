"""Lengths that only the padding of the inputs holds: where it was the same in the first batch, the first batch in which it differs is verified too."""

import warnings

import numpy as np
import pytest
import torch
from capture_sources import names
from torch import nn

import ann2neo
from ann2neo.errors import ActivationError
from ann2neo.verification.padding import padding_differs

LENGTHS = [2, 6, 3, 4, 6, 1, 5, 2]
GENERATOR = torch.Generator().manual_seed(0)
IDS = torch.randint(1, 30, (24, 6), generator=GENERATOR)
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
        (torch.tensor([[1, 2, 3, 4], [1, 0, 0, 0]]), 2),
        (torch.tensor([[1, 2, 3, 4], [0, 0, 0, 4]]), 2),
        (torch.tensor([[1, 2, 0, 0], [3, 4, 0, 0]]), 0),
        ({"x": torch.ones(2, 3), "ids": np.array([[7, 8, 9], [7, 9, 9]])}, 1),
        (torch.tensor([[1, 2, 3, 4]]), 0),
        (torch.zeros(2, 0), 0),
        (torch.zeros(2, 3).to_sparse(), 0),
        (["a", "b"], 0),
    ],
)
def test_padding_is_measured_at_either_end(x, expected):
    """In positions, by which the inputs of a batch differ; of one input, and of what has no positions, there is none."""
    n = 1 if isinstance(x, torch.Tensor) and len(x) == 1 else 2
    assert padding_differs(x, n) == expected
