"""Inputs that do not say how many they are, or cannot, are read to their end."""

import pytest
import torch
from torch import nn
from torch.utils.data import ChainDataset, DataLoader, IterableDataset

import ann2neo

torch.set_num_threads(1)


class Stream(IterableDataset):
    """Five inputs, without a length."""

    def __iter__(self):
        return iter(torch.arange(20.0).reshape(5, 4))


class Combined:
    """Has a length, which it only knows while it is iterated, as loaders of several loaders do."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        raise self.error

    def __iter__(self):
        return iter(torch.arange(20.0).reshape(5, 4).split(2))


@pytest.mark.parametrize("error", [RuntimeError("call iter() first"), TypeError("no length"), NotImplementedError()])
def test_a_length_that_cannot_be_told_is_unknown(error):
    """All batches are recorded, and what was given can be shown."""
    given = ann2neo.Inputs(Combined(error))
    assert ann2neo.record(nn.ReLU(), given, progress=True).n_bins == 5
    assert ann2neo.record(nn.ReLU(), lambda: Combined(error), progress=False).n_bins == 5
    assert repr(given) == "Inputs(data=Combined, batch_size=64)"


@pytest.mark.parametrize("n_chained", [1, 2])
def test_chained_streams_without_a_length(n_chained):
    """Torch's own chain has a length that its parts do not have."""
    loader = DataLoader(ChainDataset([Stream()] * n_chained), batch_size=2)
    assert ann2neo.record(nn.ReLU(), loader, progress=False).n_bins == 5 * n_chained
