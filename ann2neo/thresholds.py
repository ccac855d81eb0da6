"""Threshold rules: which value an activation has to exceed for a spike."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ann2neo.errors import ThresholdError
from ann2neo.recording import matches

Rule = float | int | Mapping[str, "float | int | None"] | None


def rule_for(layer: str, rule: Rule) -> float | None:
    """Find the rule of a layer: a number, or None for the activation's value at pre-activation 0.

    Of a mapping from patterns to rules the first pattern that fits is taken, and None where none fits.

    Raises
    ------
    ThresholdError
        If the rule is no finite number.

    Examples
    --------
    >>> rule_for("features.0", {"classifier.*": 0.5, "*": 0.1})
    0.1
    >>> rule_for("features.0", None) is None
    True
    """
    if isinstance(rule, Mapping):
        fitting = [value for pattern, value in rule.items() if matches(layer, pattern)]
        return rule_for(layer, fitting[0]) if fitting else None
    if rule is None:
        return None
    if isinstance(rule, bool) or not isinstance(rule, (int, float)) or not math.isfinite(rule):
        raise ThresholdError(
            f"{rule!r} is no threshold for layer {layer!r}.",
            "An activation cannot be compared with it.",
            "Give a finite number, None (the activation's value at pre-activation 0) or a mapping from layer patterns to these.",
        )
    return float(rule)


def describe(rule: Rule) -> str:
    """Write a rule down for the provenance.

    Examples
    --------
    >>> describe(None)
    'value at pre-activation 0'
    >>> describe({"fc*": 0.5})
    "{'fc*': 0.5}"
    """
    return "value at pre-activation 0" if rule is None else repr(dict(rule) if isinstance(rule, Mapping) else rule)
