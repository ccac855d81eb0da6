"""What messages advise is taken, and works."""

import io
import re
from collections import namedtuple

import h5py
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoError, InputsError

X, Z = torch.randn(2, 10, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(10) % 3
Part = namedtuple("Part", "image scale label")


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.act = nn.Linear(4, 6), nn.ReLU()


class Scaled(Base):
    def forward(self, image, scale):
        return self.act(self.fc(image * scale))


class Named(Base):
    def forward(self, *, image, bias=0.0):
        return self.act(self.fc(image) + bias)


class Mixed(Base):
    def forward(self, image, *, scale):
        return self.act(self.fc(image * scale))


def record(model, data, **options):
    return ann2neo.record(model, data, progress=False, **options)


CALLS = {
    "named tuples of three": (Scaled, lambda: DataLoader([Part(x, z, int(y)) for x, z, y in zip(X, Z, Y)], 5)),
    "pairs": (Scaled, lambda: DataLoader(TensorDataset(X, Z), 5)),
    "a tensor": (Scaled, lambda: X),
    "a tensor by name": (Named, lambda: X),
    "a data set by name": (Named, lambda: DataLoader(TensorDataset(X, Y), 5)),
    "triples, one by name": (Mixed, lambda: [(X, Z, Y)]),
    "a tensor, one by name": (Mixed, lambda: X),
    "an array in a file by name": (Named, lambda: h5py.File(io.BytesIO(), "w").create_dataset("x", data=X.numpy())),
}


@pytest.mark.parametrize("case", CALLS)
def test_the_advised_call_fits_the_batch(case):
    """Whatever the parts of a batch are, and however the model takes them."""
    make, data = CALLS[case]
    model, given = make(), data()
    with pytest.raises(InputsError, match="but was called with") as failure:
        record(model, given)
    cure = re.search(r"Say how with Inputs\((.*), (forward=.*)\)\.$", str(failure.value))
    names = {"data": given, "TensorDataset": TensorDataset, "image": X, "scale": Z}
    advised = eval(f"dict(data={cure[1]}, {cure[2]})", names)
    recording = record(model, ann2neo.Inputs(advised.pop("data"), **advised))
    with torch.no_grad():
        expected = model.fc(X if make is Named else X * Z) > 0
    assert (recording.raster("act") == expected.T.numpy()).all()


def test_predictions_of_one_column_lose_it():
    """The largest of one number is always the first."""
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
    with pytest.raises(InputsError, match=r"of shape \(10, 1\)") as failure:
        record(model, ann2neo.Inputs(X, predict=lambda output: output > 0))
    assert "argmax" not in str(failure.value)
    advised = eval(str(failure.value).split("predict=")[-1].split(", for instance")[0])
    found = record(model, ann2neo.Inputs(X, predict=advised)).trials["predicted_label"]
    assert found.tolist() == [int(model(x)[0] > 0) for x in X]


def test_a_model_that_loops_over_its_inputs_is_told_to_keep_their_axis():
    """Of many calls few are listed; the loop over parts of one input records them one a batch."""

    class Loop(Base):
        def forward(self, x):
            return torch.stack([self.act(self.fc(one)) for one in x])

    class Kept(Base):
        def forward(self, x):
            return torch.cat([self.act(self.fc(one)) for one in x.split(1)])

    with pytest.raises(ActivationError, match=r"x\.split\(1\), with torch\.cat") as failure:
        record(Loop(), ann2neo.Inputs(X, batch_size=1))
    assert "batch_size=1" not in str(failure.value)
    with pytest.raises(ActivationError, match=r"\(10 in all\)") as failure:
        record(Loop(), X, verify=False)
    assert "'act:9'" not in str(failure.value)
    model = Kept()
    recording = record(model, ann2neo.Inputs(X, batch_size=1))
    assert (recording.raster("act") == (model(X) > 0).T.numpy()).all()


def test_a_model_that_generates_is_recorded_from_what_came_out():
    """Its first call takes several steps, and the next ones take one."""

    class Generator(Base):
        def forward(self, x):
            return self.act(self.fc(x))

        def generate(self, x):
            new = self(x)[:, -1:, :4]
            for _ in range(3):
                x, new = torch.cat([x, new], 1), self(new)[..., :4]
            return x

    model, x = Generator(), torch.randn(6, 3, 4)
    inputs = ann2neo.Inputs(x, forward=lambda model, x: model.generate(x))
    with pytest.raises(Ann2NeoError, match=r"generate first, and give it what came out") as failure:
        record(model, inputs, steps=ann2neo.Steps("calls"))
    assert "Steps(1)" in str(failure.value)
    with torch.no_grad():
        grown = model.generate(x)
        expected = model(grown).flatten(0, 1) > 0
    recording = record(model, grown, steps=ann2neo.Steps(1))
    assert (recording.raster("act") == expected.T.numpy()).all()
