"""Comparison of groups of networks: effect sizes, exact tests and what they support."""

from ann2neo.comparison.distributions import compare_distributions
from ann2neo.comparison.effects import auc, hedges_g, permutation_p, smallest_p
from ann2neo.comparison.groups import INDICATORS, compare
from ann2neo.comparison.verdicts import verdicts

__all__ = [
    "INDICATORS",
    "auc",
    "compare",
    "compare_distributions",
    "hedges_g",
    "permutation_p",
    "smallest_p",
    "verdicts",
]
