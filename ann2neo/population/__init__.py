"""Measures of many units at once, on a layer of a recording or on neo objects of any laboratory: activity, tuning, selectivity, correlation, dimensionality, codewords, trajectories.

Every function takes a `Recording`, a neo.Block, a neo.Segment, a list of neo.SpikeTrain, or any other container that `analyze` takes. Those that need every pair of units say how large the
result will be before they make it, and take a random subset (``units=100``) where that is too much.
"""

from ann2neo.population.activity import instantaneous_rate, time_histogram
from ann2neo.population.codewords import codewords, nearest_inputs
from ann2neo.population.correlation import Correlations, correlation_blocks, correlations
from ann2neo.population.dimensionality import dimensionality
from ann2neo.population.pairs import covariance, spike_time_tiling
from ann2neo.population.repeats import fano
from ann2neo.population.selectivity import selectivity
from ann2neo.population.synchrony import complexity
from ann2neo.population.trajectories import gpfa_trajectories
from ann2neo.population.tuning import psth, tuning

__all__ = [
    "Correlations",
    "codewords",
    "complexity",
    "correlation_blocks",
    "correlations",
    "covariance",
    "dimensionality",
    "fano",
    "gpfa_trajectories",
    "instantaneous_rate",
    "nearest_inputs",
    "psth",
    "selectivity",
    "spike_time_tiling",
    "time_histogram",
    "tuning",
]
