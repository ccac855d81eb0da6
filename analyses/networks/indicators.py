"""What others would look at: numbers of the weights, the outputs and the raw activations, taken while the network is still in memory.

Firing indicators come from neo files. These cannot: a file holds spikes, not weights or activations. The share of zero activations is left out on purpose: with a
threshold of zero it is one minus the mean firing rate, so that it would be the same indicator twice; sparsity is measured on the activations' sizes instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from analyses.networks.data import Data

RECORDED = (nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid, nn.SiLU, nn.RNNBase)
BATCH = 500
MAX_INPUTS = 500


def of(
    model: nn.Module,
    data: Data,
    target: Int[np.ndarray, " image"],
    *,
    initial: Mapping[str, torch.Tensor] | None = None,
) -> dict[str, float]:
    """Measure a network on its training images, with the labels it was trained on, and on the held-out ones.

    Parameters
    ----------
    model
        A network; it is left as it was found, with its parts in the modes they were in.
    data
        The images and their true classes.
    target
        The label that each training image was trained with, shape (image,).
    initial
        The state of the network before training (`state_dict`); without it the distance from there is NaN.

    Returns
    -------
    dict[str, float]
        ``weight_norm``: Frobenius norm of all weights (parameters of two axes or more) together; ``distance_from_initial``: that of their difference from before
        training; ``train_loss``: mean cross-entropy on the labels trained with; ``margin_mean``: mean over training images of that label's output minus the
        largest other one; ``held_out_margin_mean``: mean over held-out images of the largest output minus the second, which needs no label; ``sparsity_mean``
        and ``effective_rank_mean`` over layers, and beside them each layer's, as ``sparsity:relu1``.

    References
    ----------
    .. [1] Roy & Vetterli (2007), "The effective rank: a measure of effective dimensionality", 15th European Signal Processing Conference, 606-610.
    .. [2] Vinje & Gallant (2000), doi:10.1126/science.287.5456.1273 (sparseness of a population's response).
    .. [3] Bartlett, Foster & Telgarsky (2017), arXiv:1706.08498 (margins and norms as what bounds generalization).
    """
    labels = torch.as_tensor(target)
    with _evaluated(model):
        outputs, held_out = _outputs(model, data.images), _outputs(model, data.held_out_images)
        layers = layer_outputs(model, data.images[_spread(len(data.images))])
    found = {
        "weight_norm": weight_norm(model),
        "distance_from_initial": np.nan if initial is None else distance(model, initial),
        "train_loss": float(nn.functional.cross_entropy(outputs, labels)),
        "margin_mean": float(margins(outputs.numpy(), np.asarray(target)).mean()),
        "held_out_margin_mean": float(margins(held_out.numpy(), held_out.argmax(1).numpy()).mean()),
    }
    for measure, function in (("sparsity", sparsity), ("effective_rank", effective_rank)):
        values = {name: function(activations) for name, activations in layers.items()}
        found[f"{measure}_mean"] = float(np.mean(list(values.values()))) if values else np.nan
        found |= {f"{measure}:{name}": value for name, value in values.items()}
    return found


def weight_norm(model: nn.Module) -> float:
    """Give the Frobenius norm of all weights together; biases and normalizing layers' scales are left out."""
    return float(sum(float(weight.detach().double().square().sum()) for _, weight in _weights(model)) ** 0.5)


def distance(model: nn.Module, initial: Mapping[str, torch.Tensor]) -> float:
    """Give the Frobenius norm of what training added to the weights."""
    moved = (float((weight.detach() - initial[name]).double().square().sum()) for name, weight in _weights(model))
    return float(sum(moved) ** 0.5)


def margins(
    outputs: Float[np.ndarray, "image label"], target: Int[np.ndarray, " image"]
) -> Float[np.ndarray, " image"]:
    """Give each image's output of its label minus the largest other one.

    Examples
    --------
    >>> margins(np.array([[3.0, 1.0, 0.5], [0.0, 2.0, 5.0]]), np.array([0, 1]))
    array([ 2., -3.])
    """
    rows = np.arange(len(outputs))
    others = outputs.copy()
    others[rows, target] = -np.inf
    return outputs[rows, target] - others.max(axis=1)


def sparsity(activations: Float[np.ndarray, "image unit"]) -> float:
    """Give the mean over images of ``(1 - (sum r / n)^2 / (sum r^2 / n)) / (1 - 1/n)`` over the n units' activations r above zero.

    0 where all units answer alike, 1 where one answers alone. Images that no unit answers are left out; NaN if there are only such images or one unit.

    Examples
    --------
    >>> sparsity(np.array([[2.0, 2.0, 2.0, 2.0]])), sparsity(np.array([[0.0, 0.0, 7.0, 0.0]]))
    (0.0, 1.0)
    """
    rates = np.maximum(activations.astype(np.float64), 0)
    n_units = rates.shape[1]
    answered = rates[rates.any(axis=1)]
    if n_units < 2 or len(answered) == 0:
        return np.nan
    density = answered.mean(axis=1) ** 2 / np.square(answered).mean(axis=1)
    return float(((1 - density) / (1 - 1 / n_units)).mean())


def effective_rank(activations: Float[np.ndarray, "image unit"]) -> float:
    """Give the exponential of the entropy of the singular values' shares, each unit's mean over images taken away.

    With the means, the first singular value would mostly say how much all units fire. NaN if no unit varies.

    Examples
    --------
    >>> effective_rank(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    2.0
    """
    centred = activations.astype(np.float64) - activations.mean(axis=0, dtype=np.float64)
    shorter = centred if centred.shape[0] <= centred.shape[1] else centred.T
    # The eigenvalues of the smaller Gram matrix: a singular value decomposition of an early convolution takes ten times as long.
    values = np.sqrt(np.clip(np.linalg.eigvalsh(shorter @ shorter.T), 0, None))
    # Roots of rounding errors are 1e-8 of the largest value, not 1e-16, and a hundred of them would count.
    values = values[values > 1e-6 * values.max(initial=0)]
    if len(values) == 0:
        return np.nan
    shares = values / values.sum()
    return float(np.round(np.exp(-(shares * np.log(shares)).sum()), 12))


def _weights(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, parameter) for name, parameter in model.named_parameters() if parameter.ndim >= 2)


def _spread(n_images: int) -> Int[np.ndarray, " image"]:
    """Choose images evenly: a data set that lies sorted by class would otherwise show its first classes only."""
    return np.unique(np.linspace(0, n_images - 1, min(n_images, MAX_INPUTS)).round().astype(np.int64))


@contextmanager
def _evaluated(model: nn.Module) -> Iterator[None]:
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _outputs(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model(batch) for batch in images.split(BATCH)])


def layer_outputs(model: nn.Module, images: torch.Tensor) -> dict[str, Float[np.ndarray, "image unit"]]:
    """Read each activation function's output, flattened; the second call of a module is a layer of its own."""
    found: dict[str, np.ndarray] = {}

    def keeper(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(_part: nn.Module, _inputs: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            calls = sum(known.partition("@")[0] == name for known in found)
            # A copy, because a layer that works in place would overwrite it.
            found[f"{name}@{calls}" if calls else name] = tensor.detach().flatten(1).numpy().copy()

        return keep

    hooks = [
        part.register_forward_hook(keeper(name)) for name, part in model.named_modules() if isinstance(part, RECORDED)
    ]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found
