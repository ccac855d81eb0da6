"""Verification of steps: that entries of a layer are the steps of an input, along the axis that was named and in their order."""

import warnings

import pytest
import torch
from torch import nn

import ann2neo
from ann2neo.errors import ActivationError, Ann2NeoWarning

N, T, C, UNITS = 12, 6, 4, 6
X = torch.randn(N, T, C, generator=torch.Generator().manual_seed(5))


class Net(nn.Module):
    """An activation in the usual layout, and a second one that is called as ``forward`` says."""

    def __init__(self, forward, **modules):
        super().__init__()
        torch.manual_seed(3)
        self.fc, self.plain, self.act = nn.Linear(C, UNITS), nn.ReLU(), nn.ReLU()
        for name, module in modules.items():
            self.add_module(name, module)
        self._forward = forward

    def forward(self, x):
        self.plain(self.fc(x))
        return self._forward(self, x)


STEPS = ann2neo.Steps(1)


def record(model, x=X, steps=STEPS, **options):
    return ann2neo.record(model, x, steps=steps, progress=False, **options)


def names(recording):
    return [layer.name for layer in recording.layers]


def by_step(h):
    """Bins of (input, step, ...) as (unit, bin), by a slow loop."""
    return torch.stack([one[t].flatten() > 0 for one in h for t in range(h.shape[1])], 1).numpy()


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


HEADS = (2, UNITS // 2)
ELSEWHERE = {
    "units before steps": lambda h: h.transpose(1, 2),
    "heads before steps": lambda h: h.unflatten(2, HEADS).transpose(1, 2),
    "heads first": lambda h: h.unflatten(2, HEADS).permute(2, 0, 1, 3),
    "inputs last": lambda h: h.permute(2, 1, 0),
    "heads flattened with inputs": lambda h: h.unflatten(2, HEADS).transpose(1, 2).flatten(0, 1),
    "an axis of one entry": lambda h: h[:, None],
}


# Six steps as there are units, and two as there are heads: no size tells them apart.
@pytest.mark.parametrize("n_steps", [6, 2, 5])
@pytest.mark.parametrize("kind", ELSEWHERE)
def test_steps_along_another_axis_are_found(kind, n_steps, quiet):
    """Where channels or heads lie along the axis that was named, bins are the steps of the inputs all the same."""
    model, x = Net(lambda net, x: net.act(ELSEWHERE[kind](net.fc(x)))), X[:, :n_steps]
    recording = record(model, ann2neo.Inputs(x, batch_size=5))
    assert names(recording) == ["plain", "act"]
    expected = by_step(model.fc(x))
    assert (recording.raster("plain") == expected).all()
    assert (recording.raster("act") == expected).all()


class Positioned(nn.Module):
    """A learned number for each position: the number of steps is fixed. Units lie before steps, or after."""

    def __init__(self, turned):
        super().__init__()
        torch.manual_seed(4)
        self.fc, self.act, self.position, self.turned = nn.Linear(C, UNITS), nn.ReLU(), torch.randn(T, UNITS), turned

    def forward(self, x):
        h = self.fc(x) + self.position
        return self.act(h.transpose(1, 2) if self.turned else h)


@pytest.mark.parametrize("turned", [False, True])
def test_a_fixed_number_of_steps_is_told_by_steps_that_change(turned, quiet):
    """No input can be shorter; but one step that is another one changes one entry."""
    model = Positioned(turned)
    recording = record(model)
    assert (recording.raster("act") == by_step(model.fc(X) + model.position)).all()
    assert recording.provenance["verified"] == "rows follow their inputs, and come out the same again"


def test_what_nothing_shows_is_said(quiet):
    """Each step changes all entries, and there is one number of steps only: recorded, and said not to be verified."""
    mix = torch.randn(T, T, generator=torch.Generator().manual_seed(0))
    model = Net(lambda net, x: net.act(torch.einsum("st,btu->bsu", mix, net.fc(x))))
    recording = record(model)
    assert names(recording) == ["plain", "act"]
    assert "in their order: 'act' (each step changes all of them)" in recording.provenance["verified"]


@pytest.mark.parametrize(("model", "axis", "right"), [(nn.Conv1d(C, 6, 3, padding=1), 1, 2), (nn.Linear(T, 6), 2, 1)])
def test_channels_and_features_that_were_called_steps_are_refused(model, axis, right):
    """The axis that was named is one of the inputs too, but that of their channels or features."""
    x = X.transpose(1, 2)
    with pytest.raises(ActivationError, match=f"its axis {axis} is not that of steps .* along axis {right} that"):
        record(nn.Sequential(model, nn.ReLU()), x, ann2neo.Steps(axis))
    recording = record(nn.Sequential(model, nn.ReLU()), x, ann2neo.Steps(right))
    assert (recording.raster("1") == by_step(model(x).transpose(1, right))).all()


def test_scores_of_heads_do_not_outvote_the_steps():
    """More layers have (input, head, query, key) than (input, step, unit): these are recorded."""
    model = Net(lambda net, x: [net.act((net.fc(x) @ net.fc(x).mT)[:, None] * torch.ones(3, 1, 1)) for _ in range(3)])
    with pytest.warns(Ann2NeoWarning, match="act: its axis 1 is not that of steps .* along axis 2, 3 that"):
        assert names(record(model)) == ["plain"]


def backward(net, x, back):
    """A recurrent network that runs backward in time, turned round again afterwards or not."""
    h = net.rnn(x.flip(1))[0]
    return net.act((h.flip(1) if back else h) - 0.02)


DISORDERED = {
    "turned round": lambda net, x: net.act(net.fc(x.flip(1))),
    "backward": lambda net, x: backward(net, x, False),
    "sorted": lambda net, x: net.act(net.fc(x.gather(1, x.norm(dim=2).argsort(1)[..., None].expand_as(x)))),
    "permuted": lambda net, x: net.act(net.fc(x[:, [3, 1, 0, 2, 5, 4]])),
    "flattened": lambda net, x: net.act(net.fc(x.flip(1)).flatten(0, 1)),
    "units first": lambda net, x: net.act(net.fc(x.flip(1)).transpose(1, 2)),
    "after another token": lambda net, x: net.act(net.fc(torch.cat([torch.ones(len(x), 1, C), x], 1).flip(1))),
}


@pytest.mark.parametrize("kind", DISORDERED)
def test_steps_in_another_order_are_left_out_or_refused(kind):
    """An entry that is another step than that of its number, in some layer, is no bin of the others."""
    rnn = nn.GRU(C, UNITS, batch_first=True)
    model = Net(DISORDERED[kind], rnn=rnn)
    with pytest.warns(Ann2NeoWarning, match="act: .*(when a step changes, the entry of that step does not)"):
        assert names(record(model)) == ["plain"]
    with pytest.raises(
        ActivationError, match=r"when a step changes, the entry of that step does not|for a batch of 12 inputs"
    ):
        record(model, layers="act")


@pytest.mark.parametrize("kind", ["mixed", "short"])
def test_flattened_steps_of_which_few_show_are_recorded(kind, quiet):
    """Where each step changes all entries, or most inputs have one step that counts."""
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(C, 2, batch_first=True)
    model = Net(lambda net, x: net.act(net.fc(attention(x, x, x)[0] if kind == "mixed" else x).flatten(0, 1)))
    with torch.no_grad():
        expected = by_step(model.fc(attention(X, X, X)[0]) if kind == "mixed" else model.fc(X[:, :1]))
    lengths = None if kind == "mixed" else [1] * N
    assert (record(model, steps=ann2neo.Steps(1, lengths)).raster("act") == expected).all()


ORDERED = {
    "backward and turned round again": lambda net, x: backward(net, x, True),
    "both ways": lambda net, x: net.act(net.both(x)[0]),
    "convolution": lambda net, x: net.act(net.conv(x.mT).mT),
    "attention beside itself": lambda net, x: net.act(net.fc(x + net.attention(x, x, x)[0])),
    "one unit": lambda net, x: net.act(net.rnn(x)[0][..., :1] + 0.1),
    "rolled": lambda net, x: net.act(net.fc(x.roll(1, 1))),
    "after a first token": lambda net, x: net.act(net.fc(torch.cat([torch.ones(len(x), 1, C), x[:, :-1]], 1))),
    "next": lambda net, x: net.act(net.fc(torch.cat([x[:, 1:], torch.ones(len(x), 1, C)], 1))),
}


@pytest.mark.parametrize("n", [1, 3, N])
@pytest.mark.parametrize("kind", ORDERED)
def test_steps_in_their_order_are_recorded_without_a_word(kind, n, quiet):
    """Whatever mixes steps: causal, backward, both ways, local, or one step late as in a decoder."""
    torch.manual_seed(1)
    modules = {
        "rnn": nn.GRU(C, UNITS, batch_first=True),
        "both": nn.LSTM(C, 3, batch_first=True, bidirectional=True),
        "conv": nn.Conv1d(C, UNITS, 3, padding=1),
        "attention": nn.MultiheadAttention(C, 2, batch_first=True),
    }
    model = Net(ORDERED[kind], **modules).eval()
    with torch.no_grad():
        assert (record(model, X[:n]).raster("act") == by_step(model(X[:n]))).all()


def test_pooled_and_strided_steps_are_recorded_as_bins_of_their_own(quiet):
    """Half as many entries as steps, in their order."""
    model, x = nn.Sequential(nn.Conv1d(C, 5, 3, stride=2), nn.ReLU(), nn.AvgPool1d(1), nn.Tanh()), torch.randn(8, C, 21)
    expected = by_step(model[0](x).transpose(1, 2))
    assert (record(model, x, ann2neo.Steps(2)).raster("3") == expected).all()


@pytest.mark.parametrize("kind", ["rolled", "after a first token", "next"])
def test_labels_of_steps_that_are_shifted_are_told(kind):
    """The bins are right, but labels of the steps belong to their neighbours; without labels nothing is said."""
    labels = torch.arange(N * T).reshape(N, T) % 5
    with pytest.warns(Ann2NeoWarning, match="those of the step before or after: 'act'"):
        record(Net(ORDERED[kind]), ann2neo.Inputs(X, labels=labels.numpy()))


class Cell(nn.Module):
    """A cell that is called for one step after another, or from the last to the first."""

    def __init__(self, order):
        super().__init__()
        torch.manual_seed(2)
        self.cell, self.order = nn.GRUCell(C, UNITS), order

    def forward(self, x):
        state = torch.zeros(len(x), UNITS)
        for t in range(T)[:: self.order]:
            state = self.cell(x[:, t], state)
        return state


def test_calls_from_the_last_step_to_the_first_are_refused():
    """Call k is step k, or the layer is refused."""
    options = {"steps": ann2neo.Steps("calls"), "layers": "cell", "threshold": 0.0}
    assert record(Cell(1), **options).n_bins == N * T
    with pytest.raises(ActivationError, match="not in the order of the steps"):
        record(Cell(-1), **options)


def test_silent_steps_of_flattened_layers_are_no_objection(quiet):
    """What is silent before and after its step changes shows nothing, neither for nor against it."""
    model = Net(lambda net, x: net.act(net.fc(x).flatten(0, 1) - torch.tensor([1.5] * 5 + [0.6])))
    expected = by_step(model.fc(X) - torch.tensor([1.5] * 5 + [0.6]))
    assert expected.any(0).mean() < 0.5
    assert (record(model).raster("act") == expected).all()


def test_steps_cost_little():
    """Of a batch of 64, at most ten inputs are run once more, some of them shorter; beside the half again of every first batch, and the whole of it after the last."""
    rows, model = [], nn.Sequential(nn.Linear(C, 5), nn.ReLU())
    model.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    x = torch.randn(128, T, C)
    record(model, x)
    with_steps, rows[:] = sum(rows), []
    record(model, x, None)
    assert sum(rows) == 128 + 96 + 64
    assert with_steps <= 128 + 96 + 64 + 10
