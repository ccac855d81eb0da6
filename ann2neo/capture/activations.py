"""What is an activation function: torch's modules, those of other libraries that behave alike, and functions such as `torch.relu`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

# Element by element and without a state of their own: the modules that a neuroscientist would call a neuron's output nonlinearity.
ACTIVATIONS = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU,
    nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip

MODULE_OF_FUNCTION: dict[str, type[nn.Module]] = {
    "celu": nn.CELU, "elu": nn.ELU, "gelu": nn.GELU, "hardshrink": nn.Hardshrink, "hardsigmoid": nn.Hardsigmoid, "hardswish": nn.Hardswish,
    "hardtanh": nn.Hardtanh, "leaky_relu": nn.LeakyReLU, "logsigmoid": nn.LogSigmoid, "mish": nn.Mish, "prelu": nn.PReLU, "relu": nn.ReLU,
    "relu6": nn.ReLU6, "rrelu": nn.RReLU, "selu": nn.SELU, "sigmoid": nn.Sigmoid, "silu": nn.SiLU, "softplus": nn.Softplus,
    "softshrink": nn.Softshrink, "softsign": nn.Softsign, "tanh": nn.Tanh, "tanhshrink": nn.Tanhshrink, "threshold": nn.Threshold,
}  # fmt: skip

# clamp and its like are activation functions where they cut at 0 from below.
CLAMPS = ("clamp", "clip", "clamp_min")
FUNCTION_NAMES = (*MODULE_OF_FUNCTION, "clamp")
_OTHER_NAMES = {"_threshold": "threshold", "log_sigmoid": "logsigmoid", "expit": "sigmoid"} | dict.fromkeys(
    CLAMPS, "clamp"
)
_PLACES = (nn.functional, torch, torch.Tensor, torch.special, torch.ops.aten)
# How other libraries call their own: QuickGELUActivation, NewGELU, Swish, ...
_KNOWN_ENDS = ("activation", "elu", "silu", "swish", "mish", "sigmoid", "tanh", "softplus", "softsign")


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation function.

    It is if it is one of torch's; or if its class is named like one (its name ends in a word such as "GELU", "Swish" or "Activation"), it has neither
    parameters nor buffers, and a probe shows that it treats each number by itself and does not just pass it on.

    Examples
    --------
    >>> class QuickGELU(nn.Module):
    ...     def forward(self, x):
    ...         return x * torch.sigmoid(1.702 * x)
    >>> is_activation(QuickGELU()), is_activation(nn.ReLU()), is_activation(nn.Softmax()), is_activation(nn.Linear(4, 4))
    (True, True, False, False)
    """
    if isinstance(module, ACTIVATIONS):
        return True
    named = type(module).__name__.lower().endswith(_KNOWN_ENDS)
    return named and not module.state_dict() and _is_elementwise(module)


def equivalent_module(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> nn.Module:
    """Find the module that does what a function was called to do, with the same slope, limits and so on.

    Parameters
    ----------
    name
        One of `FUNCTION_NAMES`.
    args, kwargs
        Arguments of the call; the first one, or ``input``, is the pre-activation.

    Examples
    --------
    >>> equivalent_module("leaky_relu", (torch.zeros(1), 0.2), {})
    LeakyReLU(negative_slope=0.2)
    >>> equivalent_module("clamp", (torch.zeros(1),), {"min": 0, "max": 6})
    Hardtanh(min_val=0.0, max_val=6.0)
    """
    if name == "clamp":
        upper = _number(limits(args, kwargs)[1])
        return nn.ReLU() if upper is None else nn.Hardtanh(0.0, upper)
    if name == "elu":
        return _elu(*args[1:], **{key: value for key, value in kwargs.items() if key in _OF_ELU})
    if name == "prelu":
        slopes = args[1] if len(args) > 1 else kwargs["weight"]
        module = nn.PReLU(slopes.numel(), device=slopes.device, dtype=slopes.dtype)
        module.weight.data.copy_(slopes)
        return module
    rest = args[1:3] if name == "rrelu" else args[1:]
    options = {
        key: value for key, value in kwargs.items() if key not in ("input", "self", "out", "training", "generator")
    }
    return MODULE_OF_FUNCTION[name](*rest, **options)


def is_activation_call(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of one of the functions is an activation: of a tensor that was computed, and not a clamp for other ends.

    A parameter that is squashed (a learned gate or scale) is no activation of a unit. A clamp is one if its lower limit is the number 0 and its upper
    one, if any, a positive number. NumPy's numbers, and tensors without axes that are not on another device, are numbers.

    Examples
    --------
    >>> x = torch.zeros(2)
    >>> [is_activation_call("clamp", (x,), limits) for limits in ({"min": 0}, {"min": 1e-6}, {"min": 0, "max": 6}, {"max": 1})]
    [True, False, True, False]
    >>> is_activation_call("softplus", (nn.Parameter(x),), {})
    False
    """
    given = args[0] if args else kwargs.get("input", kwargs.get("self"))
    if not isinstance(given, torch.Tensor) or isinstance(given, nn.Parameter):
        return False
    if not given.is_floating_point() or given.ndim == 0:
        return False
    if name != "clamp":
        return True
    lower, upper = limits(args, kwargs)
    if _number(lower) != 0:
        return False
    highest = _number(upper)
    return upper is None or (highest is not None and highest > 0)


def limits(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Lower and upper limit of a call of clamp."""
    lower = args[1] if len(args) > 1 else kwargs.get("min")
    upper = args[2] if len(args) > 2 else kwargs.get("max")
    return lower, upper


@cache
def known_functions() -> dict[Callable[..., Any], str]:
    """Give the name of each function, of its variants that work in place and of its twins among methods.

    Examples
    --------
    >>> known = known_functions()
    >>> known[torch.relu], known[torch.Tensor.relu_], known[nn.functional.log_softmax] if nn.functional.log_softmax in known else None
    ('relu', 'relu', None)
    """
    names = {name: name for name in MODULE_OF_FUNCTION} | _OTHER_NAMES
    found: dict[Callable[..., Any], str] = {}
    for variant, name in [(name + end, short) for name, short in names.items() for end in ("", "_")]:
        for function in (getattr(place, variant, None) for place in _PLACES):
            if function is not None:
                found[function] = name
                found |= {getattr(function, overload): name for overload in getattr(function, "overloads", list)()}
    return found


@cache
def operator_names() -> frozenset[str]:
    """Give the names of torch's operators that are activation functions, and of those that may be.

    Examples
    --------
    >>> {"relu", "relu_", "clamp_min"} <= operator_names(), "linear" in operator_names()
    (True, False)
    """
    names = (*MODULE_OF_FUNCTION, *_OTHER_NAMES, "log_sigmoid_forward", "_prelu_kernel")
    return frozenset(name + end for name in names for end in ("", "_"))


class ScaledELU(nn.ELU):
    """ELU as torch's operator knows it, with scales of its output and of the exponent's input, for which there is no module."""

    def __init__(self, alpha: float, scale: float, input_scale: float) -> None:
        super().__init__(alpha)
        self.scale, self.input_scale = scale, input_scale

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Call the operator."""
        return torch.ops.aten.elu.default(input, self.alpha, self.scale, self.input_scale)


_OF_ELU = ("alpha", "scale", "input_scale")


def _elu(alpha: Any = 1.0, scale: Any = 1.0, input_scale: Any = 1.0) -> nn.Module:
    # The function has its truth value ``inplace`` where the operator has a scale.
    if isinstance(scale, bool) or (scale == 1 and input_scale == 1):
        return nn.ELU(alpha)
    return ScaledELU(alpha, scale, input_scale)


def _number(value: Any) -> float | None:
    """Read a number: Python's, NumPy's, or a tensor's without axes, unless its device would have to be waited for."""
    if isinstance(value, torch.Tensor) and value.ndim == 0 and value.device.type == "cpu":
        value = value.item()
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return float(value) if is_number else None


def _is_elementwise(module: nn.Module) -> bool:
    """Probe: the outcome for a number depends neither on its place nor on its neighbors, and is not that number."""
    x = torch.linspace(-3.0, 3.0, 12, dtype=torch.float64).reshape(3, 4)
    try:
        with torch.no_grad():
            y, turned, alone = (module.forward(part) for part in (x.clone(), x.flip(0, 1), x[:1, :1].clone()))
    except Exception:
        # Whatever a foreign module raises here, it is no function of one tensor.
        return False
    if not isinstance(y, torch.Tensor) or y.shape != x.shape or alone.shape != (1, 1):
        return False
    return torch.allclose(y, turned.flip(0, 1)) and torch.allclose(y[:1, :1], alone) and not torch.equal(y, x)
