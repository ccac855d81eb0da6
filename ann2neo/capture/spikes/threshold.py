"""The threshold of a layer: from its rule and the first sight of its activation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn

from ann2neo.errors import Ann2NeoWarning, ThresholdError, kind_of
from ann2neo.probe.activations import floor_of
from ann2neo.probe.modules import is_of_torch
from ann2neo.probe.outputs import Watched
from ann2neo.probe.state import random_states_kept
from ann2neo.thresholds import FixedRule, Floor, MeanPlusSd, Quantile, Rule, rule_for

SOFTMAX = (nn.Softmax, nn.Softmax2d, nn.Softmin)
# A mask of minus infinity makes a softmax 0, and first states below -1 keep those of a gated recurrent unit there: activations themselves tell.
UNLESS_SEEN = (*SOFTMAX, nn.GRU, nn.GRUCell)


def threshold_of(
    name: str,
    watched: Watched,
    output: torch.Tensor,
    *,
    shape: tuple[int, ...],
    units: Int[np.ndarray, " unit"],
    rule: Rule,
    calibrated: Mapping[str, np.ndarray],
    calibrated_shapes: Mapping[str, tuple[int, ...] | None],
) -> torch.Tensor:
    """Find the threshold of the recorded units of a layer, in the type and place of its activation, shape () or (unit,).

    Parameters
    ----------
    name, watched, output
        The layer, what is known of it, and its activation on the first batch.
    shape
        Shape of the activation without the axes of inputs and steps.
    units
        Places of the recorded units in the flattened activation.
    rule
        What the user gave.
    calibrated
        Thresholds of the recorded units by layer, where the rule was calibrated, each of shape (unit,).
    calibrated_shapes
        Shape of each calibrated layer then, as ``shape``; None where one threshold holds for all units of any.

    Raises
    ------
    ThresholdError
        If there is no threshold for this layer, it was calibrated on units of another shape, it is not finite in the activation's type, or all units always exceed it.
    """
    if name in calibrated:
        fixed = _of_calibrated(name, calibrated[name], calibrated_shapes[name], shape)
    else:
        fixed = _of_units(name, rule_for(name, rule), shape, units)
    value = value_at_zero(name, watched, output) if fixed is None else fixed
    # In the activation's own type: against a float64 threshold, float32's 0.7 is less than 0.7.
    threshold = rounded(np.asarray(value, np.float64), output.dtype)
    if not torch.isfinite(threshold).all():
        raise ThresholdError(
            f"a threshold of layer {name!r} is too large for {output.dtype}.",
            "Its units could never spike.",
            f"Give thresholds below {torch.finfo(output.dtype).max:g}.",
        )
    _check_reachable(name, watched, threshold, output)
    return threshold.to(output.device)


def rounded(values: Float[np.ndarray, ...], dtype: torch.dtype) -> torch.Tensor:
    """Round to the nearest number of a type of activations, once; halfway to the even one.

    From double precision, torch rounds to float32 first and then again, which can end at the number on the other side.

    Examples
    --------
    >>> value = np.array(1 + 2**-8 + 2**-40)
    >>> rounded(value, torch.bfloat16).item(), torch.tensor(value).to(torch.bfloat16).item()
    (1.0078125, 1.0)
    """
    if torch.finfo(dtype).bits >= 32:
        return torch.tensor(values).to(dtype)
    with np.errstate(over="ignore", under="ignore"):
        nearest = values.astype(np.float32)
    # Rounding to odd: what lies between two numbers of float32 becomes the one of odd mantissa, so that it is still seen to lie between.
    toward_zero = np.where(np.abs(nearest) > np.abs(values), np.nextafter(nearest, np.float32(0)), nearest)
    odd = np.asarray(toward_zero, np.float32).view(np.uint32) | (nearest != values)
    return torch.tensor(odd.astype(np.uint32).view(np.float32)).to(dtype)


def value_at_zero(name: str, watched: Watched, like: torch.Tensor) -> float:
    """Evaluate an activation function at pre-activation 0, in the type and place of its output; 0 for hidden states of recurrent modules, and for gated linear units, whatever the gate.

    Raises
    ------
    ThresholdError
        If the layer is not an activation function, so that it has no such value.

    Examples
    --------
    >>> value_at_zero("gate", Watched(nn.Sigmoid(), True), torch.zeros(1))
    0.5
    """
    module = watched.module
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase, nn.GLU)):
        return 0.0
    if not watched.is_activation:
        raise ThresholdError(
            f"layer {name!r} is {kind_of(module)}, which is not an activation function with a value at pre-activation 0.",
            "There is no natural threshold.",
            f"Give one, for instance threshold={{{name!r}: 0.0}}.",
        )
    zero = torch.zeros((1, getattr(module, "num_parameters", 1)), dtype=like.dtype, device=like.device)
    try:
        # Torch's own draw nothing in eval mode.
        with nullcontext() if is_of_torch(module) and not module.training else random_states_kept():
            return float(module.forward(zero).reshape(-1)[0])
    # Whatever a module of others raises here.
    except Exception as error:
        raise ThresholdError(
            f"layer {name!r}, {kind_of(module)}, could not be evaluated at pre-activation 0 ({type(error).__name__}).",
            "There is no natural threshold.",
            f"Give one, for instance threshold={{{name!r}: 0.0}}.",
        ) from error


def module_floor(module: nn.Module) -> Floor:
    """Find the infimum of a module's values: none for modules that are not torch's own, or have none.

    Examples
    --------
    >>> module_floor(nn.Sigmoid()), module_floor(nn.Softmax()), module_floor(nn.LSTM(2, 3)).value, module_floor(nn.Linear(1, 1)).value
    (Floor(value=0.0, attained=False), Floor(value=0.0, attained=False), -1.0, -inf)
    """
    kind = type(module)
    if kind in SOFTMAX:
        return Floor(0.0, False)
    # Hidden states. Of a gated recurrent unit they lie between those before and values of tanh: above -1 if the first ones do.
    if kind in (nn.GRU, nn.GRUCell, nn.LSTMCell) or (kind is nn.LSTM and not getattr(module, "proj_size", 0)):
        return Floor(-1.0, False)
    if kind in (nn.RNN, nn.RNNCell):
        return Floor(0.0, True) if getattr(module, "nonlinearity", "tanh") == "relu" else Floor(-1.0, False)
    return floor_of(module)


def _of_calibrated(
    name: str, thresholds: Float[np.ndarray, " unit"], calibrated: tuple[int, ...] | None, shape: tuple[int, ...]
) -> FixedRule:
    """Take calibrated thresholds where they belong to the units that are recorded."""
    if calibrated is None:
        return float(thresholds[0])
    if calibrated != shape:
        raise ThresholdError(
            f"layer {name!r} has shape {shape}, but shape {calibrated} for the inputs on which its thresholds were calibrated.",
            "They belong to other units than those recorded.",
            "Calibrate on inputs of the same shape as the recorded ones; or find one threshold for all units of the layer, per='layer' without units=. "
            "If it is the number of steps that differs, record in steps: steps=Steps(1).",
        )
    return thresholds


def _of_units(
    name: str, rule: FixedRule | Quantile | MeanPlusSd, shape: tuple[int, ...], units: Int[np.ndarray, " unit"]
) -> FixedRule:
    """Pick the recorded units' thresholds where there is one for each unit."""
    if isinstance(rule, (Quantile, MeanPlusSd)):
        raise ThresholdError(
            f"layer {name!r} was not called by the inputs of {rule!r}.",
            "It has no threshold.",
            "Calibrate on inputs that reach it, or give it another rule ({pattern: rule}).",
        )
    if not isinstance(rule, np.ndarray):
        return rule
    if rule.shape in (shape, (int(np.prod(shape)),)):
        return rule.reshape(-1)[units]
    if rule.shape != units.shape:
        raise ThresholdError(
            f"thresholds of shape {rule.shape} were given for layer {name!r} of shape {shape}, of which {units.size} units are recorded.",
            "It is unclear which belongs to which.",
            "Give one for each unit of the layer, or one for each recorded unit.",
        )
    return rule


def _check_reachable(name: str, watched: Watched, threshold: torch.Tensor, output: torch.Tensor) -> None:
    """Refuse thresholds below all values that the activation function can take; warn where only some are."""
    module = watched.module
    always = always_exceeded(module, threshold)
    if not always.any() or (isinstance(module, UNLESS_SEEN) and _lies_at_its_floor(module, output)):
        return
    values, floor = threshold.double().reshape(-1).numpy(), module_floor(module)
    lowest = f"{'at least' if floor.attained else 'above'} {floor.value:.6g}"
    if always.all():
        natural = "" if isinstance(module, SOFTMAX) else f"{value_at_zero(name, watched, threshold):.6g}"
        raise ThresholdError(
            f"layer {name!r} is {kind_of(module)}, whose values are all {lowest}, and its threshold is {values.max():.6g}.",
            "Every unit would spike in every bin, whatever the inputs.",
            f"Give a higher threshold{f', or None for the value at pre-activation 0 ({natural})' if natural else ''}.",
        )
    text = f"{always.sum()} of {always.size} units of layer {name!r} have thresholds that its values, {lowest}, always exceed: they spike in every bin."
    warnings.warn(Ann2NeoWarning(text), stacklevel=2)


def _lies_at_its_floor(module: nn.Module, output: torch.Tensor) -> bool:
    return bool((output <= module_floor(module).value).any())


def always_exceeded(module: nn.Module, threshold: torch.Tensor) -> Bool[np.ndarray, " unit"]:
    """Whether each threshold lies below all values of an activation function, shape (unit,)."""
    floor, eps = module_floor(module), torch.finfo(threshold.dtype).eps
    low = Floor(float(rounded(np.array(floor.value), threshold.dtype)), floor.attained)
    return low.always_exceeds(threshold.double().reshape(-1).numpy(), eps=eps)
