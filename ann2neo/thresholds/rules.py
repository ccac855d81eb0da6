"""The rules themselves: what a user may write, which of them a layer follows, and how they are written down."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal, Protocol, TypeGuard, runtime_checkable

import numpy as np
from jaxtyping import Float

from ann2neo.errors import Ann2NeoError, ThresholdError
from ann2neo.recording import matches
from ann2neo.thresholds.moments import Moments
from ann2neo.thresholds.selection import MAX_BYTES, Selection

Per = Literal["unit", "layer"]


@runtime_checkable
class ArrayLike(Protocol):
    """What NumPy can make an array of, such as a tensor."""

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Make the array."""
        ...


@dataclass(frozen=True, slots=True)
class Quantile:
    """The threshold is a quantile of the activation over some inputs.

    It is the smallest of the unit's own activations that at least a share ``q`` of them does not exceed (NumPy's "inverted_cdf"), so that a unit spikes on at most
    a share ``1 - q`` of these inputs: exactly, whatever their number. Memory is bounded; one reading of the inputs is enough where activations fit, or where inputs come
    in random order; others, such as many inputs sorted by label, may be read a few times.

    Parameters
    ----------
    q
        Share of activations that are no spikes, from 0 to 1.
    on
        Inputs that calibrate it, in any form that `ann2neo.record` takes; with steps, every position counts.
    per
        "unit" for a threshold of each unit, "layer" for one from all recorded units of a layer together.

    Raises
    ------
    ThresholdError
        If ``q`` is no share, or ``per`` is not known.

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
                f"{self.q!r} is no share from 0 to 1.",
                "There is no such quantile.",
                "Use for instance Quantile(0.9, ...).",
            )


@dataclass(frozen=True, slots=True)
class MeanPlusSd:
    """The threshold is the mean of the activation over some inputs plus so many standard deviations (ddof 0).

    Both are exact to double precision in one reading, and the sum is rounded to the activation's type. A unit whose activation never changes has its own value as
    threshold and is silent.

    Parameters
    ----------
    k
        Number of standard deviations; may be negative.
    on
        Inputs that calibrate it, in any form that `ann2neo.record` takes; with steps, every position counts.
    per
        "unit" for a threshold of each unit, "layer" for one from all recorded units of a layer together.

    Raises
    ------
    ThresholdError
        If ``k`` is no finite number, or ``per`` is not known.

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
                f"{self.k!r} is no finite number of standard deviations.",
                "There is no such threshold.",
                "Give a number.",
            )


CalibratedRule = Quantile | MeanPlusSd
FixedRule = float | Float[np.ndarray, "..."] | None
Rule = float | int | ArrayLike | Sequence[Any] | CalibratedRule | Mapping[str, Any] | None
Statistic = Moments | Selection


def rule_for(layer: str, rule: Rule) -> FixedRule | CalibratedRule:
    """Find the rule of a layer: a number, thresholds of each unit, a rule to calibrate, or None for the activation's value at pre-activation 0.

    Of a mapping from patterns to rules the first pattern that fits is taken, and None where none fits. An array or tensor without axes is a number.

    Raises
    ------
    ThresholdError
        If the rule is of no known form, or not finite.

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
                "It is unclear which pattern counts.",
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
            f"a {type(rule).__name__} ({rule!s:.40}) is no threshold for layer {layer!r}."
            if values is None or values.ndim == 0
            else f"{(~np.isfinite(values)).sum()} of {values.size} thresholds for layer {layer!r} are not finite.",
            "An activation cannot be compared with it.",
            "Give a finite number, an array of one per unit, Quantile, MeanPlusSd, None (the activation's value at pre-activation 0) or a mapping from layer "
            "patterns to these.",
        )
    return values if values.ndim else float(values)


def check_choices(option: str, choices: Mapping[Any, Any], error: type[Ann2NeoError]) -> None:
    """Refuse a mapping of no patterns, or of patterns that are no texts.

    Raises
    ------
    Ann2NeoError
        If it is empty, or a key is.

    Examples
    --------
    >>> check_choices("threshold", {"*": 0.1}, ThresholdError)
    """
    wrong = [pattern for pattern in choices if not isinstance(pattern, str) or not pattern]
    if wrong or not choices:
        raise error(
            f"`{option}` is a mapping " + (f"with the key {wrong[0]!r}." if wrong else "without any pattern."),
            "It would apply to nothing.",
            f'Use names or patterns of layers as keys: {option}={{"fc*": ...}}; leave {option} out for the default.',
        )


def calibrated_rules(rule: Rule) -> list[CalibratedRule]:
    """List the rules that have inputs of their own.

    Examples
    --------
    >>> calibrated_rules({"conv*": Quantile(0.5, on=[]), "*": 0.1})
    [Quantile(q=0.5, per='unit')]
    """
    every: Iterable[Any] = rule.values() if isinstance(rule, Mapping) else [rule]
    return [one for one in every if isinstance(one, (Quantile, MeanPlusSd))]


def statistic_for(rule: CalibratedRule, *, max_bytes: int = MAX_BYTES, n_expected: int | None = None) -> Statistic:
    """Make what gathers a rule's activations.

    Parameters
    ----------
    rule
        The rule.
    max_bytes
        Memory for activations or counts.
    n_expected
        How many activations each column will have, if that is known.
    """
    if isinstance(rule, Quantile):
        return Selection(float(rule.q), max_bytes=max_bytes, n_expected=n_expected)
    return Moments()


def thresholds_from(rule: CalibratedRule, statistic: Statistic) -> Float[np.ndarray, " column"]:
    """Find the thresholds from what was gathered, in double precision, shape (column,): a column per unit, or one for the layer.

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
        raise ThresholdError(f"{rule!r} does not follow from a mean.", "", "Gather a `Selection`.")
    return statistic.mean + rule.k * statistic.sd


def describe(rule: Rule, n_inputs: Mapping[int, int] | None = None) -> str:
    """Write a rule down for the provenance.

    Parameters
    ----------
    rule
        The rule.
    n_inputs
        Number of inputs that calibrated it, by the `id` of what was given as ``on``; None if it was not calibrated yet.

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
        # It is refused when it is applied to a layer.
        return f"a {type(rule).__name__}"
    if values.ndim == 0:
        return repr(float(values))
    return f"{values.size} thresholds, sha256 {hashlib.sha256(values.tobytes()).hexdigest()[:12]}"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) and math.isfinite(value)


def _array(values: Any) -> Float[np.ndarray, "*shape"] | None:
    """Make an array of floating-point numbers; None where that is not possible, or for text and truth values."""
    if str(getattr(values, "dtype", "")) == "torch.bool":
        return None
    # A tensor may be on another device, need gradients, or be of a type that NumPy does not know.
    given = values.detach().cpu().double().numpy() if hasattr(values, "detach") else values
    try:
        array = np.asarray(given)
        return array.astype(np.float64) if array.dtype.kind in "iuf" else None
    except (TypeError, ValueError):
        return None


def _check_on(on: Any) -> None:
    if on is None or isinstance(on, str | Real):
        raise ThresholdError(
            f"on={on!r} are no inputs.",
            "The threshold cannot be calibrated.",
            "Give inputs in any form that `ann2neo.record` takes, such as a tensor: on=x.",
        )


def _check_per(per: str) -> None:
    if per not in ("unit", "layer"):
        raise ThresholdError(
            f"{per!r} is no scope of a threshold.", "It cannot be calibrated.", "Use per='unit' or per='layer'."
        )
