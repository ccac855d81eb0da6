"""Figures: each function draws one result on axes and gives the axes back.

Without axes a figure of its own is made, which `ax.figure.savefig(path)` writes. Nothing is shown, and matplotlib's list of open figures stays empty.
Colours are told apart by colour-blind readers (Okabe and Ito; cividis), and everything that has one mark per unit is drawn as counts, so that 100,000 units
stay legible.
"""

from ann2neo.figures.canvas import png
from ann2neo.figures.distributions import fano, firing_rate
from ann2neo.figures.intervals import isi_law
from ann2neo.figures.networks import indicators, layer_table, learning
from ann2neo.figures.population import correlation_matrix, trajectories
from ann2neo.figures.rasters import label_rates, raster
from ann2neo.figures.references import cv_against_expected, fano_against_rate, p_values
from ann2neo.figures.sources import beside_chance
from ann2neo.figures.surrogates import null_band

__all__ = [
    "beside_chance",
    "correlation_matrix",
    "cv_against_expected",
    "fano",
    "fano_against_rate",
    "firing_rate",
    "indicators",
    "isi_law",
    "label_rates",
    "layer_table",
    "learning",
    "null_band",
    "p_values",
    "png",
    "raster",
    "trajectories",
]
