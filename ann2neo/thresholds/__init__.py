"""Threshold rules: the value that an activation must exceed for a spike, computed from statistics of activations, without torch."""

from ann2neo.thresholds.floors import NO_FLOOR, Floor
from ann2neo.thresholds.moments import Moments
from ann2neo.thresholds.rules import (
    FixedRule,
    MeanPlusSd,
    Quantile,
    Rule,
    calibrated_rules,
    check_choices,
    describe,
    rule_for,
    statistic_for,
    thresholds_from,
)
from ann2neo.thresholds.selection import MAX_BYTES, Selection

__all__ = [
    "MAX_BYTES",
    "NO_FLOOR",
    "FixedRule",
    "Floor",
    "MeanPlusSd",
    "Moments",
    "Quantile",
    "Rule",
    "Selection",
    "calibrated_rules",
    "check_choices",
    "describe",
    "rule_for",
    "statistic_for",
    "thresholds_from",
]
