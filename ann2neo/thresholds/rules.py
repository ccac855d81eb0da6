"""Threshold rules: the forms that users may give, the rule of each layer, and their description in the provenance."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal, Protocol, TypeGuard, runtime_checkable

import numpy as np
from jaxtyping import Float

from ann2neo.errors import Ann2NeoError, ThresholdError, kind_of
from ann2neo.recording import matches
from ann2neo.thresholds.moments import Moments
from ann2neo.thresholds.selection import MAX_BYTES, Selection

Per = Literal["unit", "layer"]


@runtime_checkable
class ArrayLike(Protocol):
    """An object that NumPy can convert to an array, such as a tensor."""

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Convert to an array."""
        ...


@dataclass(frozen=True, slots=True)
class Quantile:
    """Threshold at a quantile of the activation over calibration inputs.

    The threshold is the smallest of the unit's own activations that is not exceeded by at least a share ``q`` of them (NumPy's "inverted_cdf"). A unit then spikes on
    at most a share ``1 - q`` of these inputs, exactly and for any number of inputs. Memory is bounded. One reading of the inputs is enough if the activations fit into
    memory, or if inputs come in random order; other inputs, such as many inputs sorted by label, may be read a few times.

    Parameters
    ----------
    q
        Share of activations that are not spikes, from 0 to 1.
    on
        Calibration inputs, in any form that `ann2neo.record` takes; with steps, every position counts.
    per
        "unit" for a separate threshold for each unit, "layer" for one threshold from all recorded units of a layer.

    Raises
    ------
    ThresholdError
        If ``q`` is not between 0 and 1, ``per`` is unknown, or ``on`` is not inputs.

    See Also
    --------
    ann2neo.MeanPlusSd, ann2neo.record

    Examples
    --------
    >>> import numpy as np
    >>> Quantile(0.9, on=np.zeros((5, 3)))
    Quantile(q=0.9, per='unit')
    """

    q: float | int
    on: Any = field(kw_only=True, compare=False, repr=False)
    per: Per = field(default="unit", kw_only=True)

    def __post_init__(self) -> None:
        _check_per(self.per)
        _check_on(self.on)
        if not _is_number(self.q) or not 0 <= self.q <= 1:
            raise ThresholdError(
                f"`q` must be a number from 0 to 1, got {self.q!r}.",
                "The quantile is not defined.",
                "Use Quantile(0.9, ...), for instance.",
            )


@dataclass(frozen=True, slots=True)
class MeanPlusSd:
    """Threshold at the mean of the activation over calibration inputs plus ``k`` standard deviations (ddof 0).

    Both are computed in one reading, exact to double precision, and the sum is rounded to the activation's type. A unit with constant activation has this value as
    its threshold and is silent.

    Parameters
    ----------
    k
        Number of standard deviations; may be negative.
    on
        Calibration inputs, in any form that `ann2neo.record` takes; with steps, every position counts.
    per
        "unit" for a separate threshold for each unit, "layer" for one threshold from all recorded units of a layer.

    Raises
    ------
    ThresholdError
        If ``k`` is not a finite number, ``per`` is unknown, or ``on`` is not inputs.

    See Also
    --------
    ann2neo.Quantile, ann2neo.record

    Examples
    --------
    >>> import numpy as np
    >>> MeanPlusSd(2, on=np.zeros((5, 3)), per="layer")
    MeanPlusSd(k=2, per='layer')
    """

    k: float | int
    on: Any = field(kw_only=True, compare=False, repr=False)
    per: Per = field(default="unit", kw_only=True)

    def __post_init__(self) -> None:
        _check_per(self.per)
        _check_on(self.on)
        if not _is_number(self.k):
            raise ThresholdError(
                f"`k` must be a finite number of standard deviations, got {self.k!r}.",
                "The threshold is not defined.",
                "Use MeanPlusSd(2, ...), for instance.",
            )


CalibratedRule = Quantile | MeanPlusSd
FixedRule = float | Float[np.ndarray, "..."] | None
Rule = float | int | ArrayLike | Sequence[Any] | CalibratedRule | Mapping[str, Any] | None
Statistic = Moments | Selection


def rule_for(layer: str, rule: Rule) -> FixedRule | CalibratedRule:
    """Find the rule of a layer: a number, one threshold per unit, a rule to calibrate, or None for the activation's value at pre-activation 0.

    In a mapping from patterns to rules the first pattern that matches applies; without a match the rule is None. An array or tensor without axes is a number.

    Raises
    ------
    ThresholdError
        If the rule has an unknown form, or is not finite.

    Examples
    --------
    >>> rule_for("features.0", {"classifier.*": 0.5, "*": 0.1})
    0.1
    >>> rule_for("features.0", [0.1, 0.2])
    array([0.1, 0.2])
    >>> rule_for("features.0", None) is None
    True
    """
    if isinstance(rule, Mapping):
        check_choices("threshold", rule, ThresholdError)
        fitting = [value for pattern, value in rule.items() if matches(layer, pattern)]
        if fitting and isinstance(fitting[0], Mapping):
            raise ThresholdError(
                f"the rule for {layer!r} is a mapping within a mapping.",
                "It is unclear which pattern applies.",
                "Use one mapping from patterns to rules.",
            )
        return rule_for(layer, fitting[0]) if fitting else None
    if rule is None or isinstance(rule, (Quantile, MeanPlusSd)):
        return rule
    if _is_number(rule):
        return float(rule)
    values = None if hasattr(rule, "rescale") else _array(rule)
    if values is None or not np.isfinite(values).all():
        raise ThresholdError(
            f"the threshold of layer {layer!r} must be a finite number, an array or a rule, got {kind_of(rule)} ({rule!s:.40})."
            if values is None or values.ndim == 0
            else f"{(~np.isfinite(values)).sum()} of {values.size} thresholds for layer {layer!r} are not finite.",
            "Activations cannot be compared with it.",
            "Give a finite number, an array of one number per unit, Quantile, MeanPlusSd, None (the activation's value at pre-activation 0) or a mapping from layer "
            "patterns to these.",
        )
    return values if values.ndim else float(values)


def check_choices(option: str, choices: Mapping[Any, Any], error: type[Ann2NeoError]) -> None:
    """Check that a mapping from layer patterns is not empty and has only texts as keys.

    Raises
    ------
    Ann2NeoError
        If the mapping is empty, or a key is empty or not a text.

    Examples
    --------
    >>> check_choices("threshold", {"*": 0.1}, ThresholdError)
    """
    wrong = [pattern for pattern in choices if not isinstance(pattern, str) or not pattern]
    if wrong or not choices:
        raise error(
            f"`{option}` is a mapping " + (f"with the key {wrong[0]!r}." if wrong else "without any pattern."),
            "It would apply to no layer.",
            f'Use names or patterns of layers as keys: {option}={{"fc*": ...}}; omit {option} for the default.',
        )


def calibrated_rules(rule: Rule) -> list[CalibratedRule]:
    """List the rules that are calibrated on inputs.

    Examples
    --------
    >>> calibrated_rules({"conv*": Quantile(0.5, on=[]), "*": 0.1})
    [Quantile(q=0.5, per='unit')]
    """
    every: Iterable[Any] = rule.values() if isinstance(rule, Mapping) else [rule]
    return [one for one in every if isinstance(one, (Quantile, MeanPlusSd))]


def statistic_for(rule: CalibratedRule, *, max_bytes: int = MAX_BYTES, n_expected: int | None = None) -> Statistic:
    """Make the statistic that accumulates activations for a rule.

    Parameters
    ----------
    rule
        The rule.
    max_bytes
        Memory for activations or counts.
    n_expected
        Number of activations that each column will have, if it is known.
    """
    if isinstance(rule, Quantile):
        return Selection(float(rule.q), max_bytes=max_bytes, n_expected=n_expected)
    return Moments()


def thresholds_from(rule: CalibratedRule, statistic: Statistic) -> Float[np.ndarray, " column"]:
    """Compute the thresholds from an accumulated statistic, in double precision, shape (column,): one column per unit, or one for the layer.

    Examples
    --------
    >>> rule = MeanPlusSd(2, on=[])
    >>> statistic = statistic_for(rule)
    >>> statistic.add(np.array([[1.0], [3.0]]))
    >>> thresholds_from(rule, statistic)
    array([4.])
    """
    if isinstance(statistic, Selection):
        return statistic.values.astype(np.float64)
    if isinstance(rule, Quantile):
        raise ThresholdError(
            f"{rule!r} needs a quantile, got mean and standard deviation.",
            "Its thresholds cannot be computed.",
            "Accumulate a `Selection`.",
        )
    return statistic.mean + rule.k * statistic.sd


def describe(rule: Rule, n_inputs: Mapping[int, int] | None = None) -> str:
    """Describe a rule for the provenance.

    Parameters
    ----------
    rule
        The rule.
    n_inputs
        Number of calibration inputs, by the `id` of the object given as ``on``; None if the rule is not calibrated yet.

    Examples
    --------
    >>> describe(None)
    'value at pre-activation 0'
    >>> describe({"fc*": 0.5, "*": None})
    "{'fc*': 0.5, '*': value at pre-activation 0}"
    >>> data = np.zeros((500, 3))
    >>> describe(Quantile(0.9, on=data), {id(data): 500})
    "Quantile(q=0.9, per='unit') on 500 inputs"
    >>> describe(np.array([0.5, 1.0]))
    '2 thresholds, sha256 79eefa853821'
    """
    if isinstance(rule, Mapping):
        return "{" + ", ".join(f"{pattern!r}: {describe(value, n_inputs)}" for pattern, value in rule.items()) + "}"
    if rule is None:
        return "value at pre-activation 0"
    if isinstance(rule, (Quantile, MeanPlusSd)):
        known = (n_inputs or {}).get(id(rule.on))
        return repr(rule) if known is None else f"{rule!r} on {known} inputs"
    if _is_number(rule):
        return repr(rule.item() if isinstance(rule, np.generic) else rule)
    values = _array(rule)
    if values is None:
        # Refused later, when it is applied to a layer.
        return kind_of(rule)
    if values.ndim == 0:
        return repr(float(values))
    return f"{values.size} thresholds, sha256 {hashlib.sha256(values.tobytes()).hexdigest()[:12]}"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) and math.isfinite(value)


def _array(values: Any) -> Float[np.ndarray, "*shape"] | None:
    """Convert values to an array of floating-point numbers; None if that is not possible, or for texts and truth values."""
    if str(getattr(values, "dtype", "")) == "torch.bool":
        return None
    # A tensor may be on another device, require gradients, or have a type that NumPy does not know.
    given = values.detach().cpu().double().numpy() if hasattr(values, "detach") else values
    try:
        array = np.asarray(given)
        return array.astype(np.float64) if array.dtype.kind in "iuf" else None
    except (TypeError, ValueError):
        return None


def _check_on(on: Any) -> None:
    if on is None or isinstance(on, str | Real):
        raise ThresholdError(
            f"`on` must be inputs that `ann2neo.record` takes, got {on!r}.",
            "The threshold cannot be calibrated.",
            "Give a tensor or another form of inputs: on=x.",
        )


def _check_per(per: str) -> None:
    if per not in ("unit", "layer"):
        raise ThresholdError(
            f"`per` must be 'unit' or 'layer', got {per!r}.",
            "The threshold cannot be calibrated.",
            "Use per='unit' or per='layer'.",
        )
