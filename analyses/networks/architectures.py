"""The networks: perceptron, convolutional network, residual network, vision transformer, all small."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise

import torch
from torch import nn

N_CLASSES = 10


def make(architecture: str, size: int) -> nn.Module:
    """Make a network for square images of ten classes, its weights drawn from torch's generator.

    Parameters
    ----------
    architecture
        "mlp" (three hidden layers of 256 ReLUs); "cnn" (two convolutions and a hidden layer, ReLUs); "resnet" (a stem and three residual blocks with batch
        normalization, 7 ReLU layers); "resnet18" (ResNet-18 of width 16 with a stem for small images, 17 ReLU layers); "vit" (two transformer blocks over patches; its GELUs, tokens x
        features, are what fires).
    size
        Rows and columns of an image.

    Raises
    ------
    ValueError
        If there is no such architecture.
    """
    if architecture == "mlp":
        return _mlp(size)
    if architecture == "cnn":
        return _cnn(size)
    if architecture == "resnet":
        return _resnet(size)
    if architecture == "resnet18":
        return _resnet18()
    if architecture == "vit":
        return VisionTransformer(size)
    raise ValueError(
        f"no architecture is called {architecture!r}.\nNothing was made.\nUse mlp, cnn, resnet, resnet18 or vit."
    )


class Residual(nn.Module):
    """Two convolutions with batch normalization around a shortcut, a ReLU after each.

    References
    ----------
    He, Zhang, Ren, Sun (2016), doi:10.1109/CVPR.2016.90.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.norm1, self.relu1 = nn.BatchNorm2d(n_out), nn.ReLU()
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.norm2, self.relu2 = nn.BatchNorm2d(n_out), nn.ReLU()
        same = n_in == n_out and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the two convolutions make of the maps to the maps."""
        inner = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(inner + self.shortcut(x))


class Attending(nn.Module):
    """A transformer block that normalizes first: attention among patches, then a hidden layer of GELUs in each.

    References
    ----------
    Vaswani et al. (2017), doi:10.48550/arXiv.1706.03762. Hendrycks and Gimpel (2016), doi:10.48550/arXiv.1606.08415.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.fc1, self.gelu, self.fc2 = nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what attention and hidden layer make of the tokens to the tokens."""
        normal = self.norm1(x)
        x = x + self.attention(normal, normal, normal, need_weights=False)[0]
        return x + self.fc2(self.gelu(self.fc1(self.norm2(x))))


class VisionTransformer(nn.Module):
    """A small vision transformer: 16 patches of an image (a quarter of its side each), two blocks, the mean over patches.

    References
    ----------
    Dosovitskiy et al. (2020), doi:10.48550/arXiv.2010.11929.
    """

    def __init__(self, size: int, width: int = 48, heads: int = 3, hidden: int = 96) -> None:
        super().__init__()
        patch = size // 4
        self.patches = nn.Conv2d(1, width, patch, stride=patch)
        self.places = nn.Parameter(0.02 * torch.randn(16, width))
        self.block1, self.block2 = Attending(width, heads, hidden), Attending(width, heads, hidden)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, N_CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give the outputs for images, shape (image, class)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.out(self.norm(self.block2(self.block1(tokens))).mean(1))


def _resnet(size: int) -> nn.Module:
    step = 1 if size < 16 else 2
    return nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(1, 8, 3, stride=step, padding=1, bias=False),
            norm=nn.BatchNorm2d(8),
            relu=nn.ReLU(),
            block1=Residual(8, 8, 1),
            block2=Residual(8, 16, 2),
            block3=Residual(16, 32, 2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            out=nn.Linear(32, N_CLASSES),
        )
    )


def _resnet18(width: int = 16) -> nn.Module:
    """Four stages of two blocks, whose first halves the maps and doubles their number in all stages but the first."""
    blocks, n_in = [], width
    for stage in range(4):
        n_out = width * 2**stage
        for block in range(2):
            stride = 2 if stage and not block else 1
            blocks.append((f"stage{stage + 1}_{block + 1}", Residual(n_in, n_out, stride)))
            n_in = n_out
    stem = [
        ("stem", nn.Conv2d(1, width, 3, padding=1, bias=False)),
        ("norm", nn.BatchNorm2d(width)),
        ("relu", nn.ReLU()),
    ]
    head = [("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("out", nn.Linear(n_in, N_CLASSES))]
    return nn.Sequential(OrderedDict([*stem, *blocks, *head]))


def _mlp(size: int) -> nn.Module:
    widths = [size * size, 256, 256, 256]
    hidden = [
        part
        for i, (a, b) in enumerate(pairwise(widths), start=1)
        for part in ((f"fc{i}", nn.Linear(a, b)), (f"relu{i}", nn.ReLU()))
    ]
    return nn.Sequential(OrderedDict([("flatten", nn.Flatten()), *hidden, ("out", nn.Linear(256, N_CLASSES))]))


def _cnn(size: int) -> nn.Module:
    step = 1 if size < 16 else 2
    side = math.ceil(math.ceil(size / step) / 2)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 8, 3, stride=step, padding=1),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(8, 16, 3, stride=2, padding=1),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc=nn.Linear(16 * side * side, 128),
            relu3=nn.ReLU(),
            out=nn.Linear(128, N_CLASSES),
        )
    )
