"""The lowest values that activation functions, softmax and recurrent modules take: below them, a threshold means nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

Parameter = Callable[[str, float], float]


@dataclass(frozen=True, slots=True)
class Floor:
    """Infimum of an activation function.

    Parameters
    ----------
    value
        Largest number that no value of the function lies below; minus infinity if there is none, or if it is not known.
    attained
        Whether the function takes this value at some finite pre-activation.
    """

    value: float
    attained: bool

    def always_exceeds(self, thresholds: Float[np.ndarray, " unit"], *, eps: float = 0.0) -> Bool[np.ndarray, " unit"]:
        """Whether every value of the function lies above each threshold, whatever the pre-activation, shape (unit,).

        Parameters
        ----------
        thresholds
            Thresholds, rounded to the activation's type, shape (unit,).
        eps
            Relative precision of that type: an attained infimum may be missed by as much.

        Examples
        --------
        >>> Floor(0.0, False).always_exceeds(np.array([0.0, -0.1])), Floor(0.0, True).always_exceeds(np.array([0.0, -0.1]))
        (array([ True,  True]), array([False,  True]))
        """
        if not self.attained:
            return thresholds <= self.value
        return thresholds < self.value - (4 * eps * abs(self.value) if math.isfinite(self.value) else 0.0)


NO_FLOOR = Floor(-math.inf, False)

# Minima without a closed form, to double precision.
_FIXED = {
    "gelu": Floor(-0.16997120747990366, True),
    "hardsigmoid": Floor(0.0, True),
    "hardswish": Floor(-0.375, True),
    "mish": Floor(-0.3088434130172504, True),
    "relu": Floor(0.0, True),
    "relu6": Floor(0.0, True),
    "selu": Floor(-1.0507009873554805 * 1.6732632423543772, False),
    "sigmoid": Floor(0.0, False),
    "silu": Floor(-0.2784645427610738, True),
    "softmax": Floor(0.0, False),
    "softmax2d": Floor(0.0, False),
    "softmin": Floor(0.0, False),
    "softsign": Floor(-1.0, False),
    "tanh": Floor(-1.0, False),
    # Hidden states. Of a gated recurrent unit they lie between those before and values of tanh: above -1 if the first ones do.
    "gru": Floor(-1.0, False),
    "grucell": Floor(-1.0, False),
    "lstmcell": Floor(-1.0, False),
}
GELU_TANH = Floor(-0.17004075057125405, True)


def _elu(parameter: Parameter) -> Floor:
    alpha = parameter("alpha", 1.0)
    return Floor(-alpha, False) if alpha > 0 else Floor(0.0, True)


def _celu(parameter: Parameter) -> Floor:
    alpha = parameter("alpha", 1.0)
    return Floor(-alpha, False) if alpha > 0 else NO_FLOOR


def _leaky(parameter: Parameter) -> Floor:
    return NO_FLOOR if parameter("negative_slope", 0.01) > 0 else Floor(0.0, True)


def _prelu(parameter: Parameter) -> Floor:
    return NO_FLOOR if parameter("weight", 0.25) > 0 else Floor(0.0, True)


def _softplus(parameter: Parameter) -> Floor:
    return Floor(0.0, False) if parameter("beta", 1.0) > 0 else NO_FLOOR


def _hardtanh(parameter: Parameter) -> Floor:
    return Floor(parameter("min_val", -1.0), True)


def _threshold(parameter: Parameter) -> Floor:
    """Values are x above ``threshold`` and ``value`` at or below it."""
    open_end, value = parameter("threshold", 0.0), parameter("value", 0.0)
    return Floor(value, True) if value <= open_end else Floor(open_end, False)


def _recurrent(parameter: Parameter) -> Floor:
    return _FIXED["relu"] if parameter("relu", 0.0) else _FIXED["tanh"]


def _long_short_term(parameter: Parameter) -> Floor:
    """Hidden states are sigmoid times tanh, unless they are projected."""
    return NO_FLOOR if parameter("proj_size", 0.0) else _FIXED["tanh"]


_OF_PARAMETERS: dict[str, Callable[[Parameter], Floor]] = {
    "celu": _celu,
    "elu": _elu,
    "hardtanh": _hardtanh,
    "leakyrelu": _leaky,
    "lstm": _long_short_term,
    "prelu": _prelu,
    "rnn": _recurrent,
    "rnncell": _recurrent,
    "softplus": _softplus,
    "threshold": _threshold,
}


def floor_of(kind: str, parameter: Parameter = lambda _name, default: default) -> Floor:
    """Find the infimum of an activation function.

    Functions that are unbounded below (LeakyReLU, Hardshrink, LogSigmoid, ...) have none, and of functions that are not known none is claimed.

    Parameters
    ----------
    kind
        torch's name of the module or function: "Sigmoid", "leaky_relu".
    parameter
        Gives a parameter of the function by torch's name for it, or the default that goes with it.

    Examples
    --------
    >>> floor_of("Sigmoid"), floor_of("leaky_relu").value, floor_of("ELU", lambda name, default: 2.0)
    (Floor(value=0.0, attained=False), -inf, Floor(value=-2.0, attained=False))
    """
    name = kind.replace("_", "").lower()
    if name == "gelu":
        return GELU_TANH if parameter("tanh", 0.0) else _FIXED[name]
    if name in _OF_PARAMETERS:
        return _OF_PARAMETERS[name](parameter)
    return _FIXED.get(name, NO_FLOOR)
