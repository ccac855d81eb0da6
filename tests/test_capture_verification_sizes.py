"""Batches of another size than the first one, such as the rest at the end: rows are inputs there too, or it is told."""

import json
import warnings

import numpy as np
import pytest
import torch
from capture_sources import names
from torch import nn
from verified_models import DEPENDENT, RIGHT, Net

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning, ModelError
from ann2neo.verification.orders import drawn
from ann2neo.verification.verdict import ALL_IS_WELL

X = torch.randn(37, 5, generator=torch.Generator().manual_seed(5))
ROW_K = "in batches of {m} inputs, where the first one held {n}, (row k is not input k|it is the same whatever)"


def record(model, sizes, x=X, **options):
    return ann2neo.record(model, list(x.split(sizes)), progress=False, **options)


def turned(self, x):
    return self.act(self.fc(x.flip(0) if len(x) in self.sizes else x))


def in_order(self, x):
    return self.act(self.fc(x[x[:, 0].argsort()] if len(x) in self.sizes else x))


def first_row(self, x):
    return self.act(self.fc(x[:1].expand(len(x), 5) if len(x) in self.sizes else x))


def filled(self, x):
    """Fills small batches up, in front, and gives back as many rows from there."""
    n = len(x)
    x = torch.cat([torch.ones(16, 5), x]) if n in self.sizes else x
    return self.act(self.fc(x)[:n])


def model_of(forward, *sizes):
    model = Net(forward)
    model.sizes = sizes
    return model


@pytest.mark.parametrize("forward", [turned, in_order, first_row, filled])
@pytest.mark.parametrize(
    ("sizes", "other"),
    [([16, 16, 5], 5), ([16, 16, 3, 2], 3), ([8, 12, 3, 4, 3, 7], 3), ([16, 21], 21), ([1, 16, 16, 4], 4)],
    ids=str,
)
def test_rows_that_lie_elsewhere_in_batches_of_another_size_are_refused(forward, sizes, other):
    """Of the last batch, a small one or a large one; also where the first one holds a single input."""
    n = next(size for size in sizes if size > 1)
    with pytest.raises(ModelError, match=ROW_K.format(m=other, n=n)):
        record(model_of(forward, other), sizes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert names(record(model_of(forward, 100), sizes)) == ["act"]
    assert names(record(model_of(forward, other), sizes, verify=False)) == ["act"]


def test_where_it_is_seen_it_is_left_out_or_refused(tmp_path):
    """In memory the layer alone; if it was named, when thresholds are calibrated and in a store, which stays incomplete, it is an error."""

    def forward(self, x):
        h = self.act(self.fc(x))
        return self.tanh(h.flip(0) if len(x) == 5 else h)

    with pytest.warns(Ann2NeoWarning, match=f"not recorded: 'tanh': {ROW_K.format(m=5, n=16)}") as told:
        recording = record(Net(forward), [16, 16, 5])
    assert len(told) == 1
    with torch.no_grad():
        assert (recording.raster("act") == (Net(forward).fc(X) > 0).numpy().T).all()
    assert names(recording) == ["act"]
    assert "in batches of 5 inputs" in json.loads(recording.provenance["verified_json"])["left_out"]["tanh"]
    rule = ann2neo.Quantile(0.5, on=list(X.split([16, 16, 5])))
    for options in ({"layers": "tanh"}, {"threshold": rule, "layers": "tanh"}, {"store": tmp_path / "a.zarr"}):
        with pytest.raises(ModelError, match="row k is not input k"):
            record(Net(forward), [16, 16, 5], **options)
    for why in ("row k is not input k", r"because of what an earlier call found(?s:.*)one input"):
        with pytest.raises(ModelError, match=why):
            record(Net(forward), [16, 5, 16], store=tmp_path / "b.zarr")


def test_predictions_of_another_size_are_left_out():
    """Of the bits nothing is wrong."""

    def forward(self, x):
        y = self.out(self.act(self.fc(x)))
        return y.flip(0) if len(x) == 5 else y

    inputs = ann2neo.Inputs(X, labels=torch.arange(37) % 8, batch_size=16)
    with pytest.warns(Ann2NeoWarning, match="the model predicts are not recorded: in batches of 5 inputs"):
        recording = ann2neo.record(Net(forward), inputs, progress=False)
    assert "predicted_label" not in recording.trials
    assert names(recording) == ["act"]


@pytest.mark.parametrize("sizes", [[16, 16, 5], [9, 9, 9, 9, 1]], ids=str)
def test_other_values_in_batches_of_another_size_are_told(sizes):
    """Rows are inputs, but one input gives another value there; also a batch of one shows it."""

    def forward(self, x):
        return self.act(self.fc(-x if len(x) == sizes[-1] else x))

    with pytest.warns(Ann2NeoWarning, match="depends on the other inputs of its batch: 'act'"):
        recording = record(Net(forward), sizes)
    assert "how many inputs" in json.loads(recording.provenance["verified_json"])["dependent"]["act"]
    assert recording.provenance["verified"] == ALL_IS_WELL


@pytest.mark.parametrize("case", RIGHT)
def test_a_rest_at_the_end_is_no_alarm(case):
    """For architectures whose rows are inputs; those of the rest are what the model gives."""
    model, batch = RIGHT[case]()
    model.eval()
    tensors = batch if isinstance(batch, dict) else {"": batch}
    n = len(next(iter(tensors.values())))

    def part(start, stop):
        cut = {name: one if name in ("place", "shared") else one[start:stop] for name, one in tensors.items()}
        return cut if isinstance(batch, dict) else cut[""]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = ann2neo.record(model, [batch, part(0, n), part(0, n // 2)], progress=False)
    assert "dependent" not in recording.provenance.get("verified_json", "")
    assert len(recording.trials) == 2 * n + n // 2


@pytest.mark.parametrize("case", DEPENDENT)
def test_what_depends_on_its_batch_is_told_once(case):
    """Not again for the rest at the end."""
    model, batch = DEPENDENT[case]()
    model.eval()
    rest = {"x": batch["x"][:7], "edges": batch["edges"] % 7} if isinstance(batch, dict) else batch[:7]
    with pytest.warns(Ann2NeoWarning) as told:
        ann2neo.record(model, [batch, rest], progress=False)
    assert len(told) == 1


def test_rounding_of_another_size_is_no_alarm():
    """A chaotic network, in which the last bits grow, follows its inputs by another share."""

    def chaotic(self, x):
        h = (64 * self.fc(x)).round().double() / 64 + x[:, :1].double() + (1e-13 if len(x) == 5 else 0)
        for _ in range(60):
            h = (h - h.floor()) * 3.7 % 1.0
        return self.act(h.float() - 0.5)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = record(Net(chaotic), [16, 16, 5])
    assert json.loads(recording.provenance["verified_json"])["rounding"]["act"] > 0.9


def test_passes_are_verified_without_their_noise():
    """The rest at the end is turned round beside a dropout that is kept on."""

    def forward(self, x):
        return self.act(self.drop(self.fc(x.flip(0) if len(x) == 5 else x)))

    model = Net(forward, drop=nn.Dropout(0.5))
    with pytest.raises(ModelError, match="row k is not input k"):
        record(model, [16, 16, 5], passes=ann2neo.Passes(2))
    assert names(record(model, [16, 16], x=X[:32], passes=ann2neo.Passes(2))) == ["act"]


def test_one_run_of_each_size_that_is_another():
    """Of the last, the two smallest and the largest size; random states are put back."""
    rows = []
    model = Net(lambda self, x: self.act(self.fc(x)))
    model.register_forward_pre_hook(lambda _module, args: rows.append(len(args[0])))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    record(model, [8, 7, 5, 4, 3, 10])
    assert sorted(rows) == sorted([8, 7, 5, 4, 3, 10, 8, 4, 8, 10, 3, 4])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("n", "m"), [(16, 5), (5, 16), (2, 3), (9, 1)])
def test_what_is_drawn_for_another_size_is_shuffled(n, m):
    """Each input at most once where there are enough of them."""
    order = drawn(n, m)
    assert len(order) == m
    assert len(set(order)) == min(n, m)
    assert m == 1 or not np.array_equal(order, np.arange(m) % n)


def first_slots(self, x):
    """Two experts of three slots each: what comes after these lies in those that are left."""
    if len(x) < 6:
        return self.act(self.fc(x))
    chosen = x[:, 0] > 0
    order = torch.cat([chosen.nonzero()[:, 0], (~chosen).nonzero()[:, 0]])
    return self.act(self.fc(x[order] if chosen.sum() not in (0, len(x)) else x))


@pytest.mark.parametrize("sizes", [[2, 2, 20, 13], [1, 2, 20, 14], [3, 17, 17], [1, 1, 20, 15]], ids=str)
def test_many_inputs_are_verified_where_the_first_batches_hold_few(sizes):
    """By themselves, not by inputs of the first batch, which are few; once, and with a reason that is sure."""
    with pytest.raises((ActivationError, ModelError), match="row k is not input k: when inputs"):
        record(model_of(first_slots), sizes)
    rows, model = [], Net(lambda self, x: self.act(self.fc(x)))
    model.register_forward_pre_hook(lambda _module, args: rows.append(len(args[0])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = record(model, sizes)
    assert "shape" not in recording.provenance["verified"]
    large = max(sizes)
    assert rows.count(large) == sizes.count(large) + 2
