"""What is an activation function: torch's modules and functions in one table.

A function that torch adds is one entry of `TABLE`: its module, the name of its function, and the lowest value that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn

from ann2neo.thresholds import NO_FLOOR, Floor


@dataclass(frozen=True, slots=True)
class ActivationFunction:
    """One of torch's activation functions: element by element, or, of a gated linear unit, pair by pair; without a state of its own.

    Parameters
    ----------
    module
        Class of the module.
    function
        Name of the function in ``torch.nn.functional``.
    floor
        Infimum of its values, or a function that finds it from a module's parameters.
    """

    module: type[nn.Module]
    function: str
    floor: Floor | Callable[[Any], Floor]


def _celu(module: nn.CELU) -> Floor:
    return Floor(-module.alpha, False) if module.alpha > 0 else NO_FLOOR


def _elu(module: nn.ELU) -> Floor:
    return Floor(-module.alpha, False) if module.alpha > 0 else Floor(0.0, True)


def _gelu(module: nn.GELU) -> Floor:
    # Minima without a closed form, to double precision.
    return Floor(-0.17004075057125405 if module.approximate == "tanh" else -0.16997120747990366, True)


def _hardtanh(module: nn.Hardtanh) -> Floor:
    return Floor(float(module.min_val), True)


def _leaky(module: nn.LeakyReLU) -> Floor:
    return NO_FLOOR if module.negative_slope > 0 else Floor(0.0, True)


def _prelu(module: nn.PReLU) -> Floor:
    # With several slopes it is bounded below only where none of them is positive.
    return NO_FLOOR if float(module.weight.detach().max()) > 0 else Floor(0.0, True)


def _softplus(module: nn.Softplus) -> Floor:
    return Floor(0.0, False) if module.beta > 0 else NO_FLOOR


def _threshold(module: nn.Threshold) -> Floor:
    # Values are x above ``threshold`` and ``value`` at or below it.
    attained = module.value <= module.threshold
    return Floor(float(module.value if attained else module.threshold), attained)


TABLE = (
    ActivationFunction(nn.CELU, "celu", _celu),
    ActivationFunction(nn.ELU, "elu", _elu),
    ActivationFunction(nn.GELU, "gelu", _gelu),
    ActivationFunction(nn.GLU, "glu", NO_FLOOR),
    ActivationFunction(nn.Hardshrink, "hardshrink", NO_FLOOR),
    ActivationFunction(nn.Hardsigmoid, "hardsigmoid", Floor(0.0, True)),
    ActivationFunction(nn.Hardswish, "hardswish", Floor(-0.375, True)),
    ActivationFunction(nn.ReLU6, "relu6", Floor(0.0, True)),
    ActivationFunction(nn.Hardtanh, "hardtanh", _hardtanh),
    ActivationFunction(nn.LeakyReLU, "leaky_relu", _leaky),
    ActivationFunction(nn.LogSigmoid, "logsigmoid", NO_FLOOR),
    ActivationFunction(nn.Mish, "mish", Floor(-0.3088434130172504, True)),
    ActivationFunction(nn.PReLU, "prelu", _prelu),
    ActivationFunction(nn.ReLU, "relu", Floor(0.0, True)),
    ActivationFunction(nn.RReLU, "rrelu", NO_FLOOR),
    ActivationFunction(nn.SELU, "selu", Floor(-1.0507009873554805 * 1.6732632423543772, False)),
    ActivationFunction(nn.SiLU, "silu", Floor(-0.2784645427610738, True)),
    ActivationFunction(nn.Sigmoid, "sigmoid", Floor(0.0, False)),
    ActivationFunction(nn.Softplus, "softplus", _softplus),
    ActivationFunction(nn.Softshrink, "softshrink", NO_FLOOR),
    ActivationFunction(nn.Softsign, "softsign", Floor(-1.0, False)),
    ActivationFunction(nn.Tanh, "tanh", Floor(-1.0, False)),
    ActivationFunction(nn.Tanhshrink, "tanhshrink", NO_FLOOR),
    ActivationFunction(nn.Threshold, "threshold", _threshold),
)
MODULES = tuple(entry.module for entry in TABLE)
MODULE_OF_FUNCTION: Mapping[str, type[nn.Module]] = {entry.function: entry.module for entry in TABLE}

COMPETING = "its values compete, so that none is the activation of a unit by itself: name it in layers="
MIXING = "it mixes what stands at other positions, and is not a function of one unit: name it in layers="
RECURRENT = "not an activation function of torch: name it in layers="
# What torch counts among its activations, and recurrent modules: not recorded unless they are named, each with the reason.
BESIDE: Mapping[type[nn.Module], str] = {
    **dict.fromkeys((nn.Softmax, nn.Softmax2d, nn.LogSoftmax, nn.Softmin), COMPETING),
    nn.MultiheadAttention: MIXING,
    **dict.fromkeys((nn.RNNBase, nn.RNNCellBase), RECURRENT),
}
COMPETING_FUNCTIONS = ("softmax", "log_softmax", "softmin", "gumbel_softmax")

# clamp and its like are activation functions where they cut at 0 from below; so is maximum, which no scripted function is suspected for.
CLAMPS = ("clamp", "clip", "clamp_min")
MAXIMUM = {"maximum": "clamp"}
FED_BY_PARAMETER = "it squashes a parameter, which is the same for every input"
FED_BY_NUMBER = "it squashes one number, which has no axis of inputs"
FUNCTION_NAMES = (*MODULE_OF_FUNCTION, "clamp")
_OTHER_NAMES = {"_threshold": "threshold", "log_sigmoid": "logsigmoid", "expit": "sigmoid"} | dict.fromkeys(
    CLAMPS, "clamp"
)
_PLACES = (nn.functional, torch, torch.Tensor, torch.special, torch.ops.aten)
# How other libraries call their own: QuickGELUActivation, NewGELU, Swish, ...
_KNOWN_ENDS = ("activation", "elu", "silu", "swish", "mish", "sigmoid", "tanh", "softplus", "softsign")


def is_of_table(module: nn.Module) -> bool:
    """Whether a module is one of torch's activation functions.

    Examples
    --------
    >>> is_of_table(nn.ReLU()), is_of_table(nn.Softmax()), is_of_table(nn.Linear(4, 4))
    (True, False, False)
    """
    return isinstance(module, MODULES)


def is_named_like_one(module: nn.Module) -> bool:
    """Whether the class of a module is named like an activation function and holds neither parameters nor buffers.

    Examples
    --------
    >>> class QuickGELU(nn.Module):
    ...     def forward(self, x):
    ...         return x * torch.sigmoid(1.702 * x)
    >>> is_named_like_one(QuickGELU()), is_named_like_one(nn.Linear(4, 4))
    (True, False)
    """
    return type(module).__name__.lower().endswith(_KNOWN_ENDS) and not module.state_dict()


def floor_of(module: nn.Module) -> Floor:
    """Find the infimum of an activation function of torch's own; of others none is claimed.

    Examples
    --------
    >>> floor_of(nn.Sigmoid()), floor_of(nn.Hardtanh(-3, 3)).value, floor_of(nn.ELU(2.0)).value, floor_of(nn.LeakyReLU()).value
    (Floor(value=0.0, attained=False), -3.0, -2.0, -inf)
    """
    entry = next((entry for entry in TABLE if entry.module is type(module)), None)
    if entry is None:
        return NO_FLOOR
    return entry.floor if isinstance(entry.floor, Floor) else entry.floor(module)


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
        return _elu_module(*args[1:], **{key: value for key, value in kwargs.items() if key in _OF_ELU})
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
    """Whether a call of one of the functions is one of an activation function: of floating-point numbers, and not a clamp at other limits.

    A clamp is one if its lower limit is the number 0 and its upper one, if any, a positive number. NumPy's numbers, and tensors without axes that are not on
    another device, are numbers; a lower limit of zeros alone is 0.

    Examples
    --------
    >>> x = torch.zeros(2)
    >>> [is_activation_call("clamp", (x,), limits) for limits in ({"min": 0}, {"min": 1e-6}, {"min": 0, "max": 6}, {"max": 1})]
    [True, False, True, False]
    >>> is_activation_call("clamp", (x, torch.zeros(2)), {}), is_activation_call("clamp", (x, torch.tensor([0.0, 1.0])), {})
    (True, False)
    >>> is_activation_call("softplus", (torch.zeros(2, dtype=torch.long),), {})
    False
    """
    given = _operand(args, kwargs)
    if not isinstance(given, torch.Tensor) or not given.is_floating_point():
        return False
    if name != "clamp":
        return True
    lower, upper = limits(args, kwargs)
    if not _is_zero(lower, given):
        return False
    highest = _number(upper)
    return upper is None or (highest is not None and highest > 0)


def of_no_input(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, str] | None:
    """Whether a function was called on what has no axis of inputs, a parameter or one number: a word for it, and why it is not recorded.

    Examples
    --------
    >>> x = torch.zeros(2)
    >>> [of_no_input((one,), {}) for one in (x, nn.Parameter(x), x.sum())]
    [None, ('parameter', 'it squashes a parameter, which is the same for every input'), ('number', 'it squashes one number, which has no axis of inputs')]
    """
    given = _operand(args, kwargs)
    if isinstance(given, nn.Parameter):
        return "parameter", FED_BY_PARAMETER
    if isinstance(given, torch.Tensor) and given.ndim == 0:
        return "number", FED_BY_NUMBER
    return None


def _operand(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return args[0] if args else kwargs.get("input", kwargs.get("self"))


def limits(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Lower and upper limit of a call of clamp, or of maximum."""
    lower = args[1] if len(args) > 1 else kwargs.get("min", kwargs.get("other"))
    upper = args[2] if len(args) > 2 else kwargs.get("max")
    return lower, upper


@cache
def known_functions() -> dict[Callable[..., Any], str]:
    """Return the name of each function, of its in-place variants and of the methods that do the same.

    Examples
    --------
    >>> known = known_functions()
    >>> known[torch.relu], known[torch.Tensor.relu_], known[nn.functional.log_softmax] if nn.functional.log_softmax in known else None
    ('relu', 'relu', None)
    """
    names = {name: name for name in MODULE_OF_FUNCTION} | _OTHER_NAMES | MAXIMUM
    found: dict[Callable[..., Any], str] = {}
    for variant, name in [(name + end, short) for name, short in names.items() for end in ("", "_")]:
        for function in (getattr(place, variant, None) for place in _PLACES):
            if function is not None:
                found[function] = name
                found |= {getattr(function, overload): name for overload in getattr(function, "overloads", list)()}
    return found


@cache
def competing_functions() -> dict[Callable[..., Any], str]:
    """Return the name of each function, and of the methods that do the same, whose values compete.

    Examples
    --------
    >>> competing_functions()[torch.softmax], competing_functions()[torch.Tensor.log_softmax]
    ('softmax', 'log_softmax')
    """
    found = {(name, getattr(place, name, None)) for name in COMPETING_FUNCTIONS for place in _PLACES}
    return {function: name for name, function in found if function is not None}


@cache
def operator_names() -> frozenset[str]:
    """Return the names of torch's operators that are activation functions, and of those that may be.

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


def _elu_module(alpha: Any = 1.0, scale: Any = 1.0, input_scale: Any = 1.0) -> nn.Module:
    # The function has its truth value ``inplace`` where the operator has a scale.
    if isinstance(scale, bool) or (scale == 1 and input_scale == 1):
        return nn.ELU(alpha)
    return ScaledELU(alpha, scale, input_scale)


def _is_zero(limit: Any, given: torch.Tensor) -> bool:
    """Whether a limit is 0, or a tensor of zeros that gives the result no other shape."""
    if not isinstance(limit, torch.Tensor) or limit.ndim == 0:
        return _number(limit) == 0
    fits = limit.ndim <= given.ndim and all(n in (1, m) for n, m in zip(limit.shape[::-1], given.shape[::-1]))
    return fits and not limit.is_meta and limit.layout == torch.strided and not bool(limit.any())


def _number(value: Any) -> float | None:
    """Read a number: Python's, NumPy's, or a tensor's without axes, unless its device would have to be waited for."""
    if isinstance(value, torch.Tensor) and value.ndim == 0 and value.device.type == "cpu":
        value = value.item()
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return float(value) if is_number else None
