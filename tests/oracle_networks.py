"""Small networks of many architectures, with random weights: what an independent look at their operators is compared on."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

N = 4


class Net(nn.Module):
    """Modules and what a forward makes of them."""

    def __init__(self, forward, **modules):
        super().__init__()
        self._forward = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *args, **kwargs):
        return self._forward(self, *args, **kwargs)


def images(channels=3, size=8):
    return torch.randn(N, channels, size, size, generator=torch.Generator().manual_seed(1))


def sequences(n_steps=6, n_features=8):
    return torch.randn(N, n_steps, n_features, generator=torch.Generator().manual_seed(2))


def conv(before, after, size=3, **options):
    return nn.Conv2d(before, after, size, padding=size // 2, **options)


def residual_block(width):
    """One activation module, called twice, in place."""

    def forward(self, x):
        y = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.norm2(self.conv2(y)) + x)

    parts = {"conv1": conv(width, width), "conv2": conv(width, width)}
    norms = {"norm1": nn.BatchNorm2d(width), "norm2": nn.BatchNorm2d(width)}
    return Net(forward, relu=nn.ReLU(inplace=True), **parts, **norms)


def resnet():
    stem = [conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)]
    return nn.Sequential(*stem, residual_block(8), residual_block(8), *head), images()


def attention_block(width, mlp):
    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))

    attention = nn.MultiheadAttention(width, 2, batch_first=True)
    return Net(forward, attention=attention, norm1=nn.LayerNorm(width), norm2=nn.LayerNorm(width), mlp=mlp)


def function_mlp(width):
    """A feed-forward part whose activation is a function."""
    return Net(lambda self, x: self.down(F.gelu(self.up(x))), up=nn.Linear(width, 12), down=nn.Linear(12, width))


def vit():
    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1) + self.places
        return torch.tanh(self.pooler(self.blocks(x)[:, 0]))

    model = Net(forward, patches=nn.Conv2d(3, 8, 2, 2), pooler=nn.Linear(8, 8))
    model.blocks = nn.Sequential(*(attention_block(8, function_mlp(8)) for _ in range(2)))
    model.token, model.places = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 17, 8))
    return model, images()


def windowed(self, x):
    """(input, row, column, feature) -> (input and window, place, feature) -> back."""
    n, rows, columns, width = x.shape
    windows = x.reshape(n, rows // 2, 2, columns // 2, 2, width).transpose(2, 3).reshape(-1, 4, width)
    bias = 16 * torch.sigmoid(self.table_mlp(self.offsets))
    windows = self.block(windows + bias.mean())
    back = windows.reshape(n, rows // 2, columns // 2, 2, 2, width).transpose(2, 3)
    return back.reshape(x.shape)


def swin():
    """Windows along the axis of inputs, and a table of positions that passes through activation functions of its own."""

    def forward(self, x):
        x = self.first(self.patches(x).permute(0, 2, 3, 1))
        return self.head(self.second(x.roll((1, 1), (1, 2))).mean((1, 2)))

    def stage():
        table = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 2))
        one = Net(windowed, table_mlp=table, block=attention_block(8, function_mlp(8)))
        one.register_buffer("offsets", torch.randn(9, 2))
        return one

    return Net(forward, patches=nn.Conv2d(3, 8, 2, 2), first=stage(), second=stage(), head=nn.Linear(8, 3)), images()


def routed(self, x):
    rows = x.reshape(-1, x.shape[-1])
    chosen = self.router(rows).argmax(1)
    y = torch.zeros_like(rows)
    for number, expert in enumerate(self.experts):
        y[chosen == number] = expert(rows[chosen == number])
    gate = torch.sigmoid(self.gate(x))
    return x + y.reshape(x.shape) + gate * self.shared(x)


def expert():
    return nn.Sequential(nn.Linear(8, 6), nn.SiLU(), nn.Linear(6, 8))


def mixture():
    experts = nn.ModuleList(expert() for _ in range(3))
    layer = Net(routed, router=nn.Linear(8, 3), experts=experts, shared=expert(), gate=nn.Linear(8, 1))
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), layer), sequences()


def lstm():
    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])

    return Net(
        forward, lstm=nn.LSTM(8, 5, batch_first=True), head=nn.Sequential(nn.Linear(5, 6), nn.ELU())
    ), sequences()


def cells():
    """A cell that is called step by step, with an activation function at each step."""

    def forward(self, x):
        state = x.new_zeros(len(x), 5)
        for step in x.unbind(1):
            state = self.cell(step, state)
            last = self.act(self.out(state))
        return last

    return Net(forward, cell=nn.GRUCell(8, 5), out=nn.Linear(5, 6), act=nn.Softplus()), sequences(3)


def unet():
    def level(before, after):
        return nn.Sequential(
            conv(before, after), nn.GroupNorm(2, after), nn.LeakyReLU(0.1), conv(after, after), nn.Mish()
        )

    def forward(self, x):
        high = self.down(x)
        low = self.low(F.max_pool2d(high, 2))
        return torch.sigmoid(self.out(self.up(torch.cat([high, self.raise_(low)], 1))))

    parts = {"down": level(3, 6), "low": level(6, 8), "raise_": nn.ConvTranspose2d(8, 6, 2, 2)}
    return Net(forward, up=level(12, 6), out=nn.Conv2d(6, 1, 1), **parts), images()


def densenet():
    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(F.relu(x, inplace=False))], 1)
        return x

    return Net(forward, layers=nn.ModuleList(conv(3 + 2 * k, 2) for k in range(4))), images()


def squeeze(width):
    def forward(self, x):
        y = F.relu6(self.fc1(F.adaptive_avg_pool2d(x, 1)))
        return x * F.hardsigmoid(self.fc2(y))

    return Net(forward, fc1=nn.Conv2d(width, 4, 1), fc2=nn.Conv2d(4, width, 1))


def mobilenet():
    blocks = [
        conv(3, 8),
        nn.Hardswish(inplace=True),
        conv(8, 8, groups=8),
        nn.ReLU6(inplace=True),
        squeeze(8),
        nn.SiLU(),
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4), nn.LogSigmoid()), images()


def fused_encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="gelu")
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), sequences()


class Positive(nn.Module):
    """Keeps a weight above zero."""

    def forward(self, weight):
        return F.softplus(weight)


def parametrized():
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4), nn.Sigmoid())
    parametrize.register_parametrization(model[2], "weight", Positive())
    return model, sequences()[:, 0]


def fusion():
    """Weights of a feature pyramid, a gate and a scale: activation functions of parameters, as modules, functions and methods."""

    def forward(self, x):
        weights = F.relu(self.weights)
        x = (self.a(x) * weights[0] + self.b(x) * weights[1]) / (weights.sum() + 1e-4)
        x = x * self.act(self.gate) + torch.sigmoid(self.bias * 2.0)
        return F.silu(x) * self.scale.sigmoid() * torch.tanh(self.scale * 3.0).clamp(min=0)

    model = Net(forward, a=nn.Linear(8, 6), b=nn.Linear(8, 6), act=nn.Tanh())
    model.weights, model.gate, model.bias = (nn.Parameter(torch.rand(k)) for k in (2, 6, 6))
    model.scale = nn.Parameter(torch.tensor(0.5))
    return model, sequences()[:, 0]


def functions():
    """Each way to call a function, in place or not, of torch, of torch.nn.functional and of tensors."""

    def forward(self, x):
        x = torch.relu(self.fc(x) + 0.2).sub(0.3)
        x = F.elu(x).add_(0.1)
        x = x.clone().tanh_() + x.sigmoid() - torch.special.expit(x)
        x = F.leaky_relu_(x * 2.0, 0.2)
        x = F.prelu(x, self.slope) + F.celu(x, 0.5)
        x = F.selu(x) - F.softplus(x, 2.0)
        x = F.hardtanh(x, -2.0, 2.0) + F.mish(x.clone(), inplace=True)
        x = F.hardswish(x) + F.logsigmoid(x) + 1.0
        x = F.threshold(x, 0.1, 0.0) + F.hardshrink(x) + F.softshrink(x)
        return x.clamp(min=0) + x.clamp_min(0.0) + torch.clip(x, 0, 6) + x.clamp(min=-1)

    model = Net(forward, fc=nn.Linear(8, 12))
    model.slope = nn.Parameter(torch.tensor([0.2]))
    return model, sequences()[:, 0]


def wavenet():
    """Gated convolutions."""

    def block():
        return Net(
            lambda self, x: x + torch.tanh(self.filter(x)) * torch.sigmoid(self.gate(x)),
            filter=nn.Conv1d(6, 6, 3, padding=1),
            gate=nn.Conv1d(6, 6, 3, padding=1),
        )

    return nn.Sequential(block(), block(), nn.ReLU()), sequences()


def shared():
    """One block, and one activation function, in several places."""
    block = nn.Sequential(nn.Linear(8, 8), nn.SELU())
    return nn.Sequential(block, block, nn.Linear(8, 8), block[1], block), sequences()[:, 0]


class FastGelu(nn.Module):
    """An activation function made of an operator: one layer."""

    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


def custom():
    act = FastGelu()
    return nn.Sequential(nn.Linear(8, 6), act, nn.Linear(6, 6), act, nn.Linear(6, 2), nn.Tanh()), sequences()[:, 0]


def autoencoder():
    layers = [
        nn.Linear(8, 5),
        nn.CELU(0.5),
        nn.Linear(5, 3),
        nn.Hardshrink(0.1),
        nn.Linear(3, 8),
        nn.Threshold(0.2, 0.0),
    ]
    return nn.Sequential(*layers).double(), sequences()[:, 0].double()


def siamese():
    """Two inputs through one tower."""

    def forward(self, a, b):
        return torch.relu(self.tower(a) - self.tower(b))

    tower = nn.Sequential(nn.Linear(8, 6), nn.PReLU(6), nn.Linear(6, 4), nn.Hardtanh())
    x = sequences()
    return Net(forward, tower=tower), {"a": x[:, 0], "b": x[:, 1]}


def stacked():
    """Views of an input along the axis of inputs: as rows there are two of each."""

    def forward(self, x):
        both = self.act(self.fc(torch.cat([x, -x])))
        one, other = both.chunk(2)
        return self.out(one * other)

    return Net(
        forward, fc=nn.Linear(8, 6), act=nn.ReLU(), out=nn.Sequential(nn.Linear(6, 2), nn.Sigmoid())
    ), sequences()[:, 0]


def half():
    return nn.Sequential(
        nn.Linear(8, 6), nn.GELU(approximate="tanh"), nn.Linear(6, 3), nn.Softshrink()
    ).bfloat16(), sequences()[:, 0].bfloat16()


OWN = {
    "ResNet": resnet, "ViT": vit, "windows and tables": swin, "mixture of experts": mixture, "LSTM with a head": lstm, "cells": cells, "UNet": unet,
    "dense": densenet, "MobileNet, squeeze and excitation": mobilenet, "fused encoder": fused_encoder, "parametrized": parametrized,
    "weights that are squashed": fusion, "functions": functions, "WaveNet": wavenet, "shared": shared, "custom": custom, "autoencoder": autoencoder,
    "siamese": siamese, "stacked views": stacked, "half precision": half,
}  # fmt: skip
