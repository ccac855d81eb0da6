"""A recurrent network that reads an image row by row, so that each image has a pseudo-time axis of its own."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import nn

N_CLASSES = 10
WIDTH = 128


class RowReader(nn.Module):
    """A gated recurrent unit that reads the rows of an image from top to bottom, and a linear layer that names the class after the last row."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gru = nn.GRU(size, WIDTH, batch_first=True)
        self.out = nn.Linear(WIDTH, N_CLASSES)

    def forward(self, images: Float[torch.Tensor, "image 1 row column"]) -> Float[torch.Tensor, "image class"]:
        """Give the scores of the classes."""
        states, _ = self.gru(images[:, 0])
        return self.out(states[:, -1])


def gru(size: int) -> nn.Module:
    """Make a recurrent network for square images of ten classes.

    Parameters
    ----------
    size
        Rows and columns of an image.
    """
    return RowReader(size)
