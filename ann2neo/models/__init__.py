"""Models of arrival processes: parameters, standard errors and likelihoods of every unit, compared with one another.

`fit` estimates three models of a unit's spikes, in closed form: one rate (``rate``), one rate for each condition of the
inputs (``label``), and a probability that depends on the preceding bins (``markov``).
"""

from ann2neo.models.fitted import fit

__all__ = ["fit"]
