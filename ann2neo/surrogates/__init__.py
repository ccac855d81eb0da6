"""Surrogates: inputs permuted jointly or per unit, null bands of population means, and confidence intervals.

All units of a network respond to the same inputs. They share the noise of these inputs, so the error of a mean over
units does not shrink with their number, and sd / sqrt(units) is not a valid error bar. Use `null_bands` to test whether a
population differs from chance, `jackknife` to generalize to other inputs of the same kind, `across_networks` to
generalize to other seeds.
"""

from ann2neo.surrogates.bands import null_bands
from ann2neo.surrogates.inputs import jackknife
from ann2neo.surrogates.networks import across_networks
from ann2neo.surrogates.permutations import permute

__all__ = ["across_networks", "jackknife", "null_bands", "permute"]
