"""Figures: each function draws one result and returns a `Drawing`, which shows itself in a notebook.

`drawing.savefig(path)` writes it; `drawing.ax` are its axes and `drawing.figure` is its figure. Drawn on axes that are given (``ax=``), it is part of their figure. matplotlib's list of open figures
stays empty. The style is that of one file, `STYLE`.
Colours are told apart by colour-blind readers (Okabe and Ito; cividis), and everything that has one mark per unit is drawn as counts, so that 100,000 units
stay legible.
"""

from ann2neo.figures.activation import p_spike
from ann2neo.figures.distributions import fano, firing_rate
from ann2neo.figures.drawing import STYLE, Drawing, png
from ann2neo.figures.intervals import isi_law
from ann2neo.figures.models import best_models, bits_per_spike, qq
from ann2neo.figures.networks import indicators, layer_table, learning
from ann2neo.figures.population import correlation_matrix, trajectories
from ann2neo.figures.rasters import raster
from ann2neo.figures.references import cv_against_expected, fano_against_rate, p_values
from ann2neo.figures.sources import beside_chance
from ann2neo.figures.surrogates import null_band
from ann2neo.figures.tuning import label_rates

__all__ = [
    "STYLE",
    "Drawing",
    "beside_chance",
    "best_models",
    "bits_per_spike",
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
    "p_spike",
    "p_values",
    "png",
    "qq",
    "raster",
    "trajectories",
]
