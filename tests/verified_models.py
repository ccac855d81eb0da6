"""Networks whose rows are their inputs, and networks whose rows are not: what verification has to tell apart."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

N = 20
X = torch.randn(N, 5, generator=torch.Generator().manual_seed(3))
SEQUENCES = torch.randn(9, 7, 5, generator=torch.Generator().manual_seed(4))
LENGTHS = torch.tensor([7, 6, 6, 5, 4, 3, 2, 2, 1])


class Net(nn.Module):
    """Two linear layers, and what a forward makes of them."""

    def __init__(self, forward, **modules):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.act, self.out, self.tanh = nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh()
        self._forward = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *args, **kwargs):
        return self._forward(self, *args, **kwargs)


def sorted_by_length(self, x):
    order = x[:, 0].argsort()
    return self.out(self.act(self.fc(x[order])))[order.argsort()]


def reversed_inside(self, x):
    return self.act(self.fc(x.flip(0))).flip(0)


def routed(self, x):
    chosen = self.fc(x).argmax(1) % 2 == 0
    gathered = torch.cat([x[chosen], x[~chosen]])
    return self.act(self.fc(gathered))


def turned(self, x):
    # (step, input, unit) inside.
    return self.act(self.fc(x.transpose(0, 1))).transpose(0, 1)


def noise(self, x):
    return self.act(self.fc(x) + 0.3 * torch.randn(len(x), 8))


def mask_of_units(self, x):
    return self.act(self.fc(x) * (torch.rand(1, 8) > 0.5))


class Leaky(nn.Module):
    """A neuron that keeps its potential from call to call, unless the size of the batch changes."""

    potential = None

    def forward(self, x):
        kept = self.potential
        self.potential = x + (0.8 * kept if kept is not None and kept.shape == x.shape else 0.0)
        return (self.potential > 0.5).float()


def positions_table(self, x):
    return self.act(self.fc(x)) + self.tanh(self.table * 1.0).sum()


def over_largest(self, x):
    h = self.fc(x)
    return self.act(h / h.abs().max())


def little_mean(self, x):
    h = self.fc(x)
    return self.act(h - 1e-4 * h.mean(0))


def along_the_batch(self, x):
    return self.act(self.rnn(x)[0][:, -1])


def neighbours(self, x, edges):
    return self.act(self.fc(torch.zeros_like(x).index_add(0, edges[1], x[edges[0]])))


def packed(self, x, lengths):
    rows = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=self.enforce)
    return self.tanh(pad_packed_sequence(self.gru(rows)[0], batch_first=True)[0])


def top_two(self, x):
    h = self.fc(x)
    kept = h.topk(2, dim=1).indices
    return self.act(torch.zeros_like(h).scatter(1, kept, h.gather(1, kept)))


def trimmed(self, x, mask):
    longest = int(mask.sum(1).max())
    return self.act(self.fc(x[:, :longest]))


EDGES = torch.randint(0, N, (2, 60), generator=torch.Generator().manual_seed(5))
MASK = (torch.arange(7) < LENGTHS[:, None]).long()
SHUFFLED = torch.tensor([4, 0, 8, 2, 6, 1, 7, 3, 5])

# Name: model, batch, and the activation that each layer has to have, by input.
RIGHT = {
    "linear": lambda: (Net(lambda self, x: self.act(self.fc(x))), X),
    "batch normalization": lambda: (Net(lambda self, x: self.act(self.norm(self.fc(x))), norm=nn.BatchNorm1d(8)), X),
    "top two": lambda: (Net(top_two), X),
    "rounded": lambda: (Net(lambda self, x: self.act(self.fc(x).round())), X),
    "half": lambda: (Net(lambda self, x: self.act(self.fc(x))).bfloat16(), X.bfloat16()),
    "double": lambda: (Net(lambda self, x: self.act(self.fc(x))).double(), X.double()),
    "trimmed": lambda: (Net(trimmed), {"x": SEQUENCES, "mask": MASK}),
    "two inputs": lambda: (Net(lambda self, x: self.act(self.fc(x))), X[:2]),
    "three inputs": lambda: (Net(lambda self, x: self.act(self.fc(x))), X[:3]),
    "along, by its side": lambda: (
        Net(lambda self, x, shared: self.act(self.fc(x * shared))),
        {"x": X, "shared": torch.ones(5)},
    ),
    "as many positions as inputs": lambda: (
        Net(lambda self, x, place: self.act(self.fc(x + place[:, None]))),
        {"x": torch.randn(7, 7, 5), "place": torch.arange(7.0)},
    ),
    "packed": lambda: (
        Net(packed, gru=nn.GRU(5, 8, batch_first=True), enforce=False),
        {"x": SEQUENCES[SHUFFLED], "lengths": LENGTHS[SHUFFLED]},
    ),
    "packed, longest first": lambda: (
        Net(packed, gru=nn.GRU(5, 8, batch_first=True), enforce=True),
        {"x": SEQUENCES, "lengths": LENGTHS},
    ),
    "transformer": lambda: (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False),
        torch.randn(6, 5, 8),
    ),
}
NOT_ROWS = {
    "sorted": lambda: (Net(sorted_by_length), X),
    "reversed": lambda: (Net(reversed_inside), X),
    "routed": lambda: (Net(routed), X),
}
FROM_RUN_TO_RUN = {
    "dropout as a function": lambda: (Net(lambda self, x: self.act(F.dropout(self.fc(x), 0.4))), X),
    "hidden dropout": lambda: (Net(lambda self, x: self.act(self.hidden[0](self.fc(x))), hidden=[nn.Dropout(0.4)]), X),
    "noise": lambda: (Net(noise), X),
    "one mask for all": lambda: (Net(mask_of_units), X),
}
DEPENDENT = {
    "no running statistics": lambda: (
        Net(lambda self, x: self.act(self.norm(self.fc(x))), norm=nn.BatchNorm1d(8, track_running_stats=False)),
        X,
    ),
    "over the largest": lambda: (Net(over_largest), X),
    "a little of the mean": lambda: (Net(little_mean), X),
    "along the batch": lambda: (Net(along_the_batch, rnn=nn.LSTM(5, 8)), SEQUENCES),
    "a graph by nodes": lambda: (Net(neighbours), {"x": X, "edges": EDGES}),
}
