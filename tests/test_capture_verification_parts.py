"""Parts of a batch that only later batches have, such as a mask that comes with padding: rows are inputs there too, or it is told."""

import json
import warnings

import numpy as np
import pytest
import torch
from capture_sources import names
from torch import nn
from verified_models import Net

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning, ModelError
from ann2neo.verification.verdict import ALL_IS_WELL

N = 8
X = torch.randn(40, 5, generator=torch.Generator().manual_seed(8))
KEYS = torch.randn(40, generator=torch.Generator().manual_seed(9))
# Batches after the first one.
LATER = {
    "a key": lambda x, key: {"x": x, "key": key},
    "none before": lambda x, key: {"x": x, "key": key},
    "nested": lambda x, key: {"x": x, "more": {"key": key}},
}


def batches(name, keys=KEYS):
    """The third batch of five has a key of each input, and so have those after it."""
    plain = {"x": X[:N], "key": None} if name == "none before" else {"x": X[:N]}
    found = [plain, {**plain, "x": X[N : 2 * N]}]
    return [*found, *(LATER[name](X[k : k + N], keys[k : k + N]) for k in range(2 * N, 40, N))]


def by_key(self, x, key=None, more=None):
    """Sorts inputs by their keys, if they have some."""
    key = more["key"] if more is not None else key
    return self.act(self.fc(x if key is None else x[key.argsort(stable=True)]))


def weighted(self, x, key=None, more=None):
    key = more["key"] if more is not None else key
    return self.act(self.fc(x if key is None else x * key[:, None]))


def record(forward, data, **options):
    return ann2neo.record(Net(forward), data, progress=False, **options)


@pytest.mark.parametrize("name", LATER)
def test_rows_that_lie_elsewhere_where_a_batch_has_another_part_are_refused(name, tmp_path):
    """In memory, and by a store, which stays incomplete; what goes by the part input by input is recorded."""
    for options in ({}, {"layers": "act"}, *[{"store": tmp_path / "a.zarr"}] * 2):
        with pytest.raises(ModelError, match=r"in batches of inputs of shape .*key(?s:.*)row k is not input k"):
            record(by_key, batches(name), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = record(weighted, batches(name))
    seen = [weighted(Net(weighted), **one).detach() > 0 for one in batches(name)]
    assert np.array_equal(recording.raster("act"), torch.cat(seen).numpy().T)
    assert recording.provenance["verified"].startswith(ALL_IS_WELL)
    assert json.loads(recording.provenance["verified_json"])["n_shapes"] == 2
    assert names(record(by_key, batches(name), verify=False)) == ["act"]


@pytest.mark.parametrize("name", LATER)
def test_a_part_that_is_alike_at_first_is_verified_where_it_is_not(name):
    """The first batch that has it shows nothing of it."""
    keys = KEYS.clone()
    keys[: 3 * N] = 1.0
    with pytest.raises(ActivationError, match=r"alike(?s:.*)row k is not input k"):
        record(by_key, batches(name, keys))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(record(weighted, batches(name, keys))) == ["act"]
    never = record(by_key, batches(name, torch.ones(40)))
    assert "key is the same for all inputs" in never.provenance["verified"]


def test_a_mask_that_comes_with_padding_is_no_alarm():
    """Attention with a mask, where the first batch has none; and one that differs from batch to batch."""

    def forward(self, x, mask=None):
        hidden = None if mask is None else mask == 0
        return self.act(self.fc(self.attention(x, x, x, key_padding_mask=hidden)[0]))

    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(6) < torch.tensor([[6], [2], [4], [1], [5], [3], [6], [2]])).long()
    every = [torch.randn(8, 6, 5, generator=generator) for _ in range(4)]
    data = [{"x": every[0]}, {"x": every[1], "mask": mask}, {"x": every[2]}, {"x": every[3], "mask": mask.flip(0)}]
    model = Net(forward, attention=nn.MultiheadAttention(5, 1, batch_first=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = ann2neo.record(model.eval(), data, progress=False)
    assert recording.provenance["verified"].endswith("that of the first batch, x (6, 5), mask (6)")


def test_only_the_layers_concerned_are_left_out():
    """With one warning that names the part."""

    def forward(self, x, key=None):
        h = self.act(self.fc(x))
        return self.tanh(h if key is None else h[key.argsort()])

    with pytest.warns(
        Ann2NeoWarning, match="not recorded: 'tanh': in batches of inputs of shape x \\(5\\), key"
    ) as told:
        assert names(record(forward, batches("a key"))) == ["act"]
    assert len(told) == 1
