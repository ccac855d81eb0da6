"""Networks that are trained together are the networks that are trained alone."""

import numpy as np
import pytest
import torch
from torch import nn

from analyses.networks.architectures import make
from analyses.networks.group import train_group
from analyses.networks.training import BATCH, accuracy

N_IMAGES = 150
LAST = (3, 2, 3)


def _problem():
    rng = np.random.default_rng(0)
    images = torch.tensor(rng.random((N_IMAGES, 1, 8, 8)), dtype=torch.float64)
    return images, rng.integers(0, 10, (3, N_IMAGES))


def train(model, images, labels, *, seed, epochs, optimizer="adam"):
    """Train one network by itself."""
    kinds = {"adam": (torch.optim.Adam, {"lr": 1e-3}), "sgd": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9})}
    kind, options = kinds[optimizer]
    stepper = kind(model.parameters(), **options)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=generator).split(BATCH):
            stepper.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), torch.as_tensor(labels[batch.numpy()])).backward()
            stepper.step()


def _models(architecture):
    made = []
    for seed in range(3):
        torch.manual_seed(seed)
        made.append(make(architecture, 8).double())
    return made


@pytest.mark.parametrize(
    ("architecture", "optimizer"),
    [
        ("mlp", "adam"),
        ("cnn", "sgd"),
        ("resnet", "adam"),
        pytest.param("resnet18", "adam", marks=pytest.mark.slow("a larger resnet")),
        ("vit", "sgd"),
    ],
)
def test_a_network_of_a_group_is_the_one_trained_alone(architecture, optimizer):
    """Also when others leave the group before: weights, statistics of batch normalization, loss and accuracy, up to rounding."""
    images, labels = _problem()
    seen = {}

    def after(epoch):
        leave = np.array([LAST[i] == epoch.number for i in epoch.members])
        seen.update(
            {int(epoch.members[k]): (epoch.weights(k), epoch.accuracy[k], epoch.loss[k]) for k in np.flatnonzero(leave)}
        )
        return leave

    train_group(_models(architecture), images, labels, seeds=[5, 6, 7], after_epoch=after, optimizer=optimizer)
    for i, alone in enumerate(_models(architecture)):
        train(alone, images, labels[i], seed=5 + i, epochs=LAST[i], optimizer=optimizer)
        weights, right, loss = seen[i]
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(weights[name], value, rtol=1e-7, atol=1e-9)
        assert right == pytest.approx(accuracy(alone, images, labels[i]))
        with torch.no_grad():
            expected = nn.functional.cross_entropy(alone.eval()(images), torch.as_tensor(labels[i]))
        assert loss == pytest.approx(float(expected), rel=1e-6)


def test_a_network_may_train_with_a_part_of_the_images():
    """As if the others were not there."""
    images, labels = _problem()
    chosen = np.stack([np.random.default_rng(i).permutation(N_IMAGES)[:70] for i in range(3)])
    found = []

    def after(epoch):
        found.extend(epoch.weights(k) for k in range(3))
        return np.ones(3, bool)

    train_group(_models("mlp"), images, labels, seeds=[1, 2, 3], after_epoch=after, chosen=chosen)
    for i, alone in enumerate(_models("mlp")):
        train(alone, images[chosen[i]], labels[i][chosen[i]], seed=1 + i, epochs=1)
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(found[i][name], value, rtol=1e-7, atol=1e-9)
