"""Models of arrival processes: parameters, standard errors and likelihoods of every unit, compared with one another.

`fit` estimates models of a unit's spikes. In closed form: one rate (``rate``), one rate for each condition of the inputs
(``label``), and a probability that depends on the preceding bins (``markov``). By Newton's method: a probability of its own
for each input or window (``gain``), and intervals that are more or less regular (``renewal``; of cells ``gamma``, ``inverse_gaussian``). `simulate` draws what units would do
if they were one of these and nothing else. `rescaled` tests whether a model says when spikes come. `fit_population` describes a layer, and a network, by how the activation
probabilities of its units are distributed. `to_design` makes the regressors of every other model, for nemos or statsmodels.
"""

from ann2neo.models.design import Design, to_design
from ann2neo.models.fitted import fit
from ann2neo.models.mixture import fit_population
from ann2neo.models.rescaled import rescaled
from ann2neo.models.simulated import simulate

__all__ = ["Design", "fit", "fit_population", "rescaled", "simulate", "to_design"]
