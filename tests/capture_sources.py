"""Inputs, models and bits by hand for tests of what capture sees."""

import torch
from torch import nn

import ann2neo

X = torch.randn(13, 6, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(9, 3, 8, 8, generator=torch.Generator().manual_seed(1))
SEQUENCES = torch.randn(7, 5, 4, generator=torch.Generator().manual_seed(2))


def record(model, inputs=X, batch_size=5, **options):
    if not isinstance(inputs, ann2neo.Inputs):
        inputs = ann2neo.Inputs(inputs, batch_size=batch_size)
    return ann2neo.record(model, inputs, progress=False, **options)


def names(recording):
    return [layer.name for layer in recording.layers]


def bits(activations, threshold=0.0):
    """(input, ...) -> (unit, input)."""
    return (activations.detach() > threshold).reshape(len(activations), -1).numpy().T


def in_batches(function, x, batch_size=5):
    """Run in the batches in which the recording runs: other sizes change the last bits of floats."""
    with torch.no_grad():
        return torch.cat([function(part) for part in x.split(batch_size)])


def make(forward, **modules):
    """A module with this forward(self, x)."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            for name, module in modules.items():
                self.add_module(name, module)

        def forward(self, x):
            return forward(self, x)

    return Model().eval()
