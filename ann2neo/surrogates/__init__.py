"""Surrogates: inputs permuted jointly or per unit, null bands of population means, and confidence intervals.

The units of a network answer the same inputs, so that the noise of a mean over units is shared by them and does not
shrink with their number: sd / sqrt(units) is no error bar. What is one instead: `null_bands` for the question whether a
population differs from chance, `jackknife` for other inputs of the same kind, `across_networks` for other seeds.
"""

from ann2neo.surrogates.bands import null_bands
from ann2neo.surrogates.inputs import jackknife
from ann2neo.surrogates.networks import across_networks
from ann2neo.surrogates.permutations import permute

__all__ = ["across_networks", "jackknife", "null_bands", "permute"]
