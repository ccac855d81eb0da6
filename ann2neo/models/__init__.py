"""Models of arrival processes: the parameters, standard errors and likelihoods of every unit, and their comparison.

`fit` estimates models of a unit's spikes. Three have a closed form: one rate (``rate``), one rate for each condition of the inputs
(``label``), and a probability that depends on the preceding bins (``markov``). The others are fitted by Newton's method: a separate probability
for each input or window (``gain``; around that of its label ``label_gain``), and intervals that are more or less regular (``renewal``; for cells ``gamma``, ``inverse_gaussian``). `simulate` draws spikes
from a fitted model, of each unit alone or of units together. `rescaled` tests whether a model predicts spike times. `fit_population` describes the distribution of activation probabilities over the units
of a layer and of a network. `to_design` makes the regressors of any other model, for nemos or statsmodels.
"""

from ann2neo.models.design import Design, to_design
from ann2neo.models.fitted import fit
from ann2neo.models.mixture import fit_population
from ann2neo.models.rescaled import rescaled
from ann2neo.models.simulated import simulate

__all__ = ["Design", "fit", "fit_population", "rescaled", "simulate", "to_design"]
